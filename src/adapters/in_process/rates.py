"""Rates of one process, in its memory."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from uuid import UUID

from application.ports.runtime import Quota
from domain.rate_limits import Rate

_SWEEP = 60.0
"""Seconds after which the keys that nobody has used are looked for."""


class InProcessRateLimiter:
    """See application.ports.runtime.RateLimiter. `clock` tells seconds, and never goes back.

    A key whose window is empty is forgotten, at the latest with the first spend a minute later.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: dict[str, _Key] = {}
        self._sweep_at = clock() + _SWEEP

    def spend(self, spend_id: UUID, rates: Mapping[str, Rate]) -> Mapping[str, Quota]:
        with self._lock:
            now = self._clock()
            self._sweep(now)
            found = {key: self._moved(key, rate, now) for key, rate in rates.items()}
            granted = all(len(found[key].spends) < rate.limit for key, rate in rates.items())
            if granted:
                for key, spends in found.items():
                    spends.spends.append((now, spend_id))
                    self._keys[key] = spends
            return {key: _quota(found[key].spends, rate, now, granted=granted) for key, rate in rates.items()}

    def refund(self, spend_id: UUID, keys: Iterable[str]) -> None:
        with self._lock:
            for key in keys:
                if key in self._keys:
                    spends = self._keys[key].spends
                    self._keys[key].spends = deque(spend for spend in spends if spend[1] != spend_id)

    def forget(self, those: Callable[[str], bool]) -> int:
        """Forget all that was spent by keys: how many keys."""
        with self._lock:
            doomed = [key for key in self._keys if those(key)]
            for key in doomed:
                del self._keys[key]
        return len(doomed)

    @property
    def keys(self) -> list[str]:
        """Those of which something was spent."""
        with self._lock:
            return [key for key, known in self._keys.items() if known.spends]

    @property
    def size(self) -> int:
        """How many keys are in memory."""
        return len(self._keys)

    def _moved(self, key: str, rate: Rate, now: float) -> _Key:
        """The key's spends of the window that ends now."""
        known = self._keys.get(key) or _Key()
        known.window = rate.window
        known.forget(now)
        return known

    def _sweep(self, now: float) -> None:
        if now < self._sweep_at:
            return
        self._sweep_at = now + _SWEEP
        for key, known in list(self._keys.items()):
            known.forget(now)
            if not known.spends:
                del self._keys[key]


class _Key:
    def __init__(self) -> None:
        self.spends: deque[tuple[float, UUID]] = deque()
        self.window = 0

    def forget(self, now: float) -> None:
        """Drop what has left the window."""
        while self.spends and self.spends[0][0] <= now - self.window:
            self.spends.popleft()


def _quota(spends: deque[tuple[float, UUID]], rate: Rate, now: float, *, granted: bool) -> Quota:
    over = max(len(spends) - rate.limit, 0)  # Above 0 when the limit was higher before.
    resets_in = rate.window - (now - spends[over][0]) if spends else 0.0
    has_room = granted or len(spends) < rate.limit
    return Quota(has_room, max(rate.limit - len(spends), 0), resets_in)
