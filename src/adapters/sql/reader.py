"""Queries straight from the write tables, for installations without a read store."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from sqlalchemy import Connection, Row, Select, and_, bindparam, func, literal_column, select
from sqlalchemy.sql.elements import ColumnElement

from adapters.sql.activity import by_code_point, present, room_documents, rooms_with_activity
from adapters.sql.branches import versions_of
from adapters.sql.engine import Database
from adapters.sql.search import statement_for
from adapters.sql.tables import conversations, messages, replies, rooms
from adapters.words import snippet
from application.documents import conversation_document, message_document, page_document, reply_document
from application.ports.persistence import Document
from application.ports.queries import MessagePage, Page
from domain.conversations import Conversation
from domain.errors import NotFound
from domain.identity import Principal
from domain.messages import Message
from domain.replies import Reply
from domain.rooms import Room

ROOM_KEYS: dict[str, ColumnElement[Any]] = {
    "last_activity_at": literal_column("last_activity_at"),
    "created_at": rooms.c.created_at,
    "name": by_code_point(rooms.c.name),
}
CONVERSATION_KEYS: dict[str, ColumnElement[Any]] = {
    "last_activity_at": conversations.c.last_activity_at,
    "created_at": conversations.c.created_at,
    "title": by_code_point(conversations.c.title),
}

_current = messages.c.superseded_by.is_(None)

# Statements of the most frequent queries, put together once.
_CONVERSATION = select(conversations).where(conversations.c.id == bindparam("wanted"))
_REPLY = select(replies).where(replies.c.id == bindparam("wanted"))
_MESSAGE = select(messages).where(messages.c.id == bindparam("wanted"))
_MESSAGE_AND_DELETION = (
    select(messages, conversations.c.deletion_id)
    .join_from(messages, conversations)
    .where(messages.c.id == bindparam("wanted"))
)


class SqlReader:
    """See application.ports.queries.Reader."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def rooms(self, principal: Principal, page: Page) -> Document:
        mine = and_(rooms.c.owner == principal.key, rooms.c.deletion_id.is_(None))
        with self._database.reading() as connection:
            total = connection.execute(select(func.count()).select_from(rooms).where(mine)).scalar_one()
            wanted = rooms_with_activity(conversations.c.owner == principal.key).where(mine)
            found = connection.execute(_part(wanted, ROOM_KEYS[page.sort_by], rooms.c.id, page)).all()
            items = room_documents(connection, found)
        return page_document(items, total=total, limit=page.limit, offset=page.offset)

    def room(self, room_id: UUID, principal: Principal) -> Document:
        with self._database.reading() as connection:
            wanted = rooms_with_activity(conversations.c.room_id == room_id).where(rooms.c.id == room_id)
            found = connection.execute(wanted).one_or_none()
            present = _present_and_authorised(found, "room", room_id, principal)
            return room_documents(connection, [present])[0]

    def room_history(self, room_id: UUID, principal: Principal, page: MessagePage) -> Document:
        with self._database.reading() as connection:
            found = connection.execute(select(rooms).where(rooms.c.id == room_id)).one_or_none()
            _present_and_authorised(found, "room", room_id, principal)
            of_room = and_(conversations.c.room_id == room_id, present)
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
        mine = and_(conversations.c.owner == principal.key, present)
        with self._database.reading() as connection:
            if room_id is not None:
                found = connection.execute(select(rooms).where(rooms.c.id == room_id)).one_or_none()
                _present_and_authorised(found, "room", room_id, principal)
                mine = and_(conversations.c.room_id == room_id, present)
            total = connection.execute(select(func.count()).select_from(conversations).where(mine)).scalar_one()
            wanted = select(conversations).where(mine)
            rows = connection.execute(_part(wanted, CONVERSATION_KEYS[page.sort_by], conversations.c.id, page)).all()
        items = [conversation_document(cast(Conversation, row)) for row in rows]
        return page_document(items, total=total, limit=page.limit, offset=page.offset)

    def conversation(self, conversation_id: UUID, principal: Principal) -> Document:
        with self._database.reading() as connection:
            return conversation_document(cast(Conversation, _conversation(connection, conversation_id, principal)))

    def conversation_called(self, external_id: str, principal: Principal) -> Document:
        mine = and_(conversations.c.owner == principal.key, conversations.c.external_id == external_id, present)
        with self._database.reading() as connection:
            found = connection.execute(select(conversations).where(mine)).one_or_none()
        if found is None:
            raise NotFound("conversation", external_id)
        return conversation_document(cast(Conversation, found))

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

    def versions(self, message_id: UUID, principal: Principal, page: Page) -> Document:
        with self._database.reading() as connection:
            found = connection.execute(_MESSAGE_AND_DELETION, {"wanted": message_id}).one_or_none()
            message = _present_and_authorised(found, "message", message_id, principal)
            parent_id = message.parent_id if message.superseded_by else None
            those = versions_of(connection, message.conversation_id, message.position, parent_id)
            total = connection.execute(select(func.count()).select_from(messages).where(those)).scalar_one()
            wanted = select(messages).where(those).order_by(messages.c.version)
            rows = connection.execute(wanted.limit(page.limit).offset(page.offset)).all()
        items = [message_document(cast(Message, row)) | {"is_current": row.superseded_by is None} for row in rows]
        return page_document(items, total=total, limit=page.limit, offset=page.offset)

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
        matching = statement_for(self._database.engine.dialect.name, principal.key, query)
        if matching is None:
            return page_document([], total=0, limit=page.limit, offset=page.offset)
        with self._database.reading() as connection:
            counting = matching.with_only_columns(func.count(), maintain_column_froms=True)
            total = connection.execute(counting).scalar_one()
            newest = matching.order_by(messages.c.number.desc())
            rows = connection.execute(newest.limit(page.limit).offset(page.offset)).all()
        items = [
            {
                "message": message_document(cast(Message, row)),
                "conversation": {"id": row.found_in, "title": row.title, "room_id": row.room_id},
                "snippet": snippet(row.content, query),
            }
            for row in rows
        ]
        return page_document(items, total=total, limit=page.limit, offset=page.offset)


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
