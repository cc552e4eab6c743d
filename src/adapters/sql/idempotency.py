"""Idempotency keys: who is at work on a request, and what it was answered with."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import ColumnElement

from adapters.sql.engine import Database
from adapters.sql.tables import idempotency_keys as keys
from application.ports.persistence import Document, Once
from domain.errors import Conflict, Invalid


class SqlIdempotencyKeys:
    """See application.ports.persistence.IdempotencyKeys. Each step is one statement, so none can get between."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, once: Once, *, until: datetime, expires_at: datetime, now: datetime) -> Document | None:
        values = {
            "fingerprint": once.fingerprint,
            "attempt": once.attempt,
            "answer": None,
            "locked_until": until,
            "expires_at": expires_at,
        }
        with self._database.at_once() as connection:
            if self._added(connection, once, values) or self._taken_over(connection, once, values, now):
                return None
            found = connection.execute(select(keys).where(_of(once))).one_or_none()
        if found is None:  # Given up at this very moment.
            raise _in_use()
        if found.fingerprint != once.fingerprint:
            raise Invalid({"Idempotency-Key": "Was used before, for another request. Use a new key for each."})
        if found.answer is None:
            raise _in_use()
        answer: Document = found.answer
        return answer

    def abandon(self, once: Once) -> None:
        with self._database.at_once() as connection:
            mine = and_(_of(once), keys.c.attempt == once.attempt, keys.c.answer.is_(None))
            connection.execute(delete(keys).where(mine))

    def forget_expired(self, now: datetime, *, limit: int) -> int:
        those = select(keys.c.owner, keys.c.key).where(keys.c.expires_at <= now).limit(limit)
        with self._database.at_once() as connection:
            found = connection.execute(those).all()
            for owner, key in found:
                connection.execute(
                    delete(keys).where(keys.c.owner == owner, keys.c.key == key, keys.c.expires_at <= now)
                )
        return len(found)

    def _added(self, connection: Connection, once: Once, values: dict[str, Any]) -> bool:
        insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        adding = insert(keys).values(owner=once.owner, key=once.key, **values).on_conflict_do_nothing()
        return connection.execute(adding.returning(keys.c.key)).first() is not None

    def _taken_over(self, connection: Connection, once: Once, values: dict[str, Any], now: datetime) -> bool:
        """Whether the key was free again: expired, or left by a process that ended half-way through this request."""
        left = and_(keys.c.answer.is_(None), keys.c.locked_until <= now, keys.c.fingerprint == once.fingerprint)
        free = and_(_of(once), or_(keys.c.expires_at <= now, left))
        taking = update(keys).where(free).values(**values).returning(keys.c.key)
        return connection.execute(taking).first() is not None


def _of(once: Once) -> ColumnElement[bool]:
    return and_(keys.c.owner == once.owner, keys.c.key == once.key)


def _in_use() -> Conflict:
    return Conflict("idempotency_key_in_use", "A request with this Idempotency-Key is under way. Try again later.")
