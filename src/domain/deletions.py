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


@dataclass(eq=False, kw_only=True)
class Deletion:
    """One deletion of a room, a conversation, a project, a document or a job analysis.

    What it took carries its id (`deletion_id`); what another deletion had taken before keeps
    that one's. Messages are covered by their conversation and never readable without it,
    so a deletion costs the same for ten messages as for a million.
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

    def restore(self, now: datetime) -> None:
        """Undo this deletion; raises Conflict `not_deleted` the second time."""
        if self.restored_at is not None:
            raise Conflict("not_deleted", f"This {self.subject} was restored already.")
        self.restored_at = now
