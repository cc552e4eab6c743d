"""What use cases remember of what was dear to make: by region, for a while, and never at a request's cost."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from application.ports.caching import Cache, CacheUnavailable, Counts
from application.ports.persistence import Document
from application.ports.runtime import NewId
from application.telemetry import SILENT, Telemetry
from domain.errors import Invalid

log = logging.getLogger(__name__)

T = TypeVar("T")

_LARGEST = 1024 * 1024
"""Bytes of a value; a larger one is not kept."""

_LONGEST_PATTERN = 200

_PATIENCE = 5.0
_LEASE = 60.0
"""Seconds after which what a process was making counts as abandoned; what takes longer is not kept."""

_PAUSES = (0.01, 0.25)
"""Seconds between two looks whether another process is done: at first, and at most."""

_PROBE = "probe"


class Region(StrEnum):
    """Kinds of what is cached, each with a lifetime. What a region's keys have to hold is said in ADR 25."""

    ANSWERS = "answers"
    RETRIEVAL = "retrieval"
    EMBEDDINGS = "embeddings"
    STATISTICS = "statistics"
    ANALYSES = "analyses"


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Seconds for which what is in each region is kept; 0: it is not cached. Source: the seed on caching."""

    answers: float = 3600.0
    retrieval: float = 3600.0
    embeddings: float = 24 * 3600.0
    statistics: float = 900.0
    analyses: float = 3600.0

    def of(self, region: Region) -> float:
        """The region's."""
        seconds: float = getattr(self, region.value)
        return seconds


def key_of(*parts: object) -> str:
    """A key for what depends on all these parts, each of them JSON (or a UUID, or a time), in this order.

    For what shall be forgotten by pattern, put readable text before it: f"{project_id}:{key_of(question)}".
    """
    return hashlib.sha256(_encoded(parts, sort_keys=True)).hexdigest()


@dataclass(slots=True)
class _State:
    """What changes: why nothing is cached at the moment, what was counted, and what is being made in this process."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    outage: str | None = None
    counted: dict[str, Counts] = field(default_factory=dict)
    flights: dict[tuple[Region, str], _Flight] = field(default_factory=dict)


@dataclass(slots=True)
class _Flight:
    """A key that this process is about: one thread makes it, others wait for the lock and take what was `made`."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    threads: int = 0
    made: tuple[Any] | None = None


