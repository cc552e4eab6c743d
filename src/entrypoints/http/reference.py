"""`/openapi.json`, and the pages that show it: `/docs` (Swagger UI) and `/redoc` (Redoc), both from this very host."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, request

from entrypoints.http.specification import Specification

_PAGES = Path(__file__).resolve().parents[1] / "web" / "reference"

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; worker-src {worker}; base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
)
"""Both pages write styles into their elements, which no policy lets them do but this one."""


def blueprint(specification: Specification) -> Blueprint:
    """The document and its pages."""
    routes = Blueprint("reference", __name__)

    @routes.get("/openapi.json")
    def openapi_json() -> Response:
        """The OpenAPI document."""
        response = Response(specification.json(), mimetype="application/json")
        response.headers["Cache-Control"] = "no-cache"
        response.add_etag()
        response.make_conditional(request)
        return response

    @routes.get("/docs")
    def docs() -> Response:
        """The document in Swagger UI, where operations can be tried."""
        return _page("swagger.html", worker="'none'")

    @routes.get("/redoc")
    def redoc() -> Response:
        """The document in Redoc, to be read."""
        return _page("redoc.html", worker="blob:")

    return routes


def _page(name: str, *, worker: str) -> Response:
    response = Response((_PAGES / name).read_bytes(), mimetype="text/html")
    response.headers["Content-Security-Policy"] = _POLICY.format(worker=worker)
    response.headers["Cache-Control"] = "no-cache"
    return response
