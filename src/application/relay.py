"""Hand committed events on: right after the commit, or from the outbox if that failed. At least once, in any order."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from application.ports.projections import Outbox, RecordedEvent
from application.ports.runtime import Queue
from domain.errors import Unavailable

Subscriber = Callable[[Sequence[RecordedEvent]], None]
"""Takes events, idempotently and in any order; raising leaves them in the outbox for a later round."""

log = logging.getLogger(__name__)

_BATCH = 200


@dataclass(frozen=True, slots=True)
class Relay:
    """Delivers events: to `at_once` right after their commit, to `subscribers` later if that failed; in their order.

    What `committed` has delivered is forgotten with the next round, many at a time; if the process ends
    before that, it is delivered once more.
    """

    outbox: Outbox
    at_once: Sequence[Subscriber] = ()
    subscribers: Sequence[Subscriber] = ()
    _delivered: deque[int] = field(default_factory=deque, repr=False)

    def committed(self, events: Sequence[RecordedEvent]) -> None:
        """Deliver what this process has just committed. Never raises: what fails is left to a later round."""
        if not _refused(self.at_once, events):
            self._delivered.extend(event.number for event in events)

    def __call__(self) -> int:
        """A round: deliver what is due, each event by itself where they cannot all be taken; how many were."""
        self.forget_delivered()
        delivered_in_all = 0
        while delivered := self.outbox.deliver(self._one_by_one_if_need_be, limit=_BATCH):
            delivered_in_all += delivered
        return delivered_in_all

    def forget_delivered(self) -> None:
        """Take what `committed` has delivered out of the outbox."""
        numbers = [self._delivered.popleft() for _ in range(len(self._delivered))]
        try:
            self.outbox.forget(numbers)
        except Exception:
            self._delivered.extend(numbers)
            raise

    def _one_by_one_if_need_be(self, events: Sequence[RecordedEvent]) -> Collection[int]:
        if not _refused(self.subscribers, events):
            return ()
        return [event.number for event in events if _refused(self.subscribers, [event])]


@dataclass(frozen=True, slots=True)
class WakeWorkers:
    """Subscribes to the relay: dispatches what was queued, each event to its queue."""

    queues: Mapping[str, Queue]

    def __call__(self, events: Sequence[RecordedEvent]) -> None:
        """Dispatch the subjects of those that have a queue."""
        for event in events:
            if event.name in self.queues:
                self.queues[event.name].dispatch(event.subject_id)


def _refused(subscribers: Sequence[Subscriber], events: Sequence[RecordedEvent]) -> bool:
    try:
        for subscriber in subscribers:
            subscriber(events)
    except Exception as failure:
        names = ", ".join(sorted({event.name for event in events}))
        log.warning("%d events (%s) stay in the outbox: %s", len(events), names, failure, exc_info=_odd(failure))
        return True
    return False


def _odd(failure: Exception) -> bool:
    """Whether a failure is worth its traceback: what is merely away is not."""
    return not isinstance(failure, Unavailable)
