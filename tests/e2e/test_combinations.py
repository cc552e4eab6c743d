"""Each of the three servers is a choice of its own; what cannot do is said at the start, naming the setting."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from tests.conftest import with_model
from tests.installation import installed
from tests.model_server import ModelServer
from tests.parley_process import WorkerProcess, cli, free_port, running
from tests.servers import (
    MongoServer,
    PostgresServer,
    RedisServer,
    a_mongo_database,
    a_postgres_database,
    a_redis,
    missing_programs,
)
from tests.waiting import eventually

_missing = missing_programs(PostgresServer, MongoServer, RedisServer)
_own_servers = pytest.mark.skipif(bool(_missing), reason=_missing)


@pytest.mark.parametrize(
    "servers", ["postgres", "mongo", "redis", "postgres mongo", "postgres redis", "mongo redis"], ids=str
)
def test_any_of_the_servers_may_be_there(tmp_path: Path, model: ModelServer, servers: str) -> None:
    with ExitStack() as stack:
        settings: dict[str, object] = {}
        if "postgres" in servers:
            settings["PARLEY_DATABASE_URL"] = stack.enter_context(a_postgres_database())
        if "mongo" in servers:
            settings["PARLEY_MONGO_URL"] = stack.enter_context(a_mongo_database())
        if "redis" in servers:
            settings["PARLEY_REDIS_URL"], settings["PARLEY_REDIS_PREFIX"] = stack.enter_context(a_redis())
        installation = stack.enter_context(installed(tmp_path / "data", **with_model(model), **settings))
        web = installation.web()
        if "redis" in servers:
            installation.worker()
        visitor = web.visitor()

        room = visitor.room("Pelicans")
        conversation = visitor.conversation(room_id=room)
        assert visitor.answer(conversation, "Where do pelicans sleep?")["status"] == "completed"
        stopped = visitor.ask(conversation, "!stream words=500 delay=0.02")
        eventually(lambda: visitor.reply(stopped)["text"])
        assert visitor.data("POST", f"/replies/{stopped}/cancel")["status"] == "cancelled"

        assert visitor.data("GET", f"/rooms/{room}")["message_count"] == 4
        assert visitor.data("GET", "/search", params={"q": "pelican"})["total"] == 2
        visitor.data("DELETE", f"/rooms/{room}")
        assert visitor.data("GET", "/search", params={"q": "pelican"})["total"] == 0
        visitor.data("POST", f"/rooms/{room}/restore")
        assert len(visitor.data("GET", f"/rooms/{room}/history")["items"]) == 4
        if "mongo" in servers:
            assert "No difference" in installation.verified()


def test_a_read_store_that_comes_later_is_used_once_it_was_built(tmp_path: Path, model: ModelServer) -> None:
    with a_mongo_database() as mongo:
        with running(tmp_path, **with_model(model)) as parley:
            visitor = parley.visitor()
            conversation = visitor.conversation(title="From before")
            visitor.answer(conversation, "Hello")
        with running(tmp_path, **with_model(model, PARLEY_MONGO_URL=mongo)) as parley:
            client = parley._client(visitor.token)

            assert [item["title"] for item in client.data("GET", "/conversations")["items"]] == ["From before"]
            degraded = httpx.get(f"{parley.url}/readyz").json()["data"]["degraded"]
            assert "parley projections rebuild" in degraded["read models"]
            rebuilt = cli("projections", "rebuild", **parley.settings)
            assert rebuilt.returncode == 0, rebuilt.stderr

            eventually(lambda: httpx.get(f"{parley.url}/readyz").json()["data"]["status"] == "ok")
            assert len(client.messages(conversation)) == 2
            assert cli("projections", "verify", **parley.settings).returncode == 0


def test_what_was_spoilt_in_the_read_store_is_found_and_mended(tmp_path: Path, model: ModelServer) -> None:
    from pymongo import MongoClient

    with a_mongo_database() as mongo, running(tmp_path, **with_model(model, PARLEY_MONGO_URL=mongo)) as parley:
        visitor = parley.visitor()
        conversations = [visitor.conversation(title=f"Number {number}") for number in range(3)]
        with MongoClient[dict[str, Any]](mongo) as client:
            stored = client.get_default_database()["conversations"]
            stored.delete_one({"_id": conversations[0]})
            stored.update_one({"_id": conversations[1]}, {"$set": {"document.title": "Spoilt"}})

        found = cli("projections", "verify", **parley.settings)
        assert found.returncode == 1
        assert f"conversations {conversations[0]}: missing" in found.stdout
        assert f"conversations {conversations[1]}: different" in found.stdout
        assert cli("projections", "rebuild", "--from-scratch", **parley.settings).returncode == 0

        assert cli("projections", "verify", **parley.settings).stdout == "No difference.\n"
        titles = [item["title"] for item in visitor.data("GET", "/conversations")["items"]]
        assert titles == ["Number 2", "Number 1", "Number 0"]


def test_a_second_server_on_the_same_database_needs_redis(tmp_path: Path) -> None:
    with a_postgres_database() as url, running(tmp_path / "one", PARLEY_DATABASE_URL=url):
        failed = cli("serve", PARLEY_DATA_DIR=tmp_path / "two", PARLEY_DATABASE_URL=url, PARLEY_PORT=free_port())

    assert failed.returncode == 2
    assert failed.stderr.startswith("Error: PARLEY_DATABASE_URL: another Parley is running on ")
    assert "Redis" in failed.stderr


class TestWrongSettings:
    """Exit codes: 2 for what has to be set otherwise, 3 for what may be there later."""

    @pytest.fixture
    def password(self) -> Iterator[str]:
        """A database whose role wants a password."""
        with a_postgres_database() as url, psycopg.connect(url, autocommit=True) as connection:
            role = f"parley_{os.getpid()}"
            connection.execute(f"DROP ROLE IF EXISTS {role}")
            connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'right-secret'")
            server = urlsplit(url)
            yield server._replace(netloc=f"{role}:wrong-secret@{server.netloc.rpartition('@')[2]}").geturl()
            connection.execute(f"DROP ROLE {role}")

    def test_a_wrong_password_of_postgres(self, tmp_path: Path, password: str) -> None:
        for command in (("migrate",), ("serve",), ("rooms", "list")):
            failed = cli(*command, PARLEY_DATA_DIR=tmp_path, PARLEY_DATABASE_URL=password)

            assert failed.returncode == 2, failed.stderr
            assert failed.stderr.startswith("Error: PARLEY_DATABASE_URL: PostgreSQL at ")
            assert "password authentication failed" in failed.stderr
            assert "wrong-secret" not in failed.stderr

    def test_a_database_that_is_not_there(self, tmp_path: Path) -> None:
        with a_postgres_database() as url:
            failed = cli("migrate", PARLEY_DATA_DIR=tmp_path, PARLEY_DATABASE_URL=f"{url}_not")

        assert failed.returncode == 2
        assert "does not exist" in failed.stderr

    def test_postgres_that_does_not_answer(self, tmp_path: Path) -> None:
        url = f"postgresql://nobody@127.0.0.1:{free_port()}/parley"

        failed = cli("rooms", "list", PARLEY_DATA_DIR=tmp_path, PARLEY_DATABASE_URL=url)

        assert failed.returncode == 3
        assert failed.stderr.startswith("Error: PARLEY_DATABASE_URL: PostgreSQL at 127.0.0.1:")

    @_own_servers
    def test_a_wrong_password_of_mongo(self, tmp_path: Path) -> None:
        with MongoServer(auth=True) as mongo:
            wrong = f"mongodb://somebody:wrong-secret@127.0.0.1:{mongo.port}/parley?authSource=admin"
            failed = cli("serve", "--migrate", PARLEY_DATA_DIR=tmp_path, PARLEY_MONGO_URL=wrong)

        assert failed.returncode == 2, failed.stderr
        assert failed.stderr.startswith("Error: PARLEY_MONGO_URL: ")
        assert "wrong-secret" not in failed.stderr

    @_own_servers
    def test_a_wrong_password_of_redis(self, tmp_path: Path) -> None:
        with RedisServer(password="right-secret") as redis:
            wrong = f"redis://:wrong-secret@127.0.0.1:{redis.port}/0"
            failed = cli("serve", "--migrate", PARLEY_DATA_DIR=tmp_path, PARLEY_REDIS_URL=wrong)
            worker = WorkerProcess(PARLEY_DATA_DIR=tmp_path, PARLEY_REDIS_URL=wrong)
            worker.launch()
            eventually(lambda: worker.ended)

        assert failed.returncode == 2, failed.stderr
        assert failed.stderr.startswith("Error: PARLEY_REDIS_URL: ")
        assert "Error: PARLEY_REDIS_URL: " in eventually(lambda: worker.output)
        assert "wrong-secret" not in failed.stderr + worker.output

    def test_servers_that_one_can_do_without_are_warned_of(self, tmp_path: Path) -> None:
        away = {
            "PARLEY_MONGO_URL": f"mongodb://127.0.0.1:{free_port()}/parley",
            "PARLEY_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        }
        with running(tmp_path, **away) as parley:
            visitor = parley.visitor()
            room = visitor.room("It goes on")

            assert visitor.data("GET", f"/rooms/{room}")["name"] == "It goes on"
            health = httpx.get(f"{parley.url}/readyz").json()["data"]
            assert set(health["degraded"]) == {"mongo", "read models", "redis", "workers", "rate limits", "cache"}
            for setting in away:
                assert f"{setting}: " in parley.output
            asked = visitor.call("POST", f"/conversations/{visitor.conversation()}/messages", {"content": "Hello"})
            assert asked.status_code == 202
