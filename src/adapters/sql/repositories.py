"""The repositories of one transaction over the write tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Select, bindparam, func, insert, select, update
from sqlalchemy.orm import Session as OrmSession
from sqlalchemy.sql.elements import ColumnElement

from adapters.sql.branches import current_from, following, linked_from, path_to, versions_of
from adapters.sql.engine import Database
from adapters.sql.tables import (
    conversations,
    idempotency_keys,
    map_entities,
    messages,
    replies,
    rooms,
    sessions,
    visitors,
)
from application.ports.persistence import Document, Once
from domain.conversations import Conversation
from domain.deletions import Deletion
from domain.errors import Conflict, NotFound
from domain.events import Recorder
from domain.identity import Owned, Principal
from domain.messages import Fork, Message
from domain.replies import LIVE, Reply
from domain.rooms import Room
from domain.sessions import Session


class Deletable(Owned, Protocol):
    """What belongs to one principal and can be deleted softly."""

    @property
    def deletion_id(self) -> UUID | None:
        """The deletion that took it, if one did."""
        ...


_Deletable = TypeVar("_Deletable", bound=Deletable)
_Owned = TypeVar("_Owned", bound=Owned)
_Entity = TypeVar("_Entity", bound=Recorder)

map_entities()

# Statements that every question makes are put together once.
_COUNT_LIVE = select(func.count()).where(replies.c.owner == bindparam("of"), replies.c.status.in_(LIVE))


_FRESH = {"populate_existing": True}
_ANY: dict[str, bool] = {}


@cache
def _look_up(kind: Any, *, lock: bool) -> Select[Any]:
    """The statement that finds an entity, put together once, which Session.get would do each time."""
    wanted = select(kind).where(kind.id == bindparam("key"))
    return wanted.with_for_update() if lock else wanted


class Kept:
    """A session that remembers whom it met, so that no recorded event is lost with its entity."""

    def __init__(self, database: Database, connection: Connection) -> None:
        self.database = database
        self.connection = connection
        self.session = OrmSession(bind=connection, expire_on_commit=False, autoflush=False)
        self.met: dict[int, Recorder] = {}
        self.messages: dict[UUID, Message] = {}

    def add(self, entity: Recorder | Message | Deletion) -> None:
        self.session.add(entity)
        if isinstance(entity, Recorder):
            self.met[id(entity)] = entity
        elif isinstance(entity, Message):
            self.messages[entity.id] = entity

    def get(self, kind: type[_Entity], key: UUID, *, lock: bool = True) -> _Entity | None:
        looking: Select[Any] = _look_up(kind, lock=lock)  # type: ignore[arg-type] # a class can be hashed
        options = _FRESH if lock else _ANY
        entity: _Entity | None = self.session.scalars(looking, {"key": key}, execution_options=options).one_or_none()
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


class SqlRooms:
    """See application.ports.persistence.Rooms."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def add(self, room: Room) -> None:
        self._kept.add(room)

    def get(self, room_id: UUID, *, for_: Principal, deleted: bool | None = False) -> Room:
        room = self._kept.get(Room, room_id)
        return authorised(room, "room", room_id, for_, deleted)

    def of(self, owner: str) -> Sequence[Room]:
        return self._kept.all(select(Room).where(rooms.c.owner == owner).order_by(rooms.c.id).with_for_update())

    def count(self, owner: str) -> int:
        self._kept.take_turns(f"rooms of {owner}")
        counting = select(func.count()).where(rooms.c.owner == owner, rooms.c.deletion_id.is_(None))
        return self._kept.session.execute(counting).scalar_one()


