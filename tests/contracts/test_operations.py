"""What every store must tell operators."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from adapters.in_process.runtime import new_id
from adapters.sql.engine import Database
from adapters.sql.knowledge_operations import SqlOperatorReader
from application.documents import conversation_document, message_document, room_document, session_document
from application.ports.operations import OperatorReader
from application.ports.persistence import StartWork
from application.ports.queries import Page
from domain.deletions import Deletion, Subject
from domain.errors import NotFound
from domain.identity import Principal, PrincipalKind
from domain.jobs import JobKind
from domain.replies import ReplyStatus
from domain.sessions import CloseReason
from tests.builders import (
    ALICE,
    BOB,
    NOW,
    a_conversation,
    a_document,
    a_job,
    a_job_analysis,
    a_project,
    a_room,
    a_session,
    answered,
    asked,
    later,
)
from tests.contracts.databases import OnPostgres, OnSqlite

PAGE = Page(sort_by="created_at")


def ids(found: dict[str, Any]) -> list[UUID]:
    """Of a list's items, whose `total` is right."""
    assert found["total"] == len(found["items"])
    return [item["id"] for item in found["items"]]


def kept(start_work: StartWork, **things: Any) -> None:
    """Keep things, by the name of their repository."""
    with start_work() as work:
        for repository, given in things.items():
            for thing in given if isinstance(given, list) else [given]:
                getattr(work, repository).add(thing)
        work.commit()


def deleted(start_work: StartWork, subject: Subject, thing: Any, *with_it: Any, at: datetime = NOW) -> Deletion:
    """Delete a thing, with what goes with it."""
    repository = {Subject.JOB_ANALYSIS: "job_analyses"}.get(subject, f"{subject}s")
    deletion = Deletion(
        id=new_id(), owner=thing.owner, subject=subject, subject_id=thing.id, conversation_count=1, message_count=2,
        deleted_at=at,
    )  # fmt: skip
    with start_work() as work:
        work.deletions.add(deletion)
        getattr(work, repository).get(thing.id, for_=_of(thing)).delete(deletion)
        for other in with_it:
            where = work.conversations if hasattr(other, "next_position") else work.documents
            where.get(other.id, for_=_of(other)).delete(deletion)
        work.commit()
    return deletion


def _of(thing: Any) -> Principal:
    kind, _, name = thing.owner.partition(":")
    return Principal(PrincipalKind(kind), name)


