"""One transaction over the write tables, and the repositories in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Select, bindparam, func, insert, select
from sqlalchemy.orm import Session
from sqlalchemy.orm.util import identity_key

from adapters.sql.engine import Database, translated
from adapters.sql.snapshots import conversation_snapshot, message_snapshot
from adapters.sql.tables import conversations, map_entities, messages, outbox, replies, rooms, visitors
from application.ports.persistence import RecordedEvent, Snapshot
from domain.conversations import Conversation, Message
from domain.deletions import Deletion
from domain.errors import NotFound
from domain.events import Event, MessagePosted, MessageSuperseded, Recorder
from domain.identity import Principal
from domain.replies import LIVE, Reply
from domain.rooms import Room

_Deletable = TypeVar("_Deletable", Room, Conversation)
_Owned = TypeVar("_Owned", Room, Conversation, Reply)
_Entity = TypeVar("_Entity", bound=Recorder)


map_entities()

# Statements that every question makes are put together once.
_COUNT_LIVE = select(func.count()).where(replies.c.owner == bindparam("of"), replies.c.status.in_(LIVE))
_RECORD = insert(outbox).returning(outbox.c.number, sort_by_parameter_order=True)


# Entities are looked up by statements that are put together once, which Session.get would do each time.
_UNLOCKED: dict[Any, Any] = {
    kind: select(kind).where(table.c.id == bindparam("key"))
    for kind, table in ((Room, rooms), (Conversation, conversations), (Reply, replies))
}
_LOCKED: dict[Any, Any] = {kind: look_up.with_for_update() for kind, look_up in _UNLOCKED.items()}
_FRESH = {"populate_existing": True}
_ANY: dict[str, bool] = {}


class _Kept:
    """A session that remembers whom it met, so that no recorded event is lost with its entity."""

    def __init__(self, database: Database, connection: Connection) -> None:
        self.database = database
        self.connection = connection
        self.session = Session(bind=connection, expire_on_commit=False, autoflush=False)
        self.met: dict[int, Recorder] = {}
        self.messages: dict[UUID, Message] = {}

    def add(self, entity: Recorder | Message | Deletion) -> None:
        self.session.add(entity)
        if isinstance(entity, Recorder):
            self.met[id(entity)] = entity
        elif isinstance(entity, Message):
            self.messages[entity.id] = entity

    def get(self, kind: type[_Entity], key: UUID, *, lock: bool = True) -> _Entity | None:
        look_up, options = (_LOCKED[kind], _FRESH) if lock else (_UNLOCKED[kind], _ANY)
        entity: _Entity | None = self.session.scalars(look_up, {"key": key}, execution_options=options).one_or_none()
        if entity is not None:
            self.met[id(entity)] = entity
        return entity

    def take_turns(self, subject: str) -> None:
        """Until the end of the transaction, let no other one that names the same subject pass this point."""
        self.database.take_turns(self.connection, subject)

    def all(self, wanted: Select[_Entity]) -> Sequence[_Entity]:
        entities = self.session.scalars(wanted).all()
        self.met.update((id(entity), entity) for entity in entities)
        return entities


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

    def __init__(
        self, database: Database, committed: Callable[[Sequence[RecordedEvent]], None] = lambda events: None
    ) -> None:
        self._database = database
        self._committed = committed

    def __enter__(self) -> Self:
        self._transaction: AbstractContextManager[Connection] = self._database.writing()
        self._connection = self._transaction.__enter__()
        self._kept = _Kept(self._database, self._connection)
        self._recorded: list[RecordedEvent] = []
        self.rooms = SqlRooms(self._kept)
        self.conversations = SqlConversations(self._kept)
        self.messages = SqlMessages(self._kept)
        self.replies = SqlReplies(self._kept)
        self.deletions = SqlDeletions(self._kept)
        self.visitors = SqlVisitors(self._kept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kept.session.close()
        self._transaction.__exit__(kind, error, trace)
        if self._recorded:  # Now that the connection is another's again: deliveries may want one.
            self._committed(self._recorded)

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

    def _known_of(self, event: Event) -> Sequence[Snapshot]:
        """Those entities of this transaction that an event of a conversation is about."""
        conversation = self._kept.session.identity_map.get(identity_key(Conversation, event.subject_id))
        if conversation is None:
            return ()
        known = [conversation_snapshot(conversation)]
        if isinstance(event, MessagePosted | MessageSuperseded) and event.message_id in self._kept.messages:
            message = self._kept.messages[event.message_id]
            known.append(message_snapshot(message, version=conversation.version, room_id=conversation.room_id))
        return known


class SqlRooms:
    """See application.ports.persistence.Rooms."""

    def __init__(self, kept: _Kept) -> None:
        self._kept = kept

    def add(self, room: Room) -> None:
        self._kept.add(room)

    def get(self, room_id: UUID, *, for_: Principal, deleted: bool | None = False) -> Room:
        room = self._kept.get(Room, room_id)
        return _authorised(room, "room", room_id, for_, deleted)

    def count(self, owner: str) -> int:
        self._kept.take_turns(f"rooms of {owner}")
        counting = select(func.count()).where(rooms.c.owner == owner, rooms.c.deletion_id.is_(None))
        return self._kept.session.execute(counting).scalar_one()


class SqlConversations:
    """See application.ports.persistence.Conversations."""

    def __init__(self, kept: _Kept) -> None:
        self._kept = kept

    def add(self, conversation: Conversation) -> None:
        self._kept.add(conversation)

    def get(self, conversation_id: UUID, *, for_: Principal, deleted: bool | None = False) -> Conversation:
        conversation = self._kept.get(Conversation, conversation_id)
        return _authorised(conversation, "conversation", conversation_id, for_, deleted)

    def in_room(self, room_id: UUID) -> Sequence[Conversation]:
        wanted = select(Conversation).where(conversations.c.room_id == room_id, conversations.c.deletion_id.is_(None))
        return self._kept.all(wanted.with_for_update())

    def taken_by(self, deletion_id: UUID) -> Sequence[Conversation]:
        wanted = select(Conversation).where(conversations.c.deletion_id == deletion_id)
        return self._kept.all(wanted.with_for_update())


class SqlMessages:
    """See application.ports.persistence.Messages."""

    def __init__(self, kept: _Kept) -> None:
        self._kept = kept

    def add(self, message: Message) -> None:
        self._kept.add(message)

    def get(self, message_id: UUID) -> Message:
        message = self._kept.session.get(Message, message_id)
        if message is None:
            raise NotFound("message", message_id)
        self._kept.messages[message_id] = message
        return message

    def versions(self, conversation_id: UUID, position: int) -> int:
        counting = select(func.count()).where(
            messages.c.conversation_id == conversation_id, messages.c.position == position
        )
        return self._kept.session.execute(counting).scalar_one()

    def superseded_by(self, reply_id: UUID) -> Message | None:
        wanted = select(Message).where(messages.c.superseded_by == reply_id)
        message = self._kept.session.scalars(wanted).one_or_none()
        if message is not None:
            self._kept.messages[message.id] = message
        return message

    def window(self, conversation_id: UUID, *, before: int, limit: int) -> Sequence[Message]:
        wanted = (
            select(Message)
            .where(
                messages.c.conversation_id == conversation_id,
                messages.c.position < before,
                messages.c.superseded_by.is_(None),
            )
            .order_by(messages.c.position.desc())
            .limit(limit)
        )
        return self._kept.session.scalars(wanted).all()[::-1]


class SqlReplies:
    """See application.ports.persistence.Replies."""

    def __init__(self, kept: _Kept) -> None:
        self._kept = kept

    def add(self, reply: Reply) -> None:
        self._kept.add(reply)

    def get(self, reply_id: UUID, *, for_: Principal) -> Reply:
        reply = self._kept.get(Reply, reply_id)
        return _owned(reply, "reply", reply_id, for_)

    def peek(self, reply_id: UUID, *, for_: Principal) -> Reply:
        return _owned(self._kept.get(Reply, reply_id, lock=False), "reply", reply_id, for_)

    def count_live(self, owner: str) -> int:
        self._kept.take_turns(f"replies of {owner}")
        return self._kept.session.execute(_COUNT_LIVE, {"of": owner}).scalar_one()


class SqlDeletions:
    """See application.ports.persistence.Deletions."""

    def __init__(self, kept: _Kept) -> None:
        self._kept = kept

    def add(self, deletion: Deletion) -> None:
        self._kept.add(deletion)

    def get(self, deletion_id: UUID) -> Deletion:
        deletion = self._kept.session.get(Deletion, deletion_id, with_for_update=True)
        if deletion is None:
            raise NotFound("deletion", deletion_id)
        return deletion


class SqlVisitors:
    """See application.ports.persistence.Visitors."""

    def __init__(self, kept: _Kept) -> None:
        self._kept = kept

    def add(self, visitor_id: UUID, seen_at: datetime) -> None:
        self._kept.session.execute(insert(visitors).values(id=visitor_id, created_at=seen_at))


def _authorised(
    thing: _Deletable | None, kind: str, wanted: UUID, principal: Principal, deleted: bool | None
) -> _Deletable:
    owned = _owned(thing, kind, wanted, principal)
    if deleted is not None and (owned.deletion_id is not None) is not deleted:
        raise NotFound(kind, wanted)
    return owned


def _owned(thing: _Owned | None, kind: str, wanted: UUID, principal: Principal) -> _Owned:
    if thing is None:
        raise NotFound(kind, wanted)
    principal.authorise(thing, kind)
    return thing


def _row(event: Event) -> dict[str, Any]:
    values = {field.name: getattr(event, field.name) for field in fields(event)}
    return {
        "name": type(event).__name__,
        "subject_id": event.subject_id,
        "payload": values,
        "recorded_at": datetime.now(UTC),
    }
