"""One WebSocket (RFC 6455) over a blocking socket, which is gevent's in a server and a plain one beside threads.

wsproto knows the protocol and does no input or output; what is here reads, writes, waits and gives up. See ADR 18.
"""

from __future__ import annotations

import logging
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from wsproto.connection import Connection as Protocol
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, TextMessage
from wsproto.utilities import LocalProtocolError

log = logging.getLogger(__name__)

NORMAL, UNSUPPORTED_DATA, POLICY_VIOLATION = 1000, 1003, 1008
TOO_BIG, INTERNAL_ERROR, SERVICE_RESTART = 1009, 1011, 1012
_ABNORMAL = 1006
"""Never sent: what a connection is said to have ended with that ended without a word (section 7.1.5)."""

_CHUNK = 65_536
_DRAINED = 4 * 1024 * 1024
"""Bytes that are read and dropped at most so that a peer which is still sending gets to see why it was closed."""

_UNREAD = 128 * 1024
"""Bytes that the kernel keeps at most of what a peer has yet to take; by itself it may go up to some megabytes."""

_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a peer may do, and how long it is waited for. Sizes are in bytes, times in seconds."""

    message: int = 64 * 1024
    """Of one message, all its fragments together, as UTF-8 or binary."""
    frames: float = 20.0
    """Frames a second, of any kind, that a peer may send for long, and `burst` at once."""
    burst: int = 60
    ping: float = 25.0
    """Silence after which the peer is asked for a sign of life, and then again until it is given up."""
    send: float = 10.0
    """Until a message is with the kernel: a peer that takes longer does not read."""
    close: float = 3.0
    """Until the peer has answered a close frame."""


class Closed(Exception):
    """The connection is closing or closed: with whose code and reason depends on who was first.

    1006 when it ended without a close frame, 1005 when the peer's had no code.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"{int(code)} {reason}".rstrip())
        self.code = int(code)
        self.reason = reason