class OperatorReaderContract:
    @pytest.fixture
    def start_work(self) -> StartWork:
        raise NotImplementedError

    @pytest.fixture
    def reader(self) -> OperatorReader:
        """At the time of NOW."""
        raise NotImplementedError

    def test_rooms_are_listed_whosever_they_are(self, start_work: StartWork, reader: OperatorReader) -> None:
        hers, his, gone = a_room(name="b"), a_room(BOB, "a", now=later()), a_room(name="c", now=later(2))
        kept(start_work, rooms=[hers, his, gone])
        deleted(start_work, Subject.ROOM, gone, at=later(5))

        def listed(owner: str | None = None, deleted: bool = False, **page: Any) -> list[UUID]:
            return ids(reader.rooms(owner=owner, deleted=deleted, page=Page(**page)))

        assert listed() == [his.id, hers.id]
        assert listed(sort_by="name", descending=False) == [his.id, hers.id]
        assert listed(sort_by="created_at", descending=False) == [hers.id, his.id]
        assert listed(ALICE.key) == [hers.id]
        assert listed(deleted=True) == [gone.id]
        assert listed(BOB.key, deleted=True) == []

    def test_pages_of_a_list_are_apart_and_make_up_all(self, start_work: StartWork, reader: OperatorReader) -> None:
        rooms = [a_room(now=later(minute)) for minute in range(5)]
        kept(start_work, rooms=rooms)

        pages = [
            reader.rooms(owner=None, deleted=False, page=Page(limit=2, offset=offset, descending=False))
            for offset in (0, 2, 4, 6)
        ]

        assert [[item["id"] for item in page["items"]] for page in pages] == [
            [rooms[0].id, rooms[1].id],
            [rooms[2].id, rooms[3].id],
            [rooms[4].id],
            [],
        ]
        assert {page["total"] for page in pages} == {5}

    def test_a_deleted_room_is_shown_with_what_went_with_it(
        self, start_work: StartWork, reader: OperatorReader
    ) -> None:
        room = a_room(name="Gone")
        talk = a_conversation(room_id=room.id, title="Talk")
        kept(start_work, rooms=room, conversations=talk)
        deletion = deleted(start_work, Subject.ROOM, room, talk, at=later())

        found = reader.room(room.id)

        assert list(found) == [*room_document(room), "owner", "deleted_at", "deletion", "conversations"]
        assert (found["name"], found["owner"], found["deleted_at"]) == ("Gone", ALICE.key, later())
        assert found["deletion"] == {"id": deletion.id, "subject": "room", "subject_id": room.id, "deleted_at": later()}
        assert (found["conversation_count"], found["message_count"]) == (1, 2)
        assert [(one["title"], one["deleted_at"]) for one in found["conversations"]] == [("Talk", later())]
        inside = reader.conversation(talk.id)
        assert (inside["deletion"]["subject"], inside["deletion"]["subject_id"]) == ("room", room.id)
        assert orjson.dumps(found)

    def test_what_is_not_deleted_has_no_deletion(self, start_work: StartWork, reader: OperatorReader) -> None:
        room, talk = a_room(), a_conversation()
        kept(start_work, rooms=room, conversations=talk)

        for found in (reader.room(room.id), reader.conversation(talk.id)):
            assert (found["deleted_at"], found["deletion"]) == (None, None)

    def test_conversations_are_listed_by_owner_and_room(self, start_work: StartWork, reader: OperatorReader) -> None:
        room = a_room()
        inside, alone, his, gone = (
            a_conversation(room_id=room.id, title="b"),
            a_conversation(title="A", now=later()),
            a_conversation(BOB, now=later(2)),
            a_conversation(title="gone"),
        )
        kept(start_work, rooms=room, conversations=[inside, alone, his, gone])
        deleted(start_work, Subject.CONVERSATION, gone)

        def listed(owner: str | None = None, room_id: UUID | None = None, deleted: bool = False, **page: Any) -> Any:
            return ids(reader.conversations(owner=owner, room_id=room_id, deleted=deleted, page=Page(**page)))

        assert listed() == [his.id, alone.id, inside.id]
        assert listed(ALICE.key, sort_by="title", descending=False) == [alone.id, inside.id]
        assert listed(room_id=room.id) == [inside.id]
        assert listed(deleted=True) == [gone.id]
        (item,) = reader.conversations(owner=BOB.key, room_id=None, deleted=False, page=Page())["items"]
        assert list(item) == [*conversation_document(his), "owner", "deleted_at"]

    def test_a_history_is_shown_deleted_or_not(self, start_work: StartWork, reader: OperatorReader) -> None:
        talk = a_conversation()
        replies, written = [], []
        for number in range(1, 5):
            question, reply, answer = answered(talk, f"Q{number}\n" + "long " * 100, f"A{number}")
            replies.append(reply)
            written += [question, answer]
        kept(start_work, conversations=talk, messages=written, replies=replies)
        deleted(start_work, Subject.CONVERSATION, talk)

        def part(**given: Any) -> list[int]:
            options = {"before": None, "after": None, "limit": 3, "all_branches": False} | given
            found = reader.messages(talk.id, **options)
            assert found["total"] == 8
            return [message["position"] for message in found["items"]]

        assert part() == [6, 7, 8]
        assert part(before=6) == [3, 4, 5]
        assert part(after=2) == [3, 4, 5]
        assert part(after=2, before=5, limit=10) == [3, 4]
        (last,) = reader.messages(talk.id, before=None, after=7, limit=1, all_branches=False)["items"]
        assert list(last) == [*message_document(written[-1]), "is_current"]
        shown = reader.conversation(talk.id)
        assert shown["all_message_count"] == 8
        assert [message["position"] for message in shown["messages"]] == [4, 5, 6, 7, 8]
        begins = shown["messages"][1]["preview"]
        assert begins.startswith("Q3 long long")
        assert (len(begins), begins[-1]) == (140, "…")

    def test_a_history_has_other_branches_on_demand(self, start_work: StartWork, reader: OperatorReader) -> None:
        talk = a_conversation()
        question, reply, answer = answered(talk)
        kept(start_work, conversations=talk, messages=[question, answer], replies=reply)
        another = uuid4()
        with start_work() as work:
            found = work.messages.get(answer.id)
            found.superseded_by = another
            work.commit()

        current = reader.messages(talk.id, before=None, after=None, limit=10, all_branches=False)
        everything = reader.messages(talk.id, before=None, after=None, limit=10, all_branches=True)

        assert [message["id"] for message in current["items"]] == [question.id]
        assert [(message["id"], message["is_current"]) for message in everything["items"]] == [
            (question.id, True),
            (answer.id, False),
        ]
        assert everything["total"] == 2

    def test_replies_are_told_without_their_texts(self, start_work: StartWork, reader: OperatorReader) -> None:
        done, waits, his = a_conversation(), a_conversation(), a_conversation(BOB)
        question, ended, answer = answered(done, text="Secret answer", reply_id=new_id())
        posted, queued = asked(waits, reply_id=new_id())
        other, also_queued = asked(his, reply_id=new_id())
        kept(
            start_work,
            conversations=[done, waits, his],
            messages=[question, answer, posted, other],
            replies=[ended, queued, also_queued],
        )

        def listed(owner: str | None = None, *statuses: str, conversation_id: UUID | None = None) -> list[UUID]:
            return ids(reader.replies(owner=owner, statuses=statuses, conversation_id=conversation_id, page=PAGE))

        assert listed() == [also_queued.id, queued.id, ended.id]
        assert listed(None, "queued", "running") == [also_queued.id, queued.id]
        assert listed(ALICE.key, "completed") == [ended.id]
        assert listed(conversation_id=waits.id) == [queued.id]
        shown = reader.reply(ended.id)
        assert (shown["status"], shown["characters"], shown["owner"]) == ("completed", len("Secret answer"), ALICE.key)
        told = orjson.dumps([shown, reader.replies(owner=None, statuses=(), conversation_id=None, page=PAGE)])
        assert b"Secret" not in told

    def test_sessions_are_told_with_their_owner_and_state(self, start_work: StartWork, reader: OperatorReader) -> None:
        open_one = a_session(id=new_id())
        closed = a_session(BOB, id=new_id())
        closed.close(CloseReason.CLOSED, NOW)
        expired = a_session(binding="room:1", id=new_id(), now=NOW - timedelta(days=3))
        kept(start_work, sessions=[open_one, closed, expired])

        def listed(owner: str | None = None, is_open: bool | None = None) -> list[UUID]:
            return ids(reader.sessions(owner=owner, is_open=is_open, page=PAGE))

        assert listed() == [expired.id, closed.id, open_one.id]
        assert listed(is_open=True) == [open_one.id]
        assert listed(is_open=False) == [expired.id, closed.id]
        assert listed(BOB.key) == [closed.id]
        assert reader.session(expired.id)["status"] == "expired"
        assert list(reader.session(open_one.id)) == [*session_document(open_one, NOW), "owner"]

    def test_a_visitor_is_told_with_what_it_has(self, start_work: StartWork, reader: OperatorReader) -> None:
        visitor_id, claimed_id = new_id(), new_id()
        visitor = Principal(PrincipalKind.VISITOR, str(visitor_id))
        room, talk = a_room(visitor), a_conversation(visitor)
        question, reply = asked(talk)
        with start_work() as work:
            work.visitors.add(visitor_id, NOW)
            work.visitors.add(claimed_id, NOW)
            work.visitors.claim(claimed_id, by=ALICE.key, now=later())
            work.commit()
        kept(start_work, rooms=room, conversations=talk, messages=question, replies=reply)

        assert ids(reader.visitors(claimed=None, page=PAGE)) == [claimed_id, visitor_id]
        assert ids(reader.visitors(claimed=False, page=PAGE)) == [visitor_id]
        (found,) = reader.visitors(claimed=True, page=PAGE)["items"]
        assert (found["claimed_by"], found["claimed_at"]) == (ALICE.key, later())
        assert reader.visitor(visitor_id) == {
            "id": visitor_id,
            "owner": visitor.key,
            "created_at": NOW,
            "claimed_by": None,
            "claimed_at": None,
            "rooms": 1,
            "conversations": 1,
            "messages": 1,
            "sessions": 0,
        }

    def test_documents_and_projects_are_told_deleted_or_not(
        self, start_work: StartWork, reader: OperatorReader
    ) -> None:
        here, gone = a_project(name="Here"), a_project(name="Gone", now=later())
        notes, taken, dropped = a_document(here, "notes.md"), a_document(gone, "taken.md"), a_document(gone, "early.md")
        with start_work() as work:
            for project in (here, gone):
                work.projects.add(project)
            for document in (notes, taken, dropped):
                work.documents.add(document)
            work.commit()
        deleted(start_work, Subject.DOCUMENT, dropped)
        deleted(start_work, Subject.PROJECT, gone, taken, at=later(3))

        (shown,) = reader.projects(owner=None, deleted=False, page=PAGE)["items"]
        (removed,) = reader.projects(owner=ALICE.key, deleted=True, page=PAGE)["items"]
        assert (shown["name"], shown["document_count"], shown["deleted_at"]) == ("Here", 1, None)
        assert (removed["name"], removed["document_count"], removed["deleted_at"]) == ("Gone", 1, later(3))
        assert reader.project(gone.id)["deletion"]["subject"] == "project"
        assert set(reader.project_keys(["here", "gone", "nowhere"])) == {"here"}
        assert set(reader.project_keys([])) == set()
        by_name = Page(sort_by="name", descending=False)
        found = reader.documents(owner=None, project="gone", deleted=True, page=by_name)
        assert [(one["name"], one["project"]) for one in found["items"]] == [("early.md", "gone"), ("taken.md", "gone")]
        assert ids(reader.documents(owner=None, project=None, deleted=False, page=by_name)) == [notes.id]
        assert ids(reader.documents(owner=BOB.key, project=None, deleted=False, page=by_name)) == []
        assert reader.document(taken.id)["deletion"]["subject"] == "project"
        assert reader.document(dropped.id)["deletion"]["subject"] == "document"

    def test_jobs_are_listed_by_state_and_kind(self, start_work: StartWork, reader: OperatorReader) -> None:
        first, second = a_job(id=new_id()), a_job(JobKind.EMBED, id=new_id(), owner=BOB.key)
        second.claim(NOW)
        second.fail("broken", "It is broken.", epoch=second.epoch, now=NOW)
        kept(start_work, jobs=[first, second])

        def listed(owner: str | None = None, statuses: tuple[str, ...] = (), kind: str | None = None) -> list[UUID]:
            return ids(reader.jobs(owner=owner, statuses=statuses, kind=kind, page=PAGE))

        assert listed() == [second.id, first.id]
        assert listed(statuses=("queued",)) == [first.id]
        assert listed(kind="embed") == [second.id]
        assert listed(ALICE.key, ("failed",)) == []
        shown = reader.job(second.id)
        assert (shown["status"], shown["error"]["code"], shown["owner"]) == ("failed", "broken", BOB.key)

    def test_job_analyses_are_told_without_their_texts(self, start_work: StartWork, reader: OperatorReader) -> None:
        here, gone = a_job_analysis("Requirements: Zig", title="Here"), a_job_analysis(title="Gone")
        kept(start_work, job_analyses=[here, gone])
        deleted(start_work, Subject.JOB_ANALYSIS, gone, at=later())

        assert ids(reader.job_analyses(owner=ALICE.key, deleted=False, page=PAGE)) == [here.id]
        assert ids(reader.job_analyses(owner=None, deleted=True, page=Page(sort_by="title"))) == [gone.id]
        assert ids(reader.job_analyses(owner=BOB.key, deleted=False, page=Page(sort_by="score"))) == []
        shown = reader.job_analysis(gone.id)
        assert (shown["title"], shown["deletion"]["subject"]) == ("Gone", "job_analysis")
        assert b"Zig" not in orjson.dumps(reader.job_analysis(here.id))

    def test_what_there_is_not_is_named(self, reader: OperatorReader) -> None:
        unknown = uuid4()

        for kind in (
            "room", "conversation", "reply", "session", "visitor", "project", "document", "job", "job_analysis"
        ):  # fmt: skip
            with pytest.raises(NotFound) as error:
                getattr(reader, kind)(unknown)
            assert error.value.slug == f"{kind}_not_found"
        with pytest.raises(NotFound):
            reader.messages(unknown, before=None, after=None, limit=1, all_branches=True)

    def test_what_waits_is_counted(self, start_work: StartWork, reader: OperatorReader) -> None:
        assert reader.waiting() == {
            "queued_replies": {"waiting": 0, "oldest": None},
            "running_replies": {"running": 0, "abandoned": 0, "oldest": None},
            "jobs": {"due": 0, "put_off": 0, "running": 0, "oldest": None},
            "outbox": {"events": 0, "oldest": None},
            "sessions": {"open": 0},
        }
        early = NOW - timedelta(minutes=9)
        waits, runs, lost = (a_conversation() for _ in range(3))
        posted, queued = asked(waits, now=early)
        question, running = asked(runs)
        running.claim(NOW)
        other, abandoned = asked(lost)
        abandoned.claim(early)
        due, put_off = a_job(now=early), a_job(now=later(60))
        kept(
            start_work,
            conversations=[waits, runs, lost],
            messages=[posted, question, other],
            replies=[queued, running, abandoned],
            jobs=[due, put_off],
            sessions=a_session(),
        )

        found = reader.waiting()

        assert running.status is ReplyStatus.RUNNING
        assert found["queued_replies"] == {"waiting": 1, "oldest": early}
        assert found["running_replies"] == {"running": 2, "abandoned": 1, "oldest": early}
        assert found["jobs"] == {"due": 1, "put_off": 1, "running": 0, "oldest": early}
        assert found["sessions"] == {"open": 1}
        assert found["outbox"]["events"] > 0
        assert found["outbox"]["oldest"] is not None


class TestSqlite(OnSqlite, OperatorReaderContract):
    @pytest.fixture
    def reader(self, database: Database) -> OperatorReader:
        return SqlOperatorReader(database, lambda: NOW)


class TestPostgres(OnPostgres, TestSqlite):
    """On PostgreSQL."""
