"""The WebSockets of one process: how a request becomes one, how many there may be, and how they end together."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import socket
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from flask import Flask, Response

from domain.errors import Limited, Unavailable
from entrypoints.http.answers import problem
from entrypoints.websocket.connection import SERVICE_RESTART, Bounds, Connection, converse

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455, section 1.3."""

_NOT_FOR_AN_UPGRADE = frozenset({"connection", "content-length", "content-type", "transfer-encoding", "upgrade"})

_FULL_FOR = 5
"""Seconds that a client is asked to stay away when it or the process has all the sockets there may be."""

Handler = Callable[[Connection], None]
"""Has a connection until it returns, or raises Closed with it."""


class BadHandshake(Exception):
    """The request does not ask for a WebSocket, or not as RFC 6455, section 4.2.1 has it. `install` answers it."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class NoSocketFree(Unavailable):
    """This process serves as many WebSockets as it can, or is about to stop; another one may have room."""

    slug = "no_socket_free"


def install(app: Flask) -> None:
    """Have `app` answer bad handshakes."""

    @app.errorhandler(BadHandshake)
    def refuse(bad: BadHandshake) -> Response:
        wanted = {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"} if bad.status == 426 else {}
        return problem(bad.status, "bad_handshake", bad.message, headers=wanted)


class Sockets:
    """At most `capacity` WebSockets, `each` of them for one owner; every one within `bounds`."""

    def __init__(self, capacity: int, each: int = 20, bounds: Bounds | None = None) -> None:
        self._capacity = capacity
        self._each = each
        self._bounds = bounds or Bounds()
        self._lock = threading.RLock()  # A place may be found abandoned by a collection that a change of these begins.
        self._taken: Counter[Hashable] = Counter()
        self._open: set[Connection] = set()
        self._ending: tuple[int, str] | None = None

    def __len__(self) -> int:
        """How many places are taken."""
        return self._taken.total()

    def upgrade(
        self, environ: Mapping[str, Any], owner: Hashable, handler: Handler, *, subprotocol: str | None = None
    ) -> Response:
        """The answer that makes the request a WebSocket of `owner`'s and then `handler`'s, to be returned by a view.

        Raises BadHandshake, NoSocketFree, or Limited when the owner has enough; all of them before the upgrade.
        """
        key = _checked_key(environ)
        return _Upgrade(self._serve, handler, self._take(owner), key, subprotocol)

    def close_all(self, code: int = SERVICE_RESTART, reason: str = "This server is stopping. Come back.") -> None:
        """Begin to close every WebSocket, all at once, and admit no more. Returns before they have ended."""
        with self._lock:
            self._ending = (code, reason)
            connections = list(self._open)
        for connection in connections:
            threading.Thread(target=connection.close, args=self._ending, daemon=True).start()

    def _take(self, owner: Hashable) -> _Place:
        with self._lock:
            if self._ending is not None:
                raise NoSocketFree("This process is about to stop.")
            if self._taken.total() >= self._capacity:
                raise NoSocketFree(f"This process serves {self._capacity:,} WebSockets, and no more.")
            if self._taken[owner] >= self._each:
                raise Limited(
                    "too_many_sockets",
                    f"You have {self._each:,} WebSockets open, and may have no more.",
                    retry_after=_FULL_FOR,
                    limit=self._each,
                )
            self._taken[owner] += 1
        return _Place(lambda: self._leave(owner))

    def _leave(self, owner: Hashable) -> None:
        with self._lock:
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]

    def _serve(self, sock: socket.socket, arrived: bytes, handler: Handler) -> None:
        connection = Connection(sock, self._bounds, arrived)
        with self._registered(connection):
            converse(connection, handler)

    @contextmanager
    def _registered(self, connection: Connection) -> Iterator[None]:
        with self._lock:
            self._open.add(connection)
            ending = self._ending
        try:
            if ending is not None:
                connection.close(*ending)
            yield
        finally:
            with self._lock:
                self._open.discard(connection)


class _Place:
    """Room for one WebSocket, until it is left or forgotten: not every answer of a view gets as far as to be sent."""

    def __init__(self, left: Callable[[], None]) -> None:
        self.leave = weakref.finalize(self, left)


class _Upgrade(Response):
    """Takes the connection over from gunicorn, and is done when the WebSocket is."""

    def __init__(
        self,
        serve: Callable[[socket.socket, bytes, Handler], None],
        handler: Handler,
        place: _Place,
        key: str,
        subprotocol: str | None,
    ) -> None:
        super().__init__(status=101)
        self._serve = serve
        self._handler = handler
        self._place = place
        self.headers["Sec-WebSocket-Accept"] = _accepted(key)
        if subprotocol is not None:
            self.headers["Sec-WebSocket-Protocol"] = subprotocol

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        sock: socket.socket = environ["gunicorn.socket"]
        try:
            with suppress(OSError):  # A client that has gone.
                sock.sendall(self._head())
                self._serve(sock, _read_ahead(environ), self._handler)
        finally:
            self._place.leave()
        # What gunicorn takes for: close the connection, and write nothing (AsyncWorker.handle).
        raise StopIteration

    def _head(self) -> bytes:
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"{name}: {value}" for name, value in self.headers if name.lower() not in _NOT_FOR_AN_UPGRADE]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _checked_key(environ: Mapping[str, Any]) -> str:
    """The request's Sec-WebSocket-Key; raises BadHandshake."""
    if environ["REQUEST_METHOD"] != "GET" or environ["SERVER_PROTOCOL"] != "HTTP/1.1":
        raise BadHandshake("A WebSocket is asked for by a GET request of HTTP/1.1.")
    if "websocket" not in _tokens(environ, "HTTP_UPGRADE"):
        raise BadHandshake("This path is for WebSockets: send 'Upgrade: websocket'.", 426)
    if "upgrade" not in _tokens(environ, "HTTP_CONNECTION"):
        raise BadHandshake("Send 'Connection: Upgrade'.")
    if environ.get("HTTP_SEC_WEBSOCKET_VERSION", "").strip() != "13":
        raise BadHandshake("Only version 13 of the protocol is spoken here.", 426)
    if environ.get("CONTENT_LENGTH", "0") not in ("", "0") or "HTTP_TRANSFER_ENCODING" in environ:
        raise BadHandshake("A request for a WebSocket has no body.")
    key: str = environ.get("HTTP_SEC_WEBSOCKET_KEY", "").strip()
    try:
        nonce = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        nonce = b""
    if len(nonce) != 16:
        raise BadHandshake("Sec-WebSocket-Key must be 16 bytes in Base64.")
    return key


def _tokens(environ: Mapping[str, Any], header: str) -> set[str]:
    return {token.strip().lower() for token in environ.get(header, "").split(",")}


def _accepted(key: str) -> str:
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


def _read_ahead(environ: Mapping[str, Any]) -> bytes:
    """What gunicorn has read beyond the request: the first frames, when the client did not wait for the answer."""
    unreader = environ["wsgi.input"].reader.unreader
    read: bytes = unreader.buf.getvalue()
    unreader.buf = io.BytesIO()
    return read
