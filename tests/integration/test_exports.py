"""What is exported comes back as it was, in whatever database, and nothing else does."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from adapters.sql import tables
from adapters.sql.engine import Database
from adapters.sql.reader import SqlReader
from adapters.sql.retention import SqlPurges
from application.exporting.exporting import Branches, Format
from application.exporting.reading import ImportRefused
from application.ports.exporting import Extent
from application.ports.queries import MessagePage, Page
from domain.deletions import Subject
from domain.errors import Conflict, Forbidden, Invalid, NotFound
from domain.identity import SYSTEM, Principal, PrincipalKind
from domain.job_analyses import AnalysisStatus
from domain.knowledge import Visibility
from domain.limits import Limits
from domain.messages import Message, NewQuestion, Rating, Role
from domain.replies import Outcome, ReplyStatus
from domain.sessions import CloseReason
from tests.builders import (
    ALICE,
    BOB,
    NOW,
    a_conversation,
    a_deletion,
    a_document,
    a_job_analysis,
    a_posting,
    a_project,
    a_room,
    a_session,
    later,
)
from tests.exporting import MARKS, Exports, an_installation, changed, of_type, without
from tests.tree import Tree

_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=60).filter(
    lambda text: text.strip() != ""
)
_ODD = st.sampled_from(
    [
        "```python\nprint('never closed')",
        "~~~\n" * 30,
        "مرحبا، كيف حالك؟ שלום",
        "日本語 中文 한국어 😀 🧑\u200d🚀 e\u0301",
        "tab\there\r\nbell\x07 escape\x1b[31m del\x7f nel\x85 ls\u2028ps\u2029 bom\ufeff",
        '{"type": "end", "counts": {}}\n{"type":"room"}',
        "  leading and trailing \n\n",
        "x" * 4_900,
    ]
)
_ANYTHING = st.one_of(_TEXT, _ODD)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exports]:
    with an_installation(tmp_path_factory.mktemp("source")) as installation:
        yield installation


@pytest.fixture
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exports]:
    with an_installation(tmp_path_factory.mktemp("empty")) as installation:
        yield installation


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exports]:
    """One that nothing is ever taken in to."""
    with an_installation(tmp_path_factory.mktemp("untouched")) as installation:
        yield installation


@pytest.fixture
def on_postgres(postgres_database: Database) -> Exports:
    return Exports(postgres_database)


def grown(steps: list[tuple[int, str, int]]) -> Tree:
    """A conversation in which these things happened: what is done, a text, and which message it is done to."""
    tree = Tree(a_conversation(ALICE, title="Harbours", metadata={"a": [1, None, 0.1, 2**60], "": {"ü": True}}))
    for what, text, which in steps:
        questions = [message for message in tree.messages.values() if message.role is Role.USER]
        if what == 0 or not questions:
            tree.ask(text, text)
        elif what == 1:
            tree.edit(questions[which % len(questions)], text, text)
        elif what == 2 and tree.branch[-1].role is Role.ASSISTANT:
            tree.regenerate(text)
        elif what == 3:
            tree.select(list(tree.messages.values())[which % len(tree.messages)])
        else:
            answer = next(each for each in tree.branch[::-1] if each.role is Role.ASSISTANT)
            tree.conversation.give_feedback(answer, Rating.DOWN, "Hm.", limits=Limits(), now=NOW)
    return tree


def said(exports: Exports, conversation_id: UUID, asker: Principal = ALICE) -> list[str]:
    """The history, as it is read."""
    page = MessagePage(limit=100, after=0)
    found = SqlReader(exports.database).messages(conversation_id, asker, page)["items"]
    return [message["content"] for message in found]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 4), _ANYTHING, st.integers(0, 50)), min_size=1, max_size=12))
def test_a_conversation_comes_back_with_all_its_branches_as_they_were(
    source: Exports, on_postgres: Exports, steps: list[tuple[int, str, int]]
) -> None:
    """From SQLite to PostgreSQL and back to an SQLite that has forgotten it."""
    tree = grown(steps)
    conversation_id = source.keep(tree)
    before = source.records(conversation_id=conversation_id)

    on_postgres.take_in(source.file(conversation_id=conversation_id))
    there = on_postgres.records(conversation_id=conversation_id)

    assert there == before
    assert len(of_type(before, "message")) == len(tree.messages)
    assert said(on_postgres, conversation_id) == tree.contents
    for record in of_type(there, "message"):
        kept = tree.messages[UUID(record["id"])]
        assert (record["content"], record["position"], record["version"]) == (kept.content, kept.position, kept.version)
        assert record["superseded_by"] == (str(kept.superseded_by) if kept.superseded_by else None)


def test_what_comes_back_goes_on_like_any_other(source: Exports, empty: Exports) -> None:
    tree = grown([(0, "One", 0), (0, "Two", 0), (1, "Uno", 0), (2, "Again", 0)])
    conversation_id = source.keep(tree)

    empty.take_in(source.file(conversation_id=conversation_id))

    with empty.start_work() as work:
        conversation = work.conversations.get(conversation_id, for_=ALICE)
        assert (conversation.title, conversation.message_count) == ("Harbours", 2)
        assert (conversation.next_position, conversation.head_id) == (3, tree.branch[-1].id)
        assert conversation.retraces
        assert conversation.last_message == tree.conversation.last_message
        first = next(message for message in tree.messages.values() if message.content == "One")
        back = work.messages.get(first.id)
        assert back.alternatives == 1
        conversation.select(work.messages.fork(back), work.messages.following(back), NOW)
        reply = work.replies.get(tree.branch[-1].id, for_=ALICE)
        assert (reply.text, reply.status) == ("Again", ReplyStatus.COMPLETED)
        work.commit()
    assert said(empty, conversation_id) == ["One", "One", "Two", "Two"]


def test_what_comes_back_is_found_by_its_words(source: Exports, empty: Exports) -> None:
    conversation_id = source.keep(grown([(0, "Lanterns", 0)]))

    empty.take_in(source.file(conversation_id=conversation_id))

    found = SqlReader(empty.database).search(ALICE, "lantern", Page())
    assert {hit["conversation"]["id"] for hit in found["items"]} == {conversation_id}


def test_answers_keep_what_they_stood_on(source: Exports, empty: Exports) -> None:
    tree = Tree()
    tree.ask("Why?", "Because [1].")
    answer = tree.branch[-1]
    answer.sources = [
        {"number": 1, "title": "T", "heading": "H", "document": "d.md", "excerpt": "…", "page": 3, "relevance": 0.5}
    ]
    answer.tool_calls = [
        {
            "id": "1",
            "name": "t",
            "arguments": {"a": [1]},
            "result": "r",
            "error": None,
            "truncated": False,
            "duration_ms": 3,
        }
    ]
    answer.metadata = {"usage": {"input_tokens": 3}, "confidence": 0.25}
    tree.ask("And?", "")
    tree.branch[-1].status = "failed"
    tree.branch[-1].error = {"code": "model_failed", "message": "It broke."}
    conversation_id = source.keep(tree)

    empty.take_in(source.file(conversation_id=conversation_id))

    back = of_type(empty.records(conversation_id=conversation_id), "message")
    assert back == of_type(source.records(conversation_id=conversation_id), "message")
    assert (back[1]["sources"], back[1]["tool_calls"]) == (answer.sources, answer.tool_calls)
    assert back[3]["error"] == {"code": "model_failed", "message": "It broke."}


def everything(exports: Exports) -> tuple[Principal, dict[str, UUID]]:
    """Somebody who has one of all that there is, some of it deleted."""
    owner = Principal(PrincipalKind.USER, f"owner-{uuid4()}")
    room, gone = a_room(owner, "Plans", metadata={"n": 1}), a_room(owner, "Old plans")
    inside, lost = a_conversation(owner, room_id=room.id), a_conversation(owner, room_id=gone.id)
    project = a_project(owner, "Boats", key="boats", visibility=Visibility.PRIVATE)
    document = a_document(project, "boats.md", title="Boats", metadata={"lang": "en"})
    about = Tree(a_conversation(owner, project_id=project.id, external_id="chat 1"))
    about.ask("Which boat?")
    binned = a_conversation(owner, title="Binned")
    session = a_session(owner, f"conversation:{inside.id}", conversation_id=inside.id, context={"page": "/x"})
    session.rate(4, "Good.", Limits())
    session.close(CloseReason.CLOSED, later(5))
    analysis = a_job_analysis("Requirements: Zig", owner)
    analysis.status, analysis.score, analysis.result = AnalysisStatus.COMPLETED, 40, {"score": 40, "skills": []}
    with exports.start_work() as work:
        work.rooms.add(room)
        work.rooms.add(gone)
        for conversation in (inside, lost, binned):
            work.conversations.add(conversation)
        work.projects.add(project)
        work.documents.add(document)
        work.documents.keep_content(document.id, b"# Boats\n\nThey float.\n")
        work.sessions.add(session)
        work.job_analyses.add(analysis)
        taken = a_deletion(Subject.ROOM, gone.id, later(10))
        alone = a_deletion(Subject.CONVERSATION, binned.id, later(20))
        for deletion in (taken, alone):
            work.deletions.add(deletion)
        gone.delete(taken)
        lost.delete(taken)
        binned.delete(alone)
        work.commit()
    exports.keep(about)
    return owner, {
        "room": room.id,
        "gone": gone.id,
        "lost": lost.id,
        "binned": binned.id,
        "about": about.conversation.id,
        "document": document.id,
    }


def test_a_whole_installation_moves_to_another_database_and_back(
    tmp_path_factory: pytest.TempPathFactory, on_postgres: Exports, empty: Exports
) -> None:
    with an_installation(tmp_path_factory.mktemp("whole")) as whole:
        owner, ids = everything(whole)
        file, before = whole.file(deleted=True), whole.records(deleted=True)

    done = on_postgres.take_in(file)
    empty.take_in(on_postgres.file(deleted=True))

    for there in (on_postgres, empty):
        after = there.records(deleted=True)
        # A document is read in anew where it comes to, and has changed by that.
        assert _still(after) == _still(before)
        with there.start_work() as work:
            document = work.documents.get(ids["document"], for_=owner)
            assert work.documents.content(document.id) == b"# Boats\n\nThey float.\n"
            assert document.job_id is not None
            assert [job.subject_id for job in work.jobs.live([document.job_id])] == [document.id]
    assert dict(done.added) == {
        "room": 2,
        "conversation": 4,
        "message": 2,
        "project": 1,
        "document": 1,
        "session": 1,
        "job_analysis": 1,
    }
    assert not done.notes


def _still(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record | {"updated_at": None} if record.get("type") == "document" else record for record in records]


def test_what_was_deleted_comes_back_deleted_and_can_be_restored(source: Exports, empty: Exports) -> None:
    owner, ids = everything(source)

    empty.take_in(source.file(owner=owner.key, deleted=True))

    with empty.start_work() as work:
        room = work.rooms.get(ids["gone"], for_=owner, deleted=True)
        deletion = work.deletions.get(room.deletion_id or uuid4())
        taken = work.conversations.taken_by(deletion.id)
        assert [conversation.id for conversation in taken] == [ids["lost"]]
        deletion.restore(NOW)
        room.restore(deletion, NOW)
        for conversation in taken:
            conversation.restore(deletion, NOW)
        binned = work.conversations.get(ids["binned"], for_=owner, deleted=True)
        own = work.deletions.get(binned.deletion_id or uuid4())
        assert (own.subject, own.deleted_at) == (Subject.CONVERSATION, later(20))
        work.commit()


def test_what_is_deleted_is_in_no_export_that_does_not_ask_for_it(source: Exports) -> None:
    owner, ids = everything(source)

    records = source.records(owner=owner.key)

    named = {record.get("id") for record in records}
    assert {str(ids["room"]), str(ids["about"])} <= named
    assert not {str(ids["gone"]), str(ids["lost"]), str(ids["binned"])} & named
    with pytest.raises(NotFound):
        source.file(room_id=ids["gone"])
    assert of_type(source.records(room_id=ids["gone"], deleted=True), "conversation")[0]["id"] == str(ids["lost"])


def test_an_export_is_its_owners_and_an_admins(source: Exports) -> None:
    conversation_id = source.keep(grown([(0, "Mine", 0)]))
    admin = Principal(PrincipalKind.USER, "root", frozenset({"admin"}))

    for extent in (Extent(conversation_id=conversation_id), Extent(owner=ALICE.key), Extent()):
        with pytest.raises(Forbidden):
            source.chunks(extent, principal=BOB)
        assert b'"end"' in b"".join(source.chunks(extent, principal=admin))
    assert b'"end"' in b"".join(source.chunks(Extent(conversation_id=conversation_id), principal=ALICE))


def test_a_reply_in_the_making_is_no_part_of_an_export(source: Exports, empty: Exports) -> None:
    tree = grown([(0, "One", 0)])
    conversation_id = source.keep(tree)
    settled = source.records(conversation_id=conversation_id)
    with source.start_work() as work:
        conversation = work.conversations.get(conversation_id, for_=ALICE)
        answer = work.messages.get(tree.branch[-1].id)
        reply = conversation.regenerate(
            answer, reply_id=uuid4(), versions=1, live_replies=0, limits=Limits(), now=later(3)
        )
        work.replies.add(reply)
        work.commit()

    during = source.records(conversation_id=conversation_id)

    assert during == settled
    empty.take_in(source.file(conversation_id=conversation_id))
    assert said(empty, conversation_id) == ["One", "One"]


def test_what_an_older_parley_did_not_note_is_concluded(source: Exports, empty: Exports) -> None:
    tree = grown([(0, "One", 0), (0, "Two", 0), (2, "Again", 0)])
    for message in tree.messages.values():
        message.parent_id = None
    conversation_id = source.keep(tree)

    empty.take_in(source.file(conversation_id=conversation_id))

    messages = of_type(empty.records(conversation_id=conversation_id), "message")
    by_id = {message["id"]: message for message in messages}
    assert [by_id[message["parent_id"]]["position"] for message in messages[1:]] == [1, 2, 3, 3]
    assert said(empty, conversation_id) == ["One", "One", "Two", "Again"]


def test_the_current_branches_alone_are_a_history_without_branches(source: Exports, empty: Exports) -> None:
    tree = grown([(0, "One", 0), (0, "Two", 0), (1, "Uno", 0), (2, "Again", 0)])
    conversation_id = source.keep(tree)

    empty.take_in(source.file(conversation_id=conversation_id, branches=Branches.CURRENT))

    messages = of_type(empty.records(conversation_id=conversation_id), "message")
    assert [(each["content"], each["version"]) for each in messages] == [("Uno", 1), ("Again", 1)]
    with pytest.raises(Invalid, match="branches"):
        source.file(Format.MARKDOWN, Branches.ALL, conversation_id=conversation_id)


# The same again


def test_the_same_file_twice_makes_nothing_twice(source: Exports, empty: Exports) -> None:
    owner, _ = everything(source)
    file = source.file(owner=owner.key, deleted=True)
    first = empty.take_in(file)
    before = empty.records(deleted=True)

    again = empty.take_in(file)

    assert not again.added
    assert again.present == first.added
    assert empty.records(deleted=True) == before


def test_as_new_everything_is_there_once_more(source: Exports, empty: Exports) -> None:
    tree = grown([(0, "One", 0), (1, "Uno", 0)])
    file = source.file(conversation_id=source.keep(tree))
    empty.take_in(file)

    for _ in range(2):
        empty.take_in(file, as_new=True)

    conversations = of_type(empty.records(), "conversation")
    assert len({conversation["id"] for conversation in conversations}) == 3
    assert [said(empty, UUID(conversation["id"])) for conversation in conversations] == [["Uno", "Uno"]] * 3


def test_somebody_elses_copy_has_ids_of_its_own_and_the_same_ones_each_time(source: Exports) -> None:
    owner, ids = everything(source)
    file = source.file(owner=owner.key)
    before = source.records(owner=owner.key)

    other = Principal(PrincipalKind.USER, f"other-{uuid4()}")

    first = source.take_in(file, owner=other)
    again = source.take_in(file, owner=other)

    assert source.records(owner=owner.key) == before
    assert not again.added
    assert again.present == first.added
    of_bob = source.records(owner=other.key)
    assert first.added["room"] == len(of_type(of_bob, "room"))
    assert not {record.get("id") for record in of_bob} & {record.get("id") for record in before} - {None}
    inside = next(each for each in of_type(of_bob, "session") if each["conversation_id"])
    assert inside["binding"] == f"conversation:{inside['conversation_id']}"
    assert inside["conversation_id"] in {conversation["id"] for conversation in of_type(of_bob, "conversation")}
    assert {message["conversation_id"] for message in of_type(of_bob, "message")} == {
        conversation["id"] for conversation in of_type(of_bob, "conversation") if conversation["external_id"]
    }
    with pytest.raises(Forbidden), source.start_work() as work:
        work.conversations.get(ids["about"], for_=other)


def test_what_was_interrupted_goes_on(source: Exports, empty: Exports) -> None:
    owner = Principal(PrincipalKind.USER, "interrupted")
    for number in range(3):
        tree = Tree(a_conversation(owner, title=f"Talk {number}"))
        tree.ask()
        source.keep(tree)
    file = source.file(owner=owner.key)
    steps = 0

    def stop(done: int) -> None:
        nonlocal steps
        steps += 1
        if steps == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        empty.take_in(file, advance=stop)
    there = empty.records(owner=owner.key)
    done = empty.take_in(file)

    assert len(of_type(there, "conversation")) == 2
    assert len(of_type(there, "message")) == 4
    assert (done.present["conversation"], done.added["conversation"], done.added["message"]) == (2, 1, 2)
    assert empty.records(owner=owner.key) == source.records(owner=owner.key)


def test_a_dry_run_says_what_would_be_done_and_does_nothing(source: Exports, empty: Exports) -> None:
    owner, _ = everything(source)
    file = source.file(owner=owner.key, deleted=True)

    told = empty.take_in(file, dry_run=True)
    there = empty.records(deleted=True)
    done = empty.take_in(file)

    assert [record["type"] for record in there] == ["end"]
    assert (told.added, told.present) == (done.added, done.present)


# What is refused


def test_a_file_that_is_not_whole_is_refused_and_nothing_of_it_is_taken(source: Exports, untouched: Exports) -> None:
    file = source.file(conversation_id=source.keep(grown([(0, "One", 0), (0, "Two", 0)])))
    lines = file.splitlines(keepends=True)

    cases: dict[bytes, str] = {
        b"": "line 1: The file is empty.",
        b"\n": "line 1: This is no export of Parley's",
        b'{"a": 1}\n': "line 1, format: This is no export",
        b"\x80\x81\n": "line 1: This is no export of Parley's",
        b"".join(lines[:-1]): "line 6: The file is cut off",
        b"".join(lines[:3]): "line 3: The file is cut off",
        b"".join(lines[:3] + lines[4:]): "line 4, message.position: Must be 2",
        b"".join(lines[:5] + lines[6:]): "line 6, counts: There are",
        b"".join([*lines, lines[2]]): "line 8: Something follows the end",
        b"".join([*lines[:2], lines[3], lines[2], *lines[4:]]): "line 3, message.position: Must be 1",
        b"".join([lines[0], *lines[2:]]): "line 2, message.conversation_id: Must follow its conversation",
        b"".join([*lines[:3], b"{nonsense\n", *lines[4:]]): "line 4: Is not JSON",
        b"".join([*lines[:3], b"[1]\n", *lines[4:]]): "line 4: Must be a JSON object",
        b"".join([*lines[:3], b"[" * 100_000 + b"\n"]): "line 4: Is not JSON",
        b"".join([*lines[:3], lines[3][:-20]]): "line 4: Is not JSON",
    }
    for broken, told in cases.items():
        with pytest.raises(ImportRefused) as refused:
            untouched.take_in(broken)
        assert refused.value.message.startswith(told), refused.value.message
    assert [record["type"] for record in untouched.records(deleted=True)] == ["end"]


@pytest.mark.parametrize(
    ("line", "change", "told"),
    [
        (1, {"version": 2}, "line 1, version: Is 2: a newer Parley"),
        (1, {"version": "1"}, "line 1, version: Must be a whole number"),
        (1, {"format": "other"}, "line 1, format: This is no export"),
        (2, {"type": "person"}, "line 2, type: Must be one of"),
        (2, {"id": "1"}, "line 2, conversation.id: Must be 36"),
        (2, {"owner": "alice"}, "line 2, conversation.owner: Must be user:<id>"),
        (2, {"title": "x" * 201}, "line 2, conversation.title: Must be 0 to 200 characters"),
        (2, {"title": "a\x00b"}, "line 2, conversation.title: Must be valid Unicode"),
        (2, {"metadata": {"a": "x" * 20_000}}, "line 2, conversation.metadata: Must be at most 10,240 bytes"),
        (2, {"metadata": []}, "line 2, conversation.metadata: Must be an object"),
        (2, {"created_at": "yesterday"}, "line 2, conversation.created_at: Must be a time"),
        (2, {"created_at": "0001-01-01T00:00:00+14:00"}, "line 2, conversation.created_at: Must be a time"),
        (2, {"created_at": "9999-12-31T23:59:59-12:00"}, "line 2, conversation.created_at: Must be a time"),
        (2, {"created_at": "2026-01-01T00:00:00"}, "line 2, conversation.created_at: Must say its zone"),
        (2, {"secret": 1}, "line 2, conversation.secret: Is not known here"),
        (2, {"forgotten": {"general": 0}}, "line 2, conversation.forgotten.general: Must be a whole number"),
        (3, {"role": "owner"}, "line 3, message.role: Must be one of user"),
        (3, {"content": " "}, "line 3, message.content: Must not be empty"),
        (3, {"content": "\ud800"}, "line 3, message.content: Must be valid Unicode"),
        (3, {"content": "x" * 100_001}, "line 3, message.content: Must be 0 to 100,000 characters"),
        (3, {"position": 2}, "line 3, message.position: Must be 1"),
        (3, {"position": True}, "line 3, message.position: Must be a whole number"),
        (3, {"version": 2}, "line 3, message.version: Must be 1"),
        (3, {"parent_id": "01a1ff8f-2190-7238-add8-b11359efc978"}, "line 3, message.parent_id: Must be null"),
        (3, {"conversation_id": "01a1ff8f-2190-7238-add8-b11359efc978"}, "line 3, message.conversation_id: Must be"),
        (4, {"parent_id": None}, "line 4, message.parent_id: Must be a message of the position before"),
        (4, {"status": "running"}, "line 4, message.status: Must be one of completed"),
        (4, {"sources": [{"number": 1}]}, "line 4, message.sources.0.title: Is missing"),
        (4, {"tool_calls": [{}]}, "line 4, message.tool_calls.0.id: Is missing"),
        (4, {"feedback": {"rating": "meh", "given_at": "2026-01-01T00:00:00Z"}}, "line 4, message.feedback.rating:"),
        (4, {"agent": None}, "line 4, message.reply: Must be null"),
        (4, {"metadata": {"a": float("nan")}}, "line 4, message.metadata: Must not hold NaN"),
        (5, {"superseded_by": "01a1ff8f-2190-7238-add8-b11359efc978"}, "line 6, message.superseded_by: Must not be"),
    ],
)
def test_a_record_of_another_shape_is_refused_by_line_and_field(
    source: Exports, untouched: Exports, line: int, change: dict[str, Any], told: str
) -> None:
    file = source.file(conversation_id=source.keep(grown([(0, "One", 0), (0, "Two", 0)])))

    with pytest.raises(ImportRefused) as refused:
        untouched.take_in(changed(file, line, lambda record: record.update(change)))

    assert refused.value.message.startswith(told), refused.value.message
    assert refused.value.details["line"] == int(told.split()[1].strip(",:"))
    assert [record["type"] for record in untouched.records(deleted=True)] == ["end"]


def test_a_missing_member_is_refused_and_a_needless_one_may_be_missing(source: Exports, empty: Exports) -> None:
    file = source.file(conversation_id=source.keep(grown([(0, "One", 0)])))

    for name in ("id", "owner", "agent", "created_at", "last_activity_at"):
        with pytest.raises(ImportRefused, match=rf"conversation\.{name}: Is missing"):
            empty.take_in(without(file, 2, name))
    file = without(file, 2, "metadata", "room_id", "external_id", "deletion", "forgotten", "project_id")
    file = without(
        file, 4, "sources", "tool_calls", "error", "metadata", "feedback", "reply", "superseded_by", "status"
    )
    assert empty.take_in(file).added["message"] == 2


def test_a_message_that_is_in_another_conversation_here_is_refused(source: Exports, empty: Exports) -> None:
    tree = grown([(0, "One", 0)])
    file = source.file(conversation_id=source.keep(tree))
    empty.take_in(file)
    other = json.loads(file.splitlines()[1])["id"]
    renamed = file.replace(other.encode(), str(uuid4()).encode())

    with pytest.raises(ImportRefused, match="is in another conversation here"):
        empty.take_in(renamed)


def test_who_has_too_many_rooms_gets_none_of_the_file(
    source: Exports, tmp_path_factory: pytest.TempPathFactory
) -> None:
    owner = Principal(PrincipalKind.USER, "roomy")
    with source.start_work() as work:
        for number in range(3):
            work.rooms.add(a_room(owner, f"Room {number}"))
        work.commit()
    file = source.file(owner=owner.key)

    with an_installation(tmp_path_factory.mktemp("small"), rooms=2) as small:
        with pytest.raises(Conflict, match="2 is the most"):
            small.take_in(file)
        assert [record["type"] for record in small.records()] == ["end"]


def test_nobody_gets_at_a_private_project_by_an_import(source: Exports) -> None:
    project = a_project(BOB, "Secrets", key=f"secrets-{uuid4().hex[:8]}")
    with source.start_work() as work:
        work.projects.add(project)
        work.commit()
    tree = Tree(a_conversation(Principal(PrincipalKind.USER, "mallory"), project_id=project.id))
    tree.ask()
    tree.replies[0].project_id = project.id
    conversation_id = source.keep(tree)
    carol = Principal(PrincipalKind.USER, "carol")

    done = source.take_in(source.file(conversation_id=conversation_id), owner=carol)

    records = source.records(owner=carol.key)
    assert of_type(records, "conversation")[0]["project_id"] is None
    assert of_type(records, "message")[1]["reply"]["project_id"] is None
    assert [note for note in done.notes if str(project.id) in note]


# Large ones


def a_long_one(exports: Exports, messages: int) -> UUID:
    conversation = a_conversation(ALICE, title="Long")
    parent: UUID | None = None
    some: list[Message] = []
    with exports.start_work() as work:
        work.conversations.add(conversation)
        for begin in range(1, messages + 1, 1000):
            some = []
            for position in range(begin, min(begin + 1000, messages + 1)):
                role = Role.USER if position % 2 else Role.ASSISTANT
                some.append(
                    Message(
                        id=uuid4(),
                        conversation_id=conversation.id,
                        owner=ALICE.key,
                        position=position,
                        role=role,
                        content=f"Number {position}. " + "word " * 20,
                        agent="general" if role is Role.ASSISTANT else None,
                        created_at=NOW + timedelta(seconds=position),
                        parent_id=parent,
                    )
                )
                parent = some[-1].id
            work.imports.add_messages(some, [])
        conversation.hold(some[-1], count=messages, reached=None, now=NOW)
        work.commit()
    return conversation.id


def test_a_long_export_takes_no_more_memory_than_a_short_one_and_gives_way(source: Exports) -> None:
    short, long = a_long_one(source, 2_000), a_long_one(source, 20_000)

    b"".join(source.chunks(Extent(conversation_id=short)))  # What is made once is made.
    of_short, of_long = memory_for(source, short), memory_for(source, long)

    assert of_long < of_short + 500_000
    assert source.turns > 100


def memory_for(exports: Exports, conversation_id: UUID) -> int:
    """The most bytes that an export takes at a time."""
    chunks = exports.chunks(Extent(conversation_id=conversation_id))
    tracemalloc.start()
    assert all(len(chunk) < 200_000 for chunk in chunks)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_a_long_history_comes_back_whole(source: Exports, empty: Exports) -> None:
    conversation_id = a_long_one(source, 2_345)

    empty.take_in(source.file(conversation_id=conversation_id))

    assert empty.records(conversation_id=conversation_id) == source.records(conversation_id=conversation_id)


def test_another_branch_that_is_selected_meanwhile_changes_nothing(source: Exports, empty: Exports) -> None:
    conversation_id = a_long_one(source, 500)
    tree_before = said(source, conversation_id)
    with source.start_work() as work:
        page = [work.messages.window(conversation_id, start=1, before=2, limit=1)[0]]
    first = page[0]
    chunks = source.chunks(Extent(conversation_id=conversation_id))
    taken = [next(chunks)]
    with source.start_work() as work:
        conversation = work.conversations.get(conversation_id, for_=ALICE)
        question = work.messages.get(first.id)
        a_posting(later(9)).edit(work, conversation, question, NewQuestion("Another beginning"))
        work.commit()

    taken += chunks

    empty.take_in(b"".join(taken))
    assert said(empty, conversation_id) == tree_before


def test_a_conversation_that_is_purged_meanwhile_ends_the_export_without_its_end(source: Exports) -> None:
    conversation_id = a_long_one(source, 1_000)
    chunks = source.chunks(Extent(conversation_id=conversation_id))
    next(chunks)
    with source.database.at_once() as connection:
        connection.execute(tables.messages.delete().where(tables.messages.c.conversation_id == conversation_id))

    with pytest.raises(Exception, match="removed while it was exported"):
        list(chunks)


def test_outcomes_of_replies_stay(source: Exports, empty: Exports) -> None:
    tree = Tree()
    question = tree.ask("Why?")
    assert question.position == 1
    _, reply = tree.edit_only(question, "How?")
    reply.claim(NOW)
    cancelled = replace(Outcome(status=ReplyStatus.COMPLETED), status=ReplyStatus.CANCELLED, text="Half")
    reply.end(cancelled, epoch=reply.epoch, final_seq=7, now=later(2))
    message = tree.conversation.take_answer(reply, later(2), versions=())
    tree.messages[message.id] = message
    tree.replies.append(reply)
    conversation_id = source.keep(tree)

    empty.take_in(source.file(conversation_id=conversation_id))

    with empty.start_work() as work:
        back = work.replies.get(reply.id, for_=SYSTEM)
        assert (back.status, back.text, back.final_seq, back.finished_at) == ("cancelled", "Half", 7, later(2))
        assert (back.started_at, back.created_at, back.agent) == (reply.started_at, reply.created_at, reply.agent)


def test_what_was_purged_comes_back_under_another_id(source: Exports, empty: Exports) -> None:
    """Every store has been told to take in nothing of the one that it had."""
    tree = grown([(0, "One", 0), (1, "Uno", 0)])
    conversation_id = source.keep(tree)
    file = source.file(conversation_id=conversation_id)

    for _ in range(2):
        there = [UUID(record["id"]) for record in of_type(empty.records(), "conversation")]
        purge(empty, there or [conversation_id])
        taken = empty.take_in(file)
        assert taken.notes == ["Something was purged here: it comes back under another id."]
        again = empty.take_in(file)

        assert not again.added
        assert not again.notes
        (back,) = [UUID(record["id"]) for record in of_type(empty.records(), "conversation")]
        assert back not in (conversation_id, *there)
        assert said(empty, back) == tree.contents
        messages = {UUID(record["id"]) for record in of_type(empty.records(), "message")}
        assert not messages & tree.messages.keys()


def purge(exports: Exports, conversations: list[UUID]) -> None:
    """Remove them as if they had been purged."""
    with exports.database.writing() as connection:
        of_these = tables.messages.c.conversation_id.in_(conversations)
        connection.execute(tables.replies.delete().where(tables.replies.c.conversation_id.in_(conversations)))
        connection.execute(tables.messages.delete().where(of_these))
        connection.execute(tables.conversations.delete().where(tables.conversations.c.id.in_(conversations)))
        ids = {"conversations": [str(each) for each in conversations]}
        connection.execute(tables.purges.insert().values(ids=ids, counts={}, purged_at=NOW))
        connection.commit()


def test_who_was_erased_does_not_come_back_unasked(source: Exports, empty: Exports) -> None:
    owner, _ = everything(source)
    source_file = source.file(owner=owner.key, deleted=True)
    SqlPurges(empty.database).mark(MARKS.of(owner.key), NOW)

    done = empty.take_in(source_file)

    assert (dict(done.added), dict(done.present)) == ({}, {})
    assert done.notes == [f"All of {owner.key} was erased here, and is left out."]
    assert [record["type"] for record in empty.records(deleted=True)] == ["end"]
    assert empty.take_in(source_file, owner=BOB).added["conversation"] == 4


def written(*records: dict[str, Any]) -> bytes:
    """A file of these records that somebody else has made."""
    at = {"created_at": "2026-01-01T00:00:00Z"}
    needed: dict[str, dict[str, Any]] = {
        "visitor": at,
        "project": {"updated_at": at["created_at"], "name": "Plans", "visibility": "private"} | at,
        "room": {"updated_at": at["created_at"], "name": "Plans"} | at,
        "conversation": {"updated_at": at["created_at"], "last_activity_at": at["created_at"], "agent": "general"} | at,
        "message": {"position": 1, "version": 1, "role": "user", "content": "Hello"} | at,
        "session": dict.fromkeys(["active_at", "expires_at", "ends_at"], at["created_at"]) | at,
    }
    counts = Counter(record["type"] for record in records)
    lines = [needed[record["type"]] | {"id": str(uuid4()), "owner": ALICE.key} | record for record in records]
    for line in lines:
        if line["type"] in ("visitor", "message"):
            line.pop("owner")
    ends = {"type": "end", "counts": counts}
    return b"\n".join(json.dumps(line).encode() for line in [{"format": "parley-export", "version": 1}, *lines, ends])


def test_nothing_gets_into_a_room_of_somebody_else(empty: Exports) -> None:
    room = {"type": "room", "id": str(uuid4())}
    talk = {"type": "conversation", "id": str(uuid4()), "owner": BOB.key, "room_id": room["id"]}
    taken: dict[str, Any] = {
        "id": str(uuid4()),
        "subject": "room",
        "subject_id": room["id"],
        "deleted_at": "2026-01-02T00:00:00Z",
    }
    taken |= {"conversation_count": 1, "message_count": 0}

    for file in (written(room, talk), written(*(each | {"id": str(uuid4())} for each in (room, talk)))):
        assert empty.take_in(file).notes == [
            f"The conversation {json.loads(file.splitlines()[2])['id']} is in no room: its own is not here."
        ]
    gone = {"type": "room", "id": str(uuid4()), "deletion": taken}
    gone["deletion"] = taken | {"subject_id": gone["id"]}
    with_it = {"type": "conversation", "owner": BOB.key, "room_id": gone["id"], "deletion": gone["deletion"]}
    empty.take_in(written(gone, with_it))

    with empty.database.reading() as connection:
        assert set(connection.execute(select(tables.conversations.c.room_id)).scalars()) == {None}
        owners = {(row.owner, row.subject) for row in connection.execute(select(tables.deletions))}
    assert owners == {(ALICE.key, Subject.ROOM), (BOB.key, Subject.CONVERSATION)}


def test_a_message_that_is_twice_in_a_file_is_refused_before_anything_is_written(untouched: Exports) -> None:
    one, other, said = (str(uuid4()) for _ in range(3))
    talks = [{"type": "conversation", "id": each} for each in (one, other)]
    messages = [{"type": "message", "id": said, "conversation_id": each} for each in (one, other)]
    again = messages[0] | {"position": 2, "parent_id": said}

    for file, line in (
        (written(talks[0], messages[0], talks[1], messages[1]), 5),
        (written(talks[0], messages[0], again), 4),
    ):
        for as_new in (False, True):
            with pytest.raises(ImportRefused, match=rf"line {line}, message\.id: Must not be further up"):
                untouched.take_in(file, as_new=as_new)
    assert [record["type"] for record in untouched.records(deleted=True)] == ["end"]


@pytest.mark.parametrize("owner", [None, BOB])
def test_a_visitor_who_was_erased_does_not_come_back(empty: Exports, owner: Principal | None) -> None:
    """Neither does who was a user that was erased, whose name it would bring along."""
    erased, fay = str(uuid4()), "user:fay"
    for key in (f"visitor:{erased}", fay):
        SqlPurges(empty.database).mark(MARKS.of(key), NOW)
    was = {"type": "visitor", "claimed_by": fay, "claimed_at": "2026-01-02T00:00:00Z"}

    done = empty.take_in(written({"type": "visitor", "id": erased}, was, {"type": "visitor"}), owner=owner)

    assert dict(done.added) == {"visitor": 1}
    assert done.notes == [f"All of {key} was erased here, and is left out." for key in (f"visitor:{erased}", fay)]


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"type": "session", "binding": "nothing"}, "session.binding: Must be own"),
        ({"type": "session", "binding": f"project:{uuid4()}"}, "session.binding: Must be own"),
        ({"type": "project", "key": "../Boats"}, "project.key: Must be 1 to 60 small letters"),
    ],
)
def test_what_others_are_named_by_is_of_its_form(untouched: Exports, record: dict[str, Any], told: str) -> None:
    with pytest.raises(ImportRefused, match=told):
        untouched.take_in(written(record))
