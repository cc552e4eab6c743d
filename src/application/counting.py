"""What was committed, as counts: how much is begun and asked, and how replies end."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from application.ports.persistence import Document
from application.ports.projections import Model, RecordedEvent
from application.ports.telemetry import Metrics
from application.telemetry import bind

_COUNTED = {
    "RoomOpened": "rooms_opened_total",
    "ConversationStarted": "conversations_started_total",
    "SessionOpened": "sessions_opened_total",
}

_MODEL_ERRORS = frozenset(
    {"model_unreachable", "model_overloaded", "model_refused", "model_failed", "model_broke_off", "model_timeout"}
)
"""See application.ports.language.ModelError."""


@dataclass(frozen=True, slots=True)
class CountEvents:
    """Subscribes to the relay, to be told right after each commit and so of each event once.

    What was asked or begun is bound to whatever else is logged in the same context: so all wires tell it alike.
    """

    metrics: Metrics
    tools: Collection[str]
    """The names there are: a model may ask for any other."""

    def __call__(self, events: Sequence[RecordedEvent]) -> None:
        """Count these."""
        said = _messages(events)
        for event in events:
            if event.name in _COUNTED:
                self.metrics.count(_COUNTED[event.name])
            elif event.name == "MessagePosted":
                message = said.get(_id(event.payload["message_id"]))
                self.metrics.count("messages_total", role=str(message["role"]) if message else "unknown")
            elif event.name == "ReplyQueued":
                bind(reply_id=event.subject_id, conversation_id=event.payload["conversation_id"])
            elif event.name == "JobQueued":
                bind(job_id=event.subject_id)
            elif event.name == "ReplyEnded" and (message := said.get(event.subject_id)) is not None:
                self._count_reply(message)

    def _count_reply(self, message: Document) -> None:
        agent = str(message["agent"])
        metadata: Mapping[str, Any] = message["metadata"]
        self.metrics.count("replies_total", agent=agent, outcome=str(message["status"]))
        for name, metric in (
            ("time_to_first_token_ms", "reply_first_token_seconds"),
            ("response_time_ms", "reply_seconds"),
        ):
            if name in metadata:
                self.metrics.observe(metric, metadata[name] / 1000, agent=agent)
        for direction, used in (metadata.get("usage") or {}).items():
            if direction in _DIRECTIONS:
                self.metrics.count("reply_tokens_total", used, agent=agent, direction=_DIRECTIONS[direction])
        if cost := metadata.get("cost"):
            self.metrics.count("reply_cost_total", cost["amount"], agent=agent, currency=cost["currency"])
        fallback = (metadata.get("fallback") or {}).get("code")
        if fallback is not None:
            self.metrics.count("reply_fallbacks_total", code=fallback)
        if (code := fallback or (message["error"] or {}).get("code")) in _MODEL_ERRORS:
            self.metrics.count("model_errors_total", code=code)
        for call in message["tool_calls"] or ():
            tool = call["name"] if call["name"] in self.tools else "unknown"
            self.metrics.count("tool_calls_total", tool=tool, outcome="failed" if call["error"] else "ok")


_DIRECTIONS = {"input_tokens": "input", "output_tokens": "output"}


def _messages(events: Sequence[RecordedEvent]) -> dict[UUID, Document]:
    """What the events' own process knows of the messages that they are about."""
    return {
        snapshot.id: snapshot.document
        for event in events
        for snapshot in event.known
        if snapshot.model is Model.MESSAGES
    }


def _id(value: object) -> UUID:
    return value if isinstance(value, UUID) else UUID(str(value))
