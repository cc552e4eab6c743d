"""RQ follows what was purged: the jobs that would have worked on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from redis import Redis, RedisError
from rq.job import Job
from rq.queue import Queue
from rq.serializers import JSONSerializer

from adapters.rq.queue import queue_name
from application.ports.retention import Kind, Present, Purge, Remnant, Tally
from domain.errors import Unavailable

_KINDS = {"replies": Kind.REPLIES, "jobs": Kind.JOBS}
"""What the ids of each queue are."""

_MANY = 1000


class RqCopies:
    """See application.ports.retention.Copies. A job of RQ's holds an id and, if it failed, a traceback."""

    name = "RQ"

    def __init__(self, client: Redis, *, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    def forget(self, purges: Sequence[Purge]) -> Tally:
        forgotten = 0
        try:
            for name, kind in _KINDS.items():
                for job_id in self._known(purges, kind):
                    queue = self._queue(name)
                    queue.remove(str(job_id))
                    job = Job(str(job_id), connection=self._client, serializer=JSONSerializer)
                    queue.started_job_registry.remove_executions(job)
                    for registry in self._registries(queue):
                        registry.connection.zrem(registry.key, job.id)
                    self._client.delete(job.key, job.dependents_key, f"{self._prefix}again:{job_id}")
                    forgotten += 1
        except RedisError as failure:
            raise Unavailable(f"Redis does not answer: {failure}") from failure
        return {"queued jobs": forgotten} if forgotten else {}

    def remnants(self, purges: Sequence[Purge]) -> Iterator[Remnant]:
        try:
            for kind in _KINDS.values():
                for job_id in self._known(purges, kind):
                    yield Remnant(self.name, f"job {job_id}", "was purged")
        except RedisError as failure:
            raise Unavailable(f"Redis does not answer: {failure}") from failure

    def orphans(self, present: Present) -> Iterator[Remnant]:
        for name, kind in _KINDS.items():
            try:
                queue = self._queue(name)
                ids = set(queue.get_job_ids())
                for registry in (queue.started_job_registry, *self._registries(queue)):
                    ids.update(registry.get_job_ids(cleanup=False))  # Cleaning up is the workers'.
            except RedisError as failure:
                raise Unavailable(f"Redis does not answer: {failure}") from failure
            known = present(kind, {UUID(id_) for id_ in ids})
            for id_ in sorted(ids):
                if UUID(id_) not in known:
                    yield Remnant(self.name, f"job {id_}", "is not in the database")

    def _known(self, purges: Sequence[Purge], kind: Kind) -> Iterator[UUID]:
        """Those that RQ knows of."""
        ids = [id_ for purge in purges for id_ in purge.ids.get(kind, ())]
        for start in range(0, len(ids), _MANY):
            some = ids[start : start + _MANY]
            with self._client.pipeline(transaction=False) as pipe:
                for id_ in some:
                    pipe.exists(Job.key_for(str(id_)))
                found: list[Any] = pipe.execute()
            yield from (id_ for id_, is_there in zip(some, found, strict=True) if is_there)

    def _queue(self, name: str) -> Queue:
        return Queue(queue_name(self._prefix, name), connection=self._client, serializer=JSONSerializer)

    def _registries(self, queue: Queue) -> Sequence[Any]:
        return (
            queue.failed_job_registry,
            queue.finished_job_registry,
            queue.deferred_job_registry,
            queue.scheduled_job_registry,
            queue.canceled_job_registry,
        )
