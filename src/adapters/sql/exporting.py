"""The write tables as exports read them, page by page."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Table, and_, false, func, or_, select, true

from adapters.sql.engine import Database
from adapters.sql.knowledge_tables import document_contents, documents, job_analyses, projects
from adapters.sql.tables import conversations, deletions, messages, replies, rooms, sessions, visitors
from application.exporting import records
from application.ports.exporting import Branch, Extent, Kind
from application.ports.persistence import Document
from domain.identity import PrincipalKind

_AT_ONCE = 5_000
"""Positions that are read between two turns of others."""

TABLES: Mapping[Kind, Table] = {
    Kind.VISITOR: visitors,
    Kind.PROJECT: projects,
    Kind.DOCUMENT: documents,
    Kind.ROOM: rooms,
    Kind.CONVERSATION: conversations,
    Kind.SESSION: sessions,
    Kind.JOB_ANALYSIS: job_analyses,
}

_RECORDS: Mapping[Kind, Callable[..., Document]] = {
    Kind.VISITOR: records.visitor_record,
    Kind.PROJECT: records.project_record,
    Kind.DOCUMENT: records.document_record,
    Kind.ROOM: records.room_record,
    Kind.CONVERSATION: records.conversation_record,
    Kind.SESSION: records.session_record,
    Kind.JOB_ANALYSIS: records.job_analysis_record,
}


class SqlExportReader:
    """See application.ports.exporting.ExportReader."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def things(self, kind: Kind, extent: Extent, after: UUID | None, *, limit: int) -> Sequence[Document]:
        table = TABLES[kind]
        wanted = select(table).where(_reach(kind, extent))
        if after is not None:
            wanted = wanted.where(table.c.id > after)
        with self._database.reading() as connection:
            found = connection.execute(wanted.order_by(table.c.id).limit(limit)).all()
            if "deletion_id" not in table.c:
                return [_RECORDS[kind](row) for row in found]
            taken_by = _by_id(connection, deletions, {row.deletion_id for row in found if row.deletion_id is not None})
        return [_RECORDS[kind](row, taken_by.get(row.deletion_id)) for row in found]

    def branch(self, conversation_id: UUID) -> Branch:
        of_it = messages.c.conversation_id == conversation_id
        live = select(conversations.c.live_reply_id).where(conversations.c.id == conversation_id).scalar_subquery()
        is_current = or_(messages.c.superseded_by.is_(None), messages.c.superseded_by == live)
        current = select(messages.c.version).where(of_it, is_current).order_by(messages.c.position)
        versions = array("I")
        with self._database.reading() as connection:
            until = connection.execute(select(func.max(messages.c.number)).where(of_it)).scalar_one()
            found = connection.execute(current, execution_options={"yield_per": _AT_ONCE})
            for some in found.scalars().partitions():
                versions.extend(some)
                time.sleep(0)  # The other greenlets' turn.
        return Branch(versions, until or 0)

    def messages(
        self, conversation_id: UUID, branch: Branch, after: tuple[int, int], *, limit: int
    ) -> Sequence[Document]:
        position, version = after
        further = or_(messages.c.position > position, messages.c.version > version)
        wanted = (
            select(messages)
            .where(
                messages.c.conversation_id == conversation_id,
                messages.c.position >= position,
                further,
                messages.c.number <= branch.until,
            )
            .order_by(messages.c.position, messages.c.version)
            .limit(limit)
        )
        with self._database.reading() as connection:
            found = connection.execute(wanted).all()
            were = _by_id(connection, replies, {row.id for row in found})
        return [records.message_record(cast(Any, row), were.get(row.id)) for row in found]

    def content(self, document_id: UUID) -> bytes | None:
        wanted = select(document_contents.c.content).where(document_contents.c.document_id == document_id)
        with self._database.reading() as connection:
            found: bytes | None = connection.execute(wanted).scalar_one_or_none()
        return found


def _by_id(connection: Connection, table: Table, ids: Collection[UUID]) -> dict[UUID, Any]:
    if not ids:
        return {}
    return {row.id: row for row in connection.execute(select(table).where(table.c.id.in_(ids)))}


def _reach(kind: Kind, extent: Extent) -> ColumnElement[bool]:
    """Which of a kind an export holds."""
    table = TABLES[kind]
    deleted: ColumnElement[bool] = true()
    if not extent.deleted and "deletion_id" in table.c:
        deleted = table.c.deletion_id.is_(None)
    if kind is Kind.SESSION:
        return _sessions(extent)
    if extent.conversation_id is not None:
        return and_(conversations.c.id == extent.conversation_id, deleted) if kind is Kind.CONVERSATION else false()
    if extent.room_id is not None:
        if kind not in (Kind.ROOM, Kind.CONVERSATION):
            return false()
        place = rooms.c.id if kind is Kind.ROOM else conversations.c.room_id
        return and_(place == extent.room_id, deleted)
    if extent.owner is None:
        return deleted
    if kind is Kind.VISITOR:
        return _visitors(extent.owner)
    return and_(table.c.owner == extent.owner, deleted)


def _visitors(owner: str) -> ColumnElement[bool]:
    """Who an owner is, and those that it was before."""
    kind, _, name = owner.partition(":")
    was: ColumnElement[bool] = visitors.c.claimed_by == owner
    if kind != PrincipalKind.VISITOR:
        return was
    try:
        return visitors.c.id == UUID(name)
    except ValueError:
        return false()


def _sessions(extent: Extent) -> ColumnElement[bool]:
    """Those of what is exported: a session whose conversation is left out goes with it."""
    spoken_in = select(conversations.c.id)
    if extent.conversation_id is not None:
        spoken_in = spoken_in.where(conversations.c.id == extent.conversation_id)
    elif extent.room_id is not None:
        spoken_in = spoken_in.where(conversations.c.room_id == extent.room_id)
    elif extent.owner is not None:
        spoken_in = spoken_in.where(conversations.c.owner == extent.owner)
    owners = spoken_in.with_only_columns(conversations.c.owner)
    if not extent.deleted:
        spoken_in = spoken_in.where(conversations.c.deletion_id.is_(None))
    reach: ColumnElement[bool] = sessions.c.conversation_id.in_(spoken_in)
    if extent.conversation_id is not None or extent.room_id is not None:
        return and_(sessions.c.owner.in_(owners), reach)  # By owner there is an index.
    reach = or_(sessions.c.conversation_id.is_(None), reach)
    if not extent.deleted:
        present = select(rooms.c.id).where(rooms.c.deletion_id.is_(None))
        reach = and_(reach, or_(sessions.c.room_id.is_(None), sessions.c.room_id.in_(present)))
    return and_(sessions.c.owner == extent.owner, reach) if extent.owner is not None else reach
