"""Work in the background on one thing: who does it, how far it is, and how it ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from domain.errors import Conflict, LeaseLost
from domain.events import JobQueued, Recorder

LEASE = timedelta(seconds=30)
"""How long a worker owns a job without a sign of life; it gives one every third of that."""

ATTEMPTS = 3
"""How often a job is begun anew whose worker was lost: what kills its worker again and again is given up."""

_LONGEST_PAUSE = timedelta(minutes=5)


class JobKind(StrEnum):
    """What is to be done: read a document in, embed its passages, or analyse a job description."""

    INGEST = "ingest"
    EMBED = "embed"
    ANALYSE = "analyse"


PATIENT = frozenset({JobKind.EMBED})
"""The kinds that let all others go first: what they are about is of use meanwhile, and there may be thousands."""


class JobStatus(StrEnum):
    """`queued` and `running` are live; the others are final."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


LIVE = frozenset({JobStatus.QUEUED, JobStatus.RUNNING})


@dataclass(eq=False, kw_only=True)
class Job(Recorder):
    """One piece of work on the thing `subject_id`, and the right to do it.

    `epoch` is a fencing token: each claim raises it, and whoever writes under an older one is refused. `done` of
    `total` steps are behind it, as far as that is known. `error` is `{code, message}`: why it failed, or why its
    last try did; it is not tried again before `due_at`. `traceparent` is the trace that it was asked for in (W3C
    Trace Context), if there was one.
    """

    id: UUID
    kind: JobKind
    subject_id: UUID
    owner: str
    created_at: datetime
    due_at: datetime
    status: JobStatus = JobStatus.QUEUED
    epoch: int = 0
    attempts: int = 0
    retries: int = 0
    lease_until: datetime | None = None
    done: int = 0
    total: int = 0
    error: dict[str, str] | None = None
    finished_at: datetime | None = None
    traceparent: str | None = None

    @classmethod
    def queue(cls, *, id: UUID, kind: JobKind, subject_id: UUID, owner: str, now: datetime) -> Job:
        """A job that waits for a worker."""
        job = cls(id=id, kind=kind, subject_id=subject_id, owner=owner, created_at=now, due_at=now)
        job.record(JobQueued(subject_id=id, at=now))
        return job

    @property
    def is_live(self) -> bool:
        """Whether the job waits or runs."""
        return self.status in LIVE

    def claim(self, now: datetime) -> None:
        """Become a worker's for one lease.

        A running job whose lease is over can be claimed too. Raises Conflict `not_queued` for any other.
        """
        expired = self.status is JobStatus.RUNNING and self.lease_until is not None and self.lease_until <= now
        if not expired and (self.status is not JobStatus.QUEUED or self.due_at > now):
            raise Conflict("not_queued", f"This job is {self.status}.")
        self.status = JobStatus.RUNNING
        self.epoch += 1
        self.attempts += 1
        self.lease_until = now + LEASE

    @property
    def is_hopeless(self) -> bool:
        """Whether too many workers were lost over it, the one that has just claimed it not counted."""
        return self.attempts > ATTEMPTS

    def advance(self, done: int, total: int, *, epoch: int, now: datetime) -> None:
        """Note how far it is, and stay its owner; raises LeaseLost when `epoch` is over."""
        self._require_owner(epoch)
        self.done = done
        self.total = total
        self.lease_until = now + LEASE

    def complete(self, *, epoch: int, now: datetime) -> None:
        """Be done; raises LeaseLost when `epoch` is over."""
        self._require_owner(epoch)
        self._end(JobStatus.COMPLETED, None, now)

    def fail(self, code: str, message: str, *, epoch: int, now: datetime) -> None:
        """Be given up for good; raises LeaseLost when `epoch` is over."""
        self._require_owner(epoch)
        self._end(JobStatus.FAILED, {"code": code, "message": message}, now)

    def retry(self, code: str, message: str, *, epoch: int, now: datetime) -> None:
        """Wait for what was away, each time longer, up to five minutes; raises LeaseLost when `epoch` is over."""
        self._require_owner(epoch)
        self.status = JobStatus.QUEUED
        self.error = {"code": code, "message": message}
        self.lease_until = None
        self.attempts = 0  # Its worker lives.
        self.due_at = now + min(timedelta(seconds=2 ** min(self.retries, 10)), _LONGEST_PAUSE)
        self.retries += 1

    def give_back(self, *, epoch: int, now: datetime) -> None:
        """Wait for another worker, because this one stops; raises LeaseLost when `epoch` is over."""
        self._require_owner(epoch)
        self.status = JobStatus.QUEUED
        self.lease_until = None
        self.attempts -= 1  # Its worker was not lost.
        self.due_at = now
        self.record(JobQueued(subject_id=self.id, at=now))

    def drop(self, now: datetime) -> None:
        """Be done with, because nobody needs it any more."""
        if self.is_live:
            self.epoch += 1
            self._end(JobStatus.FAILED, {"code": "not_needed", "message": "This is not needed any more."}, now)

    def _end(self, status: JobStatus, error: dict[str, str] | None, now: datetime) -> None:
        self.status = status
        self.error = error
        self.lease_until = None
        self.finished_at = now

    def _require_owner(self, epoch: int) -> None:
        if epoch != self.epoch or self.status is not JobStatus.RUNNING:
            raise LeaseLost(self.id, epoch)
