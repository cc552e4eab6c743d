"""`/ws/chat/`: a client's sitting over a WebSocket, and all of those of a process."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import orjson

from application.documents import asked_document, session_document
from application.facade import Application
from application.ports.persistence import Document, Once
from application.ports.queries import MessagePage
from application.ports.runtime import MISSED, VerifiedToken
from application.sessions.asking import AskInSession
from application.sessions.commands import ChangeContext, InSession, OpenSession, RateSession, ResetSession
from domain.errors import Conflict, Forbidden, Invalid, NotFound, ParleyError, Unavailable
from domain.limits import Limits
from domain.rate_limits import Action
from domain.sessions import Session
from entrypoints.websocket.connection import UNSUPPORTED_DATA, Closed, Connection
from entrypoints.websocket.following import Following
from entrypoints.websocket.frames import frame_id, parsed, refusal, written

log = logging.getLogger(__name__)

TOKEN_ENDED, NO_SESSION = 4401, 4408
"""Close codes of our own: the token is no longer good; no session was begun in time."""

_NOTES = 64
"""Notes that may wait for a socket whose client is slow; older ones are forgotten."""

_TYPING_AGAIN = 2.0
"""Seconds after which it is told again that somebody types who did before."""


class ChatSockets:
    """The chats of this process. `look` is to be called every few seconds.

    A session is over after `idle` seconds without a sign of life, and a socket `without_session` has so many to begin
    one.
    """

    def __init__(self, app: Application, limits: Limits, idle: float, *, without_session: float = 30.0) -> None:
        self._app = app
        self._limits = limits
        self._idle = idle
        self._without_session = without_session
        self._open: set[Chat] = set()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._open)

    def converse(self, connection: Connection, known: VerifiedToken) -> None:
        """Chat over a connection with whom a token speaks for, until it ends."""
        chat = Chat(self._app, self._limits, connection, known)
        self._open.add(chat)
        try:
            chat.run()
        finally:
            self._open.discard(chat)
            chat.end()

    def look(self) -> None:
        """Send away who may not stay, and keep the sessions of those who are there."""
        chats = list(self._open)
        for chat in chats:
            chat.close_if_due(self._without_session)
        for chat in chats:
            try:
                chat.keep_session(touch_after=self._idle / 3)
            except Unavailable:
                return  # Whoever comes next would wait for nothing too, and nobody be sent away meanwhile.
            except Exception:
                log.exception("a session could not be kept")


class Chat:
    """One client. What it sends is taken in order by one thread, and answered; what others do is told meanwhile."""

    def __init__(self, app: Application, limits: Limits, connection: Connection, known: VerifiedToken) -> None:
        self._app = app
        self._limits = limits
        self._connection = connection
        self._known = known
        self._principal = known.principal
        self._id = str(uuid4())
        self._session: Session | None = None
        self._without_session_since = time.monotonic()
        self._touched_at = 0.0
        self._may_have_missed = False
        self._place = ExitStack()  # the subscriptions of the session
        self._conversations: set[UUID] = set()  # whose topics are subscribed to
        self._turn = threading.Lock()  # held while a frame or a note is taken: one does not overtake the other
        # One more than may be written at once: one that was resumed and has ended.
        self._following = Following(app, known.principal, limits.live_replies + 1, self._say)
        self._notes: deque[tuple[Session | None, Mapping[str, Any]]] = deque(maxlen=_NOTES)
        self._noting = threading.Lock()
        self._is_noting = False
        self._typing = (False, 0.0)
        self._takes: dict[str, Callable[[dict[str, Any]], None]] = {
            "session_init": self._session_init,
            "message": self._message,
            "typing": self._typing_frame,
            "stop": self._stop,
            "resume": self._resume,
            "context": self._context,
            "reset": self._reset,
            "session_close": self._session_close,
            "ping": self._ping,
        }

    def run(self) -> None:
        """Welcome the client, and take its frames until it goes; raises Closed."""
        self._say(
            "welcome",
            message="Welcome. Begin a session with session_init.",
            principal={"kind": self._principal.kind, "id": self._principal.id},
            limits={"message": self._limits.socket_message, "recent": self._limits.recent},
        )
        while True:
            text = self._connection.receive()
            if isinstance(text, bytes):
                self._connection.close(UNSUPPORTED_DATA, "Frames are JSON texts.")
                continue
            try:
                frame = parsed(text)
                with self._turn:
                    self._takes[frame["type"]](frame)
            except ParleyError as refused:
                self._app.telemetry.metrics.count("errors_total", code=refused.slug)
                self._connection.send(refusal(refused, frame_id(text)))

    def end(self) -> None:
        """Hear and tell of nothing any more."""
        with self._turn:  # Else a note that is just being told might subscribe to something.
            self._leave()

    def _leave(self) -> None:
        self._session = None
        self._without_session_since = time.monotonic()
        self._following.leave()
        self._conversations.clear()
        self._place.close()

    def close_if_due(self, without_session: float) -> None:
        """Close with a token that has expired, or when there is no session for too long; returns at once."""
        if datetime.now(UTC) >= self._known.expires_at:
            self._close(TOKEN_ENDED, "The token has expired. Come back with a new one.")
        elif self._session is None and time.monotonic() >= self._without_session_since + without_session:
            self._close(NO_SESSION, f"Begin a session within {without_session:g} seconds.")

    def keep_session(self, *, touch_after: float) -> None:
        """Keep the session from expiring, and tell of what may have been missed; raises Unavailable."""
        session, now = self._session, time.monotonic()
        if session is None or not (self._may_have_missed or now >= self._touched_at + touch_after):
            return
        missed, self._may_have_missed = self._may_have_missed, False
        try:
            kept = self._app.sessions.touch(InSession(principal=self._principal, session_id=session.id))
            _, live = self._recent(kept) if missed else ([], None)
        except (Conflict, Forbidden, NotFound) as over:
            self._heard(session, {"closed": "closed" if over.slug == "session_closed" else "expired"})
            return
        except Unavailable:
            self._may_have_missed = missed
            raise
        self._touched_at = now
        if live is not None:
            self._heard(session, {"reply_id": str(live)})

    # Frames

    def _session_init(self, frame: dict[str, Any]) -> None:
        if frame["session_id"] is not None:
            if frame["room_id"] is not None or frame["conversation_id"] is not None or frame["fresh"]:
                raise Invalid({"session_id": "Name a session, or a place for one, not both."})
            known = InSession(principal=self._principal, session_id=frame["session_id"])
            session = self._app.sessions.touch(known)
            if frame["context"]:
                session = self._app.sessions.change_context(
                    ChangeContext(principal=self._principal, session_id=session.id, context=frame["context"])
                )
        else:
            session, _ = self._app.sessions.open(
                OpenSession(
                    principal=self._principal,
                    room_id=frame["room_id"],
                    conversation_id=frame["conversation_id"],
                    agent=frame["agent"],
                    context=frame["context"],
                    metadata=frame["metadata"],
                    fresh=frame["fresh"],
                )
            )
        self._sit_down(session)
        history, live = self._recent(session)
        self._say(
            "session_ready",
            id=frame["id"],
            session=session_document(session, datetime.now(UTC)),
            history=history,
            live_reply_id=live,
        )
        resume = frame["resume"]
        if live is not None and (resume is None or resume["reply_id"] != live):
            self._following.follow(live, -1)
        if resume is not None:  # Last, for it may be refused.
            self._go_on(resume)

    def _message(self, frame: dict[str, Any]) -> None:
        session = self._sitting()
        question = AskInSession(
            principal=self._principal,
            session_id=session.id,
            content=frame["content"],
            agent=frame["agent"],
            on_conflict=frame["on_conflict"],
            at_most=self._limits.socket_message,
            once=self._once(frame),
        )

        def ask() -> Document:
            with self._app.rates.spending(self._principal, Action.ASK, Action.SOCKET_MESSAGE):
                return asked_document(*self._app.sessions.ask(question))

        try:
            asked, _ = self._app.idempotency(question.once, ask)
        except Invalid as invalid:
            raise invalid.renamed({"Idempotency-Key": "key"}) from None
        self._touched_at = time.monotonic()
        reply_id = UUID(str(asked["reply"]["id"]))
        self._hear_of(UUID(str(asked["reply"]["conversation_id"])))
        self._say("accepted", id=frame["id"], **asked)
        if not self._following.knows(reply_id):  # Else it was asked again, with its key.
            self._following.follow(reply_id, -1)

    def _typing_frame(self, frame: dict[str, Any]) -> None:
        session, now = self._sitting(), time.monotonic()
        was_typing, told_at = self._typing
        if frame["is_typing"] != was_typing or now >= told_at + _TYPING_AGAIN:
            self._typing = (frame["is_typing"], now)
            self._app.topics.publish(session.id, {"typing": frame["is_typing"], "by": self._id})

    def _stop(self, frame: dict[str, Any]) -> None:
        stopped = self._app.sessions.stop(InSession(principal=self._principal, session_id=self._sitting().id))
        self._say("stopped", id=frame["id"], reply=stopped)

    def _resume(self, frame: dict[str, Any]) -> None:
        self._sitting()
        self._go_on(frame)

    def _context(self, frame: dict[str, Any]) -> None:
        change = ChangeContext(principal=self._principal, session_id=self._sitting().id, context=frame["context"])
        session = self._app.sessions.change_context(change)
        self._say("context_changed", id=frame["id"], context=session.context)

    def _reset(self, frame: dict[str, Any]) -> None:
        wish = ResetSession(principal=self._principal, session_id=self._sitting().id, agent=frame["agent"])
        self._app.sessions.reset(wish)
        self._say("session_reset", id=frame["id"], agent=frame["agent"])

    def _session_close(self, frame: dict[str, Any]) -> None:
        mine = InSession(principal=self._principal, session_id=self._sitting().id)
        if frame["rating"] is not None:
            rating = RateSession(
                principal=self._principal, session_id=mine.session_id, rating=frame["rating"], comment=frame["comment"]
            )
            self._app.sessions.rate(rating)
        closed = self._app.sessions.close(mine)
        self._leave()
        self._say("session_closed", id=frame["id"], reason=closed.close_reason)

    def _ping(self, frame: dict[str, Any]) -> None:
        self._say("pong", id=frame["id"])

    # Notes of what others do

    def _heard(self, sitting: Session | None, note: Mapping[str, Any]) -> None:
        """Take down a note for a session; may be called by anybody's thread, and returns at once."""
        if note == MISSED:
            self._may_have_missed = True  # Looked at one after the other: it happens to all sockets at once.
            return
        self._notes.append((sitting, note))
        with self._noting:
            if self._is_noting:
                return
            self._is_noting = True
        threading.Thread(target=self._tell_notes, name="chat-notes", daemon=True).start()

    def _tell_notes(self) -> None:
        while True:
            with self._noting:
                if not self._notes:
                    self._is_noting = False
                    return
                sitting, note = self._notes.popleft()
            try:
                with self._turn:
                    if sitting is not None and sitting is self._session:  # Else it has left that one meanwhile.
                        self._tell(note)
            except (Closed, NotFound):
                pass  # Nobody is there to be told any more, or nothing to be told of.
            except Exception as failure:
                log.warning("a socket could not be told of something: %s", failure)

    def _tell(self, note: Mapping[str, Any]) -> None:
        match note:
            case {"reply_id": str(reply)}:
                self._tell_of_reply(UUID(reply))
            case {"typing": bool(is_typing), "by": by} if by != self._id:
                self._say("typing", is_typing=is_typing)
            case {"history_from": int(position), "conversation_id": conversation}:
                self._say("history_changed", conversation_id=conversation, from_position=position)
            case {"closed": reason}:
                self._leave()
                self._say("session_closed", id=None, reason=reason)
            case _:
                pass

    def _tell_of_reply(self, reply_id: UUID) -> None:
        """Somebody has asked where the session speaks: by another socket, or without one."""
        if self._following.knows(reply_id):
            return
        reply = self._app.read.reply(reply_id, self._principal)
        conversation = UUID(str(reply["conversation_id"]))
        self._hear_of(conversation)
        before = MessagePage(before=reply["position"], limit=1)
        for question in self._app.read.messages(conversation, self._principal, before)["items"]:
            self._say("message", message=question, reply_id=reply_id)
        self._following.follow(reply_id, -1)

    # Where the client is

    def _sit_down(self, session: Session) -> None:
        self._leave()
        self._session = session
        self._touched_at = time.monotonic()
        self._listen(session.id)
        if session.conversation_id is not None:
            self._hear_of(session.conversation_id)

    def _hear_of(self, conversation_id: UUID) -> None:
        if conversation_id not in self._conversations:
            self._conversations.add(conversation_id)
            self._listen(conversation_id)

    def _listen(self, topic: UUID) -> None:
        """Hear the notes of a topic for as long as the session lasts."""
        self._place.enter_context(self._app.topics.subscribe(topic, partial(self._heard, self._session)))

    def _sitting(self) -> Session:
        if self._session is None:
            raise Conflict("session_required", "Begin a session with session_init first.")
        return self._session

    def _recent(self, session: Session) -> tuple[list[Document], UUID | None]:
        """The last messages, and the reply that is being written."""
        if session.conversation_id is not None:
            with suppress(NotFound):
                conversation = self._app.read.conversation(session.conversation_id, self._principal)
                page = MessagePage(limit=self._limits.recent)
                history = self._app.read.messages(session.conversation_id, self._principal, page)
                live = conversation["live_reply_id"]
                return history["items"], UUID(str(live)) if live is not None else None
        return [], None

    def _once(self, frame: dict[str, Any]) -> Once | None:
        """Also in another session, in which a client may come back, it is the same question."""
        if frame["key"] is None:
            return None
        wanted = orjson.dumps([frame["content"], frame["agent"], frame["on_conflict"]])
        return Once(self._principal.key, frame["key"], hashlib.sha256(wanted).hexdigest(), uuid4())

    def _go_on(self, resume: dict[str, Any]) -> None:
        """Tell of a reply from an event on; say so when that was its last."""
        if not self._following.follow(resume["reply_id"], resume["after"]):
            self._say("resumed", reply_id=resume["reply_id"], after=resume["after"])

    def _say(self, kind: str, **members: object) -> None:
        self._connection.send(written(kind, **members))

    def _close(self, code: int, reason: str) -> None:
        threading.Thread(target=self._connection.close, args=(code, reason), daemon=True).start()
