"""The outbox as the relay reads it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select

from adapters.sql.engine import Database
from adapters.sql.tables import outbox
from application.ports.persistence import RecordedEvent


class SqlOutbox:
    """See application.ports.persistence.Outbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pending(self, *, after: int, limit: int) -> Sequence[RecordedEvent]:
        with self._database.reading() as connection:
            rows = connection.execute(
                select(outbox).where(outbox.c.number > after).order_by(outbox.c.number).limit(limit)
            ).all()
        return [RecordedEvent(row.number, row.name, row.subject_id, row.payload) for row in rows]

    def delivered(self, numbers: Sequence[int]) -> None:
        if not numbers:
            return
        with self._database.writing() as connection:
            connection.execute(delete(outbox).where(outbox.c.number.in_(numbers)))
            connection.commit()
