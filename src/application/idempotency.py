"""Requests that take effect once, however often a client sends them (IETF draft, The Idempotency-Key HTTP Header)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from application.ports.persistence import Document, IdempotencyKeys, Once
from application.ports.runtime import Now

log = logging.getLogger(__name__)

_AT_WORK = timedelta(seconds=60)
"""How long a request may take until another attempt may do it, should its process have ended."""

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Idempotency:
    """Lets one attempt at a request through, and answers all others as that one was answered.

    The answer is kept in the write's own transaction (`UnitOfWork.answers`), for `lifetime` from the first attempt.
    """

    keys: IdempotencyKeys
    now: Now
    lifetime: timedelta

    def __call__(self, once: Once | None, act: Callable[[], Document]) -> tuple[Document, bool]:
        """What `act` answers or, if that was done before, what was answered then; and whether it was.

        What raises was not done, and may be tried again. Raises Invalid for another request with the same key,
        Conflict `idempotency_key_in_use` while another attempt is at work.
        """
        if once is None:
            return act(), False
        now = self.now()
        kept = self.keys.begin(once, until=now + _AT_WORK, expires_at=now + self.lifetime, now=now)
        if kept is not None:
            return kept, True
        try:
            return act(), False
        except BaseException:
            self._abandon(once)
            raise

    def forget_expired(self) -> int:
        """Forget keys whose time is over; how many."""
        forgotten = 0
        while batch := self.keys.forget_expired(self.now(), limit=_BATCH):
            forgotten += batch
        return forgotten

    def _abandon(self, once: Once) -> None:
        try:
            self.keys.abandon(once)
        except Exception as failure:  # What is going wrong already counts for more.
            log.warning("an idempotency key stays taken for a minute: %s", failure)
