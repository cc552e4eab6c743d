"""A person is erased while MongoDB hangs or Redis is away: both follow when they are back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import uuid4

import pytest

from tests.conftest import with_model
from tests.dumps import dumped, places_of
from tests.installation import SECRET, Installation, installed
from tests.model_server import ModelServer
from tests.parley_process import cli
from tests.planting import planted
from tests.servers import MongoServer, PostgresServer, RedisServer, Server, missing_programs
from tests.waiting import eventually

_missing = missing_programs(PostgresServer, MongoServer, RedisServer)
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)

_STORES = {"MongoDB": {"MongoDB"}, "Redis": {"Redis", "RQ"}}
"""What is behind when a server is away."""


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    """Our own, that keep what they have over a restart."""
    with PostgresServer() as postgres, MongoServer() as mongo, RedisServer(appendonly=True) as redis:
        yield {"PostgreSQL": postgres, "MongoDB": mongo, "Redis": redis}


@pytest.fixture(scope="module")
def installation(
    servers: dict[str, Server], model: ModelServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    settings = with_model(
        model,
        PARLEY_DATABASE_URL=servers["PostgreSQL"].url,
        PARLEY_MONGO_URL=f"{servers['MongoDB'].url.rstrip('/')}/parley",
        PARLEY_REDIS_URL=servers["Redis"].url,
        PARLEY_REDIS_PREFIX="parley:",
        PARLEY_SECRET_KEY=SECRET,
    )
    with installed(tmp_path_factory.mktemp("retention") / "data", **settings) as installation:
        installation.web("--workers", "2")
        installation.worker()
        yield installation


def left_of(installation: Installation, word: str) -> list[str]:
    return places_of(word, dumped(installation.settings, installation.folder))


def stopped(server: Server) -> Callable[[], None]:
    server.stop()
    return server.start


def halted(server: Server) -> Callable[[], None]:
    server.pause()
    return server.resume


@pytest.mark.parametrize(("name", "away"), [("MongoDB", halted), ("Redis", stopped)])
def test_a_store_that_was_away_forgets_an_erased_person_when_it_is_back(
    installation: Installation, servers: dict[str, Server], name: str, away: Callable[[Server], Callable[[], None]]
) -> None:
    word, web = f"zebra{uuid4().hex[:16]}", installation.webs[0]
    visitor = web.visitor()
    planted(visitor, word, author=False)
    who = f"visitor:{visitor.data('GET', '/me')['id']}"
    assert any(place.startswith(("collection ", "key ")) for place in left_of(installation, word))

    with ExitStack() as ending:
        ending.callback(away(servers[name]))
        done = cli("erase", "--principal", who, "--yes", "--json", **installation.settings)
        verified = cli("cleanup", "--verify", "--json", **installation.settings)

    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["behind"].keys() == _STORES[name]
    assert {each["store"] for each in json.loads(verified.stdout)["findings"]} == _STORES[name]
    eventually(servers[name].answers)
    finished = cli("cleanup", "--yes", "--json", **installation.settings)
    assert finished.returncode == 0, finished.stderr
    assert left_of(installation, word) == left_of(installation, who) == []
    clean = cli("cleanup", "--verify", **installation.settings)
    assert clean.stdout.startswith("Nothing is left"), clean.stdout
