"""What `Caches` promises beyond the cache behind it: one makes, failures are nobody's, what is away is not asked."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from adapters.in_process.cache import InProcessCache
from adapters.in_process.runtime import new_id
from application.caching import Caches, Lifetimes, Region, key_of
from application.ports.caching import CacheUnavailable
from domain.errors import Invalid
from tests.fakes.caches import BreakableCache
from tests.waiting import eventually

ANSWERS = Region.ANSWERS


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> BreakableCache:
    return BreakableCache(InProcessCache(10 * 1024 * 1024, clock))


@pytest.fixture
def caches(cache: BreakableCache) -> Caches:
    return Caches(cache, Lifetimes(), new_id)


class Making:
    """Makes a new value each time."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> int:
        self.times += 1
        return self.times


class TestKeys:
    def test_the_same_parts_make_the_same_key(self) -> None:
        project, at = uuid4(), datetime(2026, 1, 1, tzinfo=UTC)

        assert key_of("q", {"a": 1, "b": 2}, project, at) == key_of("q", {"b": 2, "a": 1}, str(project), at.isoformat())

    def test_other_parts_make_another_key(self) -> None:
        parts: list[tuple[object, ...]] = [
            (), ("",), ("", ""), (None,), ("a", "bc"), ("ab", "c"), (["a", "b"],), ("a", "b"), ("1",), (1,), (True,),
            ("ä",), ("a\u0308",), ("\ud800",), ({"a": None},), ({},),
        ]  # fmt: skip

        assert len({key_of(*each) for each in parts}) == len(parts)

    def test_a_key_is_short_whatever_it_is_made_of(self) -> None:
        assert len(key_of("x" * 100_000)) == 64

    def test_what_has_no_json_is_no_part(self) -> None:
        with pytest.raises(TypeError, match="set is not JSON"):
            key_of({"a"})


