"""What every unit of work and its repositories must do."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from adapters.sql.engine import Database, open_database
from adapters.sql.live_replies import SqlLiveReplies
from adapters.sql.outbox import SqlOutbox
from application.conversations.adding import AddMessages, AddMessagesHandler
from application.conversations.commands import StartConversation, StartConversationHandler
from application.ports.persistence import Checkpoint, LiveReplies, Saved, StartWork, StorageUnavailable, UnitOfWork
from application.ports.projections import Outbox, RecordedEvent
from domain.conversations import Conversation
from domain.deletions import Deletion, Subject
from domain.errors import Conflict, Forbidden, Invalid, NotFound
from domain.identity import SYSTEM, Principal
from domain.limits import Limits
from domain.messages import Message, NewMessage, Role
from domain.replies import LEASE, Reply
from tests.builders import ALICE, BOB, NOW, a_conversation, a_deletion, a_posting, a_room, answered, asked, later
from tests.contracts.databases import OnPostgres, OnSqlite
from tests.tree import Tree
from tests.waiting import eventually


class UnitOfWorkContract:
    @pytest.fixture
    def start_work(self) -> StartWork:
        raise NotImplementedError

    @pytest.fixture
    def outbox(self) -> Outbox:
        raise NotImplementedError

    @pytest.fixture
    def live(self) -> LiveReplies:
        raise NotImplementedError

    def test_what_is_committed_is_kept(self, start_work: StartWork) -> None:
        room = a_room(metadata={"deep": {"list": [1, "é", None]}})
        with start_work() as work:
            work.rooms.add(room)
            work.commit()

        with start_work() as work:
            found = work.rooms.get(room.id, for_=ALICE)

        assert (found.name, found.owner, found.metadata) == (room.name, room.owner, room.metadata)
        assert found.created_at == NOW
        assert found.created_at.tzinfo is not None

    def test_what_is_not_committed_is_not_kept(self, start_work: StartWork, outbox: Outbox) -> None:
        room = a_room()
        with start_work() as work:
            work.rooms.add(room)

        with start_work() as work, pytest.raises(NotFound):
            work.rooms.get(room.id, for_=ALICE)
        assert _undelivered(outbox) == []

    def test_an_error_undoes_everything(self, start_work: StartWork) -> None:
        room = a_room()

        def fail_half_way() -> None:
            with start_work() as work:
                work.rooms.add(room)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail_half_way()

        with start_work() as work:
            assert work.rooms.count(ALICE.key) == 0

    def test_events_are_committed_with_what_they_tell_of(self, start_work: StartWork, outbox: Outbox) -> None:
        room = a_room()
        with start_work() as work:
            work.rooms.add(room)
            work.commit()
        with start_work() as work:
            work.rooms.get(room.id, for_=ALICE).delete(_deletion(work, Subject.ROOM, room.id))
            work.commit()

        pending = _undelivered(outbox)

        assert [(recorded.name, recorded.subject_id) for recorded in pending] == [
            ("RoomOpened", room.id),
            ("RoomDeleted", room.id),
        ]
        assert pending[0].payload["at"] == NOW.isoformat()

    def test_what_was_delivered_leaves_the_outbox(self, start_work: StartWork, outbox: Outbox) -> None:
        with start_work() as work:
            work.rooms.add(a_room())
            work.rooms.add(a_room())
            work.commit()
        first, second = _undelivered(outbox)

        outbox.forget([first.number])
        assert [second] == _undelivered(outbox)

        taken: list[RecordedEvent] = []
        assert outbox.deliver(_taking_all(taken), limit=10) == 1
        assert taken == [second]
        assert _undelivered(outbox) == []

    def test_what_one_process_is_delivering_is_not_delivered_by_another(
        self, start_work: StartWork, outbox: Outbox
    ) -> None:
        with start_work() as work:
            work.rooms.add(a_room())
            work.commit()
        meanwhile: list[RecordedEvent] = []

        def deliver(events: Sequence[RecordedEvent]) -> Sequence[int]:
            outbox.deliver(_taking_all(meanwhile), limit=10)
            return ()

        assert outbox.deliver(deliver, limit=10) == 1
        assert meanwhile == []

    def test_an_outbox_knows_for_how_long_its_oldest_event_waits(self, start_work: StartWork, outbox: Outbox) -> None:
        assert outbox.age() == timedelta()
        with start_work() as work:
            work.rooms.add(a_room())
            work.commit()
        assert eventually(lambda: outbox.age() > timedelta())

    def test_what_was_committed_is_handed_on_after_the_transaction(self, start_work: StartWork) -> None:
        handed_on: list[RecordedEvent] = []
        started = start_work()
        started._committed = handed_on.extend  # type: ignore[attr-defined] # every adapter takes it when it is made
        with started as work:
            work.rooms.add(a_room())
            work.commit()
            assert handed_on == []

        assert [event.name for event in handed_on] == ["RoomOpened"]
        assert handed_on[0].number > 0

    def test_an_entity_is_its_owners_alone(self, start_work: StartWork) -> None:
        room = a_room(ALICE)
        with start_work() as work:
            work.rooms.add(room)
            work.commit()

        with start_work() as work:
            with pytest.raises(Forbidden):
                work.rooms.get(room.id, for_=BOB)
            assert work.rooms.get(room.id, for_=SYSTEM) is work.rooms.get(room.id, for_=ALICE)

    def test_the_deleted_are_found_only_when_asked_for(self, start_work: StartWork) -> None:
        room, conversation = a_room(), a_conversation()
        conversation.room_id = room.id
        with start_work() as work:
            work.rooms.add(room)
            work.conversations.add(conversation)
            work.commit()
        with start_work() as work:
            deletion = _deletion(work, Subject.ROOM, room.id)
            work.rooms.get(room.id, for_=ALICE).delete(deletion)
            for taken in work.conversations.in_room(room.id):
                taken.delete(deletion)
            work.commit()

        with start_work() as work:
            with pytest.raises(NotFound):
                work.rooms.get(room.id, for_=ALICE)
            with pytest.raises(NotFound):
                work.conversations.get(conversation.id, for_=ALICE)
            assert work.rooms.get(room.id, for_=ALICE, deleted=True).deletion_id == deletion.id
            assert work.conversations.get(conversation.id, for_=ALICE, deleted=None).id == conversation.id
            assert [conversation.id] == [taken.id for taken in work.conversations.taken_by(deletion.id)]
            assert list(work.conversations.in_room(room.id)) == []
            assert work.rooms.count(ALICE.key) == 0
            assert work.deletions.get(deletion.id).subject is Subject.ROOM

    def test_the_window_holds_the_last_current_messages_below_a_position(self, start_work: StartWork) -> None:
        conversation = a_conversation()
        with start_work() as work:
            work.conversations.add(conversation)
            answers = []
            for number in range(3):
                question, reply, answer = answered(conversation, f"Q{number}", f"A{number}")
                work.messages.add(question)
                work.messages.add(answer)
                work.replies.add(reply)
                answers.append(answer)
            answers[-1].superseded_by = uuid4()
            work.commit()

        with start_work() as work:
            window = work.messages.window(conversation.id, start=1, before=6, limit=3)
            everything = work.messages.window(conversation.id, start=1, before=99, limit=99)
            assert work.messages.count_at(conversation.id, 6) == 1
            assert work.messages.count_at(conversation.id, 7) == 0

        assert [message.position for message in window] == [3, 4, 5]
        assert [message.content for message in everything] == ["Q0", "A0", "Q1", "A1", "Q2"]

    @pytest.mark.parametrize("seed", range(4))
    def test_the_branches_of_a_conversation_are_found_as_they_were_made(self, start_work: StartWork, seed: int) -> None:
        tree = _a_grown_tree(start_work, seed)
        assert max(message.position for message in tree.messages.values()) > 4

        for message in tree.messages.values():
            with start_work() as work:
                found = work.messages.get(message.id)
                fork, following = work.messages.fork(found), work.messages.following(found)
                versions = work.messages.versions(message.conversation_id, message.position, message.parent_id)
                counted = work.messages.count_at(message.conversation_id, message.position)

            assert _ids(fork.path) == _ids(tree.fork(message).path)
            assert _ids(fork.leaving) == _ids(tree.fork(message).leaving)
            assert set(_ids(following)) == set(_ids(tree.following(message)))
            assert [each.position for each in following] == sorted(each.position for each in following)
            assert _ids(versions) == _ids(tree.versions(message.position, message.parent_id))
            assert counted == tree.count_at(message.position)

    def test_a_message_is_looked_up_through_its_conversation(self, start_work: StartWork) -> None:
        tree = _a_grown_tree(start_work, 0)
        with start_work() as work:
            for message in tree.messages.values():
                assert work.messages.conversation_of(message.id) == tree.conversation.id
            with pytest.raises(NotFound) as unknown:
                work.messages.conversation_of(uuid4())
        assert unknown.value.slug == "message_not_found"

    def test_messages_of_a_process_that_knows_no_branches_follow_what_is_current(self, start_work: StartWork) -> None:
        tree = Tree()
        first = tree.ask("One", "First")
        tree.regenerate("Second")
        tree.ask("Two")
        right = {message.id: message.parent_id for message in tree.messages.values()}
        for message in tree.messages.values():
            message.parent_id = None
        tree.branch[3].parent_id = first.id  # From a head that was not kept up to date.
        _keep(start_work, tree)

        with start_work() as work:
            answers = work.messages.versions(tree.conversation.id, 2, None)
            assert [answer.content for answer in answers] == ["First", "Second"]
            assert _ids(work.messages.versions(tree.conversation.id, 2, first.id)) == _ids(answers)
            assert _ids(work.messages.versions(tree.conversation.id, 1, None)) == [first.id]
            fork = work.messages.fork(work.messages.get(first.id))
            work.commit()

        assert {message.id: message.parent_id for message in fork.leaving} == {
            message.id: right[message.id] for message in tree.branch
        }
        with start_work() as work:
            assert {each: work.messages.get(each).parent_id for each in right} == right

    def test_a_checkpoint_needs_the_epoch_and_tells_of_a_cancel(self, start_work: StartWork, live: LiveReplies) -> None:
        reply = _running_reply(start_work)

        assert live.save([_checkpoint(reply, epoch=1)]) == {reply.id: Saved.SAVED}
        with start_work() as work:
            work.replies.get(reply.id, for_=SYSTEM).request_cancel(later())
            work.commit()
        assert live.save([_checkpoint(reply, epoch=1)]) == {reply.id: Saved.CANCEL_REQUESTED}
        assert live.save([_checkpoint(reply, epoch=2)]) == {reply.id: Saved.LOST}

        with start_work() as work:
            assert work.replies.peek(reply.id, for_=ALICE).text == "So far"

    def test_whoever_lost_the_lease_can_write_nothing(self, start_work: StartWork, live: LiveReplies) -> None:
        reply = _running_reply(start_work)
        with start_work() as work:
            work.replies.get(reply.id, for_=SYSTEM).fence(later())
            work.commit()

        other = _running_reply(start_work, BOB)
        both = live.save([_checkpoint(reply, epoch=1), _checkpoint(other, epoch=1)])
        assert both == {reply.id: Saved.LOST, other.id: Saved.SAVED}
        assert live.save([]) == {}

        with start_work() as work:
            assert work.replies.peek(reply.id, for_=SYSTEM).text == ""

    def test_waiting_and_abandoned_replies_are_found_by_time(self, start_work: StartWork, live: LiveReplies) -> None:
        running = _running_reply(start_work)
        conversation = a_conversation(BOB)
        _, queued = asked(conversation, now=later(5))
        with start_work() as work:
            work.conversations.add(conversation)
            work.replies.add(queued)
            work.commit()

        assert live.queued(before=later(5), limit=9) == []
        assert live.queued(before=later(6), limit=9) == [queued.id]
        assert live.running(expired_at=NOW + LEASE - timedelta(seconds=1), limit=9) == []
        assert live.running(expired_at=NOW + LEASE, limit=9) == [running.id]
        assert live.running(expired_at=None, limit=9) == [running.id]
        with start_work() as work:
            assert (work.replies.count_live(ALICE.key), work.replies.count_live(BOB.key)) == (1, 1)

    def test_questions_at_once_take_turns_and_only_one_is_taken(self, start_work: StartWork) -> None:
        conversation = a_conversation()
        with start_work() as work:
            work.conversations.add(conversation)
            work.commit()
        taken, refused = [], []

        def ask() -> None:
            try:
                with start_work() as work:
                    found = work.conversations.get(conversation.id, for_=ALICE)
                    question, reply = asked(found)
                    work.messages.add(question)
                    work.replies.add(reply)
                    work.commit()
                taken.append(question.position)
            except Exception as error:
                refused.append(type(error).__name__)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert taken == [1]
        assert refused == ["Conflict"] * 7

    def test_a_conversation_is_found_by_what_a_client_calls_it(self, start_work: StartWork) -> None:
        named = a_conversation(external_id="chat 1")
        with start_work() as work:
            work.conversations.add(named)
            work.conversations.add(a_conversation(BOB, external_id="chat 2"))
            work.commit()

        with start_work() as work:
            found = [work.conversations.by_external_id(ALICE.key, name) for name in ("chat 1", "chat 2")]
        assert found == [named.id, None]

    def test_one_name_is_given_once_also_when_many_give_it_at_the_same_time(self, start_work: StartWork) -> None:
        start = StartConversationHandler(start_work, a_posting())
        command = StartConversation(principal=ALICE, external_id="chat 1")
        started, refused = [], []

        def start_one() -> None:
            try:
                started.append(start(command).id)
            except Conflict as conflict:
                refused.append(conflict.details["conversation_id"])

        threads = [threading.Thread(target=start_one) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert refused == [str(winner) for winner in started] * 5

    def test_messages_that_were_said_elsewhere_are_added_together_or_not_at_all(self, start_work: StartWork) -> None:
        conversation = a_conversation()
        with start_work() as work:
            work.conversations.add(conversation)
            work.commit()
        too_long = NewMessage(role=Role.USER, content="x" * 21)
        add = AddMessagesHandler(start_work, a_posting(limits=Limits(added_message=20)))
        said = [
            NewMessage(role=Role.USER, content="Why?"),
            NewMessage(role=Role.ASSISTANT, content="Because.", created_at=later(-60)),
        ]

        with pytest.raises(Invalid, match=r"^messages\.2\.content: "):
            add(AddMessages(principal=ALICE, conversation_id=conversation.id, messages=[*said, too_long]))
        with pytest.raises(Forbidden):
            add(AddMessages(principal=BOB, conversation_id=conversation.id, messages=said))
        added = add(AddMessages(principal=ALICE, conversation_id=conversation.id, messages=said))

        assert [(message.position, message.content) for message in added] == [(1, "Why?"), (2, "Because.")]
        with start_work() as work:
            kept = work.messages.window(conversation.id, start=1, before=9, limit=9)
        assert [(message.id, message.created_at) for message in kept] == [(added[0].id, NOW), (added[1].id, later(-60))]

    def test_rooms_at_once_do_not_exceed_the_limit(self, start_work: StartWork) -> None:
        opened, refused = [], []

        def open_room() -> None:
            try:
                with start_work() as work:
                    room = a_room(rooms_so_far=work.rooms.count(ALICE.key) + 47)
                    work.rooms.add(room)
                    work.commit()
                opened.append(room.id)
            except Exception as error:
                refused.append(type(error).__name__)

        threads = [threading.Thread(target=open_room) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(opened) == 3
        assert refused == ["Conflict"] * 5

    def test_replies_at_once_do_not_exceed_the_slots(self, start_work: StartWork) -> None:
        conversations = [a_conversation() for _ in range(8)]
        with start_work() as work:
            for conversation in conversations:
                work.conversations.add(conversation)
            work.commit()
        taken, refused = [], []

        def ask(conversation_id: UUID) -> None:
            try:
                with start_work() as work:
                    found = work.conversations.get(conversation_id, for_=ALICE)
                    _, reply = asked(found, live_replies=work.replies.count_live(ALICE.key))
                    work.replies.add(reply)
                    work.commit()
                taken.append(reply.id)
            except Exception as error:
                refused.append(type(error).__name__)

        threads = [threading.Thread(target=ask, args=[conversation.id]) for conversation in conversations]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(taken) == 5
        assert refused == ["Limited"] * 3


class TestSqliteUnitOfWork(OnSqlite, UnitOfWorkContract):
    @pytest.fixture
    def outbox(self, database: Database) -> Outbox:
        return SqlOutbox(database, grace=timedelta())

    @pytest.fixture
    def live(self, database: Database) -> LiveReplies:
        return SqlLiveReplies(database)


class TestPostgresUnitOfWork(OnPostgres, TestSqliteUnitOfWork):
    def test_a_reply_that_somebody_is_changing_keeps_no_other_waiting(
        self, start_work: StartWork, live: LiveReplies
    ) -> None:
        held, free = _running_reply(start_work), _running_reply(start_work, BOB)
        with start_work() as work:
            work.replies.get(held.id, for_=SYSTEM)

            saved = live.save([_checkpoint(held, epoch=1), _checkpoint(free, epoch=1)])

        assert saved == {free.id: Saved.SAVED}
        assert live.save([_checkpoint(held, epoch=1)]) == {held.id: Saved.SAVED}

    def test_a_pool_that_is_exhausted_is_a_storage_that_does_not_answer(self, database: Database) -> None:
        small = open_database(database.url.render_as_string(hide_password=False), pool=1)
        small.engine.pool._timeout = 0.1  # type: ignore[attr-defined] # a QueuePool's
        with small.at_once(), small.at_once(), pytest.raises(StorageUnavailable, match="busy"), small.at_once():
            pass
        small.dispose()


def _a_grown_tree(start_work: StartWork, seed: int) -> Tree:
    """A conversation of many branches, and so it is kept."""
    chance = random.Random(seed)  # noqa: S311
    tree = Tree()
    tree.ask("1")
    for number in range(2, 30):
        chosen = chance.choice(list(tree.messages.values()))
        match chance.choice(["ask", "ask", "edit", "regenerate", "select"]):
            case "edit" if chosen.role is Role.USER:
                tree.edit(chosen, str(number))
            case "regenerate":
                tree.regenerate(chance.choice(["Again.", ""]))
            case "select":
                tree.select(chosen)
            case _:
                tree.ask(str(number))
    _keep(start_work, tree)
    return tree


def _keep(start_work: StartWork, tree: Tree) -> None:
    with start_work() as work:
        work.conversations.add(tree.conversation)
        for message in tree.messages.values():
            work.messages.add(message)
        work.commit()


def _ids(messages: Sequence[Message]) -> list[UUID]:
    return [message.id for message in messages]


def _undelivered(outbox: Outbox) -> list[RecordedEvent]:
    """What would be delivered next; nothing of it is taken."""
    seen: list[RecordedEvent] = []

    def refuse_all(events: Sequence[RecordedEvent]) -> Sequence[int]:
        seen.extend(events)
        return [event.number for event in events]

    outbox.deliver(refuse_all, limit=10)
    return seen


def _taking_all(taken: list[RecordedEvent]) -> Callable[[Sequence[RecordedEvent]], Sequence[int]]:
    def take(events: Sequence[RecordedEvent]) -> Sequence[int]:
        taken.extend(events)
        return ()

    return take


def _deletion(work: UnitOfWork, subject: Subject, subject_id: UUID) -> Deletion:
    deletion = a_deletion(subject, subject_id)
    work.deletions.add(deletion)
    return deletion


def _running_reply(start_work: StartWork, owner: Principal = ALICE) -> Reply:
    conversation: Conversation = a_conversation(owner)
    question, reply = asked(conversation)
    reply.claim(NOW)
    with start_work() as work:
        work.conversations.add(conversation)
        work.messages.add(question)
        work.replies.add(reply)
        work.commit()
    return reply


def _checkpoint(reply: Reply, epoch: int) -> Checkpoint:
    return Checkpoint(reply_id=reply.id, epoch=epoch, text="So far", seq_ceiling=2000, lease_until=later() + LEASE)
