"""Checkpoints of running replies: the write that a live reply makes twice a second, so without entities."""

from __future__ import annotations

from sqlalchemy import bindparam, update

from adapters.sql.engine import Database
from adapters.sql.tables import replies
from application.ports.persistence import Checkpoint
from domain.errors import LeaseLost
from domain.replies import ReplyStatus

_SAVE = (
    update(replies)
    .where(
        replies.c.id == bindparam("reply_id"),
        replies.c.epoch == bindparam("under_epoch"),
        replies.c.status == ReplyStatus.RUNNING,
    )
    .values(
        text=bindparam("new_text"), seq_ceiling=bindparam("new_seq_ceiling"), lease_until=bindparam("new_lease_until")
    )
    .returning(replies.c.cancel_requested_at)
)


class SqlCheckpoints:
    """See application.ports.persistence.Checkpoints."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, checkpoint: Checkpoint) -> bool:
        values = {
            "reply_id": checkpoint.reply_id,
            "under_epoch": checkpoint.epoch,
            "new_text": checkpoint.text,
            "new_seq_ceiling": checkpoint.seq_ceiling,
            "new_lease_until": checkpoint.lease_until,
        }
        with self._database.writing() as connection:
            row = connection.execute(_SAVE, values).one_or_none()
            connection.commit()
        if row is None:
            raise LeaseLost(checkpoint.reply_id, checkpoint.epoch)
        return row.cancel_requested_at is not None
