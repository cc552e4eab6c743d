"""What operators ask: about everybody's things, and about what waits."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol
from uuid import UUID

from application.ports.persistence import Document
from application.ports.queries import Page


class OperatorReader(Protocol):
    """The queries of operators, whosever the things are, deleted or not: as the write tables have them.

    Lists return `{items, total, limit, offset}`, of one `owner` (a principal's key) or of all (None), and only those
    that are deleted, or only those that are not; a page may have 1,000 items. They sort by what each says, else by
    when things were made. Single look-ups raise NotFound. Every document is the API's, with `owner`, and `deleted_at`
    where the thing can be deleted; a single one of these has `deletion` as well: `{id, subject, subject_id,
    deleted_at}`, which may be another thing's that took it along, or null.
    """

    def rooms(self, *, owner: str | None, deleted: bool, page: Page) -> Document:
        """Sorted by last_activity_at, created_at or name. Of a deleted one, the conversations that went along count."""
        ...

    def room(self, room_id: UUID) -> Document:
        """With `conversations`: the ten that were active last, the deleted included."""
        ...

    def conversations(self, *, owner: str | None, room_id: UUID | None, deleted: bool, page: Page) -> Document:
        """Sorted by last_activity_at, created_at or title; of one room if `room_id` is given."""
        ...

    def conversation(self, conversation_id: UUID) -> Document:
        """With `all_message_count`, of all branches, and `messages`: how the last five of the history begin.

        Each of these is `{id, position, role, status, created_at, preview}`.
        """
        ...

    def messages(
        self, conversation_id: UUID, *, before: int | None, after: int | None, limit: int, all_branches: bool
    ) -> Document:
        """A part of a history, oldest first; each says whether it `is_current`. Raises NotFound.

        `before` and `after` are positions (exclusive). With `after` alone they are the first after it, else the last.
        """
        ...

    def replies(
        self, *, owner: str | None, statuses: Collection[str], conversation_id: UUID | None, page: Page
    ) -> Document:
        """Without text, sources and tool calls; with `attempts` and `lease_until`. No statuses: whatever they have."""
        ...

    def reply(self, reply_id: UUID) -> Document:
        """As in the list, with the number of `characters` written."""
        ...

    def sessions(self, *, owner: str | None, is_open: bool | None, page: Page) -> Document:
        """Open or over, or either (None)."""
        ...

    def session(self, session_id: UUID) -> Document: ...

    def visitors(self, *, claimed: bool | None, page: Page) -> Document:
        """`{id, owner, created_at, claimed_by, claimed_at}`: those who have signed in since or not, or all (None)."""
        ...

    def visitor(self, visitor_id: UUID) -> Document:
        """With how much they have: `rooms`, `conversations`, `messages`, `sessions`, the deleted included."""
        ...

    def projects(self, *, owner: str | None, deleted: bool, page: Page) -> Document:
        """Sorted by updated_at, created_at or name. Of a deleted one, the documents that went with it count."""
        ...

    def project(self, project_id: UUID) -> Document: ...

    def project_keys(self, among: Collection[str]) -> Collection[str]:
        """Which of these keys are those of projects that are not deleted, whosever."""
        ...

    def documents(self, *, owner: str | None, project: str | None, deleted: bool, page: Page) -> Document:
        """With their `project`'s key, of projects with a certain key or of all; sorted as projects are."""
        ...

    def document(self, document_id: UUID) -> Document: ...

    def jobs(self, *, owner: str | None, statuses: Collection[str], kind: str | None, page: Page) -> Document:
        """`{id, kind, subject_id, owner, status, done, total, attempts, retries, error, …}`."""
        ...

    def job(self, job_id: UUID) -> Document: ...

    def job_analyses(self, *, owner: str | None, deleted: bool, page: Page) -> Document:
        """Without their texts and results; sorted by created_at, title or score; no score is less than any."""
        ...

    def job_analysis(self, analysis_id: UUID) -> Document: ...

    def waiting(self) -> Document:
        """What waits, by kind: counts, and since when the `oldest` does (null when none does).

        `queued_replies {waiting}`, `running_replies {running, abandoned}`, `jobs {due, put_off, running}`,
        `outbox {events}` and `sessions {open}`.
        """
        ...
