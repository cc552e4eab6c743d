"""What every reply log must do."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from uuid import UUID, uuid4

import pytest

from adapters.in_process.reply_log import InProcessReplyLog
from adapters.redis.reply_log import RedisReplyLog
from adapters.redis.server import RedisServer
from application.ports.runtime import LogEntry, LogLost, ReplyLog
from domain.errors import LeaseLost
from tests.servers import a_redis
from tests.waiting import eventually


def delta(seq: int) -> LogEntry:
    return LogEntry(seq, "reply.delta", {"text": f"{seq}"})


END = LogEntry(3, "reply.completed", {"message": {}})


def write(log: ReplyLog, reply: UUID, *entries: LogEntry, epoch: int = 1) -> None:
    """Append, and wait until it can be read."""
    for entry in entries:
        log.append(reply, epoch=epoch, entry=entry)
    assert log.flush(15)


def appending(log: ReplyLog, reply: UUID, *, epoch: int, first: int = 0) -> Callable[[], None]:
    """Appends one more delta with each call. What is wrong may be told by a later call only."""
    numbers = itertools.count(first)
    return lambda: log.append(reply, epoch=epoch, entry=delta(next(numbers)))


def numbers(log: ReplyLog, reply: UUID, after: int = -1) -> list[int]:
    return [entry.seq for entry in log.read(reply, after=after)]


def follow(log: ReplyLog, reply: UUID, after: int = -1) -> Iterator[LogEntry]:
    """The events up to the terminal one, as they come."""
    with log.watching(reply):
        while True:
            for entry in log.read(reply, after=after):
                yield entry
                after = entry.seq
                if entry.is_terminal:
                    return
            log.wait(reply, after=after, timeout=20)


class ReplyLogContract:
    @pytest.fixture
    def log(self) -> ReplyLog:
        raise NotImplementedError

    def test_events_are_read_by_number_in_order(self, log: ReplyLog) -> None:
        reply = uuid4()
        seq = log.open(reply, epoch=1, first_seq=0)
        write(log, reply, *(delta(number) for number in range(seq, 5)))

        assert numbers(log, reply) == [0, 1, 2, 3, 4]
        assert list(log.read(reply, after=2)) == [delta(3), delta(4)]
        assert numbers(log, reply, after=4) == []
        assert numbers(log, reply, after=99) == []

    def test_a_log_that_nobody_wrote_is_empty(self, log: ReplyLog) -> None:
        assert numbers(log, uuid4()) == []

    def test_a_log_that_was_only_opened_is_empty(self, log: ReplyLog) -> None:
        reply = uuid4()
        log.open(reply, epoch=1, first_seq=0)

        assert numbers(log, reply) == []

    def test_logs_keep_apart(self, log: ReplyLog) -> None:
        one, other = uuid4(), uuid4()
        log.open(one, epoch=1, first_seq=0)
        write(log, one, delta(0))

        assert numbers(log, other) == []

    def test_a_new_owner_goes_on_after_the_last_event(self, log: ReplyLog) -> None:
        reply = uuid4()
        log.open(reply, epoch=1, first_seq=0)
        write(log, reply, delta(0))

        assert log.open(reply, epoch=2, first_seq=1000) == 1
        assert log.open(reply, epoch=3, first_seq=2000) == 1
        write(log, reply, delta(1), epoch=3)
        assert numbers(log, reply) == [0, 1]

    def test_a_new_owner_of_a_lost_log_begins_where_no_owner_has_been(self, log: ReplyLog) -> None:
        reply = uuid4()

        assert log.open(reply, epoch=2, first_seq=1000) == 1000
        write(log, reply, delta(1000), epoch=2)
        assert numbers(log, reply, after=17) == [1000]

    def test_a_new_owner_of_a_log_without_events_begins_where_no_owner_has_been(self, log: ReplyLog) -> None:
        reply = uuid4()
        log.open(reply, epoch=1, first_seq=0)

        assert log.open(reply, epoch=2, first_seq=1000) == 1000
        assert log.open(reply, epoch=3, first_seq=2000) == 2000

    def test_an_owner_opens_its_own_log_again(self, log: ReplyLog) -> None:
        reply = uuid4()
        log.open(reply, epoch=1, first_seq=0)
        assert log.open(reply, epoch=1, first_seq=0) == 0
        write(log, reply, delta(0), delta(1))

        assert log.open(reply, epoch=1, first_seq=2) == 2
        write(log, reply, delta(2))
        assert numbers(log, reply) == [0, 1, 2]

    def test_an_owner_that_was_replaced_is_refused(self, log: ReplyLog) -> None:
        reply = uuid4()
        log.open(reply, epoch=1, first_seq=0)
        log.open(reply, epoch=2, first_seq=0)

        with pytest.raises(LeaseLost):
            eventually(appending(log, reply, epoch=1))
        with pytest.raises(LeaseLost):
            log.open(reply, epoch=1, first_seq=0)
        assert numbers(log, reply) == []

    def test_the_end_may_be_told_of_a_log_that_nobody_opened(self, log: ReplyLog) -> None:
        reply = uuid4()
        write(log, reply, END)

        assert list(log.read(reply, after=1)) == [END]

    def test_waiting_ends_when_an_event_comes(self, log: ReplyLog) -> None:
        reply = uuid4()
        log.open(reply, epoch=1, first_seq=0)
        began = time.monotonic()

        with log.watching(reply):
            _soon(lambda: log.append(reply, epoch=1, entry=delta(0)))
            while not log.read(reply, after=-1):
                log.wait(reply, after=-1, timeout=20)

        assert time.monotonic() - began < 10

    def test_waiting_for_what_is_there_does_not_wait(self, log: ReplyLog) -> None:
        reply = uuid4()
        log.open(reply, epoch=1, first_seq=0)
        write(log, reply, delta(0))
        began = time.monotonic()

        with log.watching(reply):
            log.wait(reply, after=-1, timeout=20)

        assert time.monotonic() - began < 10

    def test_waiting_ends_by_itself(self, log: ReplyLog) -> None:
        reply = uuid4()
        with log.watching(reply):
            log.wait(reply, after=-1, timeout=0.01)

    def test_all_waiting_can_be_ended(self, log: ReplyLog) -> None:
        reply = uuid4()
        began = time.monotonic()
        with log.watching(reply):
            waiting = threading.Thread(target=log.wait, args=(reply,), kwargs={"after": -1, "timeout": 20})
            waiting.start()

            def has_ended() -> bool:
                log.wake_all()
                return not waiting.is_alive()

            eventually(has_ended)

        assert time.monotonic() - began < 10

    def test_watchers_see_everything_whenever_they_come(self, log: ReplyLog) -> None:
        reply = uuid4()
        seen: dict[int, list[LogEntry]] = {}
        watchers = []

        def watch(after: int) -> None:
            watcher = threading.Thread(target=lambda: seen.update({after: list(follow(log, reply, after))}))
            watcher.start()
            watchers.append(watcher)

        watch(-1)
        log.open(reply, epoch=1, first_seq=0)
        whole = [delta(number) for number in range(700)] + [LogEntry(700, "reply.completed", {"message": {}})]
        for entry in whole:
            log.append(reply, epoch=1, entry=entry)
            if entry.seq in (10, 350, 690):
                assert log.flush(15)
                watch(entry.seq - 5)
        for watcher in watchers:
            watcher.join(20)

        assert seen == {after: whole[after + 1 :] for after in (-1, 5, 345, 685)}

    def test_a_watcher_may_leave_and_come_back(self, log: ReplyLog) -> None:
        reply = uuid4()
        log.open(reply, epoch=1, first_seq=0)
        with log.watching(reply), log.watching(reply):
            write(log, reply, delta(0))
            eventually(lambda: numbers(log, reply) == [0])
        write(log, reply, delta(1), delta(2))
        with log.watching(reply):
            assert numbers(log, reply, after=0) == [1, 2]


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

    def test_the_oldest_ended_logs_make_place_when_they_take_too_much(self) -> None:
        log = InProcessReplyLog(capacity=2_000)
        oldest, newest = uuid4(), uuid4()
        for reply in (oldest, newest):
            log.open(reply, epoch=1, first_seq=0)
            for number in range(3):
                log.append(reply, epoch=1, entry=delta(number))
            log.append(reply, epoch=1, entry=END)

        log.trim()

        assert list(log.read(oldest, after=-1)) == []
        assert len(log.read(newest, after=-1)) == 4

    def test_a_large_event_takes_the_place_of_many(self) -> None:
        log = InProcessReplyLog(capacity=20_000)
        large, small = uuid4(), uuid4()
        for reply, result in ((large, "x" * 30_000), (small, "x")):
            log.open(reply, epoch=1, first_seq=0)
            log.append(reply, epoch=1, entry=LogEntry(0, "reply.tool_result", {"result": result}))
            log.append(reply, epoch=1, entry=END)

        log.trim()

        assert list(log.read(large, after=-1)) == []
        assert len(log.read(small, after=-1)) == 2

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


class TestRedisReplyLog(ReplyLogContract):
    @pytest.fixture
    def server(self) -> Iterator[RedisServer]:
        with a_redis() as (url, prefix), closing(RedisServer(url, prefix)) as server:
            yield server

    @pytest.fixture
    def log(self, server: RedisServer) -> Iterator[ReplyLog]:
        with closing(RedisReplyLog(server)) as log:
            yield log

    def test_an_ended_log_is_kept_for_its_time(self, server: RedisServer) -> None:
        with closing(RedisReplyLog(server, keep=60)) as log:
            reply = uuid4()
            log.open(reply, epoch=1, first_seq=0)
            key = f"{server.prefix}log:{{{reply}}}"
            assert 23 * 3600 < server.client.ttl(key) <= 24 * 3600

            write(log, reply, delta(0), END)

            assert 0 < server.client.ttl(key) <= 60

    def test_what_is_sent_twice_is_there_once(self, server: RedisServer) -> None:
        """As after a connection that broke before Redis could say that it has taken what was sent."""
        reply = uuid4()
        with closing(RedisReplyLog(server)) as log, closing(RedisReplyLog(server)) as again:
            log.open(reply, epoch=1, first_seq=0)
            again.open(reply, epoch=1, first_seq=0)
            write(log, reply, delta(0), delta(1))
            write(again, reply, delta(0), delta(1), delta(2), END)

            assert numbers(log, reply) == [0, 1, 2, 3]

    def test_an_owner_whose_log_was_shortened_is_told_so(self, server: RedisServer) -> None:
        """As by a Redis that was restarted with an older state."""
        reply = uuid4()
        with closing(RedisReplyLog(server)) as log:
            log.open(reply, epoch=1, first_seq=0)
            write(log, reply, delta(0), delta(1))
            server.client.xdel(f"{server.prefix}log:{{{reply}}}", "1-2")

            with pytest.raises(LogLost):
                eventually(appending(log, reply, epoch=1, first=2))
            assert log.open(reply, epoch=1, first_seq=50) == 50
            write(log, reply, delta(50))

            assert numbers(log, reply) == [0, 50]

    def test_the_end_of_a_lost_log_is_told(self, server: RedisServer) -> None:
        reply = uuid4()
        with closing(RedisReplyLog(server)) as log:
            log.open(reply, epoch=1, first_seq=0)
            write(log, reply, delta(0), delta(1))
            server.client.delete(f"{server.prefix}log:{{{reply}}}")
            for entry in (delta(2), END):
                log.append(reply, epoch=1, entry=entry)
            assert log.flush(15)

            assert list(log.read(reply, after=1)) == [END]

    def test_who_takes_a_log_over_reads_what_its_watchers_have_yet_to_hear(
        self, server: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reply = uuid4()
        with closing(RedisReplyLog(server)) as log, log.watching(reply):
            log.open(reply, epoch=1, first_seq=0)
            monkeypatch.setattr(log._mirrors[reply], "heard", lambda payload: None)
            write(log, reply, delta(0), delta(1))
            assert numbers(log, reply) == []

            assert log.open(reply, epoch=2, first_seq=1000) == 2
            assert numbers(log, reply) == [0, 1]

    def test_nothing_is_left_of_what_has_ended(self, server: RedisServer) -> None:
        with closing(RedisReplyLog(server)) as log:
            for _ in range(10):
                reply = uuid4()
                log.open(reply, epoch=1, first_seq=0)
                with log.watching(reply):
                    write(log, reply, delta(0), END)

            assert log._writer._logs == {}
            assert log._writer._size == 0
            assert log._mirrors == {}


def _soon(act: Callable[[], None]) -> None:
    threading.Timer(0.05, act).start()
