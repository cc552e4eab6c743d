"""Start, change, delete and restore conversations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from application.conversations.posting import Posting
from application.documents import conversation_document
from application.ports.persistence import Once, StartWork, UnitOfWork
from application.ports.runtime import NewId, Now, Signals
from domain.agents import Agents
from domain.conversations import Conversation
from domain.deletions import Deletion, Subject
from domain.errors import Conflict
from domain.identity import Principal
from domain.limits import Limits
from domain.messages import NewMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class StartConversation:
    """A principal wants a conversation, in a room or on its own."""

    principal: Principal
    room_id: UUID | None = None
    title: str | None = None
    agent: str | None = None
    project_id: UUID | None = None
    external_id: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    messages: Sequence[NewMessage] = ()
    once: Once | None = None


@dataclass(frozen=True, slots=True)
class StartConversationHandler:
    """Starts it, with the `messages` that were said elsewhere, see Posting.add.

    Raises Invalid, NotFound or Forbidden for the room or the project, or Conflict `external_id_taken`, naming the
    conversation that is called so.
    """

    start_work: StartWork
    posting: Posting

    def __call__(self, command: StartConversation) -> Conversation:
        with self.start_work() as work:
            owner = command.principal.key
            if command.room_id is not None:
                owner = work.rooms.get(command.room_id, for_=command.principal).owner
            if command.project_id is not None:
                work.projects.look(command.project_id, for_=command.principal)
            if command.external_id is not None:
                _require_free(work, owner, command.external_id)
            conversation = self.posting.start(
                work,
                owner,
                command.agent,
                room_id=command.room_id,
                title=command.title,
                metadata=command.metadata,
                project_id=command.project_id,
                external_id=command.external_id,
            )
            self.posting.add(work, conversation, command.messages)
            work.answers.keep(command.once, conversation_document(conversation))
            work.commit()
        return conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeConversation:
    """A conversation shall have another title, agent, metadata or project; None leaves all but the last as it is."""

    principal: Principal
    conversation_id: UUID
    title: str | None = None
    agent: str | None = None
    metadata: Mapping[str, object] | None = None
    project_id: UUID | Literal["unchanged"] | None = "unchanged"


@dataclass(frozen=True, slots=True)
class ChangeConversationHandler:
    """Changes it; raises NotFound, Forbidden or Invalid."""

    start_work: StartWork
    now: Now
    agents: Agents
    limits: Limits

    def __call__(self, command: ChangeConversation) -> Conversation:
        with self.start_work() as work:
            conversation = work.conversations.get(command.conversation_id, for_=command.principal)
            if isinstance(command.project_id, UUID):
                work.projects.look(command.project_id, for_=command.principal)
            conversation.change(
                title=command.title,
                agent=command.agent,
                metadata=command.metadata,
                agents=self.agents,
                limits=self.limits,
                now=self.now(),
                project_id=command.project_id,
            )
            work.commit()
        return conversation


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteConversation:
    """A conversation shall go, until restored; with `idle_since`, only if it was not active since."""

    principal: Principal
    conversation_id: UUID
    idle_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeleteConversationHandler:
    """Deletes softly and stops the reply in the making; raises NotFound, Forbidden, Conflict `conversation_active`."""

    start_work: StartWork
    signals: Signals
    new_id: NewId
    now: Now

    def __call__(self, command: DeleteConversation) -> Deletion:
        with self.start_work() as work:
            conversation = work.conversations.get(command.conversation_id, for_=command.principal)
            if command.idle_since is not None:
                conversation.require_idle(command.idle_since)
            deletion = Deletion(
                id=self.new_id(),
                owner=conversation.owner,
                subject=Subject.CONVERSATION,
                subject_id=conversation.id,
                conversation_count=1,
                message_count=conversation.final_message_count,
                deleted_at=self.now(),
            )
            work.deletions.add(deletion)
            live = conversation.live_reply_id
            if live is not None:
                work.replies.get(live, for_=command.principal).request_cancel(deletion.deleted_at)
            conversation.delete(deletion)
            work.commit()
        if live is not None:
            self.signals.announce(live)
        return deletion


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreConversation:
    """A conversation that was deleted by itself shall come back."""

    principal: Principal
    conversation_id: UUID


@dataclass(frozen=True, slots=True)
class RestoreConversationHandler:
    """Undoes its deletion; raises NotFound, Forbidden, Conflict `not_deleted` or `room_deleted`."""

    start_work: StartWork
    now: Now

    def __call__(self, command: RestoreConversation) -> Conversation:
        with self.start_work() as work:
            room_id = work.conversations.room_of(command.conversation_id)
            room = None  # Rooms are locked before their conversations.
            if room_id is not None:
                room = work.rooms.get(room_id, for_=command.principal, deleted=None)
            conversation = work.conversations.get(command.conversation_id, for_=command.principal, deleted=None)
            if conversation.deletion_id is None:
                raise Conflict("not_deleted", "This conversation is not deleted.")
            deletion = work.deletions.get(conversation.deletion_id)
            if deletion.subject is Subject.ROOM:
                raise _room_is_deleted(deletion.subject_id)
            if room is not None and room.deletion_id is not None:
                raise _room_is_deleted(room.id)
            deletion.restore(self.now())
            conversation.restore(deletion, self.now())
            work.commit()
        return conversation


def _require_free(work: UnitOfWork, owner: str, external_id: str) -> None:
    taken = work.conversations.by_external_id(owner, external_id)
    if taken is not None:
        raise Conflict(
            "external_id_taken",
            f"There is a conversation called {external_id!r} already; it may be deleted.",
            conversation_id=str(taken),
        )


def _room_is_deleted(room_id: UUID) -> Conflict:
    return Conflict("room_deleted", "Its room is deleted: restore that first.", room_id=str(room_id))
