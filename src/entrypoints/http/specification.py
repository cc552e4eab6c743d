"""The OpenAPI document: what the routes say of themselves, and what holds for all of them.

flask-smorest writes down schemas, parameters and answers beside the views. How a route refuses follows from what it
takes and from who may ask, see `refusals.refuses`; so do headers, links and examples. They are added here.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import version
from itertools import count
from typing import Any

import orjson
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask
from flask_smorest import Api
from flask_smorest.spec.plugins import FlaskPlugin
from marshmallow import Schema

from entrypoints.http import auth, plain
from entrypoints.http.events import EVENTS
from entrypoints.http.examples import Examples, refusal
from entrypoints.http.introduction import DESCRIPTION, HEADERS, PARAMETERS
from entrypoints.http.refusals import REFUSALS
from entrypoints.http.schemas import ErrorEnvelope

Json = dict[str, Any]

_UNREAD = "414"
"""What is answered before a request gets here."""

_METHODS = ("get", "post", "put", "patch", "delete")

_KINDS = {
    "analysis_id": ("job_analysis",),
    "message_id": ("message", "conversation"),
    "reply_id": ("reply", "conversation"),
    "session_id": ("session",),
}
"""What may not be there where a parameter in a path names something; what is not here is called so itself."""

_EVERYWHERE = ("storage_unavailable", "concurrent_change")
"""What can go wrong with every request for what is stored."""

_ASKED = {"reply_id": "/reply/id", "message_id": "/message/id"}

_MADE: dict[str, dict[str, str]] = {
    "open_room": {"room_id": "/id"},
    "start_conversation": {"conversation_id": "/id"},
    "ask": _ASKED,
    "ask_in_session": _ASKED,
    "edit_question": _ASKED,
    "regenerate_reply": {"reply_id": "/reply/id"},
    "open_session": {"session_id": "/id"},
    "open_project": {"project_id": "/id"},
    "add_document": {"document_id": "/id"},
    "analyse_job": {"analysis_id": "/id"},
}
"""What an operation makes that others take in their paths: by parameter, where its id stands in `data`."""


def named(schema: type[Schema]) -> str:
    """What a schema is called in the document: as its class, without the `Out` of what goes out."""
    return schema.__name__.removesuffix("Out")


def plugin() -> MarshmallowPlugin:
    """What reads schemas."""
    return MarshmallowPlugin(schema_name_resolver=_resolved)


class Specification:
    """The document of one app, made when somebody first asks for it."""

    def __init__(self, app: Flask, api: Api) -> None:
        self._app = app
        self._api = api
        self._written: bytes | None = None

    def json(self) -> bytes:
        """The document."""
        if self._written is None:
            self._written = orjson.dumps(self._made())
        return self._written

    def _made(self) -> Json:
        spec = self._api.spec
        errors = (getattr(blueprint, "error_schema", None) for blueprint in self._app.blueprints.values())
        for schema in dict.fromkeys([*EVENTS.values(), *filter(None, errors)]):
            spec.components.schema(named(schema), schema=schema)
        document: Json = orjson.loads(orjson.dumps(spec.to_dict(), default=str, option=orjson.OPT_NON_STR_KEYS))
        schemas: Json = document["components"]["schemas"]
        schemas.pop("PaginationMetadata", None)
        for (schema, *_), name in self._api.ma_plugin.converter.refs.items():  # type: ignore[union-attr] # it has one
            if schema.__doc__ and name in schemas:
                schemas[name].setdefault("description", schema.__doc__)
        for schema in schemas.values():
            for member in schema.get("properties", {}).values():
                _spell_out(member)
        schemas["ReplyEvent"] = {
            "description": "The `data` of an event.",
            "anyOf": [{"$ref": f"#/components/schemas/{named(event)}"} for event in dict.fromkeys(EVENTS.values())],
        }
        document["info"] = {
            "title": "Parley",
            "version": version("parley"),
            "summary": "A self-hosted chat backend.",
            "description": DESCRIPTION,
        }
        document["servers"] = [{"url": "/", "description": "This installation."}]
        document["paths"] |= deepcopy(plain.PATHS)
        document["tags"] += plain.TAGS
        schemas |= plain.SCHEMAS
        document["components"] |= {
            "headers": HEADERS,
            "parameters": PARAMETERS,
            "examples": {code: {"value": refusal(code)} for code in REFUSALS},
            "responses": {},
        }
        routes = {
            (FlaskPlugin.flaskpath2openapi(rule.rule), method.lower()): rule.endpoint
            for rule in self._app.url_map.iter_rules()
            for method in rule.methods or ()
        }
        examples = Examples(schemas)
        for path, item in document["paths"].items():
            item.setdefault("parameters", []).append({"$ref": "#/components/parameters/RequestId"})
            for method in [each for each in _METHODS if each in item]:
                endpoint = routes[path, method]
                view = self._app.view_functions[endpoint]
                routes_of = self._app.blueprints.get(endpoint.rpartition(".")[0])
                operation = _Operation(
                    path, item[method], method, item["parameters"], endpoint, view, routes_of, schemas
                )
                operation.complete(examples)
        _link(document["paths"])
        _share(document)
        return document


@dataclass(frozen=True, slots=True)
class _Operation:
    """One operation of the document, with the route that it tells of."""

    path: str
    told: Json
    method: str
    path_parameters: list[Json]
    endpoint: str
    view: Any
    blueprint: Any
    schemas: Json

    def complete(self, examples: Examples) -> None:
        """Say what was not said."""
        told = self.told
        told.setdefault("operationId", self.view.__name__)
        if self.endpoint in auth.PUBLIC:
            told.setdefault("security", [])
        for parameter in told.get("parameters", []):
            _without_null(parameter["schema"])
        self._require_body()
        self._refuse(examples)
        self._name_headers()
        for content in self._contents():
            for media in content.values():
                example = examples.of(media["schema"], self.path)
                if example is not None and not media.keys() & {"example", "examples"}:
                    media["example"] = example

    def _require_body(self) -> None:
        body = self.told.get("requestBody")
        if body is None:
            return
        body["required"] = any(
            "required" in self.schemas[media["schema"]["$ref"].rpartition("/")[2]] for media in body["content"].values()
        )

    def _refuse(self, examples: Examples) -> None:
        responses = self.told["responses"]
        responses.pop("default", None)
        if "$ref" in responses.get("422", {}):
            del responses["422"]  # Not ours: webargs'.
        statuses: dict[int, int] = getattr(self.blueprint, "error_statuses", {})
        schema = named(getattr(self.blueprint, "error_schema", ErrorEnvelope))
        by_status: dict[int, list[str]] = {}
        for code in dict.fromkeys(self._refusals()):
            status = REFUSALS[code].status
            by_status.setdefault(statuses.get(status, status), []).append(code)
        for status, codes in sorted(by_status.items()):
            said = responses.setdefault(str(status), {})
            said["description"] = said.get("description") or _listed(codes)
            said["x-error-codes"] = codes
            media = said.setdefault("content", {}).setdefault("application/json", {})
            media.setdefault("schema", {"$ref": f"#/components/schemas/{schema}"})
            if schema == named(ErrorEnvelope) and "example" not in media:
                media["examples"] = {code: {"$ref": f"#/components/examples/{code}"} for code in codes}
            if getattr(self.blueprint, "errors_as_text", False):
                text = {"schema": {"type": "string"}, "example": REFUSALS[codes[0]].meaning}
                said["content"] = {"text/plain": text, **said["content"]}
        self.told["responses"] = dict(sorted(responses.items()))

    def _refusals(self) -> Iterator[str]:
        security = self.told.get("security")
        if security is None or security:
            yield from ("unauthenticated", "token_invalid", "token_expired", "keys_unavailable")
        if security is None and self.method != "get":
            yield "forbidden"
        for parameter in self.path_parameters:
            name = parameter.get("name", "")
            if name.endswith("_id"):
                kinds = _KINDS.get(name, (name.removesuffix("_id"),))
                missing = [f"{kind}_not_found" for kind in kinds]
                yield from ("forbidden", *(code for code in missing if code in REFUSALS), "validation_failed")
                yield from ["not_found"] if not REFUSALS.keys() >= set(missing) else []
        parameters = self.told.get("parameters", [])
        if parameters or "requestBody" in self.told:
            yield "validation_failed"
        if "requestBody" in self.told:
            yield from ("malformed_json", "body_too_large", "unsupported_media_type")
            if "multipart/form-data" in self.told["requestBody"]["content"]:
                yield "malformed_form"
        if any(parameter["name"] == "Idempotency-Key" for parameter in parameters):
            yield "idempotency_key_in_use"
        yield from getattr(self.view, "refuses", ())
        yield from plain.REFUSES.get(self.path, _EVERYWHERE)
        yield "internal_error"

    def _name_headers(self) -> None:
        responses: Json = self.told["responses"]
        limited = "rate_limited" in responses.get("429", {}).get("x-error-codes", ())
        replays = any(each["name"] == "Idempotency-Key" for each in self.told.get("parameters", []))
        for status, response in responses.items():
            if status == _UNREAD:
                continue
            names = ["X-Request-ID"]
            if status == "401":
                names.append("WWW-Authenticate")
            if status in ("429", "503"):
                names.append("Retry-After")
            if limited and status not in ("401", "413", "415"):
                names += ["RateLimit-Policy", "RateLimit"]
            if replays and status < "300":
                names.append("Idempotent-Replayed")
            told = response.setdefault("headers", {})
            for name in names:
                told.setdefault(name, {"$ref": f"#/components/headers/{name}"})

    def _contents(self) -> Iterator[Json]:
        if "requestBody" in self.told:
            yield self.told["requestBody"]["content"]
        for response in self.told["responses"].values():
            if "content" in response:
                yield response["content"]


def _resolved(schema: Any) -> str:
    return named(schema if isinstance(schema, type) else type(schema))


def _without_null(schema: Json) -> None:
    """There is no null in an address or a header."""
    if schema.get("default", ...) is None:
        del schema["default"]
    if isinstance(schema.get("type"), list):
        (schema["type"],) = (kind for kind in schema["type"] if kind != "null")


def _spell_out(schema: Json) -> None:
    """Write values that are not all texts as schemas of their own, which those who generate clients know better."""
    values = schema.get("enum", ())
    if all(isinstance(each, str) for each in values):
        return
    del schema["enum"]
    texts = [each for each in values if isinstance(each, str)]
    others = [_only(each) for each in values if not isinstance(each, str)]
    told = [*([{"type": "string", "enum": texts}] if texts else []), *others]
    schema |= {"anyOf": told} if len(told) > 1 else told[0]


def _only(value: Any) -> Json:
    """The schema of one value."""
    match value:
        case None:
            return {"type": "null"}
        case bool():
            return {"type": "boolean", "const": value}
        case int():
            return {"type": "integer", "enum": [value]}
        case list():
            items = _only(value[0]) if value else {}
            return {"type": "array", "items": items, "minItems": len(value), "maxItems": len(value)}
        case dict():
            members = {name: _only(each) for name, each in value.items()}
            return {"type": "object", "properties": members, "required": list(members), "additionalProperties": False}
        case _:
            return {"type": "string", "enum": [value]}


def _listed(codes: list[str]) -> str:
    return "\n".join(f"- `{code}`: {REFUSALS[code].meaning}" for code in codes)


def _link(paths: Json) -> None:
    """From what makes something to what takes it (OpenAPI 3.1, Link Object)."""
    operations: dict[str, tuple[Json, set[str]]] = {}
    for item in paths.values():
        taken = {each.get("name") for each in item["parameters"]}
        for method in [each for each in _METHODS if each in item]:
            operations[item[method]["operationId"]] = item[method], taken
    for maker, made in _MADE.items():
        links = {
            taker: {"operationId": taker, "parameters": {parameter: f"$response.body#/data{pointer}"}}
            for parameter, pointer in made.items()
            for taker, (_, taken) in operations.items()
            if parameter in taken
        }
        responses = operations[maker][0]["responses"]
        for status in [each for each in responses if each < "300"]:
            responses[status]["links"] = links


def _share(document: Json) -> None:
    """Write down once how many operations refuse alike."""
    places: dict[bytes, list[tuple[Json, str]]] = {}
    for item in document["paths"].values():
        for method in [each for each in _METHODS if each in item]:
            responses = item[method]["responses"]
            for status in [each for each in responses if each >= "400"]:
                places.setdefault(orjson.dumps(responses[status]), []).append((responses, status))
    shared = document["components"]["responses"]
    for written, uses in places.items():
        if len(uses) > 1:
            responses, status = uses[0]
            phrase = HTTPStatus(int(status)).phrase.title().replace(" ", "")
            name = next(each for each in _numbered(phrase) if each not in shared)
            shared[name] = orjson.loads(written)
            for responses, status in uses:
                responses[status] = {"$ref": f"#/components/responses/{name}"}


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}{number}" for number in count(2))
