"""The repositories of projects, documents and jobs, of one transaction over the write tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, delete, exists, func, insert, or_, select

from adapters.sql.knowledge_tables import (
    document_contents,
    documents,
    jobs,
    map_knowledge,
    passage_vectors,
    passages,
    projects,
)
from adapters.sql.repositories import Kept, authorised
from adapters.sql.scopes import scope
from application.ports.knowledge import Scope
from domain.errors import Forbidden, NotFound
from domain.identity import Principal
from domain.jobs import LIVE, PATIENT, Job, JobStatus
from domain.knowledge import Document, DocumentStatus, Project

map_knowledge()


class SqlProjects:
    """See application.ports.knowledge.Projects."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def add(self, project: Project) -> None:
        self._kept.add(project)

    def get(self, project_id: UUID, *, for_: Principal, deleted: bool | None = False) -> Project:
        return authorised(self._kept.get(Project, project_id), "project", project_id, for_, deleted)

    def look(self, project_id: UUID, *, for_: Principal) -> Project:
        project = self._kept.get(Project, project_id, lock=False)
        if project is None:
            raise NotFound("project", project_id)
        if not project.is_visible_to(for_):
            raise Forbidden("This project belongs to somebody else.", kind="project")
        if project.deletion_id is not None:
            raise NotFound("project", project_id)
        return project

    def scope(self, owner: str, *, project_id: UUID | None, keys: Collection[str] | None) -> Scope:
        return scope(self._kept.connection, owner, project_id, keys)

    def keyed(self, owner: str, key: str) -> Project | None:
        self._take_turns(owner)
        wanted = select(Project).where(
            projects.c.owner == owner, projects.c.key == key, projects.c.deletion_id.is_(None)
        )
        found = self._kept.all(wanted)
        return found[0] if found else None

    def count(self, owner: str) -> int:
        self._take_turns(owner)
        counting = select(func.count()).where(projects.c.owner == owner, projects.c.deletion_id.is_(None))
        return self._kept.session.execute(counting).scalar_one()

    def is_empty(self) -> bool:
        return not self._kept.session.execute(select(exists().select_from(projects))).scalar_one()

    def _take_turns(self, owner: str) -> None:
        self._kept.take_turns(f"projects of {owner}")


class SqlDocuments:
    """See application.ports.knowledge.Documents."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def add(self, document: Document) -> None:
        self._kept.add(document)

    def get(self, document_id: UUID, *, for_: Principal, deleted: bool | None = False) -> Document:
        return authorised(self._kept.get(Document, document_id), "document", document_id, for_, deleted)

    def project_of(self, document_id: UUID) -> UUID:
        wanted = select(documents.c.project_id).where(documents.c.id == document_id)
        found: UUID | None = self._kept.session.execute(wanted).scalar_one_or_none()
        if found is None:
            raise NotFound("document", document_id)
        return found

    def named(self, project_id: UUID, name: str) -> Document | None:
        wanted = select(Document).where(
            documents.c.project_id == project_id, documents.c.name == name, documents.c.deletion_id.is_(None)
        )
        found = self._kept.all(wanted.with_for_update())
        return found[0] if found else None

    def count(self, project_id: UUID) -> int:
        counting = select(func.count()).where(documents.c.project_id == project_id, documents.c.deletion_id.is_(None))
        return self._kept.session.execute(counting).scalar_one()

    def in_project(self, project_id: UUID, *, deleted: bool | None = False) -> Sequence[Document]:
        wanted = select(Document).where(documents.c.project_id == project_id)
        if deleted is not None:
            wanted = wanted.where(
                documents.c.deletion_id.is_not(None) if deleted else documents.c.deletion_id.is_(None)
            )
        return self._kept.all(wanted.order_by(documents.c.id).with_for_update())

    def taken_by(self, deletion_id: UUID) -> Sequence[Document]:
        wanted = select(Document).where(documents.c.deletion_id == deletion_id)
        return self._kept.all(wanted.order_by(documents.c.id).with_for_update())

    def stale(self, space: str, *, limit: int) -> Sequence[UUID]:
        wanted = (
            select(documents.c.id)
            .outerjoin(jobs, jobs.c.id == documents.c.job_id)
            .where(
                documents.c.deletion_id.is_(None),
                documents.c.status == DocumentStatus.READY,
                documents.c.embedded_with.is_distinct_from(space),
                documents.c.refused_by.is_distinct_from(space),
                or_(jobs.c.id.is_(None), jobs.c.status.not_in(LIVE)),
            )
            .order_by(documents.c.id)
            .limit(limit)
        )
        return self._kept.session.execute(wanted).scalars().all()

    def dimensions(self, space: str) -> Mapping[UUID, int]:
        wanted = (
            select(documents.c.id, passage_vectors.c.dimension)
            .join(passages, and_(passages.c.document_id == documents.c.id, passages.c.place == 0))
            .join(passage_vectors, passage_vectors.c.number == passages.c.number)
            .where(passage_vectors.c.space == space)
        )
        return {row.id: row.dimension for row in self._kept.session.execute(wanted)}

    def keep_content(self, document_id: UUID, content: bytes) -> None:
        kept = document_contents.c.document_id == document_id
        self._kept.session.execute(delete(document_contents).where(kept))
        self._kept.session.execute(insert(document_contents).values(document_id=document_id, content=content))

    def content(self, document_id: UUID) -> bytes:
        wanted = select(document_contents.c.content).where(document_contents.c.document_id == document_id)
        found: bytes | None = self._kept.session.execute(wanted).scalar_one_or_none()
        if found is None:
            raise NotFound("document", document_id)
        return found


class SqlJobs:
    """See application.ports.knowledge.Jobs."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def add(self, job: Job) -> None:
        self._kept.add(job)

    def get(self, job_id: UUID) -> Job:
        job = self._kept.get(Job, job_id)
        if job is None:
            raise NotFound("job", job_id)
        return job

    def live(self, job_ids: Sequence[UUID]) -> Sequence[Job]:
        if not job_ids:
            return ()
        wanted = select(Job).where(jobs.c.id.in_(job_ids), jobs.c.status.in_(LIVE)).order_by(jobs.c.id)
        return self._kept.all(wanted.with_for_update())

    def next(self, now: datetime) -> Job | None:
        patience = case((jobs.c.kind.in_(PATIENT), 1), else_=0)
        wanted = select(Job).where(_is_due(now)).order_by(patience, jobs.c.due_at, jobs.c.id).limit(1)
        found = self._kept.all(wanted.with_for_update(skip_locked=True))
        return found[0] if found else None

    def due(self, now: datetime, *, limit: int) -> Sequence[UUID]:
        wanted = select(jobs.c.id).where(_is_due(now)).order_by(jobs.c.due_at, jobs.c.id).limit(limit)
        return self._kept.session.execute(wanted).scalars().all()


def _is_due(now: datetime) -> ColumnElement[bool]:
    waits = and_(jobs.c.status == JobStatus.QUEUED, jobs.c.due_at <= now)
    is_abandoned = and_(jobs.c.status == JobStatus.RUNNING, jobs.c.lease_until <= now)
    return and_(jobs.c.status.in_(LIVE), or_(waits, is_abandoned))
