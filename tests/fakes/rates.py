"""A rate limiter that can be taken away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from adapters.in_process.rates import InProcessRateLimiter
from application.ports.runtime import Quota, RateLimiter, RateLimiterUnavailable
from domain.rate_limits import Rate


class BreakableRateLimiter:
    """Counts as `counting` does, unless `is_away`; `asked` tells how often anybody has tried."""

    def __init__(self, counting: RateLimiter | None = None) -> None:
        self.is_away = False
        self.asked = 0
        self._counting = counting or InProcessRateLimiter()

    def spend(self, spend_id: UUID, rates: Mapping[str, Rate]) -> Mapping[str, Quota]:
        self._reach()
        return self._counting.spend(spend_id, rates)

    def refund(self, spend_id: UUID, keys: Iterable[str]) -> None:
        self._reach()
        self._counting.refund(spend_id, keys)

    def _reach(self) -> None:
        self.asked += 1
        if self.is_away:
            raise RateLimiterUnavailable("It is away.")
