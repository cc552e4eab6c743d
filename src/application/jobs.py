"""Work in the background: do a job under its lease, and dispatch those that wait."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from application.ports.persistence import StartWork, UnitOfWork
from application.ports.runtime import Now, Queue
from application.telemetry import SILENT, Telemetry, bound, spawn
from domain.errors import Conflict, LeaseLost, NotFound, ParleyError, Unavailable
from domain.jobs import LEASE, Job, JobKind

log = logging.getLogger(__name__)

_BATCH = 500

_TELL_AGAIN = 1.0
"""Seconds after which a job's progress is written down again."""

_TURN = 0.001
"""Seconds between two steps, in which others have their turn: they may share this process's one thread."""

_SIGN_OF_LIFE = LEASE.total_seconds() / 3

Write = Callable[[UnitOfWork], None]
"""Writes what came of a job, in the transaction that completes it. Whatever it locks comes before the job."""


class JobFailed(ParleyError):
    """What a job is for can never be done, or not like this; `slug` and message say why."""

    def __init__(self, slug: str, message: str) -> None:
        super().__init__(message)
        self.slug = slug


class JobHandler(Protocol):
    """Does the jobs of one kind."""

    def __call__(self, job: Job, progress: Progress) -> Write:
        """Do the work, outside of any transaction that is held open; what is returned writes what came of it.

        May be called again for the same job, when what came of it could not be written. Raises Unavailable when it
        is to be tried again later, and any other ParleyError when there is no use in that.
        """
        ...

    def give_up(self, work: UnitOfWork, job: Job, code: str, message: str) -> None:
        """Note at the job's subject, which may be gone, that the job has failed for good."""
        ...


class Progress:
    """How far one running job is, and whether it is still ours."""

    def __init__(self, start_work: StartWork, job: Job, now: Now) -> None:
        self.job = job
        self._start_work = start_work
        self._now = now
        self._done = self._total = 0
        self._due = 0.0
        self._is_lost = False
        self._over = threading.Event()

    def advance(self, done: int, total: int) -> None:
        """Note that `done` of `total` steps are behind; raises LeaseLost when the job is another worker's by now."""
        time.sleep(_TURN)
        self._done, self._total = done, total
        if self._is_lost:
            raise LeaseLost(self.job.id, self.job.epoch)
        if time.monotonic() >= self._due:
            self._tell()

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Keep the lease while the context is open."""
        spawn(self._keep_telling, name="job-lease")
        try:
            yield
        finally:
            self._over.set()

    def _keep_telling(self) -> None:
        with suppress(LeaseLost):
            while not self._over.wait(_SIGN_OF_LIFE):
                self._tell()

    def _tell(self) -> None:
        self._due = time.monotonic() + _TELL_AGAIN
        try:
            with self._start_work() as work:
                mine = work.jobs.get(self.job.id)
                mine.advance(self._done, self._total, epoch=self.job.epoch, now=self._now())
                work.commit()
        except (LeaseLost, NotFound) as lost:
            self._is_lost = True
            raise LeaseLost(self.job.id, self.job.epoch) from lost
        except Unavailable as away:  # There is time until the lease is over.
            log.info("job %s: its progress could not be noted: %s", self.job.id, away)


@dataclass(frozen=True, slots=True)
class RunJob:
    """Does jobs: claims one, has its handler do it, and writes how it ended.

    Only one of those who try at the same time has it. What cannot be done now waits, longer each time; a job over
    which too many workers were lost fails with `job_abandoned`.
    """

    start_work: StartWork
    handlers: Mapping[JobKind, JobHandler]
    now: Now
    telemetry: Telemetry = SILENT
    _running: set[Progress] = field(default_factory=set, repr=False)

    def __call__(self, job_id: UUID) -> None:
        """Do this one; returns when it has ended, was put off, or is somebody else's.

        Raises Unavailable without the database.
        """
        with self.start_work() as work:
            try:
                job = work.jobs.get(job_id)
                job.claim(self.now())
            except (Conflict, NotFound):
                return
            work.commit()
        self._perform(job)

    def next(self, woken_by: UUID) -> None:
        """Do whatever comes first. A worker is woken once for each job, not to do that very one."""
        with self.start_work() as work:
            job = work.jobs.next(self.now())
            if job is None:
                return
            job.claim(self.now())
            work.commit()
        self._perform(job)

    def give_back(self) -> None:
        """Leave the jobs under way to other workers, because this one stops."""
        for progress in list(self._running):
            try:
                with self.start_work() as work:
                    work.jobs.get(progress.job.id).give_back(epoch=progress.job.epoch, now=self.now())
                    work.commit()
            except ParleyError as failure:  # Its lease will be over soon.
                log.info("job %s could not be given back: %s", progress.job.id, failure)

    def _perform(self, job: Job) -> None:
        progress = Progress(self.start_work, job, self.now)
        self._running.add(progress)
        began = time.monotonic()
        about = {"job_id": str(job.id), "job_kind": job.kind.value}
        outcome = "lost"
        try:
            with (
                bound(job_id=job.id, principal=job.owner),
                self.telemetry.span("job", about, parent=job.traceparent, kind="consumer"),
                progress.telling(),
            ):
                outcome = self._do(job, progress)
        except (LeaseLost, NotFound):
            log.info("job %s is not ours any more", job.id)
        finally:
            self._running.discard(progress)
            self.telemetry.metrics.count("jobs_total", kind=job.kind.value, outcome=outcome)
            self.telemetry.metrics.observe("job_seconds", time.monotonic() - began, kind=job.kind.value)

    def _do(self, job: Job, progress: Progress) -> str:
        """How it ended: `completed`, `failed` or `retried`."""
        if job.is_hopeless:
            return self._fail(job, "job_abandoned", "This was tried several times, and each time the worker was lost.")
        try:
            write = self.handlers[job.kind](job, progress)
            with self.start_work() as work:
                write(work)
                work.jobs.get(job.id).complete(epoch=job.epoch, now=self.now())
                work.commit()
            return "completed"
        except LeaseLost:
            raise
        except Unavailable as away:
            log.warning("job %s (%s) will be tried again: %s", job.id, job.kind, away)
            with self.start_work() as work:
                work.jobs.get(job.id).retry(away.slug, away.message, epoch=job.epoch, now=self.now())
                work.commit()
            return "retried"
        except ParleyError as refusal:
            return self._fail(job, refusal.slug, refusal.message)
        except Exception:
            log.exception("job %s (%s) failed", job.id, job.kind)
            return self._fail(job, "internal_error", "Something went wrong on our side.")

    def _fail(self, job: Job, code: str, message: str) -> str:
        with self.start_work() as work:
            self.handlers[job.kind].give_up(work, job, code, message)
            work.jobs.get(job.id).fail(code, message, epoch=job.epoch, now=self.now())
            work.commit()
        return "failed"


@dataclass(frozen=True, slots=True)
class SweepJobs:
    """Dispatches the jobs that are due and of which the queue knows nothing (any more)."""

    start_work: StartWork
    queue: Queue
    now: Now

    def __call__(self) -> int:
        """How many were dispatched."""
        with self.start_work() as work:
            due = work.jobs.due(self.now(), limit=_BATCH)
        return self.queue.dispatch_again(due) if due else 0
