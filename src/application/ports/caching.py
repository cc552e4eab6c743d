"""The cache: bytes that can be had otherwise, kept for a while."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from domain.errors import Unavailable


class CacheUnavailable(Unavailable):
    """The cache does not answer, or takes nothing more."""

    slug = "cache_unavailable"


@dataclass(frozen=True, slots=True)
class Counts:
    """How often something was asked for and found, and not found."""

    hits: int = 0
    misses: int = 0


@dataclass(frozen=True, slots=True)
class Holding:
    """What a cache holds: entries by region, bytes of all keys and values, and what was counted by region.

    A region of which nothing is held, or was counted, may be missing.
    """

    entries: Mapping[str, int]
    size: int
    counts: Mapping[str, Counts]


class Cache(Protocol):
    """Bytes by region and key, each for a time. What is over is not found; anything else may be forgotten early.

    A region's name is made of letters, digits, `-` and `_`; a key is any text. Whatever the method, it raises
    CacheUnavailable, and then it may have been done.

    Who is about to make something that is dear can claim its key: others see that, and wait for it.
    """

    @property
    def backend(self) -> str:
        """`memory` of one process, or the server that all share."""
        ...

    def get(self, region: str, key: str) -> bytes | None: ...

    def put(self, region: str, key: str, value: bytes, seconds: float) -> None:
        """Keep `value` for so many seconds (above 0), instead of what was there."""
        ...

    def claim(self, region: str, key: str, holder: str, seconds: float) -> str:
        """Who has the key now: `holder`, for so many seconds from now on, unless another one had it already."""
        ...

    def fulfil(self, region: str, key: str, holder: str, value: bytes, seconds: float) -> bool:
        """Put what was made and give the claim up, in one step; says whether the claim still stood.

        If not, nothing is put: what `forget` has taken in the meantime, or somebody else claims, is not brought back.
        """
        ...

    def release(self, region: str, key: str, holder: str) -> None:
        """Give the claim up without a value; does nothing if it is another's."""
        ...

    def forget(self, region: str | None = None, pattern: str | None = None) -> int:
        """Forget entries, and claims, of a region or all, whose keys match a pattern or all: how many entries.

        See `matching`. What is put at the same moment may stay.
        """
        ...

    def count(self, counts: Mapping[str, Counts]) -> None:
        """Add to what was counted, by region."""
        ...

    def holding(self) -> Holding: ...


def matching(pattern: str) -> Callable[[str], object]:
    """Says by a true answer whether a key fits: `*` is any text, `?` any one character, all else is itself."""
    return re.compile(fnmatch.translate(pattern.replace("[", "[[]"))).match
