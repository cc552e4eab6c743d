"""What every cache must do: give back what was put, for as long as was said, and let one claim a key at a time."""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from adapters.in_process.cache import InProcessCache
from adapters.in_process.runtime import new_id
from adapters.redis.cache import RedisCache
from adapters.redis.server import RedisServer
from application.caching import Caches, Lifetimes, Region
from application.ports.caching import Cache, CacheUnavailable, Counts
from tests.fakes.caches import BreakableCache
from tests.servers import RedisServer as OwnServer
from tests.servers import a_redis, missing_programs
from tests.waiting import eventually

HOUR = 3600.0

KEYS = ["plain", "a:b", "a!b", "", " ", "*", "[x]", "a\\b", "a\nb", "Grüße 🦊", "\ud800", "x" * 2000]


def caches(cache: Cache) -> Caches:
    return Caches(cache, Lifetimes(), new_id)


class CacheContract:
    @pytest.fixture
    def cache(self) -> Cache:
        raise NotImplementedError

    @pytest.fixture
    def elapse(self) -> Callable[[float], None]:
        """Lets so many seconds pass for the cache."""
        raise NotImplementedError

    @pytest.fixture
    def another(self, cache: Cache) -> Cache:
        """The same as another process sees it; within one process there is no other."""
        return cache

    def test_what_was_put_is_got_as_it_was(self, cache: Cache) -> None:
        values = [b"", b"null", bytes(range(256)), b"\r\n" * 3, b"x" * 300_000]
        for number, value in enumerate(values):
            cache.put("answers", str(number), value, HOUR)

        assert [cache.get("answers", str(number)) for number in range(len(values))] == values

    def test_what_was_never_put_is_not_found(self, cache: Cache) -> None:
        cache.put("answers", "key", b"value", HOUR)

        assert cache.get("answers", "Key") is None
        assert cache.get("retrieval", "key") is None

    def test_keys_and_regions_do_not_know_each_other(self, cache: Cache) -> None:
        for region in ("answers", "retrieval"):
            for key in KEYS:
                cache.put(region, key, f"{region} {key}".encode(errors="surrogatepass"), HOUR)

        for region in ("answers", "retrieval"):
            for key in KEYS:
                assert cache.get(region, key) == f"{region} {key}".encode(errors="surrogatepass")

    def test_the_last_value_counts_and_so_does_its_time(self, cache: Cache, elapse: Callable[[float], None]) -> None:
        cache.put("answers", "key", b"first", 600)
        cache.put("answers", "key", b"second", HOUR)
        elapse(1200)

        assert cache.get("answers", "key") == b"second"

    def test_what_is_over_is_not_found(self, cache: Cache, elapse: Callable[[float], None]) -> None:
        cache.put("answers", "short", b"value", 600)
        cache.put("answers", "long", b"value", HOUR)
        elapse(HOUR - 600)

        assert cache.get("answers", "short") is None
        assert cache.get("answers", "long") == b"value"
        assert dict(cache.holding().entries) == {"answers": 1}
        elapse(600)
        assert cache.get("answers", "long") is None

    @pytest.mark.parametrize(
        "pattern",
        [
            "*",
            "?*",
            "project:1:*",
            "project:?:a",
            "*:a",
            "*a*",
            "*[x]*",
            "[pq]*",
            "a\\b",
            "Gr??e*",
            "**1**a",
            "^a",
            "-",
        ],
    )
    def test_a_pattern_forgets_what_fits_and_nothing_else(self, cache: Cache, pattern: str) -> None:
        keys = [*KEYS, "project:1:a", "project:1:b", "project:2:a", "project:12:a", "project", "^a", "-", "quiet"]
        for region in ("answers", "retrieval"):
            for key in keys:
                cache.put(region, key, b"value", HOUR)
        fitting = {key for key in keys if fnmatch.fnmatchcase(key, pattern.replace("[", "[[]"))}

        forgotten = cache.forget("answers", pattern)

        assert {key for key in keys if cache.get("answers", key) is None} == fitting
        assert forgotten == len(fitting)
        assert all(cache.get("retrieval", key) == b"value" for key in keys)
        assert cache.forget(None, pattern) == len(fitting)
        assert {key for key in keys if cache.get("retrieval", key) is None} == fitting

    def test_regions_or_all_are_forgotten(self, cache: Cache) -> None:
        for number in range(1500):
            cache.put(("answers", "retrieval", "statistics")[number % 3], f"key {number}", b"value", HOUR)

        assert cache.forget("answers") == 500
        assert dict(cache.holding().entries) == {"retrieval": 500, "statistics": 500}
        assert cache.forget() == 1000
        assert cache.forget() == 0
        assert dict(cache.holding().entries) == {}
        assert cache.holding().size == 0

    def test_a_region_whose_name_begins_like_another_is_another(self, cache: Cache) -> None:
        cache.put("answer", "s:key", b"value", HOUR)
        cache.put("answers", "key", b"value", HOUR)

        assert cache.forget("answer") == 1
        assert cache.get("answers", "key") == b"value"

    def test_it_tells_what_it_holds(self, cache: Cache) -> None:
        empty = cache.holding().size
        cache.put("answers", "one", b"x" * 10_000, HOUR)
        cache.put("answers", "two", b"x" * 10_000, HOUR)
        cache.put("retrieval", "one", b"x" * 10_000, HOUR)

        holding = cache.holding()

        assert dict(holding.entries) == {"answers": 2, "retrieval": 1}
        assert 30_000 < holding.size - empty < 32_000

    def test_counts_add_up(self, cache: Cache, another: Cache) -> None:
        cache.count({"answers": Counts(hits=2, misses=1), "retrieval": Counts(misses=4)})
        another.count({"answers": Counts(hits=3)})

        counts = cache.holding().counts

        assert counts["answers"] == Counts(hits=5, misses=1)
        assert counts["retrieval"] == Counts(hits=0, misses=4)

    def test_one_claims_a_key_at_a_time_and_others_are_told_who(self, cache: Cache) -> None:
        assert cache.claim("answers", "key", "alice", 60) == "alice"
        assert cache.claim("answers", "key", "bob", 60) == "alice"
        assert cache.claim("answers", "another", "bob", 60) == "bob"
        assert cache.claim("retrieval", "key", "bob", 60) == "bob"
        assert cache.get("answers", "key") is None
        assert dict(cache.holding().entries) == {}

    def test_a_claim_is_given_up_by_its_holder_alone(self, cache: Cache) -> None:
        cache.claim("answers", "key", "alice", 60)
        cache.release("answers", "key", "bob")
        assert cache.claim("answers", "key", "bob", 60) == "alice"

        cache.release("answers", "key", "alice")
        assert cache.claim("answers", "key", "bob", 60) == "bob"

    def test_a_claim_ends_by_itself(self, cache: Cache, elapse: Callable[[float], None]) -> None:
        cache.claim("answers", "key", "alice", 60)
        elapse(60)

        assert cache.claim("answers", "key", "bob", 60) == "bob"
        cache.release("answers", "key", "alice")
        assert cache.claim("answers", "key", "carol", 60) == "bob"

    def test_its_holder_may_renew_a_claim(self, cache: Cache, elapse: Callable[[float], None]) -> None:
        cache.claim("answers", "key", "alice", 60)
        elapse(40)
        assert cache.claim("answers", "key", "alice", 60) == "alice"
        elapse(40)

        assert cache.claim("answers", "key", "bob", 60) == "alice"

    def test_what_was_made_is_put_and_the_claim_is_free(self, cache: Cache, elapse: Callable[[float], None]) -> None:
        cache.claim("answers", "key", "alice", 60)

        assert cache.fulfil("answers", "key", "alice", b"made", 600)
        assert cache.get("answers", "key") == b"made"
        assert cache.claim("answers", "key", "bob", 60) == "bob"
        elapse(600)
        assert cache.get("answers", "key") is None

    def test_what_was_made_too_late_is_not_put(self, cache: Cache, elapse: Callable[[float], None]) -> None:
        cache.claim("answers", "key", "alice", 60)
        elapse(60)
        cache.claim("answers", "key", "bob", 60)

        assert not cache.fulfil("answers", "key", "alice", b"alice's", HOUR)
        assert cache.get("answers", "key") is None
        assert cache.fulfil("answers", "key", "bob", b"bob's", HOUR)
        assert cache.get("answers", "key") == b"bob's"

    def test_what_was_being_made_when_its_key_was_forgotten_is_not_put(self, cache: Cache) -> None:
        for key in ("project:1:a", "project:2:a"):
            cache.claim("answers", key, "alice", 60)

        assert cache.forget("answers", "project:1:*") == 0

        assert not cache.fulfil("answers", "project:1:a", "alice", b"of yesterday", HOUR)
        assert cache.get("answers", "project:1:a") is None
        assert cache.fulfil("answers", "project:2:a", "alice", b"made", HOUR)

    def test_of_threads_that_claim_at_once_one_gets_it(self, cache: Cache) -> None:
        threads = 8
        together = threading.Barrier(threads)

        def claim_all(thread: int) -> int:
            together.wait()
            return sum(cache.claim("answers", str(number), str(thread), 60) == str(thread) for number in range(50))

        with ThreadPoolExecutor(threads) as pool:
            assert sum(pool.map(claim_all, range(threads))) == 50

    def test_threads_that_put_and_forget_at_once_leave_it_whole(self, cache: Cache) -> None:
        def busy(thread: int) -> None:
            for number in range(100):
                cache.put("answers", str(number % 10), b"x" * 100, HOUR)
                assert cache.get("answers", str(number % 10)) in (None, b"x" * 100)
                if number % 10 == thread:
                    cache.forget("answers", f"{thread}*")

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(busy, range(4)))

        cache.forget()
        assert cache.holding().size == 0

    def test_of_all_who_want_the_same_at_once_one_makes_it(self, cache: Cache, another: Cache) -> None:
        making = _Making()
        processes = [caches(cache), caches(another)]
        together = threading.Barrier(12)

        def want(number: int) -> list[object]:
            mine = processes[number % 2]
            together.wait()
            return [
                mine.remembered(Region.ANSWERS, f"key {round_}", partial(making, round_), patience=60)
                for round_ in range(10)
            ]

        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(want, range(12)))

        assert answers == [[f"made of {number}" for number in range(10)]] * 12
        assert making.made == list(range(10))


