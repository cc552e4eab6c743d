"""What is told of every request: a line in the log, counts and times, and the span that a caller's trace goes on in."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from flask import Flask, Response, g, request

from application.ports.telemetry import Span
from application.telemetry import Telemetry, begin, bind

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

log = logging.getLogger("access")

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_NO_ROUTE = "none"
"""What requests to paths that there are not have in common."""

_PROBES = frozenset({"/healthz", "/readyz", "/api/health", "/metrics"})
"""Asked every few seconds, and no news: told at DEBUG, and not traced."""

_STREAMS = {"text/event-stream": "sse"}

_KEY = "parley.exchange"


def install(app: Flask, telemetry: Telemetry) -> None:
    """Tell of every request to `app`. To be called after answers.install, which gives requests their ids."""

    @app.before_request
    def know() -> None:
        ids = {name: _id(value) for name, value in (request.view_args or {}).items() if name.endswith("_id")}
        bind(request_id=g.request_id, **ids)

    @app.after_request
    def note(response: Response) -> Response:
        exchange: _Exchange | None = request.environ.get(_KEY)
        if exchange is not None:
            exchange.answered(response)
        return response

    app.wsgi_app = _Observed(app.wsgi_app, telemetry)  # type: ignore[method-assign] # as Flask says to


class _Observed:
    """The application, observed from when a request has come until its answer is sent, or its WebSocket is over."""

    def __init__(self, app: WSGIApplication, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        exchange = environ[_KEY] = _Exchange(self._telemetry, environ)
        try:
            return _Body(self._app(environ, start_response), exchange)
        except BaseException:  # Also how a WebSocket ends.
            exchange.end()
            raise


class _Exchange:
    """One request and its answer."""

    def __init__(self, telemetry: Telemetry, environ: dict[str, Any]) -> None:
        begin()  # The connection's thread has served others before.
        self._telemetry = telemetry
        self._began = time.monotonic()
        method = environ["REQUEST_METHOD"]
        self._method = method if method in _METHODS else "other"
        self._route = _NO_ROUTE
        self._status = 500
        self._code: str | None = None
        self._principal: str | None = None
        self._stream: str | None = None
        self._until = ExitStack()
        self._span: Span | None = None
        if telemetry.tracer is not None and environ.get("PATH_INFO") not in _PROBES:
            caller = environ.get("HTTP_TRACEPARENT")
            span = telemetry.span(self._method, {"method": self._method}, parent=caller, kind="server")
            self._span = self._until.enter_context(span)
        self.sent = 0
        self.is_whole = False

    def answered(self, response: Response) -> None:
        """The answer begins."""
        if request.url_rule is not None:
            self._route = _template(request.url_rule.rule)
        self._status = response.status_code
        self._code = g.get("error_code")
        principal = g.get("principal")
        self._principal = principal.key if principal is not None else None
        self._stream = "websocket" if self._status == 101 else _STREAMS.get(response.mimetype or "")
        metrics = self._telemetry.metrics
        took = time.monotonic() - self._began
        metrics.observe("http_request_seconds", took, method=self._method, route=self._route)
        if self._stream is not None:
            metrics.change("open_streams", 1, kind=self._stream)
        if self._status >= 400:
            metrics.count("errors_total", code=self._code or f"http_{self._status}")

    def end(self) -> None:
        """The answer has been sent, or nobody takes it any more."""
        metrics, status = self._telemetry.metrics, str(self._status)
        metrics.count("http_requests_total", method=self._method, route=self._route, status=status)
        if self._stream is not None:
            metrics.change("open_streams", -1, kind=self._stream)
        if self._span is not None:
            self._span.rename(f"{self._method} {self._route}")
            self._span.note(route=self._route, status=self._status)
            if self._status >= 500:
                self._span.fail(self._code or status)
        level = logging.DEBUG if self._route in _PROBES else logging.INFO
        if log.isEnabledFor(level):
            log.log(level, "request", extra=self._line())
        self._until.close()
        begin()

    def _line(self) -> dict[str, object]:
        line: dict[str, object] = {
            "method": self._method,
            "route": self._route,
            "status": self._status,
            "duration_ms": round((time.monotonic() - self._began) * 1000, 1),
            "bytes": self.sent,
        }
        if self._principal is not None:
            line["principal"] = self._principal
        if self._code is not None:
            line["error_code"] = self._code
        if self._stream is not None:
            line["stream"] = self._stream
        if not self.is_whole and self._status != 101:
            line["broken_off"] = True
        return line


class _Body:
    """The answer's body, counted."""

    def __init__(self, body: Iterable[bytes], exchange: _Exchange) -> None:
        self._body = body
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        exchange = self._exchange
        for piece in self._body:
            exchange.sent += len(piece)
            yield piece
        exchange.is_whole = True

    def close(self) -> None:
        """See PEP 3333."""
        try:
            if hasattr(self._body, "close"):
                self._body.close()
        finally:
            self._exchange.end()


@cache
def _template(rule: str) -> str:
    """A path's template as the API's description writes it: `/api/v1/rooms/{room_id}`."""
    return re.sub(r"<(?:[^:<>]*:)?([^<>]*)>", r"{\1}", rule)


def _id(value: object) -> UUID | None:
    """An id, if that is one: whatever else stands in a path is not told."""
    try:
        return UUID(str(value))
    except ValueError:
        return None
