"""The native wire of a reply's log: server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import orjson
from flask import Response

from application.ports.runtime import LogEntry

_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}

# One newline only: some clients take every blank line for an empty message.
_HEARTBEAT = b":hb\n"


class EventStreams:
    """Makes responses of watched logs, and ends them all when the process is about to stop.

    A stream that simply ends makes a client come back with the number of its last event; that is
    how watchers move to another process without a gap.
    """

    def __init__(self) -> None:
        self._draining = threading.Event()

    def drain(self) -> None:
        """End every stream at its next event or wake-up."""
        self._draining.set()

    def response(
        self,
        batches: Iterator[Sequence[LogEntry]] | None,
        headers: dict[str, str] | None = None,
    ) -> Response:
        """The stream; 204 for a watcher that has seen the end, which stops an EventSource for good."""
        if batches is None:
            return Response(status=204)
        return Response(
            self._events(batches),
            mimetype="text/event-stream",
            headers={**_HEADERS, **(headers or {})},
        )

    def _events(self, batches: Iterator[Sequence[LogEntry]]) -> Iterator[bytes]:
        yield b":ok\n"
        retry = b"retry: 2000\n"
        for batch in batches:
            if batch:
                yield retry + b"".join(map(_event, batch))
                retry = b""
            else:
                yield _HEARTBEAT
            if self._draining.is_set():
                return


def _event(entry: LogEntry) -> bytes:
    payload = orjson.dumps({"seq": entry.seq, **entry.data})
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (
        entry.seq,
        entry.event.encode(),
        payload,
    )
