"""Searching the passages of what somebody may see: what is remembered, and what happens without vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.openai.embeddings import OpenAIEmbedder
from adapters.sql.engine import Database, open_database
from adapters.sql.schema import Schema
from application.caching import Region
from application.knowledge.retrieval import Mode, Retrieval
from application.ports.knowledge import Embedder, EmbeddingError
from domain.agents import ALL_KNOWLEDGE, NO_KNOWLEDGE, KnowledgeScope
from domain.errors import Conflict
from domain.knowledge import Visibility
from tests.builders import ADMIN, ALICE, BOB
from tests.fakes.embedder import FakeEmbedder
from tests.library import Library
from tests.model_server import ModelServer

Embedding = Callable[..., OpenAIEmbedder]

_TIDES = "# The sea\n\nSalt water.\n\n## Tides\n\nThe moon pulls the ocean.\n\n## Storms\n\nWind raises waves.\n"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(f"sqlite:///{tmp_path / 'parley.db'}")
    Schema(database).upgrade()
    yield database
    database.dispose()


@pytest.fixture
def embedding(model: ModelServer) -> Iterator[Embedding]:
    """Makes embedders by the names of their models."""
    with ExitStack() as embedders:

        def make(name: str = "test-embedding", timeout: float = 20.0) -> OpenAIEmbedder:
            embedder = OpenAIEmbedder(api_key="test-key", base_url=model.url, model=name, retries=0, timeout=timeout)
            return embedders.enter_context(closing(embedder))

        yield make


@pytest.fixture
def plain(database: Database) -> Library:
    """Without an embedding model."""
    library = Library(database)
    library.add(library.project(), "sea.md", _TIDES)
    return library


@pytest.fixture
def library(database: Database, embedding: Embedding) -> Library:
    library = Library(database, embedding(), floor=0.2)
    library.add(library.project(), "sea.md", _TIDES)
    return library


def test_a_passage_says_where_it_stands_and_how_relevant_it_is(plain: Library) -> None:
    (found,) = plain.retrieval.search("Why are there tides?", plain.scope(), limit=5)

    assert (found.document, found.title, found.heading, found.page) == ("sea.md", "The sea", "Tides", None)
    assert found.text == "The moon pulls the ocean."
    assert found.project_id in plain.scope().projects
    assert (found.score > 0, found.relevance) == (True, 1.0)


@pytest.mark.parametrize("mode", [Mode.HYBRID, Mode.TEXT])
def test_without_an_embedding_model_passages_are_found_by_their_words(plain: Library, mode: Mode) -> None:
    found = plain.retrieval.find("tides", plain.scope(), limit=5, mode=mode)

    assert (found.mode, len(found.passages)) == (Mode.TEXT, 1)


def test_without_an_embedding_model_nothing_is_found_by_vectors(plain: Library) -> None:
    with pytest.raises(Conflict) as refused:
        plain.retrieval.find("tides", plain.scope(), limit=5, mode=Mode.VECTOR)

    assert refused.value.slug == "embeddings_off"


@pytest.mark.parametrize("mode", list(Mode))
def test_each_mode_finds_in_its_own_way(library: Library, mode: Mode) -> None:
    found = library.retrieval.find("the moon pulls", library.scope(), limit=1, mode=mode)

    assert found.mode is mode
    assert [passage.heading for passage in found.passages] == ["Tides"]


def test_passages_without_vectors_are_found_beside_those_with_some(library: Library) -> None:
    plain = Library(library.database)
    plain.add(plain.project(name="Second"), "more.md", "# More\n\nTides drive mills.")

    found = library.retrieval.search("tides", library.scope(), limit=5)

    assert {passage.document for passage in found} == {"sea.md", "more.md"}


def test_where_no_vector_can_be_compared_passages_are_found_by_their_words(library: Library) -> None:
    shorter = _with(library.retrieval, FakeEmbedder("test-embedding", dimension=8))

    for _ in range(2):  # The second time, it is remembered.
        found = shorter.find("tides", library.scope(), limit=5)
        assert (found.mode, found.is_lessened, len(found.passages)) == (Mode.TEXT, False, 1)
    found = shorter.find("tides", library.scope(), limit=5, mode=Mode.VECTOR)
    assert (found.mode, len(found.passages)) == (Mode.VECTOR, 0)


def test_everybody_searches_what_is_public_and_their_own(plain: Library) -> None:
    plain.add(plain.project(BOB, "Bob's"), "bob.md", "# Bob's tides")
    plain.add(plain.project(ADMIN, "Everybody's", Visibility.PUBLIC), "public.md", "# Public tides")

    def documents(owner: str, knowledge: KnowledgeScope = ALL_KNOWLEDGE) -> set[str]:
        scope = plain.retrieval.scope_for(owner, knowledge, None)
        return {passage.document for passage in plain.retrieval.search("tides", scope, limit=9)}

    assert documents(ALICE.key) == {"sea.md", "public.md"}
    assert documents(BOB.key) == {"bob.md", "public.md"}
    assert documents("visitor:1") == {"public.md"}
    assert documents(ALICE.key, KnowledgeScope(frozenset({"project", "bob-s"}))) == {"sea.md"}
    assert documents(ALICE.key, NO_KNOWLEDGE) == set()


def test_a_question_can_be_narrowed_to_one_project(plain: Library) -> None:
    second = plain.project(name="Second")
    plain.add(second, "more.md", "# More tides")

    scope = plain.retrieval.scope_for(ALICE.key, ALL_KNOWLEDGE, second.id)

    assert [passage.document for passage in plain.retrieval.search("tides", scope, limit=9)] == ["more.md"]


def test_what_was_found_is_remembered_until_something_else_can_be(library: Library, model: ModelServer) -> None:
    def asked() -> int:
        return len(model.embeddings)

    first = library.retrieval.search("remember  the tides", library.scope(), limit=5)
    before = asked()
    again = library.retrieval.search(" remember the tides ", library.scope(), limit=5)
    assert (again, asked()) == (first, before)

    library.add(library.project(name="Second"), "more.md", "# More\n\nRemember the tides.")
    before = asked()
    fresh = library.retrieval.search("remember the tides", library.scope(), limit=5)

    assert asked() == before, "the question's vector is remembered by itself"
    assert {passage.document for passage in fresh} == {"sea.md", "more.md"}


def test_what_is_remembered_is_forgotten_by_its_mode_or_by_its_model(library: Library) -> None:
    for mode in Mode:
        library.retrieval.search("tides", library.scope(), limit=5, mode=mode)

    def forgotten(region: Region, pattern: str) -> int:
        return library.caches.clear(region, pattern)

    assert [forgotten(Region.RETRIEVAL, f"{mode}:*") for mode in ("none", *Mode)] == [0, 1, 1, 1]
    assert [forgotten(Region.EMBEDDINGS, f"{model}:*") for model in ("another", "test-embedding")] == [0, 1]


def test_nothing_is_remembered_from_one_scope_to_another(plain: Library) -> None:
    plain.add(plain.project(BOB, "Bob's"), "bob.md", "# Bob's tides")

    found = {owner: plain.retrieval.search("tides", plain.scope(owner), limit=5) for owner in (ALICE, BOB)}

    assert [[passage.document for passage in passages] for passages in found.values()] == [["sea.md"], ["bob.md"]]


def test_while_the_embedder_is_away_passages_are_found_by_their_words(
    library: Library, embedding: Embedding, model: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    away = _with(library.retrieval, embedding("embed-500"))
    before = len(model.embeddings)

    for question in ("tides", "the tides", "storms"):
        found = away.find(question, library.scope(), limit=5)
        assert (found.mode, len(found.passages)) == (Mode.TEXT, 1)

    assert [request["input"] for request in model.embeddings[before:]] == [["tides"]]
    assert caplog.text.count("questions cannot be embedded, passages are found by their words alone") == 1
    assert "away: The embedding server failed with status 500." in away.ping()
    with pytest.raises(EmbeddingError):
        away.find("tides", library.scope(), limit=5, mode=Mode.VECTOR)


def test_an_embedder_that_says_nothing_stalls_no_question(library: Library, embedding: Embedding) -> None:
    mute = _with(library.retrieval, embedding("embed-mute", 0.2))

    assert mute.find("tides", library.scope(), limit=5).mode is Mode.TEXT


def test_vectors_that_cannot_be_used_fail_no_question(library: Library, embedding: Embedding) -> None:
    garbage = _with(library.retrieval, embedding("embed-garbage"))

    assert garbage.find("tides", library.scope(), limit=5).mode is Mode.TEXT


def test_an_embedder_that_is_back_is_asked_again(library: Library, embedding: Embedding) -> None:
    busy = _with(library.retrieval, embedding("embed-429-twice"), pause=0.0)
    question = "the moon pulls the ocean here"

    lessened = [busy.find(question, library.scope(), limit=5).is_lessened for _ in range(4)]

    assert lessened == [True, True, False, False]
    assert "away" not in busy.ping()


@pytest.mark.parametrize("question", ["", "   ", "???", "the of and", '"; DROP TABLE', "NOT *", "x" * 5000, "\u0000"])
def test_nothing_is_found_where_nothing_was_asked(library: Library, question: str) -> None:
    assert list(library.retrieval.search(question, library.scope(), limit=5, mode=Mode.TEXT)) == []
    library.retrieval.search(question, library.scope(), limit=5, mode=Mode.HYBRID)
    library.retrieval.search(question, library.scope(), limit=5, mode=Mode.VECTOR)


def test_a_long_question_is_answered_from_its_rarest_words(plain: Library) -> None:
    question = (
        "I stood at the shore and wondered for a long time about one thing: " + "what pulls the ocean, tides? " * 200
    )

    found = plain.retrieval.search(question[:5000], plain.scope(), limit=5)

    assert found[0].heading == "Tides"


def test_it_says_what_there_is_to_search(library: Library) -> None:
    assert Library(library.database).retrieval.ping().endswith("; no embedding model is configured")
    assert library.retrieval.ping().endswith("; embedded by test-embedding")


def _with(retrieval: Retrieval, embedder: Embedder, pause: float = 60.0) -> Retrieval:
    """The same, in another state."""
    return Retrieval(
        retrieval.index,
        retrieval.knowledge,
        embedder,
        replace(retrieval.caches),
        retrieval.terms_of,
        retrieval.floor,
        pause,
    )
