"""`/replies`: read, watch, cancel, regenerate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from flask import Response, request
from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate

from application.conversations.asking import RegenerateReply
from application.documents import regenerated_document
from application.facade import Application
from application.ports.persistence import Document, Once
from application.replies.ending import CancelReply
from application.replies.watching import WatchReply
from domain.errors import Invalid
from domain.rate_limits import Action
from domain.replies import ReplyStatus
from entrypoints.http.answers import data
from entrypoints.http.auth import principal
from entrypoints.http.events import STREAM
from entrypoints.http.once import creating, idempotent
from entrypoints.http.refusals import refuses
from entrypoints.http.schemas import (
    LOCATION,
    FailureOut,
    MessageOut,
    Request,
    SourceOut,
    ToolCallOut,
    choice_field,
    enveloped,
)
from entrypoints.http.streaming import event_stream

_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The `id` of the last event that was seen, as browsers send it.",
    "schema": {"type": "string", "pattern": r"^[ \t]*[0-9]{0,10}[ \t]*$"},
    "example": "7",
}


class EventsQuery(Request):
    """From where to watch; the Last-Event-ID header says the same."""

    after = fields.Integer(
        load_default=-1,
        validate=validate.Range(-1, 2_000_000_000),
        metadata={"description": "Only the events after this number."},
    )


class ReplyOut(Schema):
    """A reply; `text` is the last checkpoint while it is live, `message` there once it has ended."""

    id = fields.UUID(required=True)
    conversation_id = fields.UUID(required=True)
    position = fields.Integer(required=True, metadata={"minimum": 1})
    version = fields.Integer(required=True, metadata={"minimum": 1})
    agent = fields.String(required=True)
    project_id = fields.UUID(required=True, allow_none=True)
    status = choice_field(ReplyStatus, required=True)
    text = fields.String(required=True)
    sources = fields.List(fields.Nested(SourceOut), required=True)
    tool_calls = fields.List(fields.Nested(ToolCallOut), required=True)
    error = fields.Nested(FailureOut, required=True, allow_none=True)
    metadata = fields.Dict(required=True)
    cancel_requested = fields.Boolean(required=True)
    final_seq = fields.Integer(
        required=True, allow_none=True, metadata={"minimum": 0, "description": "The number of its last event."}
    )
    created_at = fields.DateTime(required=True)
    started_at = fields.DateTime(required=True, allow_none=True)
    finished_at = fields.DateTime(required=True, allow_none=True)
    message = fields.Nested(MessageOut, allow_none=True)


class RegeneratedOut(Schema):
    """The reply that is being written anew."""

    reply = fields.Nested(ReplyOut, required=True)


def blueprint(app: Application) -> Blueprint:
    """The routes of replies, over `app`."""
    routes = Blueprint("replies", __name__, url_prefix="/replies", description="Answers in the making.")

    @routes.get("/<id:reply_id>")
    @routes.response(200, enveloped(ReplyOut))
    def get_reply(reply_id: UUID) -> Response:
        """Read a reply."""
        return data(app.read.reply(reply_id, principal()))

    @routes.get("/<id:reply_id>/events")
    @routes.arguments(EventsQuery(), location="query")
    @routes.doc(parameters=[_LAST_EVENT_ID])
    @routes.response(200, STREAM, content_type="text/event-stream", description="Server-sent events.")
    @routes.alt_response(204, description="The watcher has seen the last event already.")
    def watch_reply(query: dict[str, Any], reply_id: UUID) -> Response:
        """Watch a reply from its beginning, or after the later of what `Last-Event-ID` and `after` name."""
        after = max(query["after"], _last_event_id())
        watching = WatchReply(principal=principal(), reply_id=reply_id, after=after)
        return event_stream(app.replies.watch(watching))

    @routes.post("/<id:reply_id>/cancel")
    @routes.response(200, enveloped(ReplyOut))
    @routes.alt_response(202, schema=enveloped(ReplyOut), description="Not confirmed yet.")
    def cancel_reply(reply_id: UUID) -> Response:
        """Stop a reply and keep its text; 202 when that takes over two seconds."""
        reply = app.replies.cancel(CancelReply(principal=principal(), reply_id=reply_id))
        return data(reply, 202 if ReplyStatus(reply["status"]).is_live else 200)

    @routes.post("/<id:reply_id>/regenerate")
    @refuses("not_last_answer", "reply_in_progress", "project_gone", "rate_limited", "too_many_live_replies")
    @idempotent(routes)
    @routes.response(202, enveloped(RegeneratedOut), headers=LOCATION)
    def regenerate_reply(reply_id: UUID) -> Response:
        """Have the last answer of a conversation written anew; the old one is kept as a version."""
        wish = RegenerateReply(principal=principal(), reply_id=reply_id)

        def regenerate(once: Once | None) -> Document:
            return regenerated_document(app.replies.regenerate(replace(wish, once=once)))

        document = creating(app, regenerate, Action.ASK)
        return data(document, 202, {"Location": f"/api/v1/replies/{document['reply']['id']}"})

    return routes


def _last_event_id() -> int:
    header = request.headers.get("Last-Event-ID", "").strip()
    if not header:
        return -1
    if not header.isascii() or not header.isdigit() or len(header) > 10:
        raise Invalid({"Last-Event-ID": "Must be the id of an event: a whole number from 0."})
    return int(header)
