"""Signals between processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from adapters.redis.server import RedisServer
from adapters.redis.subscriptions import Channel

log = logging.getLogger(__name__)


class RedisSignals:
    """See application.ports.runtime.Signals. One channel tells every process of everything."""

    def __init__(self, server: RedisServer) -> None:
        self._subscriptions = server.subscriptions
        self._channel = _Listeners(f"{server.prefix}signals".encode())

    def announce(self, subject: UUID) -> None:
        payload = str(subject).encode()
        self._channel.heard(payload)  # Whoever listens may be here, and Redis away.
        if not self._subscriptions.publish(self._channel.name, payload):
            log.warning("%s: nobody else is told, Redis does not answer", subject)

    @contextmanager
    def listen(self, subject: UUID, heard: Callable[[], None]) -> Iterator[None]:
        if not self._channel.is_heard:
            self._channel.is_heard = True
            self._subscriptions.add(self._channel)
        listeners, payload = self._channel.listeners, str(subject).encode()
        listeners[payload] = heard
        try:
            yield
        finally:
            if listeners.get(payload) is heard:
                del listeners[payload]


class _Listeners(Channel):
    def __init__(self, name: bytes) -> None:
        super().__init__(name)
        self.listeners: dict[bytes, Callable[[], None]] = {}
        self.is_heard = False

    def heard(self, payload: bytes) -> None:
        heard = self.listeners.get(payload)
        if heard is not None:
            heard()
