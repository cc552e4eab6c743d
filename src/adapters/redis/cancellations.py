"""Cancellations that reach the owner of a reply in whichever process it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from adapters.redis.server import RedisServer
from adapters.redis.subscriptions import Channel

log = logging.getLogger(__name__)


class RedisCancellations:
    """See application.ports.runtime.Cancellations. One channel tells every process of every cancellation."""

    def __init__(self, server: RedisServer) -> None:
        self._subscriptions = server.subscriptions
        self._channel = _Listeners(f"{server.prefix}cancellations".encode())

    def announce(self, reply_id: UUID) -> None:
        payload = str(reply_id).encode()
        self._channel.heard(payload)  # The owner may be here, and Redis away.
        if not self._subscriptions.publish(self._channel.name, payload):
            log.warning("reply %s: its cancellation is not announced, Redis does not answer", reply_id)

    @contextmanager
    def listen(self, reply_id: UUID, heard: Callable[[], None]) -> Iterator[None]:
        if not self._channel.is_heard:
            self._channel.is_heard = True
            self._subscriptions.add(self._channel)
        listeners, payload = self._channel.listeners, str(reply_id).encode()
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
