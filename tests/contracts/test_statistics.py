"""What everything that counts must come to, and that all of it comes to the same."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from adapters.mongo.server import MongoServer
from adapters.mongo.statistics import MongoHistoryStatistics
from adapters.sql.engine import Database
from adapters.sql.history_statistics import SqlHistoryStatistics
from adapters.sql.statistics import SqlStatistics
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.conversations.posting import taken_ahead
from application.ports.persistence import StartWork
from application.ports.projections import ReadModelsUnavailable
from application.ports.statistics import (
    BUSIEST,
    COST_UNIT,
    Analysed,
    Distinct,
    HistoryStatistics,
    Rated,
    Said,
    Scope,
    Spread,
    Started,
    Statistics,
    Written,
)
from application.statistics.reading import DegradingStatistics
from domain.deletions import Deletion, Subject
from domain.identity import SYSTEM, Principal, PrincipalKind
from domain.job_analyses import Evidence, Finding, Findings, Importance, JobAnalysis, RequiredSkill
from domain.knowledge import Document, Project, Visibility
from domain.limits import Limits
from domain.messages import Rating
from domain.replies import Outcome, ReplyStatus
from tests.builders import ALICE, BOB, NOW, a_deletion, asked
from tests.contracts.databases import OnMongo, OnPostgres, OnSqlite
from tests.contracts.test_reader import Story

DAY = 24 * 60
NOON, DAY_BEFORE, FIRST_DAY = 0, -DAY, -2 * DAY
TODAY, YESTERDAY, FIRST = "2026-11-20", "2026-11-19", "2026-11-18"
START_OF_FIRST = FIRST_DAY - DAY / 2
"""The minute that the first of the three days begins at: NOW is a noon."""

ALICES = Scope(owner=ALICE.key, first=date.fromisoformat(FIRST), last=date.fromisoformat(TODAY))
EVERYBODYS = Scope(owner=None, first=ALICES.first, last=ALICES.last)

ANSWERED = Outcome(status=ReplyStatus.COMPLETED, text="Because.")


@dataclass(frozen=True)
class Telling(Story):
    """Writes what is then counted, in one commit a step. Minutes are counted from NOW."""

    def reply(
        self, conversation_id: UUID, outcome: Outcome = ANSWERED, minute: float = NOON, agent: str | None = None
    ) -> UUID:
        """A question and how its reply ended, in the same minute; the reply's id."""
        with self.start_work() as work:
            conversation = work.conversations.get(conversation_id, for_=SYSTEM)
            now = at(minute)
            message, reply = asked(conversation, now=now, agent=agent, taken=taken_ahead(work, conversation))
            reply.claim(now)
            reply.end(outcome, epoch=reply.epoch, final_seq=1, now=now)
            work.messages.add(message)
            work.replies.add(reply)
            work.messages.add(conversation.take_answer(reply, now))
            work.commit()
        return reply.id

    def measured(self, conversation_id: UUID, minute: float = NOON, text: str = "Because.", **metadata: Any) -> UUID:
        """The same with what is told of how the answer was made."""
        outcome = Outcome(status=ReplyStatus.COMPLETED, text=text, metadata=metadata)
        return self.reply(conversation_id, outcome, minute)


def at(minute: float) -> datetime:
    return NOW + timedelta(minutes=minute)


