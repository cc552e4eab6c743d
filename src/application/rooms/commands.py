"""Open, change, delete and restore rooms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from application.documents import room_document
from application.ports.persistence import Once, StartWork
from application.ports.runtime import NewId, Now, Signals
from domain.deletions import Deletion, Subject
from domain.errors import Conflict
from domain.identity import Principal
from domain.limits import Limits
from domain.rooms import Room


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRoom:
    """A principal wants a room."""

    principal: Principal
    name: str
    metadata: Mapping[str, object] = field(default_factory=dict)
    once: Once | None = None


@dataclass(frozen=True, slots=True)
class OpenRoomHandler:
    """Opens the room; raises Invalid or Conflict `room_limit_reached`."""

    start_work: StartWork
    new_id: NewId
    now: Now
    limits: Limits

    def __call__(self, command: OpenRoom) -> Room:
        with self.start_work() as work:
            room = Room.open(
                id=self.new_id(),
                owner=command.principal,
                name=command.name,
                metadata=command.metadata,
                rooms_so_far=work.rooms.count(command.principal.key),
                limits=self.limits,
                now=self.now(),
            )
            work.rooms.add(room)
            work.answers.keep(command.once, room_document(room))
            work.commit()
        return room


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRoom:
    """A room shall have another name or other metadata; None leaves a value as it is."""

    principal: Principal
    room_id: UUID
    name: str | None = None
    metadata: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class ChangeRoomHandler:
    """Changes the room; raises NotFound, Forbidden or Invalid."""

    start_work: StartWork
    now: Now
    limits: Limits

    def __call__(self, command: ChangeRoom) -> Room:
        with self.start_work() as work:
            room = work.rooms.get(command.room_id, for_=command.principal)
            room.change(name=command.name, metadata=command.metadata, limits=self.limits, now=self.now())
            work.commit()
        return room


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRoom:
    """A room and all its conversations shall go, until restored; with `idle_since`, only if none was active since."""

    principal: Principal
    room_id: UUID
    idle_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeleteRoomHandler:
    """Deletes softly in one act and stops the replies in the making.

    Raises NotFound, Forbidden, or Conflict `room_active`.
    """

    start_work: StartWork
    signals: Signals
    new_id: NewId
    now: Now

    def __call__(self, command: DeleteRoom) -> Deletion:
        with self.start_work() as work:
            room = work.rooms.get(command.room_id, for_=command.principal)
            conversations = work.conversations.in_room(room.id)
            if command.idle_since is not None:
                room.require_idle(conversations, command.idle_since)
            deletion = Deletion(
                id=self.new_id(),
                owner=room.owner,
                subject=Subject.ROOM,
                subject_id=room.id,
                conversation_count=len(conversations),
                message_count=sum(conversation.final_message_count for conversation in conversations),
                deleted_at=self.now(),
            )
            work.deletions.add(deletion)
            room.delete(deletion)
            live = [conversation.live_reply_id for conversation in conversations if conversation.live_reply_id]
            for conversation in conversations:
                conversation.delete(deletion)
            for reply_id in live:
                work.replies.get(reply_id, for_=command.principal).request_cancel(deletion.deleted_at)
            work.commit()
        for reply_id in live:
            self.signals.announce(reply_id)
        return deletion


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRoom:
    """A deleted room shall come back with the conversations that went with it."""

    principal: Principal
    room_id: UUID


@dataclass(frozen=True, slots=True)
class RestoreRoomHandler:
    """Undoes the room's deletion; raises NotFound, Forbidden, Conflict `not_deleted` or `room_limit_reached`."""

    start_work: StartWork
    now: Now
    limits: Limits

    def __call__(self, command: RestoreRoom) -> Room:
        with self.start_work() as work:
            room = work.rooms.get(command.room_id, for_=command.principal, deleted=None)
            if room.deletion_id is None:
                raise Conflict("not_deleted", "This room is not deleted.")
            room.require_place(work.rooms.count(room.owner), self.limits)
            deletion = work.deletions.get(room.deletion_id)
            deletion.restore(self.now())
            room.restore(deletion, self.now())
            for conversation in work.conversations.taken_by(deletion.id):
                conversation.restore(deletion, self.now())
            work.commit()
        return room
