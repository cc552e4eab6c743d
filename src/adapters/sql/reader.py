"""Queries straight from the write tables, for installations without a read store."""

from __future__ import annotations

import html
import re
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Connection, Row, Select, and_, bindparam, column, func, literal_column, select, table, true
from sqlalchemy.sql.elements import ColumnElement

from adapters.sql.engine import Database
from adapters.sql.tables import conversations, deletions, messages, replies, rooms
from application.documents import conversation_document, message_document, page_document, reply_document, room_document
from application.ports.persistence import Document, MessagePage, Page
from domain.conversations import Conversation, Message
from domain.errors import NotFound
from domain.identity import Principal
from domain.replies import Reply
from domain.rooms import Room

_MARKS = ("\x02", "\x03")
"""What stands around hits before the text is escaped; neither can be typed into a message by accident."""

_fts = table("messages_fts", column("rowid"))

_ROOM_KEYS: dict[str, ColumnElement[Any]] = {
    "last_activity_at": literal_column("last_activity_at"),
    "created_at": rooms.c.created_at,
    "name": func.lower(rooms.c.name),
}
_CONVERSATION_KEYS: dict[str, ColumnElement[Any]] = {
    "last_activity_at": conversations.c.last_activity_at,
    "created_at": conversations.c.created_at,
    "title": func.lower(conversations.c.title),
}

_current = messages.c.superseded_by.is_(None)
_present = conversations.c.deletion_id.is_(None)

# Statements of the most frequent queries, put together once.
_CONVERSATION = select(conversations).where(conversations.c.id == bindparam("wanted"))
_REPLY = select(replies).where(replies.c.id == bindparam("wanted"))
_MESSAGE = select(messages).where(messages.c.id == bindparam("wanted"))


