"""What is done before the model is asked: finding passages, and an answer to the same first question."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from uuid import UUID

import pytest
from dependency_injector import providers

from adapters.in_process.cache import InProcessCache
from adapters.in_process.runtime import new_id
from adapters.sql.unit_of_work import SqlUnitOfWork
from adapters.tools.schemas import compile_schema
from application.caching import Caches, Lifetimes
from application.conversations.asking import AskQuestion
from application.conversations.commands import StartConversation
from application.knowledge.projects import OpenProject
from application.knowledge.retrieval import Findings, Mode
from application.ports.knowledge import Scope
from application.ports.persistence import StorageUnavailable
from application.ports.tools import Tool
from application.replies.answering import Pace
from application.tools import Toolbox
from domain.agents import Agent, AgentLimits, Agents
from domain.identity import SYSTEM, Principal
from domain.knowledge import Visibility
from tests.builders import ALICE, BOB
from tests.integration.test_generating import World
from tests.waiting import eventually


class ForsakenCache(InProcessCache):
    """A cache in which everything is being made by somebody who is gone."""

    def claim(self, region: str, key: str, holder: str, seconds: float) -> str:
        return str(UUID(int=0))


class LostIndex:
    """See application.knowledge.retrieval.Retrieval: there are documents, and searching them fails."""

    def find(self, question: str, scope: Scope, *, limit: int) -> Findings:
        raise StorageUnavailable("The index is away.")

    def ping(self) -> str:
        return "lost"


class SlowIndex(LostIndex):
    """Searching takes until somebody says that it is over."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def find(self, question: str, scope: Scope, *, limit: int) -> Findings:
        self.over.wait(30)
        return Findings((), Mode.TEXT)


class WordsOnly(LostIndex):
    """The embedder is away."""

    def find(self, question: str, scope: Scope, *, limit: int) -> Findings:
        return Findings((), Mode.TEXT, is_lessened=True)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> Iterator[Callable[..., World]]:
    """Opens a world with an agent and a cache of answers."""
    worlds: list[World] = []

    def open_with(agent: Agent, cache: InProcessCache, index: LostIndex | None = None) -> World:
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
            world.container.pace.override(providers.Object(Pace(renew=0.01)))
            if index is not None:
                world.container.retrieval.override(providers.Object(index))

        worlds.append(world := World(monkeypatch, data_dir, prepare))
        if index is not None:
            project = OpenProject(principal=SYSTEM, key="library", name="Library", visibility=Visibility.PUBLIC)
            world.app.projects.open(project)
        return world

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
    agent = Agent("hasty", "Takes four seconds.", "Be quick.", limits=AgentLimits(timeout=4))
    world = opened(agent, ForsakenCache(1_000_000))
    reply = ask(world, ALICE)
    done = world.generate(reply)
    world.model.say("Here ")
    eventually(lambda: world.text(reply))
    world.model.say("I am.")
    world.model.finish()

    eventually(done)
    stored = world.stored(reply)
    assert (stored["status"], stored["text"]) == ("completed", "Here I am.")


def test_an_answer_that_lacks_its_passages_is_not_given_again(opened: Callable[..., World]) -> None:
    world = opened(Agent("plain", "Answers.", "Answer."), InProcessCache(1_000_000), LostIndex())
    for _ in range(2):
        world.model.say("I do not know.")
        world.model.finish()
        eventually(world.generate(ask(world, ALICE)))

    assert len(world.model.prompts) == 2


def test_an_answer_that_was_searched_for_without_vectors_is_not_given_again(opened: Callable[..., World]) -> None:
    world = opened(Agent("plain", "Answers.", "Answer."), InProcessCache(1_000_000), WordsOnly())
    for _ in range(2):
        world.model.say("I do not know.")
        world.model.finish()
        eventually(world.generate(ask(world, ALICE)))

    assert len(world.model.prompts) == 2


def test_a_reply_keeps_its_lease_while_its_passages_are_searched_for(opened: Callable[..., World]) -> None:
    index = SlowIndex()
    world = opened(Agent("plain", "Answers.", "Answer."), InProcessCache(1_000_000), index)
    reply = ask(world, ALICE)

    def lease() -> datetime | None:
        with SqlUnitOfWork(world.container.database()) as work:
            return work.replies.peek(reply, for_=SYSTEM).lease_until

    done = world.generate(reply)
    first = eventually(lease)

    eventually(lambda: lease() != first)
    index.over.set()
    world.model.finish()
    eventually(done)
