"""What the conversations of a room add up to: how many there are, what was said last, and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import Connection, Integer, Row, Select, and_, func, select
from sqlalchemy import cast as as_number
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import GenericFunction

from adapters.sql.tables import conversations, rooms
from application.documents import room_document
from application.ports.persistence import Document
from domain.rooms import Room

present = conversations.c.deletion_id.is_(None)


class by_code_point(GenericFunction[str]):  # noqa: N801 # a function of SQL
    """A text in small letters, in an order that does not depend on where the database was made."""

    inherit_cache = True


@compiles(by_code_point)
def _(element: by_code_point, compiler: SQLCompiler, **options: Any) -> str:
    return f"lower({compiler.process(element.clauses, **options)})"


@compiles(by_code_point, "postgresql")
def _(element: by_code_point, compiler: SQLCompiler, **options: Any) -> str:
    return f'lower({compiler.process(element.clauses, **options)}) COLLATE "C"'


def rooms_with_activity(those: ColumnElement[bool], *, gone: bool = False) -> Select[Any]:
    """Rooms and what `those` conversations add up to; a room without any was last active when it was made.

    Of rooms that are `gone`, that is deleted, the conversations that went along count.
    """
    taken_by = [conversations.c.deletion_id] if gone else []
    activity = (
        select(
            conversations.c.room_id,
            *taken_by,
            func.count().label("conversation_count"),
            as_number(func.sum(conversations.c.message_count), Integer).label("message_count"),
            func.max(conversations.c.last_activity_at).label("latest"),
        )
        .where(conversations.c.room_id.is_not(None), ~present if gone else present, those)
        .group_by(conversations.c.room_id, *taken_by)
        .subquery()
    )
    inside = activity.c.room_id == rooms.c.id
    if gone:
        inside = and_(inside, activity.c.deletion_id == rooms.c.deletion_id)
    return select(
        rooms,
        func.coalesce(activity.c.conversation_count, 0).label("conversation_count"),
        func.coalesce(activity.c.message_count, 0).label("message_count"),
        func.coalesce(activity.c.latest, rooms.c.created_at).label("last_activity_at"),
    ).outerjoin(activity, inside)


def room_documents(connection: Connection, found: Sequence[Row[Any]], *, gone: bool = False) -> list[Document]:
    """The documents of rows of `rooms_with_activity`, in their order."""
    those = conversations.c.deletion_id.in_([row.deletion_id for row in found]) if gone else present
    newest = (
        select(
            conversations.c.room_id,
            conversations.c.last_message,
            func.row_number()
            .over(partition_by=conversations.c.room_id, order_by=conversations.c.last_activity_at.desc())
            .label("place"),
        )
        .where(conversations.c.room_id.in_([row.id for row in found]), those, conversations.c.last_message.is_not(None))
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
