"""The queue as those who ask use it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from uuid import UUID

from redis import Redis, RedisError
from rq import Queue, Worker
from rq.serializers import JSONSerializer

from adapters.rq.jobs import TASKS
from domain.errors import Unavailable

log = logging.getLogger(__name__)

_FAILURES_KEPT = 24 * 3600
"""Seconds that a job which failed can be looked at in RQ's registry."""

_AGAIN = 10
"""Seconds before a task that no worker has claimed is dispatched once more."""


def queue_name(prefix: str, name: str) -> str:
    """What RQ calls a queue of an installation; `name` is one of `TASKS`."""
    return f"{prefix}{name}"


class RqQueue:
    """See application.ports.runtime.Queue.

    `name` is one of `TASKS`. The id of RQ's job is that of the task. Jobs are sent by a thread of their own, many in
    one round trip, so that nobody waits for Redis; what cannot be sent is dropped, for the sweeper to find.
    """

    def __init__(self, client: Redis, *, prefix: str, name: str, job_timeout: float) -> None:
        self._client = client
        self._name = name
        self._task = TASKS[name]
        self._prefix = prefix
        self._job_timeout = int(job_timeout)
        self._waiting: deque[UUID] = deque()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._sender: threading.Thread | None = None

    def dispatch(self, task_id: UUID) -> None:
        self._waiting.append(task_id)
        self._wake.set()
        if self._sender is None:
            self._start()

    def dispatch_again(self, task_ids: Sequence[UUID]) -> int:
        try:
            queued = set(self._queue().get_job_ids())
            missing = [task_id for task_id in task_ids if str(task_id) not in queued]
            with self._client.pipeline(transaction=False) as pipeline:
                for task_id in missing:
                    pipeline.set(f"{self._prefix}again:{task_id}", 1, nx=True, ex=_AGAIN)
                due = [task_id for task_id, is_due in zip(missing, pipeline.execute(), strict=True) if is_due]
        except RedisError as failure:
            log.warning("%s cannot be dispatched: %s", self._name, failure)
            return 0
        for task_id in due:
            self.dispatch(task_id)
        return len(due)

    def ping(self) -> str:
        """One line on the workers; raises Unavailable when there are none, or Redis is away."""
        try:
            queue = self._queue()
            workers, waiting = Worker.count(queue=queue), len(queue)
        except RedisError as failure:
            raise Unavailable(f"Redis does not answer: {failure}") from failure
        if not workers:
            raise Unavailable(f"No worker is running, and {waiting} {self._name} wait. Run: parley worker")
        return f"{workers} running, {waiting} {self._name} waiting"

    def _start(self) -> None:
        with self._lock:
            if self._sender is None:
                self._sender = threading.Thread(target=self._send_all, name="dispatcher", daemon=True)
                self._sender.start()

    def _send_all(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
            try:
                self._send(batch)
            except RedisError as failure:
                log.warning("%d %s wait for the sweeper: %s", len(batch), self._name, failure)
            except Exception:
                log.exception("%d %s could not be dispatched", len(batch), self._name)

    def _send(self, batch: Sequence[UUID]) -> None:
        queue = self._queue()
        with self._client.pipeline(transaction=False) as pipeline:
            for task_id in batch:
                queue.enqueue_call(
                    self._task,
                    (str(task_id),),
                    job_id=str(task_id),
                    timeout=self._job_timeout,
                    result_ttl=0,
                    failure_ttl=_FAILURES_KEPT,
                    pipeline=pipeline,
                )
            pipeline.execute()

    def _queue(self) -> Queue:
        return Queue(queue_name(self._prefix, self._name), connection=self._client, serializer=JSONSerializer)
