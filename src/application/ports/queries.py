"""What can be asked: of histories, and of sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from application.ports.persistence import Document
from domain.identity import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which part of a list: `limit` 1 to 100 items from `offset` on, sorted by one of the list's own keys."""

    limit: int = 20
    offset: int = 0
    sort_by: str = "last_activity_at"
    descending: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePage:
    """Which part of a history, oldest first unless `descending`.

    `before` and `after` are positions (exclusive) and cost the same at any depth. With `before`,
    or with neither and no offset, the newest matching messages are returned; `offset` counts from
    the side that the order begins on.
    """

    limit: int = 20
    offset: int | None = None
    before: int | None = None
    after: int | None = None
    descending: bool = False


class Reader(Protocol):
    """The queries. Everything deleted is invisible; lists hold the asker's own things only.

    Single look-ups raise NotFound, or Forbidden for somebody else's. Lists return
    `{items, total, limit, offset}`.
    """

    def rooms(self, principal: Principal, page: Page) -> Document:
        """Sorted by last_activity_at, created_at or name."""
        ...

    def room(self, room_id: UUID, principal: Principal) -> Document: ...

    def room_history(self, room_id: UUID, principal: Principal, page: MessagePage) -> Document:
        """The messages of all the room's conversations by time; cursors do not apply."""
        ...

    def conversations(self, principal: Principal, room_id: UUID | None, page: Page) -> Document:
        """Sorted by last_activity_at, created_at or title; of one room if `room_id` is given."""
        ...

    def conversation(self, conversation_id: UUID, principal: Principal) -> Document: ...

    def conversation_called(self, external_id: str, principal: Principal) -> Document:
        """The principal's own conversation that a client calls so; raises NotFound `conversation`."""
        ...

    def messages(self, conversation_id: UUID, principal: Principal, page: MessagePage) -> Document: ...

    def versions(self, message_id: UUID, principal: Principal, page: Page) -> Document:
        """A message and what could stand in its place, on whatever branch, the oldest first.

        Each says whether it `is_current`: none is while a reply is to be another one.
        """
        ...

    def reply(self, reply_id: UUID, principal: Principal) -> Document: ...

    def search(self, principal: Principal, query: str, page: Page) -> Document:
        """Messages that hold every word of `query`, newest first: `{message, conversation, snippet}`.

        Words match in their English inflections and without their accents, and the last may be the
        beginning of one. The snippet is HTML-escaped text in which hits stand in `<mark>`.
        """
        ...


class SessionReader(Protocol):
    """The queries about sessions: they change too often to be projected."""

    def session(self, session_id: UUID, principal: Principal) -> Document:
        """One of the principal's. Raises NotFound, or Forbidden for somebody else's."""
        ...

    def own(self, principal: Principal) -> Document | None:
        """The one that is bound to neither a room nor a conversation: the last one when none is open; None without any.

        A visitor's that was claimed may be newer than the one that is open.
        """
        ...

    def sessions(self, principal: Principal, *, is_open: bool | None, page: Page) -> Document:
        """The principal's own, the newest first, open or not as asked (None: either)."""
        ...
