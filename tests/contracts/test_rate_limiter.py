"""What every rate limiter must do: in no window is more granted than the limit, and no less than there is room for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.in_process.rates import InProcessRateLimiter
from adapters.redis.rates import RedisRateLimiter
from adapters.redis.server import RedisServer
from application.ports.runtime import Quota, RateLimiter, RateLimiterUnavailable
from domain.rate_limits import Rate
from tests.fakes.rates import BreakableRateLimiter
from tests.servers import RedisServer as OwnServer
from tests.servers import a_redis, missing_programs
from tests.waiting import eventually

HOUR = 3600

Steps = list[tuple[float, Mapping[str, int], int | None]]
"""What happens: so many seconds pass, an earlier spend is refunded, keys are spent under their limits."""

# Minutes apart, so that the time which a test takes makes no difference.
_KEYS = st.dictionaries(st.sampled_from("ab"), st.integers(1, 3), min_size=1)
_STEPS = st.lists(
    st.tuples(st.integers(0, 8).map(lambda n: n * 600.0), _KEYS, st.none() | st.integers(0, 20)), max_size=40
)
_PROPERTY = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def spend(limiter: RateLimiter, rate: Rate, key: str = "key") -> Quota:
    return limiter.spend(uuid4(), {key: rate})[key]


def granted(limiter: RateLimiter, rate: Rate, key: str = "key", *, of: int) -> int:
    return sum(spend(limiter, rate, key).granted for _ in range(of))


def require_exactness(limiter: RateLimiter, elapse: Callable[[float], None], steps: Steps) -> None:
    """In any window at most the limit is granted, and never less than there is room for."""
    example = uuid4().hex
    now = 0.0
    spends: list[tuple[UUID, float, set[str]]] = []  # id, time, keys

    def within(key: str, end: float) -> int:
        """How many count in the window that ends there."""
        return sum(key in keys and end - HOUR < at <= end for _, at, keys in spends)

    for seconds, limits, refunded in steps:
        elapse(seconds)
        now += seconds
        if refunded is not None and refunded < len(spends):
            spend_id, _, keys = spends.pop(refunded)
            limiter.refund(spend_id, [f"{example}{key}" for key in keys])
        has_room = {key: within(key, now) < limit for key, limit in limits.items()}
        spend_id = uuid4()
        answer = limiter.spend(spend_id, {f"{example}{key}": Rate(limit, HOUR) for key, limit in limits.items()})
        if all(has_room.values()):
            spends.append((spend_id, now, set(limits)))

        assert {key: answer[f"{example}{key}"].granted for key in limits} == has_room
        for key, limit in limits.items():
            assert answer[f"{example}{key}"].remaining == max(limit - within(key, now), 0)
        if all(has_room.values()):
            assert all(within(key, now) <= limit for key, limit in limits.items())


class RateLimiterContract:
    @pytest.fixture
    def limiter(self) -> RateLimiter:
        raise NotImplementedError

    @pytest.fixture
    def elapse(self) -> Callable[[float], None]:
        """Lets so many seconds pass for the limiter."""
        raise NotImplementedError

    def test_as_many_as_the_limit_are_granted(self, limiter: RateLimiter) -> None:
        answers = [spend(limiter, Rate(3, HOUR)) for _ in range(5)]

        assert [answer.granted for answer in answers] == [True, True, True, False, False]
        assert [answer.remaining for answer in answers] == [2, 1, 0, 0, 0]
        assert all(HOUR - 60 < answer.resets_in <= HOUR for answer in answers)

    def test_the_window_moves(self, limiter: RateLimiter, elapse: Callable[[float], None]) -> None:
        """With windows that begin on the hour there would be room for twice as many around it."""
        rate = Rate(2, HOUR)
        assert spend(limiter, rate).granted
        elapse(HOUR - 600)
        assert spend(limiter, rate).granted

        refused = spend(limiter, rate)
        assert not refused.granted
        assert 540 < refused.resets_in <= 600
        elapse(600)
        assert granted(limiter, rate, of=3) == 1
        elapse(HOUR - 600)
        assert granted(limiter, rate, of=3) == 1

    def test_what_is_refused_does_not_count(self, limiter: RateLimiter, elapse: Callable[[float], None]) -> None:
        rate = Rate(1, HOUR)
        assert spend(limiter, rate).granted
        for _ in range(5):
            elapse(600)
            assert not spend(limiter, rate).granted
        elapse(600)

        assert spend(limiter, rate).granted

    def test_keys_do_not_know_each_other(self, limiter: RateLimiter) -> None:
        keys = ["ask:user:alice", "ask:user:bob", "ask:visitor:alice", "ask:user:alice:", "ask:user:Álice 🦊", "*"]

        for key in keys:
            assert granted(limiter, Rate(2, HOUR), key, of=4) == 2

    def test_of_several_keys_all_are_spent_or_none(self, limiter: RateLimiter) -> None:
        both = {"few": Rate(1, HOUR), "many": Rate(3, 60)}
        first, second = limiter.spend(uuid4(), both), limiter.spend(uuid4(), both)

        assert {key: (quota.granted, quota.remaining) for key, quota in first.items()} == {
            "few": (True, 0),
            "many": (True, 2),
        }
        assert {key: (quota.granted, quota.remaining) for key, quota in second.items()} == {
            "few": (False, 0),
            "many": (True, 2),
        }
        assert 0 < second["many"].resets_in <= 60
        assert granted(limiter, Rate(3, 60), "many", of=4) == 2

    def test_a_key_that_was_never_spent_has_nothing_to_wait_for(self, limiter: RateLimiter) -> None:
        spend(limiter, Rate(1, HOUR), "few")

        answer = limiter.spend(uuid4(), {"few": Rate(1, HOUR), "new": Rate(5, HOUR)})

        assert answer["new"] == Quota(granted=True, remaining=5, resets_in=0)

    def test_what_is_refunded_was_never_spent(self, limiter: RateLimiter) -> None:
        both = {"one": Rate(2, HOUR), "other": Rate(2, HOUR)}
        first, second = uuid4(), uuid4()
        limiter.spend(first, both)
        limiter.spend(second, both)

        limiter.refund(first, list(both))
        limiter.refund(first, list(both))

        for key in both:
            assert granted(limiter, Rate(2, HOUR), key, of=3) == 1

    def test_a_refund_of_what_was_never_spent_does_nothing(self, limiter: RateLimiter) -> None:
        spend(limiter, Rate(2, HOUR))

        limiter.refund(uuid4(), ["key", "another"])

        assert granted(limiter, Rate(2, HOUR), of=3) == 1

    def test_a_limit_that_was_lowered_waits_until_there_is_room(
        self, limiter: RateLimiter, elapse: Callable[[float], None]
    ) -> None:
        for _ in range(3):
            spend(limiter, Rate(3, HOUR))
            elapse(600)

        refused = spend(limiter, Rate(1, HOUR))

        assert not refused.granted
        assert refused.remaining == 0
        assert HOUR - 660 < refused.resets_in <= HOUR - 600

    def test_a_burst_of_threads_gets_exactly_the_limit(self, limiter: RateLimiter) -> None:
        threads = 8
        together = threading.Barrier(threads)

        def burst(_: int) -> int:
            together.wait()
            return granted(limiter, Rate(50, HOUR), of=20)

        with ThreadPoolExecutor(threads) as pool:
            assert sum(pool.map(burst, range(threads))) == 50


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class TestInProcessRateLimiter(RateLimiterContract):
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def limiter(self, clock: Clock) -> InProcessRateLimiter:
        return InProcessRateLimiter(clock)

    @pytest.fixture
    def elapse(self, clock: Clock) -> Callable[[float], None]:
        return clock.advance

    @given(_STEPS)
    @_PROPERTY
    def test_in_any_window_at_most_the_limit_and_never_less_than_there_is_room_for(
        self, limiter: RateLimiter, elapse: Callable[[float], None], steps: Steps
    ) -> None:
        require_exactness(limiter, elapse, steps)

    def test_threads_that_interrupt_each_other_get_exactly_the_limit(self, limiter: InProcessRateLimiter) -> None:
        class Interrupting(dict[str, Rate]):
            """Lets other threads go on in the middle of a spend."""

            def items(self) -> Any:
                for item in super().items():
                    yield item
                    time.sleep(0.0005)

        def spend_all(_: int) -> int:
            return sum(limiter.spend(uuid4(), Interrupting(key=Rate(20, HOUR)))["key"].granted for _ in range(10))

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(spend_all, range(4))) == 20

    def test_what_leaves_the_window_is_forgotten(self, limiter: InProcessRateLimiter, clock: Clock) -> None:
        for number in range(1000):
            spend(limiter, Rate(5, 30), f"visitor {number}")
        assert limiter.size == 1000
        clock.advance(61)

        spend(limiter, Rate(5, 30), "the next one")

        assert limiter.size == 1

    def test_what_is_refused_takes_no_memory(self, limiter: InProcessRateLimiter) -> None:
        spend(limiter, Rate(1, 30), "few")
        for number in range(100):
            limiter.spend(uuid4(), {"few": Rate(1, 30), f"visitor {number}": Rate(1, 30)})

        assert limiter.size == 1


class TestBreakableRateLimiter(RateLimiterContract):
    """The fake, as long as it is there."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def limiter(self, clock: Clock) -> RateLimiter:
        return BreakableRateLimiter(InProcessRateLimiter(clock))

    @pytest.fixture
    def elapse(self, clock: Clock) -> Callable[[float], None]:
        return clock.advance


