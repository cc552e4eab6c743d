"""`/api/chat`: the wire of the AI SDK's `useChat`, over the same conversations as every other wire.

A chat's id is the client's: of one of its conversations, or what it calls one itself (`external_id`). Of the messages
that it sends with every request only the last one of the user's is taken; the history is Parley's own.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import orjson
from flask import Response, g, request
from flask_smorest import Blueprint
from marshmallow import EXCLUDE, Schema, fields, validate

from application.conversations.asking import AskQuestion, RegenerateReply
from application.conversations.branching import EditQuestion
from application.conversations.commands import StartConversation
from application.documents import asked_document, conversation_document, regenerated_document
from application.facade import Application
from application.ports.persistence import Document, Once
from application.ports.queries import MessagePage, Page
from application.ports.runtime import LogEntry
from application.replies.ending import CancelReply
from application.replies.watching import WatchReply
from domain.errors import Conflict, Forbidden, Invalid, NotFound
from domain.limits import Limits
from domain.messages import Role
from domain.rate_limits import Action
from domain.replies import ReplyStatus
from entrypoints.http import auth
from entrypoints.http.asking import REFUSED
from entrypoints.http.auth import principal
from entrypoints.http.once import creating, idempotent
from entrypoints.http.refusals import refuses
from entrypoints.http.schemas import Request
from entrypoints.http.streaming import STREAM_HEADERS, beating
from entrypoints.http.ui_messages import UIMessageStream, ui_message
from entrypoints.http.uploads import takes_up_to
from entrypoints.http.visitors import introduced

_LARGEST = 4 * 1024 * 1024
"""Bytes of a request: clients send the whole chat with every question, unless they are told not to."""

_ID = 200
"""Characters of a chat's id, and of a message's."""

_NAMED = re.compile(r"^[^/]*[^\s./][^/]*$")
"""What a chat may be called: it becomes part of a path."""

_CHAT = {
    "in": "path",
    "name": "chat",
    "required": True,
    "description": "A chat's id.",
    "schema": {"type": "string", "maxLength": _ID, "pattern": _NAMED.pattern},
}

_LOOKED_THROUGH = 10
"""Pages of a hundred messages in which a question is looked for by its client's id."""

_SUBMIT, _REGENERATE = "submit-message", "regenerate-message"

_LIVE = (ReplyStatus.QUEUED, ReplyStatus.RUNNING)

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
        metadata={"minLength": 1, "maxLength": _ID, "pattern": _NAMED.pattern, "description": "The chat's."},
    )
    messages = fields.List(
        fields.Dict(keys=fields.String()),
        required=True,
        validate=validate.Length(1),
        metadata={"description": "The chat as the client has it, each message a `UIMessage`. The last one is taken."},
    )
    trigger = fields.String(load_default=_SUBMIT, validate=validate.OneOf([_SUBMIT, _REGENERATE]))
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
        said = _said(body, limits)
        chat = _named(body["id"], limits)
        app.agents.named(body["agent"])
        introduced(app)
        return _Chat(app, chat, body, said).answer()

    @routes.get("/<chat>", parameters=[_CHAT])
    @routes.arguments(UIChatQuery(), location="query")
    @routes.response(200, UIChatOut())
    @refuses("validation_failed")
    @routes.doc(security=auth.OPTIONAL)
    def read_chat(query: dict[str, Any], chat: str) -> Response:
        """Read a chat as `useChat` takes it for its `messages`, the newest ones; without the answer in the making."""
        found = _conversation(app, _named(chat, limits)) if auth.recognise(app) else None
        if found is None:
            return _json({"id": chat, "conversation_id": None, "title": "", "live": False, "total": 0, "messages": []})
        page = MessagePage(limit=query["limit"], before=query["before"])
        messages = app.read.messages(_id(found), principal(), page)
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
        found = _conversation(app, _named(chat, limits)) if auth.recognise(app) else None
        reply = _last_reply(app, found, ended=query["ended"]) if found is not None else None
        return _streamed(app, reply) if reply is not None else Response(status=204)

    @routes.post("/<chat>/stop", parameters=[_CHAT])
    @routes.alt_response(204, description="It is stopped, or there was none.")
    @routes.alt_response(202, description="Not confirmed yet.")
    @refuses("forbidden", "validation_failed")
    def stop_chat(chat: str) -> Response:
        """Stop the answer that is being written, and keep its text."""
        found = _conversation(app, _named(chat, limits))
        live = found["live_reply_id"] if found is not None else None
        if live is None:
            return Response(status=204)
        reply = app.replies.cancel(CancelReply(principal=principal(), reply_id=UUID(str(live))))
        return Response(status=202 if ReplyStatus(reply["status"]).is_live else 204)

    return routes


