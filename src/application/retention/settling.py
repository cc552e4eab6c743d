"""Every other store follows what was purged from the database, at once or as soon as it answers."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from application.ports.retention import Copies, Purge, Purges
from application.ports.runtime import Now, OwnerLock
from domain.errors import Unavailable

log = logging.getLogger(__name__)

_BATCH = 100

_OVERLAP = timedelta(minutes=10)
"""Longer than any transaction lasts: a purge may be seen that much later than its time."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What the stores have forgotten, by store and kind, and why some have not followed yet."""

    forgotten: dict[str, Counter[str]] = field(default_factory=dict)
    away: dict[str, str] = field(default_factory=dict)

    def add(self, other: Settled) -> None:
        """Count another round to this one."""
        for store, tally in other.forgotten.items():
            self.forgotten.setdefault(store, Counter()).update(tally)
        self.away.update(other.away)


@dataclass(frozen=True, slots=True)
class SettlePurges:
    """Has the stores that all processes share forget what was purged; what fails is left for a later round."""

    purges: Purges
    stores: Sequence[Copies]
    now: Now

    def __call__(self) -> Settled:
        """Go through all that is not settled; raises StorageUnavailable when the database is away."""
        settled = Settled()
        after = 0
        while batch := self.purges.unsettled(after=after, limit=_BATCH):
            after = batch[-1].number
            gone = [self._still_gone(purge) for purge in batch]
            followed = [self._forgets(store, gone, settled) for store in self.stores]
            if all(followed):
                self.purges.settle([purge.number for purge in batch], self.now())
        return settled

    def _still_gone(self, purge: Purge) -> Purge:
        """Without what was imported again in the meantime."""
        ids = {}
        for kind, those in purge.ids.items():
            back = self.purges.present(kind, those)
            ids[kind] = [id_ for id_ in those if id_ not in back] if back else those
        return replace(purge, ids=ids)

    def _forgets(self, store: Copies, batch: Sequence[Purge], settled: Settled) -> bool:
        if store.name in settled.away:
            return False
        try:
            settled.forgotten.setdefault(store.name, Counter()).update(store.forget(batch))
        except Unavailable as away:
            log.warning("%s has not forgotten %d purges yet: %s", store.name, len(batch), away.message)
            settled.away[store.name] = away.message
            return False
        return True


@dataclass(slots=True)
class _Heard:
    numbers: dict[int, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HearPurges:
    """Has the stores of this one process forget what any process has purged; to be called every second."""

    purges: Purges
    stores: Sequence[Copies]
    now: Now
    _heard: _Heard = field(default_factory=_Heard, repr=False)

    def __call__(self) -> None:
        """Raises StorageUnavailable, or Unavailable for what has to be tried again."""
        start = self.now() - _OVERLAP
        numbers = self._heard.numbers
        for number in [number for number, at in numbers.items() if at < start]:
            del numbers[number]
        news = self.purges.since(start, numbers.keys())
        if news:
            for store in self.stores:
                store.forget(news)
            numbers.update((purge.number, purge.at) for purge in news)


@dataclass(frozen=True, slots=True)
class SettleAbandoned:
    """Goes on with what whoever purged has not come to: a store was away, or the process was killed."""

    settle: SettlePurges
    lock: Callable[[], OwnerLock]
    """Held by whoever is at work on purges, which may take a while."""
    patience: timedelta = timedelta(minutes=1)

    def __call__(self) -> None:
        """Raises StorageUnavailable."""
        waiting = self.settle.purges.unsettled(after=0, limit=1)
        if not waiting or waiting[0].at > self.settle.now() - self.patience:
            return
        lock = self.lock()
        try:
            if lock.acquire(0):
                self.settle()
        finally:
            lock.release()
