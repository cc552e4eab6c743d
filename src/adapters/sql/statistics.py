"""What is counted of all but histories: a few statements each, none of which brings single things here."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Executable, Select, and_, case, distinct, func, select, true

from adapters.sql.activity import by_code_point
from adapters.sql.counting import NUMBER, by_day, day, distinct_in, owned, shown_messages, within
from adapters.sql.engine import Database
from adapters.sql.knowledge_tables import documents, job_analyses, projects
from adapters.sql.measurements import Measurements
from adapters.sql.tables import deletions, messages, visitors
from application.ports.statistics import (
    BUSIEST,
    Analysed,
    DeletionCounts,
    JobAnalysisCounts,
    ProjectCounts,
    Scope,
    VisitorCounts,
)
from domain.deletions import Subject
from domain.identity import PrincipalKind
from domain.messages import Role


class SqlStatistics:
    """See application.ports.statistics.Statistics."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._measured = Measurements(database.engine.dialect.name)

    def deletions(self, scope: Scope) -> DeletionCounts:
        taken = select(
            day(deletions, "deleted_at"),
            func.sum(case((deletions.c.subject == Subject.ROOM, 1), else_=0)).label("rooms"),
            func.sum(deletions.c.conversation_count).label("conversations"),
        ).where(deletions.c.restored_at.is_(None), within(scope, deletions, "deleted_at"))
        with self._database.reading() as connection:
            found = connection.execute(taken.group_by("day")).all()
        return DeletionCounts(
            rooms={row.day: int(row.rooms) for row in found},
            conversations={row.day: int(row.conversations) for row in found},
        )

    def visitors(self, scope: Scope) -> VisitorCounts:
        asked = (messages.c.role == Role.USER) & messages.c.owner.startswith(f"{PrincipalKind.VISITOR}:")
        came = select(day(visitors), NUMBER).where(within(scope, visitors))
        claimed = select(day(visitors, "claimed_at"), NUMBER).where(within(scope, visitors, "claimed_at"))
        with self._database.reading() as connection:
            return VisitorCounts(
                new=by_day(connection, came),
                claimed=by_day(connection, claimed),
                questions=by_day(connection, shown_messages(scope, day(messages), NUMBER).where(asked)),
                active=distinct_in(connection, scope, messages.c.owner, asked),
            )

    def projects(self, scope: Scope) -> ProjectCounts:
        shown = and_(projects.c.deletion_id.is_(None), owned(scope, projects))
        kept = and_(documents.c.deletion_id.is_(None), owned(scope, documents))
        held = select(
            documents.c.status,
            NUMBER,
            func.sum(documents.c.passage_count).label("passages"),
            func.sum(documents.c.size).label("size"),
        ).where(kept)
        opened = select(day(projects), NUMBER).where(shown, within(scope, projects))
        added = select(day(documents), NUMBER).where(kept, within(scope, documents))
        with self._database.reading() as connection:
            holding = connection.execute(held.group_by(documents.c.status)).all()
            return ProjectCounts(
                projects=connection.execute(select(func.count()).select_from(projects).where(shown)).scalar_one(),
                documents={row.status.value: row.number for row in holding},
                passages=sum(int(row.passages) for row in holding),
                size=sum(int(row.size) for row in holding),
                opened=by_day(connection, opened),
                added=by_day(connection, added),
                cited=[dict(row) for row in connection.execute(self._cited(scope)).mappings()],
            )

    def job_analyses(self, scope: Scope) -> JobAnalysisCounts:
        those = and_(job_analyses.c.deletion_id.is_(None), within(scope, job_analyses))
        analysed = select(
            day(job_analyses),
            job_analyses.c.status,
            NUMBER,
            func.count(job_analyses.c.score).label("scored"),
            func.coalesce(func.sum(job_analyses.c.score), 0).label("score"),
            func.sum(job_analyses.c.matched).label("matched"),
            func.sum(job_analyses.c.missing).label("missing"),
        ).where(those)
        with self._database.reading() as connection:
            found = connection.execute(analysed.group_by("day", job_analyses.c.status)).all()
            wanted = connection.execute(self._skills(those)).mappings().all()
        return JobAnalysisCounts(
            analysed=[Analysed(row.day, row.status.value, *map(int, row[2:])) for row in found],
            skills=[dict(skill) for skill in wanted],
        )

    def _cited(self, scope: Scope) -> Select[Any]:
        measured = self._measured
        document_id, document = measured.source("document_id"), measured.source("document")
        answers = func.count(distinct(messages.c.id)).label("answers")
        title = func.max(measured.source("title")).label("title")
        return (
            shown_messages(scope, document_id.label("document_id"), document.label("document"), title, answers)
            .join(measured.sources, true())
            .group_by(document_id, document)
            .order_by(answers.desc(), by_code_point(document), by_code_point(document_id))
            .limit(BUSIEST)
        )

    def _skills(self, those: ColumnElement[bool]) -> Executable:
        name, missing = self._measured.skill("name"), self._measured.skill("status") == "missing"
        analyses = func.count(distinct(job_analyses.c.id))
        lacking = func.count(distinct(case((missing, job_analyses.c.id))))
        return (
            select(name.label("name"), analyses.label("analyses"), lacking.label("missing"))
            .select_from(job_analyses)
            .join(self._measured.skills, true())
            .where(those)
            .group_by(name)
            .order_by(lacking.desc(), analyses.desc(), by_code_point(name), name)
            .limit(BUSIEST)
        )