class TestRedisRateLimiter(RateLimiterContract):
    @pytest.fixture
    def place(self) -> Iterator[tuple[str, str]]:
        with a_redis() as place:
            yield place

    @pytest.fixture
    def server(self, place: tuple[str, str]) -> Iterator[RedisServer]:
        with closing(RedisServer(*place)) as server:
            yield server

    @pytest.fixture
    def limiter(self, server: RedisServer) -> RateLimiter:
        return RedisRateLimiter(server)

    @pytest.fixture
    def elapse(self, server: RedisServer) -> Callable[[float], None]:
        """Nobody moves a server's clock: what it holds grows older instead, and ends the sooner."""

        def age(seconds: float) -> None:
            for key in list(server.client.scan_iter(f"{server.prefix}*")):
                spends: Any = server.client.zrange(key, 0, -1, withscores=True)
                for spend_id, at in spends:
                    server.client.zadd(key, {spend_id: at - seconds * 1_000_000})
                server.client.pexpire(key, int(server.client.pttl(key) - seconds * 1000))

        return age

    @given(_STEPS)
    @_PROPERTY
    def test_in_any_window_at_most_the_limit_and_never_less_than_there_is_room_for(
        self, limiter: RateLimiter, elapse: Callable[[float], None], steps: Steps
    ) -> None:
        require_exactness(limiter, elapse, steps)

    def test_a_burst_through_several_connections_gets_exactly_the_limit(self, place: tuple[str, str]) -> None:
        together = threading.Barrier(6)

        def burst(_: int) -> int:
            with closing(RedisServer(*place)) as server:
                limiter = RedisRateLimiter(server)
                together.wait()
                return granted(limiter, Rate(40, HOUR), of=20)

        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(burst, range(6))) == 40

    def test_in_real_time_no_window_holds_more_than_the_limit(self, limiter: RateLimiter) -> None:
        rate = Rate(20, 1)
        until = time.monotonic() + 3.5
        grants: list[tuple[float, float]] = []  # when each was asked for, and answered

        def ask_and_ask(_: int) -> None:
            while (asked := time.monotonic()) < until:
                if spend(limiter, rate).granted:
                    grants.append((asked, time.monotonic()))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(ask_and_ask, range(4)))

        grants.sort(key=lambda grant: grant[1])
        assert len(grants) > 20
        for index, (_, answered) in enumerate(grants[20:], 20):
            earliest = min(asked for asked, _ in grants[: index - 19])
            assert answered - earliest > 0.99

    def test_keys_end_by_themselves_and_not_too_early(self, limiter: RateLimiter, server: RedisServer) -> None:
        spend(limiter, Rate(3, 60))

        (key,) = server.client.scan_iter(f"{server.prefix}*")
        assert key == f"{server.prefix}rate:key".encode()
        assert 60_000 < server.client.pttl(key) <= 61_000

    def test_after_the_servers_clock_was_set_back_nobody_waits_for_longer_than_a_window(
        self, limiter: RateLimiter, elapse: Callable[[float], None]
    ) -> None:
        rate = Rate(2, HOUR)
        assert granted(limiter, rate, of=2) == 2
        elapse(-86400)

        refused = spend(limiter, rate)

        assert not refused.granted
        assert refused.resets_in <= HOUR
        elapse(HOUR)
        assert spend(limiter, rate).granted


