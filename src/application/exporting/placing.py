"""Where what is imported goes: what it is called here, whose it is, and what it refers to."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from application.ports.exporting import Kind
from application.ports.persistence import Document, UnitOfWork
from domain.conversations import Conversation
from domain.deletions import Deletion, Subject
from domain.errors import Forbidden, NotFound
from domain.identity import Principal, PrincipalKind
from domain.job_analyses import JobAnalysis
from domain.knowledge import Document as KnowledgeDocument
from domain.knowledge import Project
from domain.rooms import Room

_KINDS = {Subject.ROOM: Kind.ROOM, Subject.PROJECT: Kind.PROJECT}
"""What takes along what is in it when it is deleted."""


@dataclass(frozen=True, slots=True)
class Past:
    """What was purged here: its ids, and `is_erased`, whether all of an owner's was."""

    purged: Set[UUID]
    is_erased: Callable[[str], bool]


@dataclass(slots=True)
class Places:
    """What one import knows of its file and of what is here.

    It is gone through twice: first only looked at, then with `writes`. With a `salt` nothing in the file is the same
    as what is here.
    """

    owner: Principal | None
    salt: str | None
    past: Past
    writes: bool = False
    ids: dict[UUID, UUID] = field(default_factory=dict)
    """What is called otherwise here than in the file."""
    tries: dict[UUID, int] = field(default_factory=dict)
    """How often another id had to be made for it, because the one before was purged."""
    added: dict[tuple[UUID, str], bool] = field(default_factory=dict)
    """What this import adds that others of the same owner may refer to, and whether it is deleted."""
    said: set[UUID] = field(default_factory=set)
    """The messages that were looked at."""
    projects: dict[UUID, Project] = field(default_factory=dict)
    """Those that this import adds."""
    taken: Counter[str] = field(default_factory=Counter)
    """Of the places that owners have left, those that what is not written yet will take."""
    notes: dict[str, None] = field(default_factory=dict)
    """What is not as it was, in the order in which it was found."""
    _deletions: dict[tuple[UUID, str], UUID] = field(default_factory=dict)
    """Of the deletions of an owner that took more than one thing, what each is called here."""
    _visible: dict[tuple[UUID, str], UUID | None] = field(default_factory=dict)

    def to_write(self) -> Places:
        """For the second time: what was found out about what things are called, and what may be seen, stays so."""
        known = {"ids": self.ids, "tries": self.tries, "notes": self.notes, "_visible": self._visible}
        return Places(self.owner, self.salt, self.past, True, **known)  # type: ignore[arg-type] # as the fields are

    def owner_of(self, record: Document) -> str:
        """Whose something is to be."""
        owner: str = self.owner.key if self.owner is not None else record["owner"]
        return owner

    def people_of(self, record: Document) -> Iterable[str]:
        """Who is not to have been erased here if something is to be taken in."""
        if record["type"] != "visitor":
            return [self.owner_of(record)]
        visitor = f"{PrincipalKind.VISITOR}:{record['id']}"
        return [visitor] if record["claimed_by"] is None else [visitor, record["claimed_by"]]

    def place(self, work: UnitOfWork, kind: Kind, thing: UUID, owner: str) -> tuple[UUID, bool]:
        """What something is called here, and whether it is there already.

        An id that was purged is used no more: every store has been told to take in nothing of it.
        """
        while (other := self.other(thing, owner)) in self.past.purged:
            self.tries[thing] = self.tries.get(thing, 0) + 1
        if self.salt is None:
            taken = work.imports.owners(kind, [thing, other])
            for known in (other, thing):
                if taken.get(known) == owner:
                    self.ids[thing] = known
                    return known, True
            if thing not in taken and thing not in self.past.purged:
                return thing, False
            if thing in self.past.purged:
                self.note("Something was purged here: it comes back under another id.")
        self.ids[thing] = other
        return other, False

    def other(self, thing: UUID, owner: str, within: UUID | None = None) -> UUID:
        """Another id for it, of the same time (RFC 9562, section 5.7), and the same one each time.

        What is `within` something has another id whenever that has.
        """
        tries = self.tries.get(within or thing, 0)
        told = hashlib.sha256(f"{self.salt or owner} {thing} {tries}".encode()).digest()
        version, variant = told[0] & 0x0F | 0x70, told[2] & 0x3F | 0x80
        return UUID(bytes=thing.bytes[:6] + bytes([version, told[1], variant]) + told[3:10])

    def called(self, thing: UUID | None) -> UUID | None:
        """What something in the file is called here, which may come further down in it."""
        return self.ids.get(thing, thing) if thing is not None else None

    def here(self, work: UnitOfWork, kind: Kind, thing: UUID | None, owner: str) -> UUID | None:
        """What is referred to, if it is there and the owner's."""
        here = self.called(thing)
        if here is None or (here, owner) in self.added:
            return here
        return here if work.imports.owners(kind, [here]).get(here) == owner else None

    def room_of(self, work: UnitOfWork, record: Document, owner: str) -> UUID | None:
        """The room of a conversation; none if it is not here, or is deleted and the conversation is not."""
        here = self.here(work, Kind.ROOM, record["room_id"], owner)
        if here is not None:
            is_deleted = self.added.get((here, owner))
            is_there = work.imports.is_present(Kind.ROOM, here) if is_deleted is None else not is_deleted
            if is_there or record["deletion"] is not None:
                return here
        if record["room_id"] is not None:
            self.note(f"The conversation {record['id']} is in no room: its own is not here.")
        return None

    def look_for_projects(self, work: UnitOfWork, wanted: Iterable[UUID | None], owner: str) -> None:
        """Find out which of these the owner's questions may be answered from."""
        kind, _, name = owner.partition(":")
        for project_id in wanted:
            if project_id is None or (project_id, owner) in self._visible:
                continue
            here = self.ids.get(project_id, project_id)
            found: UUID | None = here
            if here not in self.projects or not self.projects[here].is_visible_to(Principal(PrincipalKind(kind), name)):
                try:
                    work.projects.look(here, for_=Principal(PrincipalKind(kind), name))
                except (NotFound, Forbidden):
                    self.note(f"The project {project_id} is not here, or not for {owner}: nothing is about it.")
                    found = None
            self._visible[project_id, owner] = found

    def project_of(self, project_id: UUID | None, owner: str) -> UUID | None:
        """The project that something is about, if it was found."""
        return self._visible.get((project_id, owner)) if project_id is not None else None

    def deletion(
        self, work: UnitOfWork, record: Document, owner: str, subject: Subject, here: UUID, *, is_present: bool
    ) -> Deletion | UUID | None:
        """The deletion that took something: its own, or what the one is called that took what it is in."""
        told = record["deletion"]
        if told is None:
            return None
        took_more = told["subject_id"] != record["id"]
        if took_more and (told["id"], owner) in self._deletions:
            return self._deletions[told["id"], owner]
        own = self.other(told["id"], f"{owner} {here}")
        if not took_more and here == record["id"] and work.imports.deletion_subject(told["id"]) in (None, here):
            own = told["id"]
        if subject in _KINDS and (
            not is_present
            or (work.imports.deletion_subject(own) == here and not work.imports.is_present(_KINDS[subject], here))
        ):
            self._deletions[told["id"], owner] = own
        counts = kept(told, "conversation_count", "message_count", "document_count", "deleted_at")
        return Deletion(id=own, owner=owner, subject=subject, subject_id=here, **counts)

    def delete(
        self,
        work: UnitOfWork,
        thing: Room | Conversation | Project | KnowledgeDocument | JobAnalysis,
        deletion: Deletion | UUID | None,
    ) -> None:
        """Have something go with its deletion, if one took it."""
        if deletion is None:
            return
        if isinstance(deletion, UUID):
            deletion = work.deletions.get(deletion)
        else:
            work.deletions.add(deletion)
        thing.delete(deletion)

    def add(self, thing: UUID, owner: str, *, is_deleted: bool, of: str = "") -> None:
        """Note that something is added that others may refer to, and `of` which places it takes one."""
        self.added[thing, owner] = is_deleted
        if of and not is_deleted and not self.writes:
            self.taken[of] += 1

    def note(self, note: str) -> None:
        """Say, once, what is not as it was."""
        self.notes[note] = None


def kept(record: Document, *names: str) -> dict[str, Any]:
    """These members of a record."""
    return {name: record[name] for name in names}
