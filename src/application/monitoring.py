"""How the parts of an installation are, and how much waits in it: for whoever watches over it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from application.ports.persistence import StorageUnavailable
from application.ports.telemetry import Backlog, Backlogs, Sample
from application.telemetry import spawn

log = logging.getLogger(__name__)

T = TypeVar("T")

Part = Callable[[], str]
"""Says in a line what answers, or raises."""

_FRESH = 5.0
"""Seconds for which what was found is good enough for the next who asks: nobody can keep the parts busy by asking."""

_DEAR = {"model": 60.0, "embeddings": 60.0, "knowledge": 60.0}
"""The same of parts that cost something each time: money, or a look at all that there is. No sample needs them."""

_READ_MODELS = "read models"


class Condition(StrEnum):
    """`degraded`: everything works, but something not as well, or not as fast; `failed`: it cannot work."""

    OK = "ok"
    DEGRADED = "degraded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PartReport:
    """One part: whether it does what it should, in how many milliseconds it said so, and what it said."""

    is_ok: bool
    latency_ms: float
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """All parts together."""

    condition: Condition
    parts: Mapping[str, PartReport]


@dataclass(slots=True)
class _Known:
    """What was found out last about one part, and who is finding out."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    report: PartReport | None = None
    at: float = 0.0
    asking_since: float | None = None
    done: threading.Event = field(default_factory=threading.Event)


class Monitor:
    """Asks the parts side by side, each at most every few seconds.

    One that does not answer for `patience` seconds counts as failed, and is not asked again until it has.
    """

    def __init__(self, parts: Mapping[str, Part], backlogs: Backlogs, *, patience: float = 3.0) -> None:
        self._parts = parts
        self._backlogs = backlogs
        self._patience = patience
        self._known = {part: _Known() for part in parts}
        self._backlog: tuple[float, Backlog] | None = None

    def health(self, essential: Collection[str], *, only: Collection[str] | None = None) -> Report:
        """How the parts are, or only these. Without an `essential` one nothing works."""
        names = [part for part in self._parts if only is None or part in only]
        began = time.monotonic()
        for part in names:
            self._begin(part, began)
        reports = {part: self._awaited(part, began) for part in names}
        failed = {part for part, report in reports.items() if not report.is_ok}
        condition = Condition.DEGRADED if failed else Condition.OK
        return Report(Condition.FAILED if failed & set(essential) else condition, reports)

    def samples(self) -> Sequence[Sample]:
        """The gauges of the whole installation; what the database would have to tell is left out while it is away."""
        health = self.health((), only=[part for part in self._parts if part not in _DEAR])
        samples = [Sample("part_up", float(report.is_ok), {"part": part}) for part, report in health.parts.items()]
        try:
            return [*samples, *self._waiting()]
        except StorageUnavailable as away:
            log.warning("how much waits is not known: %s", away.message)
            return samples

    def _waiting(self) -> Iterator[Sample]:
        now = time.monotonic()
        if self._backlog is None or now >= self._backlog[0] + _FRESH:
            self._backlog = now, self._backlogs.look()
        backlog = self._backlog[1]
        yield Sample("replies_queued", backlog.queued_replies.count, {})
        yield Sample("replies_queued_oldest_seconds", backlog.queued_replies.age, {})
        yield Sample("replies_running", backlog.running_replies.count, {})
        for kind, waiting in backlog.queued_jobs.items():
            yield Sample("jobs_queued", waiting.count, {"kind": kind})
            yield Sample("jobs_queued_oldest_seconds", waiting.age, {"kind": kind})
        for kind, running in backlog.running_jobs.items():
            yield Sample("jobs_running", running.count, {"kind": kind})
        yield Sample("outbox_events", backlog.outbox.count, {})
        yield Sample("outbox_oldest_seconds", backlog.outbox.age, {})
        if _READ_MODELS in self._parts:
            yield Sample("projection_lag_seconds", backlog.outbox.age, {})

    def _begin(self, part: str, now: float) -> None:
        known = self._known[part]
        with known.lock:
            is_fresh = known.report is not None and now < known.at + _DEAR.get(part, _FRESH)
            if is_fresh or known.asking_since is not None:
                return
            known.asking_since = now
            known.done = threading.Event()
        spawn(self._ask, part, known, name=f"health of {part}")

    def _ask(self, part: str, known: _Known) -> None:
        began = time.monotonic()
        try:
            is_ok, detail = True, self._parts[part]()
        except Exception as failure:
            is_ok, detail = False, str(failure)
        ended = time.monotonic()
        with known.lock:
            known.report = PartReport(is_ok, round((ended - began) * 1000, 1), detail)
            known.at = ended
            known.asking_since = None
        known.done.set()

    def _awaited(self, part: str, began: float) -> PartReport:
        known = self._known[part]
        with known.lock:
            since, done = known.asking_since, known.done
        if since is not None and not done.wait(max(0.0, since + self._patience - time.monotonic())):
            waited = time.monotonic() - since
            return PartReport(False, round(waited * 1000, 1), f"It has not answered for {waited:.0f} seconds.")
        report = known.report
        assert report is not None  # noqa: S101 # who has been asked has answered
        return report
