"""Connections that another thread can cut, also while they wait for a server that says nothing.

Closing an HTTP response from another thread does not end a read that blocks on its socket, and
before the headers have come there is no response to close at all. Shutting the socket down does.
And the bodies of their answers, read at the least cost.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from contextvars import ContextVar, Token
from typing import Any, Self

import httpcore2
import httpx2


class Call:
    """One use of a connection; `abort` may be called from any thread, at any time, more than once.

    What is sent while the call is entered goes over its connection. `end` says that the answer has
    come: from then on the connection may be serving somebody else, and an abort leaves it alone.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stream: httpcore2.NetworkStream | None = None
        self._token: Token[Call | None] | None = None
        self.aborted = False

    def __enter__(self) -> Self:
        self._token = _current.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _current.reset(self._token)

    def uses(self, stream: httpcore2.NetworkStream) -> None:
        """Note the connection that this call is on; raises ConnectError when the call was aborted before.

        Not WriteError: after one of those httpcore goes on to read, for an answer that may explain it.
        """
        with self._lock:
            self._stream = stream
            if self.aborted:
                raise httpcore2.ConnectError("aborted")

    def end(self) -> None:
        """Have nothing to do with the connection any more."""
        with self._lock:
            self._stream = None

    def abort(self) -> None:
        """Cut the connection that the call is on."""
        with self._lock:
            self.aborted = True
            connection = self._stream.get_extra_info("socket") if self._stream is not None else None
            if connection is not None:
                with suppress(OSError):  # It may have been cut by the other side already.
                    connection.shutdown(socket.SHUT_RDWR)


_current: ContextVar[Call | None] = ContextVar("call", default=None)


def abortable_client(
    limits: httpx2.Limits, sends: Callable[[httpx2.Request], None] = lambda request: None
) -> httpx2.Client:
    """An HTTP client whose connections `Call.abort` can cut, through the environment's proxies if there are any.

    It calls `sends` with each request.
    """
    client = httpx2.Client(limits=limits, follow_redirects=True, event_hooks={"request": [sends]})
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001 # httpx offers no way in;
        if isinstance(transport, httpx2.HTTPTransport):  # the tests of a silent model hold this in place
            transport._pool._network_backend = _Backend()  # noqa: SLF001
    return client


def body_of(response: httpx2.Response) -> Iterator[bytes]:
    """The body, block by block as it arrives; to be read to its end, or the response to be closed.

    A body in chunks, as a stream of tokens is, is read from the socket past the HTTP library, which would
    take several times as long for each block as everything else that is done with a token. The library is
    left to read the end, so that it knows that the connection can be used again.
    """
    stream = response.extensions.get("network_stream")
    chunked = response.headers.get("transfer-encoding", "").lower() == "chunked"
    if isinstance(stream, _Stream) and chunked and "content-encoding" not in response.headers:
        beginning = stream.take_over()
        if beginning is not None:
            yield from _chunks(stream.get_extra_info("socket"), beginning)
            stream.give_back(b"0\r\n\r\n")
    yield from response.iter_bytes()


class _Backend(httpcore2.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        return _Stream(super().connect_tcp(host, port, timeout, local_address, socket_options))


class _Stream(httpcore2.NetworkStream):
    """A connection that tells its user's call of itself with everything that is sent.

    It hands over the head of an answer by itself, so that the body can be read by somebody else.
    """

    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream
        self._head: bytes | None = None  # what has come of it, None when it is over
        self._held = b""
        self._is_untouched = False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data, self._held = self._held or self._stream.read(max_bytes, timeout), b""
        self._is_untouched = False
        if self._head is None:
            return data
        before = len(self._head)
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return data
        self._held = self._head[end + 4 :]
        self._head = None
        self._is_untouched = True
        return data[: end + 4 - before]

    def take_over(self) -> bytes | None:
        """What has come of the body, which is the caller's to read from now on; None when some of it was read."""
        if not self._is_untouched:
            return None
        held, self._held = self._held, b""
        return held

    def give_back(self, data: bytes) -> None:
        """Have the next read hand this over."""
        self._held = data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        call = _current.get()
        if call is not None:
            call.uses(self)
        self._head = b""
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, *arguments: Any, **options: Any) -> httpcore2.NetworkStream:
        return _Stream(self._stream.start_tls(*arguments, **options))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _chunks(connection: socket.socket, buffer: bytes) -> Iterator[bytes]:
    """What the chunks of a body hold (RFC 9112, section 7.1); trailers are passed over.

    Raises RemoteProtocolError when it breaks off, or is no such body. Silence is for the caller to end.
    """
    connection.settimeout(None)
    while True:
        line, ended, rest = buffer.partition(b"\r\n")
        if not ended:
            buffer += _received(connection)
            continue
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            raise httpcore2.RemoteProtocolError("a chunk without a size") from None
        if size == 0:
            break
        while len(rest) < size + 2:
            rest += _received(connection)
        yield rest[:size]
        buffer = rest[size + 2 :]
    while not (rest.startswith(b"\r\n") or b"\r\n\r\n" in rest):
        rest += _received(connection)


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise httpcore2.RemoteProtocolError("the body broke off")
    return data
