"""What is said: messages, on the branches of their conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class Role(StrEnum):
    """Who speaks, in the words of the Chat Completions wire."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    TOOL = "tool"


class Rating(StrEnum):
    """What somebody thinks of an answer."""

    UP = "up"
    DOWN = "down"


@dataclass(eq=False, kw_only=True)
class Message:
    """One message at its position, 1 being the first.

    It follows the message `parent_id`, and so do its `alternatives` other versions: answers that were
    regenerated, questions that were edited. What is not on the current branch is no part of the history and
    `superseded_by` the message that is there in its place, or in the place of the one it follows from.
    `version` numbers all messages at one position of a conversation, on any branch, from 1. `sources` are the passages
    that an answer cites, `tool_calls` the tools that were called for it: `{id, name, arguments, result, error,
    truncated, duration_ms}` each, in their order.
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
    tool_calls: list[dict[str, Any]] | None = None
    error: dict[str, str] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    parent_id: UUID | None = None
    superseded_by: UUID | None = None
    alternatives: int = 0
    feedback: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """Something that was said elsewhere; without a time it was said just now. An answer has an agent."""

    role: Role
    content: str
    agent: str | None = None
    created_at: datetime | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewQuestion:
    """Something that is said now and wants an answer: from `agent`, or from whoever answers in its conversation.

    `metadata` is what its client notes with it, `instructions` what that tells the agent for this answer.
    """

    content: str
    agent: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    instructions: str | None = None


@dataclass(frozen=True, slots=True)
class Fork:
    """Where the way to a message leaves the current branch.

    `path` leads from there to the message, its last; it is empty for a message of the current branch.
    `leaving` are the messages of the current branch from there on, or from that message on.
    """

    path: Sequence[Message]
    leaving: Sequence[Message]

    @property
    def position(self) -> int:
        """The first position at which the branches differ."""
        return (self.path or self.leaving)[0].position
