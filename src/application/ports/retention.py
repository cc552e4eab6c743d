"""What is removed for good: in the database, and in every other store that may hold a copy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from domain.deletions import Subject
from domain.errors import Unavailable

Tally = Mapping[str, int]
"""How many of each kind."""


class Kind(StrEnum):
    """What has an id by which other stores may know it."""

    ROOMS = "rooms"
    CONVERSATIONS = "conversations"
    MESSAGES = "messages"
    REPLIES = "replies"
    PROJECTS = "projects"
    DOCUMENTS = "documents"
    JOB_ANALYSES = "job_analyses"
    JOBS = "jobs"


class Old(StrEnum):
    """What is removed because of its age alone: nobody can see it any more, and nothing refers to it."""

    SESSIONS = "sessions"
    """Closed ones, by their ends."""
    JOBS = "jobs"
    """Ended ones, by their ends."""
    IDEMPOTENCY_KEYS = "idempotency_keys"
    """By when they expire."""
    EVENTS = "events"
    """Those that could not be told on, by their commits."""
    VISITORS = "visitors"
    """Who has nothing, by the first visit."""
    TRANSCRIPTS = "transcripts"
    """By when they were asked; what is asked after that begins a new conversation."""
    PURGES = "purges"
    """What is known of purges that every store has followed, by their times."""


@dataclass(frozen=True, slots=True)
class Purge:
    """What one transaction has removed, as every store that may hold a copy is told of it: ids, and no personal data.

    With a `mark` (see application.retention.marks) it is a person who was erased. `number` orders the rows of one
    process, not commits.
    """

    number: int
    at: datetime
    ids: Mapping[Kind, Sequence[UUID]]
    mark: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """A deletion that was not undone."""

    deletion_id: UUID
    subject: Subject
    subject_id: UUID
    deleted_at: datetime


@dataclass(frozen=True, slots=True)
class Wiped:
    """What one step of a purge has removed, and whether it was the last one."""

    tally: Tally
    is_last: bool


@dataclass(frozen=True, slots=True)
class Remnant:
    """Something that should not be there: in which `store`, `where` in it, and `why` it should not."""

    store: str
    where: str
    why: str


class Purges(Protocol):
    """Removes for good what was deleted, and keeps the ledger of that. Each call is one transaction.

    Everything raises StorageUnavailable, and what writes ConcurrentChange: then nothing was done, and trying again
    helps.
    """

    def standing(
        self, *, deleted_before: datetime | None, owner: str | None = None, after: UUID | None = None, limit: int
    ) -> Sequence[Standing]:
        """Deletions that were not undone, by id: of everybody or of an `owner`, and only those before a time.

        Those whose purge has begun come at any time.
        """
        ...

    def live_replies(self, deletion: Standing) -> Sequence[UUID]:
        """The replies in the making in what it took."""
        ...

    def wipe(self, deletion: Standing, *, limit: int, now: datetime, answers_after: datetime) -> Wiped:
        """Remove about `limit` messages or passages of what a deletion took, of which the purge has begun.

        In the end the thing itself goes, with all that refers to it and with its deletion. What requests were
        answered with is looked through if it was deleted `answers_after`. Raises Conflict `reply_in_progress`.
        """
        ...

    def wipe_person(self, owner: str, *, limit: int, now: datetime) -> Wiped:
        """Remove what belongs to an owner who has no rooms, conversations, projects or job analyses any more."""
        ...

    def adopt(self, owner: str, by: str, now: datetime) -> int:
        """Give the public projects of an owner that are not deleted, and their documents, to another one: how many."""
        ...

    def mark(self, mark: str, now: datetime) -> None:
        """Note that a person was erased."""
        ...

    def marks(self, since: datetime) -> Set[str]:
        """Who was erased since then."""
        ...

    def claimed_by(self, owner: str) -> Sequence[UUID]:
        """The visitors whose things a user has taken over, whose rows are there."""
        ...

    def undeleted(self, kind: Kind, owner: str) -> Sequence[UUID]:
        """What an owner has of a kind that is not deleted."""
        ...

    def holdings(self, owner: str) -> Tally:
        """What belongs to an owner, by table."""
        ...

    def erasable(self, owner: str) -> Tally:
        """What belongs to an owner with what is in it, by table, without what can be adopted."""
        ...

    def adoptable(self, owner: str) -> int:
        """How many projects `adopt` would give away."""
        ...

    def unsettled(self, *, after: int, limit: int) -> Sequence[Purge]:
        """Purges that some store has not followed yet, by number."""
        ...

    def since(self, at: datetime, known: Set[int]) -> Sequence[Purge]:
        """The purges since then, but those of the `known` numbers."""
        ...

    def settle(self, numbers: Collection[int], now: datetime) -> None:
        """Note that every store has followed these."""
        ...

    def all(self, *, after: int, limit: int) -> Sequence[Purge]:
        """What is known of purges, by number."""
        ...

    def present(self, kind: Kind, ids: Collection[UUID]) -> Set[UUID]:
        """Those that are in the database."""
        ...


class Ageing(Protocol):
    """Finds what nobody has used for long, and removes what is only old. Each call is one transaction."""

    def idle_rooms(self, before: datetime, *, after: UUID | None, limit: int) -> Sequence[UUID]:
        """Rooms that are not deleted and have shown no sign of life since then, by id."""
        ...

    def idle_conversations(self, before: datetime, *, after: UUID | None, limit: int) -> Sequence[UUID]:
        """The same of conversations that are in no room."""
        ...

    def count_old(self, what: Old, before: datetime) -> int: ...

    def remove_old(self, what: Old, before: datetime, *, limit: int) -> int:
        """Remove some: how many; fewer than `limit` were the last ones."""
        ...


Present = Callable[[Kind, Collection[UUID]], Set[UUID]]
"""See Purges.present."""


class Store(Protocol):
    """A place where something may be left of what was purged."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def remnants(self, purges: Sequence[Purge]) -> Iterable[Remnant]:
        """What is still there of what was purged. Raises Unavailable."""
        ...

    def orphans(self, present: Present) -> Iterable[Remnant]:
        """What is there although the database knows nothing of it. Raises Unavailable."""
        ...


class Copies(Store, Protocol):
    """A store that follows the database: what was purged there is forgotten here, as often as one says so."""

    def forget(self, purges: Sequence[Purge]) -> Tally:
        """Forget all of it, and take none of it in that comes late. Raises Unavailable; what was done stays done."""
        ...


class StillBusy(Unavailable):
    """Somebody keeps a store from forgetting at the moment; trying again helps."""

    slug = "store_busy"
