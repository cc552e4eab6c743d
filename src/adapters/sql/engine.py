"""The database as the other modules use it, and one place where its failures become the application's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import orjson
from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.pool import QueuePool

from adapters.sql.slow import time_statements
from application.ports.persistence import ConcurrentChange, StorageUnavailable
from application.ports.runtime import Misconfigured, OwnerLock
from application.telemetry import Observe

OPTIONS: dict[str, Any] = {
    "json_serializer": lambda value: orjson.dumps(value).decode(),
    "json_deserializer": orjson.loads,
    "hide_parameters": True,  # Messages of users do not belong in logs.
}
"""What every engine does alike."""

_NO_RIGHT = "42501"
"""PostgreSQL's insufficient_privilege."""

_COLLISIONS = {"40001", "40P01", "55P03"}
"""PostgreSQL's serialization_failure, deadlock_detected and lock_not_available: trying again helps."""

_LACKING = ("no such table", "no such column")
"""How SQLite, which counts it among the failures of operation, begins to say that the schema is another one."""


class Database(ABC):
    """An engine with the settings that Parley relies on; every context translates the driver's failures."""

    url: URL
    name: str
    """Where it is, without its password."""
    engine: Engine
    locks_rows: bool
    """Whether rows are locked one by one; else a write has the whole database."""

    @abstractmethod
    def writing(self) -> AbstractContextManager[Connection]:
        """A connection in a transaction that may write; the caller commits, anything else rolls back."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[Connection]:
        """A connection that sees one state of the database throughout."""

    @abstractmethod
    def at_once(self) -> AbstractContextManager[Connection]:
        """A connection on which each statement is a transaction of its own, at the least cost."""

    @abstractmethod
    def glancing(self) -> AbstractContextManager[Connection]:
        """A connection to read on, each statement by itself, at the least cost."""

    @abstractmethod
    def take_turns(self, connection: Connection, subject: str) -> None:
        """Until the end of the transaction, let no other one that names the same subject pass this point."""

    @abstractmethod
    def while_migrating(self, connection: Connection) -> None:
        """Begin a migration in the transaction of `connection`: nobody else migrates, nobody is kept waiting long."""

    @abstractmethod
    def owner_lock(self) -> OwnerLock:
        """The lock of the one process that writes replies, where the queue is in that process."""

    @property
    def is_there(self) -> bool:
        """Whether there is something to connect to: a file that is not there would be made by whoever looks into it."""
        return True

    @abstractmethod
    def cleanup_lock(self) -> OwnerLock:
        """The lock of the one process that cleans up."""

    @abstractmethod
    def ping(self) -> str:
        """One line on the database; raises StorageUnavailable when it does not answer, or is not the one we opened."""

    @abstractmethod
    def require(self) -> None:
        """Raise StorageUnavailable when the server does not answer, Misconfigured when no waiting will help."""

    def connections(self) -> tuple[int, int]:
        """How many connections are in use, and how many are open and at rest."""
        pool = self.engine.pool
        return (pool.checkedout(), pool.checkedin()) if isinstance(pool, QueuePool) else (0, 0)

    def dispose(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def open_database(url: str, *, pool: int = 10, slow: float = 0.0, observe: Observe | None = None) -> Database:
    """The database at a SQLite or PostgreSQL URL; nothing is connected yet. `pool` connections are kept open.

    Statements that take longer than `slow` seconds are logged (0: none); `observe` is told of all.
    """
    # Imported here, so that an installation on SQLite does not load PostgreSQL's driver.
    if url.startswith("sqlite:"):
        from adapters.sql.sqlite import SqliteDatabase

        database: Database = SqliteDatabase(url)
        time_statements(database.engine, "sqlite", slow, observe)
        return database
    from adapters.sql.postgres import PostgresDatabase

    database = PostgresDatabase(url, pool=pool)
    time_statements(database.engine, "postgresql", slow, observe)
    return database


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's failures into the application's."""
    try:
        yield
    except StaleDataError as stale:
        raise ConcurrentChange("Somebody else changed this at the same time. Try again.") from stale
    except PoolTimeout as busy:
        raise StorageUnavailable("The database is busy: no connection became free in time.") from busy
    except (IntegrityError, ProgrammingError, DataError) as fault:
        if getattr(fault.orig, "sqlstate", None) == _NO_RIGHT:
            raise Misconfigured(f"The database user may not do this: {reason(fault)}") from fault
        raise  # A fault of the code's, not of the database's.
    except DBAPIError as failure:
        if getattr(failure.orig, "sqlstate", None) in _COLLISIONS:
            raise ConcurrentChange("Somebody else is changing this at the same time. Try again.") from failure
        if reason(failure).startswith(_LACKING):
            raise  # As it is with PostgreSQL.
        raise StorageUnavailable(f"The database does not answer: {reason(failure)}") from failure


def reason(failure: DBAPIError) -> str:
    """The driver's own words, on one line."""
    lines = str(failure.orig).strip().splitlines() if failure.orig else []
    return lines[0] if lines else type(failure).__name__
