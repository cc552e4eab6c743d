"""Reply logs in Redis, read by any process while another one writes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from adapters.redis.log_writer import LogWriter
from adapters.redis.server import RedisServer
from adapters.redis.stream import FENCED, OPEN, decoded, events, key_of
from adapters.redis.subscriptions import Channel
from adapters.redis.wire import packed
from application.ports.runtime import LogEntry, LogUnavailable
from domain.errors import LeaseLost

_UNENDED = 24 * 3600
"""Seconds that a log lives from its opening, when its end never comes."""

_TAIL = 100
"""How many of a log's last events are kept at hand for those who watch it; twice as many at most."""

_PATIENCE = 3.0
"""Seconds that beginning to watch may take."""


class RedisReplyLog:
    """See application.ports.runtime.ReplyLog, and adapters.redis.stream for what is in Redis.

    Ended logs live on for `keep` seconds. Appended events leave within `linger` seconds, and wait in
    memory while Redis is away, up to `backlog` bytes of them.
    """

    def __init__(
        self, server: RedisServer, *, keep: float = 3600.0, backlog: int = 64 * 2**20, linger: float = 0.005
    ) -> None:
        self._server = server
        self._script = server.client.register_script(OPEN)
        self._writer = LogWriter(server.wire, server.prefix, keep=keep, backlog=backlog, linger=linger)
        self._lock = threading.Lock()
        self._mirrors: dict[UUID, _Mirror] = {}
        self._woken = threading.Event()

    def open(self, reply_id: UUID, *, epoch: int, first_seq: int) -> int:
        with self._server.reaching(LogUnavailable):
            opened: Any = self._script(keys=[self._key(reply_id)], args=[epoch, first_seq, _UNENDED * 1000])
        if opened == FENCED:
            raise LeaseLost(reply_id, epoch)
        next_seq, top = opened
        self._writer.begin(reply_id, epoch, top)
        mirror = self._mirrors.get(reply_id)
        if mirror is not None:
            mirror.due = next_seq - 1
        return int(next_seq)

    def append(self, reply_id: UUID, *, epoch: int, entry: LogEntry) -> None:
        self._writer.append(reply_id, epoch, entry)

    @contextmanager
    def watching(self, reply_id: UUID) -> Iterator[None]:
        with self._lock:
            mirror = self._mirrors.get(reply_id)
            if mirror is None:
                mirror = self._mirrors[reply_id] = _Mirror(self._key(reply_id))
                self._server.subscriptions.add(mirror)
            mirror.watchers += 1
        try:
            mirror.settled.wait(_PATIENCE)
            if not mirror.is_true:
                raise LogUnavailable(f"Redis at {self._server.name} does not answer.")
            yield
        finally:
            with self._lock:
                mirror.watchers -= 1
                if not mirror.watchers:
                    del self._mirrors[reply_id]
                    self._server.subscriptions.remove(mirror)

    def read(self, reply_id: UUID, *, after: int) -> Sequence[LogEntry]:
        mirror = self._mirrors.get(reply_id)
        if mirror is not None and mirror.reaches(after):
            return mirror.above(after)
        with self._server.reaching(LogUnavailable):
            found: Any = self._server.client.xrange(self._key(reply_id))
        # Where the log is gone, its watchers still get what is known of it: the end may be there.
        return events(found, after) or (mirror.above(after) if mirror is not None else ())

    def wait(self, reply_id: UUID, *, after: int, timeout: float) -> None:
        mirror = self._mirrors.get(reply_id)
        if mirror is None:
            self._woken.wait(timeout)
            return
        changed = mirror.changed  # looked up first: what changes after this sets it
        if mirror.last_seq <= after:
            changed.wait(timeout)

    def wake_all(self) -> None:
        woken, self._woken = self._woken, threading.Event()
        woken.set()
        with self._lock:
            mirrors = list(self._mirrors.values())
        for mirror in mirrors:
            mirror.wake()

    def flush(self, timeout: float) -> bool:
        return self._writer.flush(timeout)

    def trim(self) -> None:
        """Redis forgets by itself."""

    def ping(self) -> str:
        """One line on the server; raises Unavailable."""
        return self._server.ping()

    def close(self) -> None:
        """End the thread that sends; what could not be sent is lost."""
        self._writer.close()

    def _key(self, reply_id: UUID) -> bytes:
        return key_of(self._server.prefix, reply_id)


class _Mirror(Channel):
    """The last events of a log that is being watched here, shared by all its watchers.

    One thread changes it and others read it without a lock: the list only grows, or is replaced by another.
    """

    def __init__(self, key: bytes) -> None:
        super().__init__(key)
        self.question = packed(b"XREVRANGE", key, b"+", b"-", b"COUNT", b"%d" % _TAIL)
        self.watchers = 0
        self.changed = threading.Event()  # replaced with each change
        self.settled = threading.Event()  # whether the log can be followed is known
        self.is_true = False  # what is in Redis is here too, above the floor, or about to be heard
        self.due = -1  # the number of an event that is known to be there, heard or not
        self._held: tuple[int, list[LogEntry]] = (-1, [])  # all events above that floor

    @property
    def last_seq(self) -> int:
        """The number of the last event at hand, or -1."""
        _, tail = self._held
        return tail[-1].seq if tail else -1

    def reaches(self, after: int) -> bool:
        """Whether there is no need to ask Redis for what comes after that number."""
        floor, tail = self._held
        last = tail[-1].seq if tail else -1
        return after >= floor and last >= self.due and (self.is_true or last > after)

    def above(self, after: int) -> Sequence[LogEntry]:
        """The events at hand numbered above `after`."""
        _, tail = self._held
        begin = len(tail)
        while begin and tail[begin - 1].seq > after:
            begin -= 1
        return tail[begin:]

    def answered(self, answer: Any) -> None:
        found = events(answer[::-1])
        if found:
            self._held = (found[0].seq - 1 if len(answer) == _TAIL else -1, found)
        self.is_true = True
        self.settled.set()
        self.wake()

    def heard(self, payload: bytes) -> None:
        if not self.is_true:
            return  # The answer that is to come holds it.
        entry = decoded(payload)
        floor, tail = self._held
        if tail and entry.seq <= tail[-1].seq:
            return
        if len(tail) == 2 * _TAIL:
            floor, tail = tail[_TAIL - 1].seq, tail[_TAIL:]
            self._held = (floor, tail)
        tail.append(entry)
        self.wake()

    def cut(self) -> None:
        self.is_true = False
        self.settled.clear()

    def away(self) -> None:
        self.settled.set()

    def wake(self) -> None:
        """Let everybody who waits look again."""
        changed, self.changed = self.changed, threading.Event()
        changed.set()
