"""What is under way, counted over the indexes of what lives."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Table, bindparam, func, select

from adapters.sql.engine import Database
from adapters.sql.knowledge_tables import jobs
from adapters.sql.tables import outbox, replies
from application.ports.runtime import Now
from application.ports.telemetry import Backlog, Waiting
from domain.jobs import LIVE as LIVE_JOBS
from domain.jobs import JobKind, JobStatus
from domain.replies import LIVE, ReplyStatus

_MOST = 10_000

_NONE = Waiting()


class SqlBacklogs:
    """See application.ports.telemetry.Backlogs."""

    def __init__(self, database: Database, now: Now) -> None:
        self._database = database
        self._now = now

    def look(self) -> Backlog:
        now = self._now()
        with self._database.glancing() as connection:
            of_replies = connection.execute(
                select(replies.c.status, func.count(), func.min(replies.c.created_at))
                .where(_is_live(replies, LIVE))
                .group_by(replies.c.status)
            ).all()
            of_jobs = connection.execute(
                select(jobs.c.kind, jobs.c.status, func.count(), func.min(jobs.c.due_at))
                .where(_is_live(jobs, LIVE_JOBS), jobs.c.due_at <= now)
                .group_by(jobs.c.kind, jobs.c.status)
            ).all()
            some = select(outbox.c.number).limit(_MOST).subquery()
            events = connection.execute(select(func.count()).select_from(some)).scalar_one()
            oldest = connection.execute(select(func.min(outbox.c.recorded_at))).scalar_one()
        found = {status: Waiting(count, _age(oldest, now)) for status, count, oldest in of_replies}
        return Backlog(
            queued_replies=found.get(ReplyStatus.QUEUED, _NONE),
            running_replies=found.get(ReplyStatus.RUNNING, _NONE),
            queued_jobs=_by_kind(of_jobs, JobStatus.QUEUED, now),
            running_jobs=_by_kind(of_jobs, JobStatus.RUNNING, now),
            outbox=Waiting(events, _age(oldest, datetime.now(UTC))),
        )


def _is_live(table: Table, live: Collection[StrEnum]) -> ColumnElement[bool]:
    """As the indexes of what lives have it: word for word, or SQLite would read the whole table."""
    return table.c.status.in_(bindparam(None, sorted(live), expanding=True, literal_execute=True))


def _by_kind(rows: Iterable[Any], wanted: JobStatus, now: datetime) -> dict[str, Waiting]:
    """Of every kind, so that what has come to an end is seen to be 0."""
    waiting = {kind.value: _NONE for kind in JobKind}
    waiting |= {kind.value: Waiting(count, _age(due, now)) for kind, status, count, due in rows if status is wanted}
    return waiting


def _age(oldest: datetime | None, now: datetime) -> float:
    return max(0.0, (now - oldest).total_seconds()) if oldest is not None else 0.0
