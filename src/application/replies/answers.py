"""Answers that were given before to the same first question, and those that are being given at this moment."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from application.caching import Caches, Region, key_of
from application.ports.knowledge import Scope
from application.ports.language import ModelError, ToolCall
from application.ports.persistence import Document
from application.ports.runtime import LogUnavailable, ReplyLog
from domain.agents import Agent
from domain.messages import Message
from domain.replies import LEASE, Reply

_LOOK = 0.5
"""Seconds after which a follower looks by itself for what is new."""

REUSABLE_TOOLS = frozenset({"search_knowledge"})
"""What these tools say is settled by the question and the scope; the clock, say, is not."""


@dataclass(frozen=True, slots=True)
class Answers:
    """The region `answers`: keyed by the agent, its model, what can be found in the asker's scope, and the question.

    And by the `settings` that shape an answer beside these: after a change of them, what a cache that outlives the
    process has kept is no answer any more.

    Only a first question has an answer here, one that was told nothing else of who asks: whoever may see the same
    documents and asks the same is given the same. Of those who ask at once, one is answered by the model and the
    others follow that answer word by word.
    """

    caches: Caches
    log: ReplyLog
    model: str
    settings: Mapping[str, object]

    def key(self, reply: Reply, agent: Agent, history: Sequence[Message], context: object, scope: Scope) -> str | None:
        """What the answer would be kept under; None for all but first questions without personal context.

        Who wants another version of an answer does not want that one again.
        """
        if len(history) != 1 or history[0].position != 1 or context or reply.version != 1:
            return None
        profile = asdict(agent) | {"model": agent.model or self.model, "knowledge": None}
        return f"{agent.name}:{key_of(profile, self.settings, scope.key, history[0].content)}"

    def kept(self, key: str) -> Document | None:
        """`{text, sources, tool_calls, metadata}` of the answer that was given."""
        found: Document | None = self.caches.get(Region.ANSWERS, key)
        return found

    def keep(self, key: str, answer: Document, *, by: UUID) -> None:
        """Have the same question answered so, if nothing has been forgotten since `by` has begun with it."""
        self.caches.fulfil(Region.ANSWERS, key, str(by), answer)

    def give_up(self, key: str, *, by: UUID) -> None:
        """Let another reply be the one that asks the model."""
        self.caches.release(Region.ANSWERS, key, str(by))

    def follow(self, key: str, reply_id: UUID, agent: Agent, *, seconds: float) -> FollowedReply | None:
        """The reply that is answering the same at this moment, to be read as it comes; None if this one is to.

        There are `seconds` left for this one. No answer is followed that may come to rest on what a tool says of
        whoever asks: by the time that this is known, its words have been read.
        """
        leader = self.caches.claim(Region.ANSWERS, key, str(reply_id), seconds)
        if leader == str(reply_id) or not REUSABLE_TOOLS.issuperset(agent.tools):
            return None
        return FollowedReply(self.log, UUID(leader), patience=min(seconds / 2, LEASE.total_seconds()))


class FollowedReply:
    """See application.ports.language.ModelStream: another reply's log, as long as that goes well.

    Raises ModelError when the other reply does not come to a good end, begins anew, or has not said a word after
    `patience` seconds: it may be gone, and its log with it.
    """

    def __init__(self, log: ReplyLog, reply_id: UUID, *, patience: float) -> None:
        self._log = log
        self._reply_id = reply_id
        self._patience = patience
        self._aborted = False
        self.message: Document = {}
        """The finished message."""

    @property
    def tool_calls(self) -> Sequence[ToolCall]:
        return ()

    @property
    def metadata(self) -> Mapping[str, object]:
        return reused(self.message.get("metadata", {}))

    def abort(self) -> None:
        self._aborted = True

    def release(self) -> None:
        """There is nothing to let go of."""

    def __iter__(self) -> Iterator[str]:
        try:
            with self._log.watching(self._reply_id):
                yield from self._read()
        except LogUnavailable as away:
            raise _broken() from away

    def _read(self) -> Iterator[str]:
        seq, has_begun, has_spoken = -1, False, False
        give_up_at = time.monotonic() + self._patience
        while not self._aborted:
            for entry in self._log.read(self._reply_id, after=seq):
                seq = entry.seq
                if entry.event == "reply.delta":
                    has_spoken = True
                    yield str(entry.data["text"])
                elif entry.event == "reply.started" and has_begun:
                    raise _broken()
                elif entry.is_terminal:
                    self.message = dict(entry.data.get("message") or {})
                    if not is_reusable(self.message):
                        raise _broken()
                    return
                else:
                    yield ""
                has_begun = True
            if not has_spoken and time.monotonic() >= give_up_at:
                raise _broken()
            self._log.wait(self._reply_id, after=seq, timeout=_LOOK)


def is_reusable(answer: Mapping[str, Any]) -> bool:
    """Whether a finished answer is one that others may be given: the model's own, whole, and not of the hour."""
    metadata = answer.get("metadata") or {}
    return (
        answer.get("status") == "completed"
        and not metadata.get("fallback")
        and not metadata.get("offline")
        and not metadata.get("finish_reason")
        and all(call["name"] in REUSABLE_TOOLS and not call["error"] for call in answer.get("tool_calls") or ())
    )


def reused(metadata: Mapping[str, Any]) -> Document:
    """What is true of an answer that is given once more: it costs no tokens."""
    kept = {name: metadata[name] for name in ("model", "confidence", "chunks_used") if name in metadata}
    return {**kept, "usage": {"input_tokens": 0, "output_tokens": 0}, "cached": True}


def _broken() -> ModelError:
    return ModelError("model_broke_off", "The answer that this one followed came to no good end.")
