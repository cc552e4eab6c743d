"""What a running process offers: time, ids, tokens, the reply log, the queue and the signals between processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from domain.identity import Principal

NewId = Callable[[], UUID]
"""Makes UUIDv7 ids (RFC 9562, section 5.7), which sort by the time they were made."""

Now = Callable[[], datetime]
"""The present time, aware, in UTC."""

TERMINAL_EVENTS = frozenset(
    {"reply.completed", "reply.cancelled", "reply.failed", "reply.timed_out", "reply.interrupted"}
)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One event of a reply's log. `data` holds JSON values and does not repeat `seq`."""

    seq: int
    event: str
    data: Mapping[str, Any]

    @property
    def is_terminal(self) -> bool:
        """Whether no event follows."""
        return self.event in TERMINAL_EVENTS


class ReplyLog(Protocol):
    """The append-only log of each reply. Reads are by number; `wait` only wakes.

    One owner writes a log at a time, and numbers its events itself; an owner with an older epoch
    is refused. A log lives for a while after its end (an hour by default), and may be lost before that.
    """

    def open(self, reply_id: UUID, *, epoch: int, first_seq: int) -> int:
        """Take the log over: the number after its last event, or `first_seq` when it has none. Raises LeaseLost."""
        ...

    def append(self, reply_id: UUID, *, epoch: int, entry: LogEntry) -> None:
        """Add an event. Raises LeaseLost when a newer epoch has opened the log."""
        ...

    def read(self, reply_id: UUID, *, after: int) -> Sequence[LogEntry]:
        """The events numbered above `after`, in order; none when there are none yet or the log is gone."""
        ...

    def wait(self, reply_id: UUID, *, after: int, timeout: float) -> None:
        """Return when there may be events above `after`, or after `timeout` seconds."""
        ...

    def trim(self) -> None:
        """Forget logs whose time is over."""
        ...


class ReplyQueue(Protocol):
    """Wakes a worker. The truth of the queue is the replies' own state: losing a call delays, and loses nothing."""

    def dispatch(self, reply_id: UUID) -> None: ...


class Cancellations(Protocol):
    """Tells the process that writes a reply that its end is wanted. The durable request is the reply's own."""

    def announce(self, reply_id: UUID) -> None: ...

    def listen(self, reply_id: UUID, heard: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `heard` (from any thread, at most a few times) on announcements while the context is open."""
        ...


class Tokens(Protocol):
    """Turns tokens into principals and back."""

    def issue(self, principal: Principal, lifetime: timedelta) -> tuple[str, datetime]:
        """A token and when it expires."""
        ...

    def verify(self, token: str) -> Principal:
        """Who the token speaks for. Raises TokenInvalid or TokenExpired."""
        ...
