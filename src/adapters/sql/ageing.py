"""What nobody has used for long, and what is only old."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import String, Table, Text, and_, cast, delete, exists, func, or_, select, tuple_, type_coerce
from sqlalchemy.sql.elements import ColumnElement

from adapters.sql.engine import Database
from adapters.sql.knowledge_tables import documents, job_analyses, jobs
from adapters.sql.tables import conversations, idempotency_keys, outbox, purges, rooms, sessions, transcripts, visitors
from application.ports.retention import Old
from domain.identity import PrincipalKind
from domain.jobs import LIVE

_TABLES: dict[Old, Table] = {
    Old.SESSIONS: sessions,
    Old.JOBS: jobs,
    Old.IDEMPOTENCY_KEYS: idempotency_keys,
    Old.EVENTS: outbox,
    Old.VISITORS: visitors,
    Old.TRANSCRIPTS: transcripts,
    Old.PURGES: purges,
}


class SqlAgeing:
    """See application.ports.retention.Ageing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_sqlite = database.engine.dialect.name == "sqlite"

    def idle_rooms(self, before: datetime, *, after: UUID | None, limit: int) -> Sequence[UUID]:
        lives = exists().where(
            conversations.c.room_id == rooms.c.id, conversations.c.deletion_id.is_(None), _moves(before)
        )
        is_visited = exists().where(sessions.c.room_id == rooms.c.id, sessions.c.active_at >= before)
        idle = and_(rooms.c.deletion_id.is_(None), rooms.c.updated_at < before, ~lives, ~is_visited)
        return self._next(rooms, idle, after, limit)

    def idle_conversations(self, before: datetime, *, after: UUID | None, limit: int) -> Sequence[UUID]:
        is_visited = exists().where(sessions.c.conversation_id == conversations.c.id, sessions.c.active_at >= before)
        is_alone = and_(conversations.c.room_id.is_(None), conversations.c.deletion_id.is_(None))
        return self._next(conversations, and_(is_alone, ~_moves(before), ~is_visited), after, limit)

    def count_old(self, what: Old, before: datetime) -> int:
        table = _TABLES[what]
        with self._database.reading() as connection:
            counting = select(func.count()).select_from(table).where(self._is_old(what, before))
            return connection.execute(counting).scalar_one()

    def remove_old(self, what: Old, before: datetime, *, limit: int) -> int:
        table = _TABLES[what]
        key = tuple_(*table.primary_key)
        some = select(*table.primary_key).where(self._is_old(what, before)).limit(limit)
        # What somebody else is about to change is not that old any more, or is removed the next time.
        those = some.with_for_update(skip_locked=True, of=table)
        with self._database.at_once() as connection:
            return connection.execute(delete(table).where(key.in_(those))).rowcount

    def _next(self, table: Table, those: ColumnElement[bool], after: UUID | None, limit: int) -> Sequence[UUID]:
        wanted = select(table.c.id).where(those).order_by(table.c.id).limit(limit)
        if after is not None:
            wanted = wanted.where(table.c.id > after)
        with self._database.reading() as connection:
            return connection.execute(wanted).scalars().all()

    def _is_old(self, what: Old, before: datetime) -> ColumnElement[bool]:
        match what:
            case Old.SESSIONS:
                return sessions.c.closed_at < before
            case Old.JOBS:
                in_use = or_(
                    exists().where(documents.c.job_id == jobs.c.id, documents.c.ingested.is_(None)),
                    exists().where(job_analyses.c.job_id == jobs.c.id, job_analyses.c.finished_at.is_(None)),
                )
                return and_(jobs.c.status.not_in(LIVE), jobs.c.finished_at < before, ~in_use)
            case Old.IDEMPOTENCY_KEYS:
                return idempotency_keys.c.expires_at < before
            case Old.EVENTS:
                return outbox.c.recorded_at < before
            case Old.VISITORS:
                # What a visitor's room holds belongs to the visitor, too.
                belongs = self._key_of_visitor()
                holds = (
                    exists().where(table.c.owner == belongs) for table in (rooms, conversations, job_analyses, sessions)
                )
                return and_(visitors.c.created_at < before, *(~each for each in holds))
            case Old.TRANSCRIPTS:
                return transcripts.c.asked_at < before
            case Old.PURGES:
                return and_(purges.c.settled_at.is_not(None), purges.c.purged_at < before)

    def _key_of_visitor(self) -> ColumnElement[Any]:
        """Its principal's key. SQLite keeps ids without their hyphens."""
        if not self._is_sqlite:
            return f"{PrincipalKind.VISITOR}:" + cast(visitors.c.id, Text)
        digits = type_coerce(visitors.c.id, String)
        parts = [func.substr(digits, first, length) for first, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))]
        key: ColumnElement[Any] = type_coerce(f"{PrincipalKind.VISITOR}:", String) + parts[0]
        for part in parts[1:]:
            key = key + "-" + part
        return key


def _moves(before: datetime) -> ColumnElement[bool]:
    """Whether a conversation has shown a sign of life since then."""
    return or_(
        conversations.c.last_activity_at >= before,
        conversations.c.updated_at >= before,
        conversations.c.live_reply_id.is_not(None),
    )