class Connection:
    """The server's end of a WebSocket, after the upgrade. `arrived` is what came in with the upgrade request.

    One thread receives, and nothing is read ahead for it. Any thread may send or close. Nothing is queued:
    who sends waits for the kernel, up to `bounds.send` seconds. The socket is the caller's to close.
    """

    def __init__(self, sock: socket.socket, bounds: Bounds | None = None, arrived: bytes = b"") -> None:
        self._socket = sock
        self._bounds = bounds or Bounds()
        self._protocol = Protocol(ConnectionType.SERVER, trailing_data=arrived)
        self._allowance = _Allowance(self._bounds.frames, self._bounds.burst)
        self._sending = threading.Lock()  # held while a frame is written; taken before the other one
        self._state = threading.Lock()  # held for moments, for the protocol and what follows
        self._closing: Closed | None = None  # our close frame is sent, or about to be
        self._ended: Closed | None = None  # nothing is read or written any more
        self._patience: threading.Timer | None = None
        with suppress(OSError):  # There are sockets without TCP.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNREAD)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def is_open(self) -> bool:
        """Whether nobody has begun to close it."""
        return self._closing is None and self._ended is None

    def receive(self) -> str | bytes:
        """The next message, whole; raises Closed when none will come.

        Pings are answered, silence is broken, and rules enforced here alone: who does not receive is deaf.
        """
        pieces: list[str | bytes | bytearray] = []
        size = 0
        while True:
            match event := self._next():
                case Message(data=data):
                    if event.frame_finished:
                        self._count()
                    size += _octets(data)
                    if size > self._bounds.message:
                        self._fail(TOO_BIG, f"A message may have {self._bounds.message:,} bytes.")
                    if data:
                        pieces.append(data)
                    if event.message_finished and not self.is_open:  # What comes after our close frame is of no use.
                        pieces, size = [], 0
                    elif event.message_finished:
                        return _joined(pieces, text=isinstance(event, TextMessage))
                case Ping():
                    self._count()
                    if self.is_open:
                        self._emit(event.response(), self._bounds.send)
                case CloseConnection():
                    self._close_with(event)
                case _:
                    self._count()

    def send(self, message: str | bytes) -> None:
        """Send a message, as text or binary; raises Closed. Whoever cannot get rid of it in time is cut off."""
        event = TextMessage(data=message) if isinstance(message, str) else BytesMessage(data=message)
        self._emit(event, self._bounds.send)

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Begin to close, unless somebody has; returns when the close frame is sent, and never raises Closed.

        The peer has `bounds.close` seconds to answer, which `receive` waits for. `reason` is cut to 123 bytes.
        Raises ValueError for a code that may not be sent (section 7.4).
        """
        if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
            raise ValueError(f"a close frame cannot have the code {code}")
        self._begin_closing(CloseConnection(code=code, reason=reason))

    def wait_closed(self) -> Closed:
        """Drop what still comes in until the connection has ended, and say how."""
        while True:
            try:
                self.receive()
            except Closed as closed:
                if self._ended is not None:
                    return closed

    def _next(self) -> Event:
        while True:
            with self._state:
                if self._ended is not None:
                    raise _again(self._ended)
                event = next(self._protocol.events(), None)
            if event is not None:
                return event
            self._read()

    def _read(self) -> None:
        """Wait for bytes; ask for a sign of life when none come, and give up when none come then."""
        asked = False
        data = b""
        deadline = time.monotonic() + self._bounds.ping
        while True:
            try:
                # The writers set the same time-out: so it is the clock that counts.
                self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
                data = self._socket.recv(_CHUNK)
                break
            except TimeoutError:
                if time.monotonic() < deadline:
                    continue
                if asked:
                    raise self._cut() from None
            except OSError:
                break
            asked = True
            deadline = time.monotonic() + self._bounds.ping
            if self.is_open:
                self._emit(Ping(), self._bounds.send)
        if not data:
            raise self._end(Closed(_ABNORMAL))
        with self._state:
            self._protocol.receive_data(data)

    def _emit(self, event: Event, within: float) -> None:
        deadline = time.monotonic() + within
        if not self._sending.acquire(timeout=within):
            raise self._cut()
        try:
            with self._state:
                over = self._ended or (None if isinstance(event, CloseConnection) else self._closing)
                if over is not None:
                    raise _again(over)
                try:
                    data = self._protocol.send(event)
                except LocalProtocolError:  # The peer's close frame is being answered at this moment.
                    raise Closed(_ABNORMAL) from None
            self._write(data, deadline)
        except OSError:
            raise self._cut() from None
        finally:
            self._sending.release()

    def _write(self, data: bytes, deadline: float) -> None:
        left = memoryview(data)
        while left:
            patience = deadline - time.monotonic()
            if patience <= 0:
                raise TimeoutError
            self._socket.settimeout(patience)
            with suppress(TimeoutError):
                left = left[self._socket.send(left) :]

    def _count(self) -> None:
        if not self._allowance.spend():
            self._fail(POLICY_VIOLATION, "Too many frames.")

    def _begin_closing(self, frame: CloseConnection) -> None:
        with self._state:
            if not self.is_open:
                return
            self._closing = Closed(frame.code, frame.reason or "")
            self._patience = threading.Timer(self._bounds.close, self._cut)
            self._patience.daemon = True
        self._patience.start()
        with suppress(Closed):
            self._emit(frame, self._bounds.close)

    def _close_with(self, event: CloseConnection) -> NoReturn:
        """Answer the peer's close frame, take its answer to ours, or refuse what is no WebSocket's frame."""
        with self._state:
            state = self._protocol.state
        if state is ConnectionState.REMOTE_CLOSING:
            self._begin_closing(event.response())
            with self._sending:  # Another thread may have begun to close just before.
                pass
        elif state is not ConnectionState.CLOSED:
            self._fail(event.code, event.reason or "")
        raise self._end(self._closing or Closed(event.code, event.reason or ""))

    def _fail(self, code: int, reason: str) -> NoReturn:
        """Close without waiting for the peer's consent (section 7.1.7), but so that it can read why.

        A socket that is closed with unread input resets the connection, and takes back what was sent.
        """
        self._begin_closing(CloseConnection(code=code, reason=reason))
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            self._socket.settimeout(self._bounds.close)
            drained = 0
            while drained < _DRAINED and (data := self._socket.recv(_CHUNK)):  # `_patience` ends it at the latest.
                drained += len(data)
        raise self._end(self._closing or Closed(code, reason))

    def _end(self, closed: Closed) -> Closed:
        with self._state:
            self._ended = self._ended or self._closing or closed
            patience = self._patience
        if patience is not None:
            patience.cancel()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        return _again(self._ended)

    def _cut(self) -> Closed:
        """Let go of a peer that does not take part, with all that it has not taken."""
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        ended = self._end(Closed(_ABNORMAL))
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # Wakes who waits for it.
        return ended


def converse(connection: Connection, handler: Callable[[Connection], None]) -> Closed:
    """Let `handler` have the connection, then see it closed: with 1000, or 1011 when the handler failed."""
    try:
        handler(connection)
    except Closed:
        pass
    except Exception:
        log.exception("the handler of a WebSocket failed")
        connection.close(INTERNAL_ERROR, "Something went wrong on our side.")
    connection.close()
    return connection.wait_closed()


class _Allowance:
    """A token bucket."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._left = self._burst
        self._at = time.monotonic()

    def spend(self) -> bool:
        """Whether one more is allowed now."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def _octets(data: str | bytes | bytearray) -> int:
    return len(data) if not isinstance(data, str) or data.isascii() else len(data.encode())


def _joined(pieces: list[str | bytes | bytearray], *, text: bool) -> str | bytes:
    if text:
        return "".join(pieces)  # type: ignore[arg-type] # wsproto decodes all or nothing of a message
    return b"".join(pieces)  # type: ignore[arg-type]


def _again(closed: Closed) -> Closed:
    """The same to be raised once more: an exception that is raised twice would carry both traces."""
    return Closed(closed.code, closed.reason)
