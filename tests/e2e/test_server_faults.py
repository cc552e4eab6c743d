"""PostgreSQL, MongoDB and Redis stop, hang, forget and come back under load: nothing acknowledged is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.conftest import with_model
from tests.installation import SECRET, Installation, installed
from tests.model_server import ModelServer
from tests.parley_process import Client, cli
from tests.servers import MongoServer, PostgresServer, RedisServer, missing_programs
from tests.waiting import eventually

_missing = missing_programs(PostgresServer, MongoServer, RedisServer)
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)


@dataclass
class Fragile:
    """An installation whose servers are its own, and may be maltreated."""

    installation: Installation
    postgres: PostgresServer
    mongo: MongoServer
    redis: RedisServer


@pytest.fixture
def fragile(tmp_path: Path, model: ModelServer) -> Iterator[Fragile]:
    with ExitStack() as servers:
        postgres = servers.enter_context(PostgresServer(durable=True))
        mongo = servers.enter_context(MongoServer())
        redis = servers.enter_context(RedisServer())
        settings = with_model(
            model,
            PARLEY_DATABASE_URL=postgres.url,
            PARLEY_MONGO_URL=f"{mongo.url.rstrip('/')}/parley",
            PARLEY_REDIS_URL=redis.url,
            PARLEY_SECRET_KEY=SECRET,
        )
        with installed(tmp_path / "data", **settings) as installation:
            installation.web("--workers", "2")
            installation.worker()
            yield Fragile(installation, postgres, mongo, redis)


class Load:
    """Visitors who ask and ask, and remember what was acknowledged."""

    def __init__(self, installation: Installation, visitors: int = 4) -> None:
        self._visitors = [installation.webs[0].visitor() for _ in range(visitors)]
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.acknowledged: list[tuple[Client, str, str, str]] = []  # who, conversation, question, reply
        self.refused = 0

    @contextmanager
    def going_on(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._ask_and_ask, args=[visitor]) for visitor in self._visitors]
        for thread in threads:
            thread.start()
        try:
            self.more(8)
            yield
            self.more(8)
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def more(self, questions: int) -> None:
        """Wait until so many more have been acknowledged."""
        goal = len(self.acknowledged) + questions
        eventually(lambda: len(self.acknowledged) >= goal, within=60)

    def check(self) -> None:
        """Everything that was acknowledged is there, and has been answered or has come to another end."""
        for visitor, conversation, question, reply in self.acknowledged:
            eventually(lambda visitor=visitor, reply=reply: visitor.reply(reply)["message"], within=60)  # type: ignore[misc]
            messages = {message["id"]: message for message in visitor.messages(conversation)}
            assert question in messages
            assert messages[reply]["content"].startswith("word0 ") or messages[reply]["status"] != "completed"

    def _ask_and_ask(self, visitor: Client) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            try:
                conversation = visitor.conversation()
                body = {"content": f"!stream words=30 delay=0.02 {number}"}
                answer = visitor.call("POST", f"/conversations/{conversation}/messages", body)
            except (httpx.TransportError, AssertionError):
                self.refused += 1
                self._stop.wait(0.05)
                continue
            if answer.status_code == 202:
                asked = answer.json()["data"]
                with self._lock:
                    self.acknowledged.append((visitor, conversation, asked["message"]["id"], asked["reply"]["id"]))
                self._stop.wait(0.05)
            else:
                assert answer.status_code in (429, 503), answer.text
                self._stop.wait(0.05)


def _survives(fragile: Fragile, maltreat: Callable[[Load], None]) -> None:
    load = Load(fragile.installation)
    with load.going_on():
        maltreat(load)
    load.check()
    assert "No difference" in fragile.installation.verified(), fragile.installation.output
    visitor = fragile.installation.webs[0].visitor()
    assert visitor.answer(visitor.conversation(), "Is all well?")["text"] == "Echo: Is all well?"
    assert eventually(lambda: httpx.get(f"{fragile.installation.webs[0].url}/readyz").json()["data"]["status"] == "ok")


def test_postgres_restarted_under_load(fragile: Fragile) -> None:
    def restart(load: Load) -> None:
        fragile.postgres.stop()
        fragile.postgres.start()
        load.more(10)
        fragile.postgres.kill()
        fragile.postgres.start()

    _survives(fragile, restart)


def test_mongo_stopped_and_started_under_load(fragile: Fragile) -> None:
    def stop_and_start(load: Load) -> None:
        fragile.mongo.stop()
        visitor = fragile.installation.webs[0].visitor()
        conversation = visitor.conversation(title="While it is away")
        assert visitor.data("GET", f"/conversations/{conversation}")["title"] == "While it is away"
        health = httpx.get(f"{fragile.installation.webs[0].url}/readyz").json()["data"]
        assert health["status"] == "degraded"
        load.more(10)
        fragile.mongo.start()
        assert visitor.data("GET", f"/conversations/{conversation}")["title"] == "While it is away"
        load.more(10)
        fragile.mongo.kill()
        fragile.mongo.start()

    _survives(fragile, stop_and_start)


def test_mongo_hanging_under_load(fragile: Fragile) -> None:
    def hang(load: Load) -> None:
        fragile.mongo.pause()
        load.more(5)
        fragile.mongo.resume()

    _survives(fragile, hang)


def test_redis_flushed_under_load(fragile: Fragile) -> None:
    def flush(load: Load) -> None:
        from redis import Redis

        with Redis.from_url(fragile.redis.url) as client:
            for _ in range(3):
                client.flushall()
                load.more(5)

    _survives(fragile, flush)


def test_redis_restarted_empty_under_load(fragile: Fragile) -> None:
    def restart(load: Load) -> None:
        fragile.redis.kill()
        load.more(5)
        fragile.redis.start()

    _survives(fragile, restart)


def test_redis_out_of_memory_under_load(fragile: Fragile) -> None:
    def fill(load: Load) -> None:
        from redis import Redis

        with Redis.from_url(fragile.redis.url) as client:
            client.config_set("maxmemory", 1)  # Every write that needs memory is refused.
            load.more(5)
            client.config_set("maxmemory", 0)

    _survives(fragile, fill)


def test_redis_hanging_under_load(fragile: Fragile) -> None:
    def hang(load: Load) -> None:
        fragile.redis.pause()
        load.more(5)
        fragile.redis.resume()

    _survives(fragile, hang)


def test_a_watcher_sees_the_whole_text_though_redis_is_flushed_in_mid_stream(fragile: Fragile) -> None:
    from redis import Redis

    visitor = fragile.installation.webs[0].visitor()
    conversation = visitor.conversation()
    reply = visitor.ask(conversation, "!stream words=150 delay=0.02")
    stream = visitor.events(reply)
    seen = [next(stream) for _ in range(20)]

    with Redis.from_url(fragile.redis.url) as client:
        client.flushall()
    seen += list(stream)

    numbers = [event.seq for event in seen]
    assert numbers == sorted(set(numbers))
    text = ""
    for event in seen:
        text = "" if event.event == "reply.started" else text + event.data.get("text", "")
    assert seen[-1].event == "reply.completed"
    assert text == visitor.messages(conversation)[-1]["content"]


def test_a_watcher_gets_the_end_though_redis_goes_away_in_mid_stream(fragile: Fragile) -> None:
    visitor = fragile.installation.webs[0].visitor()
    conversation = visitor.conversation()
    reply = visitor.ask(conversation, "!stream words=150 delay=0.02")
    stream = visitor.events(reply)
    seen = [next(stream) for _ in range(20)]

    fragile.redis.stop()
    seen += list(stream)

    assert seen[-1].event == "reply.completed"
    assert seen[-1].data["message"]["content"] == visitor.messages(conversation)[-1]["content"]
    asked = visitor.data("POST", f"/conversations/{conversation}/messages", {"content": "While it is away"})
    fragile.redis.start()
    assert eventually(lambda: visitor.reply(asked["reply"]["id"])["message"], within=40)["status"] == "completed"


def test_a_poisoned_queue_holds_nobody_up(fragile: Fragile) -> None:
    from redis import Redis
    from rq import Queue

    with Redis.from_url(fragile.redis.url) as client:
        queue = Queue("parley:replies", connection=client)
        queue.enqueue("os.getcwd", "nonsense")
        queue.enqueue("no.such.function", job_timeout=5)
        client.hset("rq:job:poison", mapping={"created_at": "never", "data": b"\x80garbage"})
        client.rpush(queue.key, "poison", "no-such-job")

        visitor = fragile.installation.webs[0].visitor()
        answers = [visitor.answer(visitor.conversation(), "Hello")["text"] for _ in range(3)]

    assert answers == ["Echo: Hello"] * 3


def test_the_doctor_names_what_is_away(fragile: Fragile) -> None:
    settings = fragile.installation.settings
    assert cli("doctor", **settings).returncode == 0
    fragile.mongo.stop()
    fragile.redis.stop()

    told = cli("doctor", **settings)

    assert told.returncode == 1
    for part in ("mongo", "redis", "read models"):
        assert any(
            line.split()[: len(part.split()) + 1] == [*part.split(), "failed"] for line in told.stdout.splitlines()
        )
