"""How much of what was asked is found, measured on labelled questions in ten languages.

The vectors are a stand-in: they know the pieces of words and nothing of what words mean. What a real model adds is
not measured here; that adding vectors costs nothing of what words find, is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from adapters.openai.embeddings import OpenAIEmbedder
from adapters.sql.engine import open_database
from adapters.sql.schema import Schema
from application.knowledge.retrieval import Mode
from application.ports.knowledge import Scope
from application.ports.language import Carried
from tests.library import Library
from tests.model_server import ModelServer
from tests.retrieval.labelled import CHANGES, FOLLOW_UPS, MEANING, OFF_TOPIC, QUESTIONS, TEXT, Labelled
from tests.retrieval.measuring import fill, grounded, measure, measure_in_context
from tests.servers import a_postgres_database


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def library(
    request: pytest.FixtureRequest, model: ModelServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Library]:
    with ExitStack() as parts:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path_factory.mktemp('labelled') / 'parley.db'}"
        else:
            url = parts.enter_context(a_postgres_database())
        database = open_database(url)
        parts.callback(database.dispose)
        Schema(database).upgrade()
        embedder = OpenAIEmbedder(
            api_key="test-key", base_url=model.url, model="embed-subwords", dimensions=2048, retries=0
        )
        parts.callback(embedder.close)
        library = Library(database, embedder)
        fill(library)
        yield library


@pytest.fixture
def scope(library: Library) -> Scope:
    return library.scope()


def test_what_is_asked_in_the_words_of_the_documents_is_found_by_its_words(library: Library, scope: Scope) -> None:
    by_words = measure(library, scope, TEXT, Mode.TEXT)

    assert by_words.recall >= 0.95
    assert by_words.mrr >= 0.95


def test_what_is_asked_in_other_words_is_found_by_vectors(library: Library, scope: Scope) -> None:
    by_words = measure(library, scope, MEANING, Mode.TEXT)
    by_vectors = measure(library, scope, MEANING, Mode.VECTOR)
    by_both = measure(library, scope, MEANING, Mode.HYBRID)

    assert by_vectors.recall >= by_words.recall + 0.25
    assert by_both.recall >= by_vectors.recall


def test_both_together_find_as_much_as_each_alone(
    library: Library, scope: Scope, record_property: Callable[[str, str], None]
) -> None:
    measured = {mode: measure(library, scope, QUESTIONS, mode) for mode in Mode}
    shown = ", ".join(f"{mode} {one.recall:.2f}/{one.mrr:.2f}" for mode, one in measured.items())
    record_property("retrieved", f"recall@5/MRR of {len(QUESTIONS)} labelled questions: {shown}")

    both = measured[Mode.HYBRID]
    assert both.recall >= 0.85
    assert both.mrr >= 0.8
    assert both.recall >= max(measured[Mode.TEXT].recall, measured[Mode.VECTOR].recall) - 0.02
    assert both.mrr >= max(measured[Mode.TEXT].mrr, measured[Mode.VECTOR].mrr) - 0.02


@pytest.mark.parametrize("question", OFF_TOPIC)
def test_a_question_about_something_else_finds_nothing_by_its_words(
    library: Library, scope: Scope, question: str
) -> None:
    assert list(library.retrieval.search(question, scope, limit=5, mode=Mode.TEXT)) == []


def test_a_question_about_something_else_finds_little_that_is_relevant(library: Library, scope: Scope) -> None:
    relevances = [
        passage.relevance
        for question in OFF_TOPIC
        for passage in library.retrieval.search(question, scope, limit=5, mode=Mode.HYBRID)
    ]

    assert all(relevance < 0.3 for relevance in relevances)


@pytest.mark.parametrize("with_vectors", [True, False])
def test_a_follow_up_is_understood_from_the_questions_before_it(
    library: Library, scope: Scope, with_vectors: bool, record_property: Callable[[str, str], None]
) -> None:
    used = library if with_vectors else Library(library.database)

    by_itself = measure_in_context(used, scope, [replace(one, earlier=()) for one in FOLLOW_UPS])
    in_context = measure_in_context(used, scope, FOLLOW_UPS)

    shown = f"{by_itself.recall:.2f}/{by_itself.mrr:.2f}, in context {in_context.recall:.2f}/{in_context.mrr:.2f}"
    record_property("followed", f"recall@4/MRR of {len(FOLLOW_UPS)} follow-ups by themselves: {shown}")
    assert in_context.recall >= max(0.95, by_itself.recall + 0.5)
    assert in_context.mrr >= 0.9


@pytest.mark.parametrize("with_vectors", [True, False])
def test_a_change_of_the_subject_is_followed(library: Library, scope: Scope, with_vectors: bool) -> None:
    used = library if with_vectors else Library(library.database)

    alone = measure_in_context(used, scope, [replace(one, earlier=()) for one in CHANGES])

    assert measure_in_context(used, scope, CHANGES) == alone
    assert alone.recall >= 0.95


@pytest.mark.parametrize("question", OFF_TOPIC)
def test_nothing_that_an_earlier_question_found_counts_as_found_for_another(
    library: Library, scope: Scope, question: str
) -> None:
    asked = Labelled(question, frozenset(), earlier=("How long is the warranty on a frame?",))
    grounding = grounded(Library(library.database), scope, asked)

    assert all(isinstance(passage, Carried) for passage in grounding.passages)
    assert grounding.confidence("I do not know.") == 0.0
