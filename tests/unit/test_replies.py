"""The states of a reply, and who may change them."""

from __future__ import annotations

from uuid import uuid4

import pytest

from domain.errors import Conflict, LeaseLost
from domain.replies import ATTEMPTS, LEASE, SEQ_RESERVE, Outcome, Reply, ReplyStatus
from tests.builders import ALICE, NOW, completed, later


def a_reply() -> Reply:
    return Reply.queue(
        id=uuid4(),
        conversation_id=uuid4(),
        owner=ALICE.key,
        position=2,
        version=1,
        parent_id=uuid4(),
        agent="general",
        session_id=None,
        now=NOW,
    )


def test_claiming_gives_a_lease_and_an_epoch() -> None:
    reply = a_reply()

    first_seq = reply.claim(NOW)

    assert (reply.status, reply.epoch, reply.lease_until, first_seq) == (ReplyStatus.RUNNING, 1, NOW + LEASE, 0)


def test_a_reply_is_claimed_once() -> None:
    reply = a_reply()
    reply.claim(NOW)

    with pytest.raises(Conflict):
        reply.claim(later())


def test_whoever_lost_the_lease_can_end_nothing() -> None:
    reply = a_reply()
    reply.claim(NOW)
    reply.fence(later())

    with pytest.raises(LeaseLost):
        reply.end(completed(), epoch=1, final_seq=3, now=later())
    reply.end(completed("The reaper's word"), epoch=2, final_seq=3, now=later())

    assert reply.text == "The reaper's word"


def test_a_reply_ends_once() -> None:
    reply = a_reply()
    reply.claim(NOW)
    reply.end(completed(), epoch=1, final_seq=3, now=NOW)

    with pytest.raises(LeaseLost):
        reply.end(Outcome(status=ReplyStatus.FAILED), epoch=1, final_seq=4, now=NOW)
    with pytest.raises(LeaseLost):
        reply.fence(later())

    assert (reply.status, reply.final_seq) == (ReplyStatus.COMPLETED, 3)


def test_a_reply_that_said_nothing_is_tried_three_times() -> None:
    reply = a_reply()
    for _ in range(ATTEMPTS - 1):
        reply.claim(NOW)
        assert reply.can_be_tried_again("")
        reply.requeue(epoch=reply.epoch, now=NOW)
    reply.claim(NOW)

    assert not reply.can_be_tried_again("")
    assert reply.abandoned_outcome("").status is ReplyStatus.INTERRUPTED


def test_a_reply_that_said_something_is_not_tried_again() -> None:
    reply = a_reply()
    reply.claim(NOW)
    reply.text = "Half a sen"

    assert not reply.can_be_tried_again("Half a sentence")
    outcome = reply.abandoned_outcome("Half a sentence")
    assert (outcome.status, outcome.text) == (ReplyStatus.INTERRUPTED, "Half a sentence")


def test_a_reply_whose_end_was_asked_for_is_cancelled_rather_than_tried_again() -> None:
    reply = a_reply()
    reply.claim(NOW)
    reply.request_cancel(NOW)

    assert not reply.can_be_tried_again("")
    assert reply.abandoned_outcome("").status is ReplyStatus.CANCELLED


def test_whoever_was_shut_out_can_neither_requeue_nor_end_what_waits_again() -> None:
    reply = a_reply()
    reply.claim(NOW)
    reply.fence(later())
    reply.requeue(epoch=2, now=later())

    with pytest.raises(LeaseLost):
        reply.requeue(epoch=1, now=later())
    with pytest.raises(LeaseLost):
        reply.end(completed(), epoch=2, final_seq=1, now=later())


def test_a_reply_that_is_shut_off_cannot_be_claimed() -> None:
    reply = a_reply()
    reply.fence(NOW)

    with pytest.raises(Conflict):
        reply.claim(NOW)


def test_asking_twice_to_cancel_is_asking_once() -> None:
    reply = a_reply()
    reply.request_cancel(NOW)
    reply.request_cancel(later())

    assert reply.cancel_requested_at == NOW


def test_a_new_owner_numbers_on_from_where_no_owner_has_been() -> None:
    reply = a_reply()

    assert reply.claim(NOW) == 0
    reply.requeue(epoch=1, now=NOW)
    assert reply.claim(NOW) == SEQ_RESERVE