class SqlConversations:
    """See application.ports.persistence.Conversations."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def add(self, conversation: Conversation) -> None:
        self._kept.add(conversation)

    def get(self, conversation_id: UUID, *, for_: Principal, deleted: bool | None = False) -> Conversation:
        conversation = self._kept.get(Conversation, conversation_id)
        return authorised(conversation, "conversation", conversation_id, for_, deleted)

    def room_of(self, conversation_id: UUID) -> UUID | None:
        wanted = select(conversations.c.room_id).where(conversations.c.id == conversation_id)
        return self._kept.session.execute(wanted).scalar_one_or_none()

    def in_room(self, room_id: UUID) -> Sequence[Conversation]:
        wanted = select(Conversation).where(conversations.c.room_id == room_id, conversations.c.deletion_id.is_(None))
        return self._kept.all(wanted.with_for_update())

    def latest_in(self, room_id: UUID) -> UUID | None:
        wanted = (
            select(conversations.c.id)
            .where(conversations.c.room_id == room_id, conversations.c.deletion_id.is_(None))
            .order_by(conversations.c.last_activity_at.desc())
            .limit(1)
        )
        return self._kept.session.execute(wanted).scalar_one_or_none()

    def of(self, owner: str) -> Sequence[Conversation]:
        wanted = select(Conversation).where(conversations.c.owner == owner).order_by(conversations.c.id)
        return self._kept.all(wanted.with_for_update())

    def by_external_id(self, owner: str, external_id: str) -> UUID | None:
        self._kept.take_turns(f"conversation {external_id} of {owner}")
        wanted = select(conversations.c.id).where(
            conversations.c.owner == owner, conversations.c.external_id == external_id
        )
        return self._kept.session.execute(wanted).scalar_one_or_none()

    def taken_by(self, deletion_id: UUID) -> Sequence[Conversation]:
        wanted = select(Conversation).where(conversations.c.deletion_id == deletion_id)
        return self._kept.all(wanted.with_for_update())


class SqlMessages:
    """See application.ports.persistence.Messages."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def add(self, message: Message) -> None:
        self._kept.add(message)

    def get(self, message_id: UUID) -> Message:
        message = self._kept.session.get(Message, message_id)
        if message is None:
            raise NotFound("message", message_id)
        self._kept.messages[message_id] = message
        return message

    def conversation_of(self, message_id: UUID) -> UUID:
        wanted = select(messages.c.conversation_id).where(messages.c.id == message_id)
        found: UUID | None = self._kept.session.execute(wanted).scalar_one_or_none()
        if found is None:
            raise NotFound("message", message_id)
        return found

    def count_at(self, conversation_id: UUID, position: int) -> int:
        counting = select(func.count()).where(
            messages.c.conversation_id == conversation_id, messages.c.position == position
        )
        return self._kept.session.execute(counting).scalar_one()

    def versions(self, conversation_id: UUID, position: int, parent_id: UUID | None) -> Sequence[Message]:
        those = versions_of(self._kept.connection, conversation_id, position, parent_id)
        found = self._those(those, messages.c.version)
        self._kept.messages.update((message.id, message) for message in found)
        return found

    def fork(self, message: Message) -> Fork:
        path = path_to(message.id)
        begins = self._kept.session.execute(select(func.min(path.c.position))).scalar_one()
        position: int = begins if begins is not None else message.position
        self._kept.session.execute(linked_from(message.conversation_id, position))
        return Fork(
            self._those(messages.c.id.in_(select(path.c.id)), messages.c.position) if begins is not None else (),
            self._those(current_from(message.conversation_id, position), messages.c.position),
        )

    def following(self, message: Message) -> Sequence[Message]:
        after = following(message.id)
        return self._those(messages.c.id.in_(select(after.c.id).where(after.c.id != message.id)), messages.c.position)

    def window(self, conversation_id: UUID, *, start: int, before: int, limit: int) -> Sequence[Message]:
        wanted = (
            select(Message)
            .where(
                messages.c.conversation_id == conversation_id,
                messages.c.position >= start,
                messages.c.position < before,
                messages.c.superseded_by.is_(None),
            )
            .order_by(messages.c.position.desc())
            .limit(limit)
        )
        return self._kept.session.scalars(wanted).all()[::-1]

    def _those(self, wanted: ColumnElement[bool], order: ColumnElement[Any]) -> Sequence[Message]:
        """As they are in the database now."""
        looking = select(Message).where(wanted).order_by(order).execution_options(**_FRESH)
        return self._kept.session.scalars(looking).all()


