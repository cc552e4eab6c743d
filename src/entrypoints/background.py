"""What goes on behind the requests of a process, or instead of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol
from uuid import UUID

from application.facade import Application
from application.ports.runtime import OwnerLock
from application.reading import DegradingReader

log = logging.getLogger(__name__)

Chore = tuple[float, Callable[[], object]]
"""Something to do every so many seconds."""


class Worker(Protocol):
    """Where what is dispatched goes, replies or jobs; see adapters.in_process.queue and adapters.rq.worker."""

    def start(self, work: Callable[[UUID], None]) -> None:
        """From now on `work` does what is dispatched."""

    def stop(self) -> None:
        """Begin nothing new; what is under way goes on."""

    def join(self, timeout: float) -> bool:
        """Wait until nothing is under way; says whether that is so."""
        ...


class Chores:
    """Does things again and again, each in a thread of its own, until stopped. What fails is tried again."""

    def __init__(self, chores: Mapping[str, Chore]) -> None:
        self._chores = chores
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin in the background; returns at once."""
        for name, (interval, chore) in self._chores.items():
            threading.Thread(target=self._repeat, args=(name, interval, chore), name=name, daemon=True).start()

    def stop(self) -> None:
        """Begin nothing any more."""
        self._stopped.set()

    def _repeat(self, name: str, interval: float, chore: Callable[[], object]) -> None:
        failing = False
        while not self._stopped.wait(interval):
            try:
                chore()
                failing = False
            except Exception as failure:
                # Once with all there is to know, then in a line: what is away stays away for a while.
                log.warning("%s failed and will be tried again: %s", name, failure, exc_info=not failing)
                failing = True


class Writing:
    """Writes dispatched replies and does dispatched jobs until it is stopped; with `chores` beside it.

    With a lock, this process alone writes replies, and begins once it has the lock: where that is certain,
    what is still `running` at that moment was abandoned, and is reaped without waiting for its lease.
    """

    def __init__(
        self,
        app: Application,
        worker: Worker,
        jobs_worker: Worker,
        chores: Mapping[str, Chore],
        lock: OwnerLock | None = None,
    ) -> None:
        self._app = app
        self._worker = worker
        self._jobs_worker = jobs_worker
        self._lock = lock
        self._chores = Chores({**chores, "owner": (2.0, lock.keep)} if lock is not None else chores)
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin in the background; returns at once."""
        threading.Thread(target=self._begin, name="background", daemon=True).start()

    def stop(self, grace: float) -> None:
        """Begin nothing more, give what is under way `grace` seconds, then have the rest hand over.

        Jobs may take minutes, and lose nothing that another worker could not do again: they wait for nobody.
        """
        self._stopped.set()
        self._worker.stop()
        self._jobs_worker.stop()
        self._app.jobs.run.give_back()
        if not self._worker.join(grace):
            self._app.replies.generate.stop_all()
            self._worker.join(2.0)
        self._chores.stop()
        if self._lock is not None:
            self._lock.release()

    def _begin(self) -> None:
        while not self._begins():
            if self._stopped.wait(1.0):
                return
        self._chores.start()

    def _begins(self) -> bool:
        try:
            if self._lock is not None:
                if not self._lock.acquire(timeout=1.0):
                    return False
                for reply_id, status in self._app.replies.reap(orphans=self._lock.is_certain):
                    log.warning("reply %s had lost its process: %s", reply_id, status)
            self._worker.start(self._app.replies.generate)
            self._jobs_worker.start(self._app.jobs.run.next)
            self._app.replies.sweep()
            self._app.jobs.sweep()
        except Exception:
            log.exception("the worker cannot begin yet")
            return False
        return True


def upkeep(app: Application) -> dict[str, Chore]:
    """What whoever writes replies does beside it; any number of processes may, without stepping on each other."""
    return {
        "reaper": (2.0, app.replies.reap),
        "sweeper": (1.0, app.replies.sweep),
        "jobs": (2.0, app.jobs.sweep),
        "embeddings": (10.0, app.documents.embed_stale),
        "expired sessions": (30.0, app.sessions.close_expired),
        "expired idempotency keys": (600.0, app.idempotency.forget_expired),
        "purges": (30.0, app.retention.settle),
    }


def deliveries(app: Application) -> dict[str, Chore]:
    """What every process does that commits anything."""
    chores: dict[str, Chore] = {
        "relay": (1.0, app.relay),
        "rate limits": (1.0, app.rates.look),
        "cache": (1.0, app.caches.look),
        "erased visitors": (1.0, app.retention.erased.look),
    }
    if app.retention.hear.stores:
        chores["purged"] = (1.0, app.retention.hear)
    if isinstance(app.read, DegradingReader):
        chores["read models"] = (1.0, app.read.look)
    return chores


def hearing(app: Application) -> AbstractContextManager[None]:
    """What every process hears of the others while the context is open."""
    return app.read.listen() if isinstance(app.read, DegradingReader) else nullcontext()
