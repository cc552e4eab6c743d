"""Take an export in: what another installation, or this one, has written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO
from uuid import UUID

from application.exporting.knowledge import KnowledgeImport
from application.exporting.placing import Past, Places, kept
from application.exporting.reading import ImportRefused, Lines, read
from application.ports.exporting import Kind
from application.ports.persistence import Document, StartWork, UnitOfWork
from application.ports.retention import Kind as Purged
from application.ports.retention import Purges
from application.ports.runtime import NewId, Now
from application.retention.marks import Marks
from domain.agents import Agents
from domain.conversations import Conversation
from domain.deletions import Subject
from domain.errors import Invalid
from domain.events import RoomOpened
from domain.histories import History
from domain.identity import Principal
from domain.limits import Limits
from domain.messages import Message, Role
from domain.replies import Reply, ReplyStatus
from domain.rooms import Room
from domain.sessions import OWN, CloseReason, Session

_AT_ONCE = 500
"""Messages that are written by one statement."""

_PURGES = 100
_WITHIN = (Purged.MESSAGES, Purged.REPLIES, Purged.JOBS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """A file shall be taken in, all of it as `owner`'s if there is one.

    `open_file` opens it from its beginning, and is called twice: what cannot be taken in as a whole is not begun.
    What is there already is left as it is, unless everything is to be there once more, `as_new`. `advance` is told
    of every so many bytes that are done; it may raise, and then what was done is kept and the same again goes on.
    """

    open_file: Callable[[], IO[bytes]]
    owner: Principal | None = None
    as_new: bool = False
    dry_run: bool = False
    advance: Callable[[int], None] = lambda done: None


@dataclass(frozen=True, slots=True)
class Imported:
    """How many of each type were added, and how many were there already; `notes` are what is not as it was."""

    added: Counter[str] = field(default_factory=Counter)
    present: Counter[str] = field(default_factory=Counter)
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ImportHandler:
    """Takes it in: each room, each conversation with its messages, and so on, is one transaction.

    Ids stay as they are. Where one is somebody else's here, another one is made of it and of the new owner: so what
    was taken in once is recognised the next time. Raises ImportRefused with line and field, or Conflict
    `room_limit_reached` and its like, before anything is written.
    """

    start_work: StartWork
    new_id: NewId
    now: Now
    agents: Agents
    limits: Limits
    purges: Purges
    marks: Marks

    def __call__(self, command: Import) -> Imported:
        looking = Places(command.owner, self.new_id().hex if command.as_new else None, self._past())
        found = self._through(command, looking)
        return found if command.dry_run else self._through(command, looking.to_write())

    def _past(self) -> Past:
        purged: set[UUID] = set()
        marks: set[str] = set()
        after = 0
        while some := self.purges.all(after=after, limit=_PURGES):
            after = some[-1].number
            for purge in some:
                # Messages go with their conversations, whose ids tell.
                purged.update(*(ids for kind, ids in purge.ids.items() if kind not in _WITHIN))
                marks.update(() if purge.mark is None else [purge.mark])
        return Past(purged, lambda owner: not marks.isdisjoint(self.marks.all_of(owner)))

    def _through(self, command: Import, places: Places) -> Imported:
        done = Imported()
        taking = _Taking(self, places)
        knowledge = KnowledgeImport(self.start_work, self.new_id, self.now, self.limits, places)
        take: Mapping[str, Callable[[Document], bool]] = {
            "visitor": taking.visitor,
            "project": knowledge.project,
            "document": knowledge.document,
            "room": taking.room,
            "session": taking.session,
            "job_analysis": knowledge.job_analysis,
        }
        with command.open_file() as file:
            lines = Lines(read(file, self.limits))
            while (line := lines.next()) is not None:
                kind, size = line.record["type"], line.bytes
                if kind == "message":
                    raise ImportRefused(line.number, "Must follow its conversation.", "message.conversation_id")
                erased = next(filter(places.past.is_erased, places.people_of(line.record)), None)
                if erased is not None:
                    places.note(f"All of {erased} was erased here, and is left out.")
                    while lines.next_message() is not None:
                        pass
                    continue
                try:
                    if kind == "conversation":
                        is_present, messages, more = taking.conversation(line.record, lines)
                        size += more
                        if messages:
                            (done.present if is_present else done.added)["message"] += messages
                    else:
                        is_present = take[kind](line.record)
                except Invalid as wrong:
                    raise line.refused(wrong) from None
                (done.present if is_present else done.added)[kind] += 1
                if places.writes or command.dry_run:
                    command.advance(size)
        return Imported(done.added, done.present, list(places.notes))


@dataclass(slots=True)
class _Taking:
    """One way through the histories of a file; each tells whether something was there already."""

    by: ImportHandler
    places: Places

    def visitor(self, record: Document) -> bool:
        with self.by.start_work() as work:
            is_present = bool(work.imports.owners(Kind.VISITOR, [record["id"]]))
            if self.places.writes and not is_present:
                work.visitors.add(record["id"], record["created_at"])
                if record["claimed_by"] is not None:
                    at = record["claimed_at"] or record["created_at"]
                    work.visitors.claim(record["id"], by=record["claimed_by"], now=at)
                work.commit()
        return is_present

    def room(self, record: Document) -> bool:
        places, owner = self.places, self.places.owner_of(record)
        with self.by.start_work() as work:
            room_id, is_present = places.place(work, Kind.ROOM, record["id"], owner)
            deletion = places.deletion(work, record, owner, Subject.ROOM, room_id, is_present=is_present)
            if is_present:
                return True
            room = Room(**kept(record, "name", "metadata", "created_at", "updated_at"), id=room_id, owner=owner)
            room.record(RoomOpened(subject_id=room_id, at=self.by.now()))
            if deletion is None:
                room.require_place(work.rooms.count(owner) + places.taken[f"rooms {owner}"], self.by.limits)
            places.add(room_id, owner, is_deleted=deletion is not None, of=f"rooms {owner}")
            if places.writes:
                work.rooms.add(room)
                places.delete(work, room, deletion)
                work.commit()
        return False

    def conversation(self, record: Document, lines: Lines) -> tuple[bool, int, int]:
        """Beside that, how many messages belong to it, and how many bytes these are."""
        places, owner = self.places, self.places.owner_of(record)
        history = History()
        with self.by.start_work() as work:
            here, is_present = places.place(work, Kind.CONVERSATION, record["id"], owner)
            said = _Messages(self.by, places, record["id"], here, owner, is_present)
            if places.writes and not is_present:
                deletion = places.deletion(work, record, owner, Subject.CONVERSATION, here, is_present=False)
                conversation = self._conversation(work, record, here, owner)
                said.take(lines, history, work)
                work.conversations.add(conversation)
                conversation.hold(history.head, count=history.count, reached=history.reached, now=self.by.now())
                places.delete(work, conversation, deletion)
                work.commit()
                return False, said.count, said.bytes
            if not is_present:
                self._conversation(work, record, here, owner)
        said.take(lines, history, None)  # Nobody is kept waiting for what is only looked at.
        return is_present, said.count, said.bytes

    def _conversation(self, work: UnitOfWork, record: Document, here: UUID, owner: str) -> Conversation:
        places = self.places
        places.add(here, owner, is_deleted=record["deletion"] is not None)
        places.look_for_projects(work, [record["project_id"]], owner)
        if record["agent"] not in self.by.agents:
            places.note(f"There is no agent {record['agent']!r} here: its conversations need another one to go on.")
        external_id = record["external_id"]
        if external_id is not None and work.conversations.by_external_id(owner, external_id) is not None:
            places.note(f"The conversation {record['id']} is not called {external_id!r}: another one is.")
            external_id = None
        return Conversation(
            **kept(record, "title", "agent", "metadata", "forgotten", "last_activity_at", "created_at", "updated_at"),
            id=here,
            owner=owner,
            room_id=places.room_of(work, record, owner),
            project_id=places.project_of(record["project_id"], owner),
            external_id=external_id,
        )

    def session(self, record: Document) -> bool:
        places, owner = self.places, self.places.owner_of(record)
        binding = self._binding(record["binding"])
        with self.by.start_work() as work:
            session_id, is_present = places.place(work, Kind.SESSION, record["id"], owner)
            if is_present or not places.writes:
                return is_present
            session = Session(
                **kept(record, "agent", "context", "metadata", "rating", "rating_comment", "created_at", "active_at"),
                **kept(record, "expires_at", "ends_at", "closed_at", "close_reason"),
                id=session_id,
                owner=owner,
                binding=binding,
                room_id=places.here(work, Kind.ROOM, record["room_id"], owner),
                conversation_id=places.here(work, Kind.CONVERSATION, record["conversation_id"], owner),
            )
            if any(other.binding == binding for other in work.sessions.unclosed(owner)):
                session.close(CloseReason.CROWDED_OUT, self.by.now())
            work.sessions.add(session)
            work.commit()
        return False

    def _binding(self, binding: str) -> str:
        if binding == OWN:
            return binding
        kind, _, name = binding.partition(":")
        try:
            if kind not in (Kind.ROOM, Kind.CONVERSATION):
                raise ValueError(kind)
            return f"{kind}:{self.places.called(UUID(name))}"
        except ValueError:
            raise Invalid({"binding": "Must be own, room:<id> or conversation:<id>."}) from None


@dataclass(slots=True)
class _Messages:
    """The messages of one conversation, `wanted` in the file and `here` by now."""

    by: ImportHandler
    places: Places
    wanted: UUID
    here: UUID
    owner: str
    is_present: bool
    count: int = 0
    bytes: int = 0

    def take(self, lines: Lines, history: History, work: UnitOfWork | None) -> None:
        """Take them all; without `work` they are looked at only."""
        messages: list[Message] = []
        records: list[Document] = []
        while (line := lines.next_message()) is not None:
            try:
                if line.record["conversation_id"] != self.wanted:
                    raise Invalid({"conversation_id": "Must be the conversation that it follows."})
                self._require_once(line.record["id"])
                records.append(line.record)
                messages += history.take(self._message(line.record))
                if len(records) >= _AT_ONCE:
                    self._keep(messages, records, work)
            except Invalid as wrong:
                raise line.refused(wrong) from None
            self.count += 1
            self.bytes += line.bytes
        messages += history.finish()
        self._keep(messages, records, work)

    def _keep(self, messages: list[Message], records: list[Document], work: UnitOfWork | None) -> None:
        if not self.is_present and work is None:
            with self.by.start_work() as looking:
                self._look(looking, records)
        elif work is not None:
            replies = [reply for record in records if (reply := self._reply(record)) is not None]
            work.imports.add_messages(messages, replies)
        messages.clear()
        records.clear()

    def _look(self, work: UnitOfWork, records: Sequence[Document]) -> None:
        ids = [self._called(record["id"]) for record in records]
        taken = work.imports.taken_messages([thing for thing in ids if thing is not None])
        for record, thing in zip(records, ids, strict=True):
            if thing in taken:
                raise Invalid({"id": f"The message {record['id']} is in another conversation here."})
        about = {record["reply"]["project_id"] for record in records if record["reply"] is not None}
        self.places.look_for_projects(work, about, self.owner)

    def _require_once(self, thing: UUID) -> None:
        called = self._called(thing)
        if self.is_present or self.places.writes or called is None:
            return
        if called in self.places.said:
            raise Invalid({"id": "Must not be further up in the file, too."})
        self.places.said.add(called)

    def _called(self, thing: UUID | None) -> UUID | None:
        """Messages are called otherwise if their conversation is."""
        if thing is None or self.here == self.wanted:
            return thing
        return self.places.other(thing, self.owner, within=self.wanted)

    def _message(self, record: Document) -> Message:
        is_answer = record["role"] is Role.ASSISTANT
        if not record["content"].strip() and not (is_answer and record["status"] != ReplyStatus.COMPLETED):
            raise Invalid({"content": "Must not be empty, but for an answer that did not complete."})
        if record["reply"] is not None and not (is_answer and record["agent"]):
            raise Invalid({"reply": "Must be null: only the answers of an agent were replies."})
        return Message(
            **kept(record, "position", "version", "role", "content", "status", "agent", "sources", "tool_calls"),
            **kept(record, "error", "metadata", "feedback", "created_at"),
            id=self._called(record["id"]) or record["id"],
            conversation_id=self.here,
            owner=self.owner,
            parent_id=self._called(record["parent_id"]),
            superseded_by=self._called(record["superseded_by"]),
        )

    def _reply(self, record: Document) -> Reply | None:
        """What an answer was before, so that it can be read and regenerated as one."""
        was = record["reply"]
        if was is None:
            return None
        return Reply(
            **kept(record, "position", "version", "agent", "error", "sources", "tool_calls", "metadata"),
            **kept(was, "created_at", "started_at", "finished_at", "final_seq"),
            id=self._called(record["id"]) or record["id"],
            conversation_id=self.here,
            owner=self.owner,
            parent_id=self._called(record["parent_id"]),
            session_id=self.places.called(was["session_id"]),
            project_id=self.places.project_of(was["project_id"], self.owner),
            status=ReplyStatus(record["status"]),
            text=record["content"],
            attempts=1,
        )
