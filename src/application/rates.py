"""Limits on how often, for every wire: spend before doing, refund what was not done."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field, replace
from types import TracebackType
from uuid import UUID

from application.ports.runtime import NewId, RateLimiter, RateLimiterUnavailable
from application.telemetry import SILENT, Telemetry
from domain.identity import Principal
from domain.rate_limits import Action, Allowance, Rate, RateExceeded, RateLimitPolicy, subscriber

log = logging.getLogger(__name__)

_PROBE = "probe"
_PROBE_RATE = Rate(10_000, 1)  # More than all processes look: finding out has to write.


@dataclass(slots=True)
class _Outage:
    """Why nothing is counted at the moment; None while everything is."""

    reason: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Counts what principals and addresses do.

    While the limiter is away everything is allowed, and nobody waits for it: requests do not ask again
    until `look`, which is called every second, has found it back.
    """

    policy: RateLimitPolicy
    limiter: RateLimiter
    new_id: NewId
    telemetry: Telemetry = SILENT
    _outage: _Outage = field(default_factory=_Outage, repr=False)

    def spending(self, who: Principal | str, *actions: Action) -> Spending:
        """Count these actions of a principal or a client's address: all, or none and raise RateExceeded.

        To be used as a context: what raises in it was not done, and is not counted.
        """
        name, kind = (who.key, who.kind) if isinstance(who, Principal) else (f"address:{subscriber(who)}", None)
        counted = {f"{action}:{name}": (action, rate) for action in actions if (rate := self.policy.rate(action, kind))}
        if not counted or self._outage.reason is not None:
            return Spending(self)
        spend_id = self.new_id()
        try:
            quotas = self.limiter.spend(spend_id, {key: rate for key, (_, rate) in counted.items()})
        except RateLimiterUnavailable as away:
            self._fail_open(away)
            return Spending(self)
        allowances = {
            key: Allowance(action, rate, quotas[key].granted, quotas[key].remaining, quotas[key].resets_in)
            for key, (action, rate) in counted.items()
        }
        if not all(allowance.granted for allowance in allowances.values()):
            for allowance in allowances.values():
                if not allowance.granted:
                    principal = kind.value if kind is not None else "address"
                    self.telemetry.metrics.count(
                        "rate_limits_hit_total", action=allowance.action.value, principal=principal
                    )
            raise RateExceeded(list(allowances.values()))
        return Spending(self, spend_id, allowances)

    def look(self) -> None:
        """After an outage, see whether the limiter is back."""
        if self._outage.reason is not None:
            self._probe()

    def check(self) -> str:
        """One line for whoever asks about this part; raises RateLimiterUnavailable while nothing is counted."""
        self._probe()
        if self._outage.reason is not None:
            raise RateLimiterUnavailable(f"Nothing is counted, every rate is allowed. {self._outage.reason}")
        return "rates are counted"

    def refund(self, spend_id: UUID, keys: list[str]) -> None:
        """Forget a spend; while the limiter is away it stays counted."""
        if self._outage.reason is None:
            try:
                self.limiter.refund(spend_id, keys)
            except RateLimiterUnavailable as away:
                self._fail_open(away)

    def _probe(self) -> None:
        try:
            self.limiter.spend(self.new_id(), {_PROBE: _PROBE_RATE})
        except RateLimiterUnavailable as away:
            self._fail_open(away)
            return
        with self._outage.lock:
            if self._outage.reason is not None:
                log.info("rates are counted again")
            self._outage.reason = None

    def _fail_open(self, away: RateLimiterUnavailable) -> None:
        with self._outage.lock:
            if self._outage.reason is None:
                log.warning("rates are not counted, every one is allowed: %s", away.message)
            self._outage.reason = away.message


class Spending:
    """What was spent, by action; nothing where there is no limit, or nothing is counted."""

    def __init__(
        self, rates: RateLimits, spend_id: UUID | None = None, allowances: dict[str, Allowance] | None = None
    ) -> None:
        self._rates = rates
        self._spend_id = spend_id
        self._allowances = allowances or {}

    @property
    def allowances(self) -> tuple[Allowance, ...]:
        """What is left of each rate."""
        return tuple(self._allowances.values())

    def refund(self) -> None:
        """Give back what was spent, for what was not done or had been done before; the second time does nothing."""
        spend_id, self._spend_id = self._spend_id, None
        if spend_id is not None:
            self._rates.refund(spend_id, list(self._allowances))
            self._allowances = {
                key: replace(allowance, remaining=allowance.remaining + 1)
                for key, allowance in self._allowances.items()
            }

    def __enter__(self) -> Spending:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if raised is not None:
            self.refund()
