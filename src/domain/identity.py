"""Who is asking."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from domain.errors import Forbidden

ADMIN = "admin"


class PrincipalKind(StrEnum):
    """A signed-in user of the host product, or an anonymous visitor whose token Parley issued."""

    USER = "user"
    VISITOR = "visitor"


class Owned(Protocol):
    """Anything that belongs to one principal."""

    @property
    def owner(self) -> str:
        """The key of the principal it belongs to."""
        ...


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking, and in which roles.

    `id` is the token's subject: 1 to 200 characters, unique within the kind.
    """

    kind: PrincipalKind
    id: str
    roles: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """`user:alice` or `visitor:<uuid>`: how an owner is stored and indexed."""
        return f"{self.kind}:{self.id}"

    @property
    def is_admin(self) -> bool:
        """Whether everyone's things are this principal's to see and restore."""
        return ADMIN in self.roles

    def authorise(self, thing: Owned, kind: str) -> None:
        """Raise Forbidden unless `thing` is this principal's own, or the principal is an admin."""
        if thing.owner != self.key and not self.is_admin:
            raise Forbidden(f"This {kind} belongs to somebody else.", kind=kind)


SYSTEM = Principal(PrincipalKind.USER, "parley", frozenset({ADMIN}))
"""Parley itself, where a worker or an operator acts on everybody's things; no token speaks for it."""
