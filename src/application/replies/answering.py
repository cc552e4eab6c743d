"""What is said in reply: what was said before, or what the model says with passages and tools at hand."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from application.knowledge.retrieval import Retrieval
from application.ports.intents import IntentClassifier
from application.ports.knowledge import Scope
from application.ports.language import LanguageModel, ModelError, ModelStream, Passage, Prompt, ToolCall, Turn
from application.ports.persistence import Document, StartWork
from application.ports.runtime import Now, ReplyLog, Signals
from application.ports.tools import ToolContext, ToolFailure
from application.replies.answers import Answers, FollowedReply, is_reusable, reused
from application.replies.ending import ReplyEnding
from application.replies.grounding import Grounding
from application.replies.metering import Meter
from application.replies.prompting import prompt_from
from application.replies.reading import storable
from application.telemetry import SILENT, Telemetry, spawn
from application.tools import SEARCH_KNOWLEDGE, Toolbox, ToolOutcome, arguments_of
from domain.agents import Agent, Agents
from domain.limits import Limits
from domain.messages import Message, Role
from domain.prices import Prices
from domain.replies import LEASE, Outcome, Reply, ReplyStatus

log = logging.getLogger(__name__)

_LEADERS = 2
"""How many other replies one follows at most, one after the other, before it asks the model itself."""

TOOL_ROUNDS = 5
"""How often a model may call tools for one reply; then it has to answer with what it has."""

_CALLS_AT_ONCE = 8
"""How many calls of one round are run; the model is told that there were too many."""

_RAW_ARGUMENTS = 2_000
"""Characters that are kept of arguments which cannot be read."""


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


@dataclass(frozen=True, slots=True)
class Desk:
    """What is needed to write replies.

    If `model` fails before it has said anything, `fallback` answers instead and the answer is marked so.
    """

    start_work: StartWork
    log: ReplyLog
    signals: Signals
    ending: ReplyEnding
    model: LanguageModel
    fallback: LanguageModel | None
    retrieval: Retrieval
    answers: Answers
    toolbox: Toolbox
    intents: IntentClassifier | None
    agents: Agents
    prices: Prices
    now: Now
    pace: Pace
    limits: Limits
    telemetry: Telemetry = SILENT


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be answered, by whom, from what, until when (on the monotonic clock)."""

    reply: Reply
    agent: Agent
    history: Sequence[Message]
    context: Mapping[str, object]
    scope: Scope
    deadline: float

    @property
    def question(self) -> str:
        """The last message of the window."""
        return self.history[-1].content if self.history else ""

    @property
    def earlier(self) -> Sequence[str]:
        """The questions of the window before it, the latest first."""
        return [message.content for message in self.history[-2::-1] if message.role is Role.USER]


class Voice(Protocol):
    """How a reply reaches those who watch it."""

    text: str
    """What was said so far."""

    @property
    def is_interrupted(self) -> bool:
        """Whether the reply is to stop, for whatever reason."""
        ...

    def interrupting(self, over: threading.Event) -> AbstractContextManager[None]:
        """Set `over` as soon as the reply is to stop, while the context is open."""
        ...

    def pump(self, stream: ModelStream, deadline: float) -> tuple[Outcome | None, ModelError | None]:
        """Say what a stream says: how it ended, or was given up; None for both when this process must hand over.

        Raises LeaseLost.
        """
        ...

    def stopped(self) -> Outcome | None:
        """How it ends when it was interrupted; None when this process must hand over. Raises LeaseLost."""
        ...

    def restart(self) -> None:
        """Begin anew: what was said so far was not said."""
        ...

    def tell(self, event: str, data: Document) -> None:
        """Add an event to the log."""
        ...


