"""Keep replies moving when a process or a wake-up is lost: sweep the queued, reap the abandoned."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from application.ports.persistence import LiveReplies, StorageUnavailable
from application.ports.runtime import Now, Queue
from application.replies.ending import ReplyEnding
from domain.errors import LeaseLost
from domain.replies import LEASE, Reply, ReplyStatus

log = logging.getLogger(__name__)

_BATCH = 500


@dataclass(frozen=True, slots=True)
class SweepReplies:
    """Dispatches replies that have waited so long that their first dispatch must have been lost.

    Dispatching one that a worker is about to claim is harmless: only one claim succeeds.
    """

    live: LiveReplies
    queue: Queue
    now: Now
    after: timedelta = timedelta(seconds=2)

    def __call__(self) -> int:
        """How many were dispatched."""
        waiting = self.live.queued(before=self.now() - self.after, limit=_BATCH)
        return self.queue.dispatch_again(waiting) if waiting else 0


@dataclass(slots=True)
class _Rest:
    """Until when nothing is reaped."""

    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReapReplies:
    """Takes over running replies whose lease is over; those that can be tried again are queued anew.

    What this very process is writing is left alone: a process that was stopped for a while, or
    whose clock was set, is not dead. After an outage of the database nobody could renew a lease,
    so everybody has the time of one to do it.
    """

    live: LiveReplies
    ending: ReplyEnding
    writes: Callable[[UUID], bool]
    now: Now
    _rest: _Rest = field(default_factory=_Rest, repr=False)

    def __call__(self, *, orphans: bool = False) -> list[tuple[UUID, ReplyStatus]]:
        """What was reaped, with its new status.

        With `orphans` the leases are not waited for: only for a process that knows that no other
        one can own a reply.
        """
        abandoned = _is_running if orphans else _is_expired
        try:
            candidates = self.live.running(expired_at=None if orphans else self.now(), limit=_BATCH)
        except StorageUnavailable:
            self._rest.until = self.now() + LEASE
            raise
        if not orphans and self._rest.until is not None and self.now() < self._rest.until:
            return []
        reaped = []
        for reply_id in candidates:
            status = None if self.writes(reply_id) else self._take_over(reply_id, abandoned)
            if status is not None:
                reaped.append((reply_id, status))
        return reaped

    def _take_over(self, reply_id: UUID, abandoned: Callable[[Reply, datetime], bool]) -> ReplyStatus | None:
        try:
            return self.ending.take_over(reply_id, if_=abandoned)
        except LeaseLost:
            return None
        except Exception:
            log.exception("reply %s could not be reaped and will be tried again", reply_id)
            return None


def _is_running(reply: Reply, now: datetime) -> bool:
    return reply.status is ReplyStatus.RUNNING


def _is_expired(reply: Reply, now: datetime) -> bool:
    return reply.status is ReplyStatus.RUNNING and reply.lease_until is not None and reply.lease_until <= now
