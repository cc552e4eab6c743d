"""Everything that can be wrong, each with a slug for programs and a category that a wire maps to its own codes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Category(StrEnum):
    """Why a request was refused; an entrypoint maps each to one status."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    LIMITED = "limited"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"


class ParleyError(Exception):
    """A refusal with a reason that its reader can act on.

    `slug` is stable and machine-readable, the message is for people and may change,
    `details` holds what a program needs beyond the slug (JSON values only).
    """

    slug = "error"
    category = Category.INVALID

    def __init__(self, message: str, /, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, object] = details


class Invalid(ParleyError):
    """A value breaks a rule; `details.fields` maps each field to what is wrong with it."""

    slug = "validation_failed"

    def __init__(self, fields: Mapping[str, str]) -> None:
        first_field, first_problem = next(iter(fields.items()))
        super().__init__(
            f"{first_field}: {first_problem}", fields={name: [problem] for name, problem in fields.items()}
        )
        self.fields = dict(fields)

    def renamed(self, names: Mapping[str, str]) -> Invalid:
        """The same in the words of a wire that calls some fields otherwise."""
        return Invalid({names.get(name, name): problem for name, problem in self.fields.items()})


class Unauthenticated(ParleyError):
    """Nobody is known to be asking."""

    slug = "unauthenticated"
    category = Category.UNAUTHENTICATED


class TokenInvalid(Unauthenticated):
    """The token is malformed, tampered with or signed by someone else."""

    slug = "token_invalid"


class TokenExpired(Unauthenticated):
    """The token was good once."""

    slug = "token_expired"


class Forbidden(ParleyError):
    """It exists and belongs to somebody else."""

    slug = "forbidden"
    category = Category.FORBIDDEN


class NotFound(ParleyError):
    """It does not exist, or was deleted."""

    slug = "not_found"
    category = Category.NOT_FOUND

    def __init__(self, kind: str, wanted: object) -> None:
        super().__init__(f"There is no {kind.replace('_', ' ')} {wanted}.", kind=kind, id=str(wanted))
        self.slug = f"{kind}_not_found"


class Conflict(ParleyError):
    """The request is sound, but not in the present state; `slug` says which rule stands against it."""

    category = Category.CONFLICT

    def __init__(self, slug: str, message: str, /, **details: object) -> None:
        super().__init__(message, **details)
        self.slug = slug


class Limited(ParleyError):
    """Too much of something allowed; `retry_after` is in whole seconds."""

    category = Category.LIMITED

    def __init__(self, slug: str, message: str, /, *, retry_after: int, **details: object) -> None:
        super().__init__(message, retry_after=retry_after, **details)
        self.slug = slug
        self.retry_after = retry_after


class ReplyTimeout(ParleyError):
    """The caller waited as long as it asked to; the reply goes on."""

    slug = "reply_timeout"
    category = Category.TIMEOUT


class LeaseLost(ParleyError):
    """A worker wrote under an epoch that is no longer the reply's (fencing token, see Reply.epoch)."""

    slug = "lease_lost"
    category = Category.CONFLICT

    def __init__(self, reply_id: object, epoch: int) -> None:
        super().__init__(f"Epoch {epoch} of reply {reply_id} is over.", epoch=epoch)


class Unavailable(ParleyError):
    """A part that Parley needs does not answer; trying again later may help."""

    slug = "unavailable"
    category = Category.UNAVAILABLE
