"""Where things are kept: repositories behind a unit of work, and what is written without entities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self
from uuid import UUID

from domain.conversations import Conversation
from domain.deletions import Deletion
from domain.errors import Unavailable
from domain.identity import Principal
from domain.messages import Fork, Message
from domain.replies import Reply, ReplyStatus
from domain.rooms import Room
from domain.sessions import Session

if TYPE_CHECKING:  # They name what is defined here.
    from application.ports.exporting import Imports
    from application.ports.job_analyses import JobAnalyses
    from application.ports.knowledge import Documents, Jobs, Passages, Projects

Document = dict[str, Any]
"""What a query returns: JSON in the very shape that the API hands out (ids and times may still be objects)."""


class StorageUnavailable(Unavailable):
    """The database does not answer, is locked, or cannot write (a full disk, a read-only folder)."""

    slug = "storage_unavailable"


class ConcurrentChange(Unavailable):
    """Somebody else changed the same thing at the same time; nothing was written, and trying again helps."""

    slug = "concurrent_change"


class Rooms(Protocol):
    """The rooms; every look-up locks what it finds until the transaction ends."""

    def add(self, room: Room) -> None: ...

    def get(self, room_id: UUID, *, for_: Principal, deleted: bool | None = False) -> Room:
        """The room, deleted or not as asked (None: either). Raises NotFound, or Forbidden for somebody else's."""
        ...

    def of(self, owner: str) -> Sequence[Room]:
        """All of an owner's, the deleted included."""
        ...

    def count(self, owner: str) -> int:
        """How many undeleted rooms `owner` has; keeps others from opening more until the transaction ends."""
        ...


class Conversations(Protocol):
    """The conversations; every look-up locks what it finds until the transaction ends."""

    def add(self, conversation: Conversation) -> None: ...

    def get(self, conversation_id: UUID, *, for_: Principal, deleted: bool | None = False) -> Conversation:
        """The conversation, deleted or not as asked (None: either). Raises NotFound or Forbidden."""
        ...

    def room_of(self, conversation_id: UUID) -> UUID | None:
        """The room that a conversation is in, for good; None outside of rooms, and for one that is not there."""
        ...

    def in_room(self, room_id: UUID) -> Sequence[Conversation]:
        """The undeleted conversations of a room."""
        ...

    def latest_in(self, room_id: UUID) -> UUID | None:
        """The undeleted conversation of a room in which something happened last; it is not locked."""
        ...

    def of(self, owner: str) -> Sequence[Conversation]:
        """All of an owner's, the deleted included."""
        ...

    def by_external_id(self, owner: str, external_id: str) -> UUID | None:
        """The conversation that a client of the owner's calls so, deleted or not; it is not locked.

        Keeps others from calling one so until the transaction ends.
        """
        ...

    def taken_by(self, deletion_id: UUID) -> Sequence[Conversation]:
        """The conversations that one deletion took."""
        ...


class Messages(Protocol):
    """The messages."""

    def add(self, message: Message) -> None: ...

    def get(self, message_id: UUID) -> Message:
        """The message; authorise through its conversation. Raises NotFound."""
        ...

    def conversation_of(self, message_id: UUID) -> UUID:
        """The conversation that a message is in. Raises NotFound."""
        ...

    def count_at(self, conversation_id: UUID, position: int) -> int:
        """How many messages there are at a position, on all branches."""
        ...

    def versions(self, conversation_id: UUID, position: int, parent_id: UUID | None) -> Sequence[Message]:
        """Those that follow a message, at the position after it, in the order of their versions.

        Without `parent_id` it is the current message that they follow.
        """
        ...

    def fork(self, message: Message) -> Fork:
        """Where the way to a message leaves the current branch."""
        ...

    def following(self, message: Message) -> Sequence[Message]:
        """All that comes after a message, on any branch, by position; that message is not on the current one."""
        ...

    def window(self, conversation_id: UUID, *, start: int, before: int, limit: int) -> Sequence[Message]:
        """The last `limit` current messages from position `start` on and below `before`, oldest first."""
        ...


class Replies(Protocol):
    """The replies; every look-up locks what it finds until the transaction ends."""

    def add(self, reply: Reply) -> None: ...

    def get(self, reply_id: UUID, *, for_: Principal) -> Reply:
        """The reply. Raises NotFound or Forbidden."""
        ...

    def peek(self, reply_id: UUID, *, for_: Principal) -> Reply:
        """The reply as last committed, not locked. Raises NotFound or Forbidden."""
        ...

    def count_live(self, owner: str) -> int:
        """How many of `owner`'s replies wait or run; keeps others from adding to them until the transaction ends."""
        ...


class Deletions(Protocol):
    """The acts of deletion."""

    def add(self, deletion: Deletion) -> None: ...

    def get(self, deletion_id: UUID) -> Deletion:
        """The deletion, not locked: what it took is. Raises NotFound."""
        ...


class Visitors(Protocol):
    """The visitors."""

    def add(self, visitor_id: UUID, seen_at: datetime) -> None: ...

    def claim(self, visitor_id: UUID, *, by: str, now: datetime) -> None:
        """Note who took the visitor's things; keeps others from taking them until the transaction ends."""
        ...


