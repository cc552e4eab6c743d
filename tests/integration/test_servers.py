"""The servers that tests and benchmarks stand on do what is said of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient, WriteConcern
from pymongo.errors import OperationFailure
from redis import AuthenticationError, Redis

from tests import servers
from tests.servers import MongoServer, PostgresServer, RedisServer, Server, missing_programs
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
OWN = [PostgresServer, MongoServer, RedisServer]

no_programs = missing_programs(*OWN)
needs_programs = pytest.mark.skipif(bool(no_programs), reason=no_programs)


def mongo_client(url: str) -> MongoClient[dict[str, Any]]:
    return MongoClient(url, serverSelectionTimeoutMS=5000)


def test_postgresql_makes_databases_that_are_apart_and_copies_of_one() -> None:
    with servers.a_postgres_database() as template:
        with psycopg.connect(template) as connection:
            connection.execute("CREATE TABLE word (text text)")
            connection.execute("INSERT INTO word VALUES ('naïve')")

        with servers.a_postgres_database(template) as copy, servers.a_postgres_database() as other:
            with psycopg.connect(copy) as connection:
                assert connection.execute("SELECT upper(text) FROM word").fetchall() == [("NAÏVE",)]
            with psycopg.connect(other) as connection:
                assert connection.execute("SELECT to_regclass('word')").fetchall() == [(None,)]

    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(copy)


def test_a_postgresql_database_is_dropped_under_its_users() -> None:
    url = servers.new_database()
    with psycopg.connect(url) as connection:
        servers.drop_database(url)

        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_mongodb_databases_are_apart_and_go() -> None:
    with servers.a_mongo_database() as one, servers.a_mongo_database() as other:
        with mongo_client(one) as client:
            client.get_default_database()["words"].insert_one({"text": "hello"})
        with mongo_client(other) as client:
            assert client.get_default_database()["words"].count_documents({}) == 0

    with mongo_client(one) as client:
        assert client.get_default_database()["words"].count_documents({}) == 0


def test_redis_prefixes_are_apart_and_their_keys_go() -> None:
    with servers.a_redis() as (url, one), servers.a_redis() as (_, other), Redis.from_url(url) as client:
        client.set(f"{one}word", "hello")
        assert client.get(f"{one}word") == b"hello"
        assert client.get(f"{other}word") is None

    with Redis.from_url(url) as client:
        assert client.exists(f"{one}word") == 0


def test_the_report_names_what_was_used() -> None:
    found = [servers.postgres(), servers.mongo(), servers.redis()]

    for name, how in zip(["PostgreSQL", "MongoDB", "Redis"], [one.how.split()[0] for one in found], strict=True):
        assert any(part.startswith(name) and part.endswith(f"({how})") for part in servers.report().split(" · "))


@pytest.mark.parametrize(
    ("variable", "look"),
    [("TEST_POSTGRES_URL", servers.postgres), ("TEST_MONGO_URL", servers.mongo), ("TEST_REDIS_URL", servers.redis)],
)
def test_a_url_in_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, variable: str, look: Callable[[], servers.Found]
) -> None:
    url = look().url
    monkeypatch.setattr(servers, "_found", {})
    monkeypatch.setenv(variable, url)

    assert look() == servers.Found(url, f"environment {variable}")


def test_a_url_in_the_environment_has_to_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_found", {})
    monkeypatch.setenv("TEST_REDIS_URL", "redis://127.0.0.1:1")

    with pytest.raises(RuntimeError, match="TEST_REDIS_URL is set, and no Redis answers there"):
        servers.redis()


def test_without_any_server_all_three_ways_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nowhere(RedisServer):
        variable = "NOWHERE"
        images = ("127.0.0.1:1/nowhere:0",)

        @classmethod
        def program(cls) -> Path:
            raise RuntimeError("not installed")

    with pytest.raises(RuntimeError, match=r"TEST_NOWHERE_URL is not set; testcontainers: .+; binary: .+"):
        servers._find(Nowhere)


def test_mongodb_credentials_are_still_those_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_found", {MongoServer: servers.Found("mongodb://me:secret@one,two/?w=1", "test")})

    assert servers.new_mongo_url().endswith("?w=1&authSource=admin")


@needs_programs
def test_a_killed_postgresql_keeps_what_was_committed() -> None:
    with PostgresServer(durable=True) as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE word (text text)")
            connection.execute("INSERT INTO word VALUES ('kept')")
            server.kill()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        assert not server.answers()

        server.start()

        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT text FROM word").fetchall() == [("kept",)]


@needs_programs
def test_a_killed_mongodb_keeps_what_was_journaled() -> None:
    with MongoServer(auth=True) as server, mongo_client(server.url) as client:
        words = client["test"].get_collection("words", write_concern=WriteConcern(j=True))
        words.insert_one({"text": "kept"})
        server.kill()
        assert not server.answers(0.2)

        server.start()

        assert words.count_documents({"text": "kept"}) == 1


@needs_programs
def test_a_killed_redis_keeps_what_it_appended() -> None:
    with RedisServer(appendonly=True) as server, Redis.from_url(server.url) as client:
        client.set("word", "kept")
        server.kill()
        assert not server.answers()

        server.start()

        assert client.get("word") == b"kept"


@needs_programs
def test_redis_without_appending_forgets() -> None:
    with RedisServer() as server, Redis.from_url(server.url) as client:
        client.set("word", "lost")

        server.restart()

        assert client.get("word") is None


@needs_programs
@pytest.mark.parametrize("kind", OWN)
def test_a_stopped_server_starts_again_at_the_same_address(kind: type[Server]) -> None:
    with kind() as server:
        url = server.url
        server.stop()
        assert not server.answers(0.2)

        server.restart()

        assert server.answers()
        assert server.url == url
    assert not server.folder.exists()


@needs_programs
@pytest.mark.parametrize("kind", OWN)
def test_a_paused_server_does_not_answer_until_it_is_resumed(kind: type[Server]) -> None:
    with kind() as server:
        server.pause()
        assert not server.answers(0.2)

        server.resume()

        assert eventually(server.answers)


@needs_programs
@pytest.mark.parametrize("kind", OWN)
def test_a_server_ends_with_the_process_that_started_it(kind: type[Server]) -> None:
    code = f"""
