"""What somebody has deleted, and can restore."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from application.ports.persistence import Document
from application.ports.queries import Page
from domain.identity import Principal


class DeletedReader(Protocol):
    """The queries about what is deleted and can be restored, as the write tables have it: read models hide it.

    Lists hold the asker's own things only, sorted as the lists of what is not deleted are, as
    `{items, total, limit, offset}`. Every document is the one of that list, with `deletion`: `{id, subject,
    subject_id, deleted_at, restorable_until}`, which may be another thing's that took it along. What is being purged
    is not listed.
    """

    def rooms(self, principal: Principal, page: Page) -> Document:
        """With what their conversations that went along add up to."""
        ...

    def conversations(self, principal: Principal, room_id: UUID | None, page: Page) -> Document:
        """Of one room if `room_id` is given, deleted or not; raises NotFound, or Forbidden for somebody else's."""
        ...

    def projects(self, principal: Principal, page: Page) -> Document:
        """With what their documents that went along add up to."""
        ...

    def documents(self, principal: Principal, project_id: UUID | None, page: Page) -> Document:
        """Of one project if `project_id` is given, as for rooms."""
        ...

    def job_analyses(self, principal: Principal, page: Page) -> Document:
        """Without their texts and results."""
        ...
