"""`/api/chat`: the wire of the AI SDK's `useChat`, over the same conversations as every other wire.

A chat's id is the client's: of one of its conversations, or what it calls one itself (`external_id`). Of the messages
that it sends with every request only the last one of the user's is taken; the history is Parley's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import orjson
from flask import Response, request
from flask_smorest import Blueprint
from marshmallow import EXCLUDE, Schema, fields, validate

from application.facade import Application
from application.ports.persistence import Document
from application.ports.queries import MessagePage
from application.ports.runtime import LogEntry
from application.replies.ending import CancelReply
from application.replies.watching import WatchReply
from domain.errors import Unauthenticated
from domain.limits import Limits
from domain.replies import ReplyStatus
from entrypoints.http import auth
from entrypoints.http.asking import REFUSED
from entrypoints.http.auth import principal
from entrypoints.http.once import idempotent
from entrypoints.http.refusals import refuses
from entrypoints.http.schemas import Request
from entrypoints.http.streaming import STREAM_HEADERS, beating
from entrypoints.http.ui_chats import (
    ID,
    NAMED,
    REGENERATE,
    SUBMIT,
    Wish,
    conversation_of,
    id_of,
    last_reply,
    named,
    said,
)
from entrypoints.http.ui_messages import UIMessageStream, ui_message
from entrypoints.http.uploads import takes_up_to
from entrypoints.http.visitors import introduced

_LARGEST = 4 * 1024 * 1024
"""Bytes of a request: clients send the whole chat with every question, unless they are told not to."""

_CHAT = {
    "in": "path",
    "name": "chat",
    "required": True,
    "description": "A chat's id.",
    "schema": {"type": "string", "maxLength": ID, "pattern": NAMED.pattern},
}

_REFUSED_ASKING = (*REFUSED[1:], "conversation_not_found", "room_not_found", "project_not_found")

_EXAMPLE = """\
data: {"type":"start","messageId":"018f3a1e-7c42-7d2b-9a55-3f0c8b1e6d13"}

data: {"type":"start-step"}

data: {"type":"text-start","id":"text-1"}

data: {"type":"text-delta","id":"text-1","delta":"You may return it within 30 days [1]."}

data: {"type":"text-end","id":"text-1"}

data: {"type":"finish-step"}

data: {"type":"finish","finishReason":"stop"}

data: [DONE]

"""

_STREAM = {
    "type": "string",
    "description": (
        "The AI SDK's UI message stream, version 1: server-sent events whose `data` is a part each, `start` first, "
        "`finish`, `abort` or `error` last, then `[DONE]`."
    ),
}


class UIChatBody(Schema):
    """A request of the AI SDK's. What else a page sends along is passed over, as the SDK does."""

    class Meta:
        """marshmallow's options."""

        unknown = EXCLUDE

    id = fields.String(
        required=True,
        metadata={"minLength": 1, "maxLength": ID, "pattern": NAMED.pattern, "description": "The chat's."},
    )
    messages = fields.List(
        fields.Dict(keys=fields.String()),
        required=True,
        validate=validate.Length(1),
        metadata={"description": "The chat as the client has it, each message a `UIMessage`. The last one is taken."},
    )
    trigger = fields.String(load_default=SUBMIT, validate=validate.OneOf([SUBMIT, REGENERATE]))
    message_id = fields.String(
        data_key="messageId",
        load_default=None,
        allow_none=True,
        metadata={"description": "With `submit-message`: it is another version of this question."},
    )
    agent = fields.String(load_default=None, allow_none=True, metadata={"description": "Who answers."})
    room_id = fields.UUID(
        load_default=None, allow_none=True, metadata={"description": "Where the chat is to be, if it is new."}
    )
    project_id = fields.UUID(
        load_default=None, allow_none=True, metadata={"description": "What the chat is about, if it is new."}
    )


class UIMessageOut(Schema):
    """A message as the AI SDK has it, a `UIMessage`."""

    id = fields.UUID(required=True)
    role = fields.String(required=True, validate=validate.OneOf(["user", "assistant", "system"]))
    metadata = fields.Dict(keys=fields.String(), required=True)
    parts = fields.List(fields.Dict(keys=fields.String()), required=True)


class UIChatOut(Schema):
    """A chat; one in which nothing was said yet is empty. `live` tells whether an answer is being written."""

    id = fields.String(required=True)
    conversation_id = fields.UUID(required=True, allow_none=True)
    title = fields.String(required=True)
    live = fields.Boolean(required=True)
    total = fields.Integer(required=True, metadata={"minimum": 0})
    messages = fields.List(fields.Nested(UIMessageOut), required=True)


class UIChatQuery(Request):
    """Which part of a chat: its newest messages, or those before a position."""

    limit = fields.Integer(load_default=100, validate=validate.Range(1, 100))
    before = fields.Integer(load_default=None, validate=validate.Range(1, 2_000_000_000))


class ResumeQuery(Request):
    """Which answer to resume."""

    ended = fields.Boolean(
        load_default=False, metadata={"description": "Replay the last answer also when it has ended by now."}
    )