@dataclass
class _Making:
    """Makes what takes a while, and remembers what it was asked for."""

    made: list[int] = field(default_factory=list)

    def __call__(self, number: int) -> str:
        self.made.append(number)
        threading.Event().wait(0.02)
        return f"made of {number}"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class TestInProcessCache(CacheContract):
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def cache(self, clock: Clock) -> Cache:
        return InProcessCache(16 * 1024 * 1024, clock)

    @pytest.fixture
    def elapse(self, clock: Clock) -> Callable[[float], None]:
        return clock.advance

    def test_when_it_is_full_what_was_not_asked_for_the_longest_goes(self) -> None:
        cache = InProcessCache(10_000)
        for key in "abcd":
            cache.put("answers", key, b"x" * 2000, HOUR)
        assert cache.get("answers", "a") is not None

        cache.put("answers", "e", b"x" * 2000, HOUR)

        assert [key for key in "abcde" if cache.get("answers", key) is None] == ["b"]
        assert cache.holding().size <= 10_000

    def test_many_small_entries_take_no_more_than_it_may(self) -> None:
        cache = InProcessCache(100_000)

        for number in range(10_000):
            cache.put("answers", str(number), b"", HOUR)

        assert cache.holding().entries["answers"] < 400
        assert cache.get("answers", "9999") == b""

    def test_what_is_larger_than_all_it_may_keep_replaces_nothing_but_its_own_key(self) -> None:
        cache = InProcessCache(10_000)
        cache.put("answers", "old", b"x", HOUR)
        cache.put("answers", "key", b"x", HOUR)

        cache.put("answers", "key", b"x" * 10_000, HOUR)

        assert cache.get("answers", "key") is None
        assert cache.get("answers", "old") == b"x"


