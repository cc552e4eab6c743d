"""`parley serve`: gunicorn with gevent. One process without Redis, any number with it.

Imported after gevent has patched the standard library.
"""

from __future__ import annotations

import _socket
import errno
import logging
import os
import socket
import threading
import time
from collections import OrderedDict
from contextlib import ExitStack, suppress
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.workers.ggevent import GeventWorker

from application.ports.projections import ReadModelsUnavailable
from domain.errors import Unavailable
from entrypoints.background import Chore, Chores, Writing, deliveries, hearing, upkeep
from entrypoints.container import Container, close, observing
from entrypoints.http.app import create_app
from entrypoints.observability import configure_logging
from entrypoints.settings import SettingError, Settings
from entrypoints.starting import allow_files, require_servers, settle_memory
from entrypoints.websocket.chat import ChatSockets
from entrypoints.websocket.sockets import Sockets

log = logging.getLogger(__name__)

_STALLED = 60.0
"""Seconds after which a client that neither sends nor takes what it asked for is given up."""

_CONNECTIONS = 4000
"""At once in one process, where it may have that many files open: while there are more, nobody is accepted."""

_SOCKETS = 0.75
"""The part of them that may be WebSockets, which stay: there is always room for requests."""

_CROWDED = 0.9
"""The part of them beyond which every new one has another, that waits for its client to ask something, make way."""

_PIECE = 64 * 1024
"""Bytes of a body that are read at a time."""

_DEAF = 1.5
"""Seconds in which all processes that are told to stop accept nobody any more: gunicorn looks every second."""

_Waiting = OrderedDict[socket.socket, bool]
"""Connections that wait for their clients, the longest first; whether between two requests, and not within one."""

_TAKE_OVER = 5.0
"""Seconds that a new server waits for one that was just killed to let go of the database."""


