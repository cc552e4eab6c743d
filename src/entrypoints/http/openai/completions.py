"""A reply as a chat completion: whole, or chunk by chunk as it comes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

from marshmallow import Schema, fields, validate

from application.ports.persistence import Document
from application.ports.runtime import LogEntry
from entrypoints.http.openai.wire import Telling, cut_short, dressed, error_document, event, seconds, usage_of

_STATUS = {"timed_out": 504, "interrupted": 503}
"""With which status one is told how a reply ended that has failed; 502 for what is not here."""


class CompletionMessageOut(Schema):
    """The answer."""

    role = fields.String(required=True, validate=validate.Equal("assistant"))
    content = fields.String(required=True)
    refusal = fields.Raw(required=True, allow_none=True)
    annotations = fields.List(fields.Raw(), required=True)


class CompletionChoiceOut(Schema):
    """The one choice."""

    index = fields.Integer(required=True)
    message = fields.Nested(CompletionMessageOut, required=True)
    logprobs = fields.Raw(required=True, allow_none=True)
    finish_reason = fields.String(required=True, validate=validate.OneOf(["stop", "length", "content_filter"]))


class CompletionUsageOut(Schema):
    """Tokens; 0 where nobody knows."""

    prompt_tokens = fields.Integer(required=True)
    completion_tokens = fields.Integer(required=True)
    total_tokens = fields.Integer(required=True)


class ChatCompletionOut(Schema):
    """An answer; `metadata.conversation_id` is the conversation that it is in."""

    id = fields.String(required=True)
    object = fields.String(required=True, validate=validate.Equal("chat.completion"))
    created = fields.Integer(required=True)
    model = fields.String(required=True)
    choices = fields.List(fields.Nested(CompletionChoiceOut), required=True)
    usage = fields.Nested(CompletionUsageOut, required=True)
    metadata = fields.Dict(keys=fields.String(), values=fields.String(), required=True)


class Completion:
    """One reply on this wire."""

    def __init__(self, reply: Document, include_usage: bool) -> None:
        self._head = {
            "id": f"chatcmpl-{UUID(str(reply['id'])).hex}",
            "created": seconds(reply["created_at"]),
            "model": reply["agent"],
        }
        self._metadata = {"conversation_id": dressed("conv", reply["conversation_id"])}
        self._include_usage = include_usage
        self._telling = Telling()
        self._begun = False
        self.is_over = False

    def whole(self, message: Document) -> Document:
        """The answer at once."""
        said = {"role": "assistant", "content": message["content"], "refusal": None, "annotations": []}
        choice = {"index": 0, "message": said, "logprobs": None, "finish_reason": _finish_reason(message)}
        return self._head | {
            "object": "chat.completion",
            "choices": [choice],
            "usage": _usage(message),
            "metadata": self._metadata,
        }

    def render(self, batch: Sequence[LogEntry]) -> bytes:
        """The chunks for some events."""
        return b"".join(block for entry in batch for block in self._chunks(entry))

    def _chunks(self, entry: LogEntry) -> Iterator[bytes]:
        if not self._begun:
            self._begun = True
            yield self._chunk({"role": "assistant", "content": ""}, metadata=self._metadata)
        if entry.event == "reply.started":
            self._telling.restart()
        elif entry.event == "reply.delta" and (new := self._telling.more(entry.data["text"])):
            yield self._chunk({"content": new})
        elif entry.is_terminal:
            self.is_over = True
            yield from self._end(entry.data["message"])

    def _end(self, message: Document) -> Iterator[bytes]:
        if new := self._telling.end(message["content"]):
            yield self._chunk({"content": new})
        if not is_good(message):
            status, code, why = failure_of(message)
            yield event(error_document(status, code, why))
            return
        if not self._telling.is_true:
            yield event(error_document(500, "answer_replaced", "The answer was begun anew: send the request again."))
            return
        yield self._chunk({}, finish_reason=_finish_reason(message))
        if self._include_usage:
            usage = {"object": "chat.completion.chunk", "choices": [], "usage": _usage(message)}
            yield event(self._head | usage)
        yield b"data: [DONE]\n\n"

    def _chunk(self, delta: Document, finish_reason: str | None = None, **more: object) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        told = {"usage": None} if self._include_usage else {}
        return event(self._head | {"object": "chat.completion.chunk", "choices": [choice]} | told | more)


def is_good(message: Document) -> bool:
    """Whether there is an answer; one that somebody has stopped is one as far as it goes."""
    return message["status"] in ("completed", "cancelled")


def failure_of(message: Document) -> tuple[int, str, str]:
    """A status, a code and what is to be said of an answer that is none."""
    error = message["error"] or {"code": message["status"], "message": "The answer came to no good end."}
    return _STATUS.get(message["status"], 502), error["code"], error["message"]


def _usage(message: Document) -> Document:
    read, written = usage_of(message["metadata"])
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _finish_reason(message: Document) -> str:
    return cut_short(message["metadata"]) or "stop"
