"""A cache that can be taken away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from adapters.in_process.cache import InProcessCache
from application.ports.caching import Cache, CacheUnavailable, Counts, Holding

T = TypeVar("T")


class BreakableCache:
    """Keeps as `keeping` does, unless `is_away`; `asked` tells how often anybody has tried."""

    backend = "memory"

    def __init__(self, keeping: Cache | None = None) -> None:
        self.is_away = False
        self.asked = 0
        self._goes_at: int | None = None
        self._keeping = keeping or InProcessCache(1024 * 1024)

    def away_after(self, calls: int) -> None:
        """It answers so many more calls, then it is away."""
        self._goes_at = self.asked + calls

    def get(self, region: str, key: str) -> bytes | None:
        return self._reached(lambda: self._keeping.get(region, key))

    def put(self, region: str, key: str, value: bytes, seconds: float) -> None:
        self._reached(lambda: self._keeping.put(region, key, value, seconds))

    def claim(self, region: str, key: str, holder: str, seconds: float) -> str:
        return self._reached(lambda: self._keeping.claim(region, key, holder, seconds))

    def fulfil(self, region: str, key: str, holder: str, value: bytes, seconds: float) -> bool:
        return self._reached(lambda: self._keeping.fulfil(region, key, holder, value, seconds))

    def release(self, region: str, key: str, holder: str) -> None:
        self._reached(lambda: self._keeping.release(region, key, holder))

    def forget(self, region: str | None = None, pattern: str | None = None) -> int:
        return self._reached(lambda: self._keeping.forget(region, pattern))

    def count(self, counts: Mapping[str, Counts]) -> None:
        self._reached(lambda: self._keeping.count(counts))

    def holding(self) -> Holding:
        return self._reached(lambda: self._keeping.holding())

    def _reached(self, call: Callable[[], T]) -> T:
        if self.asked == self._goes_at:
            self.is_away = True
        self.asked += 1
        if self.is_away:
            raise CacheUnavailable("It is away.")
        return call()
