"""A cache of one process, in its memory."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

from application.ports.caching import Counts, Holding, matching

_OVERHEAD = 300
"""Bytes that an entry takes beside its key and its value, about."""


class _Entry(NamedTuple):
    value: bytes
    until: float
    size: int


class InProcessCache:
    """See application.ports.caching.Cache. What was not asked for the longest goes when `max_bytes` are full.

    `clock` tells seconds, and never goes back.
    """

    backend = "memory"

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._size = 0
        self._claims: dict[tuple[str, str], tuple[str, float]] = {}
        self._counts: dict[str, Counts] = {}

    def get(self, region: str, key: str) -> bytes | None:
        with self._lock:
            entry = self._entries.get((region, key))
            if entry is None:
                return None
            if entry.until <= self._clock():
                self._drop((region, key))
                return None
            self._entries.move_to_end((region, key))
            return entry.value

    def put(self, region: str, key: str, value: bytes, seconds: float) -> None:
        with self._lock:
            self._put((region, key), value, seconds)

    def claim(self, region: str, key: str, holder: str, seconds: float) -> str:
        with self._lock:
            now = self._clock()
            claimed_by, until = self._claims.get((region, key), (holder, now))
            if claimed_by != holder and now < until:
                return claimed_by
            self._claims[region, key] = (holder, now + seconds)
            return holder

    def fulfil(self, region: str, key: str, holder: str, value: bytes, seconds: float) -> bool:
        with self._lock:
            stood = self._let_go((region, key), holder)
            if stood:
                self._put((region, key), value, seconds)
            return stood

    def release(self, region: str, key: str, holder: str) -> None:
        with self._lock:
            self._let_go((region, key), holder)

    def forget(self, region: str | None = None, pattern: str | None = None) -> int:
        fits = matching(pattern) if pattern is not None else lambda key: True
        with self._lock:
            self._drop_what_is_over()
            doomed, claimed = (
                [place for place in places if (region is None or place[0] == region) and fits(place[1])]
                for places in (self._entries, self._claims)
            )
            for place in doomed:
                self._drop(place)
            for place in claimed:
                del self._claims[place]
        return len(doomed)

    def count(self, counts: Mapping[str, Counts]) -> None:
        with self._lock:
            for region, more in counts.items():
                before = self._counts.get(region, Counts())
                self._counts[region] = Counts(before.hits + more.hits, before.misses + more.misses)

    def holding(self) -> Holding:
        with self._lock:
            self._drop_what_is_over()
            return Holding(Counter(region for region, _ in self._entries), self._size, dict(self._counts))

    def entries(self) -> list[tuple[str, bytes]]:
        """The regions and keys, as one text, and the values of all entries."""
        with self._lock:
            self._drop_what_is_over()
            return [(f"{region}:{key}", entry.value) for (region, key), entry in self._entries.items()]

    def _put(self, place: tuple[str, str], value: bytes, seconds: float) -> None:
        if place in self._entries:
            self._drop(place)
        size = len(value) + sum(len(part.encode(errors="surrogatepass")) for part in place) + _OVERHEAD
        if size > self._max_bytes:
            return
        self._entries[place] = _Entry(value, self._clock() + seconds, size)
        self._size += size
        while self._size > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _let_go(self, place: tuple[str, str], holder: str) -> bool:
        """Whether the holder's claim still stood."""
        claimed_by, until = self._claims.get(place, ("", 0.0))
        if claimed_by != holder:
            return False
        del self._claims[place]
        return self._clock() < until

    def _drop(self, place: tuple[str, str]) -> None:
        self._size -= self._entries.pop(place).size

    def _drop_what_is_over(self) -> None:
        now = self._clock()
        for place, entry in list(self._entries.items()):
            if entry.until <= now:
                self._drop(place)
        for place, (_, until) in list(self._claims.items()):
            if until <= now:
                del self._claims[place]
