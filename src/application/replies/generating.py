"""Write one reply: claim it, ask the model, stream, keep what was said, and end as its owner or not at all."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from application.ports.language import Knowledge, LanguageModel, ModelError, ModelStream, Passage, Prompt
from application.ports.persistence import (
    Checkpoint,
    ConcurrentChange,
    LiveReplies,
    Saved,
    StartWork,
    StorageUnavailable,
)
from application.ports.runtime import Now, ReplyLog, Signals
from application.replies.ending import ReplyEnding
from application.replies.prompting import cited, prompt_from
from application.replies.reading import ModelReader
from application.replies.recording import Record
from application.replies.rounds import Rounds
from domain.agents import Agents
from domain.errors import Conflict, LeaseLost, NotFound
from domain.identity import SYSTEM
from domain.messages import Message
from domain.replies import LEASE, SEQ_RESERVE, Outcome, Reply, ReplyStatus

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When things happen while a reply is written, in seconds.

    The first delta leaves at once, later ones together after `coalesce`. Text is checkpointed
    every `checkpoint`, the lease renewed every `renew` at the latest. A reply that takes longer
    than `timeout`, or whose model says nothing for `idle_timeout`, ends as timed out; if the model
    has not said a word by then, the fallback answers, for as long again.
    """

    coalesce: float = 0.05
    checkpoint: float = 0.5
    renew: float = LEASE.total_seconds() / 3
    timeout: float = 30.0
    idle_timeout: float = 30.0


@dataclass(frozen=True)
class GenerateReply:
    """Writes a queued reply to its end; does nothing when another worker has it.

    If `model` fails before it has said anything, `fallback` answers instead and the answer is
    marked so. `stop_all` makes every reply that this handler is writing hand over at once:
    what has emitted nothing goes back to the queue, the rest ends as interrupted.
    """

    start_work: StartWork
    live: LiveReplies
    log: ReplyLog
    signals: Signals
    ending: ReplyEnding
    model: LanguageModel
    fallback: LanguageModel | None
    knowledge: Knowledge
    agents: Agents
    now: Now
    pace: Pace
    history: int
    passages: int = 4
    _attempts: set[_Attempt] = field(default_factory=set, repr=False)
    _steps: Rounds[_Attempt] = field(init=False, repr=False)
    _saves: Rounds[_Attempt] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # One thread for the steps of all replies, and one that may wait for the database.
        object.__setattr__(self, "_steps", Rounds("replies", self.pace.coalesce, _step_all))
        object.__setattr__(self, "_saves", Rounds("checkpoints", self.pace.checkpoint / 5, self._save_all))

    def __call__(self, reply_id: UUID) -> None:
        attempt = _Attempt(self, reply_id)
        self._attempts.add(attempt)
        try:
            with self.signals.listen(reply_id, attempt.cancel):
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

    def drive(self, attempt: _Attempt) -> None:
        """Take the attempt's steps and save its checkpoints from now on."""
        self._steps.join(attempt)
        self._saves.join(attempt)

    def release(self, attempt: _Attempt) -> None:
        """Take no more steps; its lease is renewed until it has ended, however long the database may be away."""
        self._steps.leave(attempt)

    def wake(self) -> None:
        """Have the next step of all replies taken at once."""
        self._steps.wake()

    def _save_all(self, attempts: Sequence[_Attempt]) -> None:
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


@dataclass(slots=True)
class _Flow:
    """One stream of the model's on its way into the log."""

    source: ModelReader
    deadline: float
    last_piece: float
    last_emit: float
    over: threading.Event = field(default_factory=threading.Event)
    outcome: Outcome | None = None
    failure: ModelError | None = None


