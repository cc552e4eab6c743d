"""Add, replace, change, delete and restore documents, and have them read in anew."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from application.documents import document_of_project
from application.knowledge.ingesting import drop_jobs, queue_reading
from application.ports.persistence import Once, StartWork, UnitOfWork
from application.ports.runtime import NewId, Now
from domain.deletions import Deletion, Subject
from domain.errors import Conflict
from domain.identity import SYSTEM, Principal
from domain.jobs import Job, JobKind, JobStatus
from domain.knowledge import Document, Project, require_author
from domain.limits import Limits

UNKNOWN_TYPE = "application/octet-stream"
"""The media type of what nobody has looked at, and whose sender has not told it (RFC 2046, section 4.5.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddDocument:
    """A project shall hold another document: `content` is its file, `name` what that is called, if anything."""

    principal: Principal
    project_id: UUID
    content: bytes
    name: str | None = None
    media_type: str = UNKNOWN_TYPE
    title: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    once: Once | None = None


@dataclass(frozen=True, slots=True)
class AddDocumentHandler:
    """Keeps the document, and has it read in by a job.

    Raises NotFound, Forbidden, Invalid, Conflict `document_exists` or `document_limit_reached`.
    """

    start_work: StartWork
    new_id: NewId
    now: Now
    limits: Limits

    def __call__(self, command: AddDocument) -> tuple[Document, Job]:
        require_author(command.principal)
        fingerprint, now = fingerprint_of(command.content), self.now()
        with self.start_work() as work:
            project = work.projects.get(command.project_id, for_=command.principal)
            document = Document.add(
                id=self.new_id(),
                project=project,
                name=command.name,
                title=command.title,
                media_type=command.media_type,
                size=len(command.content),
                fingerprint=fingerprint,
                metadata=command.metadata,
                documents_so_far=work.documents.count(project.id),
                limits=self.limits,
                now=now,
            )
            _require_free_name(work, project, document.name)
            work.documents.add(document)
            work.documents.keep_content(document.id, command.content)
            job = queue_reading(work, document, self.new_id(), now)
            work.answers.keep(command.once, document_of_project(document, job))
            work.commit()
        return document, job


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceDocument:
    """A document's file shall be another one."""

    principal: Principal
    document_id: UUID
    content: bytes
    media_type: str = UNKNOWN_TYPE


@dataclass(frozen=True, slots=True)
class ReplaceDocumentHandler:
    """Keeps the new file and has it read in; nothing is done when that is so already, or under way.

    Raises NotFound, Forbidden or Invalid.
    """

    start_work: StartWork
    new_id: NewId
    now: Now
    limits: Limits

    def __call__(self, command: ReplaceDocument) -> Document:
        fingerprint, now = fingerprint_of(command.content), self.now()
        with self.start_work() as work:
            _, document = _with_project(work, command.document_id, command.principal)
            if document.fingerprint == fingerprint and document.error is None:
                return document
            document.replace(
                media_type=command.media_type,
                size=len(command.content),
                fingerprint=fingerprint,
                limits=self.limits,
                now=now,
            )
            work.documents.keep_content(document.id, command.content)
            drop_jobs(work, [document], now)
            queue_reading(work, document, self.new_id(), now)
            work.commit()
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeDocument:
    """A document shall have another title or other metadata; None leaves a value as it is."""

    principal: Principal
    document_id: UUID
    title: str | None = None
    metadata: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class ChangeDocumentHandler:
    """Changes the document; raises NotFound, Forbidden or Invalid."""

    start_work: StartWork
    now: Now
    limits: Limits

    def __call__(self, command: ChangeDocument) -> Document:
        now = self.now()
        with self.start_work() as work:
            project, document = _with_project(work, command.document_id, command.principal)
            document.change(title=command.title, metadata=command.metadata, limits=self.limits, now=now)
            if command.title is not None:
                work.passages.rename(document)
                project.content_changed(now)
            work.commit()
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteDocument:
    """A document shall go, until restored."""

    principal: Principal
    document_id: UUID


@dataclass(frozen=True, slots=True)
class DeleteDocumentHandler:
    """Deletes softly, and stops its being read in; raises NotFound or Forbidden."""

    start_work: StartWork
    new_id: NewId
    now: Now

    def __call__(self, command: DeleteDocument) -> Deletion:
        with self.start_work() as work:
            project, document = _with_project(work, command.document_id, command.principal)
            deletion = delete_document(work, project, document, self.new_id(), self.now())
            work.commit()
        return deletion


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreDocument:
    """A document that was deleted by itself shall come back."""

    principal: Principal
    document_id: UUID


@dataclass(frozen=True, slots=True)
class RestoreDocumentHandler:
    """Undoes the document's deletion, and reads it in if it had not been.

    Raises NotFound, Forbidden, Conflict `not_deleted`, `project_deleted`, `document_exists` or
    `document_limit_reached`.
    """

    start_work: StartWork
    new_id: NewId
    now: Now
    limits: Limits

    def __call__(self, command: RestoreDocument) -> Document:
        now = self.now()
        with self.start_work() as work:
            project, document = _with_project(work, command.document_id, command.principal, deleted=None)
            if document.deletion_id is None:
                raise Conflict("not_deleted", "This document is not deleted.")
            if project.deletion_id is not None:
                raise Conflict(
                    "project_deleted",
                    "The project of this document is deleted. Restore that first.",
                    project_id=str(project.id),
                )
            document.require_place(work.documents.count(project.id), self.limits)
            _require_free_name(work, project, document.name)
            deletion = work.deletions.get(document.deletion_id)
            deletion.restore(now)
            document.restore(deletion, now)
            project.content_changed(now)
            if document.is_unread:
                queue_reading(work, document, self.new_id(), now)
            work.commit()
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class ReingestDocument:
    """A document shall be read in again, as it is."""

    principal: Principal
    document_id: UUID


@dataclass(frozen=True, slots=True)
class ReingestDocumentHandler:
    """Has the document read in anew, unless somebody is just doing that; raises NotFound or Forbidden."""

    start_work: StartWork
    new_id: NewId
    now: Now

    def __call__(self, command: ReingestDocument) -> Document:
        now = self.now()
        with self.start_work() as work:
            _, document = _with_project(work, command.document_id, command.principal)
            live = work.jobs.live([document.job_id] if document.job_id is not None else [])
            if not any(job.kind is JobKind.INGEST and job.status is JobStatus.RUNNING for job in live):
                drop_jobs(work, [document], now)
                queue_reading(work, document, self.new_id(), now)
                work.commit()
        return document


def fingerprint_of(content: bytes) -> str:
    """What a document's content is recognised by, see Document.fingerprint."""
    return hashlib.sha256(content).hexdigest()


def delete_document(
    work: UnitOfWork, project: Project, document: Document, deletion_id: UUID, now: datetime
) -> Deletion:
    """Delete one document of a project by itself."""
    deletion = Deletion(
        id=deletion_id,
        owner=document.owner,
        subject=Subject.DOCUMENT,
        subject_id=document.id,
        document_count=1,
        deleted_at=now,
    )
    work.deletions.add(deletion)
    document.delete(deletion)
    project.content_changed(now)
    drop_jobs(work, [document], now)
    return deletion


def _with_project(
    work: UnitOfWork, document_id: UUID, principal: Principal, *, deleted: bool | None = False
) -> tuple[Project, Document]:
    """A document with its project, in the order in which everybody locks them."""
    project_id = work.documents.project_of(document_id)
    project = work.projects.get(project_id, for_=SYSTEM, deleted=None)
    return project, work.documents.get(document_id, for_=principal, deleted=deleted)


def _require_free_name(work: UnitOfWork, project: Project, name: str) -> None:
    taken = work.documents.named(project.id, name)
    if taken is not None:
        raise Conflict("document_exists", f"The project has a document {name!r} already.", name=name, id=str(taken.id))
