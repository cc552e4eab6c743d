"""The tree that the messages of a conversation are, in the words of SQL.

An older process that runs beside this one writes messages without `parent_id`, and does not know of `head_id`: what is
current follows what is current at the position before it, whatever it says, and so does what names no parent.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import CTE, Connection, Update, and_, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from adapters.sql.tables import messages

_current = messages.c.superseded_by.is_(None)

_STEP = (messages.c.id, messages.c.conversation_id, messages.c.parent_id, messages.c.position)


def current_from(conversation_id: UUID, position: int) -> ColumnElement[bool]:
    """The current branch from a position on."""
    return and_(messages.c.conversation_id == conversation_id, messages.c.position >= position, _current)


def linked_from(conversation_id: UUID, position: int) -> Update:
    """Have every message from a position on name its parent."""
    before = messages.alias()
    parent = (
        select(before.c.id)
        .where(
            before.c.conversation_id == messages.c.conversation_id,
            before.c.position == messages.c.position - 1,
            before.c.superseded_by.is_(None),
        )
        .scalar_subquery()
    )
    astray = or_(messages.c.parent_id.is_(None), and_(_current, messages.c.parent_id != parent))
    of_these = messages.c.conversation_id == conversation_id
    return update(messages).where(of_these, messages.c.position >= max(position, 2), astray).values(parent_id=parent)


def versions_of(
    connection: Connection, conversation_id: UUID, position: int, parent_id: UUID | None
) -> ColumnElement[bool]:
    """What follows a message; without `parent_id`, the current message at the position before."""
    current = connection.execute(
        select(messages.c.id).where(
            messages.c.conversation_id == conversation_id, messages.c.position == position - 1, _current
        )
    ).scalar_one_or_none()
    follows: ColumnElement[bool] = messages.c.parent_id == parent_id
    if parent_id is None or parent_id == current:
        follows = or_(messages.c.parent_id == current, messages.c.parent_id.is_(None), _current)
    return and_(messages.c.conversation_id == conversation_id, messages.c.position == position, follows)


def path_to(message_id: UUID) -> CTE:
    """A message and those before it, back to the current branch, of which it has none."""
    before = messages.alias()
    path = select(*_STEP).where(messages.c.id == message_id, messages.c.superseded_by.is_not(None)).cte(recursive=True)
    return path.union_all(
        select(*(before.c[column.name] for column in _STEP)).join(
            path,
            and_(
                before.c.id == path.c.parent_id,
                before.c.position == path.c.position - 1,
                before.c.superseded_by.is_not(None),
            ),
        )
    )


def following(message_id: UUID) -> CTE:
    """A message and all that comes after it, on any branch."""
    after = messages.alias()
    tree = select(*_STEP).where(messages.c.id == message_id).cte(recursive=True)
    return tree.union_all(
        select(*(after.c[column.name] for column in _STEP)).join(
            tree,
            and_(
                after.c.conversation_id == tree.c.conversation_id,
                after.c.position == tree.c.position + 1,
                after.c.parent_id == tree.c.id,
            ),
        )
    )
