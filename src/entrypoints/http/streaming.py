"""The native wire of a reply's log: server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import orjson
from flask import Response

from application.ports.runtime import LogEntry

_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}

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
    return Response(_events(batches), mimetype="text/event-stream", headers={**_HEADERS, **(headers or {})})


def _events(batches: Iterator[Sequence[LogEntry]]) -> Iterator[bytes]:
    yield b":ok\n"
    retry = b"retry: 2000\n"
    sent_at = time.monotonic()
    for batch in batches:
        if batch:
            yield retry + b"".join(map(_event, batch))
            retry = b""
        elif time.monotonic() >= sent_at + _HEARTBEAT_INTERVAL:
            yield _HEARTBEAT
        else:
            continue
        sent_at = time.monotonic()


def _event(entry: LogEntry) -> bytes:
    payload = orjson.dumps({"seq": entry.seq, **entry.data})
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (entry.seq, entry.event.encode(), payload)
