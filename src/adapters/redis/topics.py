"""Topics by which processes tell one another what happens."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import orjson

from adapters.redis.server import RedisServer
from adapters.redis.subscriptions import Channel
from adapters.redis.wire import packed
from application.ports.runtime import MISSED

log = logging.getLogger(__name__)

_Heard = Callable[[Mapping[str, Any]], None]

_MISSED = orjson.dumps(MISSED)


class RedisTopics:
    """See application.ports.runtime.Topics. A channel a topic, heard while somebody here has subscribed to it.

    Who is in the publisher's process is told by its thread, with or without Redis; the others by the one
    thread of the subscriptions.
    """

    def __init__(self, server: RedisServer) -> None:
        self._subscriptions = server.subscriptions
        self._prefix = f"{server.prefix}topic:"
        self._me = secrets.token_bytes(12)  # Begins every note, so that its publisher does not hear it twice.
        self._lock = threading.Lock()
        self._topics: dict[UUID, _Topic] = {}

    def publish(self, topic: UUID, note: Mapping[str, Any]) -> None:
        payload = orjson.dumps(note)
        here = self._topics.get(topic)
        if here is not None:
            here.tell(payload)
        if not self._subscriptions.publish(self._name(topic), self._me + payload):
            log.debug("%s: nobody else is told, Redis does not answer", topic)

    @contextmanager
    def subscribe(self, topic: UUID, heard: _Heard) -> Iterator[None]:
        mine = object()
        with self._lock:
            channel = self._topics.get(topic)
            if channel is None:
                channel = self._topics[topic] = _Topic(self._name(topic), self._me)
                self._subscriptions.add(channel)
            channel.join(mine, heard)
        try:
            yield
        finally:
            with self._lock:
                if not channel.part(mine):
                    del self._topics[topic]
                    self._subscriptions.remove(channel)

    def _name(self, topic: UUID) -> bytes:
        return f"{self._prefix}{topic}".encode()


class _Topic(Channel):
    question = packed(b"PING")  # Whose answer says that it is heard.

    def __init__(self, name: bytes, me: bytes) -> None:
        super().__init__(name)
        self._me = me
        self._subscribers: dict[object, _Heard] = {}
        self._was_cut = False

    def join(self, subscriber: object, heard: _Heard) -> None:
        """Tell this one too."""
        self._subscribers = self._subscribers | {subscriber: heard}  # Whoever tells has the old ones, whole.

    def part(self, subscriber: object) -> bool:
        """Tell it no more; whether others are left."""
        self._subscribers = {other: heard for other, heard in self._subscribers.items() if other is not subscriber}
        return bool(self._subscribers)

    def tell(self, payload: bytes) -> None:
        """Tell every subscriber of this process."""
        for heard in self._subscribers.values():
            try:
                heard(orjson.loads(payload))
            except Exception:
                log.exception("%s: a subscriber failed", self.name.decode())

    def answered(self, answer: Any) -> None:
        if self._was_cut:
            self._was_cut = False
            self.tell(_MISSED)

    def cut(self) -> None:
        self._was_cut = True

    def away(self) -> None:
        self._was_cut = True

    def heard(self, payload: bytes) -> None:
        sender, note = payload[: len(self._me)], payload[len(self._me) :]
        if sender != self._me:
            self.tell(note)
