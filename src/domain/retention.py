"""How long things are kept that nobody needs any more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Retention:
    """For how many days each is kept. Every one is a setting; these are the defaults.

    `rooms` and `conversations` (those outside of rooms) count from the last sign of life, after which they are
    deleted so that they can be restored; 0: never. `deleted` counts from the deletion, after which it is for good.
    `sessions` and `jobs` count from their ends, `events` from the commit that could not be told on. `visitors` counts
    from the visitor's first visit, beside the time that its token is good for. `transcripts`, by which Chat Completions
    know a conversation again, count from when they were asked. `purges` is how long it is known what
    was purged, so that this can be verified. Source: the chat-room seed (rooms).
    """

    rooms: int = 30
    conversations: int = 0
    deleted: int = 30
    sessions: int = 30
    jobs: int = 7
    events: int = 30
    visitors: int = 30
    transcripts: int = 90
    purges: int = 90

    def rooms_before(self, now: datetime) -> datetime | None:
        """Rooms without a sign of life since then are deleted; None for never."""
        return now - timedelta(days=self.rooms) if self.rooms else None

    def conversations_before(self, now: datetime) -> datetime | None:
        """Conversations outside of rooms without a sign of life since then are deleted; None for never."""
        return now - timedelta(days=self.conversations) if self.conversations else None
