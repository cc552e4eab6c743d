"""What has happened: recorded by the entities, written to the outbox in the same transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that is now so. `subject_id` is the entity that recorded it."""

    subject_id: UUID
    at: datetime


class RoomOpened(Event):
    """A principal has a new room."""


class RoomChanged(Event):
    """A room has a new name or new metadata."""


class RoomDeleted(Event):
    """A room and its conversations are out of sight."""


class RoomRestored(Event):
    """A room and the conversations that went with it are back."""


class ConversationStarted(Event):
    """A principal has a new conversation."""


class ConversationChanged(Event):
    """A conversation has a new title, agent or metadata."""


class ConversationDeleted(Event):
    """A conversation is out of sight, deleted by itself or with its room."""


class ConversationRestored(Event):
    """A conversation is back, by itself or with its room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePosted(Event):
    """A conversation holds a new message."""

    message_id: UUID
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSuperseded(Event):
    """An answer left the history for another version of itself."""

    message_id: UUID
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageChanged(Event):
    """A message has other feedback, or more versions beside it."""

    message_id: UUID
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyQueued(Event):
    """A reply waits for a worker."""

    conversation_id: UUID
    session_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyEnded(Event):
    """A reply reached its final status; its message is in the conversation."""

    conversation_id: UUID
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryChanged(Event):
    """The messages of a conversation are others from a position on: another branch, or another owner."""

    from_position: int


class SessionOpened(Event):
    """A principal sits down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosed(Event):
    """A session is over."""

    reason: str


class ProjectChanged(Event):
    """A project is new, has changed, was deleted or restored, or what can be found in it is another."""


class JobQueued(Event):
    """A job waits for a worker."""


class Recorder:
    """Base of entities: keeps what happened to it until the unit of work writes it down."""

    def record(self, event: Event) -> None:
        """Remember `event` until the transaction ends."""
        self.__dict__.setdefault("_recorded", []).append(event)

    def release_events(self) -> list[Event]:
        """The events since the last release, oldest first."""
        recorded: list[Event] = self.__dict__.pop("_recorded", [])
        return recorded
