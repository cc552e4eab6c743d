"""What the read models are made from: the committed state in their shape."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, cast
from uuid import UUID

import orjson
from sqlalchemy import Connection, Integer, Select, func, select
from sqlalchemy import cast as as_number

from adapters.sql.activity import room_documents, rooms_with_activity
from adapters.sql.engine import Database
from adapters.sql.tables import conversations, deletions, messages, rooms
from application.documents import conversation_document, message_document
from application.ports.persistence import Document
from application.ports.projections import Model, Snapshot
from domain.conversations import Conversation
from domain.messages import Message

_IDS = {Model.ROOMS: rooms.c.id, Model.CONVERSATIONS: conversations.c.id, Model.MESSAGES: messages.c.id}


class SqlSnapshots:
    """See application.ports.projections.Snapshots.

    A room's version is its own and those of all its conversations together, the deleted included: every
    change of what they add up to raises it. A message changes only with its conversation, and has its version.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, model: Model, ids: Collection[UUID]) -> Sequence[Snapshot]:
        # Rooms are put together from two statements, which have to see the same.
        looking = self._database.reading if model is Model.ROOMS else self._database.glancing
        with looking() as connection:
            return _MADE[model](connection, list(ids)) if ids else ()

    def after(self, model: Model, after: UUID | None, *, limit: int) -> Sequence[Snapshot]:
        key = _IDS[model]
        wanted = select(key).order_by(key).limit(limit)
        if after is not None:
            wanted = wanted.where(key > after)
        with self._database.reading() as connection:
            ids = list(connection.execute(wanted).scalars())
            made = {snapshot.id: snapshot for snapshot in _MADE[model](connection, ids)} if ids else {}
        return [made[thing] for thing in ids]

    def count(self, model: Model) -> int:
        with self._database.reading() as connection:
            return connection.execute(select(func.count(_IDS[model]))).scalar_one()

    def messages_from(self, conversation_id: UUID, position: int) -> Sequence[UUID]:
        wanted = select(messages.c.id).where(
            messages.c.conversation_id == conversation_id, messages.c.position >= position
        )
        with self._database.glancing() as connection:
            return connection.execute(wanted).scalars().all()


def _rooms(connection: Connection, ids: list[UUID]) -> list[Snapshot]:
    versions = (
        select(conversations.c.room_id, as_number(func.sum(conversations.c.version), Integer).label("sum"))
        .where(conversations.c.room_id.in_(ids))
        .group_by(conversations.c.room_id)
        .subquery()
    )
    wanted = (
        rooms_with_activity(conversations.c.room_id.in_(ids))
        .add_columns(deletions.c.deleted_at, func.coalesce(versions.c.sum, 0).label("conversation_versions"))
        .outerjoin(deletions, deletions.c.id == rooms.c.deletion_id)
        .outerjoin(versions, versions.c.room_id == rooms.c.id)
        .where(rooms.c.id.in_(ids))
    )
    found = connection.execute(wanted).all()
    return [
        Snapshot(
            model=Model.ROOMS,
            id=row.id,
            version=row.version + row.conversation_versions,
            owner=row.owner,
            hidden=row.deletion_id is not None,
            document=_json(document),
            keys=_json(
                {
                    "name_key": row.name.lower(),
                    "created_at": row.created_at,
                    "last_activity_at": row.last_activity_at,
                    "deleted_at": row.deleted_at,
                }
            ),
        )
        for row, document in zip(found, room_documents(connection, found), strict=True)
    ]


def conversation_snapshot(conversation: Conversation) -> Snapshot:
    """Of an entity or of a row, as it was committed."""
    return Snapshot(
        model=Model.CONVERSATIONS,
        id=conversation.id,
        version=conversation.version,
        owner=conversation.owner,
        hidden=conversation.deletion_id is not None,
        document=_json(conversation_document(conversation)),
        keys=_json(
            {
                "room_id": conversation.room_id,
                "external_id": conversation.external_id,
                "title_key": conversation.title.lower(),
                "created_at": conversation.created_at,
                "last_activity_at": conversation.last_activity_at,
                "message_count": conversation.message_count,
            }
        ),
    )


def message_snapshot(message: Message, *, version: int, room_id: UUID | None) -> Snapshot:
    """Of an entity or of a row, as it was committed with its conversation's `version`."""
    return Snapshot(
        model=Model.MESSAGES,
        id=message.id,
        version=version,
        owner=message.owner,
        hidden=message.superseded_by is not None,
        document=_json(message_document(message)),
        keys=_json(
            {
                "conversation_id": message.conversation_id,
                "room_id": room_id,
                "position": message.position,
                "created_at": message.created_at,
            }
        ),
    )


def _conversations(connection: Connection, ids: list[UUID]) -> list[Snapshot]:
    found = connection.execute(select(conversations).where(conversations.c.id.in_(ids)))
    return [conversation_snapshot(cast(Conversation, row)) for row in found]


def _messages(connection: Connection, ids: list[UUID]) -> list[Snapshot]:
    wanted: Select[Any] = select(
        messages, conversations.c.version.label("conversation_version"), conversations.c.room_id
    ).join_from(messages, conversations)
    return [
        message_snapshot(cast(Message, row), version=row.conversation_version, room_id=row.room_id)
        for row in connection.execute(wanted.where(messages.c.id.in_(ids)))
    ]


def _json(values: Document) -> Document:
    """In JSON values only: ids and times as the API writes them."""
    plain: Document = orjson.loads(orjson.dumps(values))
    return plain


_MADE: dict[Model, Callable[[Connection, list[UUID]], list[Snapshot]]] = {
    Model.ROOMS: _rooms,
    Model.CONVERSATIONS: _conversations,
    Model.MESSAGES: _messages,
}
