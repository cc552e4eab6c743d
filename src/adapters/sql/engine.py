"""The database engine: its settings per dialect, and one place where its failures become the application's."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.orm.exc import StaleDataError

from application.ports.persistence import ConcurrentChange, StorageUnavailable

_PATIENCE = 5.0
"""Seconds that a write waits for its turn."""

_BUSY_TIMEOUT = 0.01
"""Seconds that SQLite itself waits for another process's lock: all greenlets stand still meanwhile."""


class Database:
    """An engine with the settings that Parley relies on.

    On SQLite writes take turns. Both the wait for this process's other writes and the wait for another
    process's write let the other greenlets go on, which SQLite's own waiting would not.
    """

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.engine: Engine = _sqlite_engine(url)
        self._turn = threading.Lock()
        self._inode: int | None = None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection in a transaction that may write; the caller commits, anything else rolls back."""
        give_up_at = time.monotonic() + _PATIENCE
        if not self._turn.acquire(timeout=_PATIENCE):
            raise StorageUnavailable("The database is busy: other writes take too long.")
        try:
            with translated(), self.engine.connect() as connection:
                _begin_immediate(connection, give_up_at)
                yield connection
        finally:
            self._turn.release()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the database throughout."""
        with translated(), self.engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection

    @property
    def file(self) -> str:
        """The path of the SQLite file."""
        return self.url.database or ""

    def ping(self) -> str:
        """One line on the database; raises StorageUnavailable when it does not answer, or is not the one we opened."""
        with self.reading() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")  # Reads the file, as the next does not.
            self._require_same_file()
            version = connection.exec_driver_sql("SELECT sqlite_version()").scalar_one()
        return f"SQLite {version}, {self.url.database}"

    def _require_same_file(self) -> None:
        """What is written to a file that was removed or replaced is lost with the last process that has it open."""
        try:
            inode = Path(self.file).stat().st_ino
        except OSError:
            inode = -1
        self._inode = self._inode or inode
        if inode != self._inode:
            raise StorageUnavailable(
                f"The file {self.file} was removed or replaced while it was in use. Restart Parley."
            )

    def dispose(self) -> None:
        """Close every connection."""
        self.engine.dispose()


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's failures into the application's."""
    try:
        yield
    except StaleDataError as stale:
        raise ConcurrentChange("Somebody else changed this at the same time. Try again.") from stale
    except (IntegrityError, ProgrammingError, DataError):
        raise  # A fault of the code's, not of the database's.
    except DBAPIError as failure:
        raise StorageUnavailable(f"The database does not answer: {_reason(failure)}") from failure


def _begin_immediate(connection: Connection, give_up_at: float) -> None:
    while True:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except OperationalError as failure:
            if "locked" not in str(failure.orig) or time.monotonic() >= give_up_at:
                raise
            time.sleep(0.02)
        else:
            return


def _reason(failure: DBAPIError) -> str:
    return str(failure.orig).splitlines()[0] if failure.orig else type(failure).__name__


def _sqlite_engine(url: str) -> Engine:
    engine = create_engine(
        url,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
        connect_args={"timeout": _BUSY_TIMEOUT, "check_same_thread": False, "isolation_level": None},
        pool_size=10,
        max_overflow=20,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        # WAL lets readers go on beside the writer. NORMAL loses nothing when the process dies;
        # a power cut may take the last transactions, never the file.
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}")

    return engine
