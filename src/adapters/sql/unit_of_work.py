"""One transaction over the write tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.orm.util import identity_key

from adapters.sql.engine import Database, translated
from adapters.sql.importing import SqlImports
from adapters.sql.job_analyses import SqlJobAnalyses
from adapters.sql.knowledge import SqlDocuments, SqlJobs, SqlProjects
from adapters.sql.knowledge_tables import jobs
from adapters.sql.passages import SqlPassages
from adapters.sql.repositories import (
    Kept,
    SqlConversations,
    SqlDeletions,
    SqlMessages,
    SqlOnceAnswered,
    SqlReplies,
    SqlRooms,
    SqlSessions,
    SqlVisitors,
)
from adapters.sql.snapshots import conversation_snapshot, message_snapshot
from adapters.sql.tables import conversations, deletions, messages, outbox, replies, rooms, transcripts
from adapters.sql.transcripts import SqlTranscripts
from application.ports.projections import RecordedEvent, Snapshot
from domain.conversations import Conversation
from domain.events import Event, MessageChanged, MessagePosted, MessageSuperseded

_OF_A_MESSAGE = (MessagePosted, MessageSuperseded, MessageChanged)

_RECORD = insert(outbox).returning(outbox.c.number, sort_by_parameter_order=True)


class SqlUnitOfWork:
    """A session on one connection; what is not committed is rolled back when the context ends.

    What was committed is handed to `committed`, which keeps its failures to itself.
    """

    rooms: SqlRooms
    conversations: SqlConversations
    messages: SqlMessages
    replies: SqlReplies
    deletions: SqlDeletions
    visitors: SqlVisitors
    sessions: SqlSessions
    projects: SqlProjects
    documents: SqlDocuments
    passages: SqlPassages
    jobs: SqlJobs
    job_analyses: SqlJobAnalyses
    transcripts: SqlTranscripts
    imports: SqlImports
    answers: SqlOnceAnswered

    def __init__(
        self, database: Database, committed: Callable[[Sequence[RecordedEvent]], None] = lambda events: None
    ) -> None:
        self._database = database
        self._committed = committed

    def __enter__(self) -> Self:
        self._transaction: AbstractContextManager[Connection] = self._database.writing()
        self._connection = self._transaction.__enter__()
        self._kept = Kept(self._database, self._connection)
        self._recorded: list[RecordedEvent] = []
        self.rooms = SqlRooms(self._kept)
        self.conversations = SqlConversations(self._kept)
        self.messages = SqlMessages(self._kept)
        self.replies = SqlReplies(self._kept)
        self.deletions = SqlDeletions(self._kept)
        self.visitors = SqlVisitors(self._kept)
        self.sessions = SqlSessions(self._kept)
        self.projects = SqlProjects(self._kept)
        self.documents = SqlDocuments(self._kept)
        self.passages = SqlPassages(self._kept)
        self.jobs = SqlJobs(self._kept)
        self.job_analyses = SqlJobAnalyses(self._kept)
        self.transcripts = SqlTranscripts(self._connection)
        self.imports = SqlImports(self._kept)
        self.answers = SqlOnceAnswered(self._kept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kept.session.close()
        self._transaction.__exit__(kind, error, trace)
        if self._recorded:  # Now that the connection is another's again: deliveries may want one.
            self._committed(self._recorded)

    def flush(self) -> None:
        with translated():
            self._kept.session.flush()

    def commit(self) -> None:
        """Write everything with its events, or nothing."""
        with translated():
            self._kept.session.flush()
            events = [event for entity in self._kept.met.values() for event in entity.release_events()]
            rows = [_row(event) for event in events]
            numbers = self._connection.execute(_RECORD, rows).scalars().all() if rows else ()
            self._kept.session.commit()
            self._connection.commit()
        self._recorded += [
            RecordedEvent(number, row["name"], row["subject_id"], row["payload"], self._known_of(event))
            for number, row, event in zip(numbers, rows, events, strict=True)
        ]

    def hand_over(self, owner: str, to: str) -> None:
        # Looked for in the owner's rooms and conversations: messages and replies have no index of their owners.
        spoken_in = select(conversations.c.id).where(conversations.c.owner == owner)
        said = select(messages.c.id).where(messages.c.conversation_id.in_(spoken_in))  # An answer has its reply's id.
        live = select(conversations.c.live_reply_id).where(conversations.c.owner == owner)
        owned_rooms = select(rooms.c.id).where(rooms.c.owner == owner)
        analyses = self.job_analyses.hand_over(owner, to)
        for table, theirs in (
            (messages, messages.c.conversation_id.in_(spoken_in)),
            (transcripts, transcripts.c.conversation_id.in_(spoken_in)),
            (replies, replies.c.id.in_(said.union_all(live))),
            (deletions, deletions.c.subject_id.in_(spoken_in.union_all(owned_rooms))),
            (deletions, deletions.c.subject_id.in_(analyses)),
            (jobs, jobs.c.subject_id.in_(analyses)),
        ):
            self._connection.execute(update(table).where(theirs, table.c.owner == owner).values(owner=to))

    def _known_of(self, event: Event) -> Sequence[Snapshot]:
        """Those entities of this transaction that an event of a conversation is about."""
        conversation = self._kept.session.identity_map.get(identity_key(Conversation, event.subject_id))
        if conversation is None:
            return ()
        known = [conversation_snapshot(conversation)]
        if isinstance(event, _OF_A_MESSAGE) and event.message_id in self._kept.messages:
            message = self._kept.messages[event.message_id]
            known.append(message_snapshot(message, version=conversation.version, room_id=conversation.room_id))
        return known


def _row(event: Event) -> dict[str, Any]:
    values = {field.name: getattr(event, field.name) for field in fields(event)}
    return {
        "name": type(event).__name__,
        "subject_id": event.subject_id,
        "payload": values,
        "recorded_at": datetime.now(UTC),
    }
