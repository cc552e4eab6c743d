"""What every reply log must do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from uuid import uuid4

import pytest

from adapters.in_process.reply_log import InProcessReplyLog
from application.ports.runtime import LogEntry, ReplyLog
from domain.errors import LeaseLost


def delta(seq: int) -> LogEntry:
    return LogEntry(seq, "reply.delta", {"text": f"{seq}"})


END = LogEntry(3, "reply.completed", {"message": {}})


class ReplyLogContract:
    @pytest.fixture
    def log(self) -> ReplyLog:
        raise NotImplementedError

    def test_events_are_read_by_number_in_order(self, log: ReplyLog) -> None:
        reply = uuid4()
        seq = log.open(reply, epoch=1, first_seq=0)
        for number in range(seq, 5):
            log.append(reply, epoch=1, entry=delta(number))

        assert [entry.seq for entry in log.read(reply, after=-1)] == [0, 1, 2, 3, 4]
        assert list(log.read(reply, after=2)) == [delta(3), delta(4)]
        assert list(log.read(reply, after=4)) == []
        assert list(log.read(reply, after=99)) == []

    def test_a_log_that_nobody_wrote_is_empty(self, log: ReplyLog) -> None:
        assert list(log.read(uuid4(), after=-1)) == []

    def test_logs_keep_apart(self, log: ReplyLog) -> None:
        one, other = uuid4(), uuid4()
        log.open(one, epoch=1, first_seq=0)
        log.append(one, epoch=1, entry=delta(0))

        assert list(log.read(other, after=-1)) == []

    def test_a_new_owner_goes_on_after_the_last_event(self, log: ReplyLog) -> None:
        reply = uuid4()
        log.open(reply, epoch=1, first_seq=0)
        log.append(reply, epoch=1, entry=delta(0))

        assert log.open(reply, epoch=2, first_seq=1000) == 1

    def test_a_new_owner_of_a_lost_log_begins_where_no_owner_has_been(self, log: ReplyLog) -> None:
        reply = uuid4()

        assert log.open(reply, epoch=2, first_seq=1000) == 1000
        log.append(reply, epoch=2, entry=delta(1000))
        assert [entry.seq for entry in log.read(reply, after=17)] == [1000]

    def test_an_owner_that_was_replaced_is_refused(self, log: ReplyLog) -> None:
        reply = uuid4()
        log.open(reply, epoch=1, first_seq=0)
        log.open(reply, epoch=2, first_seq=0)

        with pytest.raises(LeaseLost):
            log.append(reply, epoch=1, entry=delta(0))
        with pytest.raises(LeaseLost):
            log.open(reply, epoch=1, first_seq=0)
        assert list(log.read(reply, after=-1)) == []

    def test_waiting_ends_when_an_event_comes(self, log: ReplyLog) -> None:
        reply = uuid4()
        log.open(reply, epoch=1, first_seq=0)
        began = time.monotonic()

        _soon(lambda: log.append(reply, epoch=1, entry=delta(0)))
        while not log.read(reply, after=-1):
            log.wait(reply, after=-1, timeout=20)

        assert time.monotonic() - began < 10

    def test_waiting_for_what_is_there_does_not_wait(self, log: ReplyLog) -> None:
        reply = uuid4()
        log.open(reply, epoch=1, first_seq=0)
        log.append(reply, epoch=1, entry=delta(0))
        began = time.monotonic()

        log.wait(reply, after=-1, timeout=20)

        assert time.monotonic() - began < 10

    def test_waiting_ends_by_itself(self, log: ReplyLog) -> None:
        log.wait(uuid4(), after=-1, timeout=0.01)


class TestInProcessReplyLog(ReplyLogContract):
    @pytest.fixture
    def log(self) -> ReplyLog:
        return InProcessReplyLog()

    def test_a_log_is_forgotten_when_its_time_is_over(self) -> None:
        log = InProcessReplyLog(keep=0.0)
        reply = uuid4()
        log.open(reply, epoch=1, first_seq=0)
        log.append(reply, epoch=1, entry=END)

        log.trim()

        assert list(log.read(reply, after=-1)) == []

    def test_a_log_in_the_making_is_not_forgotten(self) -> None:
        log = InProcessReplyLog(keep=0.0, capacity=0)
        reply = uuid4()
        log.open(reply, epoch=1, first_seq=0)
        log.append(reply, epoch=1, entry=delta(0))

        log.trim()

        assert list(log.read(reply, after=-1)) == [delta(0)]

    def test_the_oldest_ended_logs_make_place_when_there_are_too_many_events(self) -> None:
        log = InProcessReplyLog(capacity=4)
        oldest, newest = uuid4(), uuid4()
        for reply in (oldest, newest):
            log.open(reply, epoch=1, first_seq=0)
            for number in range(3):
                log.append(reply, epoch=1, entry=delta(number))
            log.append(reply, epoch=1, entry=END)

        log.trim()

        assert list(log.read(oldest, after=-1)) == []
        assert len(log.read(newest, after=-1)) == 4

    def test_waiting_for_what_nobody_writes_leaves_nothing_behind(self) -> None:
        log = InProcessReplyLog(keep=0.0)
        log.wait(uuid4(), after=-1, timeout=0.0)

        log.trim()

        assert log._logs == {}

    def test_a_log_is_kept_until_then(self) -> None:
        log = InProcessReplyLog()
        reply = uuid4()
        log.open(reply, epoch=1, first_seq=0)
        log.append(reply, epoch=1, entry=delta(0))

        log.trim()

        assert list(log.read(reply, after=-1)) == [delta(0)]


def _soon(act: Callable[[], None]) -> None:
    threading.Timer(0.05, act).start()
