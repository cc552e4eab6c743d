"""What one process holds in its memory follows what was purged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set

from adapters.in_process.cache import InProcessCache
from adapters.in_process.rates import InProcessRateLimiter
from adapters.in_process.reply_log import InProcessReplyLog
from application.ports.retention import Kind, Present, Purge, Remnant, Tally


class MemoryCopies:
    """See application.ports.retention.Copies, and adapters.redis.retention, which does the same for all processes."""

    name = "memory"

    def __init__(
        self,
        log: InProcessReplyLog,
        cache: InProcessCache,
        rates: InProcessRateLimiter,
        marks_of: Callable[[str], Set[str]],
    ) -> None:
        self._log = log
        self._cache = cache
        self._rates = rates
        self._marks_of = marks_of

    def forget(self, purges: Sequence[Purge]) -> Tally:
        marks = {purge.mark for purge in purges if purge.mark is not None}
        tally = {
            "reply logs": sum(map(self._log.bury, (id_ for each in purges for id_ in each.ids.get(Kind.REPLIES, ())))),
            "cached": self._cache.forget(),
            "limits": self._rates.forget(lambda key: self._is_marked(key, marks)) if marks else 0,
        }
        return {kind: count for kind, count in tally.items() if count}

    def remnants(self, purges: Sequence[Purge]) -> Iterator[Remnant]:
        purged = {id_ for purge in purges for ids in purge.ids.values() for id_ in ids}
        for reply_id in self._log.known:
            if reply_id in purged:
                yield Remnant(self.name, f"reply log {reply_id}", "was purged")
        names = [str(id_).encode() for id_ in purged]
        for place, value in self._cache.entries():
            if any(name in value for name in names):
                yield Remnant(self.name, f"cached {place.partition(':')[0]}", "names what was purged")
        marks = {purge.mark for purge in purges if purge.mark is not None}
        if marks and any(self._is_marked(key, marks) for key in self._rates.keys):
            yield Remnant(self.name, "a rate limit", "counts what somebody did who was erased")

    def orphans(self, present: Present) -> Iterator[Remnant]:
        logged = self._log.known
        known = present(Kind.REPLIES, logged) if logged else set()
        for reply_id in logged:
            if reply_id not in known:
                yield Remnant(self.name, f"reply log {reply_id}", "is not in the database")

    def _is_marked(self, key: str, marks: Set[str]) -> bool:
        return not marks.isdisjoint(self._marks_of(key.partition(":")[2]))
