"""The queries of operators about histories and people, straight from the write tables."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, and_, func, literal_column, not_, select, true

from adapters.sql.activity import by_code_point, room_documents, rooms_with_activity
from adapters.sql.engine import Database
from adapters.sql.tables import conversations, deletions, messages, replies, rooms, sessions, visitors
from application.documents import (
    conversation_document,
    message_document,
    page_document,
    reply_document,
    session_document,
)
from application.ports.persistence import Document
from application.ports.queries import Page
from application.ports.runtime import Now
from domain.conversations import Conversation
from domain.errors import NotFound
from domain.identity import PrincipalKind
from domain.messages import Message
from domain.replies import Reply
from domain.sessions import Session

_CONVERSATIONS = 10
_MESSAGES = 5
_PREVIEW = 140

_NOT_LISTED = ("text", "sources", "tool_calls")
"""Columns of replies that are large, and nobody's business."""

Those = ColumnElement[bool]
Make = Callable[[Row[Any]], Document]


class HistoryOperations:
    """The part of application.ports.operations.OperatorReader that is about histories and people."""

    def __init__(self, database: Database, now: Now) -> None:
        self._database = database
        self._now = now

    def rooms(self, *, owner: str | None, deleted: bool, page: Page) -> Document:
        those = and_(owned(rooms, owner), is_deleted(rooms, deleted))
        wanted = with_deletion(rooms_with_activity(true()).where(those), rooms)
        keys = {"created_at": rooms.c.created_at, "name": by_code_point(rooms.c.name)}
        key = keys.get(page.sort_by, literal_column("last_activity_at"))
        with self._database.reading() as connection:
            total = count(connection, rooms, those)
            found = connection.execute(part(wanted, key, rooms.c.id, page)).all()
            items = room_documents(connection, found)
        return paged([_room(item, row) for item, row in zip(items, found, strict=True)], total, page)

    def room(self, room_id: UUID) -> Document:
        wanted = with_deletion(rooms_with_activity(conversations.c.room_id == room_id), rooms)
        latest = with_deletion(select(conversations).where(conversations.c.room_id == room_id), conversations)
        latest = latest.order_by(conversations.c.last_activity_at.desc()).limit(_CONVERSATIONS)
        with self._database.reading() as connection:
            row = one(connection, wanted.where(rooms.c.id == room_id), "room", room_id)
            (document,) = room_documents(connection, [row])
            inside = connection.execute(latest).all()
        return _room(document, row, alone=True) | {"conversations": [_conversation(each) for each in inside]}

    def conversations(self, *, owner: str | None, room_id: UUID | None, deleted: bool, page: Page) -> Document:
        those = and_(owned(conversations, owner), is_deleted(conversations, deleted))
        if room_id is not None:
            those = and_(those, conversations.c.room_id == room_id)
        keys = {name: conversations.c[name] for name in ("last_activity_at", "created_at")}
        key = keys.get(page.sort_by, by_code_point(conversations.c.title))
        return self._listed(conversations, those, key, page, _conversation)

    def conversation(self, conversation_id: UUID) -> Document:
        wanted = with_deletion(select(conversations), conversations)
        of_it = messages.c.conversation_id == conversation_id
        current = select(messages).where(of_it, messages.c.superseded_by.is_(None))
        latest = current.order_by(messages.c.position.desc()).limit(_MESSAGES)
        with self._database.reading() as connection:
            row = one(connection, wanted.where(conversations.c.id == conversation_id), "conversation", conversation_id)
            in_all = count(connection, messages, of_it)
            begins = [_preview(message) for message in reversed(connection.execute(latest).all())]
        document = told(conversation_document(cast(Conversation, row)), row, alone=True)
        return document | {"all_message_count": in_all, "messages": begins}

    def messages(
        self, conversation_id: UUID, *, before: int | None, after: int | None, limit: int, all_branches: bool
    ) -> Document:
        those: Those = messages.c.conversation_id == conversation_id
        if not all_branches:
            those = and_(those, messages.c.superseded_by.is_(None))
        wanted = select(messages).where(those).limit(limit)
        if before is not None:
            wanted = wanted.where(messages.c.position < before)
        if after is not None:
            wanted = wanted.where(messages.c.position > after)
        from_the_end = after is None or before is not None
        order = (messages.c.position, messages.c.version)
        wanted = wanted.order_by(*(key.desc() if from_the_end else key for key in order))
        there = select(conversations.c.id).where(conversations.c.id == conversation_id)
        with self._database.reading() as connection:
            one(connection, there, "conversation", conversation_id)
            total = count(connection, messages, those)
            found = list(connection.execute(wanted))
        if from_the_end:
            found.reverse()
        items = [message_document(cast(Message, row)) | {"is_current": row.superseded_by is None} for row in found]
        return page_document(items, total=total, limit=limit, offset=None)

    def replies(
        self, *, owner: str | None, statuses: Collection[str], conversation_id: UUID | None, page: Page
    ) -> Document:
        those = owned(replies, owner)
        if statuses:
            those = and_(those, replies.c.status.in_(statuses))
        if conversation_id is not None:
            those = and_(those, replies.c.conversation_id == conversation_id)
        return self._listed(replies, those, replies.c.id, page, _reply)

    def reply(self, reply_id: UUID) -> Document:
        wanted = select(replies, func.length(replies.c.text).label("characters")).where(replies.c.id == reply_id)
        with self._database.reading() as connection:
            row = one(connection, wanted, "reply", reply_id)
        return _reply(row) | {"characters": row.characters}

    def sessions(self, *, owner: str | None, is_open: bool | None, page: Page) -> Document:
        now = self._now()
        those = owned(sessions, owner)
        if is_open is not None:
            opened = and_(sessions.c.closed_at.is_(None), sessions.c.expires_at > now)
            those = and_(those, opened if is_open else not_(opened))
        return self._listed(
            sessions, those, sessions.c.id, page, lambda row: session_document(cast(Session, row), now) | _owner(row)
        )

    def session(self, session_id: UUID) -> Document:
        with self._database.reading() as connection:
            row = one(connection, select(sessions).where(sessions.c.id == session_id), "session", session_id)
        return session_document(cast(Session, row), self._now()) | _owner(row)

    def visitors(self, *, claimed: bool | None, page: Page) -> Document:
        those: Those = true()
        if claimed is not None:
            those = visitors.c.claimed_at.is_not(None) if claimed else visitors.c.claimed_at.is_(None)
        return self._listed(visitors, those, visitors.c.id, page, _visitor)

    def visitor(self, visitor_id: UUID) -> Document:
        with self._database.reading() as connection:
            row = one(connection, select(visitors).where(visitors.c.id == visitor_id), "visitor", visitor_id)
            visitor = _visitor(row)
            counts = {
                table.name: count(connection, table, owned(table, visitor["owner"]))
                for table in (rooms, conversations, messages, sessions)
            }
        return visitor | counts

    def _listed(self, table: Table, those: Those, key: ColumnElement[Any], page: Page, make: Make) -> Document:
        columns = [column for column in table.c if table is not replies or column.name not in _NOT_LISTED]
        wanted = select(*columns).where(those)
        if "deletion_id" in table.c:
            wanted = with_deletion(wanted, table)
        with self._database.reading() as connection:
            total = count(connection, table, those)
            found = connection.execute(part(wanted, key, table.c.id, page)).all()
        return paged([make(row) for row in found], total, page)


