"""Who may stay at `/ws/chat/` and for how long, and what is left of those who have gone. All parts are real."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from dependency_injector import providers

from adapters.in_process.runtime import now
from adapters.in_process.topics import InProcessTopics
from application.ports.persistence import UnitOfWork
from application.ports.runtime import MISSED, VerifiedToken
from application.sessions.asking import AskInSession
from application.sessions.commands import InSession
from domain.errors import Unavailable
from domain.limits import Limits
from entrypoints.container import Container
from entrypoints.settings import Settings
from entrypoints.websocket.chat import ChatSockets
from entrypoints.websocket.connection import Bounds, Connection, converse
from tests.builders import ALICE
from tests.fakes.model import ScriptedModel
from tests.integration.test_websocket_connection import CLOSE, TEXT, Peer
from tests.waiting import eventually

_IDLE = 1800.0


class Guest:
    """The client's end of a chat in this process."""

    def __init__(self, peer: Peer, thread: threading.Thread) -> None:
        self.peer = peer
        self._thread = thread

    def send(self, kind: str, **members: object) -> None:
        self.peer.send(TEXT, json.dumps({"type": kind, **members}).encode())

    def expect(self, kind: str) -> dict[str, Any]:
        """The next frame of a type."""
        while (frame := self.receive())["type"] != kind:
            pass
        return frame

    def receive(self) -> dict[str, Any]:
        opcode, payload = self.peer.receive()
        assert opcode == TEXT, payload
        frame: dict[str, Any] = json.loads(payload)
        return frame

    def ask(self, kind: str, answer: str, **members: object) -> dict[str, Any]:
        self.send(kind, **members)
        return self.expect(answer)

    def begin(self) -> UUID:
        """Sit down; the session's id."""
        return UUID(self.ask("session_init", "session_ready")["session"]["id"])

    def closed_with(self) -> int:
        """The code with which the server closes, which is answered."""
        while True:
            opcode, payload = self.peer.receive()
            if opcode == CLOSE:
                self.peer.send(CLOSE, payload)
                self.leave()
                return int.from_bytes(payload[:2], "big")

    def leave(self) -> None:
        """Go without a word, and see the server's end go too."""
        self.peer.socket.close()
        self._thread.join(15)
        assert not self._thread.is_alive()


