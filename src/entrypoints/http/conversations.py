"""`/conversations`: start, list, read, change, delete, restore, and the messages: read and ask."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from flask import Response
from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate

from application.conversations.asking import AskQuestion
from application.conversations.commands import (
    ChangeConversation,
    DeleteConversation,
    RestoreConversation,
    StartConversation,
)
from application.documents import asked_document, conversation_document, deletion_document
from application.facade import Application
from entrypoints.http.answers import data
from entrypoints.http.asking import REFUSED, AskQuery, QuestionBody, answers, asked
from entrypoints.http.auth import principal
from entrypoints.http.once import creating, idempotent
from entrypoints.http.refusals import refuses
from entrypoints.http.schemas import (
    LOCATION,
    DeletionOut,
    LastMessage,
    ListQuery,
    MessageOut,
    Request,
    agent_field,
    count_field,
    deleted_field,
    deletion_field,
    enveloped,
    message_page_of,
    metadata_field,
    order_field,
    page_of,
    paged,
    text_field,
)


class ConversationListQuery(ListQuery):
    """Which page of the conversations, in which order; of one room if it is given."""

    room_id = fields.UUID(load_default=None, metadata={"description": "Only those in this room."})
    sort_by = fields.String(
        load_default="last_activity_at", validate=validate.OneOf(["last_activity_at", "created_at", "title"])
    )
    order = order_field("desc")
    deleted = deleted_field()


class MessageListQuery(Request):
    """Which page of a history: by position (`before`, `after`, both exclusive) or by offset."""

    limit = fields.Integer(
        load_default=20, validate=validate.Range(1, 100), metadata={"description": "How many at most."}
    )
    offset = fields.Integer(
        load_default=None,
        validate=validate.Range(0, 1_000_000_000),
        metadata={"description": "Skip so many, counted from the side that the order begins on."},
    )
    before = fields.Integer(
        load_default=None,
        validate=validate.Range(1, 2_000_000_000),
        metadata={"description": "Only positions below this one; the newest of them."},
    )
    after = fields.Integer(
        load_default=None,
        validate=validate.Range(0, 2_000_000_000),
        metadata={"description": "Only positions above this one; the oldest of them."},
    )
    order = order_field("asc")


class ConversationBody(Request):
    """A new conversation."""

    room_id = fields.UUID(load_default=None, allow_none=True)
    title = text_field(200, load_default=None, allow_none=True)
    agent = agent_field(load_default=None, allow_none=True)
    project_id = fields.UUID(load_default=None, allow_none=True)
    external_id = text_field(200, "What a client of another wire calls it.", load_default=None, allow_none=True)
    metadata = metadata_field()


class ConversationChanges(Request):
    """What to change of a conversation."""

    title = text_field(200)
    agent = agent_field()
    project_id = fields.UUID(allow_none=True)
    metadata = metadata_field()


class ConversationOut(Schema):
    """A conversation without its messages."""

    id = fields.UUID(required=True)
    room_id = fields.UUID(required=True, allow_none=True)
    title = fields.String(required=True)
    agent = fields.String(required=True)
    project_id = fields.UUID(required=True, allow_none=True)
    external_id = fields.String(required=True, allow_none=True)
    metadata = fields.Dict(required=True)
    message_count = count_field()
    last_message = fields.Nested(LastMessage, required=True, allow_none=True)
    live_reply_id = fields.UUID(required=True, allow_none=True)
    last_activity_at = fields.DateTime(required=True)
    created_at = fields.DateTime(required=True)
    updated_at = fields.DateTime(required=True)
    version = fields.Integer(required=True, metadata={"minimum": 1})
    deletion = deletion_field()


def blueprint(app: Application) -> Blueprint:
    """The routes of conversations, over `app`."""
    routes = Blueprint("conversations", __name__, url_prefix="/conversations", description="Threads of messages.")

    @routes.post("")
    @refuses("forbidden", "room_not_found", "project_not_found", "external_id_taken")
    @idempotent(routes)
    @routes.arguments(ConversationBody())
    @routes.response(201, enveloped(ConversationOut), headers=LOCATION)
    def start_conversation(body: dict[str, Any]) -> Response:
        """Start a conversation, in a room or on its own."""
        start = StartConversation(principal=principal(), **body)
        document = creating(app, lambda once: conversation_document(app.conversations.start(replace(start, once=once))))
        return data(document, 201, {"Location": f"/api/v1/conversations/{document['id']}"})

    @routes.get("")
    @refuses("forbidden", "room_not_found")
    @routes.arguments(ConversationListQuery(), location="query")
    @routes.response(200, paged(ConversationOut))
    def list_conversations(query: dict[str, Any]) -> Response:
        """List one's conversations."""
        if query["deleted"]:
            return data(app.read_deleted.conversations(principal(), query["room_id"], page_of(query)))
        return data(app.read.conversations(principal(), query["room_id"], page_of(query)))

    @routes.get("/<id:conversation_id>")
    @routes.response(200, enveloped(ConversationOut))
    def get_conversation(conversation_id: UUID) -> Response:
        """Read a conversation."""
        return data(app.read.conversation(conversation_id, principal()))

    @routes.patch("/<id:conversation_id>")
    @refuses("project_not_found")
    @routes.arguments(ConversationChanges())
    @routes.response(200, enveloped(ConversationOut))
    def change_conversation(body: dict[str, Any], conversation_id: UUID) -> Response:
        """Give a conversation another title, agent, project or metadata."""
        change = ChangeConversation(principal=principal(), conversation_id=conversation_id, **body)
        return data(conversation_document(app.conversations.change(change)))

    @routes.delete("/<id:conversation_id>")
    @routes.response(200, enveloped(DeletionOut))
    def delete_conversation(conversation_id: UUID) -> Response:
        """Delete a conversation; it can be restored."""
        deletion = app.conversations.delete(DeleteConversation(principal=principal(), conversation_id=conversation_id))
        return data(deletion_document(deletion))

    @routes.post("/<id:conversation_id>/restore")
    @refuses("not_deleted", "being_purged", "room_deleted")
    @routes.response(200, enveloped(ConversationOut))
    def restore_conversation(conversation_id: UUID) -> Response:
        """Bring a deleted conversation back."""
        restore = RestoreConversation(principal=principal(), conversation_id=conversation_id)
        return data(conversation_document(app.conversations.restore(restore)))

    @routes.get("/<id:conversation_id>/messages")
    @routes.arguments(MessageListQuery(), location="query")
    @routes.response(200, paged(MessageOut))
    def list_messages(query: dict[str, Any], conversation_id: UUID) -> Response:
        """Read a page of the history; without a cursor, the newest messages."""
        return data(app.read.messages(conversation_id, principal(), message_page_of(query)))

    @routes.post("/<id:conversation_id>/messages")
    @refuses(*REFUSED)
    @idempotent(routes)
    @routes.arguments(AskQuery(), location="query")
    @routes.arguments(QuestionBody())
    @answers(routes)
    def ask(query: dict[str, Any], body: dict[str, Any], conversation_id: UUID) -> Response:
        """Ask a question.

        Answers 202 at once; with `Accept: text/event-stream` the reply's events; with `wait` the
        finished reply, or 408 with the text so far while the reply goes on.
        """
        question = AskQuestion(principal=principal(), conversation_id=conversation_id, **body)
        return asked(
            app, lambda once: asked_document(*app.conversations.ask(replace(question, once=once))), body, query["wait"]
        )

    return routes
