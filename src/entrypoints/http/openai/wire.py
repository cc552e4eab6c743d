"""What OpenAI's wires share: ids in their dress, errors, parameters that Parley does not take, what can be told."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from flask import Response, request
from marshmallow import Schema, ValidationError, fields

from application.facade import Application
from domain.errors import NotFound

_RETRIES = "X-Stainless-Retry-Count"
"""What OpenAI's SDKs say with each request: how often they have sent it before."""

_CURED_BY_WAITING = "idempotency_key_in_use"

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 409: "conflict_error"} | {
    408: "timeout_error",
    429: "rate_limit_error",
}

_PLACE = re.compile(r"\.(\d+)(?=\.|$)")

STREAM: dict[str, Any] = {
    "description": (
        "Server-sent events with a line of JSON each, as OpenAI's clients read them; an error in mid-answer is one "
        "whose `data` has an `error`. A comment comes every 15 seconds."
    )
}
"""What streams are called in the specification."""

_SILENT = "It is accepted, and has no effect: the agent has settings of its own."


class OpenAIErrorDetail(Schema):
    """What went wrong, and with which parameter; `code` is Parley's."""

    message = fields.String(required=True)
    type = fields.String(required=True)
    param = fields.String(required=True, allow_none=True)
    code = fields.String(required=True)


class OpenAIErrorOut(Schema):
    """The answer to everything under `/v1` that is refused or fails."""

    error = fields.Nested(OpenAIErrorDetail, required=True)


def problem(status: int, code: str, message: str, details: Any, headers: dict[str, str]) -> Response:
    """An error as OpenAI tells it. What breaks a rule is 400 here."""
    status = 400 if status == 422 else status
    wrong = next(iter(details.get("fields", ())), None)
    if status == 405 and request.method == "DELETE":
        message = "Messages and responses go with their conversation: delete that."
    if status == 409 and code != _CURED_BY_WAITING:
        headers = {**headers, "x-should-retry": "false"}
    return answer(error_document(status, code, message, wrong), status, headers)


def error_document(status: int, code: str, message: str, param: str | None = None) -> dict[str, Any]:
    """`{"error": …}`; places in lists are written in brackets."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    where = _PLACE.sub(r"[\1]", param) if param is not None else None
    return {"error": {"message": message, "type": kind, "param": where, "code": code}}


def answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The body as JSON, without an envelope."""
    return Response(orjson.dumps(body), status, headers, mimetype="application/json")


def event(payload: object, kind: str = "") -> bytes:
    """One server-sent event."""
    head = b"event: %b\n" % kind.encode() if kind else b""
    return b"%bdata: %b\n\n" % (head, orjson.dumps(payload))


def dressed(prefix: str, id: object) -> str:
    """`resp_…`, `msg_…` and so on for an id of ours."""
    return f"{prefix}_{UUID(str(id)).hex}"


def undressed(kind: str, prefix: str, value: str) -> UUID:
    """The id in such a dress, or bare; raises NotFound for what cannot be one."""
    try:
        return UUID(value.removeprefix(f"{prefix}_"))
    except ValueError:
        raise NotFound(kind, printable(value)) from None


def printable(value: str) -> str:
    """What a client has sent, so that it can be said back."""
    return value[:100].encode("utf-8", "replace").decode()


def agent_named(app: Application, model: str) -> str:
    """The agent that a client calls a model; raises NotFound."""
    if model not in app.agents:
        raise NotFound("model", printable(model))
    return model


def seconds(time: Any) -> int:
    """Whole seconds since 1970 of a time in a document, which is written out already in one that was kept."""
    return int((datetime.fromisoformat(time) if isinstance(time, str) else time).timestamp())


def is_retry() -> bool:
    """Whether an SDK says that it sends this request again by itself."""
    count = request.headers.get(_RETRIES, "")
    return count.isascii() and count.isdigit() and count.strip("0") != ""


def usage_of(metadata: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens that were read and written for an answer; 0 where nobody knows."""
    used = metadata.get("usage") or {}
    return used.get("input_tokens") or 0, used.get("output_tokens") or 0


def cut_short(metadata: Mapping[str, Any]) -> str | None:
    """Why a model ended its answer before that was complete: `length` or `content_filter`."""
    reason = metadata.get("finish_reason")
    return reason if reason in ("length", "content_filter") else None


class Neutral(fields.Raw):
    """A parameter that Parley takes only where it asks for nothing that Parley does not do; null is always taken."""

    def __init__(self, *values: Any, reason: str) -> None:
        said = {"enum": [*values, None], "description": reason}
        super().__init__(load_default=None, allow_none=True, metadata=said)
        self._values = {json.dumps(value) for value in values}
        self._reason = reason

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        if json.dumps(value) not in self._values:
            raise ValidationError(self._reason)
        return value


def ignored() -> fields.Raw:
    """A parameter that settles what the agent has settled."""
    return fields.Raw(load_default=None, allow_none=True, metadata={"description": _SILENT})


def metadata_pairs() -> fields.Dict:
    """The client's own notes."""
    return fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        load_default=None,
        allow_none=True,
        metadata={"description": "Texts by name, 10 KB at most."},
    )


class Telling:
    """What can be told of an answer that comes piece by piece, where nothing can be taken back.

    An answer that begins anew is told on from where it says more than was told.
    """

    def __init__(self) -> None:
        self.told = ""
        self.is_true = True
        """Whether what was told is how the answer goes."""
        self._anew: str | None = None

    def restart(self) -> None:
        """The answer begins anew."""
        self._anew = ""

    def more(self, piece: str) -> str:
        """What is to be told now that the answer goes on with `piece`."""
        if self._anew is not None:
            self._anew += piece
            if len(self._anew) <= len(self.told):
                return ""
            self.is_true = self._anew.startswith(self.told)
            if not self.is_true:
                return ""
            piece, self._anew = self._anew[len(self.told) :], None
        self.told += piece
        return piece

    def end(self, text: str) -> str:
        """What is still to be told of the whole answer."""
        self.restart()
        new = self.more(text)
        self.is_true = self.told == text
        return new
