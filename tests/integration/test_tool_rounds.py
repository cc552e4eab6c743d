"""A reply whose model calls tools: rounds, limits, and what becomes of it when it is stopped in between."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from dependency_injector import providers

from adapters.tools.schemas import compile_schema
from application.ports.tools import Tool, ToolContext
from application.replies.answering import TOOL_ROUNDS
from application.replies.ending import CancelReply
from application.tools import Toolbox
from domain.agents import Agent, Agents
from domain.replies import ReplyStatus
from tests.builders import ALICE
from tests.integration.test_generating import World
from tests.waiting import eventually

_ANY = {"type": "object"}


class Workshop:
    """Tools of the tests: one that answers, and one that waits until it is let go."""

    def __init__(self) -> None:
        self.calls: list[tuple[ToolContext, Mapping[str, object]]] = []
        self.waiting = threading.Event()
        self.go = threading.Event()

    @property
    def tools(self) -> list[Tool]:
        return [
            Tool(name="note", description="Notes.", parameters=_ANY, run=self._note),
            Tool(name="wait", description="Waits.", parameters=_ANY, run=self._wait, timeout=60),
        ]

    def _note(self, context: ToolContext, arguments: Mapping[str, object]) -> object:
        self.calls.append((context, arguments))
        return {"noted": len(self.calls)}

    def _wait(self, context: ToolContext, arguments: Mapping[str, object]) -> object:
        self.waiting.set()
        self.go.wait(30)
        return "gone on"


@pytest.fixture
def workshop() -> Workshop:
    return Workshop()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, data_dir: Path, workshop: Workshop) -> Iterator[World]:
    def prepare(world: World) -> None:
        world.container.toolbox.override(providers.Object(Toolbox(workshop.tools, compile_schema)))
        agent = Agent("handy", "Has tools.", "Use them.", tools=("note", "wait"))
        world.container.agents.override(providers.Object(Agents(agent)))

    world = World(monkeypatch, data_dir, prepare)
    yield world
    workshop.go.set()
    world.model.finish()
    world.container.database().dispose()


def test_the_model_is_told_what_its_tools_said_and_answers(world: World, workshop: Workshop) -> None:
    reply = world.ask()
    done = world.generate(reply)
    world.model.say("Let me see.")
    world.model.call("note", '{"what": "this"}')
    world.model.finish()
    world.model.say("It is noted.")
    world.model.finish()

    eventually(done)
    message = world.stored(reply)["message"]
    assert message["content"] == "Let me see.\n\nIt is noted."
    (call,) = message["tool_calls"]
    assert (call["name"], call["arguments"], call["result"]) == ("note", {"what": "this"}, '{"noted": 1}')
    (context, arguments) = workshop.calls[0]
    assert (context.principal, context.reply_id, dict(arguments)) == (ALICE.key, reply, {"what": "this"})
    *_, asked, told = world.model.prompts[1].turns
    assert (asked.role, asked.content, asked.tool_calls[0].name) == ("assistant", "Let me see.", "note")
    assert (told.role, told.tool_call_id, told.content) == ("tool", "call_1", '{"noted": 1}')
    events = world.events(reply)
    assert events == [
        "reply.started",
        "reply.delta",
        "reply.tool_call",
        "reply.tool_result",
        "reply.delta",
        "reply.completed",
    ]


def test_tools_of_one_round_run_side_by_side(world: World, workshop: Workshop) -> None:
    reply = world.ask()
    done = world.generate(reply)
    world.model.call("wait", id="call_1")
    world.model.call("note", id="call_2")
    world.model.finish()

    eventually(lambda: workshop.calls)
    workshop.go.set()
    world.model.say("Done.")
    world.model.finish()

    eventually(done)
    assert [call["name"] for call in world.stored(reply)["tool_calls"]] == ["wait", "note"]


def test_after_five_rounds_no_tools_are_offered(world: World) -> None:
    reply = world.ask()
    done = world.generate(reply)
    for _ in range(TOOL_ROUNDS):
        world.model.call("note")
        world.model.finish()
    world.model.say("Enough.")
    world.model.finish()

    eventually(done)
    assert [bool(prompt.tools) for prompt in world.model.prompts] == [True] * TOOL_ROUNDS + [False]
    assert world.stored(reply)["message"]["content"] == "Enough."


def test_more_calls_at_once_than_are_run_are_refused(world: World, workshop: Workshop) -> None:
    reply = world.ask()
    done = world.generate(reply)
    for number in range(10):
        world.model.call("note", id=f"call_{number}")
    world.model.finish()
    world.model.say("So be it.")
    world.model.finish()

    eventually(done)
    errors = [call["error"] and call["error"]["code"] for call in world.stored(reply)["tool_calls"]]
    assert errors == [None] * 8 + ["tool_limit"] * 2
    assert len(workshop.calls) == 8


def test_a_reply_is_stopped_while_a_tool_runs(world: World, workshop: Workshop) -> None:
    reply = world.ask()
    done = world.generate(reply)
    world.model.say("I am looking.")
    world.model.call("wait")
    world.model.finish()
    workshop.waiting.wait(10)

    cancelled = world.app.replies.cancel(CancelReply(principal=ALICE, reply_id=reply))

    assert cancelled["status"] == "cancelled"
    eventually(done)
    message = world.stored(reply)["message"]
    assert message["content"] == "I am looking."
    assert message["tool_calls"][0]["error"]["code"] == "tool_given_up"


def test_a_reply_that_has_called_a_tool_is_not_begun_again(world: World, workshop: Workshop) -> None:
    reply = world.ask()
    done = world.generate(reply)
    world.model.call("wait")
    world.model.finish()
    workshop.waiting.wait(10)

    reaped = world.another_processs_reaper()

    assert reaped == [(reply, ReplyStatus.INTERRUPTED)]
    workshop.go.set()
    eventually(done)


def test_a_process_that_ends_while_a_tool_runs_leaves_an_interrupted_reply(world: World, workshop: Workshop) -> None:
    reply = world.ask()
    done = world.generate(reply)
    world.model.call("wait")
    world.model.finish()
    workshop.waiting.wait(10)

    world.app.replies.generate.stop_all()

    eventually(done)
    assert world.stored(reply)["status"] == "interrupted"
    (call,) = world.stored(reply)["message"]["tool_calls"]
    assert (call["name"], call["arguments"], call["error"]["code"]) == ("wait", {}, "tool_given_up")


def test_a_model_that_fails_after_its_tools_ran_is_replaced_by_the_fallback(world: World) -> None:
    fallback = type(world.model)()
    fallback.say("I can only quote.")
    fallback.finish()
    world.container.fallback.override(providers.Object(fallback))
    world.container.generate.reset()
    world.container.application.reset()
    world.app = world.container.application()
    reply = world.ask()
    done = world.generate(reply)
    world.model.call("note")
    world.model.finish()
    world.model.fail("model_failed")

    eventually(done)
    stored = world.stored(reply)
    assert stored["text"] == "I can only quote."
    assert stored["metadata"]["fallback"]["code"] == "model_failed"
    assert [call["name"] for call in stored["tool_calls"]] == ["note"]
