"""Keep the read models what the committed state says: after each commit, and from scratch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from enum import StrEnum
from uuid import UUID

from application.ports.projections import Model, ReadModels, RecordedEvent, Snapshot, Snapshots

_BATCH = 500

_ROOM_EVENTS = frozenset({"RoomOpened", "RoomChanged", "RoomDeleted", "RoomRestored"})
_CONVERSATION_EVENTS = frozenset(
    {"ConversationStarted", "ConversationChanged", "ConversationDeleted", "ConversationRestored", "HistoryChanged"}
)
_MESSAGE_EVENTS = frozenset({"MessagePosted", "MessageSuperseded", "MessageChanged"})


@dataclass(slots=True)
class _Wanted:
    """One caller's events, and what became of them."""

    events: Sequence[RecordedEvent]
    done: bool = False
    failure: Exception | None = None


@dataclass(frozen=True, slots=True)
class Projector:
    """Subscribes to the relay: saves the present state of whatever the events are about.

    Since state is saved, not changes, events may come twice, late and in any order. Callers that come
    while a round is under way share the next one, so that a busy process makes few, large round trips.
    """

    snapshots: Snapshots
    models: ReadModels
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _waiting: list[_Wanted] = field(default_factory=list, repr=False)

    def __call__(self, events: Sequence[RecordedEvent]) -> None:
        """Return when the read models show what these events tell of; raises StorageUnavailable."""
        mine = _Wanted(events)
        with self._lock:
            self._waiting.append(mine)
        with self._turn:
            if not mine.done:
                self._round()
        if mine.failure is not None:
            raise mine.failure

    def _round(self) -> None:
        with self._lock:
            batch = self._waiting[:]
            self._waiting.clear()
        failure: Exception | None = None
        try:
            self._project_events([event for wanted in batch for event in wanted.events])
        except Exception as reason:
            failure = reason
        for wanted in batch:
            wanted.failure = failure
            wanted.done = True

    def project(
        self,
        *,
        rooms: Set[UUID] = frozenset(),
        conversations: Set[UUID],
        messages: Set[UUID] = frozenset(),
        known: Collection[Snapshot] = (),
    ) -> None:
        """Save the present state of these, what is `known` of it, and of the rooms that hold the conversations."""
        changed = list(known)
        conversations = conversations - {snapshot.id for snapshot in known}
        messages = messages - {snapshot.id for snapshot in known}
        if conversations:
            changed += self.snapshots.of(Model.CONVERSATIONS, conversations)
        # With every change of a conversation, what its room adds up to is another.
        rooms = rooms | {
            UUID(snapshot.keys["room_id"])
            for snapshot in changed
            if snapshot.model is Model.CONVERSATIONS and snapshot.keys["room_id"]
        }
        if rooms:
            changed += self.snapshots.of(Model.ROOMS, rooms)
        # A whole history may have changed at once: no more of it is in memory than a batch.
        left = list(messages)
        while left or changed:
            self.models.save([*changed, *(self.snapshots.of(Model.MESSAGES, left[:_BATCH]) if left else ())])
            changed, left = [], left[_BATCH:]

    def _project_events(self, events: Sequence[RecordedEvent]) -> None:
        rooms = {event.subject_id for event in events if event.name in _ROOM_EVENTS}
        conversations = {event.subject_id for event in events if event.name in _CONVERSATION_EVENTS | _MESSAGE_EVENTS}
        messages = {UUID(str(event.payload["message_id"])) for event in events if event.name in _MESSAGE_EVENTS}
        for event in events:
            if event.name == "HistoryChanged":
                messages.update(self.snapshots.messages_from(event.subject_id, event.payload["from_position"]))
        known: dict[UUID, Snapshot] = {}
        for snapshot in (snapshot for event in events for snapshot in event.known):
            if snapshot.id not in known or known[snapshot.id].version < snapshot.version:
                known[snapshot.id] = snapshot
        self.project(rooms=rooms, conversations=conversations, messages=messages, known=known.values())


class Difference(StrEnum):
    """What can be wrong with a read model's document."""

    MISSING = "missing"
    DIFFERENT = "different"
    SURPLUS = "surplus"


Advance = Callable[[Model, int], None]
"""Told of progress: so many more things of a model are done."""


