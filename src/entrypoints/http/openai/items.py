"""What a conversation holds and a response gives, as items of OpenAI's wires."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from marshmallow import Schema, fields, validate

from application.facade import Application
from application.ports.persistence import Document
from application.ports.queries import Page
from application.replies.citing import place_of
from domain.errors import NotFound
from entrypoints.http.auth import principal
from entrypoints.http.openai.wire import dressed
from entrypoints.http.schemas import Request


class ItemOut(Schema):
    """A message. The parts of an answer are `output_text`, with the passages that it cites as `file_citation`s."""

    id = fields.String(required=True)
    type = fields.String(required=True, validate=validate.Equal("message"))
    role = fields.String(required=True, validate=validate.OneOf(["user", "assistant", "system"]))
    status = fields.String(required=True, validate=validate.OneOf(["in_progress", "completed", "incomplete"]))
    content = fields.List(fields.Dict(), required=True)


class ItemListOut(Schema):
    """Items, and whether there are more behind the last one."""

    object = fields.String(required=True, validate=validate.Equal("list"))
    data = fields.List(fields.Nested(ItemOut), required=True)
    first_id = fields.String(required=True, allow_none=True)
    last_id = fields.String(required=True, allow_none=True)
    has_more = fields.Boolean(required=True)


class ItemListQuery(Request):
    """Which of a list's items."""

    after = fields.String(load_default=None, metadata={"description": "The id of the item before the first one."})
    limit = fields.Integer(load_default=20, validate=validate.Range(1, 100))
    order = fields.String(load_default="desc", validate=validate.OneOf(["asc", "desc"]))
    include = fields.List(fields.String(), metadata={"description": "It has no effect: there is nothing more."})


def message_of(app: Application, message_id: UUID) -> Document:
    """A message, on whatever branch. Raises NotFound, or Forbidden for somebody else's."""
    try:
        versions = app.read.versions(message_id, principal(), Page(limit=100))["items"]
    except NotFound:
        raise NotFound("item", message_id) from None
    for each in versions:
        if str(each["id"]) == str(message_id):
            return dict(each)
    raise NotFound("item", message_id)


def item(message: Document) -> Document:
    """A message of a history."""
    if message["role"] == "assistant":
        return output_item(message["id"], message["content"], message["status"], message["sources"])
    return {
        "id": dressed("msg", message["id"]),
        "type": "message",
        "role": message["role"],
        "status": "completed",
        "content": [{"type": "input_text", "text": message["content"]}],
    }


def output_item(id: object, text: str, status: str, sources: Sequence[Document]) -> Document:
    """An answer, or as much as there is of it; one without a word has no content."""
    shown = {"completed": "completed", "queued": "in_progress", "running": "in_progress"}
    return {
        "id": dressed("msg", id),
        "type": "message",
        "role": "assistant",
        "status": shown.get(status, "incomplete"),
        "content": [output_text(text, citations(text, sources))] if text else [],
    }


def output_text(text: str, cited: Sequence[Document] = ()) -> Document:
    """The one part of an answer."""
    return {"type": "output_text", "text": text, "annotations": list(cited), "logprobs": []}


def citations(text: str, sources: Sequence[Document]) -> list[Document]:
    """The passages that a text cites, each where it does so first; a document is a file here, under its own id."""
    return [
        {
            "type": "file_citation",
            "file_id": str(source.get("document_id") or ""),
            "filename": source["document"],
            "index": _place(text, source["number"]),
        }
        for source in sources
    ]


def page(items: Sequence[Document], *, has_more: bool) -> dict[str, Any]:
    """A list of items."""
    first, last = (items[0]["id"], items[-1]["id"]) if items else (None, None)
    return {"object": "list", "data": list(items), "first_id": first, "last_id": last, "has_more": has_more}


def _place(text: str, number: int) -> int:
    place = place_of(text, number)
    return len(text) if place is None else place