class TestRemembering:
    def test_what_was_made_once_is_remembered(self, caches: Caches) -> None:
        making = Making()

        assert [caches.remembered(ANSWERS, "key", making) for _ in range(3)] == [1, 1, 1]
        assert caches.remembered(ANSWERS, "another", making) == 2
        assert caches.remembered(Region.RETRIEVAL, "key", making) == 3

    def test_whoever_makes_it_sees_what_the_others_will(self, caches: Caches) -> None:
        made = {"id": UUID(int=1), "at": datetime(2026, 1, 1, tzinfo=UTC), "pair": (1, 2), "text": "Grüße 🦊 \ud800"}

        first: Any = caches.remembered(ANSWERS, "key", lambda: made)
        second: Any = caches.remembered(ANSWERS, "key", lambda: made)

        assert first == second
        assert first == {
            "id": "00000000-0000-0000-0000-000000000001",
            "at": "2026-01-01T00:00:00+00:00",
            "pair": [1, 2],
            "text": "Grüße 🦊 \ud800",
        }

    def test_nothing_is_something_to_remember(self, caches: Caches) -> None:
        asked: list[str] = []

        for _ in range(2):
            assert caches.remembered(ANSWERS, "key", lambda: asked.append("again")) is None

        assert asked == ["again"]

    def test_the_order_of_members_is_kept(self, caches: Caches) -> None:
        caches.put(ANSWERS, "key", {"b": 1, "a": 2})

        assert list(caches.get(ANSWERS, "key")) == ["b", "a"]

    def test_what_fails_is_told_its_caller_and_not_remembered(self, caches: Caches) -> None:
        def fail() -> int:
            raise Invalid({"question": "Too hard."})

        for _ in range(2):
            with pytest.raises(Invalid, match="Too hard"):
                caches.remembered(ANSWERS, "key", fail)

        assert caches.remembered(ANSWERS, "key", lambda: 42) == 42

    def test_while_one_makes_it_others_wait_and_after_its_failure_try_themselves(self, caches: Caches) -> None:
        begun, fail_now = threading.Event(), threading.Event()
        making = Making()

        def fail() -> int:
            begun.set()
            assert fail_now.wait(30)
            raise Invalid({"question": "Too hard."})

        with ThreadPoolExecutor(4) as pool:
            failing = pool.submit(caches.remembered, ANSWERS, "key", fail, patience=60)
            assert begun.wait(30)
            waiting = [pool.submit(caches.remembered, ANSWERS, "key", making, patience=60) for _ in range(3)]
            eventually(lambda: caches.report()["regions"]["answers"]["misses"] == 4)
            assert making.times == 0
            fail_now.set()

            with pytest.raises(Invalid):
                failing.result(30)
            assert [each.result(30) for each in waiting] == [1, 1, 1]

    def test_who_has_waited_long_enough_makes_it_too(self, caches: Caches) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def take_long() -> str:
            begun.set()
            assert go_on.wait(30)
            return "late"

        with ThreadPoolExecutor(1) as pool:
            late = pool.submit(caches.remembered, ANSWERS, "key", take_long)
            assert begun.wait(30)

            assert caches.remembered(ANSWERS, "key", lambda: "soon", patience=0.05) == "soon"
            assert caches.get(ANSWERS, "key") == "soon"
            go_on.set()
            assert late.result(30) == "late"

    def test_another_processs_claim_is_waited_for(self, cache: BreakableCache, caches: Caches) -> None:
        cache.claim("answers", "key", "somebody else", 60)

        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(caches.remembered, ANSWERS, "key", lambda: "mine", patience=60)
            eventually(lambda: caches.report()["regions"]["answers"]["misses"] == 1)
            assert not waiting.done()
            cache.fulfil("answers", "key", "somebody else", b'"theirs"', 60)

            assert waiting.result(30) == "theirs"

    def test_a_claim_whose_holder_is_gone_costs_no_more_than_the_patience(
        self, cache: BreakableCache, caches: Caches
    ) -> None:
        cache.claim("answers", "key", "somebody dead", 600)

        assert caches.remembered(ANSWERS, "key", lambda: "mine", patience=0.05) == "mine"
        assert caches.remembered(ANSWERS, "key", lambda: "again") == "mine"

    def test_what_was_cleared_while_it_was_made_is_not_remembered(self, caches: Caches) -> None:
        def make_of_yesterday() -> str:
            caches.clear(ANSWERS)
            return "of yesterday"

        assert caches.remembered(ANSWERS, "key", make_of_yesterday) == "of yesterday"
        assert caches.remembered(ANSWERS, "key", lambda: "of today") == "of today"

    def test_what_is_kept_and_cannot_be_read_is_made_anew(self, cache: BreakableCache, caches: Caches) -> None:
        for broken in (b"\xff", b"{", b""):
            cache.put("answers", "key", broken, 60)

            assert caches.get(ANSWERS, "key") is None
            assert caches.remembered(ANSWERS, "key", lambda: "anew") == "anew"

    def test_what_is_larger_than_a_mebibyte_is_made_each_time(self, caches: Caches) -> None:
        large = "x" * 1024 * 1024
        caches.put(ANSWERS, "put", large)
        for _ in range(2):
            assert caches.remembered(ANSWERS, "key", lambda: large) == large

        assert caches.report()["regions"]["answers"] | {"lifetime": 0} == {
            "entries": 0, "hits": 0, "misses": 2, "hit_rate": 0.0, "lifetime": 0
        }  # fmt: skip


