"""One thread that looks after many things at once, instead of one for each."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

Member = TypeVar("Member")


class Rounds(Generic[Member]):
    """Calls `act` with all members every `interval` seconds, and at once when woken, while there are any."""

    def __init__(self, name: str, interval: float, act: Callable[[Sequence[Member]], None]) -> None:
        self._name = name
        self._interval = interval
        self._act = act
        self._members: dict[int, Member] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._running = False

    def join(self, member: Member) -> None:
        """Have a part in the rounds from now on."""
        with self._lock:
            self._members[id(member)] = member
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def leave(self, member: Member) -> None:
        """Have no part in further rounds; one may be under way."""
        with self._lock:
            self._members.pop(id(member), None)

    def wake(self) -> None:
        """Begin the next round at once."""
        self._wake.set()

    def _run(self) -> None:
        due = 0.0
        while True:
            self._wake.wait(max(0.0, due - time.monotonic()))
            self._wake.clear()
            due = time.monotonic() + self._interval
            with self._lock:
                members = list(self._members.values())
                if not members:
                    self._running = False
                    return
            try:
                self._act(members)
            except Exception:
                log.exception("%s: a round failed", self._name)
