"""Remove for good what was deleted: all of it, in steps that can be interrupted and gone on with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from application.ports.persistence import ConcurrentChange, StartWork, UnitOfWork
from application.ports.retention import Purges, Standing, Tally
from application.ports.runtime import Now, Signals
from application.replies.ending import ReplyEnding
from application.retention.settling import Settled, SettlePurges
from domain.deletions import Deletion, Subject
from domain.errors import Conflict, LeaseLost, NotFound
from domain.identity import SYSTEM
from domain.replies import Reply

STEP = 500
"""Messages or passages that one transaction removes."""

_TRIES = 5

Advance = Callable[[str, int], None]
"""Told of progress: so many more of a kind are gone. It may raise to end the work between two steps."""


def quietly(kind: str, done: int) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeDeleted:
    """A deleted thing shall be removed for good now, instead of when its time has come."""

    subject: Subject
    subject_id: UUID


@dataclass(frozen=True, slots=True)
class Purged:
    """What was removed from the database, by kind, and what the other stores have forgotten."""

    tally: Tally
    settled: Settled = field(default_factory=Settled)


@dataclass(frozen=True, slots=True)
class Purging:
    """Removes what one deletion took.

    First the deletion is marked: from then on nothing can be restored of it. Then every step is a transaction that
    also notes in the ledger what the other stores have to forget. Whoever is stopped half-way, or killed, goes on
    with the next try, and so does anybody else.
    """

    start_work: StartWork
    purges: Purges
    signals: Signals
    ending: ReplyEnding
    now: Now
    answers_kept: timedelta
    """How long requests are known with what they were answered."""
    pause: Callable[[], None]
    """Between two steps, for others to have their turn."""

    def begin(self, subject: Subject, subject_id: UUID, *, only: UUID | None = None) -> Standing:
        """Mark the deletion of a thing. With `only`, another deletion than that one counts as none.

        Raises NotFound, Conflict `not_deleted`, or `room_deleted` and its like for what went with another thing.
        """
        with self.start_work() as work:
            taken_by = _TAKEN_BY[subject](work, subject_id)
            if taken_by is None or only not in (None, taken_by):
                raise Conflict("not_deleted", f"This {subject.words} is not deleted. Delete it first.")
            deletion = work.deletions.get(taken_by)
            _require_its_own(deletion, subject)
            deletion.begin_purge(self.now())
            work.commit()
        return Standing(deletion.id, subject, subject_id, deletion.deleted_at)

    def finish(self, deletion: Standing, advance: Advance = quietly) -> Tally:
        """Remove everything that a marked deletion took."""
        removed: Counter[str] = Counter()
        is_last = False
        while not is_last:
            tally, is_last = self._step(deletion)
            removed.update(tally)
            for kind, count in tally.items():
                advance(kind, count)
            self.pause()
        return removed

    def _step(self, deletion: Standing) -> tuple[Tally, bool]:
        now = self.now()
        for _ in range(_TRIES):
            try:
                wiped = self.purges.wipe(deletion, limit=STEP, now=now, answers_after=now - self.answers_kept)
                return wiped.tally, wiped.is_last
            except ConcurrentChange:
                self.pause()
            except Conflict as conflict:
                if conflict.slug != "reply_in_progress":
                    raise
                self._end_replies(deletion)
        wiped = self.purges.wipe(deletion, limit=STEP, now=now, answers_after=now - self.answers_kept)
        return wiped.tally, wiped.is_last

    def _end_replies(self, deletion: Standing) -> None:
        """Fence out whoever still writes; they were asked to stop when the thing was deleted."""
        for reply_id in self.purges.live_replies(deletion):
            with suppress(LeaseLost, NotFound):  # It has ended at this moment.
                self.ending.take_over(reply_id, if_=_always)
            self.signals.announce(reply_id)


@dataclass(frozen=True, slots=True)
class PurgeHandler:
    """Purges one deleted thing, and has every store follow.

    Raises NotFound, Conflict `not_deleted`, `room_deleted` or `project_deleted` for what went with its room or project.
    """

    purging: Purging
    settle: SettlePurges

    def __call__(self, command: PurgeDeleted, advance: Advance = quietly) -> Purged:
        deletion = self.purging.begin(command.subject, command.subject_id)
        tally = self.purging.finish(deletion, advance)
        return Purged(tally, self.settle())


def _of_room(work: UnitOfWork, room_id: UUID) -> UUID | None:
    return work.rooms.get(room_id, for_=SYSTEM, deleted=None).deletion_id


def _of_conversation(work: UnitOfWork, conversation_id: UUID) -> UUID | None:
    room_id = work.conversations.room_of(conversation_id)
    if room_id is not None:  # Rooms are locked before their conversations.
        work.rooms.get(room_id, for_=SYSTEM, deleted=None)
    return work.conversations.get(conversation_id, for_=SYSTEM, deleted=None).deletion_id


def _of_project(work: UnitOfWork, project_id: UUID) -> UUID | None:
    return work.projects.get(project_id, for_=SYSTEM, deleted=None).deletion_id


def _of_document(work: UnitOfWork, document_id: UUID) -> UUID | None:
    work.projects.get(work.documents.project_of(document_id), for_=SYSTEM, deleted=None)
    return work.documents.get(document_id, for_=SYSTEM, deleted=None).deletion_id


def _of_job_analysis(work: UnitOfWork, analysis_id: UUID) -> UUID | None:
    return work.job_analyses.get(analysis_id, for_=SYSTEM, deleted=None).deletion_id


_TAKEN_BY: dict[Subject, Callable[[UnitOfWork, UUID], UUID | None]] = {
    Subject.ROOM: _of_room,
    Subject.CONVERSATION: _of_conversation,
    Subject.PROJECT: _of_project,
    Subject.DOCUMENT: _of_document,
    Subject.JOB_ANALYSIS: _of_job_analysis,
}


def _require_its_own(deletion: Deletion, subject: Subject) -> None:
    if deletion.subject is not subject:
        kind = deletion.subject
        raise Conflict(
            f"{kind}_deleted",
            f"This {subject.words} was deleted with its {kind.words}: purge that.",
            **{f"{kind}_id": str(deletion.subject_id)},
        )


def _always(reply: Reply, now: datetime) -> bool:
    return True
