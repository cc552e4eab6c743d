"""Appends to the logs of this process's replies, many in one round trip."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from uuid import UUID

import hiredis

from adapters.redis.stream import APPEND, FENCED, LOST, encoded, id_of, key_of
from adapters.redis.wire import BROKEN, Wire, packed, pause
from application.ports.runtime import LogEntry, LogLost
from domain.errors import LeaseLost

log = logging.getLogger(__name__)

_APPEND = APPEND.encode()
_APPEND_SHA = hashlib.sha1(_APPEND, usedforsecurity=False).hexdigest().encode()
_BATCH = 1000
_KNOWN = 10_000
"""How many logs are remembered at most: those of owners that went without a word are never ended."""


class LogWriter:
    """Sends what owners append, in order, in a thread that begins with the first append.

    A first event leaves at once; those that come within `linger` seconds after it leave together. While
    Redis is away they wait, up to `backlog` bytes of them: beyond that, the log that waits longest is given up.
    """

    def __init__(self, connect: Callable[[], Wire], prefix: str, *, keep: float, backlog: int, linger: float) -> None:
        self._connect = connect
        self._prefix = prefix
        self._keep = b"%d" % round(keep * 1000)
        self._backlog = backlog
        self._linger = linger
        self._lock = threading.Lock()
        self._logs: dict[UUID, _Log] = {}
        self._due: dict[_Log, None] = {}  # those with something to send, the longest first
        self._size = 0
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, reply_id: UUID, epoch: int, top: bytes) -> None:
        """The log was opened, and `top` is the id of its last entry: forget what was before."""
        with self._lock:
            self._begin(reply_id, epoch, top)

    def append(self, reply_id: UUID, epoch: int, entry: LogEntry) -> None:
        """Send an event soon. Raises LeaseLost or LogLost when an answer to an earlier one has said so."""
        payload = encoded(entry)
        with self._lock:
            target = self._logs.get(reply_id)
            if target is None or target.epoch < epoch:
                target = self._begin(reply_id, epoch, b"")
            if target.epoch > epoch or target.is_fenced:
                raise LeaseLost(reply_id, epoch)
            if target.is_lost and not entry.is_terminal:
                raise LogLost(f"the log of reply {reply_id} has lost its end")
            id_ = id_of(epoch, entry.seq)
            keep = self._keep if entry.is_terminal else b""
            command = packed(b"EVALSHA", _APPEND_SHA, b"1", target.key, target.top, id_, payload, keep)
            target.top = id_
            target.is_ended = entry.is_terminal
            target.unsent.append(command)
            self._due[target] = None
            self._size += len(command)
            while self._size > self._backlog:
                self._give_up(next(iter(self._due)))
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
                self._thread.start()
        if not self._wake.is_set():
            self._wake.set()

    def flush(self, timeout: float) -> bool:
        """Wait until everything is sent, at most so many seconds; says whether it is."""
        deadline = time.monotonic() + timeout
        while self._due:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.005)
        return True

    def close(self) -> None:
        """End the thread; what is unsent stays so."""
        with self._lock:
            self._closed.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _begin(self, reply_id: UUID, epoch: int, top: bytes) -> _Log:
        before = self._logs.pop(reply_id, None)
        if before is not None:
            self._drop(before, len(before.unsent))
        begun = self._logs[reply_id] = _Log(reply_id, epoch, key_of(self._prefix, reply_id), top)
        if len(self._logs) > _KNOWN:
            self._forget(next(iter(self._logs.values())))
        return begun

    def _forget(self, target: _Log) -> None:
        self._drop(target, len(target.unsent))
        if self._logs.get(target.reply_id) is target:
            del self._logs[target.reply_id]

    def _drop(self, target: _Log, count: int) -> None:
        """Take the first entries off what is to be sent."""
        for _ in range(count):
            self._size -= len(target.unsent.popleft())
        if not target.unsent:
            self._due.pop(target, None)

    def _give_up(self, target: _Log) -> None:
        log.warning("reply %s: its log is given up, Redis has been away for too long", target.reply_id)
        if target.is_ended:
            self._forget(target)  # Its end is in the database.
        else:
            self._lose(target)

    def _lose(self, target: _Log) -> None:
        """Drop all but a terminal event, which stands for the others."""
        target.is_lost = True
        self._drop(target, len(target.unsent) - target.is_ended)

    def _run(self) -> None:
        wire: Wire | None = None
        failures = 0
        while not self._closed.is_set():
            with self._lock:
                batch = list(islice(((target, command) for target in self._due for command in target.unsent), _BATCH))
            if not batch:
                self._wake.wait()
                self._wake.clear()
                continue
            try:
                if wire is None:
                    wire = self._connected()
                self._send(wire, batch)
                if failures > 1:
                    log.info("Redis takes events again")
                failures = 0
                self._closed.wait(self._linger)
            except Exception as failure:
                failures += 1
                if not isinstance(failure, BROKEN):
                    log.exception("events cannot be sent to Redis")
                elif failures == 2:
                    log.warning("events wait for Redis: %s", failure)
                if wire is not None:
                    wire.close()
                    wire = None
                self._closed.wait(pause(failures))
        if wire is not None:
            wire.close()

    def _connected(self) -> Wire:
        wire = self._connect()
        wire.send(packed(b"SCRIPT", b"LOAD", _APPEND))
        for answer in wire.receive():
            if isinstance(answer, Exception):
                wire.close()
                raise answer
        return wire

    def _send(self, wire: Wire, batch: list[tuple[_Log, bytes]]) -> None:
        """Send in one go and take the answers; raises one of BROKEN when some of it has to be sent again."""
        wire.send(b"".join([command for _, command in batch]))
        refused: hiredis.ReplyError | None = None
        sent = iter(batch)
        left = len(batch)
        while left:
            answers = wire.receive()
            left -= len(answers)
            with self._lock:
                for answer, (target, command) in zip(answers, sent, strict=False):
                    if isinstance(answer, hiredis.ReplyError):  # no script, no memory, a read-only replica …
                        refused = answer
                    elif target.unsent and target.unsent[0] is command:  # else it was dropped meanwhile
                        self._settle(target, answer)
        if refused is not None:
            raise refused

    def _settle(self, target: _Log, answer: int) -> None:
        """What Redis said to the first unsent entry of a log."""
        if answer == FENCED:
            target.is_fenced = True
            self._drop(target, len(target.unsent))
        elif answer == LOST:
            self._lose(target)
        else:
            self._drop(target, 1)
            if target.is_ended and not target.unsent:
                self._forget(target)


class _Log:
    """What this process has to do with one log."""

    __slots__ = ("epoch", "is_ended", "is_fenced", "is_lost", "key", "reply_id", "top", "unsent")

    def __init__(self, reply_id: UUID, epoch: int, key: bytes, top: bytes) -> None:
        self.reply_id = reply_id
        self.epoch = epoch
        self.key = key
        self.top = top  # the id of the last entry, once all is sent
        self.unsent: deque[bytes] = deque()
        self.is_ended = False
        self.is_fenced = False
        self.is_lost = False
