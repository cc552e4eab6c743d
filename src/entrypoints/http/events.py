"""The events of a reply's log as clients see them: on server-sent events, and on WebSockets with a `type`."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields

from entrypoints.http.schemas import FailureOut, MessageOut, SourceOut


def _number() -> fields.Integer:
    return fields.Integer(
        required=True,
        metadata={"minimum": 0, "description": "The event's number in the reply's log, which is its `id`."},
    )


class ReplyStartedEvent(Schema):
    """The reply is being written. When it comes again, the text begins anew."""

    seq = _number()
    reply_id = fields.UUID(required=True)
    agent = fields.String(required=True)
    attempt = fields.Integer(required=True, metadata={"minimum": 1})


class ReplyDeltaEvent(Schema):
    """More text, to be appended."""

    seq = _number()
    text = fields.String(required=True)


class ReplyToolCallEvent(Schema):
    """The model has a tool run."""

    seq = _number()
    id = fields.String(required=True)
    name = fields.String(required=True)
    arguments = fields.Raw(required=True)


class ReplyToolResultEvent(Schema):
    """What came of it."""

    seq = _number()
    id = fields.String(required=True)
    name = fields.String(required=True)
    result = fields.String(required=True)
    error = fields.Nested(FailureOut, required=True, allow_none=True)
    truncated = fields.Boolean(required=True)
    duration_ms = fields.Integer(required=True, metadata={"minimum": 0})


class ReplySourcesEvent(Schema):
    """The passages that the answer cites."""

    seq = _number()
    sources = fields.List(fields.Nested(SourceOut), required=True)


class ReplyEndedEvent(Schema):
    """The reply has ended; no event follows. `error` is there if it did not complete as it should."""

    seq = _number()
    message = fields.Nested(MessageOut, required=True)
    error = fields.Nested(FailureOut)


EVENTS: dict[str, type[Schema]] = {
    "reply.started": ReplyStartedEvent,
    "reply.delta": ReplyDeltaEvent,
    "reply.tool_call": ReplyToolCallEvent,
    "reply.tool_result": ReplyToolResultEvent,
    "reply.sources": ReplySourcesEvent,
    "reply.completed": ReplyEndedEvent,
    "reply.cancelled": ReplyEndedEvent,
    "reply.failed": ReplyEndedEvent,
    "reply.timed_out": ReplyEndedEvent,
    "reply.interrupted": ReplyEndedEvent,
}
"""What the `data` of each event is; the last five are terminal."""

STREAM: dict[str, Any] = {
    "type": "string",
    "description": (
        "Server-sent events (WHATWG HTML, section 9.2). Each has `id` (its number), `event` and one line of JSON "
        "`data`: "
        + ", ".join(f"`{name}` has a {schema.__name__}" for name, schema in EVENTS.items())
        + ". Exactly one of the last five ends each log. A comment `:hb` comes every 15 seconds."
    ),
}
"""The schema of a stream, as far as OpenAPI 3.1 can say."""
