"""A thread of numbered messages with at most one reply in the making."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.agents import Agents
from domain.deletions import Deletion
from domain.errors import Conflict, Limited
from domain.events import (
    ConversationChanged,
    ConversationDeleted,
    ConversationRestored,
    ConversationStarted,
    MessagePosted,
    MessageSuperseded,
    Recorder,
)
from domain.limits import Limits
from domain.replies import Reply

_PREVIEW = 140
_TITLE_FROM_QUESTION = 60


class Role(StrEnum):
    """Who speaks, in the words of the Chat Completions wire."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    TOOL = "tool"


@dataclass(eq=False, kw_only=True)
class Message:
    """One message at its position, 1 being the first.

    An answer that was regenerated is `superseded_by` the newer reply at the same position and
    is no longer part of the history; `version` counts the answers at one position from 1.
    """

    id: UUID
    conversation_id: UUID
    owner: str
    position: int
    role: Role
    content: str
    created_at: datetime
    version: int = 1
    status: str = "completed"
    agent: str | None = None
    sources: list[dict[str, Any]] = field(default_factory=list)
    error: dict[str, str] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    superseded_by: UUID | None = None


@dataclass(eq=False, kw_only=True)
class Conversation(Recorder):
    """A thread of one owner, in a room or on its own.

    Positions are given out once and never reused. `live_reply_id` is the reply in the making:
    while there is one, no other question is taken. `last_message` is `{role, preview, created_at}`.
    """

    id: UUID
    owner: str
    agent: str
    created_at: datetime
    updated_at: datetime
    last_activity_at: datetime
    room_id: UUID | None = None
    title: str = ""
    metadata: dict[str, object] = field(default_factory=dict)
    next_position: int = 1
    message_count: int = 0
    live_reply_id: UUID | None = None
    last_message: dict[str, Any] | None = None
    deletion_id: UUID | None = None
    version: int = 1

    @classmethod
    def start(
        cls,
        *,
        id: UUID,
        owner: str,
        room_id: UUID | None,
        title: str | None,
        agent: str | None,
        metadata: Mapping[str, object],
        agents: Agents,
        limits: Limits,
        now: datetime,
    ) -> Conversation:
        """An empty conversation; without a title the first question will name it.

        In a room it belongs to the room's owner, also when an admin starts it.
        """
        conversation = cls(
            id=id,
            owner=owner,
            room_id=room_id,
            title=limits.text("title", title, limits.conversation_title) if title is not None else "",
            agent=agents.named(agent).name,
            metadata=limits.metadata(metadata),
            created_at=now,
            updated_at=now,
            last_activity_at=now,
        )
        conversation.record(ConversationStarted(subject_id=id, at=now))
        return conversation

    def change(
        self,
        *,
        title: str | None,
        agent: str | None,
        metadata: Mapping[str, object] | None,
        agents: Agents,
        limits: Limits,
        now: datetime,
    ) -> None:
        """Take a new title, agent or metadata (replaced as a whole); None leaves a value as it is."""
        if title is not None:
            self.title = limits.text("title", title, limits.conversation_title)
        if agent is not None:
            self.agent = agents.named(agent).name
        if metadata is not None:
            self.metadata = limits.metadata(metadata)
        self.updated_at = now
        self.record(ConversationChanged(subject_id=self.id, at=now))

    def ask(
        self,
        content: str,
        *,
        message_id: UUID,
        reply_id: UUID,
        agent: str | None,
        live_replies: int,
        agents: Agents,
        limits: Limits,
        now: datetime,
    ) -> tuple[Message, Reply]:
        """Take a question and queue its reply at the position after it.

        `live_replies` counts the owner's replies in the making, everywhere. Raises Invalid,
        Conflict `reply_in_progress`, or Limited `too_many_live_replies`.
        """
        text = limits.text("content", content, limits.message)
        answering = agents.named(agent if agent is not None else self.agent).name
        self.require_no_live_reply()
        _require_slot(live_replies, limits)
        question = Message(
            id=message_id,
            conversation_id=self.id,
            owner=self.owner,
            position=self.next_position,
            role=Role.USER,
            content=text,
            created_at=now,
        )
        self.next_position += 2
        if not self.title:
            self.title = _shortened(text, _TITLE_FROM_QUESTION)
        self._take(question, now)
        return question, self._queue_reply(reply_id, question.position + 1, 1, answering, now)

    def regenerate(
        self, answer: Message, *, reply_id: UUID, versions: int, live_replies: int, limits: Limits, now: datetime
    ) -> Reply:
        """Queue a new version of the last answer; the old one leaves the history and is kept.

        `versions` counts those there are. If the new one ends without a word, the old one comes back.
        Raises Conflict `not_last_answer` or `reply_in_progress`, or Limited `too_many_live_replies`.
        """
        if answer.role is not Role.ASSISTANT or answer.superseded_by or answer.position != self.next_position - 1:
            raise Conflict("not_last_answer", "Only the last answer of a conversation can be regenerated.")
        self.require_no_live_reply()
        _require_slot(live_replies, limits)
        answer.superseded_by = reply_id
        self.message_count -= 1
        self.record(MessageSuperseded(subject_id=self.id, at=now, message_id=answer.id, position=answer.position))
        return self._queue_reply(reply_id, answer.position, versions + 1, answer.agent or self.agent, now)

    def take_answer(self, reply: Reply, now: datetime, *, instead_of: Message | None = None) -> Message:
        """The message that an ended reply leaves, at the position kept for it; its text may be empty.

        `instead_of` is the answer that gave way to it. It comes back when the reply has no text.
        """
        message = Message(
            id=reply.id,
            conversation_id=self.id,
            owner=self.owner,
            position=reply.position,
            version=reply.version,
            role=Role.ASSISTANT,
            content=reply.text,
            status=reply.status.value,
            agent=reply.agent,
            sources=reply.sources,
            error=reply.error,
            metadata=reply.metadata,
            created_at=now,
        )
        if self.live_reply_id == reply.id:
            self.live_reply_id = None
        if instead_of is not None and not reply.text:
            message.superseded_by = instead_of.id
            instead_of.superseded_by = None
            self.record(MessageSuperseded(subject_id=self.id, at=now, message_id=message.id, position=message.position))
            self._take(instead_of, now)
        else:
            self._take(message, now)
        return message

    def require_no_live_reply(self) -> None:
        """Raise Conflict `reply_in_progress`, naming the reply, while there is one in the making."""
        if self.live_reply_id is not None:
            raise Conflict(
                "reply_in_progress",
                "A reply is being written in this conversation. Wait for it, stop it, "
                'or ask with "on_conflict": "interrupt".',
                reply_id=str(self.live_reply_id),
            )

    @property
    def final_message_count(self) -> int:
        """How many messages it holds once the reply in the making, if there is one, has ended."""
        return self.message_count + (self.live_reply_id is not None)

    def delete(self, deletion: Deletion) -> None:
        """Go out of sight with `deletion`, by itself or with its room."""
        self.deletion_id = deletion.id
        self.record(ConversationDeleted(subject_id=self.id, at=deletion.deleted_at))

    def restore(self, deletion: Deletion, now: datetime) -> None:
        """Come back; raises Conflict `not_deleted` when it was not `deletion` that took this conversation."""
        if self.deletion_id != deletion.id:
            raise Conflict("not_deleted", "This conversation is not deleted.")
        self.deletion_id = None
        self.updated_at = now
        self.record(ConversationRestored(subject_id=self.id, at=now))

    def _queue_reply(self, reply_id: UUID, position: int, version: int, agent: str, now: datetime) -> Reply:
        self.live_reply_id = reply_id
        return Reply.queue(
            id=reply_id,
            conversation_id=self.id,
            owner=self.owner,
            position=position,
            version=version,
            agent=agent,
            now=now,
        )

    def _take(self, message: Message, now: datetime) -> None:
        self.message_count += 1
        self.last_activity_at = now
        self.last_message = {
            "role": message.role.value,
            "preview": _shortened(message.content, _PREVIEW),
            "created_at": message.created_at.isoformat(),
        }
        self.record(MessagePosted(subject_id=self.id, at=now, message_id=message.id, position=message.position))


def _require_slot(live_replies: int, limits: Limits) -> None:
    if live_replies >= limits.live_replies:
        raise Limited(
            "too_many_live_replies",
            f"{live_replies} replies are being written for you, and {limits.live_replies} is the most at a time.",
            retry_after=5,
            limit=limits.live_replies,
        )


def _shortened(text: str, length: int) -> str:
    """The beginning of `text` on one line, cut between words where that is possible."""
    line = " ".join(text[: length * 4].split())
    if len(line) <= length:
        return line
    words, _, _ = line[:length].rpartition(" ")
    return (words if len(words) > length // 2 else line[: length - 1]) + "…"
