"""What a request of the AI SDK's wants, and how much of it Parley has already."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from flask import g

from application.conversations.asking import AskQuestion, RegenerateReply
from application.conversations.branching import EditQuestion
from application.conversations.commands import StartConversation
from application.documents import asked_document, conversation_document, regenerated_document
from application.facade import Application
from application.ports.persistence import Document, Once
from application.ports.queries import MessagePage, Page
from domain.errors import Conflict, Forbidden, Invalid, NotFound
from domain.limits import Limits
from domain.messages import Role
from domain.rate_limits import Action
from domain.replies import ReplyStatus
from entrypoints.http.auth import principal
from entrypoints.http.once import creating

SUBMIT, REGENERATE = "submit-message", "regenerate-message"
"""The triggers of a request."""

ID = 200
"""Characters of a chat's id, and of a message's."""

NAMED = re.compile(r"^[^/]*[^\s./][^/]*$")
"""What a chat may be called: it becomes part of a path."""

_LOOKED_THROUGH = 10
"""Pages of a hundred messages in which a question is looked for by its client's id."""

_LIVE = (ReplyStatus.QUEUED, ReplyStatus.RUNNING)


def named(chat: str, limits: Limits) -> str:
    """A chat's id, if its stream can be asked for by it."""
    stripped = limits.text("id", chat, ID)
    if not NAMED.match(stripped):
        raise Invalid({"id": "Must not hold a slash, nor dots alone: it is part of a path."})
    return stripped


def conversation_of(app: Application, chat: str) -> Document | None:
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


def last_reply(app: Application, conversation: Document, *, ended: bool) -> Document | None:
    """The reply that is being written; with `ended` the one that was written last."""
    if conversation["live_reply_id"] is not None or not ended:
        return _reply(app, conversation["live_reply_id"])
    last = next(_from_the_end(app, id_of(conversation)), None)
    return _reply(app, last["id"]) if last is not None and last["role"] == Role.ASSISTANT else None


@dataclass(frozen=True, slots=True)
class Said:
    """The question at the end of a client's list: its number in there, what the client calls it, and its text.

    `after` is the message before it: with it a client that sends the same once more is known by.
    """

    number: int
    id: str | None
    text: str
    after: str


@dataclass(frozen=True, slots=True)
class _Question:
    """A question that Parley has, and what follows it in the history; None for one on another branch."""

    message: Document
    followed_by: Sequence[Document] | None


@dataclass(frozen=True, slots=True)
class Wish:
    """A request for an answer: to a new question, to another version of one, or another answer."""

    app: Application
    chat: str
    body: Document
    said: Said

    def grant(self) -> tuple[Document, bool]:
        """The reply that answers it, and whether it was asked for by this very request.

        Raises what asking, editing and regenerating raise, in the words of this wire.
        """
        is_new = self.body["trigger"] == SUBMIT and self.body["message_id"] is None
        conversation = None if is_new else conversation_of(self.app, self.chat)
        question = self._question(conversation) if conversation is not None else None
        try:
            if conversation is None or question is None:
                return self._post(self._ask, self._once())
            if self.body["trigger"] == REGENERATE:
                return self._anew(conversation, question)
            return self._edited(conversation, question)
        except Invalid as invalid:
            where = f"messages.{self.said.number}"
            raise invalid.renamed(
                {"content": f"{where}.parts", "metadata": f"{where}.id", "external_id": "id"}
            ) from None

    def _edited(self, conversation: Document, question: _Question) -> tuple[Document, bool]:
        """Another version; an edit that changes nothing is one that was sent once more."""
        if question.message["content"] == self.said.text.strip():
            reply = _reply_to(self.app, conversation, question)
            if reply is not None and reply["status"] in (*_LIVE, ReplyStatus.COMPLETED):
                return reply, False
        return self._post(self._edit(question))

    def _anew(self, conversation: Document, question: _Question) -> tuple[Document, bool]:
        """Another version of the last answer, or of an earlier one: then a new branch begins at its question."""
        reply = _reply_to(self.app, conversation, question)
        is_last = question.followed_by is not None and len(question.followed_by) <= 1
        if reply is None or not is_last or self.body["agent"] not in (None, reply["agent"]):
            return self._post(self._edit(question))
        if reply["status"] in _LIVE:
            return reply, False
        regenerate = RegenerateReply(principal=principal(), reply_id=UUID(str(reply["id"])))
        return self._post(
            lambda once: regenerated_document(self.app.replies.regenerate(replace(regenerate, once=once)))
        )

    def _post(self, act: Callable[[Once | None], Document], once: Once | None = None) -> tuple[Document, bool]:
        reply = creating(self.app, act, Action.ASK, unkeyed=once)["reply"]
        return reply, not g.replayed

    def _ask(self, once: Once | None) -> Document:
        conversation = conversation_of(self.app, self.chat) or self._started()
        asking = AskQuestion(
            principal=principal(),
            conversation_id=id_of(conversation),
            content=self.said.text,
            agent=self.body["agent"],
            metadata=self._noted,
            once=once,
        )
        return asked_document(*self.app.conversations.ask(asking))

    def _edit(self, question: _Question) -> Callable[[Once | None], Document]:
        edit = EditQuestion(
            principal=principal(),
            message_id=id_of(question.message),
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
        for message in _from_the_end(self.app, id_of(conversation)):
            names = (str(message["id"]), message["metadata"].get("client_id"))
            if message["role"] == Role.USER and self.said.id in names:
                return _Question(message, followed_by[::-1])
            followed_by.append(message)
        elsewhere = self._on_another_branch(conversation)
        return _Question(elsewhere, None) if elsewhere is not None else None

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


def said(body: Document, limits: Limits) -> Said:
    """What the user says in a request; raises Invalid, naming the message and what of it is no good."""
    messages = body["messages"]
    number = len(messages) - 1
    if body["trigger"] == REGENERATE:  # What follows the question is the answer that is not wanted.
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
    before = messages[number - 1].get("id") if number else None
    return Said(
        number,
        limits.text(f"{where}.id", said_id, ID) if said_id else None,
        limits.text(f"{where}.parts", "\n\n".join(texts), limits.message),
        before if isinstance(before, str) else "",
    )


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
    if followed_by is None:
        return None
    if followed_by:
        is_answer = followed_by[0]["role"] == Role.ASSISTANT
        return _reply(app, followed_by[0]["id"]) if is_answer else None
    reply = _reply(app, conversation["live_reply_id"])
    is_its = reply is not None and reply["position"] == question.message["position"] + 1
    return reply if is_its else None


def _reply(app: Application, reply_id: object) -> Document | None:
    try:
        return app.read.reply(UUID(str(reply_id)), principal()) if reply_id is not None else None
    except NotFound:
        return None


def id_of(document: Document) -> UUID:
    """A document's id, which may be a text in it."""
    return UUID(str(document["id"]))


def _uuid(text: str) -> UUID | None:
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text.lower() else None
