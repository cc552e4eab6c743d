"""Cleaning up: delete what nobody uses any more, purge what was deleted long ago, remove what is only old."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from application.conversations.commands import DeleteConversation, DeleteConversationHandler
from application.ports.persistence import ConcurrentChange
from application.ports.projections import ReadModels
from application.ports.retention import Ageing, Old, Purges, Standing
from application.ports.runtime import Now, OwnerLock, ReplyLog
from application.retention.purging import Advance, Purging, quietly
from application.retention.settling import Settled, SettlePurges
from application.rooms.commands import DeleteRoom, DeleteRoomHandler
from application.sessions.commands import CloseExpiredSessions
from domain.errors import Conflict, NotFound
from domain.identity import SYSTEM
from domain.retention import Retention

log = logging.getLogger(__name__)

_BATCH = 200

Delete = Callable[[UUID, datetime], object]
Find = Callable[..., Sequence[UUID]]


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What a clean-up has done, or what it would do: how many, by kind.

    Of a dry run, `purged` counts deletions only. `failed` says of which deletions the purge is left to the next time.
    """

    closed: Counter[str] = field(default_factory=Counter)
    deleted: Counter[str] = field(default_factory=Counter)
    purged: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)
    settled: Settled = field(default_factory=Settled)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanUp:
    """An installation shall be cleaned up; a `dry_run` only counts what there is to do."""

    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class CleanUpHandler:
    """Cleans up, one process at a time: another one raises Conflict `cleanup_running`.

    Everything is done in small transactions, each of which looks again whether what it is about is still as it was:
    what is used, or restored, in the meantime stays. It can be stopped between any two of them, and run again.
    """

    ageing: Ageing
    purges: Purges
    purging: Purging
    settle: SettlePurges
    delete_room: DeleteRoomHandler
    delete_conversation: DeleteConversationHandler
    close_expired: CloseExpiredSessions
    log: ReplyLog
    read_models: ReadModels | None
    lock: Callable[[], OwnerLock]
    retention: Retention
    visitor_lifetime: timedelta
    now: Now

    def __call__(self, command: CleanUp, advance: Advance = quietly) -> Cleaned:
        if command.dry_run:
            return self._foreseen()
        lock = self.lock()
        try:
            if not lock.acquire(0):
                raise Conflict("cleanup_running", "Another process is cleaning up at this moment.")
            return self._cleaned(lock, advance)
        finally:
            lock.release()

    def _cleaned(self, lock: OwnerLock, advance: Advance) -> Cleaned:
        cleaned, now = Cleaned(), self.now()
        cleaned.closed["sessions"] += self.close_expired()
        advance("sessions", cleaned.closed["sessions"])
        for kind, find, delete, before in self._idle(now):
            for id_ in _each(find, before):
                lock.keep()
                try:
                    delete(id_, before)
                except (Conflict, NotFound, ConcurrentChange):  # It is in use again, or gone.
                    continue
                cleaned.deleted[kind] += 1
                advance(kind, 1)
        for deletion in self._due(now):
            lock.keep()
            self._purge(deletion, cleaned, advance)
        for what, before in self._old(now).items():
            self._remove(what, before, cleaned, lock, advance)
        self.log.trim()
        cleaned.settled.add(self.settle())
        return cleaned

    def _foreseen(self) -> Cleaned:
        cleaned, now = Cleaned(), self.now()
        for kind, find, _, before in self._idle(now):
            cleaned.deleted[kind] += sum(1 for _ in _each(find, before))
        for deletion in self._due(now):
            cleaned.purged[f"deleted {deletion.subject.words}"] += 1
        for what, before in self._old(now).items():
            cleaned.removed[what] += self.ageing.count_old(what, before)
        return cleaned

    def _idle(self, now: datetime) -> Iterator[tuple[str, Find, Delete, datetime]]:
        rooms, conversations = self.retention.rooms_before(now), self.retention.conversations_before(now)
        if rooms is not None:
            yield "rooms", self.ageing.idle_rooms, self._delete_room, rooms
        if conversations is not None:
            yield "conversations", self.ageing.idle_conversations, self._delete_conversation, conversations

    def _delete_room(self, room_id: UUID, before: datetime) -> object:
        return self.delete_room(DeleteRoom(principal=SYSTEM, room_id=room_id, idle_since=before))

    def _delete_conversation(self, conversation_id: UUID, before: datetime) -> object:
        return self.delete_conversation(
            DeleteConversation(principal=SYSTEM, conversation_id=conversation_id, idle_since=before)
        )

    def _due(self, now: datetime) -> Iterator[Standing]:
        before = now - timedelta(days=self.retention.deleted)
        after: UUID | None = None
        while found := self.purges.standing(deleted_before=before, after=after, limit=_BATCH):
            after = found[-1].deletion_id
            yield from found

    def _purge(self, deletion: Standing, cleaned: Cleaned, advance: Advance) -> None:
        try:
            begun = self.purging.begin(deletion.subject, deletion.subject_id, only=deletion.deletion_id)
            cleaned.purged.update(self.purging.finish(begun, advance))
        except (Conflict, NotFound) as changed:  # Restored, or purged with what it was in.
            log.info("the %s %s is not purged: %s", deletion.subject.words, deletion.subject_id, changed.message)
        except ConcurrentChange as busy:
            cleaned.failed[f"{deletion.subject} {deletion.subject_id}"] = busy.message

    def _old(self, now: datetime) -> dict[Old, datetime]:
        """From when on each kind is old."""
        days = self.retention
        visitors = now - self.visitor_lifetime - timedelta(days=days.visitors)
        # As long as a visitor's token may be good, it has to be known that it is not.
        purges = now - max(timedelta(days=days.purges), self.visitor_lifetime)
        return {
            Old.SESSIONS: now - timedelta(days=days.sessions),
            Old.JOBS: now - timedelta(days=days.jobs),
            Old.IDEMPOTENCY_KEYS: now,
            Old.EVENTS: now - timedelta(days=days.events),
            Old.VISITORS: visitors,
            Old.TRANSCRIPTS: now - timedelta(days=days.transcripts),
            Old.PURGES: purges,
        }

    def _remove(self, what: Old, before: datetime, cleaned: Cleaned, lock: OwnerLock, advance: Advance) -> None:
        if what is Old.EVENTS and self.read_models is not None and self.ageing.count_old(what, before):
            self.read_models.declare_incomplete()  # What these events tell of is in the database alone.
        is_last = False
        while not is_last:
            lock.keep()
            removed = self.ageing.remove_old(what, before, limit=_BATCH)
            cleaned.removed[what] += removed
            if removed:
                advance(what, removed)
                self.purging.pause()
            is_last = removed < _BATCH


def _each(find: Find, before: datetime) -> Iterator[UUID]:
    after: UUID | None = None
    while found := find(before, after=after, limit=_BATCH):
        after = found[-1]
        yield from found
