"""A principal's space, with its conversations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from domain.conversations import Conversation
from domain.deletions import Deletion
from domain.errors import Conflict
from domain.events import Recorder, RoomChanged, RoomDeleted, RoomOpened, RoomRestored
from domain.identity import Principal
from domain.limits import Limits


@dataclass(eq=False, kw_only=True)
class Room(Recorder):
    """A named space of one owner. A deleted room carries the id of the deletion that took it."""

    id: UUID
    owner: str
    name: str
    created_at: datetime
    updated_at: datetime
    metadata: dict[str, object] = field(default_factory=dict)
    deletion_id: UUID | None = None
    version: int = 1

    @classmethod
    def open(
        cls,
        *,
        id: UUID,
        owner: Principal,
        name: str,
        metadata: Mapping[str, object],
        rooms_so_far: int,
        limits: Limits,
        now: datetime,
    ) -> Room:
        """A new room; raises Invalid, or Conflict `room_limit_reached` when the owner has `limits.rooms` already."""
        room = cls(
            id=id,
            owner=owner.key,
            name=limits.text("name", name, limits.room_name),
            metadata=limits.metadata(metadata),
            created_at=now,
            updated_at=now,
        )
        room.require_place(rooms_so_far, limits)
        room.record(RoomOpened(subject_id=id, at=now))
        return room

    def require_place(self, rooms_so_far: int, limits: Limits) -> None:
        """Raise Conflict `room_limit_reached` when the owner, without this room, has `limits.rooms` already."""
        if rooms_so_far >= limits.rooms:
            raise Conflict(
                "room_limit_reached",
                f"You have {rooms_so_far} rooms, and {limits.rooms} is the most one can have. Delete one first.",
                limit=limits.rooms,
            )

    def change(self, *, name: str | None, metadata: Mapping[str, object] | None, limits: Limits, now: datetime) -> None:
        """Take a new name, new metadata (replaced as a whole) or both; None leaves a value as it is."""
        if name is not None:
            self.name = limits.text("name", name, limits.room_name)
        if metadata is not None:
            self.metadata = limits.metadata(metadata)
        self.updated_at = now
        self.record(RoomChanged(subject_id=self.id, at=now))

    def require_idle(self, conversations: Sequence[Conversation], since: datetime) -> None:
        """Raise Conflict `room_active` if it, or one of its conversations, has shown a sign of life since then."""
        if self.updated_at >= since or any(conversation.is_active(since) for conversation in conversations):
            raise Conflict("room_active", "Something has happened in this room in the meantime.")

    def hand_over(self, owner: str, now: datetime) -> None:
        """Become somebody else's."""
        self.owner = owner
        self.updated_at = now
        self.record(RoomChanged(subject_id=self.id, at=now))

    def delete(self, deletion: Deletion) -> None:
        """Go out of sight with `deletion`."""
        self.deletion_id = deletion.id
        self.record(RoomDeleted(subject_id=self.id, at=deletion.deleted_at))

    def restore(self, deletion: Deletion, now: datetime) -> None:
        """Come back; raises Conflict when it was not `deletion` that took this room."""
        if self.deletion_id != deletion.id:
            raise Conflict("not_deleted", "This room is not deleted.")
        self.deletion_id = None
        self.updated_at = now
        self.record(RoomRestored(subject_id=self.id, at=now))
