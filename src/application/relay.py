"""Hand committed events on: from the outbox to every subscriber, at least once, in any order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from application.ports.persistence import Outbox, RecordedEvent

Subscriber = Callable[[RecordedEvent], None]
"""Takes an event, idempotently and in any order; raising leaves it in the outbox for the next round."""

log = logging.getLogger(__name__)

_BATCH = 200


@dataclass(frozen=True, slots=True)
class Relay:
    """Delivers what is in the outbox. An event that a subscriber refuses stays and does not hold up others."""

    outbox: Outbox
    subscribers: Sequence[Subscriber] = ()

    def __call__(self) -> int:
        """How many events were delivered to every subscriber."""
        delivered_in_all = 0
        after = 0
        while pending := self.outbox.pending(after=after, limit=_BATCH):
            delivered = [recorded.number for recorded in pending if self._deliver(recorded)]
            self.outbox.delivered(delivered)
            delivered_in_all += len(delivered)
            after = pending[-1].number
        return delivered_in_all

    def _deliver(self, recorded: RecordedEvent) -> bool:
        try:
            for subscriber in self.subscribers:
                subscriber(recorded)
        except Exception:
            log.exception(
                "event %s (%s) could not be delivered and stays in the outbox", recorded.number, recorded.name
            )
            return False
        return True
