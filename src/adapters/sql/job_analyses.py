"""Job analyses: their repository, and the queries about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from sqlalchemy import and_, delete, func, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from adapters.sql.activity import by_code_point
from adapters.sql.engine import Database
from adapters.sql.knowledge_tables import job_analyses, job_analysis_files, jobs, map_knowledge
from adapters.sql.repositories import Kept, authorised
from application.documents import page_document
from application.job_analyses.documents import analysis_document, listed_document
from application.ports.persistence import Document
from application.ports.queries import Page
from domain.errors import NotFound
from domain.identity import Principal
from domain.job_analyses import JobAnalysis
from domain.jobs import Job

map_knowledge()

ANALYSIS_KEYS: dict[str, ColumnElement[Any]] = {
    "created_at": job_analyses.c.created_at,
    "title": by_code_point(job_analyses.c.title),
    "score": func.coalesce(job_analyses.c.score, -1),
}

LISTED = [column for column in job_analyses.c if column.name not in ("text", "result")]


class SqlJobAnalyses:
    """See application.ports.job_analyses.JobAnalyses."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def add(self, analysis: JobAnalysis, content: bytes | None = None) -> None:
        self._kept.add(analysis)
        if content is not None:
            keeping = insert(job_analysis_files).values(analysis_id=analysis.id, content=content)
            self._kept.session.execute(keeping)

    def get(self, analysis_id: UUID, *, for_: Principal, deleted: bool | None = False) -> JobAnalysis:
        return authorised(self._kept.get(JobAnalysis, analysis_id), "job_analysis", analysis_id, for_, deleted)

    def count(self, owner: str) -> int:
        self._kept.take_turns(f"job analyses of {owner}")
        counting = select(func.count()).where(job_analyses.c.owner == owner, job_analyses.c.deletion_id.is_(None))
        return self._kept.session.execute(counting).scalar_one()

    def hand_over(self, owner: str, to: str) -> Sequence[UUID]:
        giving = update(job_analyses).where(job_analyses.c.owner == owner).values(owner=to)
        return self._kept.session.execute(giving.returning(job_analyses.c.id)).scalars().all()

    def content(self, analysis_id: UUID) -> bytes:
        wanted = select(job_analysis_files.c.content).where(job_analysis_files.c.analysis_id == analysis_id)
        found: bytes | None = self._kept.session.execute(wanted).scalar_one_or_none()
        if found is None:
            raise NotFound("job_analysis", analysis_id)
        return found

    def forget_content(self, analysis_id: UUID) -> None:
        kept = job_analysis_files.c.analysis_id == analysis_id
        self._kept.session.execute(delete(job_analysis_files).where(kept))


class SqlJobAnalysisReader:
    """See application.ports.job_analyses.JobAnalysisReader."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def job_analyses(self, principal: Principal, page: Page) -> Document:
        mine = and_(job_analyses.c.owner == principal.key, job_analyses.c.deletion_id.is_(None))
        key, tie = ANALYSIS_KEYS[page.sort_by], job_analyses.c.id
        order = (key.desc(), tie.desc()) if page.descending else (key, tie)
        wanted = select(*LISTED, jobs.c.done, jobs.c.total).outerjoin(jobs, jobs.c.id == job_analyses.c.job_id)
        with self._database.reading() as connection:
            total = connection.execute(select(func.count()).select_from(job_analyses).where(mine)).scalar_one()
            rows = connection.execute(wanted.where(mine).order_by(*order).limit(page.limit).offset(page.offset)).all()
        items = [listed_document(cast(JobAnalysis, row), done=row.done or 0, total=row.total or 0) for row in rows]
        return page_document(items, total=total, limit=page.limit, offset=page.offset)

    def job_analysis(self, analysis_id: UUID, principal: Principal) -> Document:
        wanted = select(job_analyses, jobs.c.done, jobs.c.total).outerjoin(jobs, jobs.c.id == job_analyses.c.job_id)
        with self._database.reading() as connection:
            row = connection.execute(wanted.where(job_analyses.c.id == analysis_id)).one_or_none()
        analysis = authorised(cast("JobAnalysis | None", row), "job_analysis", analysis_id, principal, deleted=False)
        job = cast(Job, row)  # What was authorised is there.
        return analysis_document(analysis, done=job.done or 0, total=job.total or 0)
