"""Prove that nothing is left of what was purged, in any store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from application.ports.retention import Purge, Purges, Remnant, Store
from application.ports.runtime import Now
from domain.errors import Unavailable

_BATCH = 100

_PATIENCE = timedelta(minutes=1)
"""After which a purge that some store has not followed is something to know of."""

Checked = Callable[[str, int], None]
"""Told of progress: so many purges were looked for in a store."""


@dataclass(frozen=True, slots=True)
class VerifyPurges:
    """Looks in every store for what was purged, and for what the database knows nothing of. It changes nothing.

    A store that does not answer is a finding, too: nobody can say what is left in it.
    """

    purges: Purges
    stores: Sequence[Store]
    now: Now

    def __call__(self, checked: Checked = lambda store, done: None) -> Iterator[Remnant]:
        """One finding after the other, as they are found."""
        for store in self.stores:
            try:
                for batch in self._batches():
                    yield from store.remnants(batch)
                    checked(store.name, len(batch))
                yield from store.orphans(self.purges.present)
            except Unavailable as away:
                yield Remnant(store.name, "all of it", f"cannot be looked at: {away.message}")
        behind = self.now() - _PATIENCE
        for purge in self.purges.unsettled(after=0, limit=_BATCH):
            if purge.at < behind:
                yield Remnant("ledger", f"purge {purge.number}", "has not been followed by every store yet")

    def _batches(self) -> Iterator[Sequence[Purge]]:
        after = 0
        while batch := self.purges.all(after=after, limit=_BATCH):
            after = batch[-1].number
            yield batch
