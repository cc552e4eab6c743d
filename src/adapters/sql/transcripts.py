"""Which talks were asked where, in one transaction over the write tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, func, insert, select, update

from adapters.sql.tables import replies, transcripts
from application.ports.persistence import Transcript
from domain.replies import Reply


class SqlTranscripts:
    """See application.ports.persistence.Transcripts."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, owner: str, digest: str, reply: Reply, *, asked_at: datetime) -> None:
        noted = {"owner": owner, "digest": digest, "reply_id": reply.id, "conversation_id": reply.conversation_id}
        self._connection.execute(insert(transcripts).values(**noted, asked_at=asked_at))

    def asked(self, owner: str, digest: str, *, limit: int) -> Sequence[Transcript]:
        wanted = (
            select(
                transcripts.c.conversation_id,
                transcripts.c.reply_id,
                transcripts.c.asked_at,
                replies.c.text,
                replies.c.status,
            )
            .join(replies, replies.c.id == transcripts.c.reply_id)
            .where(transcripts.c.owner == owner, transcripts.c.digest == digest)
            .order_by(transcripts.c.asked_at.desc(), transcripts.c.reply_id.desc())
            .limit(limit)
        )
        return [Transcript(**row) for row in self._connection.execute(wanted).mappings()]

    def ask_again(self, reply_id: UUID, *, asked_at: datetime) -> None:
        again = update(transcripts).where(transcripts.c.reply_id == reply_id).values(asked_at=asked_at)
        self._connection.execute(again)

    def asked_at(self, reply_id: UUID) -> datetime | None:
        wanted = select(func.max(transcripts.c.asked_at)).where(transcripts.c.reply_id == reply_id)
        asked_at: datetime | None = self._connection.execute(wanted).scalar_one_or_none()
        return asked_at
