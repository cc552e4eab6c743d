"""What the owner of a reply writes into its log, also when that is away for a while or has lost what was in it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from uuid import UUID

from application.ports.runtime import LogEntry, LogLost, LogUnavailable, ReplyLog
from domain.errors import LeaseLost

log = logging.getLogger(__name__)

_OPEN_AGAIN = 1.0
"""Seconds between two attempts to open a log that is away."""


class Record:
    """Numbers an owner's events and adds them to the log; calls `lost` when that has a newer owner.

    A log that is away keeps nobody waiting: what is to be added meanwhile is passed over, and told as a whole
    once the log is there again. Any thread may write; `open_again` alone may wait for the log.
    """

    def __init__(self, reply_log: ReplyLog, reply_id: UUID, lost: Callable[[], None]) -> None:
        self._log = reply_log
        self._reply_id = reply_id
        self._lost = lost
        self._lock = threading.RLock()
        self._is_open = False
        self._opened_at = 0.0
        self._epoch = 0
        self._started: dict[str, object] = {}
        self.next_seq = 0
        self.text = ""
        """What was said so far; the log has all of it, or will."""

    def begin(self, *, epoch: int, first_seq: int, started: dict[str, object]) -> None:
        """Take the log over and say that an attempt has begun."""
        self._epoch = epoch
        self._started = started
        self.next_seq = first_seq
        self._open()

    def say(self, text: str) -> None:
        """Add what `text` has more than was said so far."""
        with self._lock:
            before, self.text = len(self.text), text
            self.add("reply.delta", {"text": text[before:]})

    def restart(self) -> None:
        """Begin anew: what was said so far was not said."""
        with self._lock:
            self.text = ""
            self.add("reply.started", self._started)

    def add(self, event: str, data: dict[str, object]) -> None:
        """Add an event; raises LeaseLost when the log has a newer owner."""
        with self._lock:
            if not self._is_open:
                return
            try:
                self._write(event, data)
            except LogLost as lost:
                log.warning("reply %s: %s", self._reply_id, lost)
                self._is_open = False

    def open_again(self, now: float) -> None:
        """Open a log that is away or was lost, from time to time; `now` is on the monotonic clock."""
        if not self._is_open and now >= self._opened_at + _OPEN_AGAIN:
            self._open()

    def _open(self) -> None:
        """Take the log over and tell what it should hold by now."""
        self._opened_at = time.monotonic()
        try:
            next_seq = self._log.open(self._reply_id, epoch=self._epoch, first_seq=self.next_seq)
            with self._lock:
                # Events that were to be added meanwhile were not, but have their part in the text.
                self.next_seq = next_seq
                self._write("reply.started", self._started)
                if self.text:
                    self._write("reply.delta", {"text": self.text})
                self._is_open = True
        except (LogUnavailable, LogLost) as away:
            log.warning("reply %s: goes on without its log: %s", self._reply_id, away)
        except LeaseLost:
            self._lost()

    def _write(self, event: str, data: dict[str, object]) -> None:
        self._log.append(self._reply_id, epoch=self._epoch, entry=LogEntry(self.next_seq, event, data))
        self.next_seq += 1
