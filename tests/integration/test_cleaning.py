"""Cleaning up: what nobody uses is deleted, what was deleted is purged, what is old is removed, and it is proved."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from adapters.sql.tables import metadata
from application.conversations.commands import ChangeConversation, DeleteConversation
from application.job_analyses.commands import AnalyseJobDescription
from application.ports.projections import ReadModelsUnavailable
from application.ports.queries import Page
from application.ports.retention import Remnant
from application.retention.cleaning import Cleaned, CleanUp
from application.retention.purging import PurgeDeleted
from application.rooms.commands import ChangeRoom, DeleteRoom, RestoreRoom
from application.sessions.commands import InSession, OpenSession
from domain.deletions import Subject
from domain.errors import Conflict, NotFound
from domain.retention import Retention
from tests.builders import ALICE, BOB
from tests.fakes.read_models import MemoryReadModels
from tests.operators import Operator, operating
from tests.parley_process import Process, cli
from tests.servers import a_postgres_database
from tests.waiting import eventually

_PAGE = Page(limit=100)
_TABLES = metadata.tables
_UNCHECKED = ("SET session_replication_role = replica", "SET session_replication_role = DEFAULT")
"""PostgreSQL leaves triggers out then, by which it checks references."""


@pytest.fixture(params=["sqlite", "postgresql"])
def operator(request: pytest.FixtureRequest, tmp_path: Path, migrated_postgres: str) -> Iterator[Operator]:
    if request.param == "sqlite":
        with operating(tmp_path / "data") as operator:
            yield operator
    else:
        with (
            a_postgres_database(template=migrated_postgres) as url,
            operating(tmp_path / "data", PARLEY_DATABASE_URL=url) as operator,
        ):
            yield operator


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Iterator[Operator]:
    with operating(tmp_path / "data") as operator:
        yield operator


def clean_up(operator: Operator, *, dry_run: bool = False) -> Cleaned:
    operator.app.relay.forget_delivered()
    return operator.app.retention.clean_up(CleanUp(dry_run=dry_run))


def rooms_of(operator: Operator) -> set[str]:
    return {str(room["id"]) for room in operator.app.read_all.rooms(owner=None, deleted=False, page=_PAGE)["items"]}


def findings(operator: Operator) -> list[Remnant]:
    return list(operator.app.retention.verify())


class TestRooms:
    def test_an_idle_room_is_deleted_so_that_it_can_be_restored_and_then_for_good(self, operator: Operator) -> None:
        room = operator.room()
        conversation = operator.conversation(room_id=room)
        operator.clock.forward(days=31)

        assert clean_up(operator).deleted == {"rooms": 1}
        assert rooms_of(operator) == set()
        operator.app.rooms.restore(RestoreRoom(principal=ALICE, room_id=room))
        assert clean_up(operator).deleted == {}  # That was a sign of life.
        assert operator.app.read.conversation(conversation, ALICE)["message_count"] == 2

        operator.clock.forward(days=31)
        assert clean_up(operator).deleted == {"rooms": 1}
        operator.clock.forward(days=29)
        assert clean_up(operator).purged == {}
        operator.clock.forward(days=2)
        purged = clean_up(operator).purged

        assert (purged["rooms"], purged["messages"]) == (1, 2)
        with pytest.raises(NotFound):
            operator.app.rooms.restore(RestoreRoom(principal=ALICE, room_id=room))
        assert findings(operator) == []

    def test_every_sign_of_life_keeps_a_room(self, operator: Operator) -> None:
        changed, spoken_in, visited, retitled, idle = (operator.room() for _ in range(5))
        conversation = operator.conversation(room_id=retitled)
        operator.clock.forward(days=31)
        operator.app.rooms.change(ChangeRoom(principal=ALICE, room_id=changed, name="Other"))
        operator.conversation(room_id=spoken_in)
        operator.app.sessions.open(OpenSession(principal=ALICE, room_id=visited))
        operator.app.conversations.change(
            ChangeConversation(principal=ALICE, conversation_id=conversation, title="Other")
        )

        clean_up(operator)

        assert rooms_of(operator) == {str(each) for each in (changed, spoken_in, visited, retitled)}
        assert str(idle) not in rooms_of(operator)

    def test_a_room_that_is_used_while_it_is_looked_for_stays(self, operator: Operator) -> None:
        room = operator.room()
        since = operator.clock()
        operator.conversation(room_id=room)

        with pytest.raises(Conflict) as refused:
            operator.app.rooms.delete(DeleteRoom(principal=ALICE, room_id=room, idle_since=since))

        assert refused.value.slug == "room_active"
        assert rooms_of(operator) == {str(room)}

    def test_nothing_is_idle_where_that_is_turned_off(self, operator: Operator) -> None:
        operator.room()
        operator.clock.forward(days=4000)
        never = replace(operator.app.retention.clean_up, retention=Retention(rooms=0))

        assert never(CleanUp()).deleted == {}

    def test_conversations_outside_of_rooms_are_kept_for_ever_unless_asked_otherwise(self, operator: Operator) -> None:
        alone, used = operator.conversation(), operator.conversation()
        inside = operator.conversation(room_id=operator.room())
        operator.clock.forward(days=8)
        operator.app.conversations.change(ChangeConversation(principal=ALICE, conversation_id=used, title="Used"))
        assert clean_up(operator).deleted == {}

        weekly = replace(operator.app.retention.clean_up, retention=Retention(conversations=7))

        assert weekly(CleanUp()).deleted == {"conversations": 1}
        with pytest.raises(NotFound):
            operator.app.read.conversation(alone, ALICE)
        for kept in (used, inside):
            assert operator.app.read.conversation(kept, ALICE)["message_count"] == 2


class TestOldThings:
    def test_what_is_only_old_is_removed_in_its_time(self, operator: Operator) -> None:
        rest = operator.counts()
        session, _ = operator.app.sessions.open(OpenSession(principal=ALICE))
        operator.app.sessions.close(InSession(principal=ALICE, session_id=session.id))
        operator.app.sessions.open(OpenSession(principal=BOB))
        operator.app.visitors.welcome()
        _, document = operator.document()
        operator.execute(
            "INSERT INTO idempotency_keys (owner, key, fingerprint, attempt, locked_until, expires_at) "
            "VALUES ('user:bob', 'key', '', :attempt, :until, :until)",
            attempt=uuid4().hex,
            until="2026-01-01 00:00:00",
        )
        assert plain(clean_up(operator).removed) == {"idempotency_keys": 1}

        operator.clock.forward(days=8)
        eighth = clean_up(operator)
        operator.clock.forward(days=24)
        thirty_second = clean_up(operator)
        operator.clock.forward(days=30)
        sixty_second = clean_up(operator)

        assert eighth.closed == {"sessions": 1}  # Bob's has expired.
        assert plain(eighth.removed) == {"jobs": 1}
        assert plain(thirty_second.removed) == {"sessions": 1}
        assert plain(sixty_second.removed) == {"sessions": 1, "visitors": 1}
        assert operator.app.read_knowledge.document(document, ALICE)["status"] == "ready"
        assert without_knowledge(operator.counts()) == without_knowledge(rest)

    def test_a_visitor_stays_as_long_as_there_is_anything_of_theirs(self, operator: Operator) -> None:
        maker, idler = (operator.app.visitors.welcome().visitor for _ in range(2))
        conversation = operator.conversation(maker)
        operator.clock.forward(days=100)

        assert plain(clean_up(operator).removed) == {"visitors": 1}
        operator.app.conversations.delete(DeleteConversation(principal=maker, conversation_id=conversation))
        assert plain(clean_up(operator).removed) == {}
        operator.clock.forward(days=31)
        cleaned = clean_up(operator)

        assert (cleaned.purged["conversations"], plain(cleaned.removed)) == (1, {"visitors": 1})
        assert operator.counts().get("visitors") is None
        assert idler.key != maker.key

    def test_a_job_that_somebody_waits_for_stays(self, operator: Operator) -> None:
        wanted = AnalyseJobDescription(principal=ALICE, description="Requirements: Zig")
        analysis = operator.app.job_analyses.analyse(wanted)
        operator.clock.forward(days=100)

        clean_up(operator)

        assert analysis.job_id is not None
        operator.app.jobs.run(analysis.job_id)
        assert operator.app.read_job_analyses.job_analysis(analysis.id, ALICE)["status"] == "completed"

    def test_events_that_nobody_took_are_dropped_only_with_the_trust_in_what_lacks_them(
        self, operator: Operator
    ) -> None:
        operator.room()
        models = MemoryReadModels()
        models.complete()
        operator.execute("UPDATE outbox SET recorded_at = :long_ago", long_ago="2026-01-01 00:00:00")
        told = replace(operator.app.retention.clean_up, read_models=models)
        models.away = True
        with pytest.raises(ReadModelsUnavailable):
            told(CleanUp())
        assert operator.counts()["outbox"] >= 1

        models.away = False
        assert plain(told(CleanUp()).removed)["events"] >= 1

        with pytest.raises(ReadModelsUnavailable):
            models.check()

    def test_the_ledger_is_forgotten_in_its_time(self, operator: Operator) -> None:
        conversation = operator.conversation()
        operator.app.conversations.delete(DeleteConversation(principal=ALICE, conversation_id=conversation))
        operator.app.retention.purge(PurgeDeleted(subject=Subject.CONVERSATION, subject_id=conversation))
        operator.clock.forward(days=89)
        clean_up(operator)
        assert operator.counts()["purges"] == 1
        operator.clock.forward(days=2)

        assert plain(clean_up(operator).removed)["purges"] == 1


class TestRuns:
    def test_a_dry_run_foresees_all_of_it_and_does_nothing(self, operator: Operator) -> None:
        for _ in range(3):
            operator.room()
        deleted = operator.conversation(messages=6)
        operator.app.conversations.delete(DeleteConversation(principal=ALICE, conversation_id=deleted))
        operator.app.visitors.welcome()
        operator.clock.forward(days=100)
        operator.app.relay.forget_delivered()
        before = operator.counts()

        foreseen = clean_up(operator, dry_run=True)
        assert operator.counts() == before
        done = clean_up(operator)

        assert foreseen.deleted == done.deleted == {"rooms": 3}
        assert foreseen.purged == {"deleted conversation": 1}
        assert done.purged["conversations"] == 1
        done.removed.pop("events", None)  # Written by this machine's clock, which is behind ours.
        assert plain(foreseen.removed) == plain(done.removed) == {"visitors": 1}

    def test_a_run_that_was_interrupted_is_gone_on_with(self, operator: Operator) -> None:
        rest = operator.counts()
        for _ in range(3):
            conversation = operator.conversation(messages=4)
            operator.app.conversations.delete(DeleteConversation(principal=ALICE, conversation_id=conversation))
        operator.clock.forward(days=31)

        def interrupt(kind: str, done: int) -> None:
            if kind == "conversations":
                raise KeyboardInterrupt

        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                operator.app.retention.clean_up(CleanUp(), interrupt)
            assert operator.counts()["messages"] in (4, 8)

        assert clean_up(operator).purged["conversations"] == 1
        assert without_knowledge(operator.counts()) == without_knowledge(rest)
        assert findings(operator) == []

    def test_one_process_cleans_up_at_a_time(self, operator: Operator) -> None:
        lock = operator.database.cleanup_lock()
        assert lock.acquire(0)
        with pytest.raises(Conflict) as refused:
            clean_up(operator)
        assert refused.value.slug == "cleanup_running"
        lock.release()

        assert clean_up(operator).deleted == {}

    def test_what_a_killed_purge_left_undone_is_done_by_whoever_has_the_time(self, operator: Operator) -> None:
        conversation = operator.conversation()
        operator.app.conversations.delete(DeleteConversation(principal=ALICE, conversation_id=conversation))
        purging = operator.app.retention.purge.purging
        purging.finish(purging.begin(Subject.CONVERSATION, conversation))
        operator.app.retention.settle()
        assert len(operator.container.purges().unsettled(after=0, limit=9)) == 1  # Its process may still live.
        operator.clock.forward(minutes=2)
        assert [each.store for each in findings(operator)] == ["ledger"]

        operator.app.retention.settle()

        assert findings(operator) == []


class TestVerification:
    def test_what_came_back_into_the_database_is_found(self, operator: Operator) -> None:
        conversation, _ = operator.conversation(), operator.conversation()
        rows = copied(operator, "conversations", conversation)
        operator.app.conversations.delete(DeleteConversation(principal=ALICE, conversation_id=conversation))
        operator.app.retention.purge(PurgeDeleted(subject=Subject.CONVERSATION, subject_id=conversation))
        assert findings(operator) == []

        put_back(operator, "conversations", rows)

        assert [(each.store, each.where, each.why) for each in findings(operator)] == [
            ("database", f"conversations.id {conversation}", "was purged")
        ]

    def test_an_answer_that_names_what_was_purged_is_found(self, operator: Operator) -> None:
        conversation = operator.conversation()
        operator.app.conversations.delete(DeleteConversation(principal=ALICE, conversation_id=conversation))
        operator.app.retention.purge(PurgeDeleted(subject=Subject.CONVERSATION, subject_id=conversation))
        operator.execute(
            "INSERT INTO idempotency_keys (owner, key, fingerprint, attempt, answer, locked_until, expires_at) "
            "VALUES ('user:bob', 'key', '', :attempt, :answer, :until, :until)",
            attempt=uuid4().hex,
            answer=f'{{"id":"{conversation}"}}',
            until="2099-01-01 00:00:00",
        )

        assert [each.where for each in findings(operator)] == ["idempotency_keys.answer"]

    def test_parts_without_their_whole_are_found(self, operator: Operator) -> None:
        _, document = operator.document()
        conversation = operator.conversation()
        operator.app.conversations.delete(DeleteConversation(principal=ALICE, conversation_id=conversation))
        deletion = operator.container.purges().standing(deleted_before=None, limit=1)[0].deletion_id

        unchecked(operator, ("document_contents", document), ("conversations", conversation))

        found = {each.where.partition(" ")[0] for each in findings(operator)}
        assert {"document_contents.document_id", "messages.conversation_id", "replies.conversation_id"} <= found
        assert f"deletions.id {deletion}" in {each.where for each in findings(operator)}

    def test_a_vector_without_its_passage_is_found(self, operator: Operator) -> None:
        project, _ = operator.document()
        with operator.start_work() as work:
            document = work.documents.in_project(project)[0]
            work.passages.embed(document.id, "space", [[0.5, 0.5]] * document.passage_count)
            work.commit()

        unchecked(operator, ("passages", document.id))

        assert "passage_vectors.number" in {each.where.partition(" ")[0] for each in findings(operator)}

    def test_what_an_index_holds_of_a_message_that_is_gone_is_found(self, on_sqlite: Operator) -> None:
        conversation = on_sqlite.conversation()
        on_sqlite.execute("DROP TRIGGER messages_fts_delete")
        on_sqlite.app.conversations.delete(DeleteConversation(principal=ALICE, conversation_id=conversation))

        on_sqlite.app.retention.purge(PurgeDeleted(subject=Subject.CONVERSATION, subject_id=conversation))

        assert {each.store for each in findings(on_sqlite)} == {"full-text index"}

    def test_a_store_that_does_not_answer_is_a_finding(self, operator: Operator) -> None:
        class Away:
            name = "elsewhere"

            def remnants(self, purges: object) -> Any:
                raise ReadModelsUnavailable("It is away.")

            orphans = remnants

        verify = replace(operator.app.retention.verify, stores=[Away()])

        assert [each.store for each in verify()] == ["elsewhere"]


class TestFiles:
    def test_no_file_holds_a_word_of_what_was_purged(self, on_sqlite: Operator, tmp_path: Path) -> None:
        conversation = on_sqlite.conversation(messages=60)
        kept = on_sqlite.conversation()
        said = f"zebra{uuid4().hex}"
        on_sqlite.execute("UPDATE messages SET content = content || :said || position", said=f" {said} ")
        on_sqlite.execute("UPDATE messages SET content = 'kept' WHERE conversation_id = :kept", kept=kept.hex)
        assert in_files(tmp_path, said)
        on_sqlite.app.conversations.delete(DeleteConversation(principal=ALICE, conversation_id=conversation))

        on_sqlite.app.retention.purge(PurgeDeleted(subject=Subject.CONVERSATION, subject_id=conversation))

        assert in_files(tmp_path, said) == []
        assert on_sqlite.app.read.search(ALICE, "kept", _PAGE)["total"] == 2

    def test_free_pages_that_hold_something_are_found_and_let_go(self, on_sqlite: Operator) -> None:
        file = on_sqlite.database.url.database
        with closing(sqlite3.connect(str(file), isolation_level=None)) as careless:
            careless.execute("PRAGMA secure_delete = OFF")
            careless.execute("CREATE TABLE diary (entry TEXT)")
            careless.execute("INSERT INTO diary VALUES (:entry)", {"entry": "a secret " * 10_000})
            careless.execute("DROP TABLE diary")
        assert [each.store for each in findings(on_sqlite)] == ["database file"]

        on_sqlite.app.retention.vacuum()

        assert findings(on_sqlite) == []


class TestCommands:
    def test_a_cleanup_is_foreseen_asked_for_and_reported(self, tmp_path: Path) -> None:
        with operating(tmp_path / "data") as operator:
            room = operator.room()
            operator.app.rooms.delete(DeleteRoom(principal=ALICE, room_id=room))
        settings: dict[str, object] = {"PARLEY_DATA_DIR": tmp_path / "data", "PARLEY_RETENTION_DELETED": 0}

        foreseen = cli("cleanup", "--dry-run", **settings)
        unasked = cli("cleanup", **settings)
        done = cli("cleanup", "--yes", "--json", **settings)

        assert ("deleted room" in foreseen.stdout, unasked.returncode) == (True, 2)
        assert '"rooms": 1' in done.stdout
        assert cli("cleanup", "--verify", **settings).returncode == 0

    def test_the_scheduler_cleans_up_until_it_is_told_to_stop(self, tmp_path: Path) -> None:
        settings: dict[str, object] = {"PARLEY_DATA_DIR": tmp_path / "data", "PARLEY_RETENTION_DELETED": 0}
        with operating(tmp_path / "data") as operator:
            scheduler = Process("scheduler", "--every", "1", **settings)
            scheduler.launch()
            for _ in range(2):
                room = operator.room()
                operator.app.rooms.delete(DeleteRoom(principal=ALICE, room_id=room))
                eventually(lambda: operator.counts().get("rooms") is None, within=60)

        assert scheduler.terminate() == 0
        assert "Parley cleans up every 1 seconds." in scheduler.output

    @pytest.mark.parametrize(("name", "value"), [("PARLEY_RETENTION_ROOMS", "-1"), ("PARLEY_CLEANUP_EVERY", "0")])
    def test_a_setting_out_of_bounds_is_named(self, tmp_path: Path, name: str, value: str) -> None:
        done = cli("doctor", **{"PARLEY_DATA_DIR": tmp_path, name: value})

        assert (done.returncode, done.stderr.startswith(f"Error: {name}")) == (2, True)


def plain(tally: Any) -> dict[str, int]:
    return {str(kind): count for kind, count in tally.items() if count}


def without_knowledge(counts: dict[str, int]) -> dict[str, int]:
    knowledge = {"projects", "documents", "document_contents", "passages", "jobs"}
    return {table: count for table, count in counts.items() if table not in knowledge | {"outbox", "purges"}}


def in_files(folder: Path, said: str) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and said.encode() in path.read_bytes().lower()]


def copied(operator: Operator, table: str, id_: UUID) -> dict[str, Any]:
    with operator.database.reading() as connection:
        wanted = _TABLES[table].select().where(_TABLES[table].c.id == id_)
        return dict(connection.execute(wanted).mappings().one())


def put_back(operator: Operator, table: str, row: dict[str, Any]) -> None:
    with operator.database.writing() as connection:
        connection.execute(_TABLES[table].insert().values(row))
        connection.commit()


def unchecked(operator: Operator, *doomed: tuple[str, UUID]) -> None:
    """Take rows away whose parts stay, as no database allows by itself."""
    is_sqlite = operator.database.engine.dialect.name == "sqlite"
    off, on = ("PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys = ON") if is_sqlite else _UNCHECKED
    with operator.database.engine.connect() as connection:
        connection.exec_driver_sql(off)
        for table, id_ in doomed:
            place = {"document_contents": "documents", "passages": "passages"}.get(table, table)
            column = _TABLES[place].c.document_id if place == "passages" else _TABLES[place].c.id
            connection.execute(_TABLES[place].delete().where(column == id_))
        connection.commit()
        connection.exec_driver_sql(on)
        connection.commit()
