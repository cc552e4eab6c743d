"""How a person who was erased is remembered without being known: by a keyed hash."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from application.ports.retention import Purges
from application.ports.runtime import Now, Tokens, VerifiedToken
from domain.errors import TokenInvalid, Unavailable
from domain.identity import Principal, PrincipalKind

_PURPOSE = b"parley: who was erased\0"


@dataclass(frozen=True, slots=True)
class Marks:
    """Makes a principal's mark: HMAC-SHA-256 of its key, in hexadecimal, by the first of the installation's secrets.

    Whoever has the database alone can tell nobody by it, not even by trying all names.
    """

    secrets: Sequence[str]

    def of(self, owner: str) -> str:
        """The mark of an owner's key."""
        return _mark(self.secrets[0], owner)

    def all_of(self, owner: str) -> Set[str]:
        """The marks that it may have been given, also before the secret was changed."""
        return {_mark(secret, owner) for secret in self.secrets}


@dataclass(slots=True)
class _Known:
    marks: Set[str] = frozenset()
    is_read: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class TokensOfTheLiving:
    """See application.ports.runtime.Tokens: the token of a visitor who was erased is good no more, in any process.

    `look` is called every second. Tokens of users are the host product's, and so is what becomes of them.
    """

    tokens: Tokens
    purges: Purges
    marks: Marks
    now: Now
    lifetime: timedelta
    _known: _Known = field(default_factory=_Known, repr=False)

    def issue(self, principal: Principal, lifetime: timedelta) -> tuple[str, datetime]:
        """See Tokens."""
        return self.tokens.issue(principal, lifetime)

    def verify(self, token: str) -> VerifiedToken:
        """See Tokens."""
        verified = self.tokens.verify(token)
        if verified.principal.kind is PrincipalKind.VISITOR and self.was_erased(verified.principal.key):
            raise TokenInvalid("All that this visitor left was erased, and the token with it.")
        return verified

    def was_erased(self, owner: str) -> bool:
        """Whether that is known here of a visitor."""
        if not self._known.is_read:
            self._look_first()
        return not self._known.marks.isdisjoint(self.marks.all_of(owner)) if self._known.marks else False

    def look(self) -> None:
        """See who was erased for as long as a token may be good; raises StorageUnavailable."""
        self._known.marks = self.purges.marks(self.now() - self.lifetime)
        self._known.is_read = True

    def _look_first(self) -> None:
        with self._known.lock:
            if not self._known.is_read:
                with suppress(Unavailable):  # Nothing can be written either, or read of what was.
                    self.look()


def _mark(secret: str, owner: str) -> str:
    return hmac.new(secret.encode(), _PURPOSE + owner.encode(), hashlib.sha256).hexdigest()
