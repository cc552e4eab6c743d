"""What the application tells of its work: ids that every log line carries, counts and times, and spans of a trace."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from types import MappingProxyType

from application.ports.telemetry import Kind, Metrics, Span, Tracer

_slow = logging.getLogger("slow_query")

Observe = Callable[[str, str, float], None]
"""Told of every statement: its store, what kind of statement it is (one of few words), and how many seconds it took."""

_LONGEST = 2_000
"""Characters of a statement that are told."""

_NO_IDS: Mapping[str, str] = MappingProxyType({})

_ids: ContextVar[Mapping[str, str]] = ContextVar("ids", default=_NO_IDS)

_traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)


def bind(**ids: object) -> None:
    """Have everything that is logged from now on in the present context carry these ids (None: leave one out)."""
    _ids.set({**_ids.get(), **{name: str(value) for name, value in ids.items() if value is not None}})


@contextmanager
def bound(**ids: object) -> Iterator[None]:
    """Have everything that is logged within carry these ids, and nothing that was bound within after that."""
    before = _ids.set(_ids.get())
    bind(**ids)
    try:
        yield
    finally:
        _ids.reset(before)


def begin(**ids: object) -> None:
    """Bind these ids and forget all others: what begins here has nothing to do with what was done before."""
    _ids.set(_NO_IDS)
    bind(**ids)


def bound_ids() -> Mapping[str, str]:
    """The ids of the present context, by their names in the log."""
    return _ids.get()


def traceparent() -> str | None:
    """How others go on with the present trace; None when there is none."""
    return _traceparent.get()


def spawn(work: Callable[..., object], *arguments: object, name: str) -> threading.Thread:
    """Start a daemon thread that goes on in the present context, with its ids and its trace."""
    thread = threading.Thread(target=copy_context().run, args=(work, *arguments), name=name, daemon=True)
    thread.start()
    return thread


def tell_slow(store: str, statement: str, seconds: float) -> None:
    """Log that a store took so long over a statement, of which only the text is told, never its parameters."""
    _slow.warning(
        "slow query",
        extra={"store": store, "statement": " ".join(statement.split())[:_LONGEST], "seconds": round(seconds, 4)},
    )


class _Silent:
    """Tells nobody anything."""

    traceparent = None

    def count(self, name: str, amount: float = 1.0, /, **labels: str) -> None: ...

    def observe(self, name: str, value: float, /, **labels: str) -> None: ...

    def change(self, name: str, by: float, /, **labels: str) -> None: ...

    def put(self, name: str, value: float, /, **labels: str) -> None: ...

    def note(self, **attributes: str | float) -> None: ...

    def rename(self, name: str) -> None: ...

    def fail(self, kind: str) -> None: ...


_SILENT = _Silent()


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What a process shows of itself: nothing, unless it is given where to."""

    metrics: Metrics = _SILENT
    tracer: Tracer | None = None

    @contextmanager
    def span(
        self,
        name: str,
        attributes: Mapping[str, str | float] = _NO_IDS,
        *,
        parent: str | None = None,
        since: float | None = None,
        kind: Kind = "internal",
    ) -> Iterator[Span]:
        """A span of a trace, see Tracer.span; nothing where nobody traces. What is queued within is traced to it."""
        if self.tracer is None:
            yield _SILENT
            return
        tracing = self.tracer.span(name, parent=parent, since=since, kind=kind, attributes=attributes)
        with tracing as span:
            before = _traceparent.set(span.traceparent)
            try:
                yield span
            finally:
                _traceparent.reset(before)

    @contextmanager
    def phase(
        self, name: str, *, since: float | None = None, kind: Kind = "internal", **attributes: str | float
    ) -> Iterator[Span]:
        """A part of writing a reply, from now or `since` on: a span, and a time in `reply_phase_seconds`."""
        started = time.monotonic() if since is None else since
        with self.span(name, attributes, since=since, kind=kind) as span:
            try:
                yield span
            finally:
                self.metrics.observe("reply_phase_seconds", time.monotonic() - started, phase=name)

    @property
    def observe_statements(self) -> Observe | None:
        """What notes statements; None where nobody looks on, so that they need not be timed."""
        return None if self.metrics is _SILENT else self._observe_statement

    def _observe_statement(self, store: str, kind: str, seconds: float) -> None:
        self.metrics.observe("database_statement_seconds", seconds, store=store, kind=kind)

    def done(self, name: str, *, since: float) -> None:
        """Tell of a phase that has come to its end just now, of which nobody knew where it belongs before."""
        with self.phase(name, since=since):
            pass


SILENT = Telemetry()
"""Where nobody looks on: commands, and tests."""