import sys
from tests.servers import {kind.__name__}
server = {kind.__name__}()
server.start()
server.pause()
print(server.pid, server.folder, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pid, folder = process.stdout.readline().split()
        processes = [int(pid), *servers._children(int(pid))]
        process.send_signal(signal.SIGKILL)

    eventually(lambda: all(servers._state(one) in ("Z", "") for one in processes))
    eventually(lambda: not os.path.exists(folder))


def test_a_postgresql_role_needs_its_password() -> None:
    role = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(servers.postgres().url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'right'")
    try:
        with psycopg.connect(servers.postgres().url, user=role, password="right") as connection:
            assert connection.info.user == role
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(servers.postgres().url, user=role, password="wrong")
    finally:
        with psycopg.connect(servers.postgres().url, autocommit=True) as connection:
            connection.execute(f"DROP ROLE {role}")


@needs_programs
def test_mongodb_and_redis_need_their_passwords() -> None:
    with (
        MongoServer(auth=True) as mongo,
        mongo_client(f"mongodb://127.0.0.1:{mongo.port}/") as stranger,
        pytest.raises(OperationFailure, match="requires authentication"),
    ):
        stranger["test"]["words"].count_documents({})
    with (
        RedisServer(password="right") as redis,
        Redis.from_url(f"redis://:wrong@127.0.0.1:{redis.port}/0") as intruder,
        pytest.raises(AuthenticationError),
    ):
        intruder.ping()
