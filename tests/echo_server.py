"""A server of WebSockets alone, run as `parley serve` runs them: gunicorn, gevent, entrypoints.websocket.

`python -m gevent.monkey --module tests.echo_server PORT BOUNDS`, with bounds as JSON. /echo says everything back,
for Autobahn too; the other paths do one thing each.
"""

from __future__ import annotations

import json
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask, Response, request
from gunicorn.app.base import BaseApplication

from entrypoints.http import answers
from entrypoints.server import Worker
from entrypoints.websocket import sockets
from entrypoints.websocket.connection import Bounds, Connection
from entrypoints.websocket.sockets import Handler, Sockets

_PATCHED = ("-m", "gevent.monkey", "--module")

WITHOUT_LIMITS: dict[str, float] = {"message": 64 * 1024 * 1024, "frames": 1e9, "burst": 10**9, "send": 60}


def echo(connection: Connection) -> None:
    """Say everything back until the other side closes."""
    while True:
        connection.send(connection.receive())


def fail(connection: Connection) -> None:
    """A handler with a defect."""
    connection.receive()
    raise ZeroDivisionError("a defect")


def flood(connection: Connection) -> None:
    """Say more than anybody wants to hear."""
    while True:
        connection.send("x" * 100_000)


def leave(connection: Connection) -> None:
    """Close at the first message, by another thread, for the reason that the message is."""
    reason = str(connection.receive())
    threading.Thread(target=connection.close, args=(4000, reason)).start()
    connection.wait_closed()


HANDLERS: dict[str, Handler] = {"echo": echo, "fail": fail, "flood": flood, "leave": leave}


def create_app(registry: Sockets) -> Flask:
    """Every handler at the path of its name."""
    app = Flask(__name__)
    answers.install(app, uuid.uuid4, {})
    sockets.install(app)

    @app.get("/<name>")  # For what asks for no WebSocket, which werkzeug routes apart.
    @app.get("/<name>", websocket=True)
    def upgrade(name: str) -> Response:
        return registry.upgrade(request.environ, request.args.get("owner", "anybody"), HANDLERS[name])

    @app.get("/count")
    def count() -> Response:
        return answers.data(len(registry))

    app.extensions["parley"] = _Process(registry)
    return app


def command(port: int, bounds: Mapping[str, float] | None = None) -> list[str]:
    """What starts a server."""
    return [sys.executable, *_PATCHED, "tests.echo_server", str(port), json.dumps(bounds or WITHOUT_LIMITS)]


class _Process:
    """What the worker starts and stops in order, as entrypoints.server's."""

    def __init__(self, registry: Sockets) -> None:
        self._registry = registry

    def start(self) -> None:
        pass

    def stop(self, *, at_once: bool) -> None:
        self._registry.close_all()


class _Server(BaseApplication):  # type: ignore[misc] # gunicorn has no types
    def __init__(self, port: int, load: Callable[[], Flask]) -> None:
        self._port = port
        self._load = load
        super().__init__()

    def load_config(self) -> None:
        options = {
            "bind": f"127.0.0.1:{self._port}",
            "worker_connections": 4000,
            "worker_class": f"{Worker.__module__}.{Worker.__name__}",
            "keepalive": 30,
            "graceful_timeout": 10,
            "loglevel": "warning",
            "control_socket_disable": True,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return self._load()


if __name__ == "__main__":
    chosen: dict[str, Any] = json.loads(sys.argv[2])
    capacity, each = chosen.pop("capacity", 100), chosen.pop("each", 100)
    _Server(int(sys.argv[1]), lambda: create_app(Sockets(capacity, each, Bounds(**chosen)))).run()
