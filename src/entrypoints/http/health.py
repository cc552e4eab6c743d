"""`/healthz` and `/readyz`: is the process alive, can it work."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flask import Blueprint, Response

from entrypoints.http.answers import data, problem


def blueprint(essential: Mapping[str, Callable[[], str]]) -> Blueprint:
    """The probes. A model that is away does not make a process unready: the fallback answers."""
    routes = Blueprint("health", __name__)

    @routes.get("/healthz")
    def healthz() -> Response:
        """Alive."""
        return data({"status": "ok"})

    @routes.get("/readyz")
    def readyz() -> Response:
        """Able to take requests and to answer questions."""
        answers = {}
        for part, ping in essential.items():
            try:
                answers[part] = ping()
            except Exception as failure:
                return problem(503, "not_ready", f"{part}: {failure}")
        return data({"status": "ok", **answers})

    return routes
