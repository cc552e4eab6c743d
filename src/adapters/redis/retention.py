"""What Redis holds follows what was purged: reply logs, what is cached, and what is counted of a person."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence, Set
from typing import Any
from uuid import UUID

from adapters.redis.cache import RedisCache
from adapters.redis.server import RedisServer
from adapters.redis.stream import BURIED, BURY, key_of
from application.ports.retention import Kind, Present, Purge, Remnant, Tally

_MANY = 1000

_STANDS = 24 * 3600 * 1000
"""Milliseconds for which nobody can write a log again that was purged: longer than any reply takes."""

_UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class RedisCopies:
    """See application.ports.retention.Copies.

    What is cached is forgotten altogether, for nobody can tell what an answer came from; it is made anew. `marks_of`
    tells by which marks an owner may be known.
    """

    name = "Redis"

    def __init__(self, server: RedisServer, marks_of: Callable[[str], Set[str]]) -> None:
        self._server = server
        self._cache = RedisCache(server)
        self._marks_of = marks_of
        self._bury = server.client.register_script(BURY)

    def forget(self, purges: Sequence[Purge]) -> Tally:
        tally = {"reply logs": 0, "cached": self._cache.forget()}
        replies = _ids(purges, Kind.REPLIES)
        marks = {purge.mark for purge in purges if purge.mark is not None}
        with self._server.reaching():
            for start in range(0, len(replies), _MANY):
                keys = [key_of(self._server.prefix, reply_id) for reply_id in replies[start : start + _MANY]]
                buried: Any = self._bury(keys=keys, args=[BURIED, _STANDS])
                tally["reply logs"] += buried
            if marks:
                counted = [key for key, owner in self._rates() if self._marks_of(owner) & marks]
                tally["limits"] = self._server.client.delete(*counted) if counted else 0
        return {kind: count for kind, count in tally.items() if count}

    def remnants(self, purges: Sequence[Purge]) -> Iterator[Remnant]:
        replies = _ids(purges, Kind.REPLIES)
        for start in range(0, len(replies), _MANY):
            for reply_id in self._written(replies[start : start + _MANY]):
                yield Remnant(self.name, f"reply log {reply_id}", "was purged")
        purged = {str(id_).encode() for purge in purges for ids in purge.ids.values() for id_ in ids}
        for name, value in self._cache.entries() if purged else ():
            for id_ in sorted(set(_UUID.findall(value)) & purged):
                yield Remnant(self.name, f"cached {_shown(name)}", f"names {id_.decode()}, which was purged")
        marked = {purge.mark: purge.at.timestamp() for purge in purges if purge.mark is not None}
        with self._server.reaching():
            for key, owner in list(self._rates()) if marked else ():
                oldest: Any = self._server.client.zrange(key, 0, 0, withscores=True)
                for mark in self._marks_of(owner) & marked.keys():
                    if oldest and oldest[0][1] / 1_000_000 < marked[mark]:
                        yield Remnant(self.name, "a rate limit", "counts what somebody did who was erased")

    def orphans(self, present: Present) -> Iterator[Remnant]:
        found = list(self._logs())
        for start in range(0, len(found), _MANY):
            ids = found[start : start + _MANY]
            known = present(Kind.REPLIES, ids)
            for reply_id in self._written([id_ for id_ in ids if id_ not in known]):
                yield Remnant(self.name, f"reply log {reply_id}", "is not in the database")

    def _written(self, replies: Sequence[UUID]) -> Iterator[UUID]:
        """Those whose logs are there, and not buried."""
        with self._server.reaching(), self._server.client.pipeline(transaction=False) as pipe:
            for reply_id in replies:
                pipe.xrevrange(key_of(self._server.prefix, reply_id), count=1)
            tops: Any = pipe.execute() if replies else []
        for reply_id, top in zip(replies, tops, strict=True):
            if top and not top[0][0].startswith(b"%d-" % BURIED):
                yield reply_id

    def _logs(self) -> Iterator[UUID]:
        prefix = f"{self._server.prefix}log:{{"
        with self._server.reaching():
            for key in self._scan(prefix):
                yield UUID(key.decode()[len(prefix) : -1])

    def _rates(self) -> Iterator[tuple[bytes, str]]:
        """The keys of what is counted, and whose they are."""
        prefix = f"{self._server.prefix}rate:"
        for key in self._scan(prefix):
            yield key, key.decode(errors="replace")[len(prefix) :].partition(":")[2]

    def _scan(self, prefix: str) -> Iterator[bytes]:
        escaped = re.sub(r"([*?\[\]^\\-])", r"\\\1", prefix)
        found: Any = self._server.client.scan_iter(match=f"{escaped}*", count=_MANY)
        yield from found


def _ids(purges: Sequence[Purge], kind: Kind) -> list[UUID]:
    return [id_ for purge in purges for id_ in purge.ids.get(kind, ())]


def _shown(name: str) -> str:
    """A cache's key without what it may hold of a person."""
    return name.partition("cache:")[2].partition(":")[0] or name
