"""`/metrics`, for Prometheus."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from flask import Blueprint, Response, request

from application.ports.telemetry import Samples
from domain.errors import Forbidden, Unauthenticated
from entrypoints.http.insiders import is_local

Page = Callable[[Callable[[], Samples]], bytes]
"""Makes the page of what was counted, with the samples that are taken for it."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def blueprint(page: Page, samples: Callable[[], Samples], token: str | None) -> Blueprint:
    """What all processes of this server have counted, and how the installation is at the moment.

    For whoever has the `token`; without one, for whoever asks on this very machine.
    """
    routes = Blueprint("metrics", __name__)

    @routes.get("/metrics")
    def metrics() -> Response:
        """In the text format of Prometheus."""
        if token is None:
            if not is_local():
                raise Forbidden("Metrics are for this machine alone, unless PARLEY_METRICS_TOKEN is set.")
        elif not holds(request.headers.get("Authorization", ""), token):
            raise Unauthenticated("Send the token of PARLEY_METRICS_TOKEN: 'Authorization: Bearer <token>'.")
        return Response(page(samples), content_type=CONTENT_TYPE)

    return routes


def holds(authorization: str, token: str) -> bool:
    """Whether an `Authorization` header has the token."""
    return hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode())
