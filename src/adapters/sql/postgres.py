"""PostgreSQL 13 and later through psycopg 3, for any number of processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from gevent.monkey import is_module_patched
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, DisconnectionError

from adapters.sql.engine import OPTIONS, Database, reason, translated
from application.ports.persistence import StorageUnavailable
from application.ports.runtime import Misconfigured, OwnerLock
from domain.errors import Conflict

_OLDEST = 13
"""The first version with normalize(), which search relies on."""

_TIMEOUTS = {
    "statement_timeout": "15s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "60s",
    "application_name": "parley",
}
"""No statement, lock or forgotten transaction keeps others waiting for ever."""

_CONNECTING: dict[str, Any] = {
    "connect_timeout": 5,
    "options": " ".join(f"-c {name}={value}" for name, value in _TIMEOUTS.items()),
    # Statements are prepared when they are used again. Poolers in transaction mode cannot do with that.
    "prepare_threshold": 2,
}

_IDLE = 2.0
"""Seconds of rest after which a connection is tried before it is used: its server may have been restarted."""

_MIGRATIONS = 0x70_61_72_6C_65_79
_OWNER = _MIGRATIONS + 1
_CLEANUP = _MIGRATIONS + 2
"""Keys of advisory locks: "parley" in ASCII, and the next."""

_TAKE_TURNS = text("SELECT pg_advisory_xact_lock(hashtextextended(:subject, 0))")


class PostgresDatabase(Database):
    """A pool of connections. What is looked up to be changed is locked, so a write waits for its like, not for all."""

    locks_rows = True

    def __init__(self, url: str, *, pool: int) -> None:
        self.url = make_url(url).set(drivername="postgresql+psycopg")
        given = self.url.query.get("host", "localhost")
        host = self.url.host or (given if isinstance(given, str) else ",".join(given))
        self.name = f"{host}:{self.url.port or 5432}/{self.url.database or ''}"
        self.engine = _engine(self.url.render_as_string(hide_password=False), pool)
        self._snapshot = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        with translated(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with translated(), self._snapshot.connect() as connection:
            yield connection

    @contextmanager
    def at_once(self) -> Iterator[Connection]:
        with translated(), self._autocommit.connect() as connection:
            yield connection

    def glancing(self) -> AbstractContextManager[Connection]:
        return self.at_once()

    def take_turns(self, connection: Connection, subject: str) -> None:
        # A statement of its own: what follows must not see the state from before the wait.
        connection.execute(_TAKE_TURNS, {"subject": subject})

    def while_migrating(self, connection: Connection) -> None:
        # A lock that is not had soon makes everybody queue behind the one who waits for it.
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = '60s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATIONS})
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))

    def owner_lock(self) -> OwnerLock:
        return _AdvisoryLock(self.engine, _OWNER)

    def cleanup_lock(self) -> OwnerLock:
        return _AdvisoryLock(self.engine, _CLEANUP)

    def vacuum(self) -> None:
        """Have the room of deleted rows overwritten or reused, beside whatever goes on. Takes its time."""
        with self.at_once() as connection:
            connection.exec_driver_sql("SET statement_timeout = 0")
            try:
                connection.exec_driver_sql("VACUUM (INDEX_CLEANUP ON)")
            finally:
                connection.exec_driver_sql("RESET statement_timeout")

    def ping(self) -> str:
        with self.at_once() as connection:
            version = connection.exec_driver_sql("SHOW server_version").scalar_one()
        return f"PostgreSQL {version}, {self.name}"

    def require(self) -> None:
        try:
            with self._autocommit.connect() as connection:
                number = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
                encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        except DBAPIError as failure:
            told = str(failure.orig)
            if any(words in told for words in _WRONG_SETTING):
                raise Misconfigured(f"PostgreSQL at {self.name} refuses us: {_last_line(told)}") from None
            raise StorageUnavailable(f"PostgreSQL at {self.name} does not answer: {reason(failure)}") from failure
        if number < _OLDEST * 10_000:
            raise Misconfigured(f"PostgreSQL at {self.name} is version {number // 10_000}; {_OLDEST} is needed.")
        if encoding != "UTF8":
            raise Misconfigured(f"The database at {self.name} is encoded in {encoding}; UTF8 is needed.")


_WRONG_SETTING = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "not permitted to log in",
    "permission denied for database",
)
"""What libpq says where the URL is wrong. It gives no code for a connection that was refused in words."""


class _AdvisoryLock:
    """A lock on a connection of its own, with which it ends: also when the server is restarted."""

    is_certain = False

    def __init__(self, engine: Engine, key: int) -> None:
        self._engine = engine
        self._key = key
        self._connection: Connection | None = None

    def acquire(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        with translated():
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            try:
                while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": self._key}):
                    if time.monotonic() >= deadline:
                        connection.close()
                        return False
                    time.sleep(0.1)
            except BaseException:
                connection.invalidate()
                connection.close()
                raise
        self._connection = connection
        return True

    def keep(self) -> None:
        try:
            if self._connection is not None:
                self._connection.execute(text("SELECT 1"))
        except DBAPIError:
            self.release()
        if self._connection is None and not self.acquire(0):
            raise Conflict("owner_lost", "Another Parley does this for the database.")

    def release(self) -> None:
        if self._connection is not None:
            with suppress(DBAPIError):  # The server frees it with the connection, a moment later.
                self._connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": self._key})
            self._connection.invalidate()
            self._connection.close()
            self._connection = None


def _engine(url: str, pool: int) -> Engine:
    engine = create_engine(url, pool_size=pool, max_overflow=pool, pool_timeout=30, connect_args=_CONNECTING, **OPTIONS)

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
        if not is_module_patched("select"):
            return None  # As usual.
        from adapters.sql.waiting import GreenConnection

        return GreenConnection.connect(*arguments, **options)

    @event.listens_for(engine, "checkin")
    def note(_connection: Any, record: Any) -> None:
        record.info["rested_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def try_rested(connection: Any, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info.get("rested_since", time.monotonic()) < _IDLE:
            return
        try:
            connection.execute("SELECT 1")
            connection.rollback()
        except Exception as failure:
            raise DisconnectionError from failure  # The pool tries another one.

    return engine


def _last_line(told: str) -> str:
    return told.strip().splitlines()[-1].strip()
