"""The queries of operators about knowledge, background work and what waits, straight from the write tables."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, and_, case, func, or_, select

from adapters.sql.activity import by_code_point
from adapters.sql.engine import Database
from adapters.sql.knowledge_tables import documents, job_analyses, jobs, projects
from adapters.sql.operations import HistoryOperations, count, is_deleted, one, owned, paged, part, told, with_deletion
from adapters.sql.tables import outbox, replies, sessions
from application.documents import document_of_project, project_document
from application.job_analyses.documents import listed_document
from application.ports.persistence import Document
from application.ports.queries import Page
from application.ports.runtime import Now
from domain.job_analyses import JobAnalysis
from domain.jobs import LIVE, Job, JobStatus
from domain.knowledge import Document as KnowledgeDocument
from domain.knowledge import Project
from domain.replies import ReplyStatus

_ANALYSIS = [column for column in job_analyses.c if column.name not in ("text", "result")]

_ANALYSIS_KEYS: dict[str, ColumnElement[Any]] = {
    "title": by_code_point(job_analyses.c.title),
    "score": func.coalesce(job_analyses.c.score, -1),
}


class SqlOperatorReader(HistoryOperations):
    """See application.ports.operations.OperatorReader; `space` is that of the present embedding model's vectors."""

    def __init__(self, database: Database, now: Now, space: str | None = None) -> None:
        super().__init__(database, now)
        self._space = space

    def projects(self, *, owner: str | None, deleted: bool, page: Page) -> Document:
        those = and_(owned(projects, owner), is_deleted(projects, deleted))
        key = by_code_point(projects.c.name) if page.sort_by == "name" else projects.c[page.sort_by]
        wanted = with_deletion(select(projects).where(those), projects)
        with self._database.reading() as connection:
            total = count(connection, projects, those)
            found = connection.execute(part(wanted, key, projects.c.id, page)).all()
            items = _projects(connection, found)
        return paged([told(item, row) for item, row in zip(items, found, strict=True)], total, page)

    def project(self, project_id: UUID) -> Document:
        wanted = with_deletion(select(projects), projects).where(projects.c.id == project_id)
        with self._database.reading() as connection:
            row = one(connection, wanted, "project", project_id)
            (document,) = _projects(connection, [row])
        return told(document, row, alone=True)

    def project_keys(self, among: Collection[str]) -> Collection[str]:
        wanted = select(projects.c.key).where(projects.c.key.in_(sorted(among)), projects.c.deletion_id.is_(None))
        with self._database.reading() as connection:
            return set(connection.execute(wanted).scalars())

    def documents(self, *, owner: str | None, project: str | None, deleted: bool, page: Page) -> Document:
        those = and_(owned(documents, owner), is_deleted(documents, deleted))
        if project is not None:
            keyed = select(projects.c.id).where(projects.c.key == project)
            those = and_(those, documents.c.project_id.in_(keyed))
        key = by_code_point(documents.c.name) if page.sort_by == "name" else documents.c[page.sort_by]
        wanted = with_deletion(select(documents).where(those), documents)
        with self._database.reading() as connection:
            total = count(connection, documents, those)
            found = connection.execute(part(wanted, key, documents.c.id, page)).all()
            items = _documents(connection, found, self._space)
        return paged([told(item, row) for item, row in zip(items, found, strict=True)], total, page)

    def document(self, document_id: UUID) -> Document:
        wanted = with_deletion(select(documents), documents).where(documents.c.id == document_id)
        with self._database.reading() as connection:
            row = one(connection, wanted, "document", document_id)
            (document,) = _documents(connection, [row], self._space)
        return told(document, row, alone=True)

    def jobs(self, *, owner: str | None, statuses: Collection[str], kind: str | None, page: Page) -> Document:
        those = owned(jobs, owner)
        if statuses:
            those = and_(those, jobs.c.status.in_(statuses))
        if kind is not None:
            those = and_(those, jobs.c.kind == kind)
        return self._listed(jobs, those, jobs.c.id, page, _job)

    def job(self, job_id: UUID) -> Document:
        with self._database.reading() as connection:
            return _job(one(connection, select(jobs).where(jobs.c.id == job_id), "job", job_id))

    def job_analyses(self, *, owner: str | None, deleted: bool, page: Page) -> Document:
        those = and_(owned(job_analyses, owner), is_deleted(job_analyses, deleted))
        key = _ANALYSIS_KEYS.get(page.sort_by, job_analyses.c.created_at)
        wanted = _analyses().where(those)
        with self._database.reading() as connection:
            total = count(connection, job_analyses, those)
            found = connection.execute(part(wanted, key, job_analyses.c.id, page)).all()
        return paged([told(_analysis(row), row) for row in found], total, page)

    def job_analysis(self, analysis_id: UUID) -> Document:
        wanted = _analyses().where(job_analyses.c.id == analysis_id)
        with self._database.reading() as connection:
            row = one(connection, wanted, "job_analysis", analysis_id)
        return told(_analysis(row), row, alone=True)

    def waiting(self) -> Document:
        now = self._now()
        queued = replies.c.status == ReplyStatus.QUEUED
        running = replies.c.status == ReplyStatus.RUNNING
        # What a job is due for that runs is when it was claimed at the earliest.
        is_due = and_(jobs.c.status == JobStatus.QUEUED, jobs.c.due_at <= now)
        put_off = and_(jobs.c.status == JobStatus.QUEUED, jobs.c.due_at > now)
        with self._database.reading() as connection:
            waits = _summed(connection, replies.c.created_at, queued, waiting=queued)
            runs = _summed(
                connection,
                replies.c.started_at,
                running,
                running=running,
                abandoned=and_(running, replies.c.lease_until <= now),
            )
            job = _summed(
                connection,
                jobs.c.created_at,
                jobs.c.status.in_(LIVE),
                due=is_due,
                put_off=put_off,
                running=jobs.c.status == JobStatus.RUNNING,
            )
            recorded = connection.execute(select(func.count(), func.min(outbox.c.recorded_at))).one()
            is_open = and_(sessions.c.closed_at.is_(None), sessions.c.expires_at > now)
            sitting = count(connection, sessions, is_open)
        return {
            "queued_replies": waits,
            "running_replies": runs,
            "jobs": job,
            "outbox": {"events": recorded[0], "oldest": recorded[1]},
            "sessions": {"open": sitting},
        }


