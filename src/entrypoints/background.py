"""What goes on behind the requests of a process that also writes the replies."""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from uuid import UUID

from application.facade import Application

log = logging.getLogger(__name__)

_POLL = 0.05


class Worker(Protocol):
    """Where dispatched replies go; see adapters.in_process.queue."""

    def start(self, work: Callable[[UUID], None]) -> None:
        """From now on `work` writes what is dispatched."""

    def stop(self) -> None:
        """Begin nothing new; what is under way goes on."""

    def join(self, timeout: float) -> bool:
        """Wait until nothing is under way; says whether that is so."""
        ...


class OwnerLock:
    """Held by the one process that writes the replies of a SQLite file; the system frees it however that ends."""

    def __init__(self, database: str) -> None:
        self._file = Path(f"{database}.owner").open("w")  # noqa: SIM115 # open for as long as it is held

    def acquire(self, timeout: float) -> bool:
        """Wait for the lock, without stalling the greenlets of this process; says whether it is held now."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(_POLL)

    def release(self) -> None:
        """Let another process have it."""
        self._file.close()


class Background:
    """Writes dispatched replies and keeps things moving until it is stopped.

    Whoever holds the lock knows that no other process writes replies, so what is
    still `running` at that moment was abandoned, and is reaped without waiting for its lease.
    """

    def __init__(
        self, app: Application, worker: Worker, lock: OwnerLock, chores: dict[str, tuple[float, Callable[[], object]]]
    ) -> None:
        self._app = app
        self._worker = worker
        self._lock = lock
        self._chores = chores
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin in the background; returns at once."""
        threading.Thread(target=self._own, name="background", daemon=True).start()

    def stop(self, grace: float) -> None:
        """Begin no more replies, give those under way `grace` seconds, then have the rest hand over."""
        self._stopped.set()
        self._worker.stop()
        if not self._worker.join(grace):
            self._app.replies.generate.stop_all()
            self._worker.join(2.0)
        self._lock.release()

    def _own(self) -> None:
        while not self._lock.acquire(timeout=1.0):
            if self._stopped.is_set():
                return
        while not self._begins():
            if self._stopped.wait(1.0):
                return
        for name, (interval, chore) in self._chores.items():
            threading.Thread(target=self._repeat, args=(name, interval, chore), name=name, daemon=True).start()

    def _begins(self) -> bool:
        try:
            for reply_id, status in self._app.replies.reap(orphans=True):
                log.warning("reply %s had lost its process: %s", reply_id, status)
            self._worker.start(self._app.replies.generate)
            self._app.replies.sweep()
        except Exception:
            log.exception("the worker cannot begin yet")
            return False
        return True

    def _repeat(self, name: str, interval: float, chore: Callable[[], object]) -> None:
        while not self._stopped.wait(interval):
            try:
                chore()
            except Exception:
                log.exception("%s failed and will be tried again", name)