class _Attempt:
    """One owner's time with one reply.

    A thread of its own reads the model, so that nothing here slows the upstream connection. What came is
    emitted, and it is decided whether to go on, in steps that are taken for all replies together.
    """

    def __init__(self, task: GenerateReply, reply_id: UUID) -> None:
        self._task = task
        self.reply_id = reply_id
        self._flow: _Flow | None = None
        self._cancelled = False
        self._handed_over = False
        self._epoch = 0
        self._record = Record(task.log, reply_id, self._lose)
        self._text = ""
        self._saved = 0  # how much of it is checkpointed
        self._saved_at = time.monotonic()
        self._lost = False
        self._first_delta_at: float | None = None

    def cancel(self) -> None:
        """Stop as soon as possible and keep the text."""
        self._cancelled = True
        self._task.wake()

    def hand_over(self) -> None:
        """Stop as soon as possible, because this process ends."""
        self._handed_over = True
        self._task.wake()

    def run(self) -> None:
        started = time.monotonic()
        reply, history, context = self._claim()
        metadata: dict[str, object] = {}
        passages: Sequence[Passage] = ()
        try:
            agent = self._task.agents.named(reply.agent)
            passages = self._passages_for(history)
            outcome = self._answer(prompt_from(agent, history, passages, context), started, metadata)
        except LeaseLost:
            raise
        except Exception:
            log.exception("reply %s: unexpected failure", self.reply_id)
            outcome = self._outcome(ReplyStatus.FAILED, "internal_error", "Something went wrong on our side.")
        if outcome is None:
            self._task.ending.take_over(self.reply_id, if_=lambda reply, now: reply.epoch == self._epoch)
            return
        self._emit_delta()
        sources = cited(self._text, passages)
        if sources:
            self._record.add("reply.sources", {"sources": sources})
        metadata["response_time_ms"] = _milliseconds(time.monotonic() - started)
        metadata["chunks_used"] = len(passages)
        if self._first_delta_at is not None:
            metadata["time_to_first_token_ms"] = _milliseconds(self._first_delta_at - started)
        self._end(
            reply,
            Outcome(status=outcome.status, text=self._text, error=outcome.error, sources=sources, metadata=metadata),
        )

    def _claim(self) -> tuple[Reply, Sequence[Message], Mapping[str, object]]:
        """Become the owner: the reply, what it answers, and the context of its session.

        Raises Conflict when somebody else is or was.
        """
        task = self._task
        with task.start_work() as work:
            reply = work.replies.get(self.reply_id, for_=SYSTEM)
            first_seq = reply.claim(task.now())
            history = work.messages.window(
                reply.conversation_id, start=reply.window_from or 1, before=reply.position, limit=task.history
            )
            session = work.sessions.peek(reply.session_id) if reply.session_id is not None else None
            work.commit()
        self._epoch = reply.epoch
        self._cancelled = self._cancelled or reply.cancel_requested_at is not None
        started = {"reply_id": str(reply.id), "agent": reply.agent, "attempt": reply.attempts}
        self._record.begin(epoch=reply.epoch, first_seq=first_seq, started=started)
        return reply, history, session.context if session is not None else {}

    def _passages_for(self, history: Sequence[Message]) -> Sequence[Passage]:
        if not history:
            return ()
        try:
            return self._task.knowledge.search(history[-1].content, limit=self._task.passages)
        except Exception:
            log.exception("reply %s: answering without passages, the search failed", self.reply_id)
            return ()

    def _answer(self, prompt: Prompt, started: float, metadata: dict[str, object]) -> Outcome | None:
        """How it ended, or None when this process must hand over."""
        task = self._task
        if self._cancelled:
            return self._outcome(ReplyStatus.CANCELLED)
        outcome, failure = self._pump(task.model.stream(prompt), started, metadata)
        if failure is not None and not self._text and task.fallback is not None:
            log.warning("reply %s: %s (%s), answering from the fallback", self.reply_id, failure, failure.slug)
            metadata["fallback"] = {"code": failure.slug, "message": failure.message}
            outcome, failure = self._pump(task.fallback.stream(prompt), time.monotonic(), metadata)
        if failure is not None:
            status = ReplyStatus.TIMED_OUT if failure.slug == "model_timeout" else ReplyStatus.FAILED
            return self._outcome(status, failure.slug, failure.message)
        return outcome

    def _pump(
        self, stream: ModelStream, started: float, metadata: dict[str, object]
    ) -> tuple[Outcome | None, ModelError | None]:
        """How the stream ended, or was given up; None for both when this process must hand over."""
        task = self._task
        now = time.monotonic()
        source = ModelReader(stream, task.wake)
        self._flow = flow = _Flow(source, deadline=started + task.pace.timeout, last_piece=now, last_emit=now)
        task.drive(self)
        try:
            flow.over.wait()
        finally:
            task.release(self)
            self._flow = None
            stream.abort()
            metadata.update(stream.metadata)
        if self._lost:
            raise LeaseLost(self.reply_id, self._epoch)
        return flow.outcome, flow.failure

    def step(self, now: float) -> None:
        """Emit what is due, and end the flow when it is time. Called often: it does nothing cheaply."""
        flow = self._flow
        if flow is None or flow.over.is_set():
            return
        try:
            if self._goes_on(flow, now):
                return
        except LeaseLost:
            self._lost = True
        except Exception:
            log.exception("reply %s: unexpected failure", self.reply_id)
            flow.outcome = self._outcome(ReplyStatus.FAILED, "internal_error", "Something went wrong on our side.")
        flow.over.set()

    def _goes_on(self, flow: _Flow, now: float) -> bool:
        pace, source = self._task.pace, flow.source
        over = source.over  # Before the pieces are taken: none comes after it.
        if source.has_pieces:
            self._text += source.take()
            flow.last_piece = now
        if len(self._record.text) < len(self._text) and (
            over or self._first_delta_at is None or now >= flow.last_emit + pace.coalesce / 2
        ):
            self._emit_delta()
            flow.last_emit = now
        if self._lost or self._handed_over:
            return False
        if self._cancelled:
            flow.outcome = self._outcome(ReplyStatus.CANCELLED)
        elif over and source.failure is None and not self._text:
            flow.failure = ModelError("model_failed", "The model ended its answer without a word.")
        elif over:
            flow.outcome, flow.failure = self._outcome(ReplyStatus.COMPLETED), source.failure
        elif now >= flow.deadline:
            self._give_up(flow, "reply_timeout", f"The reply took longer than {pace.timeout:g} seconds.")
        elif now >= flow.last_piece + pace.idle_timeout:
            self._give_up(flow, "model_timeout", f"The model said nothing for {pace.idle_timeout:g} seconds.")
        else:
            return True
        return False

    def _give_up(self, flow: _Flow, code: str, message: str) -> None:
        """A model that has said nothing yet has failed, and may be replaced; else what it said is kept."""
        if self._text:
            flow.outcome = self._outcome(ReplyStatus.TIMED_OUT, code, message)
        else:
            flow.failure = ModelError("model_timeout", message)

    def _emit_delta(self) -> None:
        if len(self._record.text) == len(self._text):
            return
        if self._first_delta_at is None:
            self._first_delta_at = time.monotonic()
        self._record.say(self._text)

    def open_log_again(self, now: float) -> None:
        """Open a log that is away or was lost, from time to time. This may wait for it, as no step may."""
        self._record.open_again(now)

    def wants_saving(self, now: float) -> bool:
        """Whether there is text to checkpoint, or the lease to renew."""
        pace = self._task.pace
        if self._saved < len(self._text):
            return not self._saved or now >= self._saved_at + pace.checkpoint * 0.8
        return now >= self._saved_at + pace.renew

    def checkpoint(self) -> Checkpoint:
        """What would have to be known if this process ended now."""
        return Checkpoint(
            reply_id=self.reply_id,
            epoch=self._epoch,
            text=self._text,
            seq_ceiling=self._record.next_seq + SEQ_RESERVE,
            lease_until=self._task.now() + LEASE,
        )

    def note(self, checkpoint: Checkpoint, now: float, saved: Saved) -> None:
        """Take note of what became of a checkpoint."""
        self._saved = len(checkpoint.text)
        self._saved_at = now
        self._lost = self._lost or saved is Saved.LOST
        self._cancelled = self._cancelled or saved is Saved.CANCEL_REQUESTED
        if self._lost or self._cancelled:
            self._task.wake()

    def _end(self, reply: Reply, outcome: Outcome) -> None:
        """End as the owner, again and again until it is written: only here is all of the text."""
        pause = 0.1
        while True:
            try:
                self._task.ending.end(reply, outcome, epoch=self._epoch, final_seq=self._record.next_seq)
                return
            except (StorageUnavailable, ConcurrentChange) as failure:
                log.warning("reply %s: could not be ended, trying again: %s", self.reply_id, failure)
            except (LeaseLost, NotFound):
                raise
            except Exception:
                if outcome.status is ReplyStatus.FAILED and not outcome.text:
                    raise
                log.exception("reply %s: cannot be written down as it is", self.reply_id)
                outcome = self._outcome(ReplyStatus.FAILED, "internal_error", "Something went wrong on our side.")
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def _lose(self) -> None:
        """Another process has taken over."""
        self._lost = True
        self._task.wake()

    @staticmethod
    def _outcome(status: ReplyStatus, code: str | None = None, message: str | None = None) -> Outcome:
        return Outcome(status=status, error={"code": code, "message": message or ""} if code else None)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _step_all(attempts: Sequence[_Attempt]) -> None:
    now = time.monotonic()
    for attempt in attempts:
        attempt.step(now)
