"""How a process shows operators what it does: metrics, and traces where somebody collects them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol


class Metrics(Protocol):
    """Counts and measures, by name and labels. Nobody waits for it, and it raises for names and labels unknown to it.

    The names are those of docs/observability.md without `parley_`. Values of labels are words of the code, agents,
    tools and path templates: never an id, and never what somebody wrote, for each value is a series for ever.
    """

    def count(self, name: str, amount: float = 1.0, /, **labels: str) -> None:
        """Add to a counter; `amount` is not below 0."""
        ...

    def observe(self, name: str, value: float, /, **labels: str) -> None:
        """Note one value of a distribution; times are in seconds."""
        ...

    def change(self, name: str, by: float, /, **labels: str) -> None:
        """Raise or lower what this process has at the moment. It is gone when the process is."""
        ...

    def put(self, name: str, value: float, /, **labels: str) -> None:
        """Say what this process has at the moment. It is gone when the process is."""
        ...


Kind = Literal["internal", "server", "client", "consumer"]
"""What a span is to those around it: of this process alone, for who asked us, for whom we ask, for what was queued."""


class Span(Protocol):
    """A piece of work within a trace."""

    @property
    def traceparent(self) -> str | None:
        """How others go on with the trace (W3C Trace Context, section 3.2); None where nobody will see it."""
        ...

    def note(self, **attributes: str | float) -> None:
        """Add what has become known; the same bounds as those of labels do not hold here, but no texts either."""
        ...

    def rename(self, name: str) -> None:
        """Call it by what it has turned out to be."""
        ...

    def fail(self, kind: str) -> None:
        """Mark it as failed, by an error's slug or class."""
        ...


class Tracer(Protocol):
    """Records spans. Nobody waits for whoever collects them, or fails because that is away."""

    def span(
        self,
        name: str,
        *,
        parent: str | None = None,
        since: float | None = None,
        kind: Kind = "internal",
        attributes: Mapping[str, str | float],
    ) -> AbstractContextManager[Span]:
        """A span for the length of the context, within the present one or the `parent` (a traceparent) if given.

        `since` is when it began, on the monotonic clock, if that was earlier. What raises in it fails it.
        """
        ...

    def flush(self, timeout: float) -> None:
        """Hand over what was recorded, in at most so many seconds."""
        ...

    def present(self) -> Mapping[str, str]:
        """The `trace_id` and `span_id` of the present span; nothing outside of one."""
        ...


@dataclass(frozen=True, slots=True)
class Waiting:
    """So many things of one kind, of which the oldest has been there for `age` seconds."""

    count: int = 0
    age: float = 0.0


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is under way in the whole installation, as the database has it. `outbox` counts up to 10,000."""

    queued_replies: Waiting
    running_replies: Waiting
    queued_jobs: Mapping[str, Waiting]
    """By kind; only those that are due."""
    running_jobs: Mapping[str, Waiting]
    outbox: Waiting


class Backlogs(Protocol):
    """Looks up what is under way, at a cost that does not grow with what is kept."""

    def look(self) -> Backlog:
        """Raises StorageUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a gauge that is made when it is asked for."""

    name: str
    value: float
    labels: Mapping[str, str]


Samples = Sequence[Sample]
