"""A worker that performs many jobs at once in one process, each in a greenlet of its own."""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import gevent
from gevent.lock import BoundedSemaphore
from redis import Redis, RedisError
from rq import SimpleWorker, worker_registration
from rq.exceptions import StopRequested
from rq.job import Job
from rq.queue import Queue
from rq.serializers import JSONSerializer
from rq.timeouts import BaseDeathPenalty
from rq.worker import WorkerStatus

from adapters.rq.jobs import OurJob, working
from adapters.rq.queue import queue_name

log = logging.getLogger(__name__)

_POLL = 5
"""Seconds that one wait for a job takes at most: how soon a lost connection is noticed, and a sign of life given."""


class GreenletDeathPenalty(BaseDeathPenalty):
    """Ends a job that takes too long. RQ's own raise in threads, which greenlets are not."""

    def setup_death_penalty(self) -> None:
        """Begin to count."""
        self._timer = gevent.Timeout.start_new(
            self._timeout if self._timeout > 0 else None,
            self._exception(f"The job took longer than {self._timeout} seconds."),
        )

    def cancel_death_penalty(self) -> None:
        """The job came to its end in time."""
        self._timer.close()


class RqWorker:
    """Takes jobs from the queue until it is stopped, and starts over whenever Redis comes back.

    To RQ it is one worker with one registration (`rq info`), which performs up to `concurrency` jobs.
    """

    def __init__(self, client: Callable[[float], Redis], *, prefix: str, name: str, concurrency: int) -> None:
        # `client` makes a connection pool whose reads time out after so many seconds.
        self._client = client
        self._queue = queue_name(prefix, name)
        self._places = _Places(concurrency)
        self._loop: gevent.Greenlet[..., None] | None = None
        self._stopped = threading.Event()

    def start(self, work: Callable[[UUID], None]) -> None:
        """From now on `work` does what is dispatched."""
        self._loop = gevent.spawn(self._run, work)

    def stop(self) -> None:
        """Begin nothing new; what is under way goes on."""
        self._stopped.set()
        if self._loop is not None:
            self._loop.kill(StopRequested, timeout=2)

    def join(self, timeout: float) -> bool:
        """Wait until nothing is under way; says whether that is so."""
        deadline = time.monotonic() + timeout
        while self._places.taken:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        return True

    def _run(self, work: Callable[[UUID], None]) -> None:
        client = self._client(_POLL + 10.0)
        while not self._stopped.is_set():
            try:
                _Worker(client, self._queue, self._places, work).work(logging_level="WARNING")
            except StopRequested:
                return
            except RedisError as failure:
                log.warning("the worker waits for Redis: %s", failure)
            except Exception:
                log.exception("the worker starts over")
            self._stopped.wait(1.0)


class _Places:
    """So many jobs can be under way at once."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._free = BoundedSemaphore(count)
        self.sign_of_life_due = 0.0
        self.suspension_due = 0.0

    @property
    def taken(self) -> int:
        """How many jobs are under way."""
        return self._count - self._free.counter

    def take(self) -> None:
        self._free.acquire()

    def give_back(self) -> None:
        self._free.release()

    def wait(self, timeout: float) -> bool:
        """Whether a place is free within so many seconds."""
        return bool(self._free.wait(timeout=timeout))


class _Worker(SimpleWorker):
    """RQ's loop, which hands each job to a greenlet instead of performing it."""

    death_penalty_class = GreenletDeathPenalty
    log_job_description = False
    log_result_lifespan = False
    max_connection_wait_time = 5.0  # seconds between two tries to reach a Redis that is away

    def __init__(self, client: Redis, queue: str, places: _Places, work: Callable[[UUID], None]) -> None:
        super().__init__(
            [queue], connection=client, serializer=JSONSerializer, job_class=OurJob, log_job_description=False
        )
        self._places = places
        self._work = work

    @property
    def dequeue_timeout(self) -> int:
        """Seconds of one wait for a job."""
        return _POLL

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Perform the job beside the others; returns as soon as there is a place for the next one."""
        self._places.take()
        # RQ keeps the execution under way on the worker: each job gets a hand of its own, with the same name.
        hand = copy.copy(self)
        gevent.spawn(hand.perform_beside_others, job, queue)
        while not self._places.wait(_POLL):
            self.heartbeat()

    def perform_beside_others(self, job: Job, queue: Queue) -> None:
        """Perform a job in the present greenlet, with RQ's bookkeeping."""
        working.set(self._work)
        try:
            self.prepare_execution(job)
            self.perform_job(job, queue)
        except RedisError as failure:
            log.warning("job %s: its end could not be noted: %s", job.id, failure)
        except Exception:
            log.exception("job %s: RQ failed", job.id)
        finally:
            self._places.give_back()

    def set_state(self, state: str, pipeline: Any = None) -> None:
        """Note the state if it is another one; idle is a worker only when no job is under way."""
        if state == WorkerStatus.IDLE and self._places.taken:
            state = WorkerStatus.BUSY
        if pipeline is not None or state != self._state:
            super().set_state(state, pipeline)

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Give a sign of life. RQ does so several times a job, which is too often where jobs are many."""
        if pipeline is not None or time.monotonic() >= self._places.sign_of_life_due:
            self._places.sign_of_life_due = time.monotonic() + _POLL / 2
            super().heartbeat(timeout, pipeline)
            if pipeline is None and not self.connection.sismember(self.redis_workers_keys, self.key):
                # Redis has forgotten everything: be known again.
                worker_registration.register(self)
                self.connection.hset(self.key, mapping=self.serialize())

    def check_for_suspension(self, burst: bool) -> None:
        """Wait while `rq suspend` is in force, of which is heard within a second."""
        if time.monotonic() >= self._places.suspension_due:
            self._places.suspension_due = time.monotonic() + 1.0
            super().check_for_suspension(burst)

    def _install_signal_handlers(self) -> None:
        """Signals are the process's, see entrypoints.worker."""
