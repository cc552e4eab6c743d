"""Welcome a visitor, or one who comes again; hand over what a visitor has to the user it turns out to be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from application.ports.persistence import StartWork
from application.ports.runtime import NewId, Now, Tokens
from domain.errors import Forbidden
from domain.identity import Principal, PrincipalKind
from domain.limits import Limits
from domain.sessions import CloseReason


@dataclass(frozen=True, slots=True)
class Welcome:
    """A visitor's token and when it expires; `is_new` tells a first visit from a renewed token."""

    visitor: Principal
    token: str
    expires_at: datetime
    is_new: bool


@dataclass(frozen=True, slots=True)
class WelcomeVisitorHandler:
    """Makes a visitor, or gives the one whose token is still good a fresh token."""

    start_work: StartWork
    tokens: Tokens
    new_id: NewId
    now: Now
    lifetime: timedelta

    def __call__(self, known: Principal | None = None) -> Welcome:
        if known is not None and known.kind is PrincipalKind.VISITOR:
            return self._welcome(known, is_new=False)
        visitor_id = self.new_id()
        with self.start_work() as work:
            work.visitors.add(visitor_id, self.now())
            work.commit()
        return self._welcome(Principal(PrincipalKind.VISITOR, str(visitor_id)), is_new=True)

    def _welcome(self, visitor: Principal, *, is_new: bool) -> Welcome:
        token, expires_at = self.tokens.issue(visitor, self.lifetime)
        return Welcome(visitor, token, expires_at, is_new)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimVisitor:
    """A visitor has signed in, and takes along what it made before."""

    principal: Principal
    visitor: Principal


@dataclass(frozen=True, slots=True)
class Claimed:
    """How much has changed hands."""

    rooms: int
    conversations: int


@dataclass(frozen=True, slots=True)
class ClaimVisitorHandler:
    """Gives a user all that a visitor has, the deleted included, in one act; a second time there is nothing left.

    Raises Forbidden unless a user claims a visitor, and Conflict `room_limit_reached` when the user would have
    more rooms than one may have: nothing changes hands then.
    """

    start_work: StartWork
    now: Now
    limits: Limits

    def __call__(self, command: ClaimVisitor) -> Claimed:
        user, visitor = command.principal, command.visitor
        if user.kind is not PrincipalKind.USER or visitor.kind is not PrincipalKind.VISITOR:
            raise Forbidden("Only a signed-in user can claim what a visitor has.")
        now = self.now()
        with self.start_work() as work:  # Sessions are locked before rooms, and these before conversations.
            for session in work.sessions.unclosed(visitor.key):
                session.close(CloseReason.CLOSED, now)
            work.flush()  # The user may have sessions in the same places.
            work.sessions.hand_over(visitor.key, user.key)
            rooms = work.rooms.of(visitor.key)
            has = work.rooms.count(user.key)
            for number, room in enumerate(room for room in rooms if room.deletion_id is None):
                room.require_place(has + number, self.limits)
            conversations = work.conversations.of(visitor.key)
            work.hand_over(visitor.key, user.key)
            for room in rooms:
                room.hand_over(user.key, now)
            for conversation in conversations:
                name = conversation.external_id
                is_free = name is None or work.conversations.by_external_id(user.key, name) is None
                conversation.hand_over(user.key, now, keep_external_id=is_free)
            work.visitors.claim(UUID(visitor.id), by=user.key, now=now)
            work.commit()
        shown = sum(room.deletion_id is None for room in rooms)
        return Claimed(shown, sum(conversation.deletion_id is None for conversation in conversations))
