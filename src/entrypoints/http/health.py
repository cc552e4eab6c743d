"""`/healthz` and `/readyz`: is the process alive, can it work."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flask import Blueprint, Response

from entrypoints.http.answers import data, problem

Pings = Mapping[str, Callable[[], str]]
"""By part: says in a line what answers, or raises."""


def blueprint(essential: Pings, others: Pings) -> Blueprint:
    """The probes. Only what is `essential` makes a process unready: it goes on without the `others`, degraded."""
    routes = Blueprint("health", __name__)

    @routes.get("/healthz")
    def healthz() -> Response:
        """Alive."""
        return data({"status": "ok"})

    @routes.get("/readyz")
    def readyz() -> Response:
        """Able to take requests and to answer questions."""
        answers, failures = _asked(essential)
        for part, failure in failures.items():
            return problem(503, "not_ready", f"{part}: {failure}")
        more, degraded = _asked(others)
        status = {"status": "degraded", "degraded": degraded} if degraded else {"status": "ok"}
        return data({**status, **answers, **more})

    return routes


def _asked(parts: Pings) -> tuple[dict[str, str], dict[str, str]]:
    """What answers, and what does not."""
    answers, failures = {}, {}
    for part, ping in parts.items():
        try:
            answers[part] = ping()
        except Exception as failure:
            failures[part] = str(failure)
    return answers, failures
