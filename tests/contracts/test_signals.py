"""What every way to announce signals must do."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import pytest

from adapters.in_process.queue import InProcessSignals
from adapters.redis.server import RedisServer
from adapters.redis.signals import RedisSignals
from application.ports.runtime import Signals
from tests.servers import RedisServer as OwnServer
from tests.servers import a_redis, missing_programs
from tests.waiting import eventually


class SignalsContract:
    @pytest.fixture
    def signals(self) -> Signals:
        raise NotImplementedError

    def test_the_owner_hears_of_its_reply_alone(self, signals: Signals) -> None:
        mine, other = uuid4(), uuid4()
        heard_mine, heard_other = threading.Event(), threading.Event()
        with signals.listen(mine, heard_mine.set), signals.listen(other, heard_other.set):
            signals.announce(mine)

            assert heard_mine.wait(15)
            assert not heard_other.is_set()

    def test_what_nobody_listens_to_is_announced_in_vain(self, signals: Signals) -> None:
        reply = uuid4()
        heard = threading.Event()
        with signals.listen(reply, heard.set):
            pass
        signals.announce(reply)
        signals.announce(uuid4())

        assert not heard.is_set()

    def test_the_last_who_listens_hears(self, signals: Signals) -> None:
        """A process may take over its own reply."""
        reply = uuid4()
        first, second = threading.Event(), threading.Event()
        with signals.listen(reply, first.set):
            with signals.listen(reply, second.set):
                pass
            with signals.listen(reply, second.set):
                signals.announce(reply)

                assert second.wait(15)
                assert not first.is_set()


class TestInProcessSignals(SignalsContract):
    @pytest.fixture
    def signals(self) -> Signals:
        return InProcessSignals()


class TestRedisSignals(SignalsContract):
    @pytest.fixture
    def place(self) -> Iterator[tuple[str, str]]:
        with a_redis() as place:
            yield place

    @pytest.fixture
    def signals(self, place: tuple[str, str]) -> Iterator[Signals]:
        with closing(RedisServer(*place)) as server:
            yield RedisSignals(server)

    def test_the_owner_hears_from_another_process(self, signals: Signals, place: tuple[str, str]) -> None:
        reply = uuid4()
        heard = threading.Event()

        def announced() -> bool:
            elsewhere.announce(reply)
            return heard.is_set()

        with closing(RedisServer(*place)) as server, signals.listen(reply, heard.set):
            elsewhere = RedisSignals(server)
            eventually(announced)  # more than once, because a subscription takes its time


@pytest.mark.skipif(bool(missing_programs(OwnServer)), reason=missing_programs(OwnServer))
class TestWithoutRedis:
    def test_who_listens_in_the_same_process_hears(self, caplog: pytest.LogCaptureFixture) -> None:
        reply = uuid4()
        heard = threading.Event()
        own = OwnServer()  # not started
        with closing(own), closing(RedisServer(own.url)) as server:
            signals = RedisSignals(server)
            began = time.monotonic()
            with caplog.at_level(logging.WARNING), signals.listen(reply, heard.set):
                signals.announce(reply)

            assert heard.is_set()
            assert time.monotonic() - began < 10
            assert "nobody else is told" in caplog.text

    def test_it_is_heard_again_when_redis_comes_back(self) -> None:
        reply = uuid4()
        heard = threading.Event()
        with OwnServer() as own, closing(RedisServer(own.url)) as here, closing(RedisServer(own.url)) as there:
            listening, elsewhere = RedisSignals(here), RedisSignals(there)

            def announced() -> bool:
                elsewhere.announce(reply)
                return heard.is_set()

            with listening.listen(reply, heard.set):
                eventually(announced)
                own.kill()
                heard.clear()
                own.start()

                eventually(announced)
