"""What every store of transcripts must do, together with its unit of work."""

from __future__ import annotations

import pytest

from application.ports.persistence import StartWork
from domain.messages import Message
from domain.replies import Reply, ReplyStatus
from tests.builders import ALICE, BOB, NOW, a_conversation, answered, asked, later
from tests.contracts.databases import OnPostgres, OnSqlite

_DIGEST = "d" * 64


class TranscriptsContract:
    @pytest.fixture
    def start_work(self) -> StartWork:
        raise NotImplementedError

    def test_a_talk_is_found_where_it_was_asked(self, start_work: StartWork) -> None:
        live, ended = note(start_work), note(start_work, text="Because.", minutes=1)

        with start_work() as work:
            last, first = work.transcripts.asked(ALICE.key, _DIGEST, limit=10)

        assert (last.reply_id, last.conversation_id, last.asked_at) == (ended.id, ended.conversation_id, later(1))
        assert (last.text, last.status) == ("Because.", ReplyStatus.COMPLETED)
        assert (first.reply_id, first.text, first.status, first.asked_at) == (live.id, "", ReplyStatus.QUEUED, NOW)

    def test_no_more_are_found_than_are_wanted(self, start_work: StartWork) -> None:
        replies = [note(start_work, minutes=minute) for minute in range(3)]

        with start_work() as work:
            found = work.transcripts.asked(ALICE.key, _DIGEST, limit=2)

        assert [each.reply_id for each in found] == [replies[2].id, replies[1].id]

    def test_others_and_other_talks_are_not_found(self, start_work: StartWork) -> None:
        note(start_work)

        with start_work() as work:
            assert work.transcripts.asked(BOB.key, _DIGEST, limit=10) == []
            assert work.transcripts.asked(ALICE.key, "e" * 64, limit=10) == []

    def test_what_is_asked_again_comes_first(self, start_work: StartWork) -> None:
        first, second = note(start_work), note(start_work, minutes=1)
        with start_work() as work:
            work.transcripts.ask_again(first.id, asked_at=later(2))
            work.commit()

        with start_work() as work:
            found = work.transcripts.asked(ALICE.key, _DIGEST, limit=10)
            assert [each.reply_id for each in found] == [first.id, second.id]
            assert work.transcripts.asked_at(first.id) == later(2)
            assert work.transcripts.asked_at(second.id) == later(1)

    def test_what_was_not_asked_with_a_talk_was_never_asked_here(self, start_work: StartWork) -> None:
        reply = note(start_work, digest=None)

        with start_work() as work:
            assert work.transcripts.asked_at(reply.id) is None

    def test_they_change_hands_with_their_conversation(self, start_work: StartWork) -> None:
        reply = note(start_work)
        with start_work() as work:
            work.hand_over(ALICE.key, BOB.key)
            work.commit()

        with start_work() as work:
            assert work.transcripts.asked(ALICE.key, _DIGEST, limit=10) == []
            assert [each.reply_id for each in work.transcripts.asked(BOB.key, _DIGEST, limit=10)] == [reply.id]


class TestSqliteTranscripts(OnSqlite, TranscriptsContract):
    """On SQLite."""


class TestPostgresTranscripts(OnPostgres, TestSqliteTranscripts):
    """On PostgreSQL."""


def note(start_work: StartWork, *, text: str = "", minutes: float = 0, digest: str | None = _DIGEST) -> Reply:
    """A reply that was asked for with a talk, some minutes after NOW."""
    conversation = a_conversation()
    answer: Message | None = None
    if text:
        question, reply, answer = answered(conversation, text=text)
    else:
        question, reply = asked(conversation)
    with start_work() as work:
        work.conversations.add(conversation)
        work.messages.add(question)
        if answer is not None:
            work.messages.add(answer)
        work.replies.add(reply)
        if digest is not None:
            work.transcripts.add(ALICE.key, digest, reply, asked_at=later(minutes))
        work.commit()
    return reply
