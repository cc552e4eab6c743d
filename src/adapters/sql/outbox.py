"""The outbox as the relay reads it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import and_, delete, func, or_, select, update

from adapters.sql.engine import Database
from adapters.sql.tables import outbox
from application.ports.projections import RecordedEvent

_LEASE = timedelta(seconds=30)
"""How long events are one process's to hand over; if it dies meanwhile, they are due again afterwards."""


class SqlOutbox:
    """See application.ports.projections.Outbox. Events are due `grace` after their commit or their refusal."""

    def __init__(self, database: Database, grace: timedelta = timedelta(seconds=3)) -> None:
        self._database = database
        self._grace = grace

    def deliver(self, to: Callable[[Sequence[RecordedEvent]], Collection[int]], *, limit: int) -> int:
        events = self._take(limit)
        if not events:
            return 0
        refused = set(to(events))
        self.forget([event.number for event in events if event.number not in refused])
        if refused:
            with self._database.at_once() as connection:
                again = update(outbox).where(outbox.c.number.in_(refused))
                connection.execute(again.values(due_at=datetime.now(UTC) + self._grace))
        return len(events) - len(refused)

    def forget(self, numbers: Collection[int]) -> None:
        if numbers:
            with self._database.at_once() as connection:
                connection.execute(delete(outbox).where(outbox.c.number.in_(numbers)))

    def age(self) -> timedelta:
        with self._database.reading() as connection:
            oldest = connection.execute(select(func.min(outbox.c.recorded_at))).scalar_one()
        return datetime.now(UTC) - oldest if oldest is not None else timedelta()

    def _take(self, limit: int) -> Sequence[RecordedEvent]:
        now = datetime.now(UTC)
        is_due = and_(
            or_(outbox.c.recorded_at.is_(None), outbox.c.recorded_at <= now - self._grace),
            or_(outbox.c.due_at.is_(None), outbox.c.due_at <= now),
        )
        due = select(outbox.c.number).where(is_due).order_by(outbox.c.number).limit(limit)
        with self._database.reading() as connection:
            if connection.execute(due.limit(1)).first() is None:
                return ()  # As it mostly is: nothing is written for that.
        taking = update(outbox).where(outbox.c.number.in_(due.with_for_update(skip_locked=True).scalar_subquery()))
        with self._database.at_once() as connection:
            rows = connection.execute(taking.values(due_at=now + _LEASE).returning(outbox)).all()
        return [
            RecordedEvent(row.number, row.name, row.subject_id, row.payload)
            for row in sorted(rows, key=lambda row: row.number)
        ]