def serve(settings: Settings, *, workers: int, migrate: bool) -> None:
    """Serve until told to stop. Raises SettingError or ParleyError before anything is served."""
    configure_logging(settings.log_level, settings.log_format)
    observing.is_traced()  # Refuses what no process could do.
    if workers > 1 and settings.redis_url is None:
        raise SettingError("PARLEY_REDIS_URL: more than one web process needs Redis, by which they share the replies.")
    container = Container(settings=settings)
    require_servers(container)
    if migrate:
        migrated(container)
    container.schema().require_current()
    if settings.redis_url is None:
        _require_alone(container)
    _require_free_port(settings)
    if settings.redis_url is not None and "PARLEY_SECRET_KEY" not in os.environ:
        log.warning("PARLEY_SECRET_KEY is not set: other machines will not know the tokens that this one issues.")
    container.tokens()  # Refuses a key file that cannot be read.
    close(container)
    for thread in threading.enumerate():
        if thread.daemon:
            thread.join(2.0)  # The drivers': what a fork copies of them breaks when it goes on.
    connections = min(_CONNECTIONS, allow_files() * 3 // 4)  # The rest are for servers and models.
    settle_memory()  # What no collection touches stays shared with the processes that are forked.
    _Server(settings, workers, connections).run()


def migrated(container: Container) -> None:
    """Bring the database and, if there is one, the read store to what this version needs."""
    container.schema().upgrade()
    tools = container.application().read_models
    if tools is not None:
        try:
            tools.prepare()
        except ReadModelsUnavailable as away:
            log.warning("PARLEY_MONGO_URL: %s Run `parley migrate` when it answers.", away.message)
    try:
        container.application().projects.seed()
    except Unavailable as away:
        log.warning("PARLEY_DATABASE_URL: %s The documentation is read in at the next start.", away.message)


def _require_alone(container: Container) -> None:
    lock = container.database().owner_lock()
    if not lock.acquire(_TAKE_OVER):
        where = container.database().name
        raise SettingError(f"PARLEY_DATABASE_URL: another Parley is running on {where}. More than one need Redis.")
    lock.release()


def _require_free_port(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            where = f"{_shown(settings.host)}:{settings.port}"
            unknown = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
            name = "PARLEY_HOST" if unknown else "PARLEY_PORT"
            raise SettingError(f"{name}: cannot listen on {where}: {error.strerror}.") from None


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class _Server(BaseApplication):  # type: ignore[misc] # gunicorn has no types
    """gunicorn, configured here instead of by files and flags of its own."""

    def __init__(self, settings: Settings, workers: int, connections: int) -> None:
        self._settings = settings
        self._workers = workers
        self._connections = connections
        # Named after the port, which nobody else has: a server that was killed leaves it to the next.
        self._counted = observing.clean(settings.data_dir / "metrics" / str(settings.port))
        super().__init__()

    def load_config(self) -> None:
        settings = self._settings
        options: dict[str, Any] = {
            "bind": f"{_shown(settings.host)}:{settings.port}",
            "workers": self._workers,
            "worker_class": "entrypoints.server.Worker",
            "worker_connections": self._connections,
            "keepalive": 30,
            "limit_request_line": 8190,  # The most that there is: a search may be long, and is longer as an address.
            "graceful_timeout": int(settings.shutdown_grace) + 5,
            "loglevel": "warning",
            "logger_class": "entrypoints.gunicorn_log.GunicornLog",
            "proc_name": "parley",
            "control_socket_disable": True,
            # What proxies say is believed as far as PARLEY_PROXIES tells (see create_app), and never by gunicorn,
            # which would by default let anybody on this machine say that a request came over HTTPS.
            "forwarder_headers": "",
            "secure_scheme_headers": {},
            "when_ready": self._when_ready,
        }
        for name, value in options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        """In the worker process, after the fork: connections and threads are made here."""
        shown = observing.shown(self._counted)
        container = Container(settings=self._settings, telemetry=shown.telemetry)
        application = container.application()
        essential = {"database": application.parts["database"]}
        if self._settings.redis_url is None:
            essential["worker"] = container.worker().ping
        sockets = Sockets(int(self._connections * _SOCKETS), each=self._settings.limits.sockets)
        chats = ChatSockets(application, self._settings.limits, self._settings.session_idle)
        flask = create_app(application, self._settings, container.ids(), essential, sockets, chats, shown.page)
        flask.extensions["parley"] = _Process(container, sockets, chats)
        return flask

    def _when_ready(self, arbiter: Any) -> None:
        """In the first process, as soon as it listens."""
        settings = self._settings
        if settings.redis_url is None:
            # The signals that would start more processes are passed over: one alone owns the replies.
            for signal in ("ttin", "ttou", "usr2"):
                setattr(arbiter, f"handle_{signal}", lambda *_: None)
        in_folder = settings.database_url.startswith("sqlite:")
        where = (
            f"data in {settings.data_dir}"
            if in_folder
            else f"{self._workers} web processes"
            if self._workers > 1
            else "one web process"
        )
        print(f"Parley is at http://{_shown(settings.host)}:{settings.port} ({where})", flush=True)


class _Process:
    """One web process, with its worker where it is its own: what to start, and how to end without losing a word."""

    def __init__(self, container: Container, sockets: Sockets, chats: ChatSockets) -> None:
        self._settings: Settings = container.settings()
        self._sockets = sockets
        self._watcher = container.watch()
        self._reply_log = container.reply_log()
        self._app = app = container.application()
        process = observing.process(container.database(), app.telemetry)
        self._chores = Chores(deliveries(app) | {"sockets": (2.0, chats.look), "process": (2.0, process)})
        self._hearing = ExitStack()
        self._writing: Writing | None = None
        if self._settings.redis_url is None:
            beside: dict[str, Chore] = upkeep(app) | {"log trimmer": (10.0, self._reply_log.trim)}
            lock = container.database().owner_lock()
            self._writing = Writing(app, container.worker(), container.jobs_worker(), beside, lock)

    def start(self) -> None:
        """Begin the background work."""
        self._hearing.enter_context(hearing(self._app))
        self._chores.start()
        if self._writing is not None:
            self._writing.start()

    def stop(self, *, at_once: bool) -> None:
        """Let this process's replies end within the grace period, tell the watchers, then end streams and WebSockets.

        Where replies are written elsewhere, they end soon: their clients go on with another process.
        """
        deaf_at = time.monotonic() + (0.0 if at_once else _DEAF)
        if self._writing is not None:
            self._writing.stop(0.0 if at_once else self._settings.shutdown_grace)
        # Whose connection ends comes back at once, and shall get to a process that stays.
        time.sleep(max(0.0, deaf_at - time.monotonic()))
        self._watcher.stopping.set()
        self._reply_log.wake_all()
        self._sockets.close_all()
        self._chores.stop()
        self._hearing.close()
        with suppress(Exception):
            self._app.relay.forget_delivered()
        self._reply_log.flush(1.0)
        if (tracer := self._app.telemetry.tracer) is not None:
            tracer.flush(2.0)


class Worker(GeventWorker):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's gevent worker, brought down in order.

    Told to stop, gunicorn waits for every open connection. So the streams among them are ended
    (`_Process.stop`), and connections that only wait for a next request are closed.

    It accepts nobody while it has as many connections as it may. So that silent ones cannot fill it, the one that has
    been waiting for longest for a request, or for more of one, is closed when it gets crowded.
    """

    def init_process(self) -> None:
        """In the new process, before it serves."""
        self._waiting: _Waiting = OrderedDict()
        self._connections = 0
        self._at_once = False
        super().init_process()

    def run(self) -> None:
        """Serve until told to stop."""
        process = self.wsgi.extensions["parley"]
        process.start()
        settle_memory()
        threading.Thread(target=self._stop_in_order, args=(process,), daemon=True).start()
        super().run()

    def handle(self, listener: Any, client: socket.socket, address: Any) -> None:
        """One connection."""
        self._connections += 1
        if self._connections > self.worker_connections * _CROWDED and self._waiting:
            _end_input(self._waiting.popitem(last=False)[0])
        self._waiting[client] = True
        try:
            super().handle(listener, client, address)
        finally:
            self._connections -= 1
            self._waiting.pop(client, None)

    def handle_request(self, listener_name: Any, request: Any, client: socket.socket, address: Any) -> None:
        """One request of a connection."""
        self._waiting.pop(client, None)
        client.settimeout(_STALLED)
        request.body.reader = _Arriving(request.body.reader, client, self._waiting)
        try:
            super().handle_request(listener_name, request, client, address)
        finally:
            self._waiting[client] = True
            if not self.alive:
                _end_input(client)

    def handle_quit(self, signal: int, frame: Any) -> None:
        """SIGQUIT, and Ctrl-C: stop in order too, but leave replies no time."""
        self._at_once = True
        self.alive = False

    def _stop_in_order(self, process: _Process) -> None:
        while self.alive:
            time.sleep(0.1)
        process.stop(at_once=self._at_once)
        for client, is_idle in list(self._waiting.items()):
            if is_idle:
                _end_input(client)


class _Arriving:
    """gunicorn's reader of a request's body: while it waits for more, so does the connection.

    It asks for a kilobyte at a time, which is slow for files; it is given more, and keeps what it does not need yet.
    """

    def __init__(self, reader: Any, client: socket.socket, waiting: _Waiting) -> None:
        self._reader = reader
        self._client = client
        self._waiting = waiting

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def read(self, size: int) -> bytes:
        """So many bytes or more; fewer are the last ones."""
        is_idle = self._waiting.setdefault(self._client, False)  # Between requests, what was left of one is dropped.
        try:
            read: bytes = self._reader.read(max(size, _PIECE))
        finally:
            if not is_idle:
                self._waiting.pop(self._client, None)
        if len(read) >= _PIECE:
            time.sleep(0.001)  # Somebody who sends as fast as we read must not keep the others waiting.
        return read


def _end_input(client: socket.socket) -> None:
    """Make the wait for a connection's next request end, as if the client had closed it.

    Through the plain socket: gevent's own would raise in whoever waits.
    """
    with suppress(OSError):
        plain = _socket.socket(fileno=os.dup(client.fileno()))
        plain.shutdown(socket.SHUT_RD)
        plain.close()
