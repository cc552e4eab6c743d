"""What every store of sessions must do, for those who write and for those who ask."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from adapters.in_process.runtime import new_id
from adapters.sql.engine import Database
from adapters.sql.sessions import SqlSessionReader
from application.ports.persistence import StartWork
from application.ports.queries import Page, SessionReader
from application.sessions.commands import CloseExpiredSessions, OpenSession, OpenSessionHandler
from application.visitors.commands import ClaimVisitor, ClaimVisitorHandler
from domain.agents import BUILT_IN
from domain.deletions import Subject
from domain.errors import Conflict, Forbidden, NotFound
from domain.identity import Principal, PrincipalKind
from domain.limits import Limits
from domain.sessions import CloseReason, Lifetime, Session
from tests.builders import ALICE, BOB, NOW, a_conversation, a_deletion, a_room, a_session, answered, asked, later
from tests.contracts.databases import OnPostgres, OnSqlite
from tests.waiting import eventually

_VISITOR = Principal(PrincipalKind.VISITOR, str(UUID(int=1)))


@dataclass
class Clock:
    time: datetime = field(default=NOW)

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(start_work: StartWork, session: Session) -> Session:
    with start_work() as work:
        work.sessions.add(session)
        work.commit()
    return session


class SessionsContract:
    @pytest.fixture
    def start_work(self) -> StartWork:
        raise NotImplementedError

    @pytest.fixture
    def reader(self, clock: Clock) -> SessionReader:
        raise NotImplementedError

    @pytest.fixture
    def open_session(self, start_work: StartWork, clock: Clock) -> OpenSessionHandler:
        return OpenSessionHandler(start_work, new_id, clock, BUILT_IN, Limits(sessions=3), Lifetime())

    def test_a_session_is_kept_as_it_is(self, start_work: StartWork) -> None:
        session = opened(start_work, a_session(agent="skills", context={"é": [1, None]}, metadata={"m": True}))

        with start_work() as work:
            found = work.sessions.get(session.id, for_=ALICE)

        assert (found.agent, found.context, found.metadata) == ("skills", {"é": [1, None]}, {"m": True})
        assert (found.created_at, found.ends_at) == (NOW, NOW + timedelta(hours=24))

    def test_a_session_is_its_principals_own(self, start_work: StartWork, reader: SessionReader) -> None:
        session = opened(start_work, a_session())

        with start_work() as work, pytest.raises(Forbidden):
            work.sessions.get(session.id, for_=BOB)
        with start_work() as work, pytest.raises(NotFound):
            work.sessions.get(uuid4(), for_=ALICE)
        with pytest.raises(Forbidden):
            reader.session(session.id, BOB)
        with pytest.raises(NotFound):
            reader.session(uuid4(), ALICE)
        assert reader.sessions(BOB, is_open=None, page=Page())["total"] == 0

    def test_queries_tell_the_open_from_what_is_over(
        self, start_work: StartWork, reader: SessionReader, clock: Clock
    ) -> None:
        open_ = opened(start_work, a_session(binding="room:1", now=later(20)))
        expired = opened(start_work, a_session(binding="room:2"))
        closed = a_session(binding="room:3", now=later(10))
        closed.close(CloseReason.CLOSED, later(11))
        opened(start_work, closed)

        clock.time = later(31)

        def ids(is_open: bool | None) -> list[UUID]:
            return [item["id"] for item in reader.sessions(ALICE, is_open=is_open, page=Page())["items"]]

        assert ids(is_open=True) == [open_.id]
        assert ids(is_open=False) == [closed.id, expired.id]
        assert ids(is_open=None) == [open_.id, closed.id, expired.id]
        assert reader.session(expired.id, ALICE)["status"] == "expired"
        assert reader.sessions(ALICE, is_open=None, page=Page(limit=1, offset=1))["items"][0]["id"] == closed.id

    def test_however_many_sit_down_at_once_it_is_one_session(
        self, open_session: OpenSessionHandler, reader: SessionReader
    ) -> None:
        together = threading.Barrier(6)

        def sit_down(_: int) -> tuple[UUID, bool]:
            together.wait(10)
            session, is_new = open_session(OpenSession(principal=ALICE))
            return session.id, is_new

        with ThreadPoolExecutor(6) as pool:
            sat = list(pool.map(sit_down, range(6)))

        assert len({session for session, _ in sat}) == 1
        assert sum(is_new for _, is_new in sat) == 1
        assert reader.sessions(ALICE, is_open=True, page=Page())["total"] == 1

    def test_no_more_sessions_are_open_than_may_be(
        self, open_session: OpenSessionHandler, start_work: StartWork, reader: SessionReader, clock: Clock
    ) -> None:
        rooms = [a_room(name=str(number)) for number in range(5)]
        with start_work() as work:
            for room in rooms:
                work.rooms.add(room)
            work.commit()
        sessions = []
        for minute, room in enumerate(rooms):
            clock.time = later(minute)
            sessions.append(open_session(OpenSession(principal=ALICE, room_id=room.id))[0].id)

        assert reader.sessions(ALICE, is_open=True, page=Page())["total"] == 3
        assert [reader.session(session, ALICE)["close_reason"] for session in sessions] == [
            "crowded_out",
            "crowded_out",
            None,
            None,
            None,
        ]

    def test_expired_sessions_are_closed(self, start_work: StartWork, reader: SessionReader, clock: Clock) -> None:
        old = [opened(start_work, a_session(binding=f"room:{number}")) for number in range(3)]
        young = opened(start_work, a_session(binding="room:young", now=later(29)))
        clock.time = later(31)
        close_expired = CloseExpiredSessions(start_work, clock)

        assert (close_expired(), close_expired()) == (3, 0)

        assert {reader.session(session.id, ALICE)["close_reason"] for session in old} == {"expired"}
        assert reader.session(young.id, ALICE)["status"] == "open"

    def test_whoever_claims_a_visitor_has_all_it_had(self, start_work: StartWork, reader: SessionReader) -> None:
        room, deleted = a_room(_VISITOR), a_room(_VISITOR)
        conversation = a_conversation(_VISITOR, room_id=room.id)
        question, reply, answer = answered(conversation, "Mine?", "Yours.")
        next_question, live = asked(conversation, "And now?")
        deletion = a_deletion(Subject.ROOM, deleted.id)
        deletion.owner = _VISITOR.key
        others = a_room(BOB)
        session = a_session(_VISITOR)
        with start_work() as work:
            for each in (room, deleted, others):
                work.rooms.add(each)
            work.conversations.add(conversation)
            work.messages.add(question)
            work.messages.add(answer)
            work.messages.add(next_question)
            work.replies.add(reply)
            work.replies.add(live)
            work.deletions.add(deletion)
            work.sessions.add(session)
            work.visitors.add(UUID(_VISITOR.id), NOW)
            work.commit()
        claim = ClaimVisitorHandler(start_work, lambda: NOW, Limits())

        first, second = (claim(ClaimVisitor(principal=ALICE, visitor=_VISITOR)) for _ in range(2))

        assert (first.rooms, first.conversations, second.rooms) == (2, 1, 0)
        with start_work() as work:
            assert work.conversations.get(conversation.id, for_=ALICE).message_count == 3
            assert work.replies.get(reply.id, for_=ALICE).text == "Yours."
            assert work.replies.get(live.id, for_=ALICE).is_live
            assert work.messages.get(answer.id).owner == ALICE.key
            assert work.deletions.get(deletion.id).owner == ALICE.key
            with pytest.raises(Forbidden):
                work.rooms.get(room.id, for_=_VISITOR)
            with pytest.raises(Forbidden):
                work.rooms.get(others.id, for_=ALICE)
        assert reader.session(session.id, ALICE)["status"] == "closed"

    def test_a_claim_that_makes_too_many_rooms_takes_nothing(self, start_work: StartWork) -> None:
        with start_work() as work:
            for owner in (ALICE, _VISITOR, _VISITOR):
                work.rooms.add(a_room(owner))
            work.commit()
        claim = ClaimVisitorHandler(start_work, lambda: NOW, Limits(rooms=2))

        with pytest.raises(Conflict) as conflict:
            claim(ClaimVisitor(principal=ALICE, visitor=_VISITOR))

        assert conflict.value.slug == "room_limit_reached"
        with start_work() as work:
            assert [work.rooms.count(owner.key) for owner in (ALICE, _VISITOR)] == [1, 2]

    def test_only_a_user_claims_and_only_a_visitor_is_claimed(self, start_work: StartWork) -> None:
        claim = ClaimVisitorHandler(start_work, lambda: NOW, Limits())

        for principal, visitor in ((ALICE, BOB), (_VISITOR, _VISITOR), (_VISITOR, ALICE)):
            with pytest.raises(Forbidden):
                claim(ClaimVisitor(principal=principal, visitor=visitor))


class TestSqliteSessions(OnSqlite, SessionsContract):
    @pytest.fixture
    def reader(self, database: Database, clock: Clock) -> SessionReader:
        return SqlSessionReader(database, clock)


class TestPostgresSessions(OnPostgres, TestSqliteSessions):
    def test_a_claim_and_whoever_has_an_old_session_do_not_wait_for_each_other(
        self, start_work: StartWork, database: Database
    ) -> None:
        conversation = a_conversation(_VISITOR)
        session = a_session(_VISITOR, conversation_id=conversation.id)
        session.close(CloseReason.CLOSED, NOW)
        with start_work() as work:
            work.conversations.add(conversation)
            work.sessions.add(session)
            work.commit()
        claim = ClaimVisitorHandler(start_work, lambda: NOW, Limits())

        with ThreadPoolExecutor(1) as pool:
            with start_work() as work:
                work.sessions.get(session.id, for_=_VISITOR)
                claimed = pool.submit(claim, ClaimVisitor(principal=ALICE, visitor=_VISITOR))
                eventually(lambda: _is_waited_for(database))
                work.conversations.get(conversation.id, for_=_VISITOR)

            assert claimed.result().conversations == 1


def _is_waited_for(database: Database) -> bool:
    """Whether somebody wants a row of this database that somebody else has locked."""
    waiting = text("SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = :name)")
    with database.at_once() as connection:
        found: bool = connection.execute(waiting, {"name": database.url.database}).scalar_one()
        return found
