"""One owner's time with one reply: claim it, stream what is said, and end it or hand it over."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol
from uuid import UUID

from application.knowledge.retrieval import scope_for
from application.ports.intents import Intent, IntentClassifier
from application.ports.language import ModelError, ModelStream
from application.ports.persistence import Checkpoint, ConcurrentChange, Document, Saved, StorageUnavailable
from application.replies.answering import Answering, Desk, Task, outcome_of
from application.replies.reading import ModelReader
from application.replies.recording import Record
from application.telemetry import bind, spawn
from domain.errors import LeaseLost, NotFound
from domain.identity import SYSTEM
from domain.replies import LEASE, SEQ_RESERVE, Outcome, Reply, ReplyStatus

log = logging.getLogger(__name__)


class Driver(Protocol):
    """Takes the steps of all attempts and saves their checkpoints."""

    def keep(self, attempt: Attempt) -> None:
        """Renew the attempt's lease and save its checkpoints until it has ended."""
        ...

    def drive(self, attempt: Attempt) -> None:
        """Take the attempt's steps from now on."""
        ...

    def release(self, attempt: Attempt) -> None:
        """Take no more steps."""
        ...

    def wake(self) -> None:
        """Have the next step of all replies taken at once."""
        ...


@dataclass(slots=True)
class _Flow:
    """One stream of the model's on its way into the log."""

    source: ModelReader
    stream: ModelStream
    deadline: float
    last_piece: float
    last_emit: float
    has_spoken: bool = False
    over: threading.Event = field(default_factory=threading.Event)
    outcome: Outcome | None = None
    failure: ModelError | None = None


