"""Reply logs in this process's memory."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from operator import attrgetter
from uuid import UUID

from application.ports.runtime import LogEntry
from domain.errors import LeaseLost

_seq = attrgetter("seq")

_UNWRITTEN = 120.0
_UNENDED = 24 * 3600.0

_BURIED = 10**15
"""An epoch above all others: that of a log that was purged."""

_EVENT = 300
"""Bytes that an event takes beside its text."""


class InProcessReplyLog:
    """See application.ports.runtime.ReplyLog.

    Ended logs are forgotten `keep` seconds after their end, and the oldest of them before that when all
    logs together take more than about `capacity` bytes.
    """

    def __init__(self, keep: float = 3600.0, capacity: int = 64 * 1024 * 1024) -> None:
        self._keep = keep
        self._capacity = capacity
        self._logs: dict[UUID, _Log] = {}

    def open(self, reply_id: UUID, *, epoch: int, first_seq: int) -> int:
        log = self._log(reply_id)
        with log.changed:
            if epoch < log.epoch:
                raise LeaseLost(reply_id, epoch)
            log.epoch = epoch
            return log.last_seq + 1 if log.entries else first_seq

    def append(self, reply_id: UUID, *, epoch: int, entry: LogEntry) -> None:
        log = self._log(reply_id)
        with log.changed:
            if epoch < log.epoch:
                raise LeaseLost(reply_id, epoch)
            log.entries.append(entry)
            log.size += _size_of(entry)
            log.touched = time.monotonic()
            log.changed.notify_all()

    def watching(self, reply_id: UUID) -> AbstractContextManager[None]:
        return nullcontext()

    def read(self, reply_id: UUID, *, after: int) -> Sequence[LogEntry]:
        log = self._logs.get(reply_id)
        if log is None or log.last_seq <= after:
            return ()
        return log.entries[bisect_right(log.entries, after, key=_seq) :]

    def wait(self, reply_id: UUID, *, after: int, timeout: float) -> None:
        log = self._log(reply_id)
        with log.changed:
            if log.last_seq <= after:
                log.changed.wait(timeout)

    def trim(self) -> None:
        now = time.monotonic()
        for reply_id in [reply_id for reply_id, log in self._logs.items() if log.touched < now - self._time_of(log)]:
            del self._logs[reply_id]
        too_many = sum(log.size for log in self._logs.values()) - self._capacity
        for reply_id, log in sorted(self._logs.items(), key=lambda item: item[1].touched):
            if too_many <= 0:
                return
            if log.has_ended:
                too_many -= log.size
                del self._logs[reply_id]

    def bury(self, reply_id: UUID) -> bool:
        """Forget a log, so that whoever still writes it is told LeaseLost: whether there was anything in it."""
        log = self._logs.get(reply_id)
        if log is None or log.epoch == _BURIED:
            return False
        buried = self._logs[reply_id] = _Log()
        buried.epoch = _BURIED
        with log.changed:
            entries, log.entries = log.entries, []  # Whoever watches it has the old one.
            log.epoch = _BURIED
            log.changed.notify_all()
        return bool(entries)

    @property
    def known(self) -> list[UUID]:
        """The replies whose logs have something in them."""
        return [reply_id for reply_id, log in list(self._logs.items()) if log.entries]

    def _time_of(self, log: _Log) -> float:
        """Seconds that a log is kept untouched: one that was only waited for not long, one in the making for long."""
        if not log.entries:
            return min(self._keep, _UNWRITTEN)
        return self._keep if log.has_ended else max(self._keep, _UNENDED)

    def wake_all(self) -> None:
        """End every wait, so that watchers see that this process is about to stop."""
        for log in list(self._logs.values()):
            with log.changed:
                log.changed.notify_all()

    def flush(self, timeout: float) -> bool:
        return True

    def _log(self, reply_id: UUID) -> _Log:
        log = self._logs.get(reply_id)
        return log if log is not None else self._logs.setdefault(reply_id, _Log())


def _size_of(entry: LogEntry) -> int:
    """About how many bytes an event takes. Most are a few words, which must cost nothing to weigh."""
    return _EVENT + (len(entry.data["text"]) if entry.event == "reply.delta" else len(repr(entry.data)))


class _Log:
    def __init__(self) -> None:
        self.epoch = 0
        self.entries: list[LogEntry] = []
        self.size = 0
        self.changed = threading.Condition()
        self.touched = time.monotonic()

    @property
    def has_ended(self) -> bool:
        return bool(self.entries) and self.entries[-1].is_terminal

    @property
    def last_seq(self) -> int:
        return self.entries[-1].seq if self.entries else -1
