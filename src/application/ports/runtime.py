"""What a running process offers: time, ids, tokens, the reply log, the queue and the signals between processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from domain.errors import Unavailable
from domain.identity import Principal
from domain.rate_limits import Rate

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


class Misconfigured(Unavailable):
    """A part refuses what the settings say (a password, a name, its age): waiting will not help."""

    slug = "misconfigured"


class LogUnavailable(Unavailable):
    """Where the logs are kept does not answer."""

    slug = "reply_log_unavailable"


class LogLost(Exception):
    """A log has lost what its owner had written (its store was flushed, or restarted empty).

    The owner opens it again and tells everything from `reply.started` on anew, under new numbers.
    """


class ReplyLog(Protocol):
    """The append-only log of each reply. Reads are by number; `wait` only wakes.

    One owner writes a log at a time, and numbers its events itself; an owner with an older epoch
    is refused. A log lives for a while after its end (an hour by default), and may be lost before that.
    """

    def open(self, reply_id: UUID, *, epoch: int, first_seq: int) -> int:
        """Take the log over: the number after its last event, or `first_seq` when it has none.

        Raises LeaseLost, or LogUnavailable.
        """
        ...

    def append(self, reply_id: UUID, *, epoch: int, entry: LogEntry) -> None:
        """Add an event, now or as soon as the store answers; a store that is away makes nobody wait.

        Raises LeaseLost when a newer epoch has opened the log, and LogLost, but never for a terminal
        event, which stands for all before it. Both may be told with the next call instead of this one.
        """
        ...

    def watching(self, reply_id: UUID) -> AbstractContextManager[None]:
        """Keep what `wait` needs while the context is open; raises LogUnavailable."""
        ...

    def read(self, reply_id: UUID, *, after: int) -> Sequence[LogEntry]:
        """The events numbered above `after`, in order; none when there are none yet or the log is gone.

        Raises LogUnavailable.
        """
        ...

    def wait(self, reply_id: UUID, *, after: int, timeout: float) -> None:
        """Return when there may be events above `after`, or after `timeout` seconds. Call it while watching."""
        ...

    def wake_all(self) -> None:
        """End every wait, so that watchers see that this process is about to stop."""
        ...

    def flush(self, timeout: float) -> bool:
        """Wait until everything that was appended is in the store; says whether that is so."""
        ...

    def trim(self) -> None:
        """Forget logs whose time is over."""
        ...


class Queue(Protocol):
    """Wakes a worker, which knows what to do by an id: that of a reply, or that of a job.

    The truth of the queue is their own state: losing a call delays, and loses nothing. So no call fails or waits
    because the queue is away.
    """

    def dispatch(self, task_id: UUID) -> None: ...

    def dispatch_again(self, task_ids: Sequence[UUID]) -> int:
        """Dispatch those of which the queue knows nothing (any more); how many these were."""
        ...


class OwnerLock(Protocol):
    """Held by the one process that writes replies, where only one may; freed however that process ends."""

    @property
    def is_certain(self) -> bool:
        """Whether it cannot be lost while its holder lives: what another process was writing is then abandoned."""
        ...

    def acquire(self, timeout: float) -> bool:
        """Wait for the lock, without stalling the greenlets of this process; says whether it is held now."""
        ...

    def keep(self) -> None:
        """See that it is still held, and take it again if it was lost; raises Conflict when another process has it."""
        ...

    def release(self) -> None:
        """Let another process have it."""
        ...


class Signals(Protocol):
    """Tells every process that something has happened to the thing of an id, such as that a reply shall stop.

    A signal may be lost: what it tells is also kept where it can be looked up.
    """

    def announce(self, subject: UUID) -> None: ...

    def listen(self, subject: UUID, heard: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `heard` (from any thread, at most a few times) on announcements while the context is open."""
        ...


MISSED: Mapping[str, Any] = {"missed": True}
"""What subscribers hear when notes to them may have been lost, and no more are from now on."""


class Topics(Protocol):
    """Brings notes to everybody who has subscribed to the topic of an id, in any process; the publisher's too.

    For what matters at this moment: a note may be lost, and is not kept; then MISSED is heard as soon as that is over.
    Nobody waits for the server, or fails because it is away.
    """

    def publish(self, topic: UUID, note: Mapping[str, Any]) -> None:
        """Tell every subscriber, each exactly once unless the note is lost. `note` holds JSON values, and few."""
        ...

    def subscribe(self, topic: UUID, heard: Callable[[Mapping[str, Any]], None]) -> AbstractContextManager[None]:
        """Call `heard` with each note while the context is open, from any thread; it must return at once.

        Its exceptions are logged. What is published elsewhere reaches it once the server knows of the subscription.
        """
        ...


class RateLimiterUnavailable(Unavailable):
    """Where spends are counted does not answer."""

    slug = "rate_limiter_unavailable"


@dataclass(frozen=True, slots=True)
class Quota:
    """What a key has left of its rate: whether there was room, how many more, and in how many seconds there are more.

    Where there was no room, `resets_in` is the time until there is.
    """

    granted: bool
    remaining: int
    resets_in: float


class RateLimiter(Protocol):
    """Counts spends by key, in a moving window: in no window of a rate more than its limit are granted, ever.

    All processes of an installation share what is counted.
    """

    def spend(self, spend_id: UUID, rates: Mapping[str, Rate]) -> Mapping[str, Quota]:
        """Spend one of each key's rate, in one step: where one has no room, none is spent.

        Raises RateLimiterUnavailable; then it may have been spent.
        """
        ...

    def refund(self, spend_id: UUID, keys: Iterable[str]) -> None:
        """Forget what was spent under that id, as if it had never been; raises RateLimiterUnavailable."""
        ...


class KeysUnavailable(Unavailable):
    """The key that a token may be signed with cannot be asked for: nothing is known about the token."""

    slug = "keys_unavailable"


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """Who a good token speaks for, and until when."""

    principal: Principal
    expires_at: datetime


class Tokens(Protocol):
    """Turns tokens into principals and back."""

    def issue(self, principal: Principal, lifetime: timedelta) -> tuple[str, datetime]:
        """A token and when it expires."""
        ...

    def verify(self, token: str) -> VerifiedToken:
        """Who the token speaks for. Raises TokenInvalid, TokenExpired or KeysUnavailable."""
        ...
