"""One time for all machines: the database's."""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from adapters.sql.engine import Database
from domain.errors import Unavailable

log = logging.getLogger(__name__)

_GOOD_FOR = 60.0
"""Seconds after which the machine's clock is compared with the database's again."""

_NOTABLE = timedelta(seconds=1)


class DatabaseClock:
    """See application.ports.runtime.Now. The machine's clock, put right by what the database's says.

    Leases are written on one machine and judged on another, so their clocks have to agree. A difference of
    less than a second is left alone: it is no more than the comparison itself may be wrong by, and would only
    mix up the order of what happens on one machine. While the database is away, the last comparison holds.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ahead = timedelta()
        self._due = 0.0
        self._turn = threading.Lock()

    def __call__(self) -> datetime:
        if time.monotonic() >= self._due and self._turn.acquire(blocking=False):
            try:
                self._compare()
            finally:
                self._turn.release()
        return datetime.now(UTC) + self._ahead

    def _compare(self) -> None:
        self._due = time.monotonic() + _GOOD_FOR
        try:
            with self._database.at_once() as connection:
                asked = datetime.now(UTC)
                theirs: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
                answered = datetime.now(UTC)
        except Unavailable:
            return
        ahead = theirs - (asked + (answered - asked) / 2)
        if abs(ahead) >= _NOTABLE:
            log.warning("this machine's clock differs from the database's by %.1f seconds", -ahead.total_seconds())
        self._ahead = ahead if abs(ahead) >= _NOTABLE else timedelta()
