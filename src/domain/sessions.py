"""One sitting of a principal: what it is about, what is known in it, and until when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from domain.errors import Conflict, Invalid
from domain.events import Recorder, SessionClosed, SessionOpened
from domain.limits import Limits

OWN = "own"
"""The binding of a session that is bound to neither a room nor a conversation: its principal's own thread."""


def binding_to(*, room_id: UUID | None, conversation_id: UUID | None) -> str:
    """What a session is bound to; a principal has at most one open session for each. Raises Invalid for both."""
    if room_id is not None and conversation_id is not None:
        raise Invalid({"conversation_id": "Bind a session to a room or to a conversation, not to both."})
    if conversation_id is not None:
        return f"conversation:{conversation_id}"
    return f"room:{room_id}" if room_id is not None else OWN


class CloseReason(StrEnum):
    """Why a session is over."""

    CLOSED = "closed"
    EXPIRED = "expired"
    CROWDED_OUT = "crowded_out"
    """Its principal opened more sessions than it may have: the one that had been quiet for longest went."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a session lasts: `total` from its beginning at most, and `idle` from the last sign of life.

    Sources: the WebSocket seed (24 hours) and the chat-room seed (an idle bound).
    """

    total: timedelta = timedelta(hours=24)
    idle: timedelta = timedelta(minutes=30)


@dataclass(eq=False, kw_only=True)
class Session(Recorder):
    """A sitting. It speaks in one conversation, which is there from its first question on at the latest.

    `context` is free JSON by which the frontend tells where its user is and who that is (`navigation`,
    `profile`): the agent is told of it. `expires_at` is the end for want of any sign of life, `ends_at` at the latest.
    """

    id: UUID
    owner: str
    binding: str
    created_at: datetime
    active_at: datetime
    expires_at: datetime
    ends_at: datetime
    room_id: UUID | None = None
    conversation_id: UUID | None = None
    agent: str | None = None
    context: dict[str, object] = field(default_factory=dict)
    metadata: dict[str, object] = field(default_factory=dict)
    rating: int | None = None
    rating_comment: str | None = None
    closed_at: datetime | None = None
    close_reason: CloseReason | None = None
    version: int = 1

    @classmethod
    def open(
        cls,
        *,
        id: UUID,
        owner: str,
        binding: str,
        room_id: UUID | None,
        conversation_id: UUID | None,
        agent: str | None,
        context: Mapping[str, object],
        metadata: Mapping[str, object],
        lifetime: Lifetime,
        limits: Limits,
        now: datetime,
    ) -> Session:
        """A new session, going on in `conversation_id` where there is one; raises Invalid."""
        session = cls(
            id=id,
            owner=owner,
            binding=binding,
            room_id=room_id,
            conversation_id=conversation_id,
            agent=agent,
            context=limits.metadata(_without_nulls(context), "context"),
            metadata=limits.metadata(metadata),
            created_at=now,
            active_at=now,
            expires_at=now + min(lifetime.idle, lifetime.total),
            ends_at=now + lifetime.total,
        )
        session.record(SessionOpened(subject_id=id, at=now))
        return session

    def is_open(self, now: datetime) -> bool:
        """Whether it goes on: it was not closed, and has not expired."""
        return self.closed_at is None and now < self.expires_at

    def require_open(self, now: datetime) -> None:
        """Raise Conflict `session_closed` or `session_expired` when it is over."""
        if self.is_open(now):
            return
        if self.closed_at is not None and self.close_reason is not CloseReason.EXPIRED:
            raise Conflict("session_closed", "This session is closed. Open a new one.", reason=self.close_reason)
        raise Conflict("session_expired", "This session has expired. Open a new one.")

    def touch(self, lifetime: Lifetime, now: datetime) -> None:
        """Give a sign of life; raises Conflict when it is over."""
        self.require_open(now)
        self.active_at = now
        self.expires_at = min(now + lifetime.idle, self.ends_at)

    def speak_in(self, conversation_id: UUID | None) -> None:
        """Go on in another conversation, or in one that is yet to be started."""
        self.conversation_id = conversation_id

    def change_context(self, changes: Mapping[str, object], limits: Limits) -> None:
        """Merge `changes` into the context, by its top level: null takes a member away (RFC 7396). Raises Invalid."""
        self.context = limits.metadata(_without_nulls({**self.context, **changes}), "context")

    def rate(self, rating: int, comment: str | None, limits: Limits) -> None:
        """Say how satisfying it was, 1 to 5, also after its end; the last word counts. Raises Invalid."""
        if not 1 <= rating <= 5:
            raise Invalid({"rating": "Must be a whole number from 1 to 5."})
        self.rating = rating
        self.rating_comment = limits.text("comment", comment, limits.comment) if comment else None

    def close(self, reason: CloseReason, now: datetime) -> None:
        """End it. What is over already stays as it ended."""
        if self.closed_at is not None:
            return
        self.closed_at = now
        self.close_reason = CloseReason.EXPIRED if now >= self.expires_at else reason
        self.record(SessionClosed(subject_id=self.id, at=now, reason=self.close_reason.value))


def _without_nulls(context: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in context.items() if value is not None}
