"""What every reader must answer, and that they all answer the same."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import methodcaller
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from adapters.mongo.reader import MongoReader
from adapters.mongo.server import MongoServer
from adapters.sql.engine import Database
from adapters.sql.reader import SqlReader
from application.conversations.branching import EditQuestion, EditQuestionHandler, SelectVersion, SelectVersionHandler
from application.conversations.feedback import (
    GiveFeedback,
    GiveFeedbackHandler,
    TakeFeedbackBack,
    TakeFeedbackBackHandler,
)
from application.conversations.posting import taken_ahead
from application.documents import conversation_document, message_document, room_document
from application.ports.persistence import Document, StartWork
from application.ports.queries import MessagePage, Page, Reader
from domain.deletions import Subject
from domain.errors import Forbidden, NotFound, ParleyError
from domain.identity import SYSTEM, Principal
from domain.limits import Limits
from domain.messages import Rating
from tests.builders import ADMIN, ALICE, BOB, a_conversation, a_deletion, a_posting, a_room, asked, completed, later
from tests.contracts.databases import OnMongo, OnPostgres, OnSqlite

BY_NAME = Page(sort_by="name", descending=False)
BY_TITLE = Page(sort_by="title", descending=False)

ODD_METADATA: dict[str, object] = {
    "text": 'ü\u0301 \U0001f600 \\ "',
    "numbers": [0, -1, 2**53 + 1, 2**63, 2**64 - 1, -(2**63), 0.1, 1.0, 1e300],
    "": {"a.b": None, "$set": {"$ref": "rooms", "$id": 1}, "_id": True},
    "nested": [[], {}, [{"deep": [False]}]],
}


@dataclass(frozen=True)
class Story:
    """Writes what queries then find, in one commit a step."""

    start_work: StartWork

    def room(self, owner: Principal = ALICE, *, minute: float = 0, **given: Any) -> UUID:
        room = a_room(owner, **({"now": later(minute)} | given))
        with self.start_work() as work:
            work.rooms.add(room)
            work.commit()
        return room.id

    def conversation(self, owner: Principal = ALICE, *, minute: float = 0, **given: Any) -> UUID:
        conversation = a_conversation(owner, **({"now": later(minute)} | given))
        with self.start_work() as work:
            work.conversations.add(conversation)
            work.commit()
        return conversation.id

    def talk(self, conversation_id: UUID, question: str = "Why?", answer: str = "Because.", minute: float = 1) -> UUID:
        """A question and, half a minute later, its answer, whose id it is."""
        reply_id = self.ask(conversation_id, question, minute)
        self.end(reply_id, answer, minute + 0.5)
        return reply_id

    def ask(self, conversation_id: UUID, question: str = "Why?", minute: float = 1) -> UUID:
        with self.start_work() as work:
            conversation = work.conversations.get(conversation_id, for_=SYSTEM)
            message, reply = asked(conversation, question, now=later(minute), taken=taken_ahead(work, conversation))
            work.messages.add(message)
            work.replies.add(reply)
            work.commit()
        return reply.id

    def ask_again(self, answer_id: UUID, minute: float) -> UUID:
        with self.start_work() as work:
            answer = work.messages.get(answer_id)
            conversation = work.conversations.get(answer.conversation_id, for_=SYSTEM)
            versions = work.messages.count_at(conversation.id, answer.position)
            reply = conversation.regenerate(
                answer, reply_id=uuid4(), versions=versions, live_replies=0, limits=Limits(), now=later(minute)
            )
            work.replies.add(reply)
            work.commit()
        return reply.id

    def end(self, reply_id: UUID, text: str, minute: float, **given: Any) -> None:
        with self.start_work() as work:
            reply = work.replies.get(reply_id, for_=SYSTEM)
            conversation = work.conversations.get(reply.conversation_id, for_=SYSTEM, deleted=None)
            reply.claim(later(minute))
            reply.end(replace(completed(text), **given), epoch=reply.epoch, final_seq=3, now=later(minute))
            versions = work.messages.versions(conversation.id, reply.position, reply.parent_id)
            work.messages.add(conversation.take_answer(reply, later(minute), versions=versions))
            work.commit()

    def question_of(self, answer_id: UUID) -> UUID:
        with self.start_work() as work:
            parent_id = work.messages.get(answer_id).parent_id
        assert parent_id is not None
        return parent_id

    def edit(self, question_id: UUID, content: str, answer: str = "So.", minute: float = 50) -> UUID:
        """Another version of a question with its answer, whose id it is."""
        edit = EditQuestionHandler(self.start_work, a_posting(later(minute), Limits(live_replies=99)))
        _, reply = edit(EditQuestion(principal=SYSTEM, message_id=question_id, content=content))
        self.end(reply.id, answer, minute + 0.5)
        return reply.id

    def select(self, message_id: UUID, minute: float = 60) -> None:
        SelectVersionHandler(self.start_work, lambda: later(minute))(
            SelectVersion(principal=SYSTEM, message_id=message_id)
        )

    def rate(self, answer_id: UUID, rating: Rating, comment: str | None = None, minute: float = 70) -> None:
        GiveFeedbackHandler(self.start_work, lambda: later(minute), Limits())(
            GiveFeedback(principal=SYSTEM, message_id=answer_id, rating=rating, comment=comment)
        )

    def take_back(self, answer_id: UUID, minute: float = 80) -> None:
        TakeFeedbackBackHandler(self.start_work, lambda: later(minute))(
            TakeFeedbackBack(principal=SYSTEM, message_id=answer_id)
        )

    def delete_room(self, room_id: UUID, minute: float = 100) -> datetime:
        deletion = a_deletion(Subject.ROOM, room_id, later(minute))
        with self.start_work() as work:
            work.deletions.add(deletion)
            work.rooms.get(room_id, for_=SYSTEM).delete(deletion)
            for conversation in work.conversations.in_room(room_id):
                conversation.delete(deletion)
            work.commit()
        return deletion.deleted_at

    def restore_room(self, room_id: UUID) -> None:
        with self.start_work() as work:
            room = work.rooms.get(room_id, for_=SYSTEM, deleted=True)
            deletion = work.deletions.get(room.deletion_id or uuid4())
            for conversation in work.conversations.taken_by(deletion.id):
                conversation.restore(deletion, later(200))
            room.restore(deletion, later(200))
            work.commit()

    def delete_conversation(self, conversation_id: UUID) -> None:
        deletion = a_deletion(Subject.CONVERSATION, conversation_id, later(100))
        with self.start_work() as work:
            work.deletions.add(deletion)
            work.conversations.get(conversation_id, for_=SYSTEM).delete(deletion)
            work.commit()


class ReaderContract:
    @pytest.fixture
    def start_work(self) -> StartWork:
        raise NotImplementedError

    @pytest.fixture
    def reader(self, start_work: StartWork) -> Reader:
        """Up to date after each commit."""
        raise NotImplementedError

    @pytest.fixture
    def story(self, start_work: StartWork) -> Story:
        return Story(start_work)

    def test_a_conversation_is_read_by_what_a_client_calls_it(self, story: Story, reader: Reader) -> None:
        named = story.conversation(external_id="chat 1")
        gone = story.conversation(external_id="chat 2")
        story.delete_conversation(gone)

        assert plain(reader.conversation_called("chat 1", ALICE)) == plain(reader.conversation(named, ALICE))
        for name, principal in (("chat 1", BOB), ("chat 1", ADMIN), ("chat 2", ALICE), ("chat 3", ALICE)):
            with pytest.raises(NotFound):
                reader.conversation_called(name, principal)

    # Rooms

    def test_a_room_is_what_its_conversations_add_up_to(self, story: Story, reader: Reader) -> None:
        room = story.room(name="Plans", metadata={"tags": ["a", "ü"], "n": 1})
        first, second, gone = (story.conversation(room_id=room, minute=minute) for minute in (1, 2, 3))
        story.talk(first, "Early", "Yes, early.", minute=4)
        story.talk(second, "Late", "Yes, " + "late " * 50, minute=6)
        story.ask(first, "Still open", minute=5)
        story.talk(gone, "Gone", minute=50)
        story.delete_conversation(gone)

        found = plain(reader.room(room, ALICE))

        assert found == plain(reader.rooms(ALICE, Page())["items"][0])
        assert list(found) == list(room_document(a_room()))
        assert (found["id"], found["name"], found["metadata"]) == (str(room), "Plans", {"tags": ["a", "ü"], "n": 1})
        assert (found["conversation_count"], found["message_count"]) == (2, 5)
        assert found["last_message"]["role"] == "assistant"
        assert found["last_message"]["preview"].startswith("Yes, late late")
        assert found["last_message"]["created_at"] == later(6.5).isoformat()
        assert datetime.fromisoformat(found["last_activity_at"]) == later(6.5)
        assert datetime.fromisoformat(found["created_at"]) == later(0)

    def test_a_room_without_messages_was_last_active_when_something_was_made_in_it(
        self, story: Story, reader: Reader
    ) -> None:
        room = story.room()
        assert plain(reader.room(room, ALICE))["last_activity_at"] == later(0).isoformat()

        conversation = story.conversation(room_id=room, minute=3)

        found = plain(reader.room(room, ALICE))
        assert (found["conversation_count"], found["message_count"], found["last_message"]) == (1, 0, None)
        assert found["last_activity_at"] == later(3).isoformat()
        story.delete_conversation(conversation)
        assert plain(reader.room(room, ALICE))["last_activity_at"] == later(0).isoformat()

    def test_a_room_follows_its_changes(self, story: Story, reader: Reader, start_work: StartWork) -> None:
        room = story.room(name="Old", metadata={"keep": True})
        with start_work() as work:
            work.rooms.get(room, for_=ALICE).change(name="New", metadata=None, limits=Limits(), now=later(9))
            work.commit()

        found = plain(reader.room(room, ALICE))

        assert (found["name"], found["metadata"], found["version"]) == ("New", {"keep": True}, 2)
        assert found["updated_at"] == later(9).isoformat()

    def test_rooms_are_sorted_by_each_key_both_ways(self, story: Story, reader: Reader) -> None:
        middle = story.room(name="beta", minute=1)
        last = story.room(name="Gamma", minute=2)
        first = story.room(name="alpha", minute=3)
        story.talk(story.conversation(room_id=middle, minute=4), minute=30)
        story.talk(story.conversation(room_id=last, minute=5), minute=20)

        def ids(key: str, descending: bool) -> list[str]:
            return ids_of(reader.rooms(ALICE, Page(sort_by=key, descending=descending)))

        expected = {
            "name": [first, middle, last],
            "created_at": [middle, last, first],
            "last_activity_at": [first, last, middle],
        }
        for key, order in expected.items():
            assert ids(key, False) == [str(room) for room in order]
            assert ids(key, True) == [str(room) for room in reversed(order)]

    def test_rooms_with_the_same_key_are_sorted_by_id(self, story: Story, reader: Reader) -> None:
        rooms = [str(story.room(name=random.choice(("Same", "same", "SAME")))) for _ in range(5)]  # noqa: S311

        for key in ("name", "created_at", "last_activity_at"):
            assert ids_of(reader.rooms(ALICE, Page(sort_by=key, descending=False))) == sorted(rooms)
            assert ids_of(reader.rooms(ALICE, Page(sort_by=key))) == sorted(rooms, reverse=True)

    def test_times_sort_with_and_without_fractions_of_a_second(self, story: Story, reader: Reader) -> None:
        rooms = [str(story.room(minute=minute)) for minute in (1, 1.00001, 1.001, 1.01, 1 + 1 / 60, 1.1, 2)]

        for key in ("created_at", "last_activity_at"):
            assert ids_of(reader.rooms(ALICE, Page(sort_by=key, descending=False))) == rooms

    def test_a_page_of_rooms_tells_how_many_there_are(self, story: Story, reader: Reader) -> None:
        for name in "abcde":
            story.room(name=name)
        story.room(BOB, name="z")

        def page(limit: int, offset: int) -> tuple[str, int, int, int]:
            found = reader.rooms(ALICE, Page(limit=limit, offset=offset, sort_by="name", descending=False))
            names = "".join(room["name"] for room in found["items"])
            return names, found["total"], found["limit"], found["offset"]

        assert page(2, 0) == ("ab", 5, 2, 0)
        assert page(2, 2) == ("cd", 5, 2, 2)
        assert page(2, 4) == ("e", 5, 2, 4)
        assert page(2, 6) == ("", 5, 2, 6)
        assert page(5, 0) == ("abcde", 5, 5, 0)
        assert page(100, 1) == ("bcde", 5, 100, 1)

    def test_who_has_nothing_gets_empty_pages(self, story: Story, reader: Reader) -> None:
        story.talk(story.conversation(BOB, room_id=story.room(BOB)))

        empty = {"items": [], "total": 0, "limit": 20, "offset": 0}
        assert reader.rooms(ALICE, Page()) == empty
        assert reader.conversations(ALICE, None, Page()) == empty
        assert reader.search(ALICE, "because", Page()) == empty

    def test_lists_hold_ones_own_things_only_also_an_admins(self, story: Story, reader: Reader) -> None:
        story.room(ALICE, name="hers")
        story.conversation(ALICE, title="hers")
        own_room, own_conversation = story.room(ADMIN), story.conversation(ADMIN)

        assert ids_of(reader.rooms(ADMIN, Page())) == [str(own_room)]
        assert ids_of(reader.conversations(ADMIN, None, Page())) == [str(own_conversation)]
        assert ids_of(reader.rooms(BOB, Page())) == []

    def test_a_deleted_room_is_out_of_sight_until_it_is_restored(self, story: Story, reader: Reader) -> None:
        room, other = story.room(name="gone"), story.room(name="stays")
        conversation = story.conversation(room_id=room)
        story.talk(conversation, "Flamingo")
        before = plain([reader.rooms(ALICE, BY_NAME)["total"], reader.messages(conversation, ALICE, MessagePage())])
        story.delete_room(room)

        assert ids_of(reader.rooms(ALICE, Page())) == [str(other)]
        assert reader.conversations(ALICE, None, Page())["total"] == 0
        assert reader.search(ALICE, "flamingo", Page())["total"] == 0
        for look_up in (
            lambda: reader.room(room, ALICE),
            lambda: reader.room_history(room, ALICE, MessagePage()),
            lambda: reader.conversations(ALICE, room, Page()),
            lambda: reader.conversation(conversation, ALICE),
            lambda: reader.messages(conversation, ALICE, MessagePage()),
        ):
            assert isinstance(error_of(look_up), NotFound)

        story.restore_room(room)

        after = plain([reader.rooms(ALICE, BY_NAME)["total"], reader.messages(conversation, ALICE, MessagePage())])
        assert before == after
        assert reader.search(ALICE, "flamingo", Page())["total"] == 1
        assert reader.room(room, ALICE)["message_count"] == 2

    def test_a_room_is_for_its_owner_and_admins(self, story: Story, reader: Reader) -> None:
        room = story.room(ALICE)

        assert plain(reader.room(room, ADMIN)) == plain(reader.room(room, ALICE))
        self._is_guarded(lambda principal: reader.room(room, principal), "room")
        self._is_guarded(lambda principal: reader.room_history(room, principal, MessagePage()), "room")
        self._is_guarded(lambda principal: reader.conversations(principal, room, Page()), "room")

        story.delete_room(room)
        assert isinstance(error_of(lambda: reader.room(room, BOB)), Forbidden)
        assert isinstance(error_of(lambda: reader.room(room, ADMIN)), NotFound)

    def test_what_there_is_not_is_named_in_the_error(self, reader: Reader) -> None:
        unknown = uuid4()
        look_ups: dict[Callable[[], object], str] = {
            lambda: reader.room(unknown, ALICE): "room",
            lambda: reader.room_history(unknown, ALICE, MessagePage()): "room",
            lambda: reader.conversations(ALICE, unknown, Page()): "room",
            lambda: reader.conversation(unknown, ALICE): "conversation",
            lambda: reader.messages(unknown, ALICE, MessagePage()): "conversation",
            lambda: reader.reply(unknown, ALICE): "reply",
            lambda: reader.versions(unknown, ALICE, Page()): "message",
        }
        for look_up, kind in look_ups.items():
            error = error_of(look_up)
            assert isinstance(error, NotFound)
            assert (error.slug, error.details) == (f"{kind}_not_found", {"kind": kind, "id": str(unknown)})

    # Conversations

    def test_a_conversation_is_shown_whole(self, story: Story, reader: Reader) -> None:
        room = story.room()
        conversation = story.conversation(room_id=room, agent="skills", metadata={"a": [1, None]})
        story.talk(conversation, "How do tides work?\nI mean at sea.", minute=1)
        reply = story.ask(conversation, minute=2)

        found = plain(reader.conversation(conversation, ALICE))

        assert found == plain(reader.conversations(ALICE, room, Page())["items"][0])
        assert found == plain(reader.conversation(conversation, ADMIN))
        assert list(found) == list(conversation_document(a_conversation()))
        assert (found["id"], found["room_id"], found["agent"]) == (str(conversation), str(room), "skills")
        assert (found["title"], found["metadata"]) == ("How do tides work? I mean at sea.", {"a": [1, None]})
        assert (found["message_count"], found["live_reply_id"]) == (3, str(reply))
        assert found["last_message"] == {"role": "user", "preview": "Why?", "created_at": later(2).isoformat()}
        assert found["last_activity_at"] == later(2).isoformat()
        self._is_guarded(lambda principal: reader.conversation(conversation, principal), "conversation")

    def test_conversations_are_listed_by_room_or_all_together(self, story: Story, reader: Reader) -> None:
        room, other = story.room(), story.room()
        inside, outside = story.conversation(room_id=room, title="b"), story.conversation(title="a")
        elsewhere, gone = story.conversation(room_id=other, title="c"), story.conversation(room_id=room, title="d")
        story.delete_conversation(gone)

        everything = reader.conversations(ALICE, None, BY_TITLE)
        of_room = reader.conversations(ALICE, room, BY_TITLE)

        assert ids_of(everything) == [str(outside), str(inside), str(elsewhere)]
        assert (ids_of(of_room), of_room["total"]) == ([str(inside)], 1)
        assert plain(reader.conversations(ADMIN, room, BY_TITLE)) == plain(of_room)

    def test_conversations_are_sorted_by_each_key_both_ways(self, story: Story, reader: Reader) -> None:
        room = story.room()
        middle, last, first = (
            story.conversation(room_id=room, title=title, minute=minute)
            for minute, title in enumerate(("beta", "Gamma", "alpha"))
        )
        story.talk(middle, minute=30)
        story.talk(last, minute=20)

        expected = {
            "title": [first, middle, last],
            "created_at": [middle, last, first],
            "last_activity_at": [first, last, middle],
        }
        for (key, order), room_id in itertools.product(expected.items(), (None, room)):
            ids = [str(conversation) for conversation in order]
            assert ids_of(reader.conversations(ALICE, room_id, Page(sort_by=key, descending=False))) == ids
            assert ids_of(reader.conversations(ALICE, room_id, Page(sort_by=key))) == ids[::-1]

    def test_conversations_with_the_same_key_are_sorted_by_id_and_paged(self, story: Story, reader: Reader) -> None:
        room = story.room()
        ids = sorted(str(story.conversation(room_id=room, title="Same")) for _ in range(5))

        for key, room_id in itertools.product(("title", "created_at", "last_activity_at"), (None, room)):
            pages = [
                reader.conversations(ALICE, room_id, Page(limit=2, offset=offset, sort_by=key, descending=False))
                for offset in (0, 2, 4, 6)
            ]
            assert [ids_of(page) for page in pages] == [ids[:2], ids[2:4], ids[4:], []]
            assert [page["total"] for page in pages] == [5] * 4
            assert ids_of(reader.conversations(ALICE, room_id, Page(sort_by=key))) == ids[::-1]

    def test_a_deleted_conversation_is_out_of_sight(self, story: Story, reader: Reader) -> None:
        conversation = story.conversation()
        story.talk(conversation)
        story.delete_conversation(conversation)

        assert reader.conversations(ALICE, None, Page())["total"] == 0
        for look_up in (reader.conversation, lambda id_, who: reader.messages(id_, who, MessagePage())):
            assert isinstance(error_of(lambda: look_up(conversation, ALICE)), NotFound)  # noqa: B023 # called at once
            assert isinstance(error_of(lambda: look_up(conversation, ADMIN)), NotFound)  # noqa: B023
            assert isinstance(error_of(lambda: look_up(conversation, BOB)), Forbidden)  # noqa: B023

    def test_what_can_be_in_metadata_comes_back_as_it_was(self, story: Story, reader: Reader) -> None:
        room = story.room(metadata=ODD_METADATA)
        conversation = story.conversation(room_id=room, metadata=ODD_METADATA)

        answers = (
            reader.room(room, ALICE),
            reader.rooms(ALICE, Page())["items"][0],
            reader.conversation(conversation, ALICE),
            reader.conversations(ALICE, None, Page())["items"][0],
        )

        for answer in answers:
            assert orjson.dumps(answer["metadata"]) == orjson.dumps(ODD_METADATA)

    # Messages

    def test_a_message_is_shown_whole(self, story: Story, reader: Reader, start_work: StartWork) -> None:
        conversation = story.conversation()
        reply = story.talk(conversation, "Flamingo?", "Pink.")

        found = plain(reader.messages(conversation, ALICE, MessagePage()))

        with start_work() as work:
            answer = message_document(work.messages.get(reply))
        question, shown = found["items"]
        assert shown == plain(answer)
        assert list(shown) == list(answer)
        assert (question["role"], question["content"], question["position"]) == ("user", "Flamingo?", 1)
        assert (question["conversation_id"], question["created_at"]) == (str(conversation), later(1).isoformat())
        assert found == plain(reader.messages(conversation, ADMIN, MessagePage()))
        self._is_guarded(lambda principal: reader.messages(conversation, principal, MessagePage()), "conversation")

    def test_what_a_model_asked_its_tools_for_comes_back_as_it_was(self, story: Story, reader: Reader) -> None:
        conversation = story.conversation()
        calls = [
            {"id": "1", "name": "odd", "arguments": ODD_METADATA, "result": "", "error": None},
            {"id": "2", "name": "unreadable", "arguments": "{", "result": "", "error": None},
        ]
        reply = story.ask(conversation)

        story.end(reply, "There.", 2, tool_calls=calls)

        shown = reader.messages(conversation, ALICE, MessagePage())["items"][1]
        assert orjson.dumps(shown["tool_calls"]) == orjson.dumps(calls)

    def test_an_empty_conversation_has_an_empty_history(self, story: Story, reader: Reader) -> None:
        conversation = story.conversation()
        story.talk(story.conversation())

        assert reader.messages(conversation, ALICE, MessagePage()) == {
            "items": [],
            "total": 0,
            "limit": 20,
            "offset": None,
        }

    def test_history_pages_by_position_and_by_offset(self, story: Story, reader: Reader) -> None:
        conversation = self._conversation_of_ten(story)

        def positions(**page: Any) -> list[int]:
            found = reader.messages(conversation, ALICE, MessagePage(**page))
            assert (found["total"], found["limit"]) == (10, page.get("limit", 20))
            assert found["offset"] == page.get("offset")
            return [message["position"] for message in found["items"]]

        assert positions() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
        assert positions(limit=3) == [8, 9, 10]
        assert positions(limit=3, before=8) == [5, 6, 7]
        assert positions(limit=3, after=2) == [3, 4, 5]
        assert positions(limit=5, after=2, before=5) == [3, 4]
        assert positions(limit=2, after=2, before=9) == [7, 8]
        assert positions(limit=3, offset=0) == [1, 2, 3]
        assert positions(limit=3, offset=9) == [10]
        assert positions(limit=3, offset=10) == []
        assert positions(limit=3, descending=True) == [10, 9, 8]
        assert positions(limit=3, before=8, descending=True) == [7, 6, 5]
        assert positions(limit=3, after=2, descending=True) == [5, 4, 3]
        assert positions(limit=3, offset=0, descending=True) == [10, 9, 8]
        assert positions(limit=3, offset=8, descending=True) == [2, 1]

    def test_cursors_hold_at_both_ends(self, story: Story, reader: Reader) -> None:
        conversation = self._conversation_of_ten(story)

        def positions(**page: Any) -> list[int]:
            found = reader.messages(conversation, ALICE, MessagePage(**page))
            return [message["position"] for message in found["items"]]

        assert positions(before=1) == []
        assert positions(before=2) == [1]
        assert positions(before=11, limit=2) == [9, 10]
        assert positions(before=2_000_000_000, limit=2) == [9, 10]
        assert positions(after=0, limit=2) == [1, 2]
        assert positions(after=9) == [10]
        assert positions(after=10) == []
        assert positions(after=2_000_000_000) == []
        assert positions(after=5, before=6) == []
        assert positions(after=6, before=5) == []
        assert positions(after=2, before=9, offset=1, limit=2) == [4, 5]

    def test_pages_one_after_the_other_are_the_whole_history(self, story: Story, reader: Reader) -> None:
        conversation = self._conversation_of_ten(story)
        seen: list[int] = []
        while page := reader.messages(conversation, ALICE, MessagePage(limit=3, before=seen[0] if seen else None))[
            "items"
        ]:
            seen = [message["position"] for message in page] + seen

        assert seen == list(range(1, 11))

    def test_a_superseded_answer_leaves_every_query(self, story: Story, reader: Reader) -> None:
        room = story.room()
        conversation = story.conversation(room_id=room)
        first = story.talk(conversation, "Hello", "Flamingo", minute=1)

        second = story.ask_again(first, minute=2)
        assert contents(reader.messages(conversation, ALICE, MessagePage())) == ["Hello"]
        assert contents(reader.room_history(room, ALICE, MessagePage())) == ["Hello"]
        assert reader.search(ALICE, "flamingo", Page())["total"] == 0
        assert reader.room(room, ALICE)["message_count"] == 1
        story.end(second, "Heron", minute=3)

        found = reader.messages(conversation, ALICE, MessagePage())
        assert contents(found) == ["Hello", "Heron"]
        assert [(message["position"], message["version"]) for message in found["items"]] == [(1, 1), (2, 2)]
        assert found["total"] == 2
        assert contents(reader.room_history(room, ALICE, MessagePage())) == ["Hello", "Heron"]
        assert reader.room_history(room, ALICE, MessagePage())["total"] == 2

    def test_an_edit_leaves_one_branch_in_every_query(self, story: Story, reader: Reader) -> None:
        room = story.room()
        conversation = story.conversation(room_id=room)
        answer = story.talk(conversation, "One flamingo", "Pink", minute=1)
        story.talk(conversation, "Two flamingos", "Pinker", minute=2)

        edited = story.edit(story.question_of(answer), "One heron", "Grey")

        found = plain(reader.messages(conversation, ALICE, MessagePage()))
        assert contents(found) == contents(reader.room_history(room, ALICE, MessagePage())) == ["One heron", "Grey"]
        assert [(each["position"], each["version"]) for each in found["items"]] == [(1, 2), (2, 2)]
        assert [(each["parent_id"], each["alternatives"]) for each in found["items"]] == [
            (None, 1),
            (found["items"][0]["id"], 0),
        ]
        assert found["total"] == reader.room_history(room, ALICE, MessagePage())["total"] == 2
        assert reader.room(room, ALICE)["message_count"] == 2
        assert plain(reader.conversation(conversation, ALICE))["title"] == "One flamingo"
        assert (found_by(reader, "flamingo"), found_by(reader, "heron")) == ([], ["One heron"])
        assert plain(reader.reply(edited, ALICE))["message"] == found["items"][1]

    def test_a_selected_branch_is_back_in_every_query(self, story: Story, reader: Reader) -> None:
        room = story.room()
        conversation = story.conversation(room_id=room)
        answer = story.talk(conversation, "One flamingo", "Pink", minute=1)
        last = story.talk(conversation, "Two flamingos", "Pinker", minute=2)
        story.edit(story.question_of(answer), "One heron", "Grey")

        story.select(last)

        found = plain(reader.messages(conversation, ALICE, MessagePage()))
        assert contents(found) == ["One flamingo", "Pink", "Two flamingos", "Pinker"]
        assert contents(reader.room_history(room, ALICE, MessagePage())) == contents(found)
        assert reader.room(room, ALICE)["message_count"] == 4
        assert plain(reader.conversation(conversation, ALICE))["last_message"]["preview"] == "Pinker"
        assert found_by(reader, "heron") == []
        story.talk(conversation, "Three flamingos", minute=90)
        assert reader.messages(conversation, ALICE, MessagePage())["total"] == 6

    def test_versions_are_what_could_stand_in_the_same_place(self, story: Story, reader: Reader) -> None:
        conversation = story.conversation()
        answer = story.talk(conversation, "One", "Pink", minute=1)
        question = story.question_of(answer)
        other = story.edit(question, "Uno", "Rosa", minute=2)
        again = story.ask_again(other, minute=3)

        def versions(message: UUID) -> list[tuple[str, bool]]:
            found = plain(reader.versions(message, ALICE, Page()))
            assert (found["total"], found["limit"], found["offset"]) == (len(found["items"]), 20, 0)
            assert {each["alternatives"] for each in found["items"]} <= {found["total"] - 1}
            return [(each["content"], each["is_current"]) for each in found["items"]]

        assert versions(question) == versions(story.question_of(other)) == [("One", False), ("Uno", True)]
        assert versions(answer) == [("Pink", False)]
        assert versions(other) == [("Rosa", False)]  # The next version is in the making.
        story.end(again, "Rosarot", minute=4)
        assert versions(other) == versions(again) == [("Rosa", False), ("Rosarot", True)]
        story.select(other)
        assert versions(again) == [("Rosa", True), ("Rosarot", False)]
        [first, _] = plain(reader.versions(other, ALICE, Page()))["items"]
        assert first.pop("is_current")
        assert first == plain(reader.messages(conversation, ALICE, MessagePage()))["items"][1]

    def test_versions_come_in_pages(self, story: Story, reader: Reader) -> None:
        question = story.question_of(story.talk(story.conversation(), "0"))
        for number in range(1, 5):
            story.edit(question, str(number), minute=number + 1)

        def page(limit: int, offset: int) -> tuple[str, int, int, int]:
            found = reader.versions(question, ALICE, Page(limit=limit, offset=offset))
            return "".join(contents(found)), found["total"], found["limit"], found["offset"]

        assert page(2, 0) == ("01", 5, 2, 0)
        assert page(2, 4) == ("4", 5, 2, 4)
        assert page(5, 0) == ("01234", 5, 5, 0)
        assert page(2, 6) == ("", 5, 2, 6)

    def test_versions_are_for_those_who_may_see_the_conversation(self, story: Story, reader: Reader) -> None:
        conversation = story.conversation()
        answer = story.talk(conversation)

        self._is_guarded(lambda principal: reader.versions(answer, principal, Page()), "message")
        assert reader.versions(answer, ADMIN, Page())["total"] == 1
        story.delete_conversation(conversation)

        assert isinstance(error_of(lambda: reader.versions(answer, BOB, Page())), Forbidden)
        gone = error_of(lambda: reader.versions(answer, ALICE, Page()))
        assert (gone.slug, gone.details["id"]) == ("message_not_found", str(answer))

    def test_feedback_stands_with_its_answer_until_it_is_taken_back(self, story: Story, reader: Reader) -> None:
        conversation = story.conversation(room_id=story.room())
        answer = story.talk(conversation)

        def feedback() -> object:
            found = plain(reader.messages(conversation, ALICE, MessagePage()))["items"]
            assert found[0]["feedback"] is None
            assert plain(reader.reply(answer, ALICE))["message"] == found[1]
            return found[1]["feedback"]

        assert feedback() is None
        story.rate(answer, Rating.DOWN, "Wrong ü")
        assert feedback() == {"rating": "down", "comment": "Wrong ü", "given_at": later(70).isoformat()}
        story.rate(answer, Rating.UP, minute=71)
        assert feedback() == {"rating": "up", "comment": None, "given_at": later(71).isoformat()}
        story.take_back(answer)
        assert feedback() is None

    def test_feedback_on_an_old_version_is_there_when_that_comes_back(self, story: Story, reader: Reader) -> None:
        conversation = story.conversation()
        first = story.talk(conversation, "One", "Pink", minute=1)
        story.end(story.ask_again(first, minute=2), "Grey", minute=3)

        story.rate(first, Rating.UP)
        assert [each["feedback"] is None for each in reader.versions(first, ALICE, Page())["items"]] == [False, True]
        story.select(first, minute=90)

        assert reader.messages(conversation, ALICE, MessagePage())["items"][1]["feedback"]["rating"] == "up"

    def test_an_answer_comes_back_when_its_successor_has_no_text(self, story: Story, reader: Reader) -> None:
        room = story.room()
        conversation = story.conversation(room_id=room)
        first = story.talk(conversation, "Hello", "Flamingo", minute=1)

        story.end(story.ask_again(first, minute=2), "", minute=3)

        found = reader.messages(conversation, ALICE, MessagePage())
        assert (contents(found), found["total"]) == (["Hello", "Flamingo"], 2)
        assert contents(reader.room_history(room, ALICE, MessagePage())) == ["Hello", "Flamingo"]
        assert found_by(reader, "flamingo") == ["Flamingo"]

    # A room's history

    def test_the_history_of_a_room_holds_all_its_conversations_by_time(self, story: Story, reader: Reader) -> None:
        room, other = story.room(), story.room()
        first, second = story.conversation(room_id=room), story.conversation(room_id=room)
        story.talk(first, "One", "1", minute=1)
        story.talk(second, "Two", "2", minute=2)
        story.talk(first, "Three", "3", minute=3)
        story.talk(story.conversation(room_id=other), "Elsewhere", minute=2)
        story.talk(story.conversation(), "Nowhere", minute=2)

        def page(**page: Any) -> list[str]:
            found = reader.room_history(room, ALICE, MessagePage(**page))
            assert (found["total"], found["offset"]) == (6, page.get("offset", 0))
            return contents(found)

        assert page() == ["One", "1", "Two", "2", "Three", "3"]
        assert page(limit=4, offset=1) == ["1", "Two", "2", "Three"]
        assert page(limit=2, offset=5) == ["3"]
        assert page(limit=2, offset=6) == []
        assert page(descending=True) == ["3", "Three", "2", "Two", "1", "One"]
        assert page(descending=True, limit=2, offset=1) == ["Three", "2"]

    def test_messages_of_one_moment_are_sorted_by_conversation_and_position(self, story: Story, reader: Reader) -> None:
        room = story.room()
        conversations = [story.conversation(room_id=room) for _ in range(3)]
        for conversation in conversations:
            for _ in range(2):
                reply = story.ask(conversation, minute=7)
                story.end(reply, "Because.", minute=7)

        found = plain(reader.room_history(room, ALICE, MessagePage()))["items"]

        expected = [
            (str(conversation), position) for conversation in sorted(conversations) for position in (1, 2, 3, 4)
        ]
        assert [(message["conversation_id"], message["position"]) for message in found] == expected
        backwards = plain(reader.room_history(room, ALICE, MessagePage(descending=True)))["items"]
        assert backwards == found[::-1]

    def test_the_history_of_a_room_leaves_out_deleted_conversations(self, story: Story, reader: Reader) -> None:
        room = story.room()
        kept, *gone = (story.conversation(room_id=room) for _ in range(4))
        for conversation in (kept, *gone):
            story.talk(conversation, "Kept" if conversation == kept else "Gone", "Yes")
        for conversation in gone:
            story.delete_conversation(conversation)

        found = reader.room_history(room, ALICE, MessagePage())

        assert (contents(found), found["total"]) == (["Kept", "Yes"], 2)

    # Replies

    def test_a_reply_comes_with_its_message_once_it_has_ended(self, story: Story, reader: Reader) -> None:
        conversation = story.conversation()
        reply = story.ask(conversation)

        waiting = plain(reader.reply(reply, ALICE))
        story.end(reply, "Because.", minute=2)
        ended = plain(reader.reply(reply, ALICE))

        assert (waiting["status"], waiting["message"]) == ("queued", None)
        assert (ended["status"], ended["text"]) == ("completed", "Because.")
        assert ended["message"] == plain(reader.messages(conversation, ALICE, MessagePage()))["items"][-1]
        self._is_guarded(lambda principal: reader.reply(reply, principal), "reply")
        story.delete_conversation(conversation)
        assert isinstance(error_of(lambda: reader.reply(reply, ALICE)), NotFound)

    # Search

    def test_search_finds_messages_that_hold_every_word(self, story: Story, reader: Reader) -> None:
        self._library(
            story, "The harbour lies in the north.", "The northern lights.", "A harbour in the south.", "Nothing."
        )

        assert found_by(reader, "harbour") == ["A harbour in the south.", "The harbour lies in the north."]
        assert found_by(reader, "harbour north") == ["The harbour lies in the north."]
        assert found_by(reader, "north HARBOUR") == ["The harbour lies in the north."]
        assert found_by(reader, "harbour harbour") == found_by(reader, "harbour")
        assert found_by(reader, "harbour north south") == []
        assert found_by(reader, "lighthouse") == []

    def test_search_shows_the_newest_first_in_pages(self, story: Story, reader: Reader) -> None:
        conversations = [story.conversation() for _ in range(2)]
        for number in range(5):
            story.talk(conversations[number % 2], f"Tide {number}", "tide " * (number + 1), minute=number + 1)

        def page(limit: int, offset: int) -> tuple[list[str], int]:
            found = reader.search(ALICE, "tide", Page(limit=limit, offset=offset))
            assert (found["limit"], found["offset"]) == (limit, offset)
            return [hit["message"]["created_at"] for hit in plain(found)["items"]], found["total"]

        times = [later(minute).isoformat() for number in range(5, 0, -1) for minute in (number + 0.5, number)]
        assert page(20, 0) == (times, 10)
        assert page(10, 0) == (times, 10)
        assert page(4, 0) == (times[:4], 10)
        assert page(4, 8) == (times[8:], 10)
        assert page(4, 12) == ([], 10)

    def test_a_hit_tells_its_message_conversation_and_place(self, story: Story, reader: Reader) -> None:
        room = story.room()
        conversation, other = story.conversation(room_id=room, title="Sea"), story.conversation(title="Beach")
        story.talk(conversation, "Are <b>tides</b> twice & daily?", minute=1)
        story.talk(other, "Tides?", minute=2)

        second, first = plain(reader.search(ALICE, "tides", Page()))["items"]

        assert first["message"] == plain(reader.messages(conversation, ALICE, MessagePage()))["items"][0]
        assert first["conversation"] == {"id": str(conversation), "title": "Sea", "room_id": str(room)}
        assert first["snippet"] == "Are &lt;b&gt;<mark>tides</mark>&lt;/b&gt; twice &amp; daily?"
        assert second["conversation"] == {"id": str(other), "title": "Beach", "room_id": None}
        assert list(first) == ["message", "conversation", "snippet"]

    def test_words_match_in_their_inflections(self, story: Story, reader: Reader) -> None:
        self._library(story, "Streaming replies", "She connected it")

        for query in ("stream reply", "streams replied", "STREAMED REPLY", "streaming", "replies stream"):
            assert found_by(reader, query) == ["Streaming replies"], query
        assert found_by(reader, "connecting it") == ["She connected it"]
        assert found_by(reader, "connections it") == ["She connected it"]
        [hit] = reader.search(ALICE, "reply streams", Page())["items"]
        assert hit["snippet"] == "<mark>Streaming</mark> <mark>replies</mark>"

    def test_the_last_word_may_be_the_beginning_of_one(self, story: Story, reader: Reader) -> None:
        self._library(story, "Why are tides twice a day?", "A tidy harbour", "Untidy")

        assert found_by(reader, "twice tid") == ["Why are tides twice a day?"]
        assert found_by(reader, "tid") == ["A tidy harbour", "Why are tides twice a day?"]
        assert found_by(reader, "TI") == ["A tidy harbour", "Why are tides twice a day?"]
        assert found_by(reader, "tid twice") == []
        assert found_by(reader, "t") == []
        assert found_by(reader, "a") == ["A tidy harbour", "Why are tides twice a day?"]
        [hit] = reader.search(ALICE, "harb", Page())["items"]
        assert hit["snippet"] == "A tidy <mark>harbour</mark>"

    def test_words_match_without_their_accents(self, story: Story, reader: Reader) -> None:
        self._library(story, "Le café déjà vu", "Cafe\u0301 au lait", "Smörgåsbord in ÅRHUS", "Привет, мир")

        assert found_by(reader, "cafe") == ["Cafe\u0301 au lait", "Le café déjà vu"]
        assert found_by(reader, "Café") == found_by(reader, "cafe\u0301") == found_by(reader, "cafe")
        assert found_by(reader, "deja") == ["Le café déjà vu"]
        assert found_by(reader, "arhus") == ["Smörgåsbord in ÅRHUS"]
        assert found_by(reader, "smorgas") == ["Smörgåsbord in ÅRHUS"]
        assert found_by(reader, "мир привет") == ["Привет, мир"]
        [hit] = reader.search(ALICE, "arhus", Page())["items"]
        assert hit["snippet"] == "Smörgåsbord in <mark>ÅRHUS</mark>"

    def test_search_takes_any_text_as_words(self, story: Story, reader: Reader) -> None:
        self._library(story, "What does f(x) = a.b* mean in C++?", "snake_case or 日本語")

        for query in ('"', "*", ".*", "^", "$", "_", "(", "\\", "'; --", "{}", "…", "\x02"):
            assert found_by(reader, query) == [], query
        for query in (".* nothing", "NEAR(", "a AND b", "col:x", "ümläut", "x" * 200, "w.*t", "m[a-z]+n", "mean|y"):
            assert found_by(reader, query) == [], query
        assert found_by(reader, "f(x)") == ["What does f(x) = a.b* mean in C++?"]
        assert found_by(reader, "C++ a.b*?") == ["What does f(x) = a.b* mean in C++?"]
        assert found_by(reader, "^what") == ["What does f(x) = a.b* mean in C++?"]
        assert found_by(reader, "snake_case") == found_by(reader, "case") == ["snake_case or 日本語"]
        assert found_by(reader, "日本") == ["snake_case or 日本語"]

    def test_search_finds_neither_what_is_foreign_nor_what_is_deleted(self, story: Story, reader: Reader) -> None:
        kept, gone, in_room = story.conversation(), story.conversation(), story.room()
        story.talk(kept, "Tides stay", minute=1)
        story.talk(gone, "Tides go", minute=2)
        story.talk(story.conversation(room_id=in_room), "Tides go with the room", minute=3)
        story.talk(story.conversation(BOB), "Tides of somebody else", minute=4)
        story.delete_conversation(gone)
        story.delete_room(in_room)

        assert found_by(reader, "tides") == ["Tides stay"]
        assert found_by(reader, "tides", BOB) == ["Tides of somebody else"]
        assert found_by(reader, "tides", ADMIN) == []

    def test_a_snippet_shows_the_words_around_the_first_hit(self, story: Story, reader: Reader) -> None:
        before, after = "before " * 100, " after" * 100
        self._library(story, f"{before}the needle & <pin>{after}", f"needle{after}", f"{before}needle.")

        at_the_end, at_the_beginning, between = (
            hit["snippet"] for hit in reader.search(ALICE, "needle", Page())["items"]
        )

        assert between.startswith("…before")
        assert between.endswith("after…")
        assert "the <mark>needle</mark> &amp; &lt;pin&gt; after" in between
        assert at_the_beginning.startswith("<mark>needle</mark> after")
        assert at_the_beginning.endswith("after…")
        assert at_the_end.startswith("…before")
        assert at_the_end.endswith("before <mark>needle</mark>.")
        assert all(10 <= len(snippet.split()) <= 30 for snippet in (between, at_the_beginning))

    def _is_guarded(self, look_up: Callable[[Principal], object], kind: str) -> None:
        error = error_of(lambda: look_up(BOB))
        assert isinstance(error, Forbidden)
        assert error.details == {"kind": kind}

    def _conversation_of_ten(self, story: Story) -> UUID:
        conversation = story.conversation()
        for number in range(5):
            story.talk(conversation, f"Question {number}", minute=number)
        story.talk(story.conversation())
        return conversation

    def _library(self, story: Story, *texts: str) -> None:
        """Messages with these texts, one conversation each, the last the newest."""
        for minute, text in enumerate(texts):
            story.talk(story.conversation(), text, "Ok", minute=minute + 1)


class TestSqliteReader(OnSqlite, ReaderContract):
    @pytest.fixture
    def reader(self, database: Database) -> Reader:
        return SqlReader(database)


class TestPostgresReader(OnPostgres, ReaderContract):
    @pytest.fixture
    def reader(self, database: Database) -> Reader:
        return SqlReader(database)


class TestMongoReader(OnMongo, ReaderContract):
    @pytest.fixture
    def reader(self, database: Database, server: MongoServer) -> Reader:
        return MongoReader(server, SqlReader(database).reply)

    def test_it_answers_every_query_as_the_write_tables_do(
        self, story: Story, reader: Reader, database: Database
    ) -> None:
        things = _a_bit_of_everything(story)
        other = SqlReader(database)

        compared = 0
        for principal in (ALICE, BOB, ADMIN):
            for query in _every_query(things, principal):
                assert answer_of(query, other) == answer_of(query, reader), query
                compared += 1
        assert compared > 1_000


@dataclass(frozen=True)
class _Things:
    rooms: Sequence[UUID]
    conversations: Sequence[UUID]
    replies: Sequence[UUID]


def _a_bit_of_everything(story: Story) -> _Things:
    minute = itertools.count(1)
    rooms, conversations, replies = [], [], []
    for owner, name in ((ALICE, "Beta"), (ALICE, "alpha"), (ALICE, "beta"), (BOB, "Gamma"), (ALICE, "gone")):
        rooms.append(story.room(owner, name=name, minute=next(minute), metadata=ODD_METADATA))
        for title in ("Tides", None, "tides"):
            conversations.append(story.conversation(owner, room_id=rooms[-1], title=title, minute=next(minute)))
    conversations += [story.conversation(owner, title="Alone", minute=next(minute)) for owner in (ALICE, BOB)]
    for turn, conversation in itertools.product(range(3), conversations[:-1]):
        text = f"Why do the <tides> of café {turn} keep me waiting? " + "More & more. " * turn * 20
        replies.append(story.talk(conversation, text, f"Tidal answer {turn}.", minute=next(minute)))
    for reply in replies[-3:-1]:
        replies.append(story.ask_again(reply, minute=next(minute)))
    story.end(replies[-1], "Another answer", minute=next(minute))
    for number, reply in enumerate(replies[:9]):
        replies.append(story.edit(story.question_of(reply), f"Tides, I meant to say, {number}", minute=next(minute)))
        if number % 3 == 0:
            story.select(reply, minute=next(minute))
        if number % 2 == 0:
            story.rate(reply, Rating.DOWN, minute=next(minute))
    story.delete_conversation(conversations[1])
    story.delete_room(rooms[-1])
    return _Things([*rooms, uuid4()], [*conversations, uuid4()], [*replies[:3], *replies[-14:], uuid4()])


Query = Callable[[Reader], Document]


def _every_query(things: _Things, principal: Principal) -> Iterator[Query]:
    def pages(*keys: str) -> Iterator[Page]:
        for key, descending, (limit, offset) in itertools.product(
            keys, (True, False), ((20, 0), (2, 0), (2, 1), (3, 9))
        ):
            yield Page(limit=limit, offset=offset, sort_by=key, descending=descending)

    def histories(offsets: Sequence[int | None], cursors: Sequence[int | None]) -> Iterator[MessagePage]:
        for limit, offset, before, after, descending in itertools.product(
            (2, 20), offsets, cursors, cursors, (True, False)
        ):
            yield MessagePage(limit=limit, offset=offset, before=before, after=after, descending=descending)

    for page in pages("last_activity_at", "created_at", "name"):
        yield methodcaller("rooms", principal, page)
    for room in things.rooms:
        yield methodcaller("room", room, principal)
        for history in histories((None, 0, 3), (None,)):
            yield methodcaller("room_history", room, principal, history)
    for wanted, page in itertools.product((None, *things.rooms), pages("last_activity_at", "created_at", "title")):
        yield methodcaller("conversations", principal, wanted, page)
    for conversation in things.conversations:
        yield methodcaller("conversation", conversation, principal)
    for conversation, history in itertools.product(things.conversations[:3], histories((None, 0, 2), (None, 2, 5))):
        yield methodcaller("messages", conversation, principal, history)
    for reply, page in itertools.product(things.replies, (Page(), Page(limit=1, offset=1))):
        yield methodcaller("reply", reply, principal)
        yield methodcaller("versions", reply, principal, page)
    for text, page in itertools.product(("tides", "tid", "cafe wait", "answer 2", "why nothing", "<", ""), pages("x")):
        yield methodcaller("search", principal, text, page)


def answer_of(query: Query, reader: Reader) -> bytes:
    """An answer as it is sent, or the error instead of one."""
    try:
        return orjson.dumps(query(reader))
    except ParleyError as error:
        return orjson.dumps({"error": type(error).__name__, "message": error.message, "details": error.details})


def error_of(look_up: Callable[[], object]) -> ParleyError:
    with pytest.raises(ParleyError) as raised:
        look_up()
    return raised.value


def plain(answer: object) -> Any:
    """What arrives at a client."""
    return orjson.loads(orjson.dumps(answer))


def ids_of(page: Document) -> list[str]:
    return [item["id"] for item in plain(page)["items"]]


def contents(page: Document) -> list[str]:
    return [item["content"] for item in page["items"]]


def found_by(reader: Reader, query: str, principal: Principal = ALICE) -> list[str]:
    found = reader.search(principal, query, Page())
    assert found["total"] == len(found["items"])
    return [hit["message"]["content"] for hit in found["items"]]
