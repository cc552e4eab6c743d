"""Topics whose publishers and subscribers are all in this process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID

log = logging.getLogger(__name__)

_Heard = Callable[[Mapping[str, Any]], None]


class InProcessTopics:
    """See application.ports.runtime.Topics. Subscribers are called by the publisher's thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscribers: dict[UUID, dict[object, _Heard]] = {}

    def publish(self, topic: UUID, note: Mapping[str, Any]) -> None:
        with self._lock:
            subscribers = list(self._subscribers.get(topic, {}).values())
        for heard in subscribers:
            try:
                heard(note)
            except Exception:
                log.exception("%s: a subscriber failed", topic)

    @contextmanager
    def subscribe(self, topic: UUID, heard: _Heard) -> Iterator[None]:
        mine = object()
        with self._lock:
            self._subscribers.setdefault(topic, {})[mine] = heard
        try:
            yield
        finally:
            with self._lock:
                others = self._subscribers[topic]
                del others[mine]
                if not others:
                    del self._subscribers[topic]
