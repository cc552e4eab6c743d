"""Erase all that one person left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

from application.conversations.commands import DeleteConversation, DeleteConversationHandler
from application.job_analyses.commands import DeleteJobAnalysis, DeleteJobAnalysisHandler
from application.knowledge.projects import DeleteProject, DeleteProjectHandler
from application.ports.persistence import StartWork
from application.ports.retention import Kind, Purges, Standing, Tally
from application.ports.runtime import Now
from application.retention.marks import Marks
from application.retention.purging import STEP, Advance, Purging, quietly
from application.retention.settling import Settled, SettlePurges
from application.rooms.commands import DeleteRoom, DeleteRoomHandler
from domain.errors import Conflict, Invalid, NotFound
from domain.identity import SYSTEM, Principal, PrincipalKind
from domain.sessions import CloseReason

_ROUNDS = 5
"""How often it is tried to come to an end, with somebody who goes on making things."""

_BATCH = 200

_DELETIONS = "deletions"
_EVENTS = "events"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasePrincipal:
    """All that a principal left shall be removed for good; a `dry_run` only counts it."""

    principal: Principal
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Erased:
    """What was removed, or what there is (of a dry run): how many, by kind.

    `principals` are those whose things these were: a user, and the visitors that the user was before signing in.
    What the person had left counts: not the deletions that erasing takes, nor the events that tell of them. `adopted`
    counts the public projects that belong to the installation now, or would. `left` is what has come in the meantime.
    """

    principals: int
    tally: Tally
    adopted: int = 0
    left: Tally = field(default_factory=dict)
    settled: Settled = field(default_factory=Settled)


@dataclass(frozen=True, slots=True)
class ErasePrincipalHandler:
    """Deletes everything as its owner would, and purges it at once; in the end nothing names the owner any more.

    Its sessions are closed and its replies stopped first; a visitor's token is good no more from the beginning on, so
    that nothing new comes. A user's token is the host product's: who comes back begins anew. Public projects are the
    product's knowledge, and stay: the installation owns them from then on. Whoever is stopped half-way, or killed,
    goes on with the next try; a second time there is nothing to do. Raises Invalid for Parley itself.
    """

    start_work: StartWork
    purges: Purges
    purging: Purging
    settle: SettlePurges
    delete_room: DeleteRoomHandler
    delete_conversation: DeleteConversationHandler
    delete_project: DeleteProjectHandler
    delete_job_analysis: DeleteJobAnalysisHandler
    marks: Marks
    wait: Callable[[], None]
    """Until every process knows who is being erased."""
    now: Now

    def __call__(self, command: ErasePrincipal, advance: Advance = quietly) -> Erased:
        if command.principal.key == SYSTEM.key:
            raise Invalid({"principal": "This is Parley itself, which owns what belongs to nobody else."})
        people = self._people(command.principal)
        if command.dry_run:
            adoptable = sum(self.purges.adoptable(person.key) for person in people)
            return Erased(len(people), _summed(self.purges.erasable(person.key) for person in people), adoptable)
        if self._mark(person for person in people if person.kind is PrincipalKind.VISITOR):
            self.wait()
        adopted = sum(self.purges.adopt(person.key, SYSTEM.key, self.now()) for person in people)
        removed: Counter[str] = Counter()
        for _ in range(_ROUNDS):
            for person in people:
                self._erase(person, removed, advance)
            if not (left := _summed(self.purges.holdings(person.key) for person in people)):
                break
        else:
            left = _summed(self.purges.holdings(person.key) for person in people)
        self._mark(people)  # What is counted of them is forgotten now that nothing more is.
        del removed[_EVENTS]
        return Erased(len(people), +removed, adopted, left, self.settle())

    def _mark(self, people: Iterable[Principal]) -> int:
        marks = [self.marks.of(person.key) for person in people]
        for mark in marks:
            self.purges.mark(mark, self.now())
        return len(marks)

    def _people(self, principal: Principal) -> list[Principal]:
        claimed = self.purges.claimed_by(principal.key)
        return [principal, *(Principal(PrincipalKind.VISITOR, str(visitor_id)) for visitor_id in claimed)]

    def _erase(self, person: Principal, removed: Counter[str], advance: Advance) -> None:
        self._close_sessions(person)
        for delete in self._deletions_of(person):
            with suppress(NotFound):  # Its owner has just done it.
                delete()
                removed[_DELETIONS] -= 1  # It is removed with what it takes, and was not there before.
        for deletion in self._standing(person):
            with suppress(Conflict, NotFound):  # It went with another thing, or is restored: there are more rounds.
                begun = self.purging.begin(deletion.subject, deletion.subject_id)
                removed.update(self.purging.finish(begun, advance))
        is_last = False
        while not is_last:
            wiped = self.purges.wipe_person(person.key, limit=STEP, now=self.now())
            removed.update(wiped.tally)
            for kind, count in wiped.tally.items():
                advance(kind, count)
            is_last = wiped.is_last

    def _close_sessions(self, person: Principal) -> None:
        """So that whoever has them open is told."""
        with self.start_work() as work:
            for session in work.sessions.unclosed(person.key):
                session.close(CloseReason.CLOSED, self.now())
            work.commit()

    def _deletions_of(self, person: Principal) -> Iterator[Callable[[], object]]:
        for kind, delete in (
            (Kind.ROOMS, self._delete_room),
            (Kind.CONVERSATIONS, self._delete_conversation),
            (Kind.PROJECTS, self._delete_project),
            (Kind.JOB_ANALYSES, self._delete_job_analysis),
        ):
            for id_ in self.purges.undeleted(kind, person.key):
                yield lambda id_=id_, delete=delete: delete(id_)  # type: ignore[misc] # bound now, not later

    def _delete_room(self, id_: UUID) -> object:
        return self.delete_room(DeleteRoom(principal=SYSTEM, room_id=id_))

    def _delete_conversation(self, id_: UUID) -> object:
        return self.delete_conversation(DeleteConversation(principal=SYSTEM, conversation_id=id_))

    def _delete_project(self, id_: UUID) -> object:
        return self.delete_project(DeleteProject(principal=SYSTEM, project_id=id_))

    def _delete_job_analysis(self, id_: UUID) -> object:
        return self.delete_job_analysis(DeleteJobAnalysis(principal=SYSTEM, analysis_id=id_))

    def _standing(self, person: Principal) -> Iterator[Standing]:
        after: UUID | None = None
        while found := self.purges.standing(deleted_before=None, owner=person.key, after=after, limit=_BATCH):
            after = found[-1].deletion_id
            yield from found


def _summed(tallies: Iterator[Tally]) -> Tally:
    total: Counter[str] = Counter()
    for tally in tallies:
        total.update(tally)
    return dict(total)
