"""Ids that log lines carry, spans and counts, and what is found out about the parts of an installation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest

from application.counting import CountEvents
from application.monitoring import Condition, Monitor
from application.ports.persistence import StorageUnavailable
from application.ports.projections import Model, RecordedEvent, Snapshot
from application.ports.telemetry import Backlog, Sample, Waiting
from application.telemetry import SILENT, Telemetry, begin, bind, bound, bound_ids, spawn, traceparent


@dataclass
class Counted:
    """Metrics that can be looked at."""

    values: dict[tuple[str, ...], float] = field(default_factory=dict)

    def count(self, name: str, amount: float = 1.0, /, **labels: str) -> None:
        key = (name, *labels.values())
        self.values[key] = self.values.get(key, 0.0) + amount

    observe = change = put = count


@dataclass
class Traced:
    """A tracer whose spans can be looked at; the parents of each by name."""

    spans: dict[str, str | None] = field(default_factory=dict)
    traceparent: str = "00-1-1-01"

    @contextmanager
    def span(self, name: str, *, parent: str | None = None, **about: object) -> Iterator[Traced]:
        self.spans[name] = parent
        yield self

    def flush(self, timeout: float) -> None: ...

    def present(self) -> Mapping[str, str]:
        return {}

    def note(self, **attributes: str | float) -> None: ...

    def rename(self, name: str) -> None: ...

    def fail(self, kind: str) -> None: ...


@pytest.fixture(autouse=True)
def _nothing_bound() -> None:
    begin()


def test_what_is_bound_within_is_forgotten_after_that() -> None:
    bind(request_id="r")

    with bound(reply_id=UUID(int=1)):
        bind(conversation_id="c")
        assert bound_ids() == {"request_id": "r", "reply_id": str(UUID(int=1)), "conversation_id": "c"}

    assert bound_ids() == {"request_id": "r"}


def test_what_begins_knows_nothing_of_what_was_before() -> None:
    bind(request_id="r")

    begin(job_id="j", principal=None)

    assert bound_ids() == {"job_id": "j"}


def test_a_thread_that_is_spawned_goes_on_in_the_context_and_leaves_it_alone() -> None:
    seen: list[Mapping[str, str]] = []

    def work(name: str) -> None:
        bind(inner=name)
        seen.append(bound_ids())

    with bound(reply_id="r"):
        spawn(work, "i", name="test").join()
        assert bound_ids() == {"reply_id": "r"}

    assert seen == [{"reply_id": "r", "inner": "i"}]


def test_without_a_tracer_nothing_is_traced_and_phases_are_still_timed() -> None:
    metrics = Counted()

    with Telemetry(metrics).phase("retrieval") as span:
        span.note(passages=3)
        assert traceparent() is None

    assert list(metrics.values) == [("reply_phase_seconds", "retrieval")]
    with SILENT.phase("model"):
        pass


def test_what_is_queued_within_a_span_knows_its_trace() -> None:
    tracer = Traced()

    with Telemetry(tracer=tracer).span("reply", parent="00-2-2-01"):
        assert traceparent() == "00-1-1-01"

    assert traceparent() is None
    assert tracer.spans == {"reply": "00-2-2-01"}


def test_a_phase_that_fails_is_timed_too() -> None:
    metrics = Counted()

    with pytest.raises(ZeroDivisionError), Telemetry(metrics).phase("model"):
        _ = 1 / 0

    assert ("reply_phase_seconds", "model") in metrics.values


def an_event(name: str, subject_id: UUID, *known: Snapshot, **payload: object) -> RecordedEvent:
    return RecordedEvent(1, name, subject_id, dict(payload), known)


def a_message(message_id: UUID, **given: object) -> Snapshot:
    document: dict[str, object] = {
        "role": "assistant",
        "agent": "general",
        "status": "completed",
        "metadata": {},
        "tool_calls": [],
        "error": None,
    }
    return Snapshot(
        model=Model.MESSAGES, id=message_id, version=1, owner="user:a", hidden=False, document=document | given
    )


def counted(*events: RecordedEvent) -> dict[tuple[str, ...], float]:
    metrics = Counted()
    CountEvents(metrics, {"current_time"})(events)
    return metrics.values


def test_what_a_reply_used_is_counted_by_its_agent() -> None:
    reply, conversation = uuid4(), uuid4()
    metadata = {
        "response_time_ms": 1500,
        "time_to_first_token_ms": 250,
        "usage": {"input_tokens": 10, "output_tokens": 5, "estimated": True},
        "cost": {"amount": 0.25, "currency": "EUR"},
    }
    message = a_message(reply, metadata=metadata)

    assert counted(
        an_event("MessagePosted", conversation, message, message_id=reply),
        an_event("ReplyEnded", reply, status="completed"),
    ) == {
        ("messages_total", "assistant"): 1,
        ("replies_total", "general", "completed"): 1,
        ("reply_seconds", "general"): 1.5,
        ("reply_first_token_seconds", "general"): 0.25,
        ("reply_tokens_total", "general", "input"): 10,
        ("reply_tokens_total", "general", "output"): 5,
        ("reply_cost_total", "general", "EUR"): 0.25,
    }


def test_a_tool_that_a_model_made_up_is_no_new_series() -> None:
    reply = uuid4()
    calls = [
        {"name": "current_time", "error": None},
        {"name": "current_time", "error": {"code": "tool_timeout"}},
        {"name": f"made up {reply}", "error": {"code": "tool_unknown"}},
    ]
    message = a_message(reply, tool_calls=calls)

    found = counted(
        an_event("MessagePosted", uuid4(), message, message_id=str(reply)), an_event("ReplyEnded", reply, status="x")
    )

    assert {name: count for name, count in found.items() if name[0] == "tool_calls_total"} == {
        ("tool_calls_total", "current_time", "ok"): 1,
        ("tool_calls_total", "current_time", "failed"): 1,
        ("tool_calls_total", "unknown", "failed"): 1,
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"metadata": {"fallback": {"code": "model_failed"}}},
            {("reply_fallbacks_total", "model_failed"): 1, ("model_errors_total", "model_failed"): 1},
        ),
        ({"error": {"code": "model_timeout"}, "status": "timed_out"}, {("model_errors_total", "model_timeout"): 1}),
        ({"error": {"code": "internal_error"}, "status": "failed"}, {}),
    ],
    ids=["the fallback answered", "nobody answered", "our own fault"],
)
def test_what_was_wrong_with_the_model_is_counted(
    given: dict[str, object], expected: dict[tuple[str, ...], float]
) -> None:
    reply = uuid4()
    message = a_message(reply, **given)

    found = counted(an_event("MessageSuperseded", uuid4(), message), an_event("ReplyEnded", reply, status="x"))

    assert {name: count for name, count in found.items() if name[0] != "replies_total"} == expected


def test_what_was_asked_is_bound_to_what_else_is_logged() -> None:
    reply, conversation, job = uuid4(), uuid4(), uuid4()

    counted(an_event("ReplyQueued", reply, conversation_id=str(conversation)), an_event("JobQueued", job))

    assert bound_ids() == {"reply_id": str(reply), "conversation_id": str(conversation), "job_id": str(job)}


class Backlogs:
    def __init__(self, *, away: bool = False) -> None:
        self.away = away
        self.looks = 0

    def look(self) -> Backlog:
        self.looks += 1
        if self.away:
            raise StorageUnavailable("It is away.")
        return Backlog(
            Waiting(2, 7.5), Waiting(1, 3.0), {"ingest": Waiting(4, 9.0)}, {"ingest": Waiting()}, Waiting(5, 6.0)
        )


def monitor(backlogs: Backlogs | None = None, **parts: Callable[[], str]) -> Monitor:
    return Monitor(parts, backlogs or Backlogs())


def fine() -> str:
    return "fine"


def broken() -> str:
    raise RuntimeError("broken")


@pytest.mark.parametrize(
    ("parts", "condition"),
    [
        ({"database": fine, "mongo": fine}, Condition.OK),
        ({"database": fine, "mongo": broken}, Condition.DEGRADED),
        ({"database": broken, "mongo": fine}, Condition.FAILED),
    ],
)
def test_only_what_is_essential_makes_it_fail(parts: dict[str, Callable[[], str]], condition: Condition) -> None:
    report = Monitor(parts, Backlogs()).health(["database"])

    assert report.condition is condition
    assert {part: told.detail for part, told in report.parts.items()} == {
        part: "fine" if ping is fine else "broken" for part, ping in parts.items()
    }


def test_a_part_is_asked_once_in_a_while_however_many_ask() -> None:
    asked: list[int] = []

    def ping() -> str:
        asked.append(1)
        return "fine"

    watched = monitor(database=ping)
    threads = [threading.Thread(target=lambda: watched.health(["database"])) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(asked) == 1


def test_a_part_that_hangs_keeps_nobody_waiting_for_good() -> None:
    over = threading.Event()
    watched = Monitor({"database": fine, "mongo": lambda: str(over.wait(20))}, Backlogs(), patience=0.5)

    report = watched.health(["database"])
    again = watched.health(["database"])
    over.set()

    assert report.parts["database"].is_ok
    for told in (report, again):
        assert told.condition is Condition.DEGRADED
        assert "has not answered" in told.parts["mongo"].detail


def test_samples_tell_of_the_parts_and_of_what_waits() -> None:
    backlogs = Backlogs()
    watched = Monitor({"database": fine, "model": broken, "read models": broken}, backlogs)

    samples = list(watched.samples())

    assert Sample("part_up", 1.0, {"part": "database"}) in samples
    assert Sample("part_up", 0.0, {"part": "read models"}) in samples
    assert Sample("jobs_queued", 4, {"kind": "ingest"}) in samples
    assert {sample.name: sample.value for sample in samples if not sample.labels} == {
        "replies_queued": 2,
        "replies_queued_oldest_seconds": 7.5,
        "replies_running": 1,
        "outbox_events": 5,
        "outbox_oldest_seconds": 6.0,
        "projection_lag_seconds": 6.0,
    }
    assert not any(sample.labels.get("part") == "model" for sample in samples)  # Asking it costs something.
    assert watched.samples() == samples
    assert backlogs.looks == 1


def test_without_the_database_samples_still_tell_of_the_parts() -> None:
    samples = monitor(Backlogs(away=True), database=broken).samples()

    assert samples == [Sample("part_up", 0.0, {"part": "database"})]