def blueprint(app: Application, limits: Limits) -> Blueprint:
    """The routes of the AI SDK, over `app`."""
    routes = Blueprint("ai_sdk", __name__, description="The AI SDK's `useChat`.")
    routes.after_request(_as_text)
    routes.errors_as_text = True  # type: ignore[attr-defined] # for the document

    @routes.post("")
    @refuses("forbidden", *_REFUSED_ASKING)
    @takes_up_to(_LARGEST)
    @idempotent(routes)
    @routes.doc(security=auth.OPTIONAL)
    @routes.arguments(UIChatBody())
    @routes.alt_response(
        200,
        schema=_STREAM,
        example=_EXAMPLE,
        content_type="text/event-stream",
        description="The answer.",
        headers=auth.SETS_COOKIE,
    )
    def send_chat(body: dict[str, Any]) -> Response:
        """Ask, edit a question (`messageId`) or have an answer written anew, and be streamed the answer.

        Whoever is not known yet becomes a visitor, whom a cookie remembers. The same question with the same message
        id is asked once.
        """
        wish = Wish(app, named(body["id"], limits), body, said(body, limits))
        app.agents.named(body["agent"])
        _introduce(app, body)
        reply, is_new = wish.grant()
        return _streamed(app, reply, is_new=is_new)

    @routes.get("/<chat>", parameters=[_CHAT])
    @routes.arguments(UIChatQuery(), location="query")
    @routes.response(200, UIChatOut())
    @refuses("validation_failed")
    @routes.doc(security=auth.OPTIONAL)
    def read_chat(query: dict[str, Any], chat: str) -> Response:
        """Read a chat as `useChat` takes it for its `messages`, the newest ones; without the answer in the making."""
        found = conversation_of(app, named(chat, limits)) if auth.recognise(app) else None
        if found is None:
            return _json({"id": chat, "conversation_id": None, "title": "", "live": False, "total": 0, "messages": []})
        page = MessagePage(limit=query["limit"], before=query["before"])
        messages = app.read.messages(id_of(found), principal(), page)
        return _json(
            {
                "id": chat,
                "conversation_id": found["id"],
                "title": found["title"],
                "live": found["live_reply_id"] is not None,
                "total": messages["total"],
                "messages": list(map(ui_message, messages["items"])),
            }
        )

    @routes.get("/<chat>/stream", parameters=[_CHAT])
    @routes.arguments(ResumeQuery(), location="query")
    @routes.alt_response(
        200,
        schema=_STREAM,
        example=_EXAMPLE,
        content_type="text/event-stream",
        description="The answer from its start.",
    )
    @routes.alt_response(204, description="No answer is being written.")
    @refuses("validation_failed")
    @routes.doc(security=auth.OPTIONAL)
    def resume_chat(query: dict[str, Any], chat: str) -> Response:
        """Watch the answer that is being written, from its beginning."""
        found = conversation_of(app, named(chat, limits)) if auth.recognise(app) else None
        reply = last_reply(app, found, ended=query["ended"]) if found is not None else None
        return _streamed(app, reply) if reply is not None else Response(status=204)

    @routes.post("/<chat>/stop", parameters=[_CHAT])
    @routes.alt_response(204, description="It is stopped, or there was none.")
    @routes.alt_response(202, description="Not confirmed yet.")
    @refuses("forbidden", "validation_failed")
    def stop_chat(chat: str) -> Response:
        """Stop the answer that is being written, and keep its text."""
        found = conversation_of(app, named(chat, limits))
        live = found["live_reply_id"] if found is not None else None
        if live is None:
            return Response(status=204)
        reply = app.replies.cancel(CancelReply(principal=principal(), reply_id=UUID(str(live))))
        return Response(status=202 if ReplyStatus(reply["status"]).is_live else 204)

    return routes


def _introduce(app: Application, body: Document) -> None:
    """Make whoever is not known a visitor; raises Unauthenticated for a chat that no new visitor could begin."""
    if auth.recognise(app):
        return
    project_id = body["project_id"]
    scope = app.read_knowledge.scope("", project_id=project_id, keys=None) if project_id is not None else None
    if body["room_id"] is not None or (scope is not None and not scope.projects):
        raise Unauthenticated("The room or the project is somebody's: send a token.")
    introduced(app)


def _streamed(app: Application, reply: Document, *, is_new: bool = False) -> Response:
    """A reply's stream, from its beginning; `is_new` is what was made by this very request."""
    watching = WatchReply(principal=principal(), reply_id=id_of(reply))
    batches = app.replies.watch(watching, known=reply if is_new else None)
    headers = {**STREAM_HEADERS, "x-vercel-ai-ui-message-stream": "v1"}
    return Response(_parts(reply, batches or iter(())), mimetype="text/event-stream", headers=headers)


def _parts(reply: Document, batches: Iterator[Sequence[LogEntry]]) -> Iterator[bytes]:
    stream = UIMessageStream(reply)
    yield stream.begin()
    yield from beating(batches, stream.tell)
    yield stream.end()


def _as_text(response: Response) -> Response:
    """Say what is wrong in plain words: the SDK has the page show the whole body. Who asks for JSON gets it."""
    if response.status_code >= 400 and response.is_json and "application/json" not in request.accept_mimetypes.values():
        response.set_data(response.get_json()["error"]["error_message"])
        response.mimetype = "text/plain"
    return response


def _json(document: Document) -> Response:
    return Response(orjson.dumps(document), mimetype="application/json")
