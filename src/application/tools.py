"""Run the tools that a model asks for: whatever goes wrong becomes a result that the model can read."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NoReturn

from application.ports.language import ToolCall, ToolSpec
from application.ports.tools import CheckArguments, CompileSchema, Tool, ToolContext, ToolFailure, ToolRun
from application.replies.reading import storable
from application.telemetry import spawn
from domain.errors import Invalid
from domain.limits import Limits

log = logging.getLogger(__name__)

SEARCH_KNOWLEDGE = ToolSpec(
    name="search_knowledge",
    description=(
        "Searches the documents for passages that bear on a question. Use it when the passages at hand do not hold "
        "the answer. The passages it returns are numbered: cite them as [1], [2]."
    ),
    parameters={
        "type": "object",
        "properties": {
            "query": {
                "type": "string",
                "minLength": 1,
                "maxLength": 500,
                "description": "What to look for, in the words that a document would use.",
            },
            "limit": {"type": "integer", "minimum": 1, "maximum": 8, "description": "How many passages at most."},
        },
        "required": ["query"],
        "additionalProperties": False,
    },
)
"""The tool that finds passages. What it finds depends on who asks, so each reply brings its own way to run it."""

RESULT_CHARACTERS = 20_000
"""How much of a result a model is given."""

_ARGUMENTS = Limits(metadata_bytes=64 * 1024)
_AT_ONCE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutcome:
    """What came of a call. `content` is what the model reads: the result or, with an `error`, what went wrong.

    `error` has a `code` (`tool_unknown`, `tool_arguments_invalid`, `tool_failed`, `tool_result_invalid`,
    `tool_timeout`, `tool_given_up`) and a `message`.
    """

    content: str
    error: Mapping[str, str] | None = None
    truncated: bool = False
    duration_ms: int = 0


def arguments_of(call: ToolCall) -> dict[str, object]:
    """The arguments that a model wrote, such as any store and any reader of JSON can hold; raises ToolFailure."""
    try:
        # Some models write nothing at all where there is nothing to say.
        arguments = json.loads(call.arguments.strip() or "{}", parse_constant=_refuse)
    except (ValueError, RecursionError) as misfit:
        raise _Refusal("tool_arguments_invalid", f"The arguments are no JSON: {misfit}.") from None
    if not isinstance(arguments, dict):
        raise _Refusal("tool_arguments_invalid", "The arguments must be a JSON object.")
    try:
        return _ARGUMENTS.metadata(arguments, "arguments")
    except Invalid as misfit:
        raise _Refusal("tool_arguments_invalid", misfit.message) from None


class Toolbox:
    """All tools of an installation. Safe to use from any thread.

    A tool runs in a thread of its own, which is left alone when the tool takes too long. So of each tool no more
    than 100 runs are under way at once: one that hangs for ever does not eat up the process.
    """

    def __init__(self, tools: Sequence[Tool], compile_schema: CompileSchema) -> None:
        searching = Tool(
            name=SEARCH_KNOWLEDGE.name,
            description=SEARCH_KNOWLEDGE.description,
            parameters=SEARCH_KNOWLEDGE.parameters,
            run=_nothing_to_search,
        )
        self._kept = {tool.name: _Kept(tool, compile_schema) for tool in (searching, *tools)}

    @property
    def names(self) -> Collection[str]:
        """What the tools are called."""
        return self._kept.keys()

    def specs(self, names: Sequence[str]) -> list[ToolSpec]:
        """What a model is told of the tools of these names; raises KeyError for one that there is not."""
        return [self._kept[name].spec for name in names]

    def run(
        self,
        call: ToolCall,
        context: ToolContext,
        *,
        allowed: Collection[str],
        within: float,
        own: Mapping[str, ToolRun] | None = None,
        over: threading.Event | None = None,
    ) -> ToolOutcome:
        """Do what the model asks for, if it is among the `allowed`; raises nothing.

        It takes at most `within` seconds, or the tool's own timeout if that is shorter. `own` runs tools of these
        names in another way, for this reply. Whoever sets `over`, a fresh event, makes the call return at once.
        """
        started = time.monotonic()
        kept = self._kept.get(call.name) if call.name in allowed else None
        if kept is None:
            there_are = ", ".join(name for name in self._kept if name in allowed) or "none"
            return _failed("tool_unknown", f"There is no tool {call.name[:100]!r}. There are: {there_are}.")
        run = (own or {}).get(call.name, kept.tool.run)
        seconds = min(within, kept.tool.timeout)
        job = _Job(kept, run, call, context, started + seconds, over or threading.Event())
        try:
            spawn(job.work, name=f"tool-{call.name}")
        except RuntimeError:
            log.exception("reply %s: the tool %s got no thread", context.reply_id, call.name)
            return _failed("tool_failed", "The tool cannot run at the moment.")
        in_time = job.over.wait(max(0.0, seconds))
        outcome = job.outcome
        if outcome is None and in_time:
            outcome = _failed("tool_given_up", "The tool was given up.")
        elif outcome is None:
            log.warning("reply %s: the tool %s took longer than %.3g s", context.reply_id, call.name, seconds)
            outcome = _failed("tool_timeout", f"The tool took longer than {max(0.0, seconds):.3g} seconds.")
        return _timed(outcome, started)


class _Kept:
    """A tool with what is made for it once."""

    def __init__(self, tool: Tool, compile_schema: CompileSchema) -> None:
        self.tool = tool
        self.spec = ToolSpec(name=tool.name, description=tool.description, parameters=tool.parameters)
        self.gate = threading.BoundedSemaphore(_AT_ONCE)
        self._compile_schema = compile_schema

    @cached_property
    def check(self) -> CheckArguments:
        """Made on first use, since most processes run few of the tools."""
        return self._compile_schema(self.tool.parameters)


@dataclass(eq=False)
class _Job:
    """One call under way."""

    kept: _Kept
    run: ToolRun
    call: ToolCall
    context: ToolContext
    deadline: float
    over: threading.Event
    outcome: ToolOutcome | None = field(default=None, init=False)

    def work(self) -> None:
        try:
            if not self.kept.gate.acquire(timeout=max(0.0, self.deadline - time.monotonic())):
                return  # Nobody waits any longer.
            try:
                self.outcome = self._outcome()
            finally:
                self.kept.gate.release()
        except BaseException:  # A plugin may even want the process to exit.
            log.exception("reply %s: the tool %s failed", self.context.reply_id, self.call.name)
            self.outcome = _failed("tool_failed", "The tool failed.")
        finally:
            if self.outcome is not None:
                self.over.set()

    def _outcome(self) -> ToolOutcome:
        try:
            arguments = arguments_of(self.call)
            if problems := self.kept.check(arguments):
                told = "; ".join(f"{field}: {problem}" for field, problem in problems.items())
                raise _Refusal("tool_arguments_invalid", f"The arguments do not fit: {told}.")
            result = self.run(self.context, arguments)
        except ToolFailure as failure:
            return _failed(failure.slug, str(failure))
        try:
            text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as misfit:
            log.error("reply %s: the tool %s returned no JSON: %s", self.context.reply_id, self.call.name, misfit)
            return _failed("tool_result_invalid", "The tool returned what is neither text nor JSON.")
        return ToolOutcome(content=_readable(text), truncated=len(text) > RESULT_CHARACTERS)


class _Refusal(ToolFailure):
    """A call that cannot be carried out as it is."""

    def __init__(self, slug: str, message: str) -> None:
        super().__init__(message)
        self.slug = slug


def _readable(text: str) -> str:
    """What a model and every store can read, and not too much of it."""
    if not text.strip():
        return "(The result is empty.)"
    readable = storable(text[:RESULT_CHARACTERS])
    if len(text) <= RESULT_CHARACTERS:
        return readable
    return f"{readable}\n\n[Cut off: these are the first {RESULT_CHARACTERS:,} of {len(text):,} characters.]"


def _failed(code: str, message: str) -> ToolOutcome:
    message = _readable(message)
    return ToolOutcome(content=f"Error: {message}", error={"code": code, "message": message})


def _timed(outcome: ToolOutcome, started: float) -> ToolOutcome:
    return ToolOutcome(
        content=outcome.content,
        error=outcome.error,
        truncated=outcome.truncated,
        duration_ms=round((time.monotonic() - started) * 1000),
    )


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _nothing_to_search(context: ToolContext, arguments: Mapping[str, object]) -> object:
    raise ToolFailure("There are no documents to search.")