class TestBreakableCache(CacheContract):
    """The fake, as long as it is there."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def cache(self, clock: Clock) -> Cache:
        return BreakableCache(InProcessCache(16 * 1024 * 1024, clock))

    @pytest.fixture
    def elapse(self, clock: Clock) -> Callable[[float], None]:
        return clock.advance


class TestRedisCache(CacheContract):
    @pytest.fixture
    def place(self) -> Iterator[tuple[str, str]]:
        with a_redis() as (url, prefix):
            yield url, f"{prefix}[*?]:"

    @pytest.fixture
    def server(self, place: tuple[str, str]) -> Iterator[RedisServer]:
        with closing(RedisServer(*place)) as server:
            yield server

    @pytest.fixture
    def elsewhere(self, place: tuple[str, str]) -> Iterator[RedisServer]:
        with closing(RedisServer(*place)) as server:
            yield server

    @pytest.fixture
    def cache(self, server: RedisServer) -> Cache:
        return RedisCache(server)

    @pytest.fixture
    def another(self, elsewhere: RedisServer) -> Cache:
        return RedisCache(elsewhere)

    @pytest.fixture
    def elapse(self, server: RedisServer) -> Callable[[float], None]:
        """Nobody moves a server's clock: what it holds ends the sooner instead."""

        def age(seconds: float) -> None:
            for name in _names(server):
                left: Any = server.client.pttl(name)
                if left >= 0:
                    server.client.pexpire(name, int(left - seconds * 1000))

        return age

    def test_what_others_keep_in_the_same_redis_is_left_alone(self, cache: Cache, server: RedisServer) -> None:
        others = [f"{server.prefix}rate:key", f"{server.prefix}caches", f"x{server.prefix}cache:answers:key"]
        for name in others:
            server.client.set(name, b"value", ex=60)
        cache.count({"answers": Counts(hits=1)})
        cache.put("answers", "key", b"value", HOUR)

        assert cache.forget() == 1
        assert cache.forget(None, "*key*") == 0

        assert all(server.client.get(name) == b"value" for name in others)
        assert cache.holding().counts == {"answers": Counts(hits=1)}
        server.client.delete(*others)

    def test_everything_but_the_counts_ends_by_itself(self, cache: Cache, server: RedisServer) -> None:
        cache.put("answers", "key", b"value", 60)
        cache.put("answers", "in no time", b"value", 0.0001)
        cache.claim("answers", "other", "alice", 60)
        cache.claim("answers", "made", "alice", 60)
        cache.fulfil("answers", "made", "alice", b"value", 60)

        times: list[Any] = [server.client.pttl(name) for name in _names(server)]

        assert len(times) >= 3
        assert all(0 <= left <= 60_000 for left in times if left != -2)


