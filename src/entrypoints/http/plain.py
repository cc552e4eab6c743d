"""What the OpenAPI document says of the routes that no schema is read or written by: probes, metrics, the WebSocket."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def _envelope(name: str) -> Json:
    return {
        "type": "object",
        "properties": {"data": {"$ref": f"#/components/schemas/{name}"}, "error": {"type": "null"}},
        "required": ["data", "error"],
        "additionalProperties": False,
    }


def _answer(name: str, description: str) -> Json:
    schema = {"$ref": f"#/components/schemas/{name}Envelope"}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_STATUS = {"type": "string", "enum": ["ok", "degraded"]}

SCHEMAS: Json = {
    "Alive": {"type": "object", "properties": {"status": {"type": "string", "enum": ["ok"]}}, "required": ["status"]},
    "Ready": {
        "description": "Each part that answers, with what it says; those that are away are in `degraded`.",
        "type": "object",
        "properties": {"status": _STATUS, "degraded": {"type": "object", "additionalProperties": {"type": "string"}}},
        "required": ["status"],
        "additionalProperties": {"type": "string"},
    },
    "Part": {
        "type": "object",
        "properties": {
            "status": {"type": "string", "enum": ["ok", "failed"]},
            "latency_ms": {"type": "number", "minimum": 0},
            "detail": {"type": "string", "description": "What it says, for insiders."},
        },
        "required": ["status", "latency_ms"],
    },
    "Health": {
        "type": "object",
        "properties": {
            "status": _STATUS,
            "parts": {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Part"}},
        },
        "required": ["status", "parts"],
    },
    **{f"{name}Envelope": _envelope(name) for name in ("Alive", "Ready", "Health")},
}
"""The components that these routes have beside those of the others."""

TAGS = [
    {"name": "health", "description": "Whether the process is alive, can work, and how its parts are."},
    {"name": "websocket", "description": "The chat over a WebSocket; see above for its frames."},
]

PATHS: Json = {
    "/healthz": {
        "get": {
            "tags": ["health"],
            "summary": "Whether the process is alive.",
            "responses": {"200": _answer("Alive", "It is.")},
        }
    },
    "/readyz": {
        "get": {
            "tags": ["health"],
            "summary": "Whether the process can take requests and answer questions.",
            "responses": {"200": _answer("Ready", "It can.")},
        }
    },
    "/api/health": {
        "get": {
            "tags": ["health"],
            "summary": "How every part is, the model too, and how fast it said so.",
            "description": "What parts say, and what is wrong with them, is for insiders: admins, and this machine.",
            "responses": {"200": _answer("Health", "It works.")},
        }
    },
    "/metrics": {
        "get": {
            "tags": ["health"],
            "summary": "What was counted and measured, for Prometheus.",
            "description": (
                "With the token of PARLEY_METRICS_TOKEN as a bearer token; without that setting, for whoever asks on "
                "this very machine."
            ),
            "security": [{}, {"bearer": []}],
            "responses": {
                "200": {
                    "description": "The text format of Prometheus.",
                    "content": {
                        "text/plain": {
                            "schema": {"type": "string"},
                            "example": "# TYPE parley_rooms_created_total counter\nparley_rooms_created_total 12.0\n",
                        }
                    },
                }
            },
        }
    },
    "/ws/chat/": {
        "get": {
            "operationId": "open_socket",
            "tags": ["websocket"],
            "summary": "Become a WebSocket.",
            "responses": {
                "101": {
                    "description": "It is one.",
                    "headers": {"Sec-WebSocket-Protocol": {"schema": {"type": "string", "enum": ["parley"]}}},
                },
                "426": {
                    "description": "- `bad_handshake`: No WebSocket was asked for, or one of another version.",
                    "x-error-codes": ["bad_handshake"],
                    "headers": {
                        "Upgrade": {"schema": {"type": "string", "enum": ["websocket"]}},
                        "Sec-WebSocket-Version": {"schema": {"type": "string", "enum": ["13"]}},
                    },
                    "content": {
                        "application/json": {
                            "schema": {"$ref": "#/components/schemas/ErrorEnvelope"},
                            "examples": {"bad_handshake": {"$ref": "#/components/examples/bad_handshake"}},
                        }
                    },
                },
            },
        }
    },
}
"""By path. What holds for all operations is added to them."""

REFUSES: dict[str, tuple[str, ...]] = {
    "/healthz": (),
    "/readyz": ("not_ready",),
    "/api/health": ("not_ready",),
    "/metrics": ("forbidden",),
    "/ws/chat/": ("forbidden", "bad_handshake", "too_many_sockets", "no_socket_free"),
}
"""How they refuse, by path."""
