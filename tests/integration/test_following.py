"""A reply that follows another one's answer to the same first question, and when it must not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from dependency_injector import providers

from adapters.in_process.cache import InProcessCache
from adapters.tools.schemas import compile_schema
from application.caching import Caches, Lifetimes
from application.conversations.asking import AskQuestion
from application.conversations.commands import StartConversation
from application.ports.tools import Tool
from application.tools import Toolbox
from domain.agents import Agent, Agents
from domain.identity import Principal
from tests.builders import ALICE, BOB
from tests.integration.test_generating import World
from tests.waiting import eventually


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> Iterator[World]:
    """A world that caches answers, with a tool that says something of whoever asks."""

    def prepare(world: World) -> None:
        balance = Tool(
            name="balance",
            description="Tells the balance.",
            parameters={"type": "object"},
            run=lambda context, arguments: f"balance of {context.principal}",
        )
        world.container.toolbox.override(providers.Object(Toolbox([balance], compile_schema)))
        agent = Agent("banker", "Has a tool.", "Use it.", tools=("balance",))
        world.container.agents.override(providers.Object(Agents(agent)))
        caches = Caches(InProcessCache(1_000_000), Lifetimes(), world.container.ids())
        world.container.caches.override(providers.Object(caches))

    world = World(monkeypatch, data_dir, prepare)
    yield world
    world.model.finish()
    world.container.database().dispose()


def ask(world: World, asker: Principal) -> UUID:
    conversation = world.app.conversations.start(StartConversation(principal=asker))
    _, reply = world.app.conversations.ask(
        AskQuestion(principal=asker, conversation_id=conversation.id, content="What is my balance?")
    )
    return reply.id


def test_nobody_follows_an_answer_into_what_a_tool_has_said_of_somebody_else(world: World) -> None:
    leading, following = ask(world, ALICE), ask(world, BOB)
    led = world.generate(leading)
    world.model.say("Let me see. ")
    eventually(lambda: "Let me see." in world.text(leading))
    followed = world.generate(following)
    eventually(lambda: len(world.model.prompts) == 2 or "Let me see." in world.text(following))

    world.model.call("balance")
    world.model.finish()
    world.model.say("Alice has 4711.")
    eventually(lambda: "4711" in world.text(leading) + world.text(following))
    world.model.finish()
    eventually(led)

    print(world.events(following), repr(world.text(following)))
    world.model.finish()
    eventually(followed)
    assert 0
