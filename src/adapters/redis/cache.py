"""The cache of all processes, in Redis.

An entry is a string at `cache:<region>:<key>`, a claim one at `cache:<region>!<key>`; both end by themselves.
What was counted is a hash at `cache-counts`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from adapters.redis.server import RedisServer
from application.ports.caching import CacheUnavailable, Counts, Holding, matching

_CLAIM = """
-- ARGV: the holder, and milliseconds. Answers who holds it.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return holder
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
"""

_LET_GO = """
-- KEYS: the claim, the entry. ARGV: the holder; then, if something was made, the value and its milliseconds.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if ARGV[2] then
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
end
redis.call('DEL', KEYS[1])
return 1
"""

_PAGE = 1000
"""Keys of the whole server that one step of a walk looks at."""


class RedisCache:
    """See application.ports.caching.Cache. Whatever concerns one key is one round trip."""

    backend = "Redis"

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._claimed = server.client.register_script(_CLAIM)
        self._let_go = server.client.register_script(_LET_GO)
        self._root = f"{server.prefix}cache:"
        self._counts = f"{server.prefix}cache-counts"

    def get(self, region: str, key: str) -> bytes | None:
        with self._server.reaching(CacheUnavailable):
            value: Any = self._server.client.get(self._entry(region, key))
        return None if value is None else bytes(value)

    def put(self, region: str, key: str, value: bytes, seconds: float) -> None:
        with self._server.reaching(CacheUnavailable):
            self._server.client.set(self._entry(region, key), value, px=_milliseconds(seconds))

    def claim(self, region: str, key: str, holder: str, seconds: float) -> str:
        with self._server.reaching(CacheUnavailable):
            claimed_by: Any = self._claimed(keys=[self._claim(region, key)], args=[holder, _milliseconds(seconds)])
        return str(claimed_by.decode())

    def fulfil(self, region: str, key: str, holder: str, value: bytes, seconds: float) -> bool:
        with self._server.reaching(CacheUnavailable):
            keys = [self._claim(region, key), self._entry(region, key)]
            return bool(self._let_go(keys=keys, args=[holder, value, _milliseconds(seconds)]))

    def release(self, region: str, key: str, holder: str) -> None:
        with self._server.reaching(CacheUnavailable):
            self._let_go(keys=[self._claim(region, key), self._entry(region, key)], args=[holder])

    def forget(self, region: str | None = None, pattern: str | None = None) -> int:
        forgotten = 0
        with self._server.reaching(CacheUnavailable):
            for page in self._walk(region, pattern):
                for entries in True, False:
                    if names := [name for _, is_entry, name in page if is_entry is entries]:
                        gone: Any = self._server.client.unlink(*names)
                        forgotten += gone if entries else 0
        return forgotten

    def count(self, counts: Mapping[str, Counts]) -> None:
        with self._server.reaching(CacheUnavailable), self._server.client.pipeline() as pipe:
            for region, more in counts.items():
                pipe.hincrby(self._counts, f"{region}:hits", more.hits)
                pipe.hincrby(self._counts, f"{region}:misses", more.misses)
            pipe.execute()

    def holding(self) -> Holding:
        entries: Counter[str] = Counter()
        size = 0
        with self._server.reaching(CacheUnavailable):
            for page in self._walk(None, None):
                held = [(region, name) for region, is_entry, name in page if is_entry]
                with self._server.client.pipeline(transaction=False) as pipe:
                    for _, name in held:
                        pipe.strlen(name)
                    size += sum(pipe.execute()) + sum(len(name) for _, name in held)
                entries.update(region for region, _ in held)
            counted: Any = self._server.client.hgetall(self._counts)
        numbers = {name.decode(): int(number) for name, number in counted.items()}
        regions = {name.partition(":")[0] for name in numbers}
        counts = {each: Counts(numbers.get(f"{each}:hits", 0), numbers.get(f"{each}:misses", 0)) for each in regions}
        return Holding(entries, size, counts)

    def entries(self) -> Iterator[tuple[str, bytes]]:
        """The names in Redis and the values of all entries. Raises CacheUnavailable."""
        with self._server.reaching(CacheUnavailable):
            for page in self._walk(None, None):
                names = [name for _, is_entry, name in page if is_entry]
                values: Any = self._server.client.mget(names) if names else []
                yield from (
                    (name.decode(errors="surrogatepass"), value)
                    for name, value in zip(names, values, strict=True)
                    if value is not None
                )

    def _walk(self, region: str | None, pattern: str | None) -> Iterator[list[tuple[str, bool, bytes]]]:
        """Pages of entries and claims that fit: the region, whether it is an entry, the name in Redis.

        Redis looks for what its own patterns can say safely; a name may come twice.
        """
        literal = (pattern or "").partition("*")[0].partition("?")[0]
        wanted = f"{_escaped(self._root)}{region}?{_escaped(literal)}*" if region else f"{_escaped(self._root)}*"
        fits = matching(pattern) if pattern is not None else lambda key: True
        root = len(_bytes(self._root))
        cursor, client = 0, self._server.client
        while True:
            answer: Any = client.scan(cursor, match=_bytes(wanted), count=_PAGE)
            cursor, names = answer
            page = []
            for name in set(names):
                where, sign, key = _parted(name[root:].decode(errors="surrogatepass"))
                if (region is None or where == region) and fits(key):
                    page.append((where, sign == ":", name))
            if page:
                yield page
            if not cursor:
                return

    def _entry(self, region: str, key: str) -> bytes:
        return _bytes(f"{self._root}{region}:{key}")

    def _claim(self, region: str, key: str) -> bytes:
        return _bytes(f"{self._root}{region}!{key}")


def _parted(name: str) -> tuple[str, str, str]:
    """Region, `:` or `!`, and key."""
    at = next((index for index, sign in enumerate(name) if sign in ":!"), len(name))
    return name[:at], name[at : at + 1], name[at + 1 :]


def _escaped(text: str) -> str:
    """The text as Redis's patterns have to name it."""
    return "".join(f"\\{sign}" if sign in "*?[]^-\\" else sign for sign in text)


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