class HistoryStatisticsContract:
    @pytest.fixture
    def start_work(self) -> StartWork:
        raise NotImplementedError

    @pytest.fixture
    def counted(self, start_work: StartWork) -> HistoryStatistics:
        """Up to date after each commit."""
        raise NotImplementedError

    @pytest.fixture
    def telling(self, start_work: StartWork) -> Telling:
        return Telling(start_work)

    # Conversations

    def test_conversations_are_counted_by_the_day_that_they_were_started_on(
        self, telling: Telling, counted: HistoryStatistics
    ) -> None:
        room = telling.room(minute=FIRST_DAY)
        telling.conversation(minute=FIRST_DAY)
        telling.conversation(minute=NOON)
        telling.conversation(minute=NOON + 5)
        telling.conversation(minute=NOON, room_id=room)
        telling.conversation(minute=NOON, agent="skills")
        telling.conversation(BOB, minute=NOON)

        assert set(counted.conversations(ALICES).started) == {
            Started(FIRST, "general", False, 1),
            Started(TODAY, "general", False, 2),
            Started(TODAY, "general", True, 1),
            Started(TODAY, "skills", False, 1),
        }
        assert Started(TODAY, "general", False, 3) in counted.conversations(EVERYBODYS).started

    def test_a_day_lasts_from_midnight_to_midnight_in_utc(self, telling: Telling, counted: HistoryStatistics) -> None:
        microsecond = 1 / 60_000_000
        for minute in (START_OF_FIRST - microsecond, START_OF_FIRST, START_OF_FIRST + 3 * DAY - microsecond):
            telling.reply(telling.conversation(minute=minute), minute=minute)
        telling.reply(telling.conversation(minute=START_OF_FIRST + 3 * DAY), minute=START_OF_FIRST + 3 * DAY)

        counts = counted.conversations(ALICES)

        assert sorted(counts.started) == [Started(FIRST, "general", False, 1), Started(TODAY, "general", False, 1)]
        assert counts.active == Distinct(by_day={FIRST: 1, TODAY: 1}, in_all=2)
        assert {(cell.day, cell.replies) for cell in counted.replies(ALICES).written} == {(FIRST, 1), (TODAY, 1)}

    def test_what_is_said_is_counted_by_day_role_and_agent(self, telling: Telling, counted: HistoryStatistics) -> None:
        conversation = telling.conversation(minute=-30 * DAY)
        telling.reply(conversation, minute=-29 * DAY)
        telling.reply(conversation, minute=DAY_BEFORE)
        telling.reply(conversation, minute=NOON, agent="skills")
        telling.reply(conversation, minute=NOON + 1)
        telling.ask(conversation, minute=NOON + 2)

        counts = counted.conversations(ALICES)

        assert (list(counts.started), set(counts.said)) == (
            [],
            {
                Said(YESTERDAY, "user", None, 1),
                Said(YESTERDAY, "assistant", "general", 1),
                Said(TODAY, "user", None, 3),
                Said(TODAY, "assistant", "skills", 1),
                Said(TODAY, "assistant", "general", 1),
            },
        )

    def test_a_conversation_is_active_once_a_day_and_once_in_all(
        self, telling: Telling, counted: HistoryStatistics
    ) -> None:
        first, second, _ = (telling.conversation(minute=FIRST_DAY) for _ in range(3))
        for conversation, minute in ((first, DAY_BEFORE), (first, NOON), (first, NOON + 1), (second, NOON + 2)):
            telling.reply(conversation, minute=minute)

        assert counted.conversations(ALICES).active == Distinct(by_day={YESTERDAY: 1, TODAY: 2}, in_all=2)

    def test_only_the_current_branch_counts_in_histories_but_every_reply_in_replies(
        self, telling: Telling, counted: HistoryStatistics
    ) -> None:
        conversation = telling.conversation(minute=NOON)
        first = telling.reply(conversation, minute=NOON)
        telling.end(telling.ask_again(first, minute=NOON + 1), "Another", minute=NOON + 2)
        telling.edit(telling.question_of(first), "How?", minute=NOON + 3)

        assert set(counted.conversations(ALICES).said) == {
            Said(TODAY, "user", None, 1),
            Said(TODAY, "assistant", "general", 1),
        }
        assert sum(cell.replies for cell in counted.replies(ALICES).written) == 3

    def test_deleted_conversations_count_in_replies_only(self, telling: Telling, counted: HistoryStatistics) -> None:
        room = telling.room(minute=NOON)
        in_room = telling.conversation(room_id=room, minute=NOON)
        alone, left = (telling.conversation(minute=NOON) for _ in range(2))
        for conversation in (in_room, alone, left):
            telling.rate(telling.reply(conversation), Rating.UP, "Good", minute=NOON + 1)
        telling.delete_room(room)
        telling.delete_conversation(alone)

        counts = counted.conversations(ALICES)

        assert list(counts.started) == [Started(TODAY, "general", False, 1)]
        assert set(counts.said) == {Said(TODAY, "user", None, 1), Said(TODAY, "assistant", "general", 1)}
        assert counts.active == Distinct(by_day={TODAY: 1}, in_all=1)
        assert list(counted.feedback(ALICES).rated) == [Rated(TODAY, "up", "general", 1)]
        assert [comment["conversation_id"] for comment in counted.feedback(ALICES).comments] == [str(left)]
        rooms = counted.rooms(ALICES)
        assert (rooms.rooms, rooms.conversations, rooms.messages, rooms.opened) == (0, 0, 0, {})
        assert (rooms.active, rooms.busiest) == (Distinct(by_day={}, in_all=0), [])
        assert sum(cell.replies for cell in counted.replies(ALICES).written) == 3

        telling.restore_room(room)

        assert counted.conversations(ALICES).active == Distinct(by_day={TODAY: 2}, in_all=2)
        assert counted.rooms(ALICES).messages == 2

    # Rooms

    def test_rooms_are_counted_with_what_they_hold(self, telling: Telling, counted: HistoryStatistics) -> None:
        old = telling.room(name="Old", minute=-10 * DAY)
        new = telling.room(name="New", minute=NOON)
        telling.room(name="Empty", minute=DAY_BEFORE)
        telling.room(BOB, name="Bob's", minute=NOON)
        in_old, in_new = telling.conversation(room_id=old), telling.conversation(room_id=new)
        telling.conversation(room_id=new)
        for conversation, minute in ((in_old, -9 * DAY), (in_old, DAY_BEFORE), (in_new, NOON)):
            telling.reply(conversation, minute=minute)
        telling.reply(telling.conversation(), minute=NOON)

        counts = counted.rooms(ALICES)

        assert (counts.rooms, counts.conversations, counts.messages) == (3, 3, 6)
        assert counts.opened == {YESTERDAY: 1, TODAY: 1}
        assert counts.active == Distinct(by_day={YESTERDAY: 1, TODAY: 1}, in_all=2)
        assert counted.rooms(EVERYBODYS).rooms == 4

    def test_the_busiest_rooms_are_those_with_most_messages_in_the_period(
        self, telling: Telling, counted: HistoryStatistics
    ) -> None:
        quiet, busy, before = (telling.room(name=name, minute=-10 * DAY) for name in ("Quiet", "Busy", "Before"))
        foreign = telling.room(BOB, name="Foreign", minute=-10 * DAY)
        for room, minutes in ((busy, (NOON, DAY_BEFORE)), (busy, (NOON,)), (quiet, (NOON,)), (before, (-9 * DAY,) * 4)):
            conversation = telling.conversation(room_id=room, minute=-10 * DAY)
            for minute in minutes:
                telling.reply(conversation, minute=minute)
        telling.reply(telling.conversation(BOB, room_id=foreign, minute=NOON))

        assert counted.rooms(ALICES).busiest == [
            {"id": str(busy), "owner": ALICE.key, "name": "Busy", "conversations": 2, "messages": 6},
            {"id": str(quiet), "owner": ALICE.key, "name": "Quiet", "conversations": 1, "messages": 2},
        ]
        assert {room["owner"] for room in counted.rooms(EVERYBODYS).busiest} == {ALICE.key, BOB.key}

    def test_rooms_that_are_as_busy_stand_in_the_order_of_their_ids(
        self, telling: Telling, counted: HistoryStatistics
    ) -> None:
        rooms = [telling.room(minute=NOON) for _ in range(BUSIEST + 2)]
        for room in rooms:
            telling.reply(telling.conversation(room_id=room, minute=NOON))

        assert [room["id"] for room in counted.rooms(ALICES).busiest] == sorted(map(str, rooms))[:BUSIEST]

    # Replies

    def test_replies_are_counted_by_how_they_ended(self, telling: Telling, counted: HistoryStatistics) -> None:
        conversation = telling.conversation(minute=NOON)
        for status in ("completed", "completed", "cancelled", "failed", "timed_out", "interrupted"):
            telling.reply(conversation, Outcome(status=ReplyStatus(status), text="So"))
        telling.ask(conversation)
        telling.reply(telling.conversation(BOB))

        found = {cell.status: cell.replies for cell in counted.replies(ALICES).written}

        assert found == {"completed": 2, "cancelled": 1, "failed": 1, "timed_out": 1, "interrupted": 1}
        assert sum(cell.replies for cell in counted.replies(EVERYBODYS).written) == 7

    def test_replies_are_added_up_with_what_they_took(self, telling: Telling, counted: HistoryStatistics) -> None:
        conversation = telling.conversation(minute=NOON)
        usage = {"input_tokens": 100, "output_tokens": 7}
        price = {"amount": 0.000123, "currency": "USD"}
        telling.measured(conversation, model="small", usage=usage, cost=price)
        telling.measured(conversation, model="small", usage=usage, cost=price, cached=True)
        telling.measured(conversation, model="small", usage={"input_tokens": 1}, cost=price | {"currency": "EUR"})
        telling.measured(conversation, model="offline", offline=True, fallback={"code": "model_failed", "message": ""})
        telling.measured(conversation, model="offline", offline=True)
        telling.measured(conversation, model="small", cached=False, usage={"output_tokens": 3, "estimated": True})
        calls = [{"id": "1", "name": "current_time"}, {"id": "2", "name": "current_time"}]
        telling.reply(
            conversation,
            Outcome(status=ReplyStatus.COMPLETED, text="At noon.", tool_calls=calls, metadata={"model": "small"}),
            minute=DAY_BEFORE,
            agent="skills",
        )

        assert set(counted.replies(ALICES).written) == {
            written(model="small", currency="USD", replies=2, cached=1, tokens=(200, 14), cost=246_000),
            written(model="small", currency="EUR", replies=1, tokens=(1, 0), cost=123_000),
            written(model="small", replies=1, estimated=1, tokens=(0, 3)),
            written(model="offline", replies=2, fallback=1, offline=1),
            written(YESTERDAY, "skills", model="small", replies=1, tool_calls=2),
        }

    def test_costs_add_up_to_the_same_everywhere(self, telling: Telling, counted: HistoryStatistics) -> None:
        conversation = telling.conversation(minute=NOON)
        amounts = [0.1, 0.2, 1 / 3, 1e-9, 2.5e-9, 3, 12.345678901, 0.0000005]
        for amount in amounts:
            telling.measured(conversation, cost={"amount": amount, "currency": "USD"})

        (cell,) = counted.replies(ALICES).written

        assert cell.cost == sum(int(amount * COST_UNIT + 0.5) for amount in amounts)

    def test_what_a_models_server_says_may_be_anything(self, telling: Telling, counted: HistoryStatistics) -> None:
        conversation = telling.conversation(minute=NOON)
        for odd in (None, True, "12", "", -1, 2**31, 2**63 - 1, 1e300, [1], {"a": 1}):
            telling.measured(
                conversation,
                model=odd if not isinstance(odd, str) else None,
                usage={"input_tokens": odd, "output_tokens": 2.9},
                response_time_ms=odd,
                time_to_first_token_ms=7.9,
                cost={"amount": odd if odd != 2**31 else None, "currency": None},
            )
        telling.measured(conversation, usage=None, cost="much", model={"$ref": 1})
        telling.measured(conversation, usage=[1, 2], cost=[{"amount": 3}], tool_calls=3)

        counts = counted.replies(ALICES)

        assert [cell for cell in counts.written if cell.model is None] == list(counts.written)
        assert [(cell.replies, cell.input_tokens, cell.output_tokens, cell.cost) for cell in counts.written] == [
            (12, 0, 20, 0)
        ]
        assert (counts.response_time, counts.time_to_first_token) == (Spread(), Spread(10, 70, 7, 7))

    def test_an_odd_character_in_one_reply_leaves_the_others_counted(
        self, telling: Telling, counted: HistoryStatistics
    ) -> None:
        conversation = telling.conversation(minute=NOON)
        telling.measured(conversation, fallback={"code": "model_failed", "message": "\x00"})
        telling.measured(conversation, usage={"input_tokens": 5})

        cells = counted.replies(ALICES).written

        assert (sum(cell.replies for cell in cells), sum(cell.input_tokens for cell in cells)) == (2, 5)

    def test_percentiles_are_by_nearest_rank(self, telling: Telling, counted: HistoryStatistics) -> None:
        conversation = telling.conversation(minute=NOON)
        values = [*range(10, 110, 10), *range(10, 110, 10)]  # Each of ten twice.
        random.shuffle(values)
        for value in values:
            telling.measured(conversation, response_time_ms=value)
        telling.measured(conversation, time_to_first_token_ms=5)
        telling.measured(conversation, minute=-9 * DAY, response_time_ms=1_000_000)

        counts = counted.replies(ALICES)

        # Of 20: the 10th and the 19th.
        assert (counts.response_time, counts.time_to_first_token) == (Spread(20, 1100, 50, 100), Spread(1, 5, 5, 5))

    @pytest.mark.parametrize("number", [1, 2, 3, 19, 20, 21])
    def test_a_percentile_is_always_one_of_the_values(
        self, telling: Telling, counted: HistoryStatistics, number: int
    ) -> None:
        conversation = telling.conversation(minute=NOON)
        for value in range(1, number + 1):
            telling.measured(conversation, response_time_ms=value)

        rank_50, rank_95 = -(-number * 50 // 100), -(-number * 95 // 100)
        assert counted.replies(ALICES).response_time == Spread(number, number * (number + 1) // 2, rank_50, rank_95)

    # Feedback

    def test_ratings_are_counted_by_the_day_that_they_were_given_on(
        self, telling: Telling, counted: HistoryStatistics
    ) -> None:
        conversation = telling.conversation(minute=-20 * DAY)
        good, bad, other, gone, late = (
            telling.reply(conversation, minute=-20 * DAY, agent=agent)
            for agent in ("general", "general", "skills", "general", "general")
        )
        telling.rate(good, Rating.UP, minute=NOON)
        telling.rate(bad, Rating.DOWN, minute=NOON)
        telling.rate(other, Rating.UP, minute=DAY_BEFORE)
        telling.rate(gone, Rating.UP, minute=NOON)
        telling.take_back(gone, minute=NOON + 1)
        telling.rate(late, Rating.UP, minute=-19 * DAY)
        telling.rate(telling.reply(telling.conversation(BOB)), Rating.DOWN, minute=NOON + 1)

        assert set(counted.feedback(ALICES).rated) == {
            Rated(TODAY, "up", "general", 1),
            Rated(TODAY, "down", "general", 1),
            Rated(YESTERDAY, "up", "skills", 1),
        }
        assert Rated(TODAY, "down", "general", 2) in counted.feedback(EVERYBODYS).rated

    def test_the_newest_comments_come_first(self, telling: Telling, counted: HistoryStatistics) -> None:
        conversation = telling.conversation(minute=NOON)
        answers = [telling.reply(conversation) for _ in range(BUSIEST + 2)]
        for minute, answer in enumerate(answers):
            telling.rate(answer, Rating.DOWN, f"Comment {minute}", minute=minute + 1 / 7)
        telling.rate(telling.reply(conversation), Rating.UP, minute=300)
        foreign = telling.reply(telling.conversation(BOB))
        telling.rate(foreign, Rating.UP, "Bob's", minute=299)

        comments = counted.feedback(ALICES).comments

        assert [comment["comment"] for comment in comments] == [f"Comment {n}" for n in range(BUSIEST + 1, 1, -1)]
        assert comments[0] == {
            "message_id": str(answers[-1]),
            "conversation_id": str(conversation),
            "agent": "general",
            "rating": "down",
            "comment": f"Comment {BUSIEST + 1}",
            "given_at": given_at(BUSIEST + 1 + 1 / 7),
        }
        assert counted.feedback(EVERYBODYS).comments[0]["message_id"] == str(foreign)

    # Nothing

    def test_where_there_is_nothing_there_is_nothing_to_count(self, counted: HistoryStatistics) -> None:
        conversations, rooms = counted.conversations(EVERYBODYS), counted.rooms(EVERYBODYS)
        replies, feedback = counted.replies(EVERYBODYS), counted.feedback(EVERYBODYS)

        nothing = Distinct(by_day={}, in_all=0)
        assert (list(conversations.started), list(conversations.said), conversations.active) == ([], [], nothing)
        assert (rooms.rooms, rooms.conversations, rooms.messages, rooms.opened) == (0, 0, 0, {})
        assert (rooms.active, list(rooms.busiest)) == (nothing, [])
        assert (list(replies.written), replies.response_time, replies.time_to_first_token) == ([], Spread(), Spread())
        assert (list(feedback.rated), list(feedback.comments)) == ([], [])


def given_at(minute: float) -> str:
    return at(minute).isoformat()


def written(
    day: str = TODAY,
    agent: str = "general",
    *,
    model: str | None = None,
    currency: str | None = None,
    tokens: tuple[int, int] = (0, 0),
    **given: int,
) -> Written:
    names = ("replies", "fallback", "offline", "cached", "estimated", "tool_calls", "cost")
    counts = dict.fromkeys(names, 0) | given
    return Written(day, "completed", agent, model, currency, input_tokens=tokens[0], output_tokens=tokens[1], **counts)


class StatisticsContract:
    @pytest.fixture
    def start_work(self) -> StartWork:
        raise NotImplementedError

    @pytest.fixture
    def statistics(self, start_work: StartWork) -> Statistics:
        raise NotImplementedError

    @pytest.fixture
    def telling(self, start_work: StartWork) -> Telling:
        return Telling(start_work)

    def test_what_was_deleted_and_not_restored_is_counted_by_its_day(
        self, telling: Telling, statistics: Statistics, start_work: StartWork
    ) -> None:
        def deleted(subject: Subject, minute: float, conversations: int, restored: bool = False) -> Deletion:
            deletion = a_deletion(subject, uuid4(), at(minute))
            deletion.conversation_count = conversations
            if restored:
                deletion.restore(at(minute + 1))
            return deletion

        with start_work() as work:
            for deletion in (
                deleted(Subject.ROOM, NOON, 3),
                deleted(Subject.ROOM, NOON, 0),
                deleted(Subject.CONVERSATION, NOON, 1),
                deleted(Subject.CONVERSATION, DAY_BEFORE, 1),
                deleted(Subject.ROOM, NOON, 5, restored=True),
                deleted(Subject.CONVERSATION, -9 * DAY, 1),
            ):
                work.deletions.add(deletion)
            work.commit()

        counts = statistics.deletions(ALICES)

        assert counts.conversations == {YESTERDAY: 1, TODAY: 4}
        assert counts.rooms == {YESTERDAY: 0, TODAY: 2}
        of_bob = statistics.deletions(Scope(owner=BOB.key, first=ALICES.first, last=ALICES.last))
        assert (of_bob.rooms, of_bob.conversations) == ({}, {})

    def test_visitors_are_counted_with_what_they_asked(
        self, telling: Telling, statistics: Statistics, start_work: StartWork
    ) -> None:
        early, late, silent = (uuid4() for _ in range(3))
        with start_work() as work:
            for visitor, minute in ((early, -9 * DAY), (late, NOON), (silent, DAY_BEFORE)):
                work.visitors.add(visitor, at(minute))
            work.flush()
            work.visitors.claim(silent, by=ALICE.key, now=at(NOON))
            work.commit()
        for visitor in (early, late):
            conversation = telling.conversation(Principal(PrincipalKind.VISITOR, str(visitor)))
            telling.reply(conversation, minute=DAY_BEFORE)
            telling.reply(conversation, minute=NOON)
        deleted = telling.conversation(Principal(PrincipalKind.VISITOR, str(silent)))
        telling.reply(deleted)
        telling.delete_conversation(deleted)
        telling.reply(telling.conversation(ALICE))

        counts = statistics.visitors(EVERYBODYS)

        assert (counts.new, counts.claimed) == ({YESTERDAY: 1, TODAY: 1}, {TODAY: 1})
        assert counts.questions == {YESTERDAY: 2, TODAY: 2}
        assert counts.active == Distinct(by_day={YESTERDAY: 2, TODAY: 2}, in_all=2)

    def test_projects_are_counted_with_their_documents(self, statistics: Statistics, start_work: StartWork) -> None:
        old, new, foreign = a_project(minute=-9 * DAY), a_project(minute=NOON), a_project(BOB, minute=NOON)
        gone = a_project(minute=NOON)
        ready = a_document(old, size=100, minute=-9 * DAY)
        ready.take_passages(
            title=None, media_type="text/plain", characters=90, passages=4, fingerprint=ready.fingerprint, now=NOW
        )
        failed = a_document(old, size=10, minute=DAY_BEFORE)
        failed.refuse("unreadable", "It cannot be read.", NOW)
        waiting, dropped = a_document(new, size=1, minute=NOON), a_document(new, size=1_000, minute=NOON)
        deletion = a_deletion(Subject.PROJECT, gone.id)
        with start_work() as work:
            work.deletions.add(deletion)
            gone.delete(deletion)
            dropped.delete(deletion)
            for project in (old, new, foreign, gone):
                work.projects.add(project)
            for document in (ready, failed, waiting, dropped, a_document(foreign, size=5, minute=NOON)):
                work.documents.add(document)
            work.commit()

        counts = statistics.projects(ALICES)

        assert (counts.projects, counts.documents) == (2, {"ready": 1, "failed": 1, "queued": 1})
        assert (counts.passages, counts.size) == (4, 111)
        assert (counts.opened, counts.added) == ({TODAY: 1}, {YESTERDAY: 1, TODAY: 1})
        assert statistics.projects(EVERYBODYS).size == 116

    def test_the_documents_that_most_answers_cite_come_first(self, telling: Telling, statistics: Statistics) -> None:
        def citing(conversation_id: UUID, *documents: str, minute: float = NOON) -> UUID:
            sources = [
                {"number": number, "document_id": ids[name], "document": f"{name}.md", "title": name.title()}
                for number, name in enumerate(documents, 1)
            ]
            outcome = Outcome(status=ReplyStatus.COMPLETED, text="See [1].", sources=sources)
            return telling.reply(conversation_id, outcome, minute)

        ids = {name: str(uuid4()) for name in ("tides", "moons", "stars", "bobs")}
        conversation, deleted = telling.conversation(), telling.conversation()
        citing(conversation, "tides", "tides", "moons")
        citing(conversation, "tides")
        citing(conversation, "stars", minute=-9 * DAY)
        citing(deleted, "moons")
        telling.delete_conversation(deleted)
        citing(telling.conversation(BOB), "moons", "bobs")

        assert list(statistics.projects(ALICES).cited) == [
            {"document_id": ids["tides"], "document": "tides.md", "title": "Tides", "answers": 2},
            {"document_id": ids["moons"], "document": "moons.md", "title": "Moons", "answers": 1},
        ]
        everybodys = [each["title"] for each in statistics.projects(EVERYBODYS).cited]
        assert everybodys == ["Moons", "Tides", "Bobs"]

    def test_job_analyses_are_counted_with_the_skills_that_are_missing_most(
        self, statistics: Statistics, start_work: StartWork
    ) -> None:
        failed, gone = an_analysis(minute=DAY_BEFORE), completed_with(an_analysis(minute=NOON), Rust=False)
        failed.fail("unreadable", "It cannot be read.", NOW)
        deletion = a_deletion(Subject.DOCUMENT, gone.id)
        gone.delete(deletion)
        with start_work() as work:
            work.deletions.add(deletion)
            for analysis in (
                completed_with(an_analysis(minute=NOON), Python=True, Go=False, Rust=False),
                completed_with(an_analysis(minute=NOON + 1), Python=True, Go=False),
                completed_with(an_analysis(minute=NOON)),
                completed_with(an_analysis(minute=-9 * DAY), Perl=False),
                an_analysis(minute=NOON),
                completed_with(an_analysis(BOB, minute=NOON), Python=False),
                failed,
                gone,
            ):
                work.job_analyses.add(analysis)
            work.commit()

        counts = statistics.job_analyses(ALICES)

        assert set(counts.analysed) == {
            Analysed(TODAY, "completed", 3, 2, 33 + 50, 2, 3),
            Analysed(TODAY, "queued", 1, 0, 0, 0, 0),
            Analysed(YESTERDAY, "failed", 1, 0, 0, 0, 0),
        }
        assert list(counts.skills) == [
            {"name": "Go", "analyses": 2, "missing": 2},
            {"name": "Rust", "analyses": 1, "missing": 1},
            {"name": "Python", "analyses": 2, "missing": 0},
        ]
        assert statistics.job_analyses(EVERYBODYS).skills[1] == {"name": "Python", "analyses": 3, "missing": 1}

    def test_where_there_is_nothing_there_is_nothing_to_count(self, statistics: Statistics) -> None:
        deleted, visitors = statistics.deletions(EVERYBODYS), statistics.visitors(EVERYBODYS)
        projects, analyses = statistics.projects(EVERYBODYS), statistics.job_analyses(EVERYBODYS)

        assert (deleted.rooms, deleted.conversations) == ({}, {})
        assert (visitors.new, visitors.claimed, visitors.questions, visitors.active.in_all) == ({}, {}, {}, 0)
        assert (projects.projects, projects.documents, projects.passages, projects.size) == (0, {}, 0, 0)
        assert (projects.opened, projects.added, list(projects.cited)) == ({}, {}, [])
        assert (list(analyses.analysed), list(analyses.skills)) == ([], [])


def an_analysis(owner: Principal = ALICE, *, minute: float) -> JobAnalysis:
    return JobAnalysis.of_text(
        "Somebody who knows things.",
        id=uuid4(),
        owner=owner,
        title=None,
        project_id=None,
        analyses_so_far=0,
        limits=Limits(),
        now=at(minute),
    )


def completed_with(analysis: JobAnalysis, **skills: bool) -> JobAnalysis:
    """The analysis with whether there is evidence for each skill."""
    evidence = Evidence(project_id=uuid4(), title="Project", excerpt="It is there.")
    findings = Findings(
        [
            Finding(
                RequiredSkill(name=name, kind="language", importance=Importance.REQUIRED), [evidence] if shown else []
            )
            for name, shown in skills.items()
        ]
    )
    analysis.complete("Somebody", findings.result("vocabulary"), cached=False, now=NOW)
    return analysis


def a_project(owner: Principal = ALICE, *, minute: float) -> Project:
    return Project.open(
        id=uuid4(),
        owner=owner,
        key=f"project-{uuid4().hex[:8]}",
        name="Project",
        description="",
        visibility=Visibility.PRIVATE,
        metadata={},
        projects_so_far=0,
        limits=Limits(),
        now=at(minute),
    )


def a_document(project: Project, *, size: int, minute: float) -> Document:
    return Document.add(
        id=uuid4(),
        project=project,
        name=f"{uuid4()}.txt",
        title=None,
        media_type="text/plain",
        size=size,
        fingerprint=uuid4().hex,
        metadata={},
        documents_so_far=0,
        limits=Limits(),
        now=at(minute),
    )


class TestSqliteHistoryStatistics(OnSqlite, HistoryStatisticsContract):
    @pytest.fixture
    def counted(self, database: Database) -> HistoryStatistics:
        return SqlHistoryStatistics(database)


class TestPostgresHistoryStatistics(OnPostgres, HistoryStatisticsContract):
    @pytest.fixture
    def counted(self, database: Database) -> HistoryStatistics:
        return SqlHistoryStatistics(database)


class TestSqliteStatistics(OnSqlite, StatisticsContract):
    @pytest.fixture
    def statistics(self, database: Database) -> Statistics:
        return SqlStatistics(database)


class TestPostgresStatistics(OnPostgres, StatisticsContract):
    @pytest.fixture
    def statistics(self, database: Database) -> Statistics:
        return SqlStatistics(database)


class TestMongoHistoryStatistics(OnMongo, HistoryStatisticsContract):
    @pytest.fixture
    def counted(self, server: MongoServer, start_work: StartWork) -> HistoryStatistics:
        return MongoHistoryStatistics(server)

    def test_it_comes_to_the_same_as_the_write_tables(
        self, telling: Telling, counted: HistoryStatistics, database: Database
    ) -> None:
        _a_bit_of_everything(telling)
        other = SqlHistoryStatistics(database)

        for owner in (ALICE.key, BOB.key, None):
            for days in (1, 3, 30):
                scope = Scope(owner=owner, first=ALICES.last - timedelta(days=days - 1), last=ALICES.last)
                assert in_any_order(counted.conversations(scope)) == in_any_order(other.conversations(scope))
                assert counted.rooms(scope) == other.rooms(scope)
                assert in_any_order(counted.replies(scope)) == in_any_order(other.replies(scope))
                assert in_any_order(counted.feedback(scope)) == in_any_order(other.feedback(scope))


class TestDegradingStatistics(OnSqlite):
    @pytest.fixture
    def preferred(self, postgres_database: Database) -> HistoryStatistics:
        Telling(lambda: SqlUnitOfWork(postgres_database)).room(minute=NOON)
        return SqlHistoryStatistics(postgres_database)

    def test_the_write_tables_are_counted_while_the_read_models_cannot_be_relied_on(
        self, database: Database, preferred: HistoryStatistics
    ) -> None:
        doubts = ["They are 9 seconds behind."]

        def check() -> None:
            if doubts:
                raise ReadModelsUnavailable(doubts[0])

        counted = DegradingStatistics(preferred, SqlHistoryStatistics(database), check)

        assert counted.rooms(ALICES).rooms == 0
        doubts.clear()
        assert counted.rooms(ALICES).rooms == 1

    def test_the_write_tables_are_counted_when_mongodb_is_away(self, database: Database) -> None:
        telling = Telling(lambda: SqlUnitOfWork(database))
        conversation = telling.conversation(room_id=telling.room(minute=NOON), minute=NOON)
        telling.rate(telling.reply(conversation), Rating.UP, minute=NOON)
        away = MongoServer("mongodb://127.0.0.1:1/parley")
        counted = DegradingStatistics(MongoHistoryStatistics(away), SqlHistoryStatistics(database), check=lambda: None)

        assert counted.conversations(ALICES).active.in_all == 1
        assert counted.rooms(ALICES).active.in_all == 1
        assert len(counted.replies(ALICES).written) == 1
        assert len(counted.feedback(ALICES).rated) == 1
        away.close()


def _a_bit_of_everything(telling: Telling) -> None:
    dice = random.Random(6)  # noqa: S311
    for owner in (ALICE, BOB):
        rooms = [telling.room(owner, name=f"Room {number}", minute=-dice.randrange(5 * DAY)) for number in range(3)]
        for room in (*rooms, None):
            conversations = [
                telling.conversation(owner, room_id=room, minute=-dice.randrange(5 * DAY)) for _ in range(3)
            ]
            for conversation in conversations:
                for _ in range(dice.randrange(6)):
                    _something_said(telling, conversation, dice)
            telling.delete_conversation(conversations[-1])
        telling.delete_room(rooms[-1])


def _something_said(telling: Telling, conversation: UUID, dice: random.Random) -> None:
    minute = -dice.randrange(5 * DAY)
    metadata = {
        "model": dice.choice(["small", "large", None]),
        "usage": {"input_tokens": dice.randrange(1000), "output_tokens": dice.randrange(100)},
        "cost": {"amount": dice.random() / 1000, "currency": dice.choice(["USD", "EUR"])},
        "response_time_ms": dice.randrange(40),
        "time_to_first_token_ms": dice.randrange(20),
        "cached": dice.random() < 0.2,
    }
    status = dice.choice([status for status in ReplyStatus if not status.is_live])
    reply = telling.reply(conversation, Outcome(status=status, text="So", metadata=metadata), minute, "general")
    if dice.random() < 0.3:
        telling.end(telling.ask_again(reply, minute), dice.choice(["Again", ""]), minute)
    elif dice.random() < 0.3:
        telling.edit(telling.question_of(reply), "Rather?", minute=minute)
    if dice.random() < 0.6:
        telling.rate(reply, dice.choice(list(Rating)), dice.choice([None, "So so"]), minute + 1)


def in_any_order(counts: Any) -> dict[str, Any]:
    return {
        field.name: sorted(value, key=repr) if isinstance(value := getattr(counts, field.name), list) else value
        for field in fields(counts)
    }