@pytest.mark.skipif(bool(missing_programs(OwnServer)), reason=missing_programs(OwnServer))
class TestWithoutRedis:
    def test_it_says_that_it_is_away_and_counts_again_when_it_is_back(self) -> None:
        with OwnServer() as own, closing(RedisServer(own.url)) as server:
            limiter = RedisRateLimiter(server)
            assert spend(limiter, Rate(1, HOUR)).granted
            own.stop()

            with pytest.raises(RateLimiterUnavailable, match="Redis at"):
                spend(limiter, Rate(1, HOUR))
            with pytest.raises(RateLimiterUnavailable):
                limiter.refund(uuid4(), ["key"])

            own.start()
            eventually(lambda: _counts(limiter))
            assert granted(limiter, Rate(3, HOUR), "new", of=4) == 3

    def test_a_redis_that_is_full_counts_all_the_same(self) -> None:
        with OwnServer() as own, closing(RedisServer(own.url)) as server:
            limiter = RedisRateLimiter(server)
            server.client.config_set("maxmemory", 1)

            assert granted(limiter, Rate(3, HOUR), of=5) == 3


def _counts(limiter: RateLimiter) -> bool:
    try:
        spend(limiter, Rate(10_000, 1), "is it back")
    except RateLimiterUnavailable:
        return False
    return True
