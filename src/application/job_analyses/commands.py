"""Ask for job analyses, delete and restore them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from application.job_analyses.documents import analysis_document
from application.ports.persistence import Once, StartWork, UnitOfWork
from application.ports.runtime import NewId, Now
from domain.deletions import Deletion, Subject
from domain.errors import Conflict
from domain.identity import Principal
from domain.job_analyses import JobAnalysis
from domain.jobs import Job, JobKind
from domain.limits import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file as it came: what its sender calls it, and says that it is."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyseJobDescription:
    """A job description, a text or a file, shall be compared with what there is to find, or with one project of it."""

    principal: Principal
    description: str | File
    title: str | None = None
    project_id: UUID | None = None
    once: Once | None = None


@dataclass(frozen=True, slots=True)
class AnalyseJobDescriptionHandler:
    """Keeps the job description, and has it analysed.

    Raises Invalid, NotFound or Forbidden for the project, or Conflict `job_analysis_limit_reached`.
    """

    start_work: StartWork
    new_id: NewId
    now: Now
    limits: Limits

    def __call__(self, command: AnalyseJobDescription) -> JobAnalysis:
        described = command.description
        with self.start_work() as work:
            if command.project_id is not None:
                work.projects.look(command.project_id, for_=command.principal)
            analysis = self._analysis(command, work.job_analyses.count(command.principal.key))
            work.job_analyses.add(analysis, described.content if isinstance(described, File) else None)
            _queue(work, analysis, self.new_id(), self.now())
            work.answers.keep(command.once, analysis_document(analysis))
            work.commit()
        return analysis

    def _analysis(self, command: AnalyseJobDescription, so_far: int) -> JobAnalysis:
        described, analysis_id, now = command.description, self.new_id(), self.now()
        if isinstance(described, str):
            return JobAnalysis.of_text(
                described,
                id=analysis_id,
                owner=command.principal,
                title=command.title,
                project_id=command.project_id,
                analyses_so_far=so_far,
                limits=self.limits,
                now=now,
            )
        return JobAnalysis.of_file(
            name=described.name,
            media_type=described.media_type,
            size=len(described.content),
            id=analysis_id,
            owner=command.principal,
            title=command.title,
            project_id=command.project_id,
            analyses_so_far=so_far,
            limits=self.limits,
            now=now,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteJobAnalysis:
    """A job analysis shall go, until restored."""

    principal: Principal
    analysis_id: UUID


@dataclass(frozen=True, slots=True)
class DeleteJobAnalysisHandler:
    """Deletes softly, and stops the analysis if it is under way; raises NotFound or Forbidden."""

    start_work: StartWork
    new_id: NewId
    now: Now

    def __call__(self, command: DeleteJobAnalysis) -> Deletion:
        with self.start_work() as work:
            analysis = work.job_analyses.get(command.analysis_id, for_=command.principal)
            deletion = Deletion(
                id=self.new_id(),
                owner=analysis.owner,
                subject=Subject.JOB_ANALYSIS,
                subject_id=analysis.id,
                deleted_at=self.now(),
            )
            work.deletions.add(deletion)
            analysis.delete(deletion)
            if analysis.job_id is not None:
                for job in work.jobs.live([analysis.job_id]):
                    job.drop(deletion.deleted_at)
            work.commit()
        return deletion


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreJobAnalysis:
    """A deleted job analysis shall come back."""

    principal: Principal
    analysis_id: UUID


@dataclass(frozen=True, slots=True)
class RestoreJobAnalysisHandler:
    """Undoes the deletion, and has it analysed if it had not been.

    Raises NotFound, Forbidden, Conflict `not_deleted` or `job_analysis_limit_reached`.
    """

    start_work: StartWork
    new_id: NewId
    now: Now
    limits: Limits

    def __call__(self, command: RestoreJobAnalysis) -> JobAnalysis:
        with self.start_work() as work:
            analysis = work.job_analyses.get(command.analysis_id, for_=command.principal, deleted=None)
            if analysis.deletion_id is None:
                raise Conflict("not_deleted", "This job analysis is not deleted.")
            analysis.require_place(work.job_analyses.count(analysis.owner), self.limits)
            deletion = work.deletions.get(analysis.deletion_id)
            deletion.restore(self.now())
            analysis.restore(deletion, self.now())
            if analysis.is_pending:
                _queue(work, analysis, self.new_id(), self.now())
            work.commit()
        return analysis


def _queue(work: UnitOfWork, analysis: JobAnalysis, job_id: UUID, now: datetime) -> None:
    job = Job.queue(id=job_id, kind=JobKind.ANALYSE, subject_id=analysis.id, owner=analysis.owner, now=now)
    work.jobs.add(job)
    analysis.wait_for(job.id, now)