class Sessions(Protocol):
    """The sessions; every look-up but `peek` and `latest` locks what it finds until the transaction ends."""

    def add(self, session: Session) -> None: ...

    def get(self, session_id: UUID, *, for_: Principal) -> Session:
        """The session, open or not. Raises NotFound or Forbidden."""
        ...

    def peek(self, session_id: UUID) -> Session | None:
        """The session as last committed, whoever owns it."""
        ...

    def hand_over(self, owner: str, to: str) -> None:
        """Give all of an owner's to another one, who must have none open in the same places."""
        ...

    def unclosed(self, owner: str) -> Sequence[Session]:
        """Those that were not closed, the longest quiet first; keeps others from opening more meanwhile."""
        ...

    def latest(self, owner: str, binding: str) -> Session | None:
        """The last one of an owner that was bound to something, open or not."""
        ...

    def expired(self, at: datetime, *, limit: int) -> Sequence[Session]:
        """Those that have expired and were not closed yet; what somebody else holds is passed over."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """Where a talk that a client sent as a whole was asked: the reply, and what that has said so far."""

    conversation_id: UUID
    reply_id: UUID
    text: str
    status: ReplyStatus
    asked_at: datetime


class Transcripts(Protocol):
    """Which talks were asked where, by their digests (up to 64 characters), as long as their conversations are kept."""

    def add(self, owner: str, digest: str, reply: Reply, *, asked_at: datetime) -> None:
        """Note that `reply` was asked for with this talk."""
        ...

    def asked(self, owner: str, digest: str, *, limit: int) -> Sequence[Transcript]:
        """Where this talk was asked, the last time first; nothing is locked, and conversations may be deleted."""
        ...

    def ask_again(self, reply_id: UUID, *, asked_at: datetime) -> None:
        """Note that the very same was sent once more, and is to have this reply."""
        ...

    def asked_at(self, reply_id: UUID) -> datetime | None:
        """When a reply was asked for, the last time; None for one that was not asked for with a talk."""
        ...


@dataclass(frozen=True, slots=True)
class Once:
    """A request that shall take effect once, whatever becomes of its answer on the way.

    Its `key` (1 to 255 characters) is the client's, one for each thing that `owner` wants. `fingerprint` tells
    whether a second request with the key wants the same. Every try is an `attempt` of its own.
    """

    owner: str
    key: str
    fingerprint: str
    attempt: UUID


class OnceAnswered(Protocol):
    """What requests with an idempotency key were answered with, as the write's own transaction keeps it."""

    def keep(self, once: Once | None, answer: Document) -> None:
        """Keep the answer with what is written; nothing for None.

        Raises Conflict `idempotency_key_in_use` when another attempt has taken over.
        """
        ...


class UnitOfWork(Protocol):
    """One transaction: nothing is kept unless `commit` is called, and nothing after it.

    When the context has ended, what was committed has been handed to the relay.

    Entering, using and leaving raise StorageUnavailable when the store does not answer;
    committing raises ConcurrentChange when a newer version of an entity was written meanwhile.
    The events that its entities recorded are written in the same transaction.
    """

    @property
    def rooms(self) -> Rooms: ...

    @property
    def conversations(self) -> Conversations: ...

    @property
    def messages(self) -> Messages: ...

    @property
    def replies(self) -> Replies: ...

    @property
    def deletions(self) -> Deletions: ...

    @property
    def visitors(self) -> Visitors: ...

    @property
    def sessions(self) -> Sessions: ...

    @property
    def projects(self) -> Projects: ...

    @property
    def documents(self) -> Documents: ...

    @property
    def passages(self) -> Passages: ...

    @property
    def jobs(self) -> Jobs: ...

    @property
    def job_analyses(self) -> JobAnalyses: ...

    @property
    def transcripts(self) -> Transcripts: ...

    @property
    def imports(self) -> Imports: ...

    @property
    def answers(self) -> OnceAnswered: ...

    def hand_over(self, owner: str, to: str) -> None:
        """Give the messages, replies, job analyses and deletions of `owner` to another one.

        Rooms and conversations are entities and change hands by themselves, after that.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def flush(self) -> None:
        """Write what was changed so far, where the store must see one change before the next one."""
        ...

    def commit(self) -> None: ...


StartWork = Callable[[], UnitOfWork]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a running reply's owner writes down at least every half second."""

    reply_id: UUID
    epoch: int
    text: str
    seq_ceiling: int
    lease_until: datetime


class Saved(StrEnum):
    """What became of a checkpoint; `lost` is that the reply has another owner by now."""

    SAVED = "saved"
    CANCEL_REQUESTED = "cancel_requested"
    LOST = "lost"


class LiveReplies(Protocol):
    """What workers and upkeep do to live replies many times a second: without entities, as cheaply as the store can."""

    def save(self, checkpoints: Sequence[Checkpoint]) -> Mapping[UUID, Saved]:
        """Write text and lease of each reply under its epoch, as far as nobody else is changing it at the moment.

        What is missing in the answer was passed over. Raises StorageUnavailable or ConcurrentChange.
        """
        ...

    def queued(self, *, before: datetime, limit: int) -> Sequence[UUID]:
        """The replies that were queued before a time and not yet claimed, oldest first."""
        ...

    def running(self, *, expired_at: datetime | None, limit: int) -> Sequence[UUID]:
        """The running replies, or only those whose lease is over at a time, oldest first."""
        ...


class IdempotencyKeys(Protocol):
    """Who is at work on a request, and what it was answered with."""

    def begin(self, once: Once, *, until: datetime, expires_at: datetime, now: datetime) -> Document | None:
        """None if this attempt is to do it, before `until`; else the answer that is kept.

        Raises Invalid for another fingerprint, Conflict `idempotency_key_in_use` while another attempt is at work.
        """
        ...

    def abandon(self, once: Once) -> None:
        """Let another attempt do it: this one has kept no answer."""
        ...

    def forget_expired(self, now: datetime, *, limit: int) -> int:
        """Forget keys whose time is over; how many."""
        ...
