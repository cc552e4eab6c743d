"""Is the process alive, can it work, and how are the parts that it stands on.

Strangers are told which parts do what they should; where these are and what is wrong with them is for insiders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flask import Blueprint, Response

from application.facade import Application
from application.monitoring import Condition, Monitor, PartReport
from entrypoints.http.answers import data, problem
from entrypoints.http.insiders import is_insider

Pings = Mapping[str, Callable[[], str]]
"""By part: says in a line what answers, or raises."""

_WRONG = "It does not do what it should."


def blueprint(app: Application, essential: Pings, others: Pings, monitor: Monitor) -> Blueprint:
    """The probes. Only what is `essential` makes a process unready: it goes on without the `others`, degraded."""
    routes = Blueprint("health", __name__)

    @routes.get("/healthz")
    def healthz() -> Response:
        """Alive."""
        return data({"status": "ok"})

    @routes.get("/readyz")
    def readyz() -> Response:
        """Able to take requests and to answer questions."""
        shows_all = is_insider(app)
        answers, failures = _asked(essential, shows_all)
        for part, failure in failures.items():
            return problem(503, "not_ready", f"{part}: {failure}")
        more, degraded = _asked(others, shows_all)
        status = {"status": "degraded", "degraded": degraded} if degraded else {"status": "ok"}
        return data({**status, **answers, **more})

    @routes.get("/api/health")
    def health() -> Response:
        """All parts, the model too: whether each does what it should, and how fast it said so."""
        report = monitor.health(essential)
        shows_all = is_insider(app)
        parts = {name: _shown(part, shows_all) for name, part in report.parts.items()}
        shown = {"status": report.condition.value, "parts": parts}
        if report.condition is Condition.FAILED:
            failed = [name for name in essential if not report.parts[name].is_ok]
            return problem(503, "not_ready", f"Nothing works without: {', '.join(failed)}.", shown)
        return data(shown)

    return routes


def _asked(parts: Pings, shows_all: bool) -> tuple[dict[str, str], dict[str, str]]:
    """What answers, and what does not."""
    answers, failures = {}, {}
    for part, ping in parts.items():
        try:
            answer = ping()
            answers[part] = answer if shows_all else "ok"
        except Exception as failure:
            failures[part] = str(failure) if shows_all else _WRONG
    return answers, failures


def _shown(part: PartReport, shows_all: bool) -> dict[str, object]:
    shown: dict[str, object] = {"status": "ok" if part.is_ok else "failed", "latency_ms": part.latency_ms}
    return shown | {"detail": part.detail} if shows_all else shown
