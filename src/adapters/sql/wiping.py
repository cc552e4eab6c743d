"""How one transaction removes what was deleted: rows, whatever refers to them, and a note of their ids."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Table, Text, cast, delete, insert, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from adapters.sql.knowledge_tables import (
    document_contents,
    documents,
    job_analyses,
    job_analysis_files,
    jobs,
    passage_vectors,
    passages,
    projects,
)
from adapters.sql.tables import (
    conversations,
    deletions,
    idempotency_keys,
    messages,
    outbox,
    replies,
    rooms,
    sessions,
    transcripts,
)
from application.ports.retention import Kind
from domain.deletions import Subject
from domain.errors import Conflict
from domain.replies import LIVE

_AT_ONCE = 50
"""Ids that one statement looks for in what requests were answered with."""

_MANY = 500
"""Ids that one statement names."""


class Wiping:
    """Removes up to about `budget` messages or passages; `is_done` says whether there was no more to remove."""

    def __init__(self, connection: Connection, budget: int, now: datetime) -> None:
        self._connection = connection
        self._budget = budget
        self._now = now
        self.tally: Counter[str] = Counter()
        self.ids: defaultdict[Kind, list[UUID]] = defaultdict(list)

    def thing(self, subject: Subject, subject_id: UUID) -> bool:
        """Remove a thing with all that is in it: whether it is gone by now. Raises Conflict `reply_in_progress`."""
        steps: dict[Subject, Callable[[UUID], bool]] = {
            Subject.ROOM: self._room,
            Subject.CONVERSATION: self._conversation,
            Subject.PROJECT: self._project,
            Subject.DOCUMENT: self._document,
            Subject.JOB_ANALYSIS: self._job_analysis,
        }
        return steps[subject](subject_id)

    def forget_events(self) -> None:
        """Tell nobody any more of what is gone by now."""
        gone = [id_ for kind in (Kind.ROOMS, Kind.CONVERSATIONS, Kind.REPLIES, Kind.PROJECTS) for id_ in self.ids[kind]]
        gone += self.ids[Kind.JOBS]
        for those in batches(gone, _MANY):
            self._delete(outbox, outbox.c.subject_id.in_(those), "events")

    def forget_answers(self) -> None:
        """Forget what requests were answered with, if it names something that is gone by now."""
        kinds = (Kind.ROOMS, Kind.CONVERSATIONS, Kind.PROJECTS, Kind.DOCUMENTS, Kind.JOB_ANALYSES)
        for those in batches([id_ for kind in kinds for id_ in self.ids[kind]], _AT_ONCE):
            self._delete(idempotency_keys, names_any(those), "idempotency_keys")

    def _room(self, room_id: UUID) -> bool:
        self._lock(rooms, room_id)
        held = select(conversations.c.id).where(conversations.c.room_id == room_id).order_by(conversations.c.id)
        while found := self._connection.execute(held.limit(_AT_ONCE)).scalars().all():
            if not all(self._conversation(conversation_id, is_with_room=True) for conversation_id in found):
                return False
        self._delete(sessions, sessions.c.binding == f"room:{room_id}", "sessions", sessions.c.room_id == room_id)
        self._forget_in_sessions(sessions.c.room_id, room_id)
        self._delete_known(Kind.ROOMS, rooms, rooms.c.id == room_id)
        self._forget_deletions(room_id)
        return True

    def _conversation(self, conversation_id: UUID, *, is_with_room: bool = False) -> bool:
        mine = select(conversations.c.room_id, conversations.c.version).where(conversations.c.id == conversation_id)
        found = self._connection.execute(mine).one_or_none()
        if found is None:
            return True
        if found.room_id is not None and not is_with_room:
            self._lock(rooms, found.room_id)  # Rooms are locked before their conversations.
        self._lock(conversations, conversation_id)
        self._require_quiet(conversation_id)
        those = select(messages.c.id).where(messages.c.conversation_id == conversation_id)
        while ids := self._connection.execute(those.limit(min(self._budget, _MANY))).scalars().all():
            self._budget -= len(ids)
            self._delete_known(Kind.REPLIES, replies, replies.c.id.in_(ids))
            self._delete_known(Kind.MESSAGES, messages, messages.c.id.in_(ids))
            if self._budget <= 0:
                return False
        self._delete_known(Kind.REPLIES, replies, replies.c.conversation_id == conversation_id)
        self._delete(transcripts, transcripts.c.conversation_id == conversation_id, "transcripts")
        bound = sessions.c.binding == f"conversation:{conversation_id}"
        self._delete(sessions, bound, "sessions", sessions.c.conversation_id == conversation_id)
        self._forget_in_sessions(sessions.c.conversation_id, conversation_id)
        self._delete_known(Kind.CONVERSATIONS, conversations, conversations.c.id == conversation_id)
        self._forget_deletions(conversation_id)
        if found.room_id is not None and not is_with_room:
            self._keep_room_ahead(found.room_id, found.version)
        self._budget -= 1
        return self._budget > 0 or not is_with_room

    def _project(self, project_id: UUID) -> bool:
        self._lock(projects, project_id)
        held = select(documents.c.id).where(documents.c.project_id == project_id).order_by(documents.c.id)
        while found := self._connection.execute(held.limit(_AT_ONCE)).scalars().all():
            for document_id in found:
                if not self._document(document_id) or self._budget <= 0:
                    return False
        self._delete_known(Kind.PROJECTS, projects, projects.c.id == project_id)
        self._forget_deletions(project_id)
        return True

    def _document(self, document_id: UUID) -> bool:
        self._lock(documents, document_id)
        those = select(passages.c.number).where(passages.c.document_id == document_id)
        while numbers := self._connection.execute(those.limit(min(self._budget, _MANY))).scalars().all():
            self._budget -= len(numbers)
            self._delete(passage_vectors, passage_vectors.c.number.in_(numbers), "vectors")
            self._delete(passages, passages.c.number.in_(numbers), "passages")
            if self._budget <= 0:
                return False
        self._delete(document_contents, document_contents.c.document_id == document_id, "document_contents")
        self._delete_known(Kind.JOBS, jobs, jobs.c.subject_id == document_id)
        self._delete_known(Kind.DOCUMENTS, documents, documents.c.id == document_id)
        self._forget_deletions(document_id)
        self._budget -= 1
        return True

    def _job_analysis(self, analysis_id: UUID) -> bool:
        self._lock(job_analyses, analysis_id)
        self._delete(job_analysis_files, job_analysis_files.c.analysis_id == analysis_id, "job_analysis_files")
        self._delete_known(Kind.JOBS, jobs, jobs.c.subject_id == analysis_id)
        self._delete_known(Kind.JOB_ANALYSES, job_analyses, job_analyses.c.id == analysis_id)
        self._forget_deletions(analysis_id)
        return True

    def _lock(self, table: Table, id_: UUID) -> None:
        self._connection.execute(select(table.c.id).where(table.c.id == id_).with_for_update())

    def _require_quiet(self, conversation_id: UUID) -> None:
        live = select(replies.c.id).where(replies.c.conversation_id == conversation_id, replies.c.status.in_(LIVE))
        found = self._connection.execute(live).scalar_one_or_none()
        if found is not None:
            raise Conflict("reply_in_progress", "A reply is being written in it.", reply_id=str(found))

    def _forget_in_sessions(self, column: Any, id_: UUID) -> None:
        """Sessions that are bound elsewhere go on, and speak in another conversation next."""
        others = update(sessions).where(column == id_)
        self._connection.execute(others.values({column.name: None, "version": sessions.c.version + 1}))

    def _keep_room_ahead(self, room_id: UUID, version: int) -> None:
        """A room's snapshot has the versions of its conversations in its own: it must not fall back behind one of old.

        Its read model is made anew, from what is left: the last one may not have known that the conversation was
        deleted.
        """
        self._connection.execute(
            update(rooms).where(rooms.c.id == room_id).values(version=rooms.c.version + version + 1)
        )
        payload = {"subject_id": room_id, "at": self._now}
        row = {"name": "RoomChanged", "subject_id": room_id, "payload": payload, "recorded_at": self._now}
        self._connection.execute(insert(outbox).values(row))

    def _forget_deletions(self, subject_id: UUID) -> None:
        self._delete(deletions, deletions.c.subject_id == subject_id, "deletions")

    def _delete_known(self, kind: Kind, table: Table, those: ColumnElement[bool]) -> None:
        """Remove rows that other stores may know by their ids."""
        gone = self._connection.execute(delete(table).where(those).returning(table.c.id)).scalars().all()
        self.ids[kind] += gone
        self._count(kind, len(gone))

    def _delete(self, table: Table, those: ColumnElement[bool], kind: str, *also: ColumnElement[bool]) -> None:
        self._count(kind, self._connection.execute(delete(table).where(those, *also)).rowcount)

    def _count(self, kind: str, number: int) -> None:
        if number:
            self.tally[str(kind)] += number


def names_any(ids: Iterable[UUID]) -> ColumnElement[bool]:
    """Whether what a request was answered with names one of these."""
    answer = cast(idempotency_keys.c.answer, Text)
    return or_(*(answer.like(f"%{id_}%") for id_ in ids))


def batches(ids: Iterable[UUID], size: int) -> Iterator[Sequence[UUID]]:
    """So many at a time."""
    left = iter(ids)
    while batch := list(islice(left, size)):
        yield batch
