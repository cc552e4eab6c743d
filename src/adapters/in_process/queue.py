"""A queue whose worker lives in the same process, and the signals that reach it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from domain.errors import Unavailable

log = logging.getLogger(__name__)


class InProcessQueue:
    """See application.ports.runtime.Queue.

    At most `concurrency` tasks are worked on at once, each in a thread (a greenlet where threads
    are patched to be). Before `start` a dispatch does nothing: the tasks' own state is the queue.
    """

    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency
        self._work: Callable[[UUID], None] | None = None
        self._lock = threading.Lock()
        self._waiting: deque[UUID] = deque()
        self._known: set[UUID] = set()  # waiting or being worked on
        self._threads = 0

    def start(self, work: Callable[[UUID], None]) -> None:
        """From now on `work` does what is dispatched."""
        self._work = work

    def stop(self) -> None:
        """Begin nothing new; what is under way goes on."""
        self._work = None
        with self._lock:
            self._known.difference_update(self._waiting)
            self._waiting.clear()

    def dispatch(self, task_id: UUID) -> None:
        if self._work is None:
            return
        with self._lock:
            if task_id in self._known:
                return
            self._known.add(task_id)
            self._waiting.append(task_id)
            if self._threads >= self._concurrency:
                return
            self._threads += 1
        threading.Thread(target=self._run, name="worker", daemon=True).start()

    def dispatch_again(self, task_ids: Sequence[UUID]) -> int:
        with self._lock:
            unknown = [task_id for task_id in task_ids if task_id not in self._known]
        for task_id in unknown:
            self.dispatch(task_id)
        return len(unknown)

    def ping(self) -> str:
        """One line on the worker; raises Unavailable when it has not begun or has stopped."""
        if self._work is None:
            raise Unavailable("No worker is running in this process.")
        return f"{self._threads} of {self._concurrency} at work, {len(self._waiting)} waiting"

    def join(self, timeout: float) -> bool:
        """Wait until nothing is under way; says whether that is so."""
        deadline = time.monotonic() + timeout
        while self._threads:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        return True

    def _run(self) -> None:
        while True:
            with self._lock:
                work = self._work
                if work is None or not self._waiting:
                    self._threads -= 1
                    return
                task_id = self._waiting.popleft()
            try:
                work(task_id)
            except Exception:
                # It is still queued, or its lease will run out: the sweeper or the reaper has it next.
                log.exception("%s: the worker failed", task_id)
            finally:
                with self._lock:
                    self._known.discard(task_id)


class InProcessSignals:
    """See application.ports.runtime.Signals."""

    def __init__(self) -> None:
        self._listeners: dict[UUID, Callable[[], None]] = {}

    def announce(self, subject: UUID) -> None:
        heard = self._listeners.get(subject)
        if heard is not None:
            heard()

    @contextmanager
    def listen(self, subject: UUID, heard: Callable[[], None]) -> Iterator[None]:
        self._listeners[subject] = heard
        try:
            yield
        finally:
            if self._listeners.get(subject) is heard:
                del self._listeners[subject]