@dataclass(frozen=True, slots=True)
class _Said:
    """The question at the end of a client's list: its number in there, what the client calls it, and its text.

    `after` is the message before it: with it a client that sends the same once more is known by.
    """

    number: int
    id: str | None
    text: str
    after: str


@dataclass(frozen=True, slots=True)
class _Question:
    """A question that Parley has, and what follows it in the history."""

    message: Document
    followed_by: Sequence[Document]


@dataclass(frozen=True, slots=True)
class _Chat:
    """One request for an answer."""

    app: Application
    chat: str
    body: Document
    said: _Said

    def answer(self) -> Response:
        """The stream of the answer that is wanted, which may be in the making already."""
        is_new = self.body["trigger"] == _SUBMIT and self.body["message_id"] is None
        conversation = None if is_new else _conversation(self.app, self.chat)
        question = self._question(conversation) if conversation is not None else None
        try:
            if conversation is None or question is None:
                return self._post(self._ask, self._once())
            if self.body["trigger"] == _REGENERATE:
                return self._anew(conversation, question)
            return self._edited(conversation, question)
        except Invalid as invalid:
            where = f"messages.{self.said.number}"
            raise invalid.renamed(
                {"content": f"{where}.parts", "metadata": f"{where}.id", "external_id": "id"}
            ) from None

    def _edited(self, conversation: Document, question: _Question) -> Response:
        """Another version; an edit that changes nothing is one that was sent once more."""
        if question.message["content"] == self.said.text.strip():
            reply = _reply_to(self.app, conversation, question)
            if reply is not None and reply["status"] in (*_LIVE, ReplyStatus.COMPLETED):
                return _streamed(self.app, reply)
        return self._post(self._edit(question))

    def _anew(self, conversation: Document, question: _Question) -> Response:
        """Another version of the last answer, or of an earlier one: then a new branch begins at its question."""
        reply = _reply_to(self.app, conversation, question)
        if reply is None or len(question.followed_by) > 1 or self.body["agent"] not in (None, reply["agent"]):
            return self._post(self._edit(question))
        if reply["status"] in _LIVE:
            return _streamed(self.app, reply)
        regenerate = RegenerateReply(principal=principal(), reply_id=UUID(str(reply["id"])))
        return self._post(
            lambda once: regenerated_document(self.app.replies.regenerate(replace(regenerate, once=once)))
        )

    def _post(self, act: Callable[[Once | None], Document], once: Once | None = None) -> Response:
        reply = creating(self.app, act, Action.ASK, unkeyed=once)["reply"]
        return _streamed(self.app, reply, is_new=not g.replayed)

    def _ask(self, once: Once | None) -> Document:
        conversation = _conversation(self.app, self.chat) or self._started()
        asking = AskQuestion(
            principal=principal(),
            conversation_id=_id(conversation),
            content=self.said.text,
            agent=self.body["agent"],
            metadata=self._noted,
            once=once,
        )
        return asked_document(*self.app.conversations.ask(asking))

    def _edit(self, question: _Question) -> Callable[[Once | None], Document]:
        edit = EditQuestion(
            principal=principal(),
            message_id=_id(question.message),
            content=self.said.text,
            agent=self.body["agent"],
            metadata=self._noted,
        )
        return lambda once: asked_document(*self.app.messages.edit(replace(edit, once=once)))

    def _started(self) -> Document:
        names = {name: self.body[name] for name in ("agent", "room_id", "project_id")}
        start = StartConversation(principal=principal(), external_id=self.chat, **names)
        try:
            return conversation_document(self.app.conversations.start(start))
        except Conflict as conflict:
            if conflict.slug != "external_id_taken":
                raise
            # Somebody was faster; or it was deleted, which the reader says.
            return self.app.read.conversation(UUID(str(conflict.details["conversation_id"])), principal())

    @property
    def _noted(self) -> Document:
        return {"client_id": self.said.id} if self.said.id is not None else {}

    def _once(self) -> Once | None:
        """Under which a question is asked once; pages that name their messages all the same may say other things."""
        if self.said.id is None:
            return None
        wanted = json.dumps([self.chat, self.said.id, self.said.text, self.said.after])
        digest = hashlib.sha256(wanted.encode()).hexdigest()
        return Once(principal().key, f"ai-sdk:{digest}", digest, uuid4())

    def _question(self, conversation: Document) -> _Question | None:
        """The question that is said to be there already; None for one that was never taken, to be asked now."""
        if self.said.id is None:
            return None
        followed_by: list[Document] = []
        for message in _from_the_end(self.app, _id(conversation)):
            names = (str(message["id"]), message["metadata"].get("client_id"))
            if message["role"] == Role.USER and self.said.id in names:
                return _Question(message, followed_by[::-1])
            followed_by.append(message)
        elsewhere = self._on_another_branch(conversation)
        return _Question(elsewhere, ()) if elsewhere is not None else None

    def _on_another_branch(self, conversation: Document) -> Document | None:
        message_id = _uuid(self.said.id or "")
        if message_id is None:
            return None
        try:
            versions = self.app.read.versions(message_id, principal(), Page(limit=100))["items"]
        except (NotFound, Forbidden):
            return None
        found = [each for each in versions if str(each["id"]) == str(message_id)]
        is_here = found and str(found[0]["conversation_id"]) == str(conversation["id"])
        return found[0] if is_here and found[0]["role"] == Role.USER else None


