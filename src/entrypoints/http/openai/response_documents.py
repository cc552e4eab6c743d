"""A reply as a response of OpenAI's."""

from __future__ import annotations

from collections.abc import Sequence

from marshmallow import Schema, fields, validate

from application.ports.persistence import Document
from domain.replies import ReplyStatus
from entrypoints.http.openai.items import ItemOut, output_item
from entrypoints.http.openai.wire import cut_short, dressed, seconds, usage_of

_STATUS = {"queued": "queued", "running": "in_progress", "completed": "completed", "cancelled": "cancelled"}
"""What a reply's status is called here; whatever else has failed."""

_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}


class ResponseUsageOut(Schema):
    """Tokens; 0 where nobody knows."""

    input_tokens = fields.Integer(required=True)
    input_tokens_details = fields.Dict(required=True)
    output_tokens = fields.Integer(required=True)
    output_tokens_details = fields.Dict(required=True)
    total_tokens = fields.Integer(required=True)


class ResponseOut(Schema):
    """An answer, and how it was asked for."""

    id = fields.String(required=True)
    object = fields.String(required=True, validate=validate.Equal("response"))
    created_at = fields.Integer(required=True)
    status = fields.String(
        required=True,
        validate=validate.OneOf(["queued", "in_progress", "completed", "incomplete", "cancelled", "failed"]),
    )
    background = fields.Boolean(required=True)
    error = fields.Dict(required=True, allow_none=True)
    incomplete_details = fields.Dict(required=True, allow_none=True)
    instructions = fields.String(required=True, allow_none=True)
    max_output_tokens = fields.Raw(required=True, allow_none=True)
    model = fields.String(required=True)
    output = fields.List(fields.Nested(ItemOut), required=True)
    parallel_tool_calls = fields.Boolean(required=True)
    previous_response_id = fields.String(required=True, allow_none=True)
    conversation = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    reasoning = fields.Dict(required=True)
    store = fields.Boolean(required=True)
    temperature = fields.Raw(required=True, allow_none=True)
    text = fields.Dict(required=True)
    tool_choice = fields.String(required=True)
    tools = fields.List(fields.Raw(), required=True)
    top_p = fields.Raw(required=True, allow_none=True)
    truncation = fields.String(required=True)
    usage = fields.Nested(ResponseUsageOut, required=True, allow_none=True)
    user = fields.Raw(required=True, allow_none=True)
    metadata = fields.Dict(keys=fields.String(), values=fields.String(), required=True)


class ResponseDocument:
    """A reply as a response; how it was asked for is noted on its question."""

    def __init__(self, reply: Document, question: Document | None) -> None:
        self.reply = reply
        noted = question["metadata"] if question is not None else {}
        self._instructions = noted.get("instructions")
        self._noted = noted.get("response") or {}

    def now(self) -> Document:
        """As it is at this moment."""
        reply = self.reply
        return self._as(reply["status"], reply["text"], reply["sources"], reply["metadata"], reply["error"])

    def begun(self) -> Document:
        """As it was at its beginning."""
        return self._as("queued" if self._noted.get("background") else "running", "", (), {}, None)

    def ended(self, message: Document) -> Document:
        """As it is with its finished message."""
        return self._as(
            message["status"], message["content"], message["sources"], message["metadata"], message["error"]
        )

    def _as(
        self, status: str, text: str, sources: Sequence[Document], metadata: Document, error: Document | None
    ) -> Document:
        reply, noted = self.reply, self._noted
        shown = _STATUS.get(status, "failed")
        reason = _REASONS.get(cut_short(metadata) or "")
        is_live = ReplyStatus(status).is_live
        if shown == "completed" and reason is not None:
            shown = "incomplete"
        return {
            "id": dressed("resp", reply["id"]),
            "object": "response",
            "created_at": seconds(reply["created_at"]),
            "status": shown,
            "background": bool(noted.get("background")),
            "error": _error(status, error) if shown == "failed" else None,
            "incomplete_details": {"reason": reason} if shown == "incomplete" else None,
            "instructions": self._instructions,
            "max_output_tokens": None,
            "model": reply["agent"],
            "output": [output_item(reply["id"], text, status, sources)] if text else [],
            "parallel_tool_calls": True,
            "previous_response_id": noted.get("previous_response_id"),
            "conversation": {"id": dressed("conv", reply["conversation_id"])},
            "reasoning": {"effort": None, "summary": None},
            "store": True,
            "temperature": None,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": None,
            "truncation": "disabled",
            "usage": None if is_live else _usage(metadata),
            "user": None,
            "metadata": noted.get("metadata") or {},
        }


def _error(status: str, error: Document | None) -> Document:
    """OpenAI's clients know few codes; the message holds what Parley's says."""
    return {"code": "server_error", "message": error["message"] if error is not None else f"The answer {status}."}


def _usage(metadata: Document) -> Document:
    read, written = usage_of(metadata)
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + written,
    }
