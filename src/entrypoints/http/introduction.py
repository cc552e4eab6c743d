"""What the OpenAPI document says before its first operation, and the headers that many of them share."""

from __future__ import annotations

from typing import Any

_REQUEST = "018f3a1e-7c42-7d2b-9a55-3f0c8b1e6d90"

DESCRIPTION = """\
Parley answers questions in conversations, grounded in your documents, for the frontend of your product.

## Who is asking

Send `Authorization: Bearer <token>`, or come with a cookie: `parley_user`, which `POST /api/v1/login` sets, or
`parley_visitor`, which `POST /api/v1/visitors` sets. The header is taken before the cookies. A token that is no good is
refused with 401, never passed over. With a cookie, a request that changes something is refused with 403 when another
site's page makes it.

To try the operations in this page, press **Authorize** and paste a token (`parley token issue --user me`), or execute
`POST /api/v1/visitors` once: its cookie is sent from then on.

## Answers

Every JSON body under `/api/v1` is an envelope, `{"data": …, "error": null}` or `{"data": null, "error": {…}}`. An
`error_code` stays the same from version to version; an `error_message` is for people. Lists are pages,
`{"items": […], "total": 57, "limit": 20, "offset": 0}`. Ids are UUIDs (version 7), times RFC 3339 in UTC. Fields and
parameters that are not known are refused with 422, which names them. A newer version may answer with more fields.

## Asking

`POST …/messages` answers in three ways: 202 at once, with the reply's id; with `Accept: text/event-stream` 200 and the
reply's events; with `?wait=1…30` 200 and the finished reply, or 408 with the text so far, while the reply goes on.
`GET /api/v1/replies/{reply_id}/events` is the stream of any reply, from its beginning or after `Last-Event-ID`.

A `POST` that creates takes the header `Idempotency-Key`: sent again, it takes effect once.

## WebSocket

`GET /ws/chat/` becomes a WebSocket (RFC 6455, version 13), with a token in the header, the cookie or the subprotocols
(`Sec-WebSocket-Protocol: parley, bearer.<token>`). Frames are JSON texts with a `type`. Clients send `session_init`
first, then `message`, `typing`, `stop`, `resume`, `context`, `reset`, `session_close` and `ping`; each may have an
`id`, which comes back with the answer. The server sends `welcome`, `session_ready`, `accepted`, the events of replies
(with `reply_id` and `seq`), `message`, `typing`, `stopped`, `resumed`, `context_changed`, `session_reset`,
`history_changed`, `session_closed`, `pong` and `error`. The API reference has each frame's members and the close codes.
"""

HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": {
        "description": "What the log calls this request: what it came with, or a new id.",
        "required": True,
        "schema": {"type": "string"},
        "example": _REQUEST,
    },
    "WWW-Authenticate": {
        "description": "A bearer token is wanted, and why the one that came is no good (RFC 6750).",
        "schema": {"type": "string"},
        "example": 'Bearer error="token_expired"',
    },
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 60,
    },
    "RateLimit-Policy": {
        "description": "The rates that this counts towards: `q` in `w` seconds. It is not there where none holds.",
        "schema": {"type": "string"},
        "example": '"ask";q=30;w=3600',
    },
    "RateLimit": {
        "description": "What is left of each: `r`, and one more in `t` seconds.",
        "schema": {"type": "string"},
        "example": '"ask";r=29;t=3600',
    },
    "Idempotent-Replayed": {
        "description": "The first request with this key was answered so.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
"""Of answers, by name."""

PARAMETERS: dict[str, dict[str, Any]] = {
    "RequestId": {
        "name": "X-Request-ID",
        "in": "header",
        "description": (
            "What the log is to call this request: 1 to 128 letters, digits, dots, hyphens and underscores. "
            "Anything else is passed over."
        ),
        "schema": {"type": "string"},
        "example": _REQUEST,
    }
}
"""Of every request."""