def owned(table: Table, owner: str | None) -> Those:
    """Those of one owner, or of all."""
    return table.c.owner == owner if owner is not None else true()


def is_deleted(table: Table, deleted: bool) -> Those:
    """The deleted ones, or the others."""
    return table.c.deletion_id.is_not(None) if deleted else table.c.deletion_id.is_(None)


def with_deletion(wanted: Select[Any], table: Table) -> Select[Any]:
    """With when and with what each was deleted."""
    act = deletions.c
    return wanted.add_columns(
        act.deleted_at,
        act.subject.label("deleted_subject"),
        act.subject_id.label("deleted_subject_id"),
        act.conversation_count.label("conversations_taken"),
        act.message_count.label("messages_taken"),
    ).outerjoin(deletions, act.id == table.c.deletion_id)


def told(document: Document, row: Row[Any], *, alone: bool = False) -> Document:
    """What operators are told beside the API's document; of one thing `alone`, what its deletion was."""
    more = _owner(row) | {"deleted_at": row.deleted_at}
    if not alone:
        return document | more
    act = None
    if row.deletion_id is not None:
        of = {"subject": row.deleted_subject, "subject_id": row.deleted_subject_id}
        act = {"id": row.deletion_id, **of, "deleted_at": row.deleted_at}
    return document | more | {"deletion": act}


def part(wanted: Select[Any], key: ColumnElement[Any], tie: ColumnElement[Any], page: Page) -> Select[Any]:
    """One page, in an order that no two rows share."""
    order = (key.desc(), tie.desc()) if page.descending else (key, tie)
    return wanted.order_by(*order).limit(page.limit).offset(page.offset)


def count(connection: Connection, table: Table, those: Those) -> int:
    """How many there are."""
    return connection.execute(select(func.count()).select_from(table).where(those)).scalar_one()


def one(connection: Connection, wanted: Select[Any], kind: str, thing: UUID) -> Row[Any]:
    """The one row; raises NotFound."""
    found = connection.execute(wanted).one_or_none()
    if found is None:
        raise NotFound(kind, thing)
    return found


def paged(items: list[Document], total: int, page: Page) -> Document:
    """A list's document."""
    return page_document(items, total=total, limit=page.limit, offset=page.offset)


def _owner(row: Row[Any]) -> Document:
    return {"owner": row.owner}


def _room(document: Document, row: Row[Any], *, alone: bool = False) -> Document:
    if row.deletion_id is not None:  # What is in it is gone as well: what counts is what went along.
        document |= {"conversation_count": row.conversations_taken, "message_count": row.messages_taken}
    return told(document, row, alone=alone)


def _conversation(row: Row[Any]) -> Document:
    return told(conversation_document(cast(Conversation, row)), row)


def _preview(row: Row[Any]) -> Document:
    named = {name: getattr(row, name) for name in ("id", "position", "role", "status", "created_at")}
    begins = " ".join(row.content[: 4 * _PREVIEW].split())
    return named | {"preview": begins if len(begins) <= _PREVIEW else f"{begins[: _PREVIEW - 1]}…"}


def _visitor(row: Row[Any]) -> Document:
    owner = f"{PrincipalKind.VISITOR}:{row.id}"
    times = {"created_at": row.created_at, "claimed_by": row.claimed_by, "claimed_at": row.claimed_at}
    return {"id": row.id, "owner": owner} | times


def _reply(row: Row[Any]) -> Document:
    values = dict.fromkeys(_NOT_LISTED) | row._asdict()
    document = reply_document(cast(Reply, _Values(values)))
    for name in _NOT_LISTED:
        del document[name]
    return document | {"owner": row.owner, "attempts": row.attempts, "lease_until": row.lease_until}


class _Values:
    """A row that answers for columns that were not asked for."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)