class House:
    """The chats of a process, and its application over a fresh database. Replies are written when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> None:
        monkeypatch.setenv("PARLEY_DATA_DIR", str(data_dir))
        self.model = ScriptedModel()
        self.ahead = timedelta()
        container = Container(settings=Settings.from_environment())
        container.model.override(providers.Object(self.model))
        container.clock.override(providers.Object(lambda: now() + self.ahead))
        container.schema().upgrade()
        self.app = container.application()
        self.topics = InProcessTopics()

    def chats(self, *, idle: float = _IDLE, without_session: float = 30.0, deaf: bool = False) -> ChatSockets:
        """Chats that hear what others do, or to which all notes are lost."""
        app = replace(self.app, topics=self.topics) if deaf else self.app
        return ChatSockets(app, Limits(), idle, without_session=without_session)

    def answer(self, reply_id: UUID) -> None:
        """Write a reply."""
        self.model.say("An ", "answer.")
        self.model.finish()
        self.app.replies.generate(reply_id)


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> House:
    return House(monkeypatch, data_dir)


Enter = Callable[..., Guest]


@pytest.fixture
def enter() -> Iterator[Enter]:
    """Opens sockets to chats, with a token for so many seconds."""
    with ExitStack() as stack:

        def enter(chats: ChatSockets, *, token_for: float = 3600.0, bounds: Bounds | None = None) -> Guest:
            ours, theirs = socket.socketpair()
            known = VerifiedToken(ALICE, datetime.now(UTC) + timedelta(seconds=token_for))
            connection = Connection(ours, bounds or Bounds(close=1.0))

            def serve() -> None:
                with ours:
                    converse(connection, lambda connection: chats.converse(connection, known))

            thread = threading.Thread(target=serve, name="guest", daemon=True)
            thread.start()
            guest = Guest(stack.enter_context(Peer(theirs)), thread)
            guest.expect("welcome")
            return guest

        yield enter


class TestWhoMayStay:
    def test_who_begins_no_session_in_time_is_sent_away(self, house: House, enter: Enter) -> None:
        chats = house.chats(without_session=0.0)
        sitting, standing = enter(house.chats()), enter(chats)
        sitting.begin()

        chats.look()

        assert standing.closed_with() == 4408
        assert sitting.ask("ping", "pong")

    def test_who_has_time_left_to_begin_one_stays(self, house: House, enter: Enter) -> None:
        chats = house.chats(without_session=30.0)
        guest = enter(chats)

        chats.look()

        assert guest.ask("ping", "pong")

    def test_who_has_closed_the_session_has_to_begin_another_one(self, house: House, enter: Enter) -> None:
        chats = house.chats(without_session=0.0)
        guest = enter(chats)
        guest.begin()
        chats.look()
        guest.ask("session_close", "session_closed")

        chats.look()

        assert guest.closed_with() == 4408

    def test_a_token_that_has_ended_ends_the_socket(self, house: House, enter: Enter) -> None:
        chats = house.chats()
        staying, leaving = enter(chats), enter(chats, token_for=0.0)
        staying.begin(), leaving.begin()

        chats.look()

        assert leaving.closed_with() == 4401
        assert staying.ask("ping", "pong")

    def test_nobody_stays_because_the_database_is_away(self, house: House, enter: Enter) -> None:
        def away() -> UnitOfWork:
            raise Unavailable("The database does not answer.")

        touch = replace(house.app.sessions.touch, start_work=away)
        app = replace(house.app, sessions=replace(house.app.sessions, touch=touch))
        chats = ChatSockets(app, Limits(), idle=0.0, without_session=0.0)
        sitting, standing = enter(chats), enter(chats)
        sitting.begin()

        chats.look()

        assert standing.closed_with() == 4408
        assert sitting.ask("ping", "pong")


class TestSessions:
    def test_one_is_kept_from_expiring_by_its_socket(self, house: House, enter: Enter) -> None:
        chats = house.chats(idle=0.0)
        session = enter(chats).begin()
        before = house.app.read_sessions.session(session, ALICE)["expires_at"]

        house.ahead = timedelta(seconds=_IDLE - 1)
        chats.look()

        assert house.app.read_sessions.session(session, ALICE)["expires_at"] > before

    def test_it_is_not_written_with_every_look(self, house: House, enter: Enter) -> None:
        chats = house.chats()
        session = enter(chats).begin()
        before = house.app.read_sessions.session(session, ALICE)

        house.ahead = timedelta(seconds=60)
        chats.look()

        assert house.app.read_sessions.session(session, ALICE) == before

    def test_one_that_has_ended_unheard_is_told_of(self, house: House, enter: Enter) -> None:
        chats = house.chats(idle=0.0, deaf=True)
        closed, expired = enter(chats), enter(chats)
        session = closed.begin()
        house.app.sessions.close(InSession(principal=ALICE, session_id=session))

        chats.look()

        assert closed.expect("session_closed")["reason"] == "closed"
        expired.begin()
        house.ahead = timedelta(days=2)
        chats.look()
        assert expired.expect("session_closed")["reason"] == "expired"

    def test_a_question_that_was_missed_is_told_once_notes_come_again(self, house: House, enter: Enter) -> None:
        chats = house.chats(deaf=True)
        guest = enter(chats)
        session = guest.begin()
        question, reply = house.app.sessions.ask(
            AskInSession(principal=ALICE, session_id=session, content="Is anybody there?")
        )
        chats.look()
        guest.ask("ping", "pong")  # Nothing was told before it.

        house.topics.publish(session, MISSED)
        chats.look()

        told = guest.expect("message")
        assert (told["message"]["id"], told["reply_id"]) == (str(question.id), str(reply.id))
        house.answer(reply.id)
        assert guest.expect("reply.completed")["reply_id"] == str(reply.id)


class TestFollowing:
    def test_who_asks_the_same_again_with_its_key_is_not_told_twice(self, house: House, enter: Enter) -> None:
        guest = enter(house.chats())
        guest.begin()
        asked = [guest.ask("message", "accepted", content="Once", key="a key")["reply"]["id"] for _ in range(2)]

        house.answer(UUID(asked[0]))

        events = [guest.expect("reply.started"), guest.expect("reply.completed")]
        guest.send("ping")
        assert asked[0] == asked[1]
        assert events[0]["seq"] == 0
        assert guest.receive()["type"] == "pong"


class TestWhatIsLeft:
    def test_sockets_that_come_and_go_leave_no_chat_no_thread_and_no_subscription(
        self, house: House, enter: Enter
    ) -> None:
        chats = house.chats(deaf=True)
        before = threads()
        for _ in range(30):
            guests = [enter(chats) for _ in range(5)]
            for guest in guests[:4]:
                guest.begin()
            guests[0].send("typing")
            assert len(chats) == 5
            for guest in guests:
                guest.leave()

        assert len(chats) == 0
        assert house.topics._subscribers == {}
        eventually(lambda: threads() == before)

    def test_who_goes_in_the_middle_of_a_reply_leaves_no_follower(self, house: House, enter: Enter) -> None:
        chats = house.chats()
        before = threads()
        guests = [enter(chats) for _ in range(5)]
        for guest in guests:
            guest.begin()
        guests[0].ask("message", "accepted", content="Nobody writes this reply")
        for guest in guests[1:]:
            guest.expect("message")

        for guest in guests:
            guest.leave()

        eventually(lambda: threads() == before)


def threads() -> int:
    """How many of them are for sockets."""
    names = ("guest", "chat-")
    return sum(thread.name.startswith(names) for thread in threading.enumerate())
