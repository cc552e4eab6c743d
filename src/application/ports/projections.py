"""What was committed, as events and as state, and the read models that follow it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from application.ports.persistence import Document, StorageUnavailable


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event as it stands in the outbox. `number` orders the rows of one transaction, not commits.

    `known` is what the process that committed it knows of the things that it is about, as they were
    committed: it need not be looked up again.
    """

    number: int
    name: str
    subject_id: UUID
    payload: Document
    known: Sequence[Snapshot] = ()


class Outbox(Protocol):
    """The events that were committed and not yet delivered to every subscriber."""

    def deliver(self, to: Callable[[Sequence[RecordedEvent]], Collection[int]], *, limit: int) -> int:
        """Hand over the oldest events that are due: how many `to` took, which are forgotten.

        An event is due a few seconds after its commit, for its own process delivers it first. `to` answers
        with the numbers of those it could not take: they stay, and are due again a few seconds later.
        What another process is handing over at the same time is passed over.
        """
        ...

    def forget(self, numbers: Collection[int]) -> None:
        """Forget events that every subscriber has."""
        ...

    def age(self) -> timedelta:
        """For how long the oldest event has been waiting; zero when none is."""
        ...


class Model(StrEnum):
    """The read models: a document a thing."""

    ROOMS = "rooms"
    CONVERSATIONS = "conversations"
    MESSAGES = "messages"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a read model holds of one thing as it was at `version`, in JSON values throughout.

    `document` is what the API hands out, `keys` what queries look for beside it. A thing that is
    `hidden` (deleted, superseded) is kept, so that it can come back and that no late, older snapshot
    brings it back by mistake. Versions of a thing are ordered as its commits are.
    """

    model: Model
    id: UUID
    version: int
    owner: str
    hidden: bool
    document: Document
    keys: Document = field(default_factory=dict)


class Snapshots(Protocol):
    """The things as they were last committed, in the shape of the read models."""

    def of(self, model: Model, ids: Collection[UUID]) -> Sequence[Snapshot]:
        """Those of `ids` that there are, in any order."""
        ...

    def after(self, model: Model, after: UUID | None, *, limit: int) -> Sequence[Snapshot]:
        """The next ones in the order of their ids."""
        ...

    def count(self, model: Model) -> int:
        """How many there are, hidden ones included."""
        ...

    def messages_from(self, conversation_id: UUID, position: int) -> Sequence[UUID]:
        """The messages of a conversation from a position on, hidden ones included."""
        ...


class ReadModelsUnavailable(StorageUnavailable):
    """The read store does not answer, or does not (yet) hold everything."""

    slug = "read_models_unavailable"


class ReadModels(Protocol):
    """The read store as projections write it. Everything raises ReadModelsUnavailable."""

    def save(self, snapshots: Sequence[Snapshot]) -> None:
        """Keep each, unless the same or a newer version is there: twice and in any order is the same.

        They become visible in the given order of their models: what comes first is there before what follows.
        """
        ...

    def holds(self, model: Model, thing: UUID) -> bool:
        """Whether a thing is kept, in any version."""
        ...

    def of(self, model: Model, ids: Collection[UUID]) -> Sequence[Snapshot]:
        """Those of `ids` that are kept, in any order."""
        ...

    def ids_after(self, model: Model, after: UUID | None, *, limit: int) -> Sequence[UUID]:
        """The next ids that are kept, in their order."""
        ...

    def remove(self, model: Model, ids: Collection[UUID]) -> None:
        """Forget these."""
        ...

    def prepare(self) -> None:
        """Make the indexes that queries need; what is there already costs nothing."""
        ...

    @property
    def progress(self) -> Mapping[str, str]:
        """What an unfinished rebuild left for the next one to go on from; empty when there is none."""
        ...

    def note_progress(self, progress: Mapping[str, str]) -> None: ...

    def complete(self) -> None:
        """Say that everything is in it, so that queries may rely on it; ends a rebuild's progress."""
        ...

    def declare_incomplete(self) -> None:
        """Say that something may be missing in it: nobody relies on it until it was rebuilt."""
        ...

    def check(self) -> None:
        """Raise ReadModelsUnavailable unless the store answers and holds everything, in this version's shape."""
        ...
