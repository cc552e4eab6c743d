"""Tell open sockets of what happens where they look: a question elsewhere, a session that is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from application.ports.projections import RecordedEvent
from application.ports.runtime import Topics


@dataclass(frozen=True, slots=True)
class TellSockets:
    """Subscribes to the relay, for right after the commit: later nobody would want to know.

    Notes are `{reply_id}` on the topics of the conversation and of the session, `{history_from, conversation_id}`
    with a position on a conversation's, and `{closed}` with the reason on a session's.
    """

    topics: Topics

    def __call__(self, events: Sequence[RecordedEvent]) -> None:
        for event in events:
            if event.name == "ReplyQueued":
                note = {"reply_id": str(event.subject_id)}
                self.topics.publish(_id(event.payload["conversation_id"]), note)
                if event.payload.get("session_id") is not None:
                    self.topics.publish(_id(event.payload["session_id"]), note)
            elif event.name == "HistoryChanged":
                changed = {"history_from": event.payload["from_position"], "conversation_id": str(event.subject_id)}
                self.topics.publish(event.subject_id, changed)
            elif event.name == "SessionClosed":
                self.topics.publish(event.subject_id, {"closed": event.payload["reason"]})


def _id(value: object) -> UUID:
    return UUID(str(value))
