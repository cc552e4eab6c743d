"""Welcome a visitor, or one who comes again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from application.ports.persistence import StartWork
from application.ports.runtime import NewId, Now, Tokens
from domain.identity import Principal, PrincipalKind


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