class SqlReplies:
    """See application.ports.persistence.Replies."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def add(self, reply: Reply) -> None:
        self._kept.add(reply)

    def get(self, reply_id: UUID, *, for_: Principal) -> Reply:
        reply = self._kept.get(Reply, reply_id)
        return owned(reply, "reply", reply_id, for_)

    def peek(self, reply_id: UUID, *, for_: Principal) -> Reply:
        return owned(self._kept.get(Reply, reply_id, lock=False), "reply", reply_id, for_)

    def count_live(self, owner: str) -> int:
        self._kept.take_turns(f"replies of {owner}")
        return self._kept.session.execute(_COUNT_LIVE, {"of": owner}).scalar_one()


class SqlDeletions:
    """See application.ports.persistence.Deletions."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def add(self, deletion: Deletion) -> None:
        self._kept.add(deletion)

    def get(self, deletion_id: UUID) -> Deletion:
        deletion = self._kept.session.get(Deletion, deletion_id)
        if deletion is None:
            raise NotFound("deletion", deletion_id)
        return deletion


class SqlVisitors:
    """See application.ports.persistence.Visitors."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def add(self, visitor_id: UUID, seen_at: datetime) -> None:
        self._kept.session.execute(insert(visitors).values(id=visitor_id, created_at=seen_at))

    def claim(self, visitor_id: UUID, *, by: str, now: datetime) -> None:
        claiming = update(visitors).where(visitors.c.id == visitor_id)
        self._kept.session.execute(claiming.values(claimed_by=by, claimed_at=now))


class SqlSessions:
    """See application.ports.persistence.Sessions."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def add(self, session: Session) -> None:
        self._kept.add(session)

    def get(self, session_id: UUID, *, for_: Principal) -> Session:
        return owned(self._kept.get(Session, session_id), "session", session_id, for_)

    def peek(self, session_id: UUID) -> Session | None:
        return self._kept.get(Session, session_id, lock=False)

    def hand_over(self, owner: str, to: str) -> None:
        self._kept.session.execute(update(sessions).where(sessions.c.owner == owner).values(owner=to))

    def unclosed(self, owner: str) -> Sequence[Session]:
        self._kept.take_turns(f"sessions of {owner}")
        wanted = select(Session).where(sessions.c.owner == owner, sessions.c.closed_at.is_(None))
        return self._kept.all(wanted.order_by(sessions.c.active_at, sessions.c.id).with_for_update())

    def latest(self, owner: str, binding: str) -> Session | None:
        wanted = select(Session).where(sessions.c.owner == owner, sessions.c.binding == binding)
        found = self._kept.all(wanted.order_by(sessions.c.created_at.desc(), sessions.c.id.desc()).limit(1))
        return found[0] if found else None

    def expired(self, at: datetime, *, limit: int) -> Sequence[Session]:
        wanted = select(Session).where(sessions.c.closed_at.is_(None), sessions.c.expires_at <= at)
        return self._kept.all(wanted.order_by(sessions.c.expires_at).limit(limit).with_for_update(skip_locked=True))


class SqlOnceAnswered:
    """See application.ports.persistence.OnceAnswered."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def keep(self, once: Once | None, answer: Document) -> None:
        if once is None:
            return
        mine = update(idempotency_keys).where(
            idempotency_keys.c.owner == once.owner,
            idempotency_keys.c.key == once.key,
            idempotency_keys.c.attempt == once.attempt,
        )
        kept = self._kept.session.execute(mine.values(answer=answer).returning(idempotency_keys.c.key))
        if kept.first() is None:
            raise Conflict("idempotency_key_in_use", "Another request with this Idempotency-Key has taken over.")


def authorised(
    thing: _Deletable | None, kind: str, wanted: UUID, principal: Principal, deleted: bool | None
) -> _Deletable:
    """The thing that was found, deleted or not as asked (None: either). Raises NotFound or Forbidden."""
    found = owned(thing, kind, wanted, principal)
    if deleted is not None and (found.deletion_id is not None) is not deleted:
        raise NotFound(kind, wanted)
    return found


def owned(thing: _Owned | None, kind: str, wanted: UUID, principal: Principal) -> _Owned:
    """The thing that was found. Raises NotFound, or Forbidden for somebody else's."""
    if thing is None:
        raise NotFound(kind, wanted)
    principal.authorise(thing, kind)
    return thing
