"""`/metrics` and `/healthz` of a process that serves nothing else, at a port of their own."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from application.ports.telemetry import Samples
from application.telemetry import spawn
from entrypoints.http.metrics import CONTENT_TYPE, holds
from entrypoints.settings import SettingError, Settings

log = logging.getLogger(__name__)

_PORTS = 20
"""How many ports are tried, from the configured one on: so all processes of a machine can have the same settings."""


def show_metrics(settings: Settings, page: Callable[[Callable[[], Samples]], bytes]) -> None:
    """Show them for as long as the process lives, if there is a port for that. Raises SettingError."""
    if settings.metrics_port is None:
        return
    server = _listening(settings, page)
    spawn(server.serve_forever, name="metrics")
    print(f"Metrics are at http://{settings.metrics_host}:{server.server_port}/metrics", flush=True)


def _listening(settings: Settings, page: Callable[[Callable[[], Samples]], bytes]) -> ThreadingHTTPServer:
    first = port = settings.metrics_port or 0
    while True:
        try:
            return _Server((settings.metrics_host, port), page, settings.metrics_token)
        except OSError as error:
            port += 1
            if error.errno != errno.EADDRINUSE or port >= min(first + _PORTS, 65_536):
                where = f"{settings.metrics_host}:{first}"
                raise SettingError(f"PARLEY_METRICS_PORT: cannot listen on {where}: {error.strerror}.") from None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True  # Of connections that are over; a port that somebody listens on stays taken.

    def __init__(
        self, address: tuple[str, int], page: Callable[[Callable[[], Samples]], bytes], token: str | None
    ) -> None:
        self.page = page
        self.token = token
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10

    def do_GET(self) -> None:  # the name is the library's
        """Answer."""
        token = self.server.token
        if self.path == "/healthz":
            self._answer(200, "text/plain", b"ok\n")
        elif self.path != "/metrics":
            self._answer(404, "text/plain", b"There are /metrics and /healthz.\n")
        elif token is not None and not holds(self.headers.get("Authorization", ""), token):
            self._answer(401, "text/plain", b"Send the token of PARLEY_METRICS_TOKEN.\n")
        else:
            self._answer(200, CONTENT_TYPE, self.server.page(tuple))

    def log_message(self, format: str, *args: Any) -> None:
        """It is asked every few seconds, and no news."""

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
