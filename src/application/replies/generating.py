"""Write queued replies, many at once: one thread takes the steps of all of them, and one saves their checkpoints."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from application.ports.persistence import Checkpoint, ConcurrentChange, LiveReplies, Saved, StorageUnavailable
from application.replies.answering import Desk
from application.replies.attempt import Attempt
from application.replies.rounds import Rounds
from application.telemetry import bound
from domain.errors import Conflict, LeaseLost, NotFound

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GenerateReply:
    """Writes a queued reply to its end; does nothing when another worker has it.

    `stop_all` makes every reply that this handler is writing hand over at once: what has emitted nothing goes back
    to the queue, the rest ends as interrupted.
    """

    desk: Desk
    live: LiveReplies
    _attempts: set[Attempt] = field(default_factory=set, repr=False)
    _steps: Rounds[Attempt] = field(init=False, repr=False)
    _saves: Rounds[Attempt] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # One thread for the steps of all replies, and one that may wait for the database.
        object.__setattr__(self, "_steps", Rounds("replies", self.desk.pace.coalesce, _step_all))
        object.__setattr__(self, "_saves", Rounds("checkpoints", self.desk.pace.checkpoint / 5, self._save_all))

    def __call__(self, reply_id: UUID) -> None:
        attempt = Attempt(self.desk, self, reply_id)
        self._attempts.add(attempt)
        try:
            with bound(reply_id=reply_id), self.desk.signals.listen(reply_id, attempt.cancel):
                attempt.run()
        except LeaseLost:
            log.warning("reply %s: another process took over", reply_id)
        except (Conflict, NotFound) as not_ours:
            log.debug("reply %s: %s", reply_id, not_ours)
        finally:
            self._saves.leave(attempt)
            self._attempts.discard(attempt)

    def stop_all(self) -> None:
        """Make every attempt hand over; returns at once."""
        for attempt in list(self._attempts):
            attempt.hand_over()

    def writes(self, reply_id: UUID) -> bool:
        """Whether this process is writing the reply."""
        return any(attempt.reply_id == reply_id for attempt in self._attempts)

    def keep(self, attempt: Attempt) -> None:
        """Renew the attempt's lease and save its checkpoints until it has ended."""
        self._saves.join(attempt)

    def drive(self, attempt: Attempt) -> None:
        """Take the attempt's steps from now on."""
        self._steps.join(attempt)

    def release(self, attempt: Attempt) -> None:
        """Take no more steps."""
        self._steps.leave(attempt)

    def wake(self) -> None:
        """Have the next step of all replies taken at once."""
        self._steps.wake()

    def _save_all(self, attempts: Sequence[Attempt]) -> None:
        """Checkpoint what is due, in one go; what cannot be saved is due again in the next round."""
        now = time.monotonic()
        for attempt in attempts:
            attempt.open_log_again(now)
        due = {attempt.reply_id: attempt for attempt in attempts if attempt.wants_saving(now)}
        checkpoints = [attempt.checkpoint() for attempt in due.values()]
        if not checkpoints:
            return
        for checkpoint, saved in self._saved(checkpoints):
            due[checkpoint.reply_id].note(checkpoint, now, saved)

    def _saved(self, checkpoints: Sequence[Checkpoint]) -> Iterator[tuple[Checkpoint, Saved]]:
        """Save all in one go, or one by one if that fails: no reply suffers from another's."""
        try:
            saved = self.live.save(checkpoints)
        except (StorageUnavailable, ConcurrentChange) as failure:
            log.warning("%d replies could not be checkpointed: %s", len(checkpoints), failure)
            return
        except Exception:
            if len(checkpoints) == 1:
                log.exception("reply %s cannot be checkpointed", checkpoints[0].reply_id)
                return
            for checkpoint in checkpoints:
                yield from self._saved([checkpoint])
            return
        for checkpoint in checkpoints:
            if checkpoint.reply_id in saved:
                yield checkpoint, saved[checkpoint.reply_id]


def _step_all(attempts: Sequence[Attempt]) -> None:
    now = time.monotonic()
    for attempt in attempts:
        attempt.step(now)
