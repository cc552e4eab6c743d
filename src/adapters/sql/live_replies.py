"""Live replies as workers and upkeep need them: checkpoints, and who waits or is abandoned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, and_, bindparam, select, text, update

from adapters.sql.engine import Database
from adapters.sql.tables import replies
from application.ports.persistence import Checkpoint, Saved
from domain.replies import ReplyStatus

_OWNED = and_(
    replies.c.id == bindparam("reply_id"),
    replies.c.epoch == bindparam("under_epoch"),
    replies.c.status == ReplyStatus.RUNNING,
)
_SAVE = (
    update(replies)
    .where(_OWNED)
    .values(
        text=bindparam("new_text"), seq_ceiling=bindparam("new_seq_ceiling"), lease_until=bindparam("new_lease_until")
    )
    .returning(replies.c.id, replies.c.cancel_requested_at)
)
_STILL_OWNED = select(replies.c.id).where(_OWNED)

# All in one statement; a row that another transaction holds keeps nobody waiting but itself.
_SAVE_MANY = text("""
    WITH new AS (
        SELECT * FROM unnest(
            CAST(:reply_id AS uuid[]), CAST(:under_epoch AS integer[]), CAST(:new_text AS text[]),
            CAST(:new_seq_ceiling AS integer[]), CAST(:new_lease_until AS timestamptz[])
        ) AS columns (id, epoch, text, seq_ceiling, lease_until)
    ), free AS (
        SELECT replies.id FROM replies JOIN new ON new.id = replies.id AND new.epoch = replies.epoch
        WHERE replies.status = 'running' FOR UPDATE OF replies SKIP LOCKED
    )
    UPDATE replies SET text = new.text, seq_ceiling = new.seq_ceiling, lease_until = new.lease_until
    FROM new JOIN free ON free.id = new.id WHERE replies.id = new.id
    RETURNING replies.id, replies.cancel_requested_at
""")


class SqlLiveReplies:
    """See application.ports.persistence.LiveReplies."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, checkpoints: Sequence[Checkpoint]) -> Mapping[UUID, Saved]:
        rows = [
            {
                "reply_id": checkpoint.reply_id,
                "under_epoch": checkpoint.epoch,
                "new_text": checkpoint.text,
                "new_seq_ceiling": checkpoint.seq_ceiling,
                "new_lease_until": checkpoint.lease_until,
            }
            for checkpoint in checkpoints
        ]
        if not rows:
            return {}
        with self._database.at_once() as connection:
            if self._database.locks_rows:
                found = connection.execute(_SAVE_MANY, {name: [row[name] for row in rows] for name in rows[0]}).all()
            else:
                found = [one for row in rows for one in connection.execute(_SAVE, row)]
            saved = {row.id: Saved.CANCEL_REQUESTED if row.cancel_requested_at else Saved.SAVED for row in found}
            for row in rows:
                if row["reply_id"] not in saved and connection.execute(_STILL_OWNED, row).first() is None:
                    saved[row["reply_id"]] = Saved.LOST
        return saved

    def queued(self, *, before: datetime, limit: int) -> Sequence[UUID]:
        wanted = select(replies.c.id).where(replies.c.status == ReplyStatus.QUEUED, replies.c.created_at < before)
        return self._ids(wanted.order_by(replies.c.created_at).limit(limit))

    def running(self, *, expired_at: datetime | None, limit: int) -> Sequence[UUID]:
        wanted = select(replies.c.id).where(replies.c.status == ReplyStatus.RUNNING)
        if expired_at is not None:
            wanted = wanted.where(replies.c.lease_until <= expired_at)
        return self._ids(wanted.order_by(replies.c.created_at).limit(limit))

    def _ids(self, wanted: Select[UUID]) -> Sequence[UUID]:
        # What somebody is changing at this moment is neither waiting nor abandoned.
        looking = self._database.at_once if self._database.locks_rows else self._database.reading
        with looking() as connection:
            wanted = wanted.with_for_update(skip_locked=True)
            return connection.execute(wanted).scalars().all()
