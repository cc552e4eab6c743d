"""Logs as server-sent events (WHATWG HTML, section 9.2): what all wires share, and the native one."""

from __future__ import annotations

import _socket
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import orjson
from flask import Response

from application.ports.runtime import LogEntry

STREAM_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}

# One newline only: some clients take every blank line for an empty message.
_HEARTBEAT = b":hb\n"
_HEARTBEAT_INTERVAL = 15.0


def event_stream(batches: Iterator[Sequence[LogEntry]] | None, headers: dict[str, str] | None = None) -> Response:
    """The stream of a watched log; 204 for a watcher that has seen the end, which stops an EventSource for good.

    A stream that ends without a terminal event makes a client come back with the number of its last
    one: so watchers move to another process without a gap.
    """
    if batches is None:
        return Response(status=204)
    return Response(_events(batches), mimetype="text/event-stream", headers={**STREAM_HEADERS, **(headers or {})})


def beating(batches: Iterator[Sequence[LogEntry]], render: Callable[[Sequence[LogEntry]], bytes]) -> Iterator[bytes]:
    """The batches as a wire says them, and heartbeats while there is nothing to be said."""
    yield b":ok\n"
    sent_at = time.monotonic()
    for batch in batches:
        if block := render(batch) if batch else b"":
            yield block
        elif time.monotonic() >= sent_at + _HEARTBEAT_INTERVAL:
            yield _HEARTBEAT
        else:
            continue
        sent_at = time.monotonic()


def is_gone(client: socket.socket) -> bool:
    """Whether a client has hung up, or will send nothing more."""
    try:
        # Through the plain socket: gevent's own would wait for something to read.
        with closing(_socket.socket(fileno=os.dup(client.fileno()))) as plain:
            return not plain.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _events(batches: Iterator[Sequence[LogEntry]]) -> Iterator[bytes]:
    retry = b"retry: 2000\n"

    def render(batch: Sequence[LogEntry]) -> bytes:
        nonlocal retry
        block, retry = retry + b"".join(map(_event, batch)), b""
        return block

    return beating(batches, render)


def _event(entry: LogEntry) -> bytes:
    payload = orjson.dumps({"seq": entry.seq, **entry.data})
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (entry.seq, entry.event.encode(), payload)