class Attempt:
    """Writes one reply.

    A thread of its own reads the model, so that nothing here slows the upstream connection. What came is
    emitted, and it is decided whether to go on, in steps that are taken for all replies together.
    """

    def __init__(self, desk: Desk, driver: Driver, reply_id: UUID) -> None:
        self._desk = desk
        self._driver = driver
        self.reply_id = reply_id
        self._flow: _Flow | None = None
        self._cancelled = False
        self._handed_over = False
        self._lost = False
        self._epoch = 0
        self._record = Record(desk.log, reply_id, self._lose)
        self._saved = 0  # how much of the text is checkpointed
        self._saved_at = time.monotonic()
        self._first_delta_at: float | None = None
        self.text = ""
        self._to_interrupt: set[threading.Event] = set()

    def cancel(self) -> None:
        """Stop as soon as possible and keep the text."""
        self._cancelled = True
        self._interrupt()

    def hand_over(self) -> None:
        """Stop as soon as possible, because this process ends."""
        self._handed_over = True
        self._interrupt()

    def run(self) -> None:
        """Write the reply to its end; raises LeaseLost, Conflict or NotFound when it is not ours to write."""
        started = time.monotonic()
        task = self._claim(started)
        reply, telemetry = task.reply, self._desk.telemetry
        bind(conversation_id=reply.conversation_id, principal=reply.owner)
        about = {"reply_id": str(reply.id), "conversation_id": str(reply.conversation_id), "agent": reply.agent}
        with telemetry.span("reply", about, parent=reply.traceparent, since=started, kind="consumer"):
            telemetry.done("claim", since=started)
            if reply.started_at is not None and reply.attempts == 1:
                waited = (reply.started_at - reply.created_at).total_seconds()
                telemetry.metrics.observe("reply_wait_seconds", max(0.0, waited))
            self._write(task, started)

    def _write(self, task: Task, started: float) -> None:
        self._driver.keep(self)  # What is done before and between the model's streams may take a while, too.
        intent = _Classification(self._desk.intents, task)
        answering: Answering | None = None
        try:
            answering = Answering(self._desk, self, task)
            outcome = outcome_of(ReplyStatus.CANCELLED) if self._cancelled else answering.answer()
        except LeaseLost:
            raise
        except Exception:
            log.exception("reply %s: unexpected failure", self.reply_id)
            outcome = outcome_of(ReplyStatus.FAILED, "internal_error", "Something went wrong on our side.")
        if outcome is None:
            self._desk.ending.take_over(self.reply_id, if_=lambda reply, now: reply.epoch == self._epoch)
            return
        self._emit_delta()
        outcome = replace(outcome, text=self.text, metadata=self._times(started))
        if answering is not None:
            outcome = answering.complete(outcome)
        if outcome.sources:
            self.tell("reply.sources", {"sources": outcome.sources})
        with self._desk.telemetry.phase("end"):
            self._end(task.reply, outcome, intent.result())

    def _times(self, started: float) -> Document:
        times = {"response_time_ms": _milliseconds(time.monotonic() - started)}
        if self._first_delta_at is not None:
            times["time_to_first_token_ms"] = _milliseconds(self._first_delta_at - started)
        return times

    def _claim(self, started: float) -> Task:
        """Become the owner: the reply, what it answers from what, and the context of its session.

        Raises Conflict when somebody else is or was.
        """
        desk = self._desk
        with desk.start_work() as work:
            reply = work.replies.get(self.reply_id, for_=SYSTEM)
            first_seq = reply.claim(desk.now())
            agent = desk.agents.get(reply.agent, desk.agents.default)  # It may have left the file since.
            history = work.messages.window(
                reply.conversation_id,
                start=reply.window_from or 1,
                before=reply.position,
                limit=agent.limits.history or desk.limits.history,
            )
            session = work.sessions.peek(reply.session_id) if reply.session_id is not None else None
            # On this connection: two hundred replies at once would all wait a second time for one.
            scope = scope_for(work.projects, reply.owner, agent.knowledge, reply.project_id)
            work.commit()
        if history and (instructions := history[-1].metadata.get("instructions")):
            agent = agent.instructed(str(instructions))
        self._epoch = reply.epoch
        self._cancelled = self._cancelled or reply.cancel_requested_at is not None
        beginning = {"reply_id": str(reply.id), "agent": reply.agent, "attempt": reply.attempts}
        self._record.begin(epoch=reply.epoch, first_seq=first_seq, started=beginning)
        deadline = started + (agent.limits.timeout or desk.pace.timeout)
        return Task(reply, agent, history, session.context if session is not None else {}, scope, deadline)

    def tell(self, event: str, data: Document) -> None:
        """See Voice."""
        self._emit_delta()
        self._record.add(event, data)

    def restart(self) -> None:
        """See Voice."""
        self.text, self._saved, self._first_delta_at = "", 0, None
        self._record.restart()

    @property
    def is_interrupted(self) -> bool:
        """See Voice."""
        return self._cancelled or self._handed_over or self._lost

    @contextmanager
    def interrupting(self, over: threading.Event) -> Iterator[None]:
        """See Voice."""
        self._to_interrupt.add(over)
        try:
            if self.is_interrupted:
                over.set()
            yield
        finally:
            self._to_interrupt.discard(over)

    def stopped(self) -> Outcome | None:
        """See Voice."""
        if self._lost:
            raise LeaseLost(self.reply_id, self._epoch)
        return outcome_of(ReplyStatus.CANCELLED) if self._cancelled and not self._handed_over else None

    def pump(self, stream: ModelStream, deadline: float) -> tuple[Outcome | None, ModelError | None]:
        """See Voice."""
        now = time.monotonic()
        source = ModelReader(stream, self._driver.wake)
        self._flow = flow = _Flow(source, stream, deadline=deadline, last_piece=now, last_emit=now)
        self._driver.drive(self)
        try:
            flow.over.wait()
        finally:
            self._driver.release(self)
            self._flow = None
            stream.abort()
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
            log.exception("reply %s: unexpected failure", self.reply_id, extra={"reply_id": str(self.reply_id)})
            flow.outcome = outcome_of(ReplyStatus.FAILED, "internal_error", "Something went wrong on our side.")
        flow.over.set()

    def _goes_on(self, flow: _Flow, now: float) -> bool:
        pace, source = self._desk.pace, flow.source
        over = source.over  # Before the pieces are taken: none comes after it.
        if source.has_pieces:
            self._take(flow, source.take())
            flow.last_piece = now
        if len(self._record.text) < len(self.text) and (
            over or self._first_delta_at is None or now >= flow.last_emit + pace.coalesce / 2
        ):
            self._emit_delta()
            flow.last_emit = now
        if self._lost or self._handed_over:
            return False
        if self._cancelled:
            flow.outcome = outcome_of(ReplyStatus.CANCELLED)
        elif over and source.failure is None and not flow.has_spoken and not flow.stream.tool_calls:
            flow.failure = ModelError("model_failed", "The model ended its answer without a word.")
        elif over:
            flow.outcome, flow.failure = outcome_of(ReplyStatus.COMPLETED), source.failure
        elif now >= flow.deadline:
            self._give_up(flow, "reply_timeout", "The reply took too long.")
        elif now >= flow.last_piece + pace.idle_timeout:
            self._give_up(flow, "model_timeout", f"The model said nothing for {pace.idle_timeout:g} seconds.")
        else:
            return True
        return False

    def _take(self, flow: _Flow, text: str) -> None:
        if text and not flow.has_spoken:
            flow.has_spoken = True
            if self.text and not self.text.endswith("\n"):
                self.text += "\n\n"  # What was said before the tools ran stands by itself.
        self.text += text

    def _give_up(self, flow: _Flow, code: str, message: str) -> None:
        """A model that has said nothing yet has failed, and may be replaced; else what it said is kept."""
        if self.text:
            flow.outcome = outcome_of(ReplyStatus.TIMED_OUT, code, message)
        else:
            flow.failure = ModelError("model_timeout", message)

    def _emit_delta(self) -> None:
        if len(self._record.text) == len(self.text):
            return
        if self._first_delta_at is None:
            self._first_delta_at = time.monotonic()
        self._record.say(self.text)

    def open_log_again(self, now: float) -> None:
        """Open a log that is away or was lost, from time to time. This may wait for it, as no step may."""
        self._record.open_again(now)

    def wants_saving(self, now: float) -> bool:
        """Whether there is text to checkpoint, or the lease to renew."""
        pace = self._desk.pace
        if self._saved < len(self.text):
            return not self._saved or now >= self._saved_at + pace.checkpoint * 0.8
        return now >= self._saved_at + pace.renew

    def checkpoint(self) -> Checkpoint:
        """What would have to be known if this process ended now."""
        return Checkpoint(
            reply_id=self.reply_id,
            epoch=self._epoch,
            text=self.text,
            seq_ceiling=self._record.next_seq + SEQ_RESERVE,
            lease_until=self._desk.now() + LEASE,
        )

    def note(self, checkpoint: Checkpoint, now: float, saved: Saved) -> None:
        """Take note of what became of a checkpoint."""
        self._saved = len(checkpoint.text)
        self._saved_at = now
        self._lost = self._lost or saved is Saved.LOST
        self._cancelled = self._cancelled or saved is Saved.CANCEL_REQUESTED
        if self._lost or self._cancelled:
            self._interrupt()

    def _end(self, reply: Reply, outcome: Outcome, intent: Intent | None) -> None:
        """End as the owner, again and again until it is written: only here is all of the text."""
        pause = 0.1
        while True:
            try:
                self._desk.ending.end(reply, outcome, epoch=self._epoch, final_seq=self._record.next_seq, intent=intent)
                return
            except (StorageUnavailable, ConcurrentChange) as failure:
                log.warning("reply %s: could not be ended, trying again: %s", self.reply_id, failure)
            except (LeaseLost, NotFound):
                raise
            except Exception:
                if outcome.status is ReplyStatus.FAILED and not outcome.text:
                    raise
                log.exception("reply %s: cannot be written down as it is", self.reply_id)
                outcome = outcome_of(ReplyStatus.FAILED, "internal_error", "Something went wrong on our side.")
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def _lose(self) -> None:
        """Another process has taken over."""
        self._lost = True
        self._interrupt()

    def _interrupt(self) -> None:
        for over in list(self._to_interrupt):
            over.set()
        self._driver.wake()


class _Classification:
    """What kind of question it is, found out beside the answer."""

    def __init__(self, classifier: IntentClassifier | None, task: Task) -> None:
        self._found: list[Intent] = []
        self._thread: threading.Thread | None = None
        if classifier is not None and task.question:
            self._thread = spawn(self._classify, classifier, task, name="intent")

    def result(self) -> Intent | None:
        """The intent, if it is known soon."""
        if self._thread is not None:
            self._thread.join(1.0)
        return self._found[0] if self._found else None

    def _classify(self, classifier: IntentClassifier, task: Task) -> None:
        self._found.append(classifier.classify(task.question, task.agent.name))


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
