"""Pages of other origins, as far as PARLEY_ALLOWED_ORIGINS names them (CORS: the Fetch standard, section 3.3)."""

from __future__ import annotations

from collections.abc import Set

from flask import Flask, Response, request

_METHODS = "GET, POST, PUT, PATCH, DELETE"

_EXPOSED = "X-Request-ID, Location, Retry-After, RateLimit, RateLimit-Policy, Idempotent-Replayed"

_PREFLIGHT_SECONDS = "600"


def install(app: Flask, allowed_origins: Set[str]) -> None:
    """Let these origins' pages call, with cookies too; do nothing when there are none.

    To be installed before whatever refuses requests: preflights carry no token, and refusals must be
    readable for the page.
    """
    if not allowed_origins:
        return

    @app.before_request
    def answer_preflight() -> Response | None:
        asks = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if not asks or request.headers.get("Origin") not in allowed_origins:
            return None
        response = Response(status=204)
        response.headers["Access-Control-Allow-Methods"] = _METHODS
        wanted = request.headers.get("Access-Control-Request-Headers")
        if wanted:
            response.headers["Access-Control-Allow-Headers"] = wanted
        response.headers["Access-Control-Max-Age"] = _PREFLIGHT_SECONDS
        response.vary.update(["Access-Control-Request-Method", "Access-Control-Request-Headers"])
        return response

    @app.after_request
    def share(response: Response) -> Response:
        response.vary.add("Origin")
        origin = request.headers.get("Origin")
        if origin in allowed_origins:
            response.headers["Access-Control-Allow-Origin"] = str(origin)
            response.headers["Access-Control-Allow-Credentials"] = "true"
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        return response