class TestClaims:
    def test_who_is_second_is_told_who_makes_it_and_finds_it_later(self, caches: Caches) -> None:
        assert caches.claim(ANSWERS, "key", "first", 60) == "first"
        assert caches.claim(ANSWERS, "key", "second", 60) == "first"

        caches.fulfil(ANSWERS, "key", "first", {"text": "Hello"})

        assert caches.get(ANSWERS, "key") == {"text": "Hello"}
        assert caches.claim(ANSWERS, "key", "second", 60) == "second"

    def test_who_gives_up_leaves_it_to_the_next(self, caches: Caches) -> None:
        caches.claim(ANSWERS, "key", "first", 60)

        caches.release(ANSWERS, "key", "first")

        assert caches.get(ANSWERS, "key") is None
        assert caches.claim(ANSWERS, "key", "second", 60) == "second"

    def test_what_was_cleared_since_the_claim_is_not_kept(self, caches: Caches) -> None:
        caches.claim(ANSWERS, "key", "first", 60)
        caches.clear()

        caches.fulfil(ANSWERS, "key", "first", "of yesterday")

        assert caches.get(ANSWERS, "key") is None

    def test_what_is_kept_for_no_time_gives_the_key_up(self, caches: Caches) -> None:
        caches.claim(ANSWERS, "key", "first", 60)

        caches.fulfil(ANSWERS, "key", "first", "value", lifetime=0)

        assert caches.get(ANSWERS, "key") is None
        assert caches.claim(ANSWERS, "key", "second", 60) == "second"

    def test_without_the_cache_everybody_makes_their_own(self, cache: BreakableCache, caches: Caches) -> None:
        off = Caches(cache, Lifetimes(answers=0), new_id)
        assert [off.claim(ANSWERS, "key", holder, 60) for holder in ("first", "second")] == ["first", "second"]
        assert cache.asked == 0
        cache.is_away = True

        assert [caches.claim(ANSWERS, "key", holder, 60) for holder in ("first", "second")] == ["first", "second"]
        caches.fulfil(ANSWERS, "key", "first", "value")
        caches.release(ANSWERS, "key", "second")

        assert caches.get(ANSWERS, "key") is None


class TestLifetimes:
    def test_every_region_has_one(self) -> None:
        assert {region.value for region in Region} == set(asdict(Lifetimes()))
        assert {region: Lifetimes().of(region) for region in Region}[Region.STATISTICS] == 900

    def test_things_are_kept_for_the_regions_or_for_a_shorter_time(self, cache: BreakableCache, clock: Clock) -> None:
        caches = Caches(cache, Lifetimes(answers=600), new_id)
        caches.put(ANSWERS, "usual", 1)
        caches.put(ANSWERS, "short", 1, lifetime=60)
        caches.put(ANSWERS, "long", 1, lifetime=6000)
        caches.remembered(ANSWERS, "made short", lambda: 1, lifetime=60)
        caches.put(ANSWERS, "not at all", 1, lifetime=0)

        def kept() -> list[str]:
            return [key for key in ("usual", "short", "long", "made short", "not at all") if caches.get(ANSWERS, key)]

        assert kept() == ["usual", "short", "long", "made short"]
        clock.now += 60
        assert kept() == ["usual", "long"]
        clock.now += 540
        assert kept() == []

    def test_without_a_lifetime_a_region_is_off(self, cache: BreakableCache) -> None:
        caches = Caches(cache, Lifetimes(answers=0), new_id)
        making = Making()

        caches.put(ANSWERS, "key", 42)

        assert caches.get(ANSWERS, "key") is None
        assert [caches.remembered(ANSWERS, "key", making) for _ in range(3)] == [1, 2, 3]
        assert cache.asked == 0
        assert caches.remembered(Region.RETRIEVAL, "key", making) == 4
        assert caches.remembered(Region.RETRIEVAL, "key", making) == 4


