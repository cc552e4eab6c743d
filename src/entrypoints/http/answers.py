"""How everything is answered: one envelope for data and errors, one place where errors become statuses."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException

from domain.errors import Category, Invalid, Limited, ParleyError

log = logging.getLogger(__name__)

_STATUS = {
    Category.INVALID: 422,
    Category.UNAUTHENTICATED: 401,
    Category.FORBIDDEN: 403,
    Category.NOT_FOUND: 404,
    Category.CONFLICT: 409,
    Category.LIMITED: 429,
    Category.TIMEOUT: 408,
    Category.UNAVAILABLE: 503,
}

_HTTP_SLUGS = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "validation_failed",
}

_HTTP_MESSAGES = {404: "There is nothing at this path.", 405: "This path does not take this method."}

_WARN_AGAIN = 5.0
"""Seconds in which the same kind of unavailability is logged once."""

_warned_at: dict[str, float] = {}

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


Problem = Callable[[int, str, str, Any, dict[str, str]], Response]
"""Makes the answer that a wire gives for a status, a code, a message, details and headers."""


def data(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`{"data": body, "error": null}`; UUIDs and times are written by orjson (RFC 3339)."""
    return _json({"data": body, "error": None}, status, headers)


def problem(
    status: int, code: str, message: str, details: object = None, headers: dict[str, str] | None = None
) -> Response:
    """The error envelope, or what stands for it on the wire that is spoken at this path."""
    g.error_code = code
    problems: Mapping[str, Problem] = current_app.config["PROBLEMS"]
    for prefix, shaped in problems.items():
        if request.path.startswith(prefix):
            return shaped(status, code, message, details or {}, headers or {})
    error = {
        "error_code": code,
        "error_message": message,
        "status_code": status,
        "details": details or {},
        "request_id": g.get("request_id"),
    }
    return _json({"data": None, "error": error}, status, headers)


def install(app: Flask, new_request_id: Callable[[], object], problems: Mapping[str, Problem]) -> None:
    """Give every answer of `app` its request id, its security headers and, if it is an error, the envelope.

    `problems` are the errors of those wires that have a shape of their own for them, by how their paths begin.
    """
    app.config["PROBLEMS"] = problems

    @app.before_request
    def identify_request() -> None:
        given = request.headers.get("X-Request-ID", "")
        g.request_id = given if _REQUEST_ID.fullmatch(given) else str(new_request_id())

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.get("request_id", "")
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        if request.path.startswith(("/api/", "/v1/")):
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    app.register_error_handler(ParleyError, _refusal)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _failure)


def _refusal(error: ParleyError) -> Response:
    headers = {}
    if isinstance(error, Limited):
        headers["Retry-After"] = str(error.retry_after)
    if error.category is Category.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = f'Bearer error="{error.slug}"'
    if error.category is Category.UNAVAILABLE:
        headers["Retry-After"] = "1"
        _warn(error)
    return problem(_STATUS[error.category], error.slug, error.message, error.details, headers)


def _warn(error: ParleyError) -> None:
    """Once in a while for each kind: what is away or full is so for everybody who comes."""
    now = time.monotonic()
    if now >= _warned_at.get(error.slug, -_WARN_AGAIN) + _WARN_AGAIN:
        _warned_at[error.slug] = now
        log.warning("%s: %s", error.slug, error)


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    messages = getattr(error, "data", {}).get("messages")
    if status == 422 and messages:
        return _refusal(Invalid(_flattened(messages)))
    if status == 400:
        code = getattr(error, "slug", "malformed_json")
        return problem(400, code, "The body is not valid JSON." if messages else error.description or "")
    headers = {name: value for name, value in error.get_headers() if name in ("Allow", "Location", "Retry-After")}
    if status < 400:
        return Response(status=status, headers=headers)
    message = _HTTP_MESSAGES.get(status) or error.description or error.name
    if status == 413:
        message = f"The body is larger than {(request.max_content_length or 0) / 2**20:.3g} MiB."
    return problem(status, _HTTP_SLUGS.get(status, "http_error"), message, headers=headers)


def _failure(error: Exception) -> Response:
    log.exception("request %s failed", g.get("request_id"), exc_info=error)
    return problem(500, "internal_error", "Something went wrong on our side.")


def _flattened(messages: Any) -> dict[str, str]:
    """marshmallow's messages by location and field, as one message a field."""
    fields: dict[str, str] = {}

    def collect(path: tuple[str, ...], node: Any) -> None:
        if isinstance(node, dict):
            for key, inner in node.items():
                collect((*path, str(key).encode(errors="backslashreplace").decode()), inner)
        else:
            name = ".".join(part for part in path[1:] if part != "_schema") or "body"
            fields[name] = " ".join(map(str, node)) if isinstance(node, list) else str(node)

    collect((), messages)
    return fields


def _json(body: object, status: int, headers: dict[str, str] | None) -> Response:
    return Response(orjson.dumps(body), status, headers, mimetype="application/json")