@dataclass(frozen=True, slots=True)
class Caches:
    """Gets and puts JSON by region and key. UUIDs and times come back as text.

    While the cache is away everything is made anew, and nobody waits for it: requests do not ask again until
    `look`, which is called every second, has found it back.
    """

    cache: Cache
    lifetimes: Lifetimes
    new_id: NewId
    telemetry: Telemetry = SILENT
    _state: _State = field(default_factory=_State, repr=False)

    def get(self, region: Region, key: str) -> Any:
        """What is kept; None when nothing is, which is not to be told from null."""
        found = self._found(region, key) if self.lifetimes.of(region) else None
        return found[0] if found is not None else None

    def put(self, region: Region, key: str, value: object, lifetime: float | None = None) -> None:
        """Keep `value` for the region's lifetime, or for a shorter one of so many seconds.

        Over 1 MiB it is not kept. Raises TypeError for what is not JSON.
        """
        self._put(region, key, _encoded(value), self._seconds(region, lifetime))

    def remembered(
        self,
        region: Region,
        key: str,
        compute: Callable[[], T],
        lifetime: float | None = None,
        *,
        patience: float = _PATIENCE,
    ) -> T:
        """What is kept, or else what `compute` makes, which is kept then; always as JSON gives it back.

        Of many that ask at once, in all processes, one makes it and the others wait, at most `patience` seconds:
        whoever has waited for so long makes it too. What `compute` raises is its caller's alone; another one tries.
        """
        seconds = self._seconds(region, lifetime)
        if not seconds or self._state.outage is not None:
            anew: T = _decoded(_encoded(compute()))
            return anew
        found: tuple[T] | None = self._found(region, key)
        if found is None:
            deadline = time.monotonic() + patience
            with self._alone(region, key, patience) as flight:
                if flight.made is None:
                    flight.made = self._made(region, key, compute, seconds, deadline)
                found = flight.made
        return found[0]

    def claim(self, region: Region, key: str, holder: str, seconds: float) -> str:
        """Who is making what belongs there: `holder`, for so many seconds from now on, unless another one is already.

        For what takes too long to have others wait in `remembered`. The holder gives the key up by `fulfil` or
        `release`. While the cache is away, and where it is off, everybody makes their own.
        """
        if not self.lifetimes.of(region):
            return holder
        return self._asked(lambda: self.cache.claim(region, key, holder, seconds)) or holder

    def fulfil(self, region: Region, key: str, holder: str, value: object, lifetime: float | None = None) -> None:
        """Keep what the holder of a key has made, unless the claim no longer stands; see `put`."""
        self._let_go(region, key, holder, _encoded(value), self._seconds(region, lifetime))

    def release(self, region: Region, key: str, holder: str) -> None:
        """Give a key up without a value: let another one make it."""
        self._let_go(region, key, holder, None, 0.0)

    def clear(self, region: Region | None = None, pattern: str | None = None) -> int:
        """Forget a region, or all, or of it the keys that match a pattern (`*` any text, `?` one character): how many.

        Raises Invalid, or CacheUnavailable.
        """
        if pattern is not None:
            _require_pattern(pattern)
        return self.cache.forget(region, pattern)

    def report(self) -> Document:
        """What is cached, by region, and how often it was found; null where that is not known."""
        self._probe()
        holding = self._asked(self.cache.holding)
        regions: dict[str, Document] = {}
        for region in Region:
            counts = holding.counts.get(region, Counts()) if holding is not None else None
            asked = counts.hits + counts.misses if counts is not None else 0
            regions[region.value] = {
                "entries": holding.entries.get(region, 0) if holding is not None else None,
                "hits": counts.hits if counts is not None else None,
                "misses": counts.misses if counts is not None else None,
                "hit_rate": round(counts.hits / asked, 4) if counts is not None and asked else None,
                "lifetime": self.lifetimes.of(region),
            }
        return {
            "regions": regions,
            "bytes": holding.size if holding is not None else None,
            "backend": self.cache.backend,
            "available": holding is not None,
        }

    def look(self) -> None:
        """Tell the cache what was counted here; after an outage, see whether it is back."""
        if self._state.outage is not None:
            self._probe()
        else:
            self._tell_counts()

    def check(self) -> str:
        """One line for whoever asks about this part; raises CacheUnavailable while nothing is cached."""
        self._probe()
        if self._state.outage is not None:
            raise CacheUnavailable(f"Nothing is cached, everything is made anew. {self._state.outage}")
        return f"cached in {self.cache.backend}"

    def _seconds(self, region: Region, lifetime: float | None) -> float:
        longest = self.lifetimes.of(region)
        return longest if lifetime is None else max(0.0, min(lifetime, longest))

    def _found(self, region: Region, key: str) -> tuple[Any] | None:
        """What is kept, in a tuple because it may be null; counts whether it was."""
        found = self._looked_up(region, key)
        if self._state.outage is None:
            self._count(region, Counts(hits=1) if found is not None else Counts(misses=1))
            result = "hit" if found is not None else "miss"
            self.telemetry.metrics.count("cache_lookups_total", region=region.value, result=result)
        return found

    def _looked_up(self, region: Region, key: str) -> tuple[Any] | None:
        value = self._asked(lambda: self.cache.get(region, key))
        try:
            return (_decoded(value),) if value is not None else None
        except ValueError:  # Nobody here has put that.
            return None

    def _put(self, region: Region, key: str, value: bytes, seconds: float) -> None:
        if seconds and len(value) <= _LARGEST:
            self._asked(lambda: self.cache.put(region, key, value, seconds))

    def _made(self, region: Region, key: str, compute: Callable[[], T], seconds: float, deadline: float) -> tuple[T]:
        """Make it under a claim; while another process has one, wait for what that makes."""
        holder = str(self.new_id())
        pause, longest = _PAUSES
        while self.claim(region, key, holder, _LEASE) != holder:
            if time.monotonic() >= deadline:
                value = _encoded(compute())
                self._put(region, key, value, seconds)
                return (_decoded(value),)
            time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
            pause = min(2 * pause, longest)
            if (found := self._looked_up(region, key)) is not None:
                return found
        made: bytes | None = None
        try:
            if (found := self._looked_up(region, key)) is not None:  # It has come between our look and our claim.
                return found
            made = _encoded(compute())
            return (_decoded(made),)
        finally:
            self._let_go(region, key, holder, made, seconds)

    def _let_go(self, region: Region, key: str, holder: str, made: bytes | None, seconds: float) -> None:
        if made is None or len(made) > _LARGEST or not seconds:
            self._asked(lambda: self.cache.release(region, key, holder))
        else:
            self._asked(lambda: self.cache.fulfil(region, key, holder, made, seconds))

    @contextmanager
    def _alone(self, region: Region, key: str, patience: float) -> Iterator[_Flight]:
        """Keep this process's other threads from making the same, for a while; they are handed what this one makes."""
        with self._state.lock:
            flight = self._state.flights.setdefault((region, key), _Flight())
            flight.threads += 1
        is_alone = flight.lock.acquire(timeout=max(0.0, patience))
        try:
            yield flight
        finally:
            if is_alone:
                flight.lock.release()
            with self._state.lock:
                flight.threads -= 1
                if not flight.threads:
                    del self._state.flights[region, key]

    def _asked(self, call: Callable[[], T]) -> T | None:
        """The cache's answer; None while it is away."""
        if self._state.outage is not None:
            return None
        try:
            return call()
        except CacheUnavailable as away:
            self._fail_open(away)
            return None

    def _count(self, region: Region, counts: Counts) -> None:
        with self._state.lock:
            before = self._state.counted.get(region, Counts())
            self._state.counted[region] = Counts(before.hits + counts.hits, before.misses + counts.misses)

    def _tell_counts(self) -> None:
        if not self._state.counted:
            return
        with self._state.lock:
            counted, self._state.counted = self._state.counted, {}
        try:
            self.cache.count(counted)
        except CacheUnavailable as away:
            for region, counts in counted.items():
                self._count(Region(region), counts)
            self._fail_open(away)

    def _probe(self) -> None:
        """Find out by writing something: a cache that is full can still be read."""
        try:
            self.cache.claim(_PROBE, _PROBE, _PROBE, 1.0)
        except CacheUnavailable as away:
            self._fail_open(away)
            return
        with self._state.lock:
            if self._state.outage is not None:
                log.info("things are cached again")
            self._state.outage = None
        self._tell_counts()

    def _fail_open(self, away: CacheUnavailable) -> None:
        with self._state.lock:
            if self._state.outage is None:
                log.warning("nothing is cached, everything is made anew: %s", away.message)
            self._state.outage = away.message


def _require_pattern(pattern: str) -> None:
    if not 1 <= len(pattern) <= _LONGEST_PATTERN:
        raise Invalid({"pattern": f"Must be 1 to {_LONGEST_PATTERN} characters long."})
    if not pattern.isprintable():
        raise Invalid({"pattern": "Must hold printable characters only."})


def _encoded(value: object, *, sort_keys: bool = False) -> bytes:
    text = json.dumps(value, default=_plain, ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys)
    return text.encode(errors="surrogatepass")


def _decoded(value: bytes) -> Any:
    return json.loads(value.decode(errors="surrogatepass"))


def _plain(value: object) -> str:
    """As the API writes them, so that nobody sees whether something was cached."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
