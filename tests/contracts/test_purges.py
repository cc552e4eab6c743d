"""What every database must do that things are purged from, and what must hold whoever else is at work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from adapters.sql.retention import SqlPurges
from application.conversations.commands import DeleteConversation
from application.job_analyses.commands import AnalyseJobDescription, DeleteJobAnalysis, File
from application.knowledge.documents import DeleteDocument
from application.knowledge.projects import DeleteProject
from application.ports.projections import Model
from application.ports.retention import Kind, Present, Purge, Purges, Remnant, StillBusy, Tally
from application.retention.purging import PurgeDeleted, Purging
from application.retention.settling import HearPurges, SettlePurges
from application.rooms.commands import DeleteRoom, RestoreRoom
from application.sessions.commands import OpenSession
from domain.deletions import Subject
from domain.errors import Conflict, NotFound, ParleyError
from domain.identity import Principal
from domain.replies import ReplyStatus
from tests.builders import ALICE, BOB
from tests.operators import Operator, operating
from tests.servers import a_postgres_database


class PurgesContract:
    @pytest.fixture
    def operator(self) -> Operator:
        raise NotImplementedError

    @pytest.fixture
    def purges(self, operator: Operator) -> Purges:
        return SqlPurges(operator.database)

    def test_a_room_goes_with_all_that_is_in_it_and_nothing_else(self, operator: Operator) -> None:
        kept = operator.room(BOB)
        operator.conversation(BOB, kept)
        rest = operator.counts()
        room = operator.room()
        first, _ = operator.conversation(room_id=room, messages=6), operator.conversation(room_id=room)
        delete_conversation(operator, first)
        operator.app.sessions.open(OpenSession(principal=ALICE, room_id=room))
        delete_room(operator, room)

        purged = operator.app.retention.purge(PurgeDeleted(subject=Subject.ROOM, subject_id=room))

        assert without(operator.counts(), "purges", "outbox") == without(rest, "purges", "outbox")
        assert {kind: purged.tally[kind] for kind in ("rooms", "conversations", "messages", "replies", "sessions")} == {
            "rooms": 1,
            "conversations": 2,
            "messages": 8,
            "replies": 4,
            "sessions": 1,
        }

    def test_it_is_done_in_steps_and_gone_on_with(self, operator: Operator, purges: Purges) -> None:
        rest = operator.counts()
        room = operator.room()
        for _ in range(3):
            operator.conversation(room_id=room, messages=8)
        delete_room(operator, room)
        begun = purging(operator).begin(Subject.ROOM, room)

        steps = 0
        while not purges.wipe(begun, limit=3, now=operator.clock(), answers_after=operator.clock()).is_last:
            steps += 1

        assert steps >= 8
        assert without(operator.counts(), "purges", "outbox") == without(rest, "purges", "outbox")
        noted = [id_ for purge in purges.all(after=0, limit=100) for id_ in purge.ids.get(Kind.MESSAGES, ())]
        assert len(set(noted)) == len(noted) == 24

    def test_what_has_begun_to_go_cannot_be_restored(self, operator: Operator) -> None:
        room = operator.room()
        delete_room(operator, room)
        purging(operator).begin(Subject.ROOM, room)

        with pytest.raises(Conflict) as refused:
            operator.app.rooms.restore(RestoreRoom(principal=ALICE, room_id=room))

        assert refused.value.slug == "being_purged"

    def test_what_was_restored_stays(self, operator: Operator) -> None:
        room = operator.room()
        delete_room(operator, room)
        operator.app.rooms.restore(RestoreRoom(principal=ALICE, room_id=room))

        with pytest.raises(Conflict) as refused:
            operator.app.retention.purge(PurgeDeleted(subject=Subject.ROOM, subject_id=room))

        assert refused.value.slug == "not_deleted"

    def test_of_a_restore_and_a_purge_at_once_one_wins_and_nothing_is_half_done(self, operator: Operator) -> None:
        for _ in range(8):
            room = operator.room()
            conversation = operator.conversation(room_id=room, messages=4)
            delete_room(operator, room)
            ready = threading.Barrier(2)

            def restore(room: UUID = room, ready: threading.Barrier = ready) -> object:
                ready.wait()
                return operator.app.rooms.restore(RestoreRoom(principal=ALICE, room_id=room))

            def purge(room: UUID = room, ready: threading.Barrier = ready) -> object:
                ready.wait()
                return operator.app.retention.purge(PurgeDeleted(subject=Subject.ROOM, subject_id=room))

            won = at_once(restore, purge)

            assert sum(won) == 1
            if won[0]:
                assert operator.app.read.conversation(conversation, ALICE)["message_count"] == 4
                delete_room(operator, room)
            else:
                with pytest.raises(NotFound):
                    operator.app.read.room(room, ALICE)

    def test_two_who_purge_the_same_at_once_do_it_once(self, operator: Operator) -> None:
        room = operator.room()
        operator.conversation(room_id=room, messages=40)
        delete_room(operator, room)
        begun = purging(operator).begin(Subject.ROOM, room)

        with ThreadPoolExecutor(2) as pool:
            done = [*pool.map(lambda _: purging(operator).finish(begun), range(2))]

        assert sum(each.get("messages", 0) for each in done) == 40

    def test_what_went_with_its_room_goes_with_its_room(self, operator: Operator) -> None:
        room = operator.room()
        conversation = operator.conversation(room_id=room)
        delete_room(operator, room)

        with pytest.raises(Conflict) as refused:
            operator.app.retention.purge(PurgeDeleted(subject=Subject.CONVERSATION, subject_id=conversation))

        assert (refused.value.slug, refused.value.details) == ("room_deleted", {"room_id": str(room)})

    @pytest.mark.parametrize("subject", Subject)
    def test_what_is_not_there_cannot_be_purged(self, operator: Operator, subject: Subject) -> None:
        with pytest.raises(NotFound):
            operator.app.retention.purge(PurgeDeleted(subject=subject, subject_id=uuid4()))

    def test_a_live_rooms_snapshot_stays_ahead_of_older_ones(self, operator: Operator) -> None:
        room = operator.room()
        gone, stays = operator.conversation(room_id=room, messages=8), operator.conversation(room_id=room)
        delete_conversation(operator, gone)
        snapshots = operator.container.snapshots()
        (before,) = snapshots.of(Model.ROOMS, [room])
        operator.container.relay()()

        operator.app.retention.purge(PurgeDeleted(subject=Subject.CONVERSATION, subject_id=gone))

        (after,) = snapshots.of(Model.ROOMS, [room])
        assert after.version > before.version
        assert after.document["conversation_count"] == 1
        assert operator.app.read.conversation(stays, ALICE)["message_count"] == 2
        with operator.database.reading() as connection:
            told = connection.exec_driver_sql("SELECT count(*) FROM outbox WHERE name = 'RoomChanged'").scalar_one()
        assert told == 1

    def test_a_reply_in_the_making_is_shut_out_before_its_conversation_goes(self, operator: Operator) -> None:
        conversation = operator.conversation()
        reply = operator.ask(conversation)
        with operator.start_work() as work:
            running = work.replies.get(reply, for_=ALICE)
            running.claim(operator.clock())
            work.commit()
        delete_conversation(operator, conversation)

        operator.app.retention.purge(PurgeDeleted(subject=Subject.CONVERSATION, subject_id=conversation))

        ending = operator.container.ending()
        assert ending.log.read(reply, after=-1)[-1].event == "reply.cancelled"
        assert running.status is ReplyStatus.RUNNING
        with operator.start_work() as work, pytest.raises(NotFound):
            work.replies.get(reply, for_=ALICE)

    def test_a_session_that_spoke_there_goes_on_elsewhere(self, operator: Operator) -> None:
        conversation = operator.conversation()
        own, _ = operator.app.sessions.open(OpenSession(principal=ALICE))
        bound, _ = operator.app.sessions.open(OpenSession(principal=ALICE, conversation_id=conversation))
        with operator.start_work() as work:
            work.sessions.get(own.id, for_=ALICE).speak_in(conversation)
            work.commit()
        delete_conversation(operator, conversation)

        operator.app.retention.purge(PurgeDeleted(subject=Subject.CONVERSATION, subject_id=conversation))

        with operator.start_work() as work:
            assert work.sessions.get(own.id, for_=ALICE).conversation_id is None
            assert work.sessions.peek(bound.id) is None

    def test_a_document_goes_with_its_passages_content_and_jobs(self, operator: Operator) -> None:
        _, document = operator.document()
        rest = operator.counts()
        _, other = operator.document(content="# Other\n\n" + "It is green. " * 400)
        operator.app.documents.delete(DeleteDocument(principal=ALICE, document_id=other))

        purged = operator.app.retention.purge(PurgeDeleted(subject=Subject.DOCUMENT, subject_id=other))

        assert (purged.tally["documents"], purged.tally["jobs"]) == (1, 1)
        assert purged.tally["passages"] >= 1
        for table in ("documents", "document_contents", "passages", "jobs", "deletions"):
            assert operator.counts().get(table) == rest.get(table), table
        assert operator.app.read_knowledge.document(document, ALICE)["passage_count"] >= 1

    def test_a_project_goes_with_its_documents(self, operator: Operator) -> None:
        rest = operator.counts()
        project, document = operator.document()
        operator.app.documents.delete(DeleteDocument(principal=ALICE, document_id=document))
        operator.app.projects.delete(DeleteProject(principal=ALICE, project_id=project))

        purged = operator.app.retention.purge(PurgeDeleted(subject=Subject.PROJECT, subject_id=project))

        assert (purged.tally["projects"], purged.tally["documents"]) == (1, 1)
        assert without(operator.counts(), "purges", "outbox") == without(rest, "purges", "outbox")

    def test_a_job_analysis_goes_with_its_file(self, operator: Operator) -> None:
        rest = operator.counts()
        wanted = File(name="job.txt", media_type="text/plain", content=b"Requirements: Zig")
        analysis = operator.app.job_analyses.analyse(AnalyseJobDescription(principal=ALICE, description=wanted))
        operator.app.job_analyses.delete(DeleteJobAnalysis(principal=ALICE, analysis_id=analysis.id))

        operator.app.retention.purge(PurgeDeleted(subject=Subject.JOB_ANALYSIS, subject_id=analysis.id))

        assert without(operator.counts(), "purges", "outbox") == without(rest, "purges", "outbox")

    def test_what_requests_were_answered_with_goes_too(self, operator: Operator) -> None:
        conversation, other = operator.conversation(), operator.conversation()
        for number, of in enumerate((conversation, other)):
            operator.execute(
                "INSERT INTO idempotency_keys (owner, key, fingerprint, attempt, answer, locked_until, expires_at) "
                "VALUES ('user:root', :key, '', :attempt, :answer, :until, :until)",
                key=str(number),
                attempt=uuid4().hex,
                answer=f'{{"conversation_id":"{of}"}}',
                until="2099-01-01 00:00:00",
            )
        delete_conversation(operator, conversation)

        operator.app.retention.purge(PurgeDeleted(subject=Subject.CONVERSATION, subject_id=conversation))

        with operator.database.reading() as connection:
            left = connection.exec_driver_sql("SELECT key FROM idempotency_keys").scalars().all()
        assert left == ["1"]

    def test_stores_follow_as_soon_as_they_answer(self, operator: Operator, purges: Purges) -> None:
        conversation = operator.conversation()
        delete_conversation(operator, conversation)
        there, away = _Copies("there"), _Copies("away")
        away.is_away = True
        settle = SettlePurges(purges, [there, away], operator.clock)
        operator.app.retention.purge.purging.finish(purging(operator).begin(Subject.CONVERSATION, conversation))

        assert set(settle().away) == {"away"}
        assert len(purges.unsettled(after=0, limit=9)) == 1
        away.is_away = False
        assert settle().away == {}

        assert purges.unsettled(after=0, limit=9) == []
        assert conversation in away.forgotten
        assert conversation in there.forgotten

    def test_a_process_hears_of_each_purge_once(self, operator: Operator, purges: Purges) -> None:
        copies = _Copies("own")
        hear = HearPurges(purges, [copies], operator.clock)
        for _ in range(2):
            conversation = operator.conversation()
            delete_conversation(operator, conversation)
            operator.app.retention.purge(PurgeDeleted(subject=Subject.CONVERSATION, subject_id=conversation))
            hear()
            hear()
            assert copies.forgotten.count(conversation) == 1

        operator.clock.forward(hours=1)
        hear()
        assert copies.calls == 2

    def test_who_was_erased_is_known_for_a_while(self, operator: Operator, purges: Purges) -> None:
        now = operator.clock()
        purges.mark("m" * 64, now)

        assert purges.marks(now - timedelta(seconds=1)) == {"m" * 64}
        assert purges.marks(now + timedelta(seconds=1)) == set()

    def test_the_database_says_what_is_in_it(self, operator: Operator, purges: Purges) -> None:
        room = operator.room()

        assert purges.present(Kind.ROOMS, [room, uuid4()]) == {room}
        assert purges.present(Kind.CONVERSATIONS, [room]) == set()
        assert purges.present(Kind.ROOMS, []) == set()


class TestSqlite(PurgesContract):
    @pytest.fixture
    def operator(self, tmp_path: Path) -> Iterator[Operator]:
        with operating(tmp_path / "data") as operator:
            yield operator


class TestPostgres(PurgesContract):
    @pytest.fixture
    def operator(self, tmp_path: Path, migrated_postgres: str) -> Iterator[Operator]:
        with (
            a_postgres_database(template=migrated_postgres) as url,
            operating(tmp_path / "data", PARLEY_DATABASE_URL=url) as operator,
        ):
            yield operator


class _Copies:
    """See application.ports.retention.Copies: remembers what it was told to forget."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_away = False
        self.calls = 0
        self.forgotten: list[UUID] = []

    def forget(self, purges: Sequence[Purge]) -> Tally:
        if self.is_away:
            raise StillBusy("It is away.")
        self.calls += 1
        self.forgotten += [id_ for purge in purges for ids in purge.ids.values() for id_ in ids]
        return {}

    def remnants(self, purges: Sequence[Purge]) -> Sequence[Remnant]:
        return ()

    def orphans(self, present: Present) -> Sequence[Remnant]:
        return ()


def purging(operator: Operator) -> Purging:
    return operator.app.retention.purge.purging


def delete_room(operator: Operator, room: UUID, owner: Principal = ALICE) -> None:
    operator.app.rooms.delete(DeleteRoom(principal=owner, room_id=room))


def delete_conversation(operator: Operator, conversation: UUID) -> None:
    operator.app.conversations.delete(DeleteConversation(principal=ALICE, conversation_id=conversation))


def without(counts: dict[str, int], *tables: str) -> dict[str, int]:
    return {table: count for table, count in counts.items() if table not in tables}


def at_once(*calls: Callable[[], object]) -> list[bool]:
    """Which of them came to a good end."""

    def call(one: Callable[[], object]) -> bool:
        try:
            one()
        except ParleyError:
            return False
        return True

    with ThreadPoolExecutor(len(calls)) as pool:
        return [*pool.map(call, calls)]
