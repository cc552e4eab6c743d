"""What a conversation decides by itself: positions, one reply at a time, titles, versions."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.agents import BUILT_IN
from domain.conversations import Conversation
from domain.errors import Conflict, Invalid, Limited
from domain.events import MessagePosted, MessageSuperseded
from domain.limits import Limits
from domain.messages import Message, NewMessage, Role
from domain.replies import Outcome, ReplyStatus
from tests.builders import NOW, a_conversation, answered, asked


def test_a_question_takes_the_next_position_and_keeps_the_one_after_it_for_the_reply() -> None:
    conversation = a_conversation()

    question, reply = asked(conversation)

    assert (question.position, reply.position) == (1, 2)
    assert conversation.live_reply_id == reply.id
    assert conversation.message_count == 1


def test_a_question_keeps_what_its_client_notes_and_what_that_tells_the_agent() -> None:
    conversation = a_conversation()

    question, _ = asked(conversation, metadata={"id": "c1"}, instructions=" Be brief. ")

    assert question.metadata == {"id": "c1", "instructions": "Be brief."}
    assert asked(a_conversation())[0].metadata == {}


@pytest.mark.parametrize(
    ("noted", "field"),
    [
        ({"metadata": {"long": "x" * 10_240}}, "metadata"),
        ({"instructions": " "}, "instructions"),
        ({"instructions": "x" * 100_001}, "instructions"),
    ],
)
def test_what_a_client_notes_has_bounds(noted: dict[str, Any], field: str) -> None:
    conversation = a_conversation()

    with pytest.raises(Invalid) as refused:
        asked(conversation, **noted)

    assert list(refused.value.fields) == [field]
    assert (conversation.live_reply_id, conversation.message_count) == (None, 0)


def test_the_answer_has_the_replys_id_and_place_and_frees_the_conversation() -> None:
    conversation = a_conversation()

    _, reply, answer = answered(conversation)

    assert (answer.id, answer.position, answer.role) == (reply.id, 2, Role.ASSISTANT)
    assert conversation.live_reply_id is None
    assert conversation.message_count == 2
    assert asked(conversation)[0].position == 3


@given(st.lists(st.sampled_from(["ask", "fail", "regenerate"]), max_size=30))
def test_positions_are_given_out_once_whatever_happens(steps: list[str]) -> None:
    conversation = a_conversation()
    current = {}
    last_answer = None
    for step in steps:
        if step == "regenerate" and last_answer is None:
            continue
        if step == "regenerate":
            assert last_answer is not None
            reply = conversation.regenerate(
                last_answer, reply_id=uuid4(), versions=1, live_replies=0, limits=Limits(), now=NOW
            )
        else:
            question, reply = asked(conversation)
            assert question.position not in current
            current[question.position] = question
        reply.claim(NOW)
        status = ReplyStatus.FAILED if step == "fail" else ReplyStatus.COMPLETED
        reply.end(Outcome(status=status), epoch=reply.epoch, final_seq=1, now=NOW)
        answer = conversation.take_answer(
            reply, NOW, versions=[last_answer] if step == "regenerate" and last_answer else ()
        )
        last_answer = last_answer if answer.superseded_by else answer
        assert last_answer is not None
        current[last_answer.position] = last_answer

    assert sorted(current) == list(range(1, conversation.next_position))
    assert conversation.message_count == len(current)


def test_a_second_question_waits_for_the_reply() -> None:
    conversation = a_conversation()
    _, reply = asked(conversation)

    with pytest.raises(Conflict) as refusal:
        asked(conversation)

    assert refusal.value.slug == "reply_in_progress"
    assert refusal.value.details == {"reply_id": str(reply.id)}


def test_one_has_so_many_live_replies_at_a_time() -> None:
    with pytest.raises(Limited) as refusal:
        asked(a_conversation(), live_replies=5)

    assert refusal.value.retry_after > 0


def test_a_refused_question_changes_nothing() -> None:
    conversation = a_conversation()
    conversation.release_events()

    for refused in ({"content": " "}, {"agent": "nobody"}, {"live_replies": 5}):
        with pytest.raises((Invalid, Limited)):
            asked(conversation, **refused)

    assert (conversation.next_position, conversation.message_count, conversation.title) == (1, 0, "")
    assert conversation.release_events() == []


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("Short", "Short"),
        ("  two\n lines ", "two lines"),
        ("word " * 30, "word " * 11 + "word…"),
        ("x" * 100, "x" * 59 + "…"),
    ],
)
def test_the_first_question_names_a_conversation_without_a_title(question: str, title: str) -> None:
    conversation = a_conversation()
    asked(conversation, question)

    assert conversation.title == title


def test_a_title_that_was_given_stays() -> None:
    conversation = a_conversation(title="Mine")
    asked(conversation)

    assert conversation.title == "Mine"


def test_regenerating_puts_a_new_version_in_the_place_of_the_last_answer() -> None:
    conversation = a_conversation()
    _, _, answer = answered(conversation)
    conversation.release_events()

    reply = conversation.regenerate(answer, reply_id=uuid4(), versions=1, live_replies=0, limits=Limits(), now=NOW)

    assert (reply.position, reply.version) == (2, 2)
    assert answer.superseded_by == reply.id
    assert conversation.message_count == 1
    assert [MessageSuperseded(subject_id=conversation.id, at=NOW, message_id=answer.id, position=2)] == (
        conversation.release_events()
    )


def test_an_answer_comes_back_when_its_new_version_says_nothing() -> None:
    conversation = a_conversation()
    _, _, answer = answered(conversation)
    reply = conversation.regenerate(answer, reply_id=uuid4(), versions=1, live_replies=0, limits=Limits(), now=NOW)
    reply.claim(NOW)
    reply.end(Outcome(status=ReplyStatus.FAILED), epoch=reply.epoch, final_seq=1, now=NOW)

    failure = conversation.take_answer(reply, NOW, versions=[answer])

    assert answer.superseded_by is None
    assert failure.superseded_by == answer.id
    assert conversation.message_count == 2
    assert conversation.last_message is not None
    assert conversation.last_message["preview"] == "Because."


def test_neither_a_question_nor_an_earlier_answer_nor_an_old_version_can_be_regenerated() -> None:
    conversation = a_conversation()
    question, _, first = answered(conversation)
    _, _, second = answered(conversation)
    second.superseded_by = uuid4()

    for message in (question, first, second):
        with pytest.raises(Conflict) as refusal:
            conversation.regenerate(message, reply_id=uuid4(), versions=1, live_replies=0, limits=Limits(), now=NOW)
        assert refusal.value.slug == "not_last_answer"


def test_every_message_is_an_event_with_its_position() -> None:
    conversation = a_conversation()
    conversation.release_events()

    question, reply, answer = answered(conversation)

    assert [
        MessagePosted(subject_id=conversation.id, at=NOW, message_id=message.id, position=message.position)
        for message in (question, answer)
    ] == conversation.release_events()
    assert [type(event).__name__ for event in reply.release_events()] == ["ReplyQueued", "ReplyEnded"]


def test_what_was_said_elsewhere_follows_in_its_order_and_is_answered_by_nobody() -> None:
    conversation = a_conversation()

    said = [added(conversation, role, role.value) for role in (Role.SYSTEM, Role.USER, Role.ASSISTANT)]

    assert [message.position for message in said] == [1, 2, 3]
    assert [message.parent_id for message in said] == [None, said[0].id, said[1].id]
    assert [message.agent for message in said] == [None, None, "general"]
    assert (conversation.title, conversation.message_count) == ("user", 3)
    assert asked(conversation)[0].position == 4


def test_nothing_is_added_beneath_a_reply_in_the_making_nor_by_a_tool() -> None:
    conversation = a_conversation()
    with pytest.raises(Invalid, match="role"):
        added(conversation, Role.TOOL)
    with pytest.raises(Invalid, match="content"):
        added(conversation, content=" ")
    asked(conversation)

    with pytest.raises(Conflict, match="A reply is being written"):
        added(conversation)


def added(conversation: Conversation, role: Role = Role.USER, content: str = "Said.") -> Message:
    said = NewMessage(role=role, content=content)
    return conversation.add(said, message_id=uuid4(), agents=BUILT_IN, limits=Limits(), now=NOW)