def _names(server: RedisServer) -> list[bytes]:
    escaped = server.prefix.replace("[", r"\[").replace("*", r"\*").replace("?", r"\?").replace("]", r"\]")
    return list(server.client.scan_iter(f"{escaped}*"))


@pytest.mark.skipif(bool(missing_programs(OwnServer)), reason=missing_programs(OwnServer))
class TestWithoutRedis:
    def test_it_says_that_it_is_away_and_works_again_when_it_is_back(self) -> None:
        with OwnServer() as own, closing(RedisServer(own.url)) as server:
            cache = RedisCache(server)
            cache.put("answers", "key", b"value", HOUR)
            own.stop()

            for call in (
                lambda: cache.get("answers", "key"),
                lambda: cache.put("answers", "key", b"value", HOUR),
                lambda: cache.claim("answers", "key", "alice", 60),
                lambda: cache.fulfil("answers", "key", "alice", b"value", 60),
                lambda: cache.release("answers", "key", "alice"),
                lambda: cache.forget(),
                lambda: cache.count({"answers": Counts(hits=1)}),
                lambda: cache.holding(),
            ):
                with pytest.raises(CacheUnavailable, match="Redis at"):
                    call()

            own.start()
            eventually(lambda: _keeps(cache))

    def test_what_concerns_one_key_is_one_command(self) -> None:
        with OwnServer() as own, closing(RedisServer(own.url)) as server:
            mine = caches(RedisCache(server))
            mine.put(Region.ANSWERS, "key", "value")

            def commands() -> int:
                stats: Any = server.client.info("stats")
                return int(stats["total_commands_processed"])

            before = commands()
            for _ in range(10):
                assert mine.remembered(Region.ANSWERS, "key", lambda: "made") == "value"

            assert commands() - before == 10 + 1  # and the one that asks

    def test_what_is_wanted_while_it_is_away_is_made_and_kept_again_when_it_is_back(self) -> None:
        with OwnServer() as own, closing(RedisServer(own.url)) as server:
            mine = caches(RedisCache(server))
            making = _Making()
            own.stop()

            for number in range(20):
                assert mine.remembered(Region.ANSWERS, "key", partial(making, number)) == f"made of {number}"
            with pytest.raises(CacheUnavailable, match="everything is made anew"):
                mine.check()
            assert mine.report()["available"] is False

            own.start()
            eventually(lambda: _looks_well(mine))
            for _ in range(3):
                assert mine.remembered(Region.ANSWERS, "key", lambda: making(20)) == "made of 20"
            assert making.made == list(range(21))

    def test_a_redis_that_stops_while_others_wait_has_them_make_it_themselves(self) -> None:
        with OwnServer() as own, closing(RedisServer(own.url)) as server, closing(RedisServer(own.url)) as other:
            RedisCache(other).claim("answers", "key", "somebody else", 600)
            mine = caches(RedisCache(server))

            with ThreadPoolExecutor(2) as pool:
                waiting = pool.submit(mine.remembered, Region.ANSWERS, "key", lambda: "made", patience=600)
                eventually(lambda: mine.report()["regions"]["answers"]["misses"] == 1)
                own.stop()

                assert waiting.result(30) == "made"

    def test_a_redis_that_is_full_counts_as_away_until_there_is_room(self) -> None:
        with OwnServer() as own, closing(RedisServer(own.url)) as server:
            mine = caches(RedisCache(server))
            server.client.config_set("maxmemory", 1)

            assert mine.remembered(Region.ANSWERS, "key", lambda: "made") == "made"
            with pytest.raises(CacheUnavailable, match="maxmemory"):
                mine.check()

            server.client.config_set("maxmemory", 0)
            mine.look()
            assert mine.check() == "cached in Redis"


def _keeps(cache: Cache) -> bool:
    key = uuid4().hex
    try:
        cache.put("answers", key, b"value", 60)
        return cache.get("answers", key) == b"value"
    except CacheUnavailable:
        return False


def _looks_well(mine: Caches) -> bool:
    mine.look()
    return bool(mine.report()["available"])
