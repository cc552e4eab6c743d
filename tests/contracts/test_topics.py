"""What every way to bring notes to a topic's subscribers must do."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from queue import SimpleQueue
from typing import Any
from uuid import uuid4

import pytest

from adapters.in_process.topics import InProcessTopics
from adapters.redis.server import RedisServer
from adapters.redis.topics import RedisTopics
from application.ports.runtime import MISSED, Topics
from tests.servers import RedisServer as OwnServer
from tests.servers import a_redis, missing_programs
from tests.waiting import eventually

Notes = list[Mapping[str, Any]]


class TopicsContract:
    @pytest.fixture
    def topics(self) -> Topics:
        raise NotImplementedError

    def test_every_subscriber_of_the_topic_hears_a_note_once(self, topics: Topics) -> None:
        session, other = uuid4(), uuid4()
        first: Notes = []
        second: Notes = []
        elsewhere: Notes = []
        with (
            topics.subscribe(session, first.append),
            topics.subscribe(session, second.append),
            topics.subscribe(other, elsewhere.append),
        ):
            topics.publish(session, {"typing": True, "by": ["Zoë", None, 1.5]})
            topics.publish(session, {"typing": False})

        assert first == second == [{"typing": True, "by": ["Zoë", None, 1.5]}, {"typing": False}]
        assert elsewhere == []

    def test_the_same_listener_may_subscribe_twice_and_leave_once(self, topics: Topics) -> None:
        session = uuid4()
        heard: Notes = []
        with topics.subscribe(session, heard.append):
            with topics.subscribe(session, heard.append):
                topics.publish(session, {"n": 1})
            topics.publish(session, {"n": 2})

        assert heard == [{"n": 1}, {"n": 1}, {"n": 2}]

    def test_who_has_left_hears_no_more(self, topics: Topics) -> None:
        session = uuid4()
        heard: Notes = []
        with topics.subscribe(session, heard.append):
            pass
        topics.publish(session, {})

        assert heard == []

    def test_who_has_left_may_come_back(self, topics: Topics) -> None:
        session = uuid4()
        heard: Notes = []
        for n in range(3):
            with topics.subscribe(session, heard.append):
                topics.publish(session, {"n": n})

        assert heard == [{"n": 0}, {"n": 1}, {"n": 2}]

    def test_a_subscriber_that_fails_keeps_nothing_from_the_others(
        self, topics: Topics, caplog: pytest.LogCaptureFixture
    ) -> None:
        session = uuid4()
        heard: Notes = []

        def fail(note: Mapping[str, Any]) -> None:
            raise ZeroDivisionError("a defect")

        with topics.subscribe(session, fail), topics.subscribe(session, heard.append):
            topics.publish(session, {"n": 1})

        assert heard == [{"n": 1}]
        assert "a defect" in caplog.text

    def test_subscribers_come_and_go_while_others_publish(self, topics: Topics) -> None:
        session = uuid4()
        over = threading.Event()
        failures: list[Exception] = []

        def publish() -> None:
            try:
                while not over.is_set():
                    topics.publish(session, {})
            except Exception as failure:
                failures.append(failure)

        publisher = threading.Thread(target=publish)
        publisher.start()
        for _ in range(200):
            notes: SimpleQueue[Mapping[str, Any]] = SimpleQueue()
            with topics.subscribe(session, notes.put):
                assert notes.get(timeout=15) == {}
        over.set()
        publisher.join()

        assert failures == []


class TestInProcessTopics(TopicsContract):
    @pytest.fixture
    def topics(self) -> Topics:
        return InProcessTopics()


class TestRedisTopics(TopicsContract):
    @pytest.fixture
    def place(self) -> Iterator[tuple[str, str]]:
        with a_redis() as place:
            yield place

    @pytest.fixture
    def topics(self, place: tuple[str, str]) -> Iterator[Topics]:
        with closing(RedisServer(*place)) as server:
            yield RedisTopics(server)

    @pytest.fixture
    def elsewhere(self, place: tuple[str, str]) -> Iterator[Topics]:
        """Another process's."""
        with closing(RedisServer(*place)) as server:
            yield RedisTopics(server)

    def test_subscribers_in_other_processes_hear_it_once_too(self, topics: Topics, elsewhere: Topics) -> None:
        session = uuid4()
        here: Notes = []
        there: Notes = []
        with topics.subscribe(session, here.append), elsewhere.subscribe(session, there.append):
            connected(topics, elsewhere)
            for n in range(20):
                topics.publish(session, {"n": n})
            eventually(lambda: {"n": 19} in there)
            elsewhere.publish(session, {"n": 20})  # Comes here after all that Redis has told before.
            eventually(lambda: {"n": 20} in here)

        assert here == there == [{"n": n} for n in range(21)]

    def test_a_topic_is_heard_only_while_somebody_has_subscribed(self, topics: Topics, place: tuple[str, str]) -> None:
        session = uuid4()
        with closing(RedisServer(*place)) as server:

            def channels() -> list[Any]:
                found: list[Any] = server.client.pubsub_channels(f"{place[1]}topic:{session}")
                return found

            with topics.subscribe(session, print), topics.subscribe(session, print):
                eventually(lambda: len(channels()) == 1)
            eventually(lambda: channels() == [])


@pytest.mark.skipif(bool(missing_programs(OwnServer)), reason=missing_programs(OwnServer))
class TestWithoutRedis:
    def test_nobody_fails_and_who_is_in_the_same_process_hears(self) -> None:
        session = uuid4()
        heard: Notes = []
        own = OwnServer()  # not started
        with closing(own), closing(RedisServer(own.url)) as server:
            topics = RedisTopics(server)
            with topics.subscribe(session, heard.append):
                topics.publish(session, {"n": 1})

        assert heard == [{"n": 1}]

    def test_topics_are_heard_again_when_redis_comes_back(self) -> None:
        with OwnServer() as own, closing(RedisServer(own.url)) as here, closing(RedisServer(own.url)) as there:
            topics, elsewhere = RedisTopics(here), RedisTopics(there)
            connected(topics, elsewhere)
            own.kill()
            topics.publish(uuid4(), {})
            own.start()

            connected(topics, elsewhere)

    def test_who_may_have_missed_something_is_told_so_once_notes_come_again(self) -> None:
        session = uuid4()
        heard: Notes = []
        with OwnServer() as own, closing(RedisServer(own.url)) as here, closing(RedisServer(own.url)) as there:
            topics, elsewhere = RedisTopics(here), RedisTopics(there)
            connected(topics, elsewhere)
            with topics.subscribe(session, heard.append):
                connected(topics, elsewhere)
                assert heard == []

                own.restart()

                eventually(lambda: heard == [MISSED])
                connected(topics, elsewhere)
                elsewhere.publish(session, {"n": 1})
                eventually(lambda: heard == [MISSED, {"n": 1}])


def connected(one: Topics, other: Topics) -> None:
    """Return when each hears the other: a connection and a subscription take their time."""
    hears(one, other)
    hears(other, one)


def hears(listening: Topics, speaking: Topics) -> None:
    topic, heard = uuid4(), threading.Event()

    def told() -> bool:
        speaking.publish(topic, {})
        return heard.is_set()

    with listening.subscribe(topic, lambda _: heard.set()):
        eventually(told)
