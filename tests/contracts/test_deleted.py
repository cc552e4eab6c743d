"""What every store must tell of what is deleted and can be restored."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from adapters.sql.deleted import SqlDeletedReader
from adapters.sql.engine import Database
from application.documents import conversation_document, document_of_project, room_document
from application.ports.deleted import DeletedReader
from application.ports.persistence import StartWork
from application.ports.queries import Page
from domain.deletions import Subject
from domain.errors import Forbidden, NotFound
from domain.retention import Retention
from tests.builders import ADMIN, ALICE, BOB, a_conversation, a_document, a_job_analysis, a_project, a_room, later
from tests.contracts.databases import OnPostgres, OnSqlite
from tests.contracts.test_operations import deleted, ids, kept

PAGE = Page(sort_by="created_at")


class DeletedReaderContract:
    @pytest.fixture
    def start_work(self) -> StartWork:
        raise NotImplementedError

    @pytest.fixture
    def reader(self) -> DeletedReader:
        """Where what is deleted is kept for seven days."""
        raise NotImplementedError

    def test_ones_own_deleted_rooms_are_listed_with_their_deletion(
        self, start_work: StartWork, reader: DeletedReader
    ) -> None:
        gone, there, his = a_room(name="Gone"), a_room(), a_room(BOB)
        kept(start_work, rooms=[gone, there, his])
        deletion = deleted(start_work, Subject.ROOM, gone, at=later())
        deleted(start_work, Subject.ROOM, his)

        (item,) = reader.rooms(ALICE, PAGE)["items"]

        assert list(item) == [*room_document(gone), "deletion"]
        assert item["id"] == gone.id
        assert item["deletion"] == {
            "id": deletion.id,
            "subject": "room",
            "subject_id": gone.id,
            "deleted_at": later(),
            "restorable_until": later() + timedelta(days=7),
        }
        assert reader.rooms(ADMIN, PAGE)["items"] == []
        assert orjson.dumps(item)

    def test_a_deleted_room_counts_what_went_along(self, start_work: StartWork, reader: DeletedReader) -> None:
        room = a_room()
        last = {"role": "user", "preview": "Bye", "created_at": later(3).isoformat()}
        talk = a_conversation(room_id=room.id, now=later(3))
        talk.message_count, talk.last_message = 2, last
        before = a_conversation(room_id=room.id, now=later(9))
        kept(start_work, rooms=room, conversations=[talk, before])
        deleted(start_work, Subject.CONVERSATION, before)
        deleted(start_work, Subject.ROOM, room, talk)

        (item,) = reader.rooms(ALICE, Page())["items"]

        assert (item["conversation_count"], item["message_count"]) == (1, 2)
        assert (item["last_message"], item["last_activity_at"]) == (last, later(3))

    def test_pages_and_orders_are_those_of_the_other_lists(self, start_work: StartWork, reader: DeletedReader) -> None:
        rooms = [a_room(name=name, now=later(minute)) for minute, name in enumerate("Cab")]
        kept(start_work, rooms=rooms)
        for room in rooms:
            deleted(start_work, Subject.ROOM, room)
        c, a, b = (room.id for room in rooms)

        assert ids(reader.rooms(ALICE, Page())) == [b, a, c]
        assert ids(reader.rooms(ALICE, Page(sort_by="name", descending=False))) == [a, b, c]
        page = reader.rooms(ALICE, Page(sort_by="created_at", descending=False, limit=2, offset=1))
        assert [item["id"] for item in page["items"]] == [a, b]
        assert (page["total"], page["limit"], page["offset"]) == (3, 2, 1)
        assert reader.rooms(ALICE, Page(offset=3))["total"] == 3

    def test_what_is_restored_or_being_purged_is_not_listed(self, start_work: StartWork, reader: DeletedReader) -> None:
        back, purged = a_conversation(), a_conversation()
        kept(start_work, conversations=[back, purged])
        undone, begun = (deleted(start_work, Subject.CONVERSATION, each) for each in (back, purged))
        with start_work() as work:
            undo = work.deletions.get(undone.id)
            undo.restore(later())
            work.conversations.get(back.id, for_=ALICE, deleted=True).restore(undo, later())
            work.deletions.get(begun.id).begin_purge(later())
            work.commit()

        assert reader.conversations(ALICE, None, PAGE) == {"items": [], "total": 0, "limit": 20, "offset": 0}

    def test_a_conversation_that_went_with_its_room_names_the_room(
        self, start_work: StartWork, reader: DeletedReader
    ) -> None:
        room = a_room()
        alone, inside, his = a_conversation(title="b"), a_conversation(room_id=room.id, title="A"), a_conversation(BOB)
        kept(start_work, rooms=room, conversations=[alone, inside, his, a_conversation(room_id=room.id)])
        for each in alone, his:
            deleted(start_work, Subject.CONVERSATION, each)
        deleted(start_work, Subject.ROOM, room, inside)

        everything = reader.conversations(ALICE, None, Page(sort_by="title", descending=False))

        assert ids(everything) == [inside.id, alone.id]
        assert list(everything["items"][0]) == [*conversation_document(inside), "deletion"]
        named = [(item["deletion"]["subject"], item["deletion"]["subject_id"]) for item in everything["items"]]
        assert named == [("room", room.id), ("conversation", alone.id)]
        assert ids(reader.conversations(ALICE, room.id, PAGE)) == [inside.id]
        assert ids(reader.conversations(ADMIN, room.id, PAGE)) == [inside.id]

    def test_a_deleted_project_counts_the_documents_that_went_along(
        self, start_work: StartWork, reader: DeletedReader
    ) -> None:
        gone, there, his = a_project(name="Gone"), a_project(name="There"), a_project(BOB, "His")
        inside, before = a_document(gone, "inside.md"), a_document(gone, "before.md")
        alone, foreign = a_document(there, "alone.md"), a_document(his)
        kept(start_work, projects=[gone, there, his])
        with start_work() as work:
            for document in (inside, before, alone, foreign):
                work.documents.add(document)
            work.commit()
        deleted(start_work, Subject.DOCUMENT, before)
        deleted(start_work, Subject.DOCUMENT, alone)
        deleted(start_work, Subject.PROJECT, gone, inside)
        deleted(start_work, Subject.PROJECT, his, foreign)

        (project,) = reader.projects(ALICE, PAGE)["items"]
        mine = reader.documents(ALICE, None, Page(sort_by="name", descending=False))

        assert (project["id"], project["document_count"], project["is_own"]) == (gone.id, 1, True)
        assert project["deletion"]["subject_id"] == gone.id
        assert ids(mine) == [alone.id, before.id, inside.id]
        assert list(mine["items"][0]) == [*document_of_project(alone, None), "deletion"]
        assert mine["items"][2]["deletion"]["subject"] == "project"
        assert ids(reader.documents(ALICE, gone.id, Page(sort_by="name"))) == [inside.id, before.id]
        assert ids(reader.documents(ADMIN, his.id, PAGE)) == [foreign.id]

    def test_deleted_job_analyses_are_listed_without_their_texts(
        self, start_work: StartWork, reader: DeletedReader
    ) -> None:
        hers, his, there = a_job_analysis(), a_job_analysis(owner=BOB), a_job_analysis()
        kept(start_work, job_analyses=[hers, his, there])
        for each in hers, his:
            deleted(start_work, Subject.JOB_ANALYSIS, each)

        (item,) = reader.job_analyses(ALICE, PAGE)["items"]

        assert (item["id"], item["deletion"]["subject"]) == (hers.id, "job_analysis")
        assert not {"text", "result"} & item.keys()
        assert ids(reader.job_analyses(ALICE, Page(sort_by="score"))) == [hers.id]

    def test_what_is_somebody_elses_is_refused_and_what_never_was_is_not_found(
        self, start_work: StartWork, reader: DeletedReader
    ) -> None:
        room, public = a_room(), a_project(ADMIN, visibility="public")
        kept(start_work, rooms=room, projects=public)
        deleted(start_work, Subject.ROOM, room)

        def refused(kind: type[Exception], ask: Any, thing: UUID) -> None:
            with pytest.raises(kind):
                ask(BOB, thing, PAGE)

        refused(Forbidden, reader.conversations, room.id)
        refused(Forbidden, reader.documents, public.id)
        refused(NotFound, reader.conversations, uuid4())
        refused(NotFound, reader.documents, uuid4())


class TestSqlite(OnSqlite, DeletedReaderContract):
    @pytest.fixture
    def reader(self, database: Database) -> DeletedReader:
        return SqlDeletedReader(database, Retention(deleted=7))


class TestPostgres(OnPostgres, DeletedReaderContract):
    @pytest.fixture
    def reader(self, database: Database) -> DeletedReader:
        return SqlDeletedReader(database, Retention(deleted=7))
