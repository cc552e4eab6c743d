"""SQLite's own files hold nothing of what was purged: neither the full-text indexes, nor free room, nor the WAL.

Connections delete with `secure_delete`, which overwrites what is freed. That is not all: a full-text index only notes
that a word is gone from a row until its parts are merged; pages that were rearranged keep old copies in their gaps
until the file is written anew; and the write-ahead log holds old pages until it is emptied.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from sqlite3 import OperationalError
from typing import Any

from sqlalchemy import text

from adapters.sql import free_pages
from adapters.sql.sqlite import SqliteDatabase
from application.ports.retention import Kind, Present, Purge, Remnant, StillBusy, Tally

_INDEXES = {"messages_fts": Kind.MESSAGES, "passages_fts": Kind.DOCUMENTS}

_PAGES = 200
"""Of an index, that one step of a merge writes: others wait meanwhile."""

_TRIES, _PAUSE = 40, 0.05

_IN_MEMORY = 64 * 1024 * 1024
"""Bytes of a file that is written anew in memory; a larger one takes a temporary file."""

Run = Callable[[Callable[[], Any]], Any]
"""Calls something that takes long without giving way, while others go on."""


class SqliteFiles:
    """See application.ports.retention.Copies. Writing the file anew takes about a second for each 100 MB."""

    name = "database file"

    def __init__(self, database: SqliteDatabase, run: Run) -> None:
        self._database = database
        self._run = run

    def forget(self, purges: Sequence[Purge]) -> Tally:
        for index, kind in _INDEXES.items():
            if any(purge.ids.get(kind) for purge in purges):
                self._merge(index)
        if purges:
            self._write_anew()
        return {}

    def remnants(self, purges: Sequence[Purge]) -> Iterator[Remnant]:
        """What is in a page that is free belongs to no purge in particular: see `orphans`."""
        yield from ()

    def orphans(self, present: Present) -> Iterator[Remnant]:
        left = self._written_free_pages()
        if left:
            yield Remnant(self.name, f"{left} free pages", "hold what was deleted before; run: parley cleanup --vacuum")

    def vacuum(self) -> None:
        """Write everything anew, whatever was purged or not. Raises StillBusy or StorageUnavailable."""
        for index in _INDEXES:
            self._merge(index)
        self._write_anew()

    def _merge(self, index: str) -> None:
        """Merge the parts of an index into one, in steps (https://www.sqlite.org/fts5.html, section 6.10)."""
        step = text(f"INSERT INTO {index}({index}, rank) VALUES ('merge', :pages)")  # noqa: S608 # our own words
        changes = text("SELECT total_changes()")
        pages, is_over = -_PAGES, False  # The first step takes all parts into the merge.
        while not is_over:
            with self._database.writing() as connection:
                before = connection.execute(changes).scalar_one()
                connection.execute(step, {"pages": pages})
                is_over = connection.execute(changes).scalar_one() - before < 2
                connection.commit()
            pages = _PAGES
            time.sleep(_PAUSE / 2)

    def _write_anew(self) -> None:
        size = Path(self._database.file).stat().st_size
        with self._database.alone() as connection:
            self._tried(lambda: connection.execute(f"PRAGMA temp_store={'MEMORY' if size < _IN_MEMORY else 'FILE'}"))
            try:
                self._tried(lambda: connection.execute("VACUUM"))
            finally:
                connection.execute("PRAGMA temp_store=MEMORY")
            self._empty_wal(connection)

    def _empty_wal(self, connection: Any) -> None:
        for _ in range(_TRIES):
            is_busy, _pages, _done = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not is_busy:
                return
            time.sleep(_PAUSE)
        raise StillBusy("Somebody is reading the database; its write-ahead log is emptied afterwards.")

    def _tried(self, statement: Callable[[], Any]) -> None:
        """Carry it out as soon as no other process writes."""
        for _ in range(_TRIES):
            try:
                self._run(statement)
            except OperationalError as failure:
                if "locked" not in str(failure):
                    raise
                time.sleep(_PAUSE)
            else:
                return
        raise StillBusy("Another process is writing to the database; its file is written anew afterwards.")

    def _written_free_pages(self) -> int:
        with self._database.alone() as connection:
            self._empty_wal(connection)
            counted = subprocess.run(  # noqa: S603 # our own program
                [sys.executable, "-I", free_pages.__file__, self._database.file], capture_output=True, check=True
            )
        return int(counted.stdout)
