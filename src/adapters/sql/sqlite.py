"""SQLite: one file, one writer at a time, nothing to install."""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from sqlite3 import Error as DriverError
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import OperationalError

from adapters.sql.engine import OPTIONS, Database, translated
from adapters.sql.vectors import sqlite_equipment
from application.ports.persistence import StorageUnavailable
from application.ports.runtime import Misconfigured, OwnerLock

_PATIENCE = 5.0
"""Seconds that a write waits for its turn."""

_BUSY_TIMEOUT = 0.01
"""Seconds that SQLite itself waits for another process's lock: all greenlets stand still meanwhile."""

_POLL = 0.05


class SqliteDatabase(Database):
    """Writes take turns.

    Both the wait for this process's other writes and the wait for another process's write let the
    other greenlets go on, which SQLite's own waiting would not.
    """

    locks_rows = False

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.name = self.file
        self.engine = _engine(url)
        self._turn = threading.Lock()
        self._inode: int | None = None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
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
        with translated(), self.engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection

    @contextmanager
    def at_once(self) -> Iterator[Connection]:
        with self.writing() as connection:
            yield connection
            connection.commit()

    @contextmanager
    def alone(self) -> Iterator[Any]:
        """The driver's own connection, outside of any transaction, while nobody else in this process writes."""
        if not self._turn.acquire(timeout=_PATIENCE):
            raise StorageUnavailable("The database is busy: other writes take too long.")
        try:
            with translated(), self.engine.connect() as connection:
                yield connection.connection.driver_connection
        except DriverError as failure:
            raise StorageUnavailable(f"The database does not answer: {failure}") from failure
        finally:
            self._turn.release()

    def glancing(self) -> AbstractContextManager[Connection]:
        return self.reading()

    def take_turns(self, connection: Connection, subject: str) -> None:
        """Every write has its turn already."""

    def while_migrating(self, connection: Connection) -> None:
        """Nobody else writes meanwhile."""

    def owner_lock(self) -> OwnerLock:
        return _FileLock(f"{self.file}.owner")

    def cleanup_lock(self) -> OwnerLock:
        return _FileLock(f"{self.file}.cleanup")

    @property
    def is_there(self) -> bool:
        return Path(self.file).exists()

    @property
    def file(self) -> str:
        """The path of the SQLite file."""
        return self.url.database or ""

    def ping(self) -> str:
        with self.reading() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")  # Reads the file, as the next does not.
            self._require_same_file()
            version = connection.exec_driver_sql("SELECT sqlite_version()").scalar_one()
        return f"SQLite {version}, {self.url.database}"

    def require(self) -> None:
        """A file that is not there is made."""
        try:
            self.ping()
        except StorageUnavailable as failure:
            if "not a database" in failure.message:
                raise Misconfigured(f"{self.file} is not a SQLite database.") from None
            raise

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


class _FileLock:
    """A lock beside the file, which the system frees however its holder ends."""

    is_certain = True

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("w")  # noqa: SIM115 # open for as long as it is held

    def acquire(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(_POLL)

    def keep(self) -> None:
        """Nobody can take it away."""

    def release(self) -> None:
        self._file.close()


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


def _engine(url: str) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": _BUSY_TIMEOUT, "check_same_thread": False, "isolation_level": None},
        pool_size=10,
        max_overflow=20,
        **OPTIONS,
    )
    equip = sqlite_equipment()

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        if equip is not None:
            equip(connection)
        # WAL lets readers go on beside the writer. NORMAL loses nothing when the process dies;
        # a power cut may take the last transactions, never the file.
        # Only the first connection ever changes the journal's mode, and may have to wait for another process then.
        # What is deleted is overwritten.
        settings = (
            "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "temp_store=MEMORY", "secure_delete=ON"
        )  # fmt: skip
        patience = f"busy_timeout={_PATIENCE * 1000:.0f}"
        for pragma in (patience, *settings, f"busy_timeout={_BUSY_TIMEOUT * 1000:.0f}"):
            connection.execute(f"PRAGMA {pragma}")

    return engine
