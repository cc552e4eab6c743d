"""What may be left in the database of what was purged from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence, Set
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Table, column, exists, func, select, table, text

from adapters.sql.engine import Database
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
    messages,
    outbox,
    replies,
    rooms,
    sessions,
    transcripts,
    visitors,
)
from adapters.sql.wiping import batches
from application.ports.retention import Kind, Present, Purge, Remnant
from domain.deletions import Subject
from domain.identity import PrincipalKind
from domain.jobs import JobKind

_MANY = 1000

_SHOWN = 20
"""Rows that are named of one table; of more, how many they are."""

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_NAMED: dict[Kind, Sequence[Column[Any]]] = {
    Kind.ROOMS: (rooms.c.id, conversations.c.room_id, sessions.c.room_id, deletions.c.subject_id, outbox.c.subject_id),
    Kind.CONVERSATIONS: (
        conversations.c.id,
        messages.c.conversation_id,
        replies.c.conversation_id,
        transcripts.c.conversation_id,
        sessions.c.conversation_id,
        deletions.c.subject_id,
        outbox.c.subject_id,
    ),
    Kind.MESSAGES: (messages.c.id,),
    Kind.REPLIES: (replies.c.id, outbox.c.subject_id),
    Kind.PROJECTS: (projects.c.id, documents.c.project_id, passages.c.project_id, deletions.c.subject_id),
    Kind.DOCUMENTS: (
        documents.c.id,
        document_contents.c.document_id,
        passages.c.document_id,
        jobs.c.subject_id,
        deletions.c.subject_id,
    ),
    Kind.JOB_ANALYSES: (job_analyses.c.id, job_analysis_files.c.analysis_id, jobs.c.subject_id, deletions.c.subject_id),
    Kind.JOBS: (jobs.c.id, outbox.c.subject_id),
}
"""Where the ids of each kind are."""

_PARTS: Sequence[tuple[Column[Any], Column[Any]]] = (
    (conversations.c.room_id, rooms.c.id),
    (messages.c.conversation_id, conversations.c.id),
    (replies.c.conversation_id, conversations.c.id),
    (transcripts.c.conversation_id, conversations.c.id),
    (documents.c.project_id, projects.c.id),
    (document_contents.c.document_id, documents.c.id),
    (passages.c.document_id, documents.c.id),
    (passage_vectors.c.number, passages.c.number),
    (job_analysis_files.c.analysis_id, job_analyses.c.id),
)
"""What is nothing without what it is part of. The database should see to that, if nobody told it not to."""

_WORDS: dict[str, Table] = {"messages_fts": messages, "passages_fts": passages}
"""SQLite's full-text indexes, and what they are about."""

_MADE: Sequence[tuple[Table, Column[Any]]] = (
    *((each, each.c.created_at) for each in (rooms, conversations, sessions, projects, documents, job_analyses)),
    *((each, each.c.created_at) for each in (jobs, visitors)),
    (transcripts, transcripts.c.asked_at),
    (deletions, deletions.c.deleted_at),
)
"""What belongs to somebody, and since when."""


