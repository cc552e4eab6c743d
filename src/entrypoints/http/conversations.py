"""`/conversations`: start, list, read, change, delete, restore, and the messages: read and ask."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, request
from flask_smorest import Blueprint

from application.conversations.asking import AskQuestion
from application.conversations.commands import (
    ChangeConversation,
    DeleteConversation,
    RestoreConversation,
    StartConversation,
)
from application.documents import (
    conversation_document,
    deletion_document,
    message_document,
    reply_document,
)
from application.facade import Application
from application.replies.watching import WatchReply
from domain.errors import ReplyTimeout
from domain.replies import ReplyStatus
from entrypoints.http import schemas
from entrypoints.http.answers import data
from entrypoints.http.auth import principal
from entrypoints.http.streaming import EventStreams


def blueprint(app: Application, streams: EventStreams) -> Blueprint:
    """The routes of conversations, over `app`."""
    routes = Blueprint(
        "conversations",
        __name__,
        url_prefix="/conversations",
        description="Threads of messages.",
    )

    @routes.post("")
    @routes.arguments(schemas.ConversationBody)
    @routes.response(201, schemas.enveloped(schemas.ConversationOut))
    def start_conversation(body: dict[str, Any]) -> Response:
        """Start a conversation, in a room or on its own."""
        conversation = app.conversations.start(StartConversation(principal=principal(), **body))
        where = {"Location": f"/api/v1/conversations/{conversation.id}"}
        return data(conversation_document(conversation), 201, where)

    @routes.get("")
    @routes.arguments(schemas.ConversationListQuery, location="query")
    @routes.response(200, schemas.paged(schemas.ConversationOut))
    def list_conversations(query: dict[str, Any]) -> Response:
        """List one's conversations."""
        return data(app.read.conversations(principal(), query["room_id"], schemas.page_of(query)))

    @routes.get("/<id:conversation_id>")
    @routes.response(200, schemas.enveloped(schemas.ConversationOut))
    def get_conversation(conversation_id: UUID) -> Response:
        """Read a conversation."""
        return data(app.read.conversation(conversation_id, principal()))

    @routes.patch("/<id:conversation_id>")
    @routes.arguments(schemas.ConversationChanges)
    @routes.response(200, schemas.enveloped(schemas.ConversationOut))
    def change_conversation(body: dict[str, Any], conversation_id: UUID) -> Response:
        """Give a conversation another title, agent or metadata."""
        change = ChangeConversation(principal=principal(), conversation_id=conversation_id, **body)
        return data(conversation_document(app.conversations.change(change)))

    @routes.delete("/<id:conversation_id>")
    @routes.response(200, schemas.enveloped(schemas.DeletionOut))
    def delete_conversation(conversation_id: UUID) -> Response:
        """Delete a conversation; it can be restored."""
        deletion = app.conversations.delete(DeleteConversation(principal=principal(), conversation_id=conversation_id))
        return data(deletion_document(deletion))

    @routes.post("/<id:conversation_id>/restore")
    @routes.response(200, schemas.enveloped(schemas.ConversationOut))
    def restore_conversation(conversation_id: UUID) -> Response:
        """Bring a deleted conversation back."""
        restore = RestoreConversation(principal=principal(), conversation_id=conversation_id)
        return data(conversation_document(app.conversations.restore(restore)))

    @routes.get("/<id:conversation_id>/messages")
    @routes.arguments(schemas.MessageListQuery, location="query")
    @routes.response(200, schemas.paged(schemas.MessageOut))
    def list_messages(query: dict[str, Any], conversation_id: UUID) -> Response:
        """Read a page of the history; without a cursor, the newest messages."""
        return data(app.read.messages(conversation_id, principal(), schemas.message_page_of(query)))

    @routes.post("/<id:conversation_id>/messages")
    @routes.arguments(schemas.AskQuery, location="query")
    @routes.arguments(schemas.QuestionBody)
    @routes.response(202, schemas.enveloped(schemas.AskedOut))
    @routes.alt_response(
        200,
        schema=schemas.enveloped(schemas.AskedOut),
        description="With `wait`: the finished reply.",
    )
    def ask(query: dict[str, Any], body: dict[str, Any], conversation_id: UUID) -> Response:
        """Ask a question.

        Answers 202 at once; with `Accept: text/event-stream` the reply's events; with `wait` the
        finished reply, or 408 with the text so far while the reply goes on.
        """
        question, reply = app.conversations.ask(
            AskQuestion(principal=principal(), conversation_id=conversation_id, **body)
        )
        where = {"Location": f"/api/v1/replies/{reply.id}"}
        watching = WatchReply(principal=principal(), reply_id=reply.id)
        if request.accept_mimetypes.best == "text/event-stream":
            return streams.response(app.replies.watch(watching), where)
        if query["wait"] is None:
            return data(
                {"message": message_document(question), "reply": reply_document(reply)},
                202,
                where,
            )
        finished = app.replies.watch.wait(watching, within=query["wait"])
        if ReplyStatus(finished["status"]).is_live:
            raise ReplyTimeout(
                f"The reply is not finished after {query['wait']} seconds. It goes on: fetch or watch it.",
                message=message_document(question),
                reply=finished,
            )
        return data({"message": message_document(question), "reply": finished}, 200, where)

    return routes
