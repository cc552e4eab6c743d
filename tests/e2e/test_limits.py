"""Rates and reply slots hold exactly: under bursts through many processes, after `kill -9`, and without Redis."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path

import httpx
import pytest

from tests.conftest import with_model
from tests.installation import Installation, installed, production
from tests.model_server import ModelServer
from tests.parley_process import Client, ParleyProcess
from tests.servers import RedisServer, missing_programs
from tests.waiting import eventually

_CLIENTS = 16
_SLOW = "!stream words=3000 delay=0.02"

Install = Callable[..., Installation]


@pytest.fixture
def install(tmp_path: Path, model: ModelServer, migrated_postgres: str) -> Iterator[Install]:
    """Makes an installation with these settings, on servers that all tests share."""
    with ExitStack() as ending:

        def install(**settings: object) -> Installation:
            servers = ending.enter_context(production(migrated_postgres))
            return ending.enter_context(installed(tmp_path / "data", **(with_model(model) | servers | settings)))

        yield install


def burst(
    installation: Installation, who: Client, conversations: Sequence[str], content: str, *, during: Callable[[], None]
) -> list[httpx.Response]:
    """Ask in all of these conversations at once, through all web processes; answers that never came are left out."""
    together = threading.Barrier(_CLIENTS + 1)
    answers: list[httpx.Response] = []

    def ask(client: Client, mine: Sequence[str]) -> None:
        together.wait()
        for conversation in mine:
            try:
                answers.append(client.call("POST", f"/conversations/{conversation}/messages", {"content": content}))
            except httpx.TransportError:
                continue

    webs = cycle(web for web in installation.webs if not web.ended)
    clients = [installation.at(next(webs), who) for _ in range(_CLIENTS)]
    with ThreadPoolExecutor(_CLIENTS) as pool:
        asking = [pool.submit(ask, client, conversations[n::_CLIENTS]) for n, client in enumerate(clients)]
        together.wait()
        during()
        for one in asking:
            one.result()
    return answers


def nothing() -> None:
    pass


def questions(who: Client, conversations: Sequence[str]) -> int:
    """How many have been kept."""
    return sum(message["role"] == "user" for conversation in conversations for message in who.messages(conversation))


def ask(who: Client, content: str = "Hello") -> httpx.Response:
    return who.call("POST", f"/conversations/{who.conversation()}/messages", {"content": content})


class TestRates:
    def test_a_burst_through_many_processes_gets_exactly_the_limit(self, install: Install) -> None:
        installation = install(PARLEY_RATE_ASK_VISITOR="25/hour", PARLEY_LIMIT_LIVE_REPLIES=1000)
        visitor = installation.web("--workers", "2").visitor()
        installation.web("--workers", "2")
        conversations = [visitor.conversation() for _ in range(80)]

        answers = burst(installation, visitor, conversations, "Hello", during=nothing)

        granted = [answer for answer in answers if answer.status_code == 202]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(granted) == 25
        assert len(refused) == 55
        left = sorted(int(answer.headers["RateLimit"].split(";")[1].removeprefix("r=")) for answer in granted)
        assert left == list(range(25))
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
        assert questions(visitor, conversations) == 25

    def test_a_killed_web_process_gives_nobody_more_than_the_limit(self, install: Install) -> None:
        installation = install(PARLEY_RATE_ASK_VISITOR="40/hour", PARLEY_LIMIT_LIVE_REPLIES=1000)
        staying = installation.web("--workers", "2")
        visitor = staying.visitor()
        dying = installation.web("--workers", "2")
        conversations = [visitor.conversation() for _ in range(120)]

        burst(installation, visitor, conversations, "Hello", during=dying.kill)
        staying.kill()
        visitor = installation.at(installation.web("--workers", "2"), visitor)
        burst(installation, visitor, conversations, "Hello again", during=nothing)

        assert ask(visitor).status_code == 429
        assert 40 - _CLIENTS <= questions(visitor, conversations) <= 40

    def test_new_visitors_and_rooms_are_limited_by_all_processes_together(self, install: Install) -> None:
        installation = install(PARLEY_RATE_VISITORS="7/hour", PARLEY_RATE_ROOMS_VISITOR="3/hour")
        here, there = installation.web("--workers", "2"), installation.web("--workers", "2")
        visitor = here.visitor()

        def welcome(web: ParleyProcess) -> int:
            return httpx.post(f"{web.url}/api/v1/visitors", timeout=40).status_code

        with ThreadPoolExecutor(_CLIENTS) as pool:
            statuses = list(pool.map(welcome, [here, there] * 10))
        rooms = [
            installation.at(web, visitor).call("POST", "/rooms", {"name": "Room"}).status_code
            for web in [here, there] * 3
        ]

        assert sorted(statuses) == [201] * 6 + [429] * 14
        assert rooms == [201] * 3 + [429] * 3


class TestSlots:
    """A slot is a live reply in SQL (ADR 11)."""

    def test_they_hold_under_a_burst_and_come_free_after_a_crash(self, install: Install) -> None:
        installation = install(PARLEY_LIMIT_LIVE_REPLIES=5, PARLEY_REPLY_TIMEOUT=120)
        visitor = installation.web("--workers", "2").visitor()
        installation.web("--workers", "2")
        installation.worker()
        conversations = [visitor.conversation() for _ in range(48)]

        answers = burst(installation, visitor, conversations, _SLOW, during=nothing)
        replies = granted_slots(answers)
        for reply in replies:
            eventually(lambda reply=reply: visitor.reply(reply)["text"])  # type: ignore[misc]
        for process in [*installation.webs, *installation.workers]:
            process.kill()

        visitor = installation.at(installation.web("--workers", "2"), visitor)
        installation.web("--workers", "2")
        installation.worker()
        for reply in replies:
            ended = eventually(lambda reply=reply: visitor.reply(reply)["message"], within=60)  # type: ignore[misc]
            assert ended["status"] == "interrupted", installation.output
        assert len(granted_slots(burst(installation, visitor, conversations, _SLOW, during=nothing))) == 5


def granted_slots(answers: list[httpx.Response]) -> list[str]:
    """The replies that got one of five slots."""
    refused = [answer for answer in answers if answer.status_code != 202]
    for answer in refused:
        assert answer.status_code == 429, answer.text
        assert answer.json()["error"]["error_code"] == "too_many_live_replies"
        assert int(answer.headers["Retry-After"]) > 0
    replies = [answer.json()["data"]["reply"]["id"] for answer in answers if answer.status_code == 202]
    assert len(replies) == 5
    return replies


@contextmanager
def stopped(redis: RedisServer) -> Iterator[None]:
    redis.stop()
    yield
    redis.start()


@contextmanager
def hanging(redis: RedisServer) -> Iterator[None]:
    redis.pause()
    yield
    redis.resume()


@pytest.mark.skipif(bool(missing_programs(RedisServer)), reason=missing_programs(RedisServer))
@pytest.mark.parametrize("away", [stopped, hanging])
def test_without_redis_requests_go_on_visibly_and_with_it_the_limits_hold_again(
    install: Install, away: Callable[[RedisServer], Iterator[None]]
) -> None:
    with RedisServer() as redis:
        installation = install(PARLEY_REDIS_URL=redis.url, PARLEY_RATE_ASK_VISITOR="3/hour")
        web = installation.web("--workers", "2")
        visitor = web.visitor()
        assert [ask(visitor).status_code for _ in range(5)] == [202] * 3 + [429] * 2

        with away(redis):  # type: ignore[attr-defined] # a context manager
            answers = [ask(visitor) for _ in range(10)]
            assert [answer.status_code for answer in answers] == [202] * 10
            assert not any("RateLimit" in answer.headers for answer in answers)
            health = httpx.get(f"{web.url}/readyz", timeout=40)
            assert health.status_code == 200
            assert health.json()["data"]["status"] == "degraded"
            assert {"redis", "rate limits"} <= set(health.json()["data"]["degraded"])

        assert 1 <= web.output.count("rates are not counted, every one is allowed") <= 2  # once in each process
        newcomer = web.visitor()
        eventually(lambda: _status(web) == "ok" and "RateLimit" in ask(newcomer).headers)
        eventually(lambda: web.output.count("rates are counted again") == web.output.count("rates are not counted"))
        installation.worker()
        another = web.visitor()
        conversations = [another.conversation() for _ in range(32)]
        answers = burst(installation, another, conversations, "Hello", during=nothing)
        assert sum(answer.status_code == 202 for answer in answers) == 3


def _status(web: ParleyProcess) -> str:
    health = httpx.get(f"{web.url}/readyz", timeout=40).json()["data"]
    # No worker has been started.
    return "ok" if set(health.get("degraded", {})) <= {"workers"} else "degraded"
