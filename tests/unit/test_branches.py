"""A conversation is a tree: edits and new answers begin branches, one of which is the history."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Conflict, Invalid, Limited
from domain.events import HistoryChanged, MessageChanged, MessagePosted, MessageSuperseded
from domain.limits import Limits
from domain.messages import Message, Rating, Role
from tests.builders import NOW, a_conversation, answered, asked, later
from tests.tree import Tree


def test_an_edited_question_takes_the_place_of_the_old_one_and_what_followed_leaves_the_history() -> None:
    tree = Tree()
    first = tree.ask("One")
    tree.ask("Two")

    edited, reply = tree.edit_only(first, "Uno")

    assert [message.content for message in tree.branch] == ["Uno"]
    assert (edited.position, edited.version, edited.parent_id) == (1, 2, None)
    assert (reply.position, reply.version, reply.parent_id) == (2, 2, edited.id)
    assert tree.conversation.next_position == 3
    assert tree.conversation.message_count == 1
    assert tree.conversation.head_id == edited.id
    assert tree.conversation.live_reply_id == reply.id


def test_an_edit_keeps_the_title_and_tells_from_where_the_history_is_another() -> None:
    tree = Tree()
    tree.ask("One")
    second = tree.ask("Two")
    tree.conversation.release_events()

    edited, _ = tree.edit_only(second, "Due")

    of_conversation: dict[str, Any] = {"subject_id": tree.conversation.id, "at": NOW}
    assert tree.conversation.title == "One"
    assert tree.conversation.release_events() == [
        HistoryChanged(**of_conversation, from_position=3),
        MessagePosted(**of_conversation, message_id=edited.id, position=3),
    ]


def test_versions_of_a_question_know_how_many_others_there_are() -> None:
    tree = Tree()
    first = tree.ask("One")
    edited = tree.edit(first, "Uno")
    again = tree.edit(edited, "Un")

    assert [message.alternatives for message in (first, edited, again)] == [2, 2, 2]
    assert [message.version for message in (first, edited, again)] == [1, 2, 3]


def test_answers_on_different_branches_are_no_versions_of_each_other() -> None:
    tree = Tree()
    first = tree.ask("One")
    tree.edit(first, "Uno")

    answers = [message for message in tree.messages.values() if message.role is Role.ASSISTANT]
    assert [(answer.version, answer.alternatives) for answer in answers] == [(1, 0), (2, 0)]


def test_a_branch_goes_on_over_positions_that_were_used_before() -> None:
    tree = Tree()
    first = tree.ask("One")
    tree.ask("Two")
    tree.edit(first, "Uno")
    assert tree.conversation.retraces

    due = tree.ask("Due")
    tre = tree.ask("Tre")

    assert tree.contents[::2] == ["Uno", "Due", "Tre"]
    assert (due.position, due.version) == (3, 2)
    assert (tre.position, tre.version) == (5, 1)
    assert not tree.conversation.retraces


def test_a_conversation_without_branches_never_looks_for_used_positions() -> None:
    tree = Tree()
    for _ in range(3):
        tree.ask()
        tree.regenerate()

    assert not tree.conversation.retraces


def test_selecting_a_version_brings_back_its_branch_as_it_was_left() -> None:
    tree = Tree()
    first = tree.ask("One")
    tree.ask("Two")
    edited = tree.edit(first, "Uno")
    tree.ask("Due")

    tree.select(first)
    assert tree.contents[::2] == ["One", "Two"]
    tree.select(edited)
    assert tree.contents[::2] == ["Uno", "Due"]


def test_a_selected_branch_is_what_the_conversation_goes_on_with() -> None:
    tree = Tree()
    first = tree.ask("One")
    tree.ask("Two", "Yes, two.")
    tree.edit(first, "Uno", "Si.")

    tree.select(first)

    conversation = tree.conversation
    assert (conversation.message_count, conversation.next_position) == (4, 5)
    assert conversation.head_id == tree.branch[-1].id
    assert conversation.last_message is not None
    assert conversation.last_message["preview"] == "Yes, two."
    assert tree.ask("Three").position == 5
    assert tree.contents[::2] == ["One", "Two", "Three"]


def test_an_older_answer_is_selected_and_asked_on_from() -> None:
    tree = Tree()
    tree.ask("One", "First")
    first = tree.branch[-1]
    second = tree.regenerate("Second")
    tree.ask("Two")

    tree.select(first)
    assert tree.contents == ["One", "First"]
    three = tree.ask("Three")
    assert (three.position, three.version, three.parent_id) == (3, 2, first.id)

    tree.select(second)
    assert tree.contents[:3] == ["One", "Second", "Two"]
    tree.select(three)
    assert tree.contents[:3] == ["One", "First", "Three"]


def test_of_several_answers_the_one_that_was_there_last_comes_back_not_the_newest() -> None:
    tree = Tree()
    question = tree.ask("One", "First")
    first = tree.branch[-1]
    tree.regenerate("Second")
    tree.select(first)
    tree.edit(question, "Uno")

    tree.select(question)

    assert tree.contents == ["One", "First"]


def test_an_answer_that_came_to_nothing_does_not_come_back() -> None:
    tree = Tree()
    question = tree.ask("One", "First")
    tree.regenerate("")
    tree.edit(question, "Uno")

    tree.select(question)

    assert tree.contents == ["One", "First"]


def test_what_came_to_nothing_counts_as_a_version_all_the_same() -> None:
    tree = Tree()
    tree.ask("One", "First")
    nothing = tree.regenerate("")
    tree.conversation.release_events()

    third = tree.regenerate("Third")

    assert third.version == 3
    changed = {event.message_id for event in tree.conversation.release_events() if isinstance(event, MessageChanged)}
    assert {nothing.alternatives, third.alternatives} == {2}
    assert changed == {message.id for message in tree.messages.values() if message.position == 2} - {third.id}


def test_a_question_on_another_branch_can_be_edited_too() -> None:
    tree = Tree()
    first = tree.ask("One")
    second = tree.ask("Two")
    tree.edit(first, "Uno")

    tree.edit(second, "Zwei")

    assert tree.contents[::2] == ["One", "Zwei"]
    assert tree.conversation.message_count == 4
    tree.select(second)
    assert tree.contents[::2] == ["One", "Two"]


def test_a_message_of_the_current_branch_is_selected_already() -> None:
    tree = Tree()
    question = tree.ask("One")
    tree.conversation.release_events()

    tree.select(question)

    assert tree.conversation.release_events() == []


def test_answers_cannot_be_edited() -> None:
    tree = Tree()
    tree.ask("One")

    with pytest.raises(Conflict) as refusal:
        tree.edit_only(tree.branch[-1])

    assert refusal.value.slug == "not_a_question"


def test_neither_an_edit_nor_another_branch_is_taken_while_a_reply_is_in_the_making() -> None:
    tree = Tree()
    first = tree.ask("One")
    edited, reply = tree.edit_only(first)

    for refused in (lambda: tree.edit_only(edited), lambda: tree.select(first)):
        with pytest.raises(Conflict) as refusal:
            refused()
        assert refusal.value.slug == "reply_in_progress"
        assert refusal.value.details == {"reply_id": str(reply.id)}


def test_a_refused_edit_changes_nothing() -> None:
    tree = Tree()
    first = tree.ask("One")
    tree.ask("Two")
    before = tree.contents
    tree.conversation.release_events()

    refusals: list[dict[str, Any]] = [{"content": " "}, {"agent": "nobody"}, {"live_replies": 5}]
    for refused in refusals:
        with pytest.raises((Invalid, Limited)):
            tree.edit_only(first, **refused)

    assert tree.contents == before
    assert tree.conversation.release_events() == []


def test_what_an_agent_was_to_forget_ends_where_a_branch_begins() -> None:
    tree = Tree()
    first = tree.ask("One")
    tree.ask("Two")
    tree.conversation.forgotten = {"general": 5, "skills": 1}

    tree.edit(first, "Uno")

    assert (tree.conversation.seen_from("general"), tree.conversation.seen_from("skills")) == (1, 1)
    tree.conversation.forgotten = {"general": 3}
    tree.edit(tree.ask("Due"), "Deux")
    assert tree.conversation.seen_from("general") == 3


@given(st.lists(st.tuples(st.sampled_from(["ask", "edit", "regenerate", "fail", "select"]), st.integers(0, 99))))
def test_whatever_happens_the_history_is_one_branch_and_nothing_is_lost(steps: list[tuple[str, int]]) -> None:
    tree = Tree()
    for step, choice in steps:
        messages = list(tree.messages.values())
        chosen = messages[choice % len(messages)] if messages else None
        if step == "ask" or chosen is None:
            tree.ask()
        elif step == "edit":
            before = len(messages)
            if chosen.role is Role.USER:
                edited = tree.edit(chosen)
                assert tree.branch[-2] is edited
                assert len(tree.messages) == before + 2
        elif step == "select":
            tree.select(chosen)
            assert chosen in tree.branch
        else:
            tree.regenerate("" if step == "fail" else "Again.")
        _is_sound(tree)


def _is_sound(tree: Tree) -> None:
    branch, conversation = tree.branch, tree.conversation
    assert [message.position for message in branch] == list(range(1, len(branch) + 1))
    assert [message.parent_id for message in branch] == [None, *(message.id for message in branch[:-1])]
    assert (conversation.message_count, conversation.next_position) == (len(branch), len(branch) + 1)
    assert conversation.head_id == branch[-1].id
    assert not tree.following(branch[-1])
    assert conversation.last_message is not None
    assert conversation.last_message["preview"] == branch[-1].content
    at: dict[int, list[Message]] = {}
    for message in tree.messages.values():
        at.setdefault(message.position, []).append(message)
    for messages in at.values():
        assert sorted(message.version for message in messages) == list(range(1, len(messages) + 1))
        families = Counter(message.parent_id for message in messages)
        assert all(message.alternatives == families[message.parent_id] - 1 for message in messages)
    assert max(at) <= max(conversation.reached or 0, conversation.next_position - 1)


class TestFeedback:
    def test_an_answer_is_rated_with_a_comment(self) -> None:
        conversation = a_conversation()
        _, _, answer = answered(conversation)
        conversation.release_events()

        conversation.give_feedback(answer, Rating.DOWN, "  Wrong year ", limits=Limits(), now=later())

        assert answer.feedback == {"rating": "down", "comment": "Wrong year", "given_at": later().isoformat()}
        assert conversation.updated_at == later()
        changed = MessageChanged(subject_id=conversation.id, at=later(), message_id=answer.id, position=2)
        assert conversation.release_events() == [changed]

    def test_a_rating_replaces_the_one_before_and_can_be_taken_back(self) -> None:
        conversation = a_conversation()
        _, _, answer = answered(conversation)
        for rating, comment in ((Rating.DOWN, "No"), (Rating.UP, None)):
            conversation.give_feedback(answer, rating, comment, limits=Limits(), now=NOW)
            assert answer.feedback == {"rating": rating, "comment": comment, "given_at": NOW.isoformat()}
        conversation.release_events()

        for _ in range(2):
            conversation.take_feedback_back(answer, NOW)

        assert answer.feedback is None
        assert len(conversation.release_events()) == 1

    def test_questions_take_no_feedback(self) -> None:
        conversation = a_conversation()
        question, _ = asked(conversation)

        with pytest.raises(Conflict) as given:
            conversation.give_feedback(question, Rating.UP, None, limits=Limits(), now=NOW)
        with pytest.raises(Conflict) as taken_back:
            conversation.take_feedback_back(question, NOW)

        assert {given.value.slug, taken_back.value.slug} == {"not_an_answer"}

    @pytest.mark.parametrize("comment", ["", "  ", "x" * 1001, "a\x00b"])
    def test_a_comment_has_one_to_a_thousand_characters(self, comment: str) -> None:
        conversation = a_conversation()
        _, _, answer = answered(conversation)

        with pytest.raises(Invalid) as refusal:
            conversation.give_feedback(answer, Rating.UP, comment, limits=Limits(), now=NOW)

        assert list(refusal.value.details["fields"]) == ["comment"]  # type: ignore[call-overload] # of a refusal
        assert answer.feedback is None

    def test_what_is_no_longer_current_can_be_rated_as_well(self) -> None:
        conversation = a_conversation()
        _, _, answer = answered(conversation)
        answer.superseded_by = uuid4()

        conversation.give_feedback(answer, Rating.UP, None, limits=Limits(), now=NOW)

        assert answer.feedback is not None


def test_a_new_version_of_an_answer_tells_the_others_that_they_are_more() -> None:
    tree = Tree()
    tree.ask("One", "First")
    first = tree.branch[-1]
    tree.conversation.release_events()

    second = tree.regenerate("Second")

    of_conversation: dict[str, Any] = {"subject_id": tree.conversation.id, "at": NOW, "position": 2}
    assert tree.conversation.release_events() == [
        MessageSuperseded(**of_conversation, message_id=first.id),
        MessageChanged(**of_conversation, message_id=first.id),
        MessagePosted(**of_conversation, message_id=second.id),
    ]
    assert (first.alternatives, second.alternatives) == (1, 1)