class Answering:
    """Finds out what to say to one question; holds what belongs to the answer beside its text."""

    def __init__(self, desk: Desk, voice: Voice, task: Task) -> None:
        self._desk = desk
        self._voice = voice
        self._task = task
        tokens = task.agent.limits.passage_tokens or desk.limits.passage_tokens
        self._grounding = Grounding(desk.retrieval, task.scope, tokens)
        self._lacks_passages = False
        self.sources: list[Document] = []
        self.tool_calls: list[Document] = []
        self.metadata: dict[str, Any] = {}
        self._meter = Meter(desk.prices)

    def answer(self) -> Outcome | None:
        """How it ended, or None when this process must hand over; raises LeaseLost."""
        answers, reply, task = self._desk.answers, self._task.reply, self._task
        key = answers.key(reply, task.agent, task.history, task.context, self._grounding.scope)
        if key is None:
            return self._converse()
        if (kept := answers.kept(key)) is not None:
            return self._repeat(kept)
        for _ in range(_LEADERS):
            left = max(1.0, task.deadline - time.monotonic())
            if (followed := answers.follow(key, reply.id, task.agent, seconds=left)) is None:
                break
            outcome, failure = self._follow(followed)
            if failure is None:
                return outcome
        try:
            outcome = self._converse()
            if outcome is not None:
                self._keep(key, outcome)
        finally:
            answers.give_up(key, by=reply.id)
        return outcome

    def complete(self, outcome: Outcome) -> Outcome:
        """The outcome with what belongs to the answer beside its text."""
        return replace(
            outcome,
            sources=self.sources,
            tool_calls=self.tool_calls or None,
            metadata={**self.metadata, **outcome.metadata},
        )

    def _repeat(self, kept: Document) -> Outcome:
        """Say what was said to this question before."""
        self._voice.text, self.sources, self.tool_calls = kept["text"], kept["sources"], kept["tool_calls"]
        self.metadata |= kept["metadata"]
        return outcome_of(ReplyStatus.COMPLETED)

    def _follow(self, followed: FollowedReply) -> tuple[Outcome | None, ModelError | None]:
        """Say what another reply is saying to the same question; without a good end there, nothing was said here."""
        outcome, failure = self._voice.pump(followed, self._task.deadline)
        if failure is None:
            self.sources = list(followed.message.get("sources") or ())
            self.tool_calls = list(followed.message.get("tool_calls") or ())
            self.metadata |= followed.metadata
        else:
            log.info("reply %s: asks the model itself, the one that it followed has failed", self._task.reply.id)
            self._voice.restart()
        return outcome, failure

    def _keep(self, key: str, outcome: Outcome) -> None:
        answer = {
            "status": outcome.status.value,
            "text": self._voice.text,
            "sources": self.sources,
            "tool_calls": self.tool_calls,
            "metadata": self.metadata,
        }
        if is_reusable(answer) and not self._lacks_passages and not self._grounding.is_lessened:
            self._desk.answers.keep(key, {**answer, "metadata": reused(self.metadata)}, by=self._task.reply.id)

    def _converse(self) -> Outcome | None:
        """Have the model answer; note what the answer rests on and what it cost."""
        desk, task = self._desk, self._task
        prompt = prompt_from(
            task.agent, task.history, self._gathered(), task.context, desk.toolbox.specs(task.agent.tools)
        )
        outcome, failure = self._in_rounds(prompt)
        if failure is not None and not self._voice.text and desk.fallback is not None:
            log.warning("reply %s: %s (%s), answering from the fallback", task.reply.id, failure, failure.slug)
            self.metadata = {"fallback": {"code": failure.slug, "message": failure.message}}
            stream = desk.fallback.stream(prompt)
            outcome, failure = self._pump(stream, prompt, prompt.turns, time.monotonic() + desk.pace.timeout)
        self.sources = self._grounding.sources(self._voice.text)
        self.metadata |= self._meter.metadata
        self.metadata["chunks_used"] = len(self._grounding.passages)
        self.metadata["confidence"] = self._grounding.confidence(self._voice.text)
        if failure is not None:
            status = ReplyStatus.TIMED_OUT if failure.slug == "model_timeout" else ReplyStatus.FAILED
            return outcome_of(status, failure.slug, failure.message)
        return outcome

    def _gathered(self) -> Sequence[Passage]:
        wanted = self._task.agent.limits.passages
        limit = self._desk.limits.passages if wanted is None else wanted
        if not self._task.question:
            return ()
        try:
            with self._desk.telemetry.phase("retrieval") as span:
                gathered = self._grounding.gather(self._task.question, limit=limit, earlier=self._task.earlier)
                span.note(passages=len(gathered))
                return gathered
        except Exception:
            log.exception("reply %s: answering without passages, the search failed", self._task.reply.id)
            self._lacks_passages = True
            return ()

    def _in_rounds(self, prompt: Prompt) -> tuple[Outcome | None, ModelError | None]:
        """Ask the model, run the tools that it calls, and ask it again, until it has answered."""
        turns = list(prompt.turns)
        rounds_left = TOOL_ROUNDS if prompt.tools else 0
        while True:
            stream = self._desk.model.stream(replace(prompt, turns=turns, tools=prompt.tools if rounds_left else ()))
            said = len(self._voice.text)
            outcome, failure = self._pump(stream, prompt, turns, self._task.deadline)
            is_done = outcome is None or failure is not None or outcome.status is not ReplyStatus.COMPLETED
            if is_done or not stream.tool_calls:
                return outcome, failure
            if not rounds_left:
                never = ModelError("model_failed", "The model went on calling tools instead of answering.")
                return outcome, None if self._voice.text else never
            rounds_left -= 1
            words = self._voice.text[said:].strip()
            turns.append(Turn(role="assistant", content=words, tool_calls=stream.tool_calls))
            turns += self._called(stream.tool_calls)
            if self._voice.is_interrupted:
                return self._voice.stopped(), None
            if time.monotonic() >= self._task.deadline:
                return outcome_of(ReplyStatus.TIMED_OUT, "reply_timeout", "The reply took too long."), None

    def _called(self, calls: Sequence[ToolCall]) -> list[Turn]:
        """Run tools side by side; the turns that tell the model what came of it, in the order of the calls."""
        for call in calls:
            self._voice.tell("reply.tool_call", {"id": call.id, "name": call.name, "arguments": _shown(call)})
        outcomes: list[ToolOutcome] = [_TOO_MANY] * len(calls)

        def run(place: int, call: ToolCall) -> None:
            outcomes[place] = self._run(call)

        threads = [spawn(run, place, call, name="tool-call") for place, call in enumerate(calls[:_CALLS_AT_ONCE])]
        for thread in threads:
            thread.join()
        for call, outcome in zip(calls, outcomes, strict=True):
            self._note(call, outcome)
        return [
            Turn(role="tool", content=outcome.content, tool_call_id=call.id)
            for call, outcome in zip(calls, outcomes, strict=True)
        ]

    def _run(self, call: ToolCall) -> ToolOutcome:
        task = self._task
        context = ToolContext(
            principal=task.reply.owner,
            conversation_id=task.reply.conversation_id,
            reply_id=task.reply.id,
            agent=task.agent.name,
            project_id=task.reply.project_id,
            now=self._desk.now(),
        )
        over = threading.Event()
        name = call.name if call.name in self._desk.toolbox.names else "unknown"
        with self._voice.interrupting(over), self._desk.telemetry.phase("tool", tool=name) as span:
            outcome = self._desk.toolbox.run(
                call,
                context,
                allowed=task.agent.tools,
                within=task.deadline - time.monotonic(),
                own={SEARCH_KNOWLEDGE.name: self._grounding.search},
                over=over,
            )
            if outcome.error is not None:
                span.fail(outcome.error["code"])
            return outcome

    def _note(self, call: ToolCall, outcome: ToolOutcome) -> None:
        result: Document = {
            "id": call.id,
            "name": call.name,
            "result": outcome.content,
            "error": dict(outcome.error) if outcome.error is not None else None,
            "truncated": outcome.truncated,
            "duration_ms": outcome.duration_ms,
        }
        self._voice.tell("reply.tool_result", result)
        self.tool_calls.append(result | {"arguments": _shown(call)})

    def _pump(
        self, stream: ModelStream, prompt: Prompt, turns: Sequence[Turn], deadline: float
    ) -> tuple[Outcome | None, ModelError | None]:
        """Say what the model says when it is asked with `turns`; note what it tells of itself, and what it used."""
        before = len(self._voice.text)
        with self._desk.telemetry.phase("model", kind="client") as span:
            try:
                outcome, failure = self._voice.pump(stream, deadline)
                if failure is not None:
                    span.fail(failure.slug)
                return outcome, failure
            finally:
                self.metadata.update(stream.metadata)
                wanted = "".join(call.arguments for call in stream.tool_calls)
                self._meter.add(stream.metadata, prompt, turns, self._voice.text[before:] + wanted)
                span.note(model=str(stream.metadata.get("model")), **_used(stream.metadata))


def _used(told: Mapping[str, object]) -> Mapping[str, int]:
    """The tokens that a stream told of."""
    usage = told.get("usage")
    return usage if isinstance(usage, dict) else {}


_TOO_MANY = ToolOutcome(
    content=f"Error: Only {_CALLS_AT_ONCE} tools can be called at once.",
    error={"code": "tool_limit", "message": f"Only {_CALLS_AT_ONCE} tools can be called at once."},
)


def outcome_of(status: ReplyStatus, code: str | None = None, message: str | None = None) -> Outcome:
    """An end without its text, which is added when the end is written."""
    return Outcome(status=status, error={"code": code, "message": message or ""} if code else None)


def _shown(call: ToolCall) -> object:
    """The arguments of a call as they are kept and shown; what cannot be read as text."""
    try:
        return arguments_of(call)
    except ToolFailure:
        return storable(call.arguments[:_RAW_ARGUMENTS])