def _summed(
    connection: Connection, since: ColumnElement[Any], those: ColumnElement[bool], **parts: ColumnElement[bool]
) -> Document:
    counts = [func.coalesce(func.sum(case((which, 1), else_=0)), 0).label(name) for name, which in parts.items()]
    row = connection.execute(select(*counts, func.min(since).label("oldest")).where(those)).one()
    return {name: int(getattr(row, name)) for name in parts} | {"oldest": row.oldest}


def _projects(connection: Connection, found: Sequence[Row[Any]]) -> list[Document]:
    """With what their documents add up to: those that are there, or those that went with the project."""
    went_along = and_(projects.c.deletion_id.is_not(None), documents.c.deletion_id == projects.c.deletion_id)
    counting = (
        select(
            documents.c.project_id,
            func.count().label("documents"),
            func.coalesce(func.sum(documents.c.passage_count), 0).label("passages"),
        )
        .join(projects, projects.c.id == documents.c.project_id)
        .where(documents.c.project_id.in_([row.id for row in found]))
        .where(or_(documents.c.deletion_id.is_(None), went_along))
        .group_by(documents.c.project_id)
    )
    counts = {row.project_id: (row.documents, int(row.passages)) for row in connection.execute(counting)}
    made = []
    for row in found:
        document_count, passage_count = counts.get(row.id, (0, 0))
        document = project_document(
            cast(Project, row), row.owner, document_count=document_count, passage_count=passage_count
        )
        del document["is_own"]  # Whose it is, is said.
        made.append(document)
    return made


def _documents(connection: Connection, found: Sequence[Row[Any]], space: str | None) -> list[Document]:
    wanted = select(jobs).where(jobs.c.id.in_([row.job_id for row in found]), jobs.c.status.in_(LIVE))
    live = {row.id: cast(Job, row) for row in connection.execute(wanted)}
    naming = select(projects.c.id, projects.c.key).where(projects.c.id.in_({row.project_id for row in found}))
    keys = {row.id: row.key for row in connection.execute(naming)}
    return [
        document_of_project(cast(KnowledgeDocument, row), live.get(row.job_id), space)
        | {"project": keys[row.project_id]}
        for row in found
    ]


def _job(row: Row[Any]) -> Document:
    return {name: value for name, value in row._asdict().items() if name != "epoch"}


def _analyses() -> Any:
    wanted = select(*_ANALYSIS, jobs.c.done, jobs.c.total)
    return with_deletion(wanted.outerjoin(jobs, jobs.c.id == job_analyses.c.job_id), job_analyses)


def _analysis(row: Row[Any]) -> Document:
    return listed_document(cast(JobAnalysis, row), done=row.done or 0, total=row.total or 0)
