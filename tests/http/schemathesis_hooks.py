"""What schemathesis is told of Parley beyond the OpenAPI document. It imports this into a process of its own."""

from __future__ import annotations

import json
import os
import zlib
from itertools import count
from typing import Any

import schemathesis

_THINGS: dict[str, list[str]] = json.loads(os.environ["PARLEY_THINGS"])
"""Ids of what there is, by the parameter that takes them."""

_KEYS = count()

_SHORT = 20
"""Characters of a name that is refused at most because there is no agent called so."""

_UNSAYABLE = (
    "Was used before, for another request.",
    "Send the visitor's token, or come with its cookie.",
    "There is no agent",
    "Must not hold whole numbers of more than 64 bits.",
    "Must be at most 10,240 bytes of JSON",
    "Only JSON holds all branches.",
    "Must hold printable characters only.",
    "Bind a session to a room or to a conversation, not to both.",
    "This path is for WebSockets",
    ".content: Must not be empty.",
    "The last one must be a question of the user's.",
    "Must be user: what tools and answers say",
    "Must hold a text, as parts of the type text.",
)
"""Of refusals that no schema can tell of: they depend on the installation, or on more than one value."""


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Three times out of four, ask for something that there is."""
    for name, value in (path_parameters or {}).items():
        if name in _THINGS and isinstance(value, str) and len(value) == 36:
            pick = zlib.crc32(value.encode())
            if pick % 4:
                path_parameters[name] = _THINGS[name][pick % len(_THINGS[name])]  # type: ignore[index] # see above
    return path_parameters


@schemathesis.hook
def map_query(context: Any, query: Any) -> Any:
    """Name an agent that there is."""
    return _with_agent(query)


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Name an agent that there is."""
    return _with_agent(body)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Have most requests come with keys of their own, so that they take effect; and errors of the AI SDK's as JSON."""
    if case.path.startswith("/api/chat"):
        case.headers["Accept"] = "application/json"
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and 0 < len(key) < 200 and key.isascii() and next(_KEYS) % 4:
        case.headers["Idempotency-Key"] = f"{key}-{next(_KEYS)}"


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether a request that fits the document, and was refused, ought to have been taken."""
    if failure.title.startswith("SSE event"):
        return False  # It looks at each event, and OpenAPI 3.1 can only say what the whole is: a text.
    if type(failure).__name__ != "RejectedPositiveData":
        return True
    error = response.json()["error"]
    told = error["message"] if "message" in error else error["error_message"]
    return not any(rule in told for rule in _UNSAYABLE)


@schemathesis.check
def error_code_conformance(ctx: Any, response: Any, case: Any) -> None:
    """A refusal has one of the codes that the document names for its status."""
    if response.status_code < 400 or case.method.lower() not in case.operation.schema.raw_schema["paths"][case.path]:
        return
    document = case.operation.schema.raw_schema
    told = document["paths"][case.path][case.method.lower()]["responses"].get(str(response.status_code), {})
    if "$ref" in told:
        told = document["components"]["responses"][told["$ref"].rpartition("/")[2]]
    if "x-error-codes" in told and case.path.startswith("/api/v1/"):
        code = response.json()["error"]["error_code"]
        assert code in told["x-error-codes"], f"{code} is not among {told['x-error-codes']}"


def _with_agent(members: Any) -> Any:
    if isinstance(members, dict):
        for name in "agent", "context_type":
            if isinstance(given := members.get(name), str) and 0 < len(given) <= _SHORT:
                members[name] = "general"  # What is to be refused as too short or too long stays so.
    return members
