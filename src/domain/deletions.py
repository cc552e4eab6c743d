"""One act of soft deletion, so that restoring brings back exactly what it took."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.errors import Conflict


class Subject(StrEnum):
    """What a deletion was asked for."""

    ROOM = "room"
    CONVERSATION = "conversation"
    PROJECT = "project"
    DOCUMENT = "document"
    JOB_ANALYSIS = "job_analysis"

    @property
    def words(self) -> str:
        """The same for people: `job analysis`."""
        return self.value.replace("_", " ")


@dataclass(eq=False, kw_only=True)
class Deletion:
    """One deletion of a room, a conversation, a project, a document or a job analysis.

    What it took carries its id (`deletion_id`); what another deletion had taken before keeps
    that one's. Messages are covered by their conversation and never readable without it,
    so a deletion costs the same for ten messages as for a million. Once a purge of it has begun
    (`purging_since`), it cannot be undone.
    """

    id: UUID
    owner: str
    subject: Subject
    subject_id: UUID
    conversation_count: int = 0
    message_count: int = 0
    deleted_at: datetime
    document_count: int = 0
    restored_at: datetime | None = None
    purging_since: datetime | None = None

    def restore(self, now: datetime) -> None:
        """Undo this deletion; raises Conflict `not_deleted` the second time, or `being_purged`."""
        if self.restored_at is not None:
            raise Conflict("not_deleted", f"This {self.subject.words} was restored already.")
        if self.purging_since is not None:
            raise Conflict(
                "being_purged", f"This {self.subject.words} is being purged: it cannot be restored any more."
            )
        self.restored_at = now

    def begin_purge(self, now: datetime) -> None:
        """Be undone no more: what was taken is removed for good from now on. Raises Conflict `not_deleted`."""
        if self.restored_at is not None:
            raise Conflict("not_deleted", f"This {self.subject.words} was restored.")
        if self.purging_since is None:
            self.purging_since = now