class SqlReader:
    """See application.ports.persistence.Reader."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def rooms(self, principal: Principal, page: Page) -> Document:
        mine = and_(rooms.c.owner == principal.key, rooms.c.deletion_id.is_(None))
        with self._database.reading() as connection:
            total = connection.execute(select(func.count()).select_from(rooms).where(mine)).scalar_one()
            wanted = _rooms_with_activity(conversations.c.owner == principal.key).where(mine)
            found = connection.execute(_part(wanted, _ROOM_KEYS[page.sort_by], rooms.c.id, page)).all()
            items = _room_documents(connection, found)
        return page_document(items, total=total, limit=page.limit, offset=page.offset)

    def rooms_of(self, owner: str | None, *, deleted: bool, page: Page) -> Document:
        those: ColumnElement[bool] = rooms.c.deletion_id.is_not(None) if deleted else rooms.c.deletion_id.is_(None)
        if owner is not None:
            those = and_(rooms.c.owner == owner, those)
        wanted = (
            _rooms_with_activity(true())
            .add_columns(deletions.c.deleted_at)
            .outerjoin(deletions, deletions.c.id == rooms.c.deletion_id)
            .where(those)
        )
        with self._database.reading() as connection:
            total = connection.execute(select(func.count()).select_from(rooms).where(those)).scalar_one()
            found = connection.execute(_part(wanted, _ROOM_KEYS[page.sort_by], rooms.c.id, page)).all()
            items = _room_documents(connection, found)
        for item, row in zip(items, found, strict=True):
            item |= {"owner": row.owner, "deleted_at": row.deleted_at}
        return page_document(items, total=total, limit=page.limit, offset=page.offset)

    def room(self, room_id: UUID, principal: Principal) -> Document:
        with self._database.reading() as connection:
            wanted = _rooms_with_activity(conversations.c.room_id == room_id).where(rooms.c.id == room_id)
            found = connection.execute(wanted).one_or_none()
            present = _present_and_authorised(found, "room", room_id, principal)
            return _room_documents(connection, [present])[0]

    def room_history(self, room_id: UUID, principal: Principal, page: MessagePage) -> Document:
        with self._database.reading() as connection:
            found = connection.execute(select(rooms).where(rooms.c.id == room_id)).one_or_none()
            _present_and_authorised(found, "room", room_id, principal)
            of_room = and_(conversations.c.room_id == room_id, _present)
            counting = select(func.coalesce(func.sum(conversations.c.message_count), 0)).where(of_room)
            total = connection.execute(counting).scalar_one()
            wanted = select(messages).join(conversations).where(of_room, _current)
            order = (messages.c.created_at, messages.c.conversation_id, messages.c.position)
            found_messages = connection.execute(
                wanted.order_by(*(key.desc() if page.descending else key for key in order))
                .limit(page.limit)
                .offset(page.offset or 0)
            )
            items = [message_document(cast(Message, row)) for row in found_messages]
        return page_document(items, total=total, limit=page.limit, offset=page.offset or 0)

    def conversations(self, principal: Principal, room_id: UUID | None, page: Page) -> Document:
        mine = and_(conversations.c.owner == principal.key, _present)
        with self._database.reading() as connection:
            if room_id is not None:
                found = connection.execute(select(rooms).where(rooms.c.id == room_id)).one_or_none()
                _present_and_authorised(found, "room", room_id, principal)
                mine = and_(conversations.c.room_id == room_id, _present)
            total = connection.execute(select(func.count()).select_from(conversations).where(mine)).scalar_one()
            wanted = select(conversations).where(mine)
            rows = connection.execute(_part(wanted, _CONVERSATION_KEYS[page.sort_by], conversations.c.id, page)).all()
        items = [conversation_document(cast(Conversation, row)) for row in rows]
        return page_document(items, total=total, limit=page.limit, offset=page.offset)

    def conversation(self, conversation_id: UUID, principal: Principal) -> Document:
        with self._database.reading() as connection:
            return conversation_document(cast(Conversation, _conversation(connection, conversation_id, principal)))

    def messages(self, conversation_id: UUID, principal: Principal, page: MessagePage) -> Document:
        position = messages.c.position
        wanted = select(messages).where(messages.c.conversation_id == conversation_id, _current).limit(page.limit)
        if page.after is not None:
            wanted = wanted.where(position > page.after)
        if page.before is not None:
            wanted = wanted.where(position < page.before)
        # From which side the page is taken, and in which order it is handed out, are two things.
        if page.offset is not None:
            from_the_end = page.descending
            wanted = wanted.offset(page.offset)
        else:
            from_the_end = page.after is None or page.before is not None
        wanted = wanted.order_by(position.desc() if from_the_end else position)
        with self._database.reading() as connection:
            total = _conversation(connection, conversation_id, principal).message_count
            rows = connection.execute(wanted).all()
        items = [message_document(cast(Message, row)) for row in rows]
        if from_the_end is not page.descending:
            items.reverse()
        document = page_document(items, total=total, limit=page.limit, offset=page.offset or 0)
        if page.offset is None:
            document["offset"] = None
        return document

    def reply(self, reply_id: UUID, principal: Principal) -> Document:
        with self._database.reading() as connection:
            reply = connection.execute(_REPLY, {"wanted": reply_id}).one_or_none()
            if reply is None:
                raise NotFound("reply", reply_id)
            principal.authorise(reply, "reply")
            deletion_id = connection.execute(
                select(conversations.c.deletion_id).where(conversations.c.id == reply.conversation_id)
            ).scalar_one()
            if deletion_id is not None:
                raise NotFound("reply", reply_id)
            message = connection.execute(_MESSAGE, {"wanted": reply_id}).one_or_none()
        document = reply_document(cast(Reply, reply))
        document["message"] = message_document(cast(Message, message)) if message is not None else None
        return document

    def search(self, principal: Principal, query: str, page: Page) -> Document:
        match = _match(principal.key, query)
        if not match:
            return page_document([], total=0, limit=page.limit, offset=page.offset)
        matching = (
            select(
                messages,
                conversations.c.id.label("found_in"),
                conversations.c.title,
                conversations.c.room_id,
                func.snippet(literal_column("messages_fts"), 1, *_MARKS, "…", 24).label("snippet"),
            )
            .select_from(_fts)
            .join(messages, messages.c.number == _fts.c.rowid)
            .join(conversations, conversations.c.id == messages.c.conversation_id)
            .where(
                literal_column("messages_fts").op("MATCH")(match), messages.c.owner == principal.key, _present, _current
            )
        )
        with self._database.reading() as connection:
            counting = matching.with_only_columns(func.count(), maintain_column_froms=True)
            total = connection.execute(counting).scalar_one()
            best = matching.order_by(literal_column("rank"), messages.c.number.desc())
            rows = connection.execute(best.limit(page.limit).offset(page.offset)).all()
        items = [
            {
                "message": message_document(cast(Message, row)),
                "conversation": {"id": row.found_in, "title": row.title, "room_id": row.room_id},
                "snippet": _marked(row.snippet),
            }
            for row in rows
        ]
        return page_document(items, total=total, limit=page.limit, offset=page.offset)


def _rooms_with_activity(those: ColumnElement[bool]) -> Select[Any]:
    """Rooms and what `those` conversations add up to; a room without any was last active when it was made."""
    activity = (
        select(
            conversations.c.room_id,
            func.count().label("conversation_count"),
            func.sum(conversations.c.message_count).label("message_count"),
            func.max(conversations.c.last_activity_at).label("latest"),
        )
        .where(conversations.c.room_id.is_not(None), _present, those)
        .group_by(conversations.c.room_id)
        .subquery()
    )
    return select(
        rooms,
        func.coalesce(activity.c.conversation_count, 0).label("conversation_count"),
        func.coalesce(activity.c.message_count, 0).label("message_count"),
        func.coalesce(activity.c.latest, rooms.c.created_at).label("last_activity_at"),
    ).outerjoin(activity, activity.c.room_id == rooms.c.id)


def _room_documents(connection: Connection, found: Any) -> list[Document]:
    newest = (
        select(
            conversations.c.room_id,
            conversations.c.last_message,
            func.row_number()
            .over(partition_by=conversations.c.room_id, order_by=conversations.c.last_activity_at.desc())
            .label("place"),
        )
        .where(
            conversations.c.room_id.in_([row.id for row in found]), _present, conversations.c.last_message.is_not(None)
        )
        .subquery()
    )
    previews = connection.execute(select(newest.c.room_id, newest.c.last_message).where(newest.c.place == 1))
    last_messages = {row.room_id: row.last_message for row in previews}
    return [
        room_document(
            cast(Room, row),
            conversation_count=row.conversation_count,
            message_count=row.message_count,
            last_message=last_messages.get(row.id),
            last_activity_at=row.last_activity_at,
        )
        for row in found
    ]


def _part(wanted: Select[Any], key: ColumnElement[Any], tie: ColumnElement[Any], page: Page) -> Select[Any]:
    """One page, in an order that no two rows share."""
    order = (key.desc(), tie.desc()) if page.descending else (key, tie)
    return wanted.order_by(*order).limit(page.limit).offset(page.offset)


def _conversation(connection: Connection, conversation_id: UUID, principal: Principal) -> Row[Any]:
    found = connection.execute(_CONVERSATION, {"wanted": conversation_id}).one_or_none()
    return _present_and_authorised(found, "conversation", conversation_id, principal)


def _present_and_authorised(found: Row[Any] | None, kind: str, wanted: UUID, principal: Principal) -> Row[Any]:
    if found is None:
        raise NotFound(kind, wanted)
    principal.authorise(cast(Room, found), kind)
    if found.deletion_id is not None:
        raise NotFound(kind, wanted)
    return found


def _match(owner: str, query: str) -> str:
    """An FTS5 query for an owner's messages that hold every word; the last may be the beginning of one."""
    words = re.findall(r"\w+", query)
    if not words:
        return ""
    begins = "*" if len(words[-1]) > 1 else ""
    every = " ".join(f'"{word}"' for word in words)
    return f"owner:{owner.encode().hex().upper()} AND content:({every}{begins})"


def _marked(snippet: str) -> str:
    escaped = html.escape(snippet, quote=False)
    return escaped.replace(_MARKS[0], "<mark>").replace(_MARKS[1], "</mark>")
