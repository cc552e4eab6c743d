"""How often: rates as they are written, which one holds for whom, and what happens without a limiter."""

from __future__ import annotations

import logging
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.ports.runtime import RateLimiterUnavailable
from application.rates import RateLimits
from domain.errors import Category, Conflict
from domain.identity import Principal, PrincipalKind
from domain.rate_limits import Action, Allowance, Rate, RateExceeded, RateLimitPolicy, subscriber
from entrypoints.http.rates import headers
from tests.builders import ALICE, BOB
from tests.fakes.rates import BreakableRateLimiter

VISITOR = Principal(PrincipalKind.VISITOR, "v")


class TestRates:
    @pytest.mark.parametrize(
        ("text", "limit", "window"),
        [
            ("30/hour", 30, 3600),
            ("10/minute", 10, 60),
            ("1/second", 1, 1),
            ("100/day", 100, 86400),
            ("5/30s", 5, 30),
            ("5/2h", 5, 7200),
            (" 7/15M ", 7, 900),
            ("1000/7d", 1000, 604800),
        ],
    )
    def test_a_rate_is_a_number_per_time(self, text: str, limit: int, window: int) -> None:
        assert Rate.parse(text) == Rate(limit, window)

    def test_none_is_no_limit(self) -> None:
        assert Rate.parse("none") is None

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "30",
            "30/",
            "/hour",
            "0/hour",
            "-1/hour",
            "1.5/hour",
            "30/fortnight",
            "30 per hour",
            "100001/hour",
            "5/0s",
            "5/31d",
            "5/2592001s",
            "٣/hour",
            "5/hour/hour",
            "unlimited",
            "5/99999999999s",
        ],
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"Must be a number per time|must be 1"):
            Rate.parse(text)

    @given(st.builds(Rate, st.integers(1, 100_000), st.integers(1, 30 * 86400)))
    def test_a_rate_is_read_as_it_was_written(self, rate: Rate) -> None:
        assert Rate.parse(str(rate)) == rate

    @pytest.mark.parametrize(
        ("text", "words"),
        [("30/hour", "30 questions per hour"), ("5/30s", "5 questions per 30 seconds"), ("2/3600s", None)],
    )
    def test_a_rate_in_words(self, text: str, words: str | None) -> None:
        rate = Rate.parse(text)

        assert rate is not None
        assert rate.of("questions") == (words or "2 questions per hour")


class TestPolicy:
    def test_visitors_are_limited_and_users_are_not(self) -> None:
        policy = RateLimitPolicy()

        assert policy.rate(Action.ASK, PrincipalKind.VISITOR) == Rate(30, 3600)
        assert policy.rate(Action.ASK, PrincipalKind.USER) is None
        assert policy.rate(Action.OPEN_ROOM, PrincipalKind.VISITOR) == Rate(10, 3600)
        assert policy.rate(Action.OPEN_ROOM, PrincipalKind.USER) is None

    def test_messages_on_a_socket_are_limited_for_everybody(self) -> None:
        for kind in PrincipalKind:
            assert RateLimitPolicy().rate(Action.SOCKET_MESSAGE, kind) == Rate(10, 60)

    def test_new_visitors_are_limited_by_address(self) -> None:
        assert RateLimitPolicy().rate(Action.WELCOME_VISITOR, None) == Rate(30, 3600)


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::99", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::99", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unknown", "unknown"),
    ],
)
def test_an_address_is_that_of_a_subscriber(address: str, counted_as: str) -> None:
    assert subscriber(address) == counted_as


class TestHeaders:
    def test_each_policy_is_named_with_what_is_left_of_it(self) -> None:
        told = headers(
            [
                Allowance(Action.ASK, Rate(30, 3600), granted=True, remaining=29, resets_in=3598.2),
                Allowance(Action.SOCKET_MESSAGE, Rate(10, 60), granted=True, remaining=0, resets_in=41.0),
            ]
        )

        assert told == {
            "RateLimit-Policy": '"ask";q=30;w=3600, "socket_message";q=10;w=60',
            "RateLimit": '"ask";r=29;t=3599, "socket_message";r=0;t=41',
        }

    def test_nothing_is_told_where_nothing_is_limited(self) -> None:
        assert headers([]) == {}


