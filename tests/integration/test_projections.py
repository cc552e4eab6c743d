"""Read models follow the committed state, are rebuilt from it, and are relied on only when they hold it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from adapters.in_process.queue import InProcessSignals
from adapters.in_process.reply_log import InProcessReplyLog
from adapters.sql.engine import Database, open_database
from adapters.sql.outbox import SqlOutbox
from adapters.sql.reader import SqlReader
from adapters.sql.schema import Schema
from adapters.sql.snapshots import SqlSnapshots
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.conversations.asking import RegenerateReply, RegenerateReplyHandler
from application.conversations.branching import EditQuestion, EditQuestionHandler, SelectVersion, SelectVersionHandler
from application.conversations.feedback import GiveFeedback, GiveFeedbackHandler
from application.ports.persistence import StartWork
from application.ports.projections import Model, ReadModelsUnavailable, RecordedEvent
from application.ports.queries import Page
from application.projections import Difference, Projector, RebuildProjections, VerifyProjections
from application.reading import DegradingReader
from application.relay import Relay
from application.replies.ending import ReplyEnding
from domain.events import ConversationChanged, Event
from domain.limits import Limits
from domain.messages import Rating, Role
from tests.builders import ALICE, a_conversation, a_posting, a_room, answered, completed, later
from tests.fakes.read_models import MemoryReadModels
from tests.tree import Tree


class World:
    """Write tables, read models in memory, and what goes on between them."""

    def __init__(self, database: Database) -> None:
        self.snapshots = SqlSnapshots(database)
        self.models = MemoryReadModels()
        self.outbox = SqlOutbox(database, grace=timedelta())
        self.sql = SqlReader(database)
        preferred: Any = _Unreachable()
        self.signals = InProcessSignals()
        self.reader = DegradingReader(
            preferred, self.sql, self.models, Projector(self.snapshots, self.models), self.outbox, self.signals, _now
        )
        self.relay = Relay(self.outbox, [self.reader.project_at_once], [self.reader.project])
        self.start_work: StartWork = lambda: SqlUnitOfWork(database, self.relay.committed)
        self.verify = VerifyProjections(self.snapshots, self.models, pause=lambda: None)
        self.rebuild = RebuildProjections(self.snapshots, self.models)

    def talk(self) -> tuple[UUID, UUID]:
        """A room with a conversation, a question and an answer; the conversation's id and the answer's."""
        room = a_room()
        conversation = a_conversation(room_id=room.id)
        question, reply, answer = answered(conversation)
        with self.start_work() as work:
            work.rooms.add(room)
            work.conversations.add(conversation)
            work.messages.add(question)
            work.messages.add(answer)
            work.replies.add(reply)
            work.commit()
        return conversation.id, answer.id

    def grow(self, *questions: str) -> Tree:
        """A conversation with these questions, each answered."""
        tree = Tree()
        for question in questions:
            tree.ask(question)
        with self.start_work() as work:
            work.conversations.add(tree.conversation)
            for message in tree.messages.values():
                work.messages.add(message)
            for reply in tree.replies:
                work.replies.add(reply)
            work.commit()
        return tree

    def edit(self, question_id: UUID) -> UUID:
        """Another version of a question and its answer, whose id it is."""
        edit = EditQuestionHandler(self.start_work, a_posting(_now()))
        _, reply = edit(EditQuestion(principal=ALICE, message_id=question_id, content="Changed"))
        self._end(reply.id)
        return reply.id

    def regenerate(self, answer_id: UUID) -> UUID:
        regenerate = RegenerateReplyHandler(self.start_work, a_posting(_now()))
        reply = regenerate(RegenerateReply(principal=ALICE, reply_id=answer_id))
        self._end(reply.id)
        return reply.id

    def select(self, message_id: UUID) -> None:
        SelectVersionHandler(self.start_work, _now)(SelectVersion(principal=ALICE, message_id=message_id))

    def rate(self, answer_id: UUID) -> None:
        rate = GiveFeedbackHandler(self.start_work, _now, Limits())
        rate(GiveFeedback(principal=ALICE, message_id=answer_id, rating=Rating.UP))

    def _end(self, reply_id: UUID) -> None:
        with self.start_work() as work:
            reply = work.replies.get(reply_id, for_=ALICE)
            reply.claim(_now())
            work.commit()
        ReplyEnding(self.start_work, InProcessReplyLog(60), _now).end(reply, completed(), epoch=1, final_seq=0)

    def differences(self) -> dict[UUID, Difference]:
        return {thing: difference for (_, thing), difference in self.verify(_quietly).items()}


class _Unreachable:
    """Queries that find nobody: whoever answers is the fallback."""

    def __getattr__(self, query: str) -> Callable[..., object]:
        def fail(*_arguments: object, **_named: object) -> object:
            raise ReadModelsUnavailable("away")

        return fail


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    database = open_database(f"sqlite:///{tmp_path / 'parley.db'}")
    Schema(database).upgrade()
    world = World(database)
    world.models.complete()
    yield world
    database.dispose()


def test_what_is_committed_is_projected_and_forgotten_in_the_outbox(world: World) -> None:
    world.talk()

    assert world.differences() == {}
    assert world.models.saves == 1
    world.relay()
    assert world.outbox.age() == timedelta()


def test_the_read_models_follow_edits_selections_and_feedback(world: World) -> None:
    tree = world.grow("One", "Two", "Three")
    questions = [message.id for message in tree.branch if message.role is Role.USER]
    answers = [message.id for message in tree.branch if message.role is Role.ASSISTANT]

    others = []
    for question in (questions[2], questions[0]):
        others.append(world.edit(question))
        assert world.differences() == {}
    for message in (answers[2], *others, answers[0]):
        world.select(message)
        assert world.differences() == {}
    world.rate(answers[1])
    world.rate(answers[0])

    assert world.differences() == {}
    shown = world.models.of(Model.MESSAGES, answers)
    assert [snapshot.document["feedback"]["rating"] for snapshot in shown if snapshot.document["feedback"]] == [
        "up"
    ] * 2
    assert world.models.of(Model.CONVERSATIONS, [tree.conversation.id])[0].document["message_count"] == 6


def test_another_version_of_an_answer_is_told_of_in_the_versions_there_are(world: World) -> None:
    tree = world.grow("One")
    last = tree.branch[-1].id

    newest = world.regenerate(world.regenerate(last))

    assert world.differences() == {}
    shown = world.models.of(Model.MESSAGES, [last, newest])
    assert [(each.document["alternatives"], each.hidden) for each in shown] == [(2, True), (2, False)]


def test_a_history_of_any_length_is_projected_in_batches(world: World) -> None:
    tree = world.grow(*map(str, range(600)))
    world.models.saves = 0

    world.edit(tree.branch[0].id)

    assert world.models.saves > 2
    assert world.differences() == {}
    assert world.models.of(Model.CONVERSATIONS, [tree.conversation.id])[0].document["message_count"] == 2


def test_what_could_not_be_projected_is_projected_by_the_relay(world: World) -> None:
    world.models.away = True
    world.talk()
    assert world.outbox.age() > timedelta()

    world.models.away = False
    world.relay()

    assert world.differences() == {}
    assert world.outbox.age() == timedelta()


def test_an_event_that_cannot_be_delivered_holds_up_no_other(world: World) -> None:
    refused = uuid4()
    taken: list[UUID] = []

    def refuse_one(events: Sequence[RecordedEvent]) -> None:
        if any(event.subject_id == refused for event in events):
            raise ZeroDivisionError
        taken.extend(event.subject_id for event in events)

    relay = Relay(world.outbox, subscribers=[refuse_one])
    with SqlUnitOfWork(world.snapshots._database) as work:
        rooms = [a_room(id=refused), a_room(), a_room()]
        for room in rooms:
            work.rooms.add(room)
        work.commit()

    relay()

    assert taken == [room.id for room in rooms[1:]]
    assert world.outbox.age() > timedelta()


def test_events_may_come_twice_and_late(world: World) -> None:
    events: list[RecordedEvent] = []
    start_work: StartWork = lambda: SqlUnitOfWork(world.snapshots._database, events.extend)  # noqa: E731
    conversation = a_conversation()
    with start_work() as work:
        work.conversations.add(conversation)
        work.commit()
    for title in ("Second", "Third"):
        with start_work() as work:
            found = work.conversations.get(conversation.id, for_=ALICE)
            found.title = title
            found.last_activity_at = later()
            found.record(replace_subject(events[0]))
            work.commit()
    projector = Projector(world.snapshots, world.models)

    for event in reversed([*events, *events]):
        projector([event])

    assert world.differences() == {}
    assert world.models.of(Model.CONVERSATIONS, [conversation.id])[0].document["title"] == "Third"


def test_callers_at_once_share_a_round(world: World) -> None:
    in_the_first_round, go_on = threading.Event(), threading.Event()

    class Waiting(MemoryReadModels):
        def save(self, snapshots: Sequence[object]) -> None:
            in_the_first_round.set()
            go_on.wait(10)
            super().save(snapshots)  # type: ignore[arg-type]

    events: list[RecordedEvent] = []
    with SqlUnitOfWork(world.snapshots._database, events.extend) as work:
        for _ in range(9):
            work.rooms.add(a_room())
        work.commit()
    models = Waiting()
    projector = Projector(world.snapshots, models)
    first, *others = (threading.Thread(target=projector, args=[[event]]) for event in events)

    first.start()
    in_the_first_round.wait(10)
    for other in others:
        other.start()
    while len(projector._waiting) < len(others):
        go_on.wait(0.01)
    go_on.set()
    for thread in (first, *others):
        thread.join()

    assert models.saves == 2
    assert len(models.ids_after(Model.ROOMS, None, limit=99)) == 9


def test_a_failure_reaches_every_caller_of_the_round(world: World) -> None:
    world.models.away = True

    with pytest.raises(ReadModelsUnavailable):
        Projector(world.snapshots, world.models)([RecordedEvent(1, "ConversationChanged", _stored(world), {})])


def test_verifying_names_what_is_missing_different_or_too_much(world: World) -> None:
    conversation, answer = world.talk()
    other, _ = world.talk()
    surplus = replace(world.models.of(Model.MESSAGES, [answer])[0], id=uuid4())
    spoilt = replace(world.models.of(Model.CONVERSATIONS, [other])[0], document={"title": "spoilt"}, version=10**6)
    world.models.remove(Model.MESSAGES, [answer])
    world.models.save([surplus, spoilt])

    assert world.differences() == {
        answer: Difference.MISSING,
        surplus.id: Difference.SURPLUS,
        other: Difference.DIFFERENT,
    }
    assert conversation not in world.differences()


def test_a_rebuild_mends_everything(world: World) -> None:
    conversation, answer = world.talk()
    kept = world.models.of(Model.CONVERSATIONS, [conversation])[0]
    world.models.remove(Model.MESSAGES, [answer])
    world.models.remove(Model.CONVERSATIONS, [conversation])
    world.models.save([replace(kept, document={"title": "spoilt"}), replace(kept, id=uuid4())])

    world.rebuild(_quietly)

    assert world.differences() == {}
    world.models.check()


def test_an_interrupted_rebuild_goes_on_where_it_was(world: World) -> None:
    world.models.is_complete = False
    for _ in range(3):
        world.talk()
    done: list[Model] = []

    def interrupt(model: Model, _more: int) -> None:
        done.append(model)
        if model is Model.CONVERSATIONS:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.rebuild(interrupt)
    assert dict(world.models.progress) == {"rooms": "finished", "conversations": "finished"}
    with pytest.raises(ReadModelsUnavailable):
        world.models.check()

    world.rebuild(lambda model, _more: done.append(model))

    assert done == [Model.ROOMS, Model.CONVERSATIONS, Model.MESSAGES]
    assert world.differences() == {}


def test_queries_are_answered_from_the_write_tables_until_everything_is_there(world: World) -> None:
    world.models.is_complete = False
    world.talk()
    world.relay()
    with pytest.raises(ReadModelsUnavailable, match="not complete"):
        world.reader.check()
    assert world.reader.rooms(ALICE, Page())["total"] == 1

    world.models.complete()
    assert world.reader.check() == "queries are answered from the read models"

    assert world.reader.rooms(ALICE, Page())["total"] == 1  # By the fallback again: nobody answers.
    assert world.reader._trust.doubt == "away"


def test_the_read_models_are_not_relied_on_before_they_hold_what_was_committed_meanwhile(world: World) -> None:
    world.models.complete()
    world.reader.look()

    world.models.away = True
    world.talk()
    world.models.away = False
    world.reader.look()
    with pytest.raises(ReadModelsUnavailable):
        world.reader.check()

    world.relay()
    world.reader.look()

    assert world.reader.check() == "queries are answered from the read models"


def test_whoever_sees_that_a_reply_has_ended_finds_its_message_in_the_read_models(world: World) -> None:
    world.models.complete()
    world.reader.look()
    conversation = a_conversation()
    question, reply, answer = answered(conversation)
    with SqlUnitOfWork(world.snapshots._database) as work:  # Committed, but not projected yet.
        work.conversations.add(conversation)
        work.messages.add(question)
        work.messages.add(answer)
        work.replies.add(reply)
        work.commit()
    assert not world.models.holds(Model.MESSAGES, reply.id)

    assert world.reader.reply(reply.id, ALICE)["status"] == "completed"

    assert world.models.holds(Model.MESSAGES, reply.id)
    assert world.models.holds(Model.CONVERSATIONS, conversation.id)


def replace_subject(event: RecordedEvent) -> Event:
    return ConversationChanged(subject_id=event.subject_id, at=later())


def _stored(world: World) -> UUID:
    conversation = a_conversation()
    with SqlUnitOfWork(world.snapshots._database) as work:
        work.conversations.add(conversation)
        work.commit()
    return conversation.id


def _quietly(_model: Model, _more: int) -> None:
    pass


def test_a_failure_elsewhere_is_a_reason_not_to_rely_on_the_read_models_here(world: World) -> None:
    world.models.complete()
    world.reader.look()
    another_process = replace(world.reader, _trust=type(world.reader._trust)())
    another_process.look()
    with another_process.listen():
        world.models.away = True
        world.talk()
        world.models.away = False

        with pytest.raises(ReadModelsUnavailable, match="Another process"):
            another_process.check()
    world.relay()
    assert another_process.check() == "queries are answered from the read models"


def test_writes_are_not_held_up_by_a_store_that_is_known_to_be_away(world: World) -> None:
    world.models.complete()
    world.reader.look()
    world.models.away = True
    world.talk()
    world.models.away = False

    world.talk()

    assert world.models.saves == 0
    world.relay()
    assert world.differences() == {}


def _now() -> datetime:
    return datetime.now(UTC)