def _said(body: Document, limits: Limits) -> _Said:
    messages = body["messages"]
    number = len(messages) - 1
    if body["trigger"] == _REGENERATE:  # What follows the question is the answer that is not wanted.
        number = next((each for each in range(number, -1, -1) if messages[each].get("role") == "user"), number)
    message, where = messages[number], f"messages.{number}"
    if message.get("role") != "user":
        raise Invalid({f"{where}.role": "Must be user: what tools and answers say, Parley has from them."})
    parts = message.get("parts")
    texts = []
    for part_number, part in enumerate(parts if isinstance(parts, list) else ()):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "file":
            raise Invalid({f"{where}.parts.{part_number}": "Files are not taken: questions are text."})
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
    if not "".join(texts).strip():
        raise Invalid({f"{where}.parts": "Must hold a text, as parts of the type text."})
    said_id = message.get("id")
    if said_id is not None and not isinstance(said_id, str):
        raise Invalid({f"{where}.id": "Must be a string."})
    return _Said(
        number,
        limits.text(f"{where}.id", said_id, _ID) if said_id else None,
        limits.text(f"{where}.parts", "\n\n".join(texts), limits.message),
        str(messages[number - 1].get("id")) if number else "",
    )


def _named(chat: str, limits: Limits) -> str:
    """A chat's id, if its stream can be asked for by it."""
    named = limits.text("id", chat, _ID)
    if not _NAMED.match(named):
        raise Invalid({"id": "Must not hold a slash, nor dots alone: it is part of a path."})
    return named


def _conversation(app: Application, chat: str) -> Document | None:
    """The principal's conversation of this id, or that it calls so."""
    conversation_id = _uuid(chat)
    if conversation_id is not None:
        try:
            return app.read.conversation(conversation_id, principal())
        except (NotFound, Forbidden):
            pass  # Pages call their chats by UUIDs of their own, too.
    try:
        return app.read.conversation_called(chat, principal())
    except NotFound:
        return None


def _from_the_end(app: Application, conversation_id: UUID) -> Iterator[Document]:
    before = None
    for _ in range(_LOOKED_THROUGH):
        page = app.read.messages(conversation_id, principal(), MessagePage(limit=100, before=before))["items"]
        yield from reversed(page)
        if len(page) < 100:
            return
        before = page[0]["position"]


def _reply_to(app: Application, conversation: Document, question: _Question) -> Document | None:
    """The reply that answers a question, or has answered it; None for what was said elsewhere."""
    followed_by = question.followed_by
    if followed_by:
        is_answer = followed_by[0]["role"] == Role.ASSISTANT
        return _reply(app, followed_by[0]["id"]) if is_answer else None
    reply = _reply(app, conversation["live_reply_id"])
    is_its = reply is not None and reply["position"] == question.message["position"] + 1
    return reply if is_its else None


def _last_reply(app: Application, conversation: Document, *, ended: bool) -> Document | None:
    if conversation["live_reply_id"] is not None or not ended:
        return _reply(app, conversation["live_reply_id"])
    last = next(_from_the_end(app, _id(conversation)), None)
    return _reply(app, last["id"]) if last is not None and last["role"] == Role.ASSISTANT else None


def _reply(app: Application, reply_id: object) -> Document | None:
    try:
        return app.read.reply(UUID(str(reply_id)), principal()) if reply_id is not None else None
    except NotFound:
        return None


def _streamed(app: Application, reply: Document, *, is_new: bool = False) -> Response:
    """A reply's stream, from its beginning; `is_new` is what was made by this very request."""
    watching = WatchReply(principal=principal(), reply_id=_id(reply))
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


def _id(document: Document) -> UUID:
    return UUID(str(document["id"]))


def _uuid(text: str) -> UUID | None:
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text.lower() else None