@dataclass(frozen=True, slots=True)
class RebuildProjections:
    """Saves everything anew while queries go on, then forgets what is no longer there.

    Going on where an interrupted rebuild left off is the default: documents that it saved are right,
    and kept right by the projector.
    """

    snapshots: Snapshots
    models: ReadModels

    def __call__(self, advance: Advance, *, from_scratch: bool = False) -> None:
        """Raises ReadModelsUnavailable or StorageUnavailable; what was done until then is kept."""
        self.models.prepare()
        done: dict[str, str] = {} if from_scratch else dict(self.models.progress)
        for model in Model:
            after = done.get(model, "")
            while after != _FINISHED:
                batch = self.snapshots.after(model, UUID(after) if after else None, limit=_BATCH)
                self.models.save(batch)
                self._mend(model, batch)
                after = str(batch[-1].id) if len(batch) == _BATCH else _FINISHED
                done[model] = after
                self.models.note_progress(done)
                advance(model, len(batch))
            self._forget_surplus(model)
        self.models.complete()

    def _mend(self, model: Model, batch: Sequence[Snapshot]) -> None:
        """A wrong document of the right version is not saved over: it goes first."""
        kept = {snapshot.id: snapshot for snapshot in self.models.of(model, [snapshot.id for snapshot in batch])}
        wrong = [snapshot.id for snapshot in batch if _differ(kept.get(snapshot.id), snapshot)]
        # Most of these only went on meanwhile, and are the newer ones.
        wrong = [right.id for right in self.snapshots.of(model, wrong) if _differ(kept.get(right.id), right)]
        if wrong:
            self.models.remove(model, wrong)
            self.models.save(self.snapshots.of(model, wrong))

    def _forget_surplus(self, model: Model) -> None:
        for ids in _kept(self.models, model):
            there = {snapshot.id for snapshot in self.snapshots.of(model, ids)}
            self.models.remove(model, set(ids) - there)


_FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class VerifyProjections:
    """Compares every document with the committed state. What changes meanwhile is looked at again, `looks` times."""

    snapshots: Snapshots
    models: ReadModels
    pause: Callable[[], None]
    looks: int = 5

    def __call__(self, advance: Advance) -> Mapping[tuple[Model, UUID], Difference]:
        """Whatever differs and stays so."""
        differences: dict[tuple[Model, UUID], Difference] = {}
        for model in Model:
            after: UUID | None = None
            while batch := self.snapshots.after(model, after, limit=_BATCH):
                after = batch[-1].id
                differences |= self._differing(model, [snapshot.id for snapshot in batch])
                advance(model, len(batch))
            for ids in _kept(self.models, model):
                there = {snapshot.id for snapshot in self.snapshots.of(model, ids)}
                differences |= self._differing(model, set(ids) - there)
        return differences

    def _differing(self, model: Model, ids: Collection[UUID]) -> Mapping[tuple[Model, UUID], Difference]:
        found = self._compare(model, ids)
        for _ in range(self.looks):
            if not found:
                break
            self.pause()
            found = self._compare(model, found)
        return {(model, thing): difference for thing, difference in found.items()}

    def _compare(self, model: Model, ids: Collection[UUID]) -> Mapping[UUID, Difference]:
        if not ids:
            return {}
        kept = {snapshot.id: snapshot for snapshot in self.models.of(model, ids)}
        right = {snapshot.id: snapshot for snapshot in self.snapshots.of(model, ids)}
        found = {}
        for thing in ids:
            if _differ(right.get(thing), kept.get(thing)):
                found[thing] = (
                    Difference.MISSING
                    if thing not in kept
                    else Difference.SURPLUS
                    if thing not in right
                    else Difference.DIFFERENT
                )
        return found


def _differ(one: Snapshot | None, other: Snapshot | None) -> bool:
    """Whether they say different things; their versions may: a message's is its conversation's, which goes on."""
    if one is None or other is None:
        return one is not other
    return replace(one, version=0) != replace(other, version=0)


def _kept(models: ReadModels, model: Model) -> Iterator[Sequence[UUID]]:
    after: UUID | None = None
    while ids := models.ids_after(model, after, limit=_BATCH):
        after = ids[-1]
        yield ids
