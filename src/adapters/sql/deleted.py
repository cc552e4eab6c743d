"""The queries about what is deleted and can be restored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, and_, exists, select

from adapters.sql.activity import by_code_point, room_documents, rooms_with_activity
from adapters.sql.engine import Database
from adapters.sql.job_analyses import ANALYSIS_KEYS, LISTED
from adapters.sql.knowledge_reader import shown_documents, shown_projects
from adapters.sql.knowledge_tables import documents, job_analyses, jobs, projects
from adapters.sql.operations import count, one, paged, part, with_deletion
from adapters.sql.reader import CONVERSATION_KEYS, ROOM_KEYS
from adapters.sql.tables import conversations, deletions, rooms
from application.documents import conversation_document, restorable_document
from application.job_analyses.documents import listed_document
from application.ports.persistence import Document
from application.ports.queries import Page
from domain.conversations import Conversation
from domain.identity import Principal
from domain.job_analyses import JobAnalysis
from domain.retention import Retention
from domain.rooms import Room

Those = ColumnElement[bool]
Make = Callable[[Connection, Sequence[Row[Any]]], list[Document]]


class SqlDeletedReader:
    """See application.ports.deleted.DeletedReader."""

    def __init__(self, database: Database, retention: Retention) -> None:
        self._database = database
        self._kept = timedelta(days=retention.deleted)

    def rooms(self, principal: Principal, page: Page) -> Document:
        wanted = rooms_with_activity(conversations.c.owner == principal.key, gone=True)
        make = partial(room_documents, gone=True)
        with self._database.reading() as connection:
            return self._page(connection, wanted, _own(rooms, principal), ROOM_KEYS[page.sort_by], page, rooms, make)

    def conversations(self, principal: Principal, room_id: UUID | None, page: Page) -> Document:
        key = CONVERSATION_KEYS[page.sort_by]
        with self._database.reading() as connection:
            those = _own(conversations, principal)
            if room_id is not None:
                _authorise(connection, rooms, room_id, "room", principal)
                those = conversations.c.room_id == room_id
            return self._page(connection, select(conversations), those, key, page, conversations, _conversations)

    def projects(self, principal: Principal, page: Page) -> Document:
        def make(connection: Connection, found: Sequence[Row[Any]]) -> list[Document]:
            return shown_projects(connection, found, principal.key, gone=True)

        with self._database.reading() as connection:
            those = _own(projects, principal)
            return self._page(connection, select(projects), those, _named(projects, page), page, projects, make)

    def documents(self, principal: Principal, project_id: UUID | None, page: Page) -> Document:
        key = _named(documents, page)
        with self._database.reading() as connection:
            those = _own(documents, principal)
            if project_id is not None:
                _authorise(connection, projects, project_id, "project", principal)
                those = documents.c.project_id == project_id
            return self._page(connection, select(documents), those, key, page, documents, shown_documents)

    def job_analyses(self, principal: Principal, page: Page) -> Document:
        wanted = select(*LISTED, jobs.c.done, jobs.c.total).outerjoin(jobs, jobs.c.id == job_analyses.c.job_id)
        key = ANALYSIS_KEYS[page.sort_by]
        with self._database.reading() as connection:
            those = _own(job_analyses, principal)
            return self._page(connection, wanted, those, key, page, job_analyses, _job_analyses)

    def _page(
        self,
        connection: Connection,
        wanted: Select[Any],
        those: Those,
        key: ColumnElement[Any],
        page: Page,
        table: Table,
        make: Make,
    ) -> Document:
        those = and_(those, _is_restorable(table))
        found = connection.execute(part(with_deletion(wanted, table).where(those), key, table.c.id, page)).all()
        items = make(connection, found)
        total = count(connection, table, those)
        return paged([item | self._deletion(row) for item, row in zip(items, found, strict=True)], total, page)

    def _deletion(self, row: Row[Any]) -> Document:
        return {
            "deletion": restorable_document(
                row.deletion_id, row.deleted_subject, row.deleted_subject_id, row.deleted_at, kept=self._kept
            )
        }


def _own(table: Table, principal: Principal) -> Those:
    return table.c.owner == principal.key


def _is_restorable(table: Table) -> Those:
    return exists().where(deletions.c.id == table.c.deletion_id, deletions.c.purging_since.is_(None)).correlate(table)


def _named(table: Table, page: Page) -> ColumnElement[Any]:
    return by_code_point(table.c.name) if page.sort_by == "name" else table.c[page.sort_by]


def _authorise(connection: Connection, table: Table, wanted: UUID, kind: str, principal: Principal) -> None:
    principal.authorise(cast(Room, one(connection, select(table).where(table.c.id == wanted), kind, wanted)), kind)


def _conversations(_: Connection, found: Sequence[Row[Any]]) -> list[Document]:
    return [conversation_document(cast(Conversation, row)) for row in found]


def _job_analyses(_: Connection, found: Sequence[Row[Any]]) -> list[Document]:
    return [listed_document(cast(JobAnalysis, row), done=row.done or 0, total=row.total or 0) for row in found]
