"""`/v1/conversations`: conversations and what was said in them, as items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

from flask import Response
from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate

from application.conversations.adding import AddMessages
from application.conversations.commands import ChangeConversation, DeleteConversation, StartConversation
from application.documents import conversation_document, message_document
from application.facade import Application
from application.ports.persistence import Document, Once
from application.ports.queries import MessagePage
from domain.errors import Invalid, NotFound
from domain.messages import NewMessage
from entrypoints.http.auth import principal
from entrypoints.http.once import creating, idempotent
from entrypoints.http.openai.items import ItemListOut, ItemListQuery, ItemOut, item, message_of, page
from entrypoints.http.openai.talk import Said, role_of
from entrypoints.http.openai.wire import answer, dressed, seconds, undressed
from entrypoints.http.refusals import refuses
from entrypoints.http.schemas import Request, metadata_field

_AT_ONCE = 20
"""Items that one request adds at most, as at OpenAI."""


class OpenAIConversationBody(Request):
    """A new conversation, and what was said in it before."""

    metadata = fields.Dict(keys=fields.String(), load_default=None, allow_none=True)
    items = fields.List(fields.Nested(Said), load_default=None, allow_none=True, validate=validate.Length(0, _AT_ONCE))


class OpenAIConversationChanges(Request):
    """What to change of a conversation."""

    metadata = metadata_field()


class ItemsBody(Request):
    """What was said elsewhere."""

    items = fields.List(fields.Nested(Said), required=True, validate=validate.Length(1, _AT_ONCE))


class OpenAIConversationOut(Schema):
    """A conversation without its items."""

    id = fields.String(required=True)
    object = fields.String(required=True, validate=validate.Equal("conversation"))
    created_at = fields.Integer(required=True)
    metadata = fields.Dict(required=True)


class OpenAIDeletedOut(Schema):
    """A conversation that was deleted."""

    id = fields.String(required=True)
    object = fields.String(required=True, validate=validate.Equal("conversation.deleted"))
    deleted = fields.Boolean(required=True)


def blueprint(app: Application) -> Blueprint:
    """The routes of conversations and their items, over `app`."""
    routes = Blueprint(
        "openai_conversations", __name__, url_prefix="/conversations", description="OpenAI's wire: conversations."
    )

    @routes.post("")
    @idempotent(routes)
    @routes.arguments(OpenAIConversationBody())
    @routes.response(200, OpenAIConversationOut())
    def create_conversation(body: dict[str, Any]) -> Response:
        """Start a conversation."""
        said = _said(body["items"] or ())
        start = StartConversation(principal=principal(), metadata=body["metadata"] or {}, messages=said)

        def post(once: Once | None) -> Document:
            with _naming():
                return conversation_document(app.conversations.start(replace(start, once=once)))

        return answer(_conversation(creating(app, post)))

    @routes.get("/<string:conversation>")
    @refuses("conversation_not_found", "forbidden")
    @routes.response(200, OpenAIConversationOut())
    def retrieve_conversation(conversation: str) -> Response:
        """Read a conversation."""
        return answer(_conversation(app.read.conversation(_id(conversation), principal())))

    @routes.post("/<string:conversation>")
    @refuses("conversation_not_found", "forbidden")
    @routes.arguments(OpenAIConversationChanges())
    @routes.response(200, OpenAIConversationOut())
    def update_conversation(body: dict[str, Any], conversation: str) -> Response:
        """Give a conversation other metadata."""
        change = ChangeConversation(
            principal=principal(), conversation_id=_id(conversation), metadata=body.get("metadata")
        )
        return answer(_conversation(conversation_document(app.conversations.change(change))))

    @routes.delete("/<string:conversation>")
    @refuses("conversation_not_found", "forbidden")
    @routes.response(200, OpenAIDeletedOut())
    def remove_conversation(conversation: str) -> Response:
        """Delete a conversation; at `/api/v1` it can be restored."""
        gone = DeleteConversation(principal=principal(), conversation_id=_id(conversation))
        app.conversations.delete(gone)
        return answer({"id": dressed("conv", gone.conversation_id), "object": "conversation.deleted", "deleted": True})

    @routes.get("/<string:conversation>/items")
    @refuses("conversation_not_found", "item_not_found", "forbidden")
    @routes.arguments(ItemListQuery(), location="query")
    @routes.response(200, ItemListOut())
    def list_items(query: dict[str, Any], conversation: str) -> Response:
        """List what was said, the newest first unless it is asked for otherwise."""
        conversation_id, limit = _id(conversation), query["limit"]
        descending = query["order"] == "desc"
        found = app.read.messages(conversation_id, principal(), _page(app, conversation_id, query, limit))["items"]
        beyond = found[-1]["position"] if found else 0
        side = {"before": beyond} if descending else {"after": beyond}
        rest = MessagePage(limit=1, descending=descending, **side) if len(found) == limit else None
        has_more = rest is not None and bool(app.read.messages(conversation_id, principal(), rest)["items"])
        return answer(page([item(message) for message in found], has_more=has_more))

    @routes.post("/<string:conversation>/items")
    @refuses("conversation_not_found", "forbidden", "reply_in_progress")
    @routes.arguments(ItemsBody())
    @routes.response(200, ItemListOut())
    def create_items(body: dict[str, Any], conversation: str) -> Response:
        """Add what was said elsewhere; nobody answers it."""
        adding = AddMessages(principal=principal(), conversation_id=_id(conversation), messages=_said(body["items"]))
        with _naming():
            added = app.conversations.add_messages(adding)
        return answer(page([item(message_document(message)) for message in added], has_more=False))

    @routes.get("/<string:conversation>/items/<string:message>")
    @refuses("conversation_not_found", "item_not_found", "forbidden")
    @routes.response(200, ItemOut())
    def get_item(conversation: str, message: str) -> Response:
        """Read one item."""
        return answer(item(_message(app, _id(conversation), message)))

    return routes


def _id(conversation: str) -> UUID:
    return undressed("conversation", "conv", conversation)


def _said(items: Sequence[dict[str, Any]]) -> Sequence[NewMessage]:
    return [NewMessage(role=role_of(each), content=each["content"] or "") for each in items]


@contextmanager
def _naming() -> Iterator[None]:
    """What is wrong with a message is told of its item."""
    try:
        yield
    except Invalid as wrong:
        raise wrong.renamed({name: name.replace("messages", "items", 1) for name in wrong.fields}) from None


def _conversation(document: Document) -> Document:
    return {
        "id": dressed("conv", document["id"]),
        "object": "conversation",
        "created_at": seconds(document["created_at"]),
        "metadata": document["metadata"],
    }


def _message(app: Application, conversation_id: UUID, message: str) -> Document:
    """A message of a conversation, on whatever branch. Raises NotFound, or Forbidden for somebody else's."""
    app.read.conversation(conversation_id, principal())
    message_id = undressed("item", "msg", message)
    found = message_of(app, message_id)
    if str(found["conversation_id"]) != str(conversation_id):
        raise NotFound("item", message_id)
    return found


def _page(app: Application, conversation_id: UUID, query: dict[str, Any], limit: int) -> MessagePage:
    descending = query["order"] == "desc"
    if query["after"] is None:
        return MessagePage(limit=limit, after=None if descending else 0, descending=descending)
    position = _message(app, conversation_id, query["after"])["position"]
    side = {"before": position} if descending else {"after": position}
    return MessagePage(limit=limit, descending=descending, **side)
