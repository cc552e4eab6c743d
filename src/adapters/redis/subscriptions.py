"""What one process hears from Redis."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis

from adapters.redis.wire import BROKEN, Wire, packed

log = logging.getLogger(__name__)

_AT_ONCE = 64
"""How many questions are on their way at most: Redis cuts off a subscriber that leaves too many answers lying."""

_PAUSES = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds before each new attempt to connect; the last one for all that follow."""

_PING = packed(b"PING")


class Channel:
    """Something that is heard. Its methods are called by the hearing thread (`away` by any) and must return at once."""

    question = b""
    """A packed command that is asked whenever hearing begins. It goes after the SUBSCRIBE on the same connection:
    what the answer does not hold is heard after it."""

    def __init__(self, name: bytes) -> None:
        self.name = name

    def answered(self, answer: Any) -> None:
        """The answer to the question."""

    def heard(self, payload: bytes) -> None:
        """Somebody published this."""

    def cut(self) -> None:
        """Nothing is heard until the question is answered anew."""

    def away(self) -> None:
        """Redis could not be reached; it is tried again."""


class Subscriptions:
    """One connection and one thread of a process, whatever the number of channels it hears.

    The thread begins with the first channel, connects again whenever the connection is lost, and then
    subscribes to every channel and asks its question anew.
    """

    def __init__(self, connect: Callable[[], Wire]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self._channels: dict[bytes, Channel] = {}
        self._unheard: deque[Channel] = deque()  # to be subscribed to on this connection
        self._answers: deque[Callable[[Any], None]] = deque()  # who waits, in the order of the questions
        self._wire: Wire | None = None
        self._away = False

    def add(self, channel: Channel) -> None:
        """Hear a channel, now or as soon as Redis answers."""
        with self._lock:
            self._channels[channel.name] = channel
            self._unheard.append(channel)
            self._ask()
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._run, name="redis-subscriptions", daemon=True)
                self._thread.start()
            away = self._away
        if away:
            channel.away()

    def remove(self, channel: Channel) -> None:
        """Hear it no more."""
        with self._lock:
            if self._channels.get(channel.name) is channel:
                del self._channels[channel.name]
                self._send(packed(b"UNSUBSCRIBE", channel.name))

    def close(self) -> None:
        """End the thread and the connection."""
        with self._lock:
            self._closed.set()
            if self._wire is not None:
                self._wire.close()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        failures = 0
        while not self._closed.wait(_PAUSES[min(failures, len(_PAUSES) - 1)] if failures else None if False else 0.0):
            pass
