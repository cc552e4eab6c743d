"""`/healthz` and `/readyz`: is the process alive, can it work."""

from __future__ import annotations

from flask import Blueprint, Response

from application.facade import Application
from entrypoints.http.answers import data, problem

_ESSENTIAL = "database"


def blueprint(app: Application) -> Blueprint:
    """The probes, over `app`. A model that is away does not make a process unready: the fallback answers."""
    routes = Blueprint("health", __name__)

    @routes.get("/healthz")
    def healthz() -> Response:
        """Alive."""
        return data({"status": "ok"})

    @routes.get("/readyz")
    def readyz() -> Response:
        """Able to take requests."""
        try:
            return data({"status": "ok", _ESSENTIAL: app.parts[_ESSENTIAL]()})
        except Exception as failure:
            return problem(503, "not_ready", str(failure))

    return routes