class TestOutages:
    def test_without_the_cache_everything_is_made_and_nobody_waits_for_it(
        self, cache: BreakableCache, caches: Caches, caplog: pytest.LogCaptureFixture
    ) -> None:
        cache.is_away = True
        making = Making()

        with caplog.at_level(logging.INFO):
            for number in range(10):
                assert caches.remembered(ANSWERS, "key", making) == number + 1
                assert caches.get(ANSWERS, "key") is None
                caches.put(ANSWERS, "key", 42)
            assert cache.asked == 1
            with pytest.raises(CacheUnavailable, match=r"everything is made anew\. It is away\."):
                caches.check()
            caches.look()
            assert caplog.messages == ["nothing is cached, everything is made anew: It is away."]

            cache.is_away = False
            caches.look()
            assert caplog.messages[1:] == ["things are cached again"]

        assert caches.check() == "cached in memory"
        assert caches.remembered(ANSWERS, "key", making) == 11
        assert caches.remembered(ANSWERS, "key", making) == 11

    @pytest.mark.parametrize("calls", range(6))
    def test_at_whatever_step_it_goes_away_the_value_is_made_once(
        self, cache: BreakableCache, caches: Caches, calls: int
    ) -> None:
        making = Making()
        cache.away_after(calls)

        assert caches.remembered(ANSWERS, "key", making) == 1
        assert making.times == 1

    def test_an_operator_who_clears_is_told_when_nothing_was_cleared(
        self, cache: BreakableCache, caches: Caches
    ) -> None:
        cache.is_away = True

        with pytest.raises(CacheUnavailable, match="It is away"):
            caches.clear()

    def test_the_report_says_what_is_not_known(self, cache: BreakableCache, caches: Caches) -> None:
        caches.get(ANSWERS, "key")
        cache.is_away = True

        report = caches.report()

        assert report["available"] is False
        assert report["bytes"] is None
        assert report["regions"]["answers"] == {
            "entries": None, "hits": None, "misses": None, "hit_rate": None, "lifetime": 3600
        }  # fmt: skip
        cache.is_away = False
        assert caches.report()["regions"]["answers"]["misses"] == 1


class TestReport:
    def test_it_counts_what_was_found_and_what_was_not(self, caches: Caches) -> None:
        making = Making()
        for _ in range(4):
            caches.remembered(ANSWERS, "key", making)
        caches.get(Region.STATISTICS, "key")

        report = caches.report()

        assert report["available"] is True
        assert report["backend"] == "memory"
        assert report["bytes"] > 0
        assert list(report["regions"]) == list(Region)
        assert report["regions"]["answers"] == {
            "entries": 1, "hits": 3, "misses": 1, "hit_rate": 0.75, "lifetime": 3600
        }  # fmt: skip
        assert report["regions"]["statistics"]["hit_rate"] == 0.0
        assert report["regions"]["retrieval"] == {
            "entries": 0, "hits": 0, "misses": 0, "hit_rate": None, "lifetime": 3600
        }  # fmt: skip

    def test_what_is_counted_is_told_by_the_look_and_not_by_the_requests(
        self, cache: BreakableCache, caches: Caches
    ) -> None:
        for _ in range(10):
            caches.get(ANSWERS, "key")
        assert cache.asked == 10

        caches.look()
        caches.look()

        assert cache.asked == 11
        assert cache.holding().counts["answers"].misses == 10

    def test_counts_of_all_threads_add_up(self, caches: Caches) -> None:
        caches.put(ANSWERS, "key", 1)

        def ask(_: int) -> None:
            for number in range(200):
                caches.get(ANSWERS, "key")
                if number % 50 == 0:
                    caches.look()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(ask, range(4)))

        assert caches.report()["regions"]["answers"]["hits"] == 800


class TestClearing:
    def test_a_region_or_what_fits_a_pattern_is_cleared(self, caches: Caches) -> None:
        for region in (ANSWERS, Region.RETRIEVAL):
            for key in ("project:1:a", "project:1:b", "project:2:a"):
                caches.put(region, key, 1)

        assert caches.clear(ANSWERS, "project:1:*") == 2
        assert caches.get(ANSWERS, "project:2:a") == 1
        assert caches.clear(pattern="project:?:a") == 3
        assert caches.clear() == 1

    @pytest.mark.parametrize("pattern", ["", "x" * 201, "a\x00b", "a\nb", "\ud800"])
    def test_what_is_no_pattern_is_refused_by_name(self, caches: Caches, pattern: str) -> None:
        caches.put(ANSWERS, "key", 1)

        with pytest.raises(Invalid) as refused:
            caches.clear(None, pattern)

        assert set(refused.value.fields) == {"pattern"}
        assert caches.get(ANSWERS, "key") == 1
