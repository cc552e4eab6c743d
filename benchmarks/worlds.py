"""The two installations that are measured: one process, and web and worker over three servers."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from tests.installation import SECRET, installed
from tests.parley_process import ParleyProcess, cli, running
from tests.servers import MongoServer, PostgresServer, RedisServer

_FILL = """
    INSERT INTO messages (id, conversation_id, owner, position, version, role, content, status, sources, metadata,
        created_at)
    VALUES ({0}, {0}, {0}, {0}, 1, {0}, {0}, 'completed', '[]', '{{}}', '2026-01-01 00:00:00+00:00')
"""


@dataclass(frozen=True)
class World:
    """A running installation: whom to ask, and whose CPU and memory to look at."""

    name: str
    web: ParleyProcess
    ours: Mapping[str, int]
    """The first process of each part that is Parley's."""
    servers: Mapping[str, int]
    """The first process of each server that it stands on."""
    bare: Mapping[str, object]
    """What the bare routes need to know to read and write the same stores."""
    fill: Callable[[str, str, int], None]
    """Writes so many messages of an owner into a conversation, as questions and answers would leave them."""
    settled: Callable[[], None] = field(default=lambda: None)
    """Waits until everything that was filled in can be read."""


Make = Callable[..., AbstractContextManager[World]]


@contextmanager
def embedded(folder: Path, **settings: object) -> Iterator[World]:
    with running(folder, **settings) as web:
        database = web.data_dir / "parley.db"

        def fill(conversation: str, owner: str, size: int) -> None:
            with closing(sqlite3.connect(database, timeout=30)) as connection:
                key = uuid.UUID(conversation).hex
                rows = ((uuid.uuid4().hex, key, owner, *row) for row in _messages(size))
                connection.executemany(_FILL.format("?"), rows)
                connection.execute(
                    "UPDATE conversations SET message_count = ?, next_position = ? WHERE id = ?", (size, size + 1, key)
                )
                connection.commit()

        yield World("embedded", web, {"Parley": web.pid}, {}, {"BARE_SQLITE": database}, fill)


@contextmanager
def production(folder: Path, **settings: object) -> Iterator[World]:
    with ExitStack() as servers:
        postgres = servers.enter_context(PostgresServer(durable=True))
        mongo = servers.enter_context(MongoServer())
        redis = servers.enter_context(RedisServer())
        settings |= {
            "PARLEY_DATABASE_URL": postgres.url,
            "PARLEY_DATABASE_POOL": 20,
            "PARLEY_MONGO_URL": f"{mongo.url.rstrip('/')}/parley",
            "PARLEY_REDIS_URL": redis.url,
            "PARLEY_SECRET_KEY": SECRET,
        }
        with installed(folder, **settings) as installation:
            web = installation.web()
            worker = installation.worker()

            def fill(conversation: str, owner: str, size: int) -> None:
                with psycopg.connect(postgres.url) as connection, connection.cursor() as cursor:
                    rows = ((uuid.uuid4(), conversation, owner, *row) for row in _messages(size))
                    cursor.executemany(_FILL.format("%s"), rows)
                    cursor.execute(
                        "UPDATE conversations SET message_count = %s, next_position = %s, version = version + 1 "
                        "WHERE id = %s",
                        (size, size + 1, conversation),
                    )

            def settled() -> None:
                rebuilt = cli("projections", "rebuild", "--from-scratch", **installation.settings)
                assert rebuilt.returncode == 0, rebuilt.stderr

            yield World(
                "production",
                web,
                {"web": web.pid, "worker": worker.pid},
                {"PostgreSQL": postgres.pid, "MongoDB": mongo.pid, "Redis": redis.pid},
                {"BARE_POSTGRES": postgres.url, "BARE_MONGO": settings["PARLEY_MONGO_URL"]},
                fill,
                settled,
            )


WORLDS = {"production": production, "embedded": embedded}


def _messages(size: int) -> Iterator[tuple[int, str, str]]:
    """Position, role and content of each."""
    for position in range(1, size + 1):
        yield position, ("assistant", "user")[position % 2], f"Message {position}. " * 20
