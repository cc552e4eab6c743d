"""First questions whose answers are shared: which reply follows another one, and what is kept for the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from dependency_injector import providers

from adapters.in_process.cache import InProcessCache
from adapters.in_process.runtime import new_id
from adapters.tools.schemas import compile_schema
from application.caching import Caches, Lifetimes
from application.conversations.asking import AskQuestion
from application.conversations.commands import StartConversation
from application.ports.knowledge import Scope
from application.ports.language import Passage
from application.ports.persistence import StorageUnavailable
from application.ports.tools import Tool
from application.tools import Toolbox
from domain.agents import Agent, AgentLimits, Agents, KnowledgeScope
from domain.identity import Principal
from tests.builders import ALICE, BOB
from tests.integration.test_generating import World
from tests.waiting import eventually


class ForsakenCache(InProcessCache):
    """A cache in which everything is being made by somebody who is gone."""

    def claim(self, region: str, key: str, holder: str, seconds: float) -> str:
        return str(UUID(int=0))


class LostIndex:
    """See application.knowledge.retrieval.Retrieval: there are documents, and searching them fails."""

    def scope_for(self, owner: str, knowledge: KnowledgeScope, project_id: UUID | None) -> Scope:
        return Scope({uuid4(): 1})

    def search(self, question: str, scope: Scope, *, limit: int) -> Sequence[Passage]:
        raise StorageUnavailable("The index is away.")

    def ping(self) -> str:
        return "lost"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> Iterator[Callable[..., World]]:
    """Opens a world with an agent and a cache of answers."""
    worlds: list[World] = []

    def open_with(agent: Agent, cache: InProcessCache) -> World:
        def prepare(world: World) -> None:
            balance = Tool(
                name="balance",
                description="Tells the balance.",
                parameters={"type": "object"},
                run=lambda context, arguments: f"balance of {context.principal}",
            )
            world.container.toolbox.override(providers.Object(Toolbox([balance], compile_schema)))
            world.container.agents.override(providers.Object(Agents(agent)))
            world.container.caches.override(providers.Object(Caches(cache, Lifetimes(), new_id)))

        worlds.append(World(monkeypatch, data_dir, prepare))
        return worlds[-1]

    yield open_with
    for world in worlds:
        world.model.finish()
        world.container.database().dispose()


def ask(world: World, asker: Principal) -> UUID:
    conversation = world.app.conversations.start(StartConversation(principal=asker))
    _, reply = world.app.conversations.ask(
        AskQuestion(principal=asker, conversation_id=conversation.id, content="What is my balance?")
    )
    return reply.id


def test_nobody_follows_an_answer_that_a_tool_may_make_somebody_elses(opened: Callable[..., World]) -> None:
    world = opened(Agent("banker", "Has a tool.", "Use it.", tools=("balance",)), InProcessCache(1_000_000))
    leading, following = ask(world, ALICE), ask(world, BOB)
    led = world.generate(leading)
    world.model.say("Dear Alice")
    eventually(lambda: world.text(leading) == "Dear Alice")

    followed = world.generate(following)

    eventually(lambda: len(world.model.prompts) == 2)
    assert world.text(following) == ""
    world.model.finish()
    world.model.say("Dear Bob")
    world.model.finish()
    eventually(lambda: led() and followed())


def test_who_follows_a_reply_that_says_nothing_asks_the_model_in_time(opened: Callable[..., World]) -> None:
    agent = Agent("hasty", "Takes two seconds.", "Be quick.", limits=AgentLimits(timeout=2))
    world = opened(agent, ForsakenCache(1_000_000))
    world.model.say("Here I am.")
    world.model.finish()
    reply = ask(world, ALICE)

    eventually(world.generate(reply))

    stored = world.stored(reply)
    assert (stored["status"], stored["text"]) == ("completed", "Here I am.")


def test_an_answer_that_lacks_its_passages_is_not_given_again(opened: Callable[..., World]) -> None:
    world = opened(Agent("plain", "Answers.", "Answer."), InProcessCache(1_000_000))
    world.container.retrieval.override(providers.Object(LostIndex()))
    world.container.application.reset()
    world.container.generate.reset()
    world.app = world.container.application()
    for _ in range(2):
        world.model.say("I do not know.")
        world.model.finish()
        eventually(world.generate(ask(world, ALICE)))

    assert len(world.model.prompts) == 2