class TestSpending:
    @pytest.fixture
    def limiter(self) -> BreakableRateLimiter:
        return BreakableRateLimiter()

    @pytest.fixture
    def rates(self, limiter: BreakableRateLimiter) -> RateLimits:
        policy = RateLimitPolicy(ask_visitor=Rate(2, 3600), socket_message=Rate(3, 60), visitors=Rate(1, 3600))
        return RateLimits(policy, limiter, uuid4)

    def test_what_is_done_is_counted(self, rates: RateLimits) -> None:
        left = []
        for _ in range(2):
            with rates.spending(VISITOR, Action.ASK) as spent:
                left += [allowance.remaining for allowance in spent.allowances]

        assert left == [1, 0]
        with pytest.raises(RateExceeded) as refused:
            rates.spending(VISITOR, Action.ASK)
        assert refused.value.category is Category.LIMITED
        assert refused.value.slug == "rate_limited"
        assert refused.value.message == "2 questions per hour is the most."
        assert 3590 < refused.value.retry_after <= 3600
        assert refused.value.details == {
            "action": "ask",
            "limit": 2,
            "window": 3600,
            "retry_after": refused.value.retry_after,
        }

    def test_what_fails_is_not_counted(self, rates: RateLimits) -> None:
        for _ in range(5):
            with pytest.raises(Conflict), rates.spending(VISITOR, Action.ASK) as spent:
                raise Conflict("reply_in_progress", "One is being written.")

            assert [allowance.remaining for allowance in spent.allowances] == [2]

    def test_what_had_been_done_before_is_refunded_once(self, rates: RateLimits) -> None:
        with rates.spending(VISITOR, Action.ASK) as spent:
            pass
        with rates.spending(VISITOR, Action.ASK) as replayed:
            replayed.refund()
            replayed.refund()

        assert [allowance.remaining for allowance in spent.allowances] == [1]
        assert [allowance.remaining for allowance in replayed.allowances] == [1]
        with rates.spending(VISITOR, Action.ASK):
            pass
        with pytest.raises(RateExceeded):
            rates.spending(VISITOR, Action.ASK)

    def test_of_several_actions_all_are_counted_or_none(self, rates: RateLimits) -> None:
        for _ in range(2):
            with rates.spending(VISITOR, Action.ASK, Action.SOCKET_MESSAGE):
                pass

        with pytest.raises(RateExceeded) as refused:
            rates.spending(VISITOR, Action.ASK, Action.SOCKET_MESSAGE)

        assert refused.value.details["action"] == "ask"
        assert [(each.action, each.granted, each.remaining) for each in refused.value.allowances] == [
            (Action.ASK, False, 0),
            (Action.SOCKET_MESSAGE, True, 1),
        ]
        with rates.spending(VISITOR, Action.SOCKET_MESSAGE) as spent:
            assert [allowance.remaining for allowance in spent.allowances] == [0]

    def test_of_several_exhausted_ones_the_longest_wait_is_told(self, rates: RateLimits) -> None:
        for _ in range(2):
            rates.spending(VISITOR, Action.ASK, Action.SOCKET_MESSAGE)
        rates.spending(VISITOR, Action.SOCKET_MESSAGE)

        with pytest.raises(RateExceeded) as refused:
            rates.spending(VISITOR, Action.SOCKET_MESSAGE, Action.ASK)

        assert refused.value.details["action"] == "ask"
        assert refused.value.retry_after > 60

    def test_nobody_uses_up_what_is_somebody_elses(self, rates: RateLimits) -> None:
        for name in ("alice", "bob"):
            for _ in range(2):
                rates.spending(Principal(PrincipalKind.VISITOR, name), Action.ASK)
        for address in ("192.0.2.1", "192.0.2.2"):
            rates.spending(address, Action.WELCOME_VISITOR)
        for user in (ALICE, BOB):
            for _ in range(3):
                rates.spending(user, Action.SOCKET_MESSAGE)

        with pytest.raises(RateExceeded):
            rates.spending("192.0.2.2", Action.WELCOME_VISITOR)

    def test_without_a_limit_the_limiter_is_not_asked(self, rates: RateLimits, limiter: BreakableRateLimiter) -> None:
        with rates.spending(ALICE, Action.ASK) as spent:
            assert spent.allowances == ()
        spent.refund()

        assert limiter.asked == 0

    def test_without_the_limiter_everything_is_allowed_and_nobody_waits_for_it(
        self, rates: RateLimits, limiter: BreakableRateLimiter, caplog: pytest.LogCaptureFixture
    ) -> None:
        limiter.is_away = True

        with caplog.at_level(logging.INFO):
            for _ in range(10):
                with rates.spending(VISITOR, Action.ASK) as spent:
                    assert spent.allowances == ()
            assert limiter.asked == 1
            with pytest.raises(RateLimiterUnavailable, match=r"every rate is allowed. It is away\."):
                rates.check()
            rates.look()
            assert caplog.messages == ["rates are not counted, every one is allowed: It is away."]

            limiter.is_away = False
            rates.look()
            assert caplog.messages[1:] == ["rates are counted again"]

        assert rates.check() == "rates are counted"
        for _ in range(2):
            rates.spending(VISITOR, Action.ASK)
        with pytest.raises(RateExceeded):
            rates.spending(VISITOR, Action.ASK)

    def test_a_refund_that_does_not_arrive_disturbs_nobody(
        self, rates: RateLimits, limiter: BreakableRateLimiter
    ) -> None:
        spent = rates.spending(VISITOR, Action.ASK)
        limiter.is_away = True
        with pytest.raises(Conflict), spent:
            raise Conflict("reply_in_progress", "One is being written.")

        with rates.spending(VISITOR, Action.ASK) as spent:
            assert spent.allowances == ()
