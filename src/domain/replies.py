"""An assistant message in the making: who may write it, until when, and how it ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.errors import Conflict, LeaseLost
from domain.events import Recorder, ReplyEnded, ReplyQueued

LEASE = timedelta(seconds=15)
"""How long a worker owns a reply without renewing; it renews every third of that."""

ATTEMPTS = 3
"""How often a reply that has emitted nothing is tried before it is given up."""

SEQ_RESERVE = 1_000
"""Log events that an owner may write between two checkpoints, see Reply.seq_ceiling."""


class ReplyStatus(StrEnum):
    """`queued` and `running` are live; every other status is final."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"

    @property
    def is_live(self) -> bool:
        """Whether the reply can still change."""
        return self in LIVE


LIVE = frozenset({ReplyStatus.QUEUED, ReplyStatus.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a reply ended.

    `text` may be partial or empty. `error` is `{code, message}` for a failure or a time-out.
    `sources` are the passages shown beside the answer, `tool_calls` what its tools were asked and said, `metadata`
    what was measured (model, usage, response_time_ms, time_to_first_token_ms, confidence, offline, fallback, cached).
    """

    status: ReplyStatus
    text: str = ""
    error: dict[str, str] | None = None
    sources: list[dict[str, Any]] = field(default_factory=list)
    tool_calls: list[dict[str, Any]] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False, kw_only=True)
class Reply(Recorder):
    """One reply and the right to write it.

    `parent_id` is the message that it answers, `session_id` the session it was asked in, whose context the
    agent is told, `window_from` the first position that the agent sees of the history, `project_id` the project that
    it is to be grounded in alone. `epoch` is a fencing
    token: each claim raises it, and whoever writes under an older one is refused. `text` is the last checkpoint
    while running. `position` and `version` are the place the finished message takes; that message has the
    reply's own id. `traceparent` is the trace that it was asked in (W3C Trace Context), if there was one.

    `seq_ceiling` bounds the log from above: no owner has ever written an event numbered
    `seq_ceiling` or more. Whoever takes over after the log itself was lost goes on from there,
    so a watcher never meets a number twice. `final_seq` is the number of the terminal event.
    """

    id: UUID
    conversation_id: UUID
    owner: str
    position: int
    agent: str
    created_at: datetime
    version: int = 1
    parent_id: UUID | None = None
    session_id: UUID | None = None
    window_from: int | None = None
    project_id: UUID | None = None
    status: ReplyStatus = ReplyStatus.QUEUED
    text: str = ""
    epoch: int = 0
    attempts: int = 0
    lease_until: datetime | None = None
    cancel_requested_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    seq_ceiling: int = 0
    final_seq: int | None = None
    error: dict[str, str] | None = None
    sources: list[dict[str, Any]] = field(default_factory=list)
    tool_calls: list[dict[str, Any]] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    traceparent: str | None = None

    @classmethod
    def queue(
        cls,
        *,
        id: UUID,
        conversation_id: UUID,
        owner: str,
        position: int,
        version: int,
        parent_id: UUID | None,
        agent: str,
        session_id: UUID | None,
        window_from: int = 1,
        project_id: UUID | None = None,
        now: datetime,
    ) -> Reply:
        """A reply that waits for a worker, its place in the conversation reserved."""
        reply = cls(
            id=id,
            conversation_id=conversation_id,
            owner=owner,
            position=position,
            version=version,
            parent_id=parent_id,
            agent=agent,
            session_id=session_id,
            window_from=window_from,
            project_id=project_id,
            created_at=now,
        )
        reply.record(ReplyQueued(subject_id=id, at=now, conversation_id=conversation_id, session_id=session_id))
        return reply

    @property
    def is_live(self) -> bool:
        """Whether the reply waits or runs."""
        return self.status.is_live

    def claim(self, now: datetime) -> int:
        """Become a worker's for one lease; the first log number it may use is returned.

        Raises Conflict `not_queued` when another worker has it or it has ended.
        """
        if self.status is not ReplyStatus.QUEUED:
            raise Conflict("not_queued", f"This reply is {self.status}.")
        first_seq = self.seq_ceiling
        self.status = ReplyStatus.RUNNING
        self.epoch += 1
        self.attempts += 1
        self.lease_until = now + LEASE
        self.started_at = now
        self.seq_ceiling = first_seq + SEQ_RESERVE
        return first_seq

    def request_cancel(self, now: datetime) -> None:
        """Ask the owner to stop. Asking twice, or after the end, changes nothing."""
        if self.is_live and self.cancel_requested_at is None:
            self.cancel_requested_at = now

    def end(self, outcome: Outcome, *, epoch: int, final_seq: int, now: datetime) -> None:
        """Reach a final status as the owner of `epoch`; raises LeaseLost when that epoch is over."""
        self._require_owner(epoch)
        self.status = outcome.status
        self.text = outcome.text
        self.error = outcome.error
        self.sources = outcome.sources
        self.tool_calls = outcome.tool_calls
        self.metadata = outcome.metadata
        self.final_seq = final_seq
        self.lease_until = None
        self.finished_at = now
        self.record(
            ReplyEnded(subject_id=self.id, at=now, conversation_id=self.conversation_id, status=self.status.value)
        )

    def fence(self, now: datetime) -> None:
        """Shut its owner out, and keep workers from claiming it: whoever fences owns it, under a new epoch."""
        if not self.is_live:
            raise LeaseLost(self.id, self.epoch)
        self.status = ReplyStatus.RUNNING
        self.epoch += 1
        self.lease_until = now + LEASE

    def can_be_tried_again(self, emitted: str, *, acted: bool = False) -> bool:
        """Whether nothing was emitted, nobody wants it stopped, and attempts are left.

        Nor has it `acted`: what a tool has done would be done twice.
        """
        return not emitted and not acted and self.attempts < ATTEMPTS and self.cancel_requested_at is None

    def requeue(self, *, epoch: int, now: datetime) -> None:
        """Go back to the queue as the owner of `epoch`; raises LeaseLost when that epoch is over."""
        self._require_owner(epoch)
        self.status = ReplyStatus.QUEUED
        self.lease_until = None
        self.record(ReplyQueued(subject_id=self.id, at=now, conversation_id=self.conversation_id))

    def abandoned_outcome(self, emitted: str, *, tool_calls: list[dict[str, Any]] | None = None) -> Outcome:
        """How a reply ends whose worker is gone: stopped if that was asked for, else interrupted.

        What was `emitted` is kept, or the checkpoint where that is longer, and what its tools said.
        """
        text = max(self.text, emitted, key=len)
        if self.cancel_requested_at is not None:
            return Outcome(
                status=ReplyStatus.CANCELLED,
                text=text,
                sources=self.sources,
                tool_calls=tool_calls or None,
                metadata=self.metadata,
            )
        return Outcome(
            status=ReplyStatus.INTERRUPTED,
            text=text,
            error={
                "code": "interrupted",
                "message": "The process that was writing this reply ended before it was done.",
            },
            sources=self.sources,
            tool_calls=tool_calls or None,
            metadata=self.metadata,
        )

    def _require_owner(self, epoch: int) -> None:
        if epoch != self.epoch or self.status is not ReplyStatus.RUNNING:
            raise LeaseLost(self.id, epoch)