class SqlRemnants:
    """See application.ports.retention.Store. `marks_of` tells by which marks an owner may be known."""

    name = "database"

    def __init__(self, database: Database, marks_of: Callable[[str], Set[str]]) -> None:
        self._database = database
        self._marks_of = marks_of
        self._is_sqlite = database.engine.dialect.name == "sqlite"

    def remnants(self, purges: Sequence[Purge]) -> Iterator[Remnant]:
        with self._database.reading() as connection:
            self._be_patient(connection)
            yield from self._named(connection, purges)
            yield from self._answers(connection, purges)
            yield from self._people(connection, purges)

    def orphans(self, present: Present) -> Iterator[Remnant]:
        with self._database.reading() as connection:
            self._be_patient(connection)
            for part, whole in _PARTS:
                lost = part.is_not(None) & ~exists().where(whole == part)
                yield from self._rows(connection, part, lost, f"its {whole.table.name[:-1]} is not there")
            for subject, whole in _SUBJECTS.items():
                lost = (deletions.c.subject == subject) & ~exists().where(whole == deletions.c.subject_id)
                yield from self._rows(connection, deletions.c.id, lost, f"its {subject.words} is not there")
            for kind, whole in _WORKED_ON.items():
                lost = (jobs.c.kind == kind) & ~exists().where(whole == jobs.c.subject_id)
                yield from self._rows(connection, jobs.c.id, lost, f"its {whole.table.name[:-1]} is not there")
            if self._is_sqlite:
                yield from self._full_text(connection)

    def _named(self, connection: Connection, purges: Sequence[Purge]) -> Iterator[Remnant]:
        for kind, places in _NAMED.items():
            ids = [id_ for purge in purges for id_ in purge.ids.get(kind, ())]
            for some in batches(ids, _MANY):
                for place in places:
                    found = connection.execute(select(place).distinct().where(place.in_(some))).scalars()
                    for id_ in found:
                        yield Remnant(self.name, f"{place.table.name}.{place.name} {id_}", "was purged")

    def _answers(self, connection: Connection, purges: Sequence[Purge]) -> Iterator[Remnant]:
        purged = {str(id_) for purge in purges for ids in purge.ids.values() for id_ in ids}
        kept = text("SELECT CAST(answer AS text) FROM idempotency_keys WHERE answer IS NOT NULL")
        for answer in connection.execute(kept).scalars() if purged else ():
            for id_ in sorted(set(_UUID.findall(answer)) & purged):
                yield Remnant(self.name, "idempotency_keys.answer", f"names {id_}, which was purged")

    def _people(self, connection: Connection, purges: Sequence[Purge]) -> Iterator[Remnant]:
        marked = {purge.mark: purge.at for purge in purges if purge.mark is not None}
        for owned, since in _MADE if marked else ():
            owner = owned.c.owner if "owner" in owned.c else None
            found: dict[str, datetime] = {}
            if owner is not None:
                found = {row[0]: row[1] for row in connection.execute(select(owner, func.min(since)).group_by(owner))}
            else:
                for row in connection.execute(select(visitors)):
                    found[f"{PrincipalKind.VISITOR}:{row.id}"] = row.created_at
                    if row.claimed_by is not None:
                        found[row.claimed_by] = min(row.claimed_at, found.get(row.claimed_by, row.claimed_at))
            for key, at in found.items():
                # Whoever comes back as a user begins anew, and what is made then is no remnant.
                if any(at < marked[mark] for mark in self._marks_of(key) & marked.keys()):
                    yield Remnant(self.name, owned.name, "belongs to somebody who was erased")

    def _full_text(self, connection: Connection) -> Iterator[Remnant]:
        for name, about in _WORDS.items():
            indexed = table(f"{name}_docsize", column("id"))
            lost = ~exists().where(about.c.number == indexed.c.id)
            for number in connection.execute(select(indexed.c.id).where(lost).limit(_SHOWN)).scalars():
                yield Remnant("full-text index", f"{name} {number}", f"its {about.name[:-1]} is not there")

    def _rows(self, connection: Connection, place: Column[Any], those: Any, why: str) -> Iterator[Remnant]:
        found = connection.execute(select(place).distinct().where(those).limit(_SHOWN)).scalars().all()
        for id_ in found:
            yield Remnant(self.name, f"{place.table.name}.{place.name} {id_}", why)

    def _be_patient(self, connection: Connection) -> None:
        """Everything is looked through, which may take long."""
        if not self._is_sqlite:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


_SUBJECTS: dict[Subject, Column[Any]] = {
    Subject.ROOM: rooms.c.id,
    Subject.CONVERSATION: conversations.c.id,
    Subject.PROJECT: projects.c.id,
    Subject.DOCUMENT: documents.c.id,
    Subject.JOB_ANALYSIS: job_analyses.c.id,
}

_WORKED_ON: dict[JobKind, Column[Any]] = {
    JobKind.INGEST: documents.c.id,
    JobKind.EMBED: documents.c.id,
    JobKind.ANALYSE: job_analyses.c.id,
}
