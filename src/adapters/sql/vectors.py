"""The functions that compare vectors: sqlite-vec's in SQLite, pgvector's in PostgreSQL.

Where they are missing, passages are found by their words alone.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import logging
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from functools import cache
from typing import Any

import sqlite_vec
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from adapters.sql.engine import Database, reason

log = logging.getLogger(__name__)

_EXTENSION = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")

_IN_SQLITE = "SELECT 'sqlite-vec ' || vec_version()"
_IN_POSTGRES = text("SELECT 'pgvector ' || extversion FROM pg_extension WHERE extname = 'vector'")
_CAN_BE_NAMED = text("SELECT to_regtype('vector') IS NOT NULL")

Equip = Callable[[Any], None]


@cache
def sqlite_equipment() -> Equip | None:
    """What gives a new connection of this process the functions; None where nothing does, which is logged.

    The first call has to come before the connections: where Python's own module loads no extensions, SQLite
    itself is told to give them to every later connection.
    """
    for way in (_load, _told_to_sqlite()):
        if way is not None and _works(way):
            return way
    log.warning("this Python's SQLite takes no extensions: passages are found by their words alone")
    return None


def version(database: Database) -> str | None:
    """What compares vectors there; None for nothing."""
    if database.engine.dialect.name == "sqlite":
        if sqlite_equipment() is None:
            return None
        with database.glancing() as connection:
            return str(connection.exec_driver_sql(_IN_SQLITE).scalar_one())
    with database.glancing() as connection:
        found: str | None = connection.execute(_IN_POSTGRES).scalar_one_or_none()
        return found if connection.execute(_CAN_BE_NAMED).scalar_one() else None


def offer(database: Database) -> None:
    """Have PostgreSQL take pgvector in if it is at hand and we may; why not is logged."""
    if database.engine.dialect.name != "postgresql":
        return
    try:
        with database.engine.begin() as connection:
            if not connection.execute(_CAN_BE_NAMED).scalar_one():
                database.while_migrating(connection)  # Two who take it in at once: to one of them it is an error.
                connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
    except DBAPIError as refusal:
        log.warning("without pgvector, passages are found by their words alone: %s", reason(refusal))


def _load(connection: Any) -> None:
    connection.enable_load_extension(True)
    try:
        connection.load_extension(sqlite_vec.loadable_path())
    finally:
        connection.enable_load_extension(False)


def _told_to_sqlite() -> Equip | None:
    """Many builds of Python leave the loading out of their module, and SQLite has it nevertheless.

    SQLite initialises an extension only if it was built to load some: if not, it would hand it no API to call.
    """
    if hasattr(sqlite3.Connection, "enable_load_extension"):
        return None
    with closing(sqlite3.connect(":memory:")) as scratch:
        if ("OMIT_LOAD_EXTENSION",) in scratch.execute("PRAGMA compile_options").fetchall():
            return None
    try:
        # The library that Python's module is linked with, which need not be the system's.
        library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
        add, take_back = library.sqlite3_auto_extension, library.sqlite3_cancel_auto_extension
        beginning = ctypes.cast(ctypes.CDLL(sqlite_vec.loadable_path() + _EXTENSION).sqlite3_vec_init, ctypes.c_void_p)
    except (OSError, AttributeError):
        return None
    add.argtypes = take_back.argtypes = [ctypes.c_void_p]
    if add(beginning) != 0:
        return None
    if not _works(_nothing):
        take_back(beginning)
        return None
    return _nothing


def _nothing(_connection: Any) -> None:
    """SQLite has done it."""


def _works(equip: Equip) -> bool:
    try:
        with closing(sqlite3.connect(":memory:")) as scratch:
            equip(scratch)
            scratch.execute(_IN_SQLITE)
    except (sqlite3.Error, AttributeError):
        return False
    return True
