"""Keep a project the same as files somewhere else, and wait for what that takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from application.jobs import RunJob
from application.knowledge.documents import (
    UNKNOWN_TYPE,
    AddDocument,
    AddDocumentHandler,
    ReplaceDocument,
    ReplaceDocumentHandler,
)
from application.knowledge.projects import OpenProject, OpenProjectHandler
from application.ports.persistence import StartWork
from domain.identity import SYSTEM, Principal
from domain.jobs import Job, JobStatus
from domain.knowledge import Project, Visibility


class Change(StrEnum):
    """What became of a file's document."""

    ADDED = "added"
    REPLACED = "replaced"
    RETRIED = "retried"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsureProject:
    """There shall be a project of a principal's with this key; what it is like counts only if there is none."""

    principal: Principal
    key: str
    visibility: Visibility


@dataclass(frozen=True, slots=True)
class EnsureProjectHandler:
    """Finds the project, or opens it; raises what opening raises."""

    start_work: StartWork
    open: OpenProjectHandler

    def __call__(self, command: EnsureProject) -> Project:
        with self.start_work() as work:
            project = work.projects.keyed(command.principal.key, command.key)
        if project is not None:
            return project
        name = command.key.replace("-", " ").capitalize()
        opening = OpenProject(principal=command.principal, key=command.key, name=name, visibility=command.visibility)
        return self.open(opening)


@dataclass(frozen=True, slots=True, kw_only=True)
class PutDocument:
    """A project shall hold a file under a name."""

    principal: Principal
    project_id: UUID
    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class PutDocumentHandler:
    """Adds the file, replaces another one, or leaves the same alone; if that had failed, it is tried again.

    Answers with the document's id. Raises what adding and replacing raise.
    """

    start_work: StartWork
    add: AddDocumentHandler
    replace: ReplaceDocumentHandler

    def __call__(self, command: PutDocument) -> tuple[UUID, Change]:
        with self.start_work() as work:
            work.projects.get(command.project_id, for_=command.principal)
            kept = work.documents.named(command.project_id, command.name)
        if kept is None:
            adding = AddDocument(
                principal=command.principal, project_id=command.project_id, name=command.name, content=command.content
            )
            return self.add(adding)[0].id, Change.ADDED
        replacing = ReplaceDocument(
            principal=command.principal, document_id=kept.id, content=command.content, media_type=UNKNOWN_TYPE
        )
        replaced = self.replace(replacing)
        if replaced.fingerprint != kept.fingerprint:
            return kept.id, Change.REPLACED
        return kept.id, Change.UNCHANGED if replaced.job_id == kept.job_id else Change.RETRIED


@dataclass(frozen=True, slots=True)
class WorkOffDocument:
    """Does here and now what a document waits for, or waits while another worker does it.

    Answers with the job that was put off, if there is one: it says why, and is tried again by whoever runs then.
    """

    start_work: StartWork
    run: RunJob
    pause: Callable[[], None]

    def __call__(self, document_id: UUID) -> Job | None:
        while (job := self._live(document_id)) is not None:
            if job.status is JobStatus.QUEUED and job.error is not None:
                return job
            self.run(job.id)
            if (after := self._live(document_id)) is not None and after.id == job.id and after.error is None:
                self.pause()  # It is somebody else's.
        return None

    def _live(self, document_id: UUID) -> Job | None:
        with self.start_work() as work:
            document = work.documents.get(document_id, for_=SYSTEM)
            live = work.jobs.live([document.job_id] if document.job_id is not None else [])
        return live[0] if live else None
