"""How well passages are found, and what it takes among many: straight from the index, with no server between.

The quality is that of `tests/retrieval`, whose vectors are a stand-in that knows the pieces of words and no meanings.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

from rich.table import Table
from tests.builders import a_document, a_project
from tests.library import Library
from tests.model_server import model_server
from tests.retrieval.labelled import MEANING, QUESTIONS, TEXT
from tests.retrieval.measuring import fill, measure
from tests.servers import PostgresServer

from adapters.openai.embeddings import OpenAIEmbedder
from adapters.sql.engine import Database, open_database
from adapters.sql.schema import Schema
from application.knowledge.retrieval import Mode
from application.ports.knowledge import Scope
from application.ports.parsing import Piece
from benchmarks.worlds import Make, embedded

_DIMENSION = 1536
_SPACE = "noise"
_VOCABULARY = 30_000
_WORDS = 140
"""Words of a passage, which has some 900 characters."""


def table(make: Make, folder: Path, *, quick: bool) -> Table:
    size = 2_000 if quick else 20_000
    folder.mkdir(parents=True, exist_ok=True)
    with _database(make, folder) as database:
        name = database.engine.dialect.name
        shown = Table("search", "recall@5", "MRR", "other words: recall@5", "ms", title=f"Retrieval, {name}")
        _quality(database, shown)
        _scale(database, size, shown)
    return shown


def _quality(database: Database, shown: Table) -> None:
    with model_server() as model:
        embedder = OpenAIEmbedder(
            api_key="none", base_url=model.url, model="embed-subwords", dimensions=2048, retries=0
        )
        library = Library(database, embedder)
        scope = fill(library)
        for mode in Mode:
            began = time.perf_counter()
            everything = measure(library, scope, QUESTIONS, mode)
            each = (time.perf_counter() - began) / len(QUESTIONS)
            other_words = measure(library, scope, MEANING, mode)
            shown.add_row(
                f"{mode}: {len(QUESTIONS)} labelled questions, {len(TEXT)} of them in the documents' words",
                f"{everything.recall:.2f}",
                f"{everything.mrr:.2f}",
                f"{other_words.recall:.2f}",
                f"{each * 1e3:.1f}",
            )
        embedder.close()


def _scale(database: Database, size: int, shown: Table) -> None:
    words = [f"{chr(97 + rank % 26)}{rank}" for rank in range(_VOCABULARY)]
    weights = list(accumulate(1 / (rank + 2.7) for rank in range(_VOCABULARY)))  # Zipf and Mandelbrot's law
    chance = random.Random(size)
    library = Library(database)
    scope = _many(library, size, lambda: " ".join(chance.choices(words, cum_weights=weights, k=_WORDS)))
    for kind, ranks in {"rare": (5000, 9000, 15000), "usual": (60, 200, 800, 5000), "common": (3, 5, 8, 12)}.items():
        asked = {words[rank]: 1.0 / (place + 1) for place, rank in enumerate(ranks)}
        shown.add_row(
            f"{size:,} passages: {len(asked)} {kind} words",
            *("",) * 3,
            f"{_milliseconds(lambda asked=asked: _look_up(library, asked, scope)):.1f}",  # type: ignore[misc]
        )
    vector = _noise()
    near = _milliseconds(lambda: library.index.nearest(vector, _SPACE, scope, limit=50))
    shown.add_row(f"{size:,} passages: nearest of vectors of {_DIMENSION:,} numbers", *("",) * 3, f"{near:.1f}")


def _look_up(library: Library, asked: dict[str, float], scope: Scope) -> None:
    library.index.frequencies(list(asked), scope)
    library.index.matching(asked, asked, scope, limit=50)


def _many(library: Library, size: int, text: Callable[[], str]) -> Scope:
    project = a_project(name="Many")
    with library.start_work() as work:
        work.projects.add(project)
        work.commit()
    at_once = 500
    for number in range(size // at_once):
        document = a_document(project, f"{number}.md")
        document.passage_count = at_once
        with library.start_work() as work:
            work.documents.add(document)
            work.passages.replace(document, [Piece(heading="", text=text()) for _ in range(at_once)])
            work.passages.embed(document.id, _SPACE, [_noise() for _ in range(at_once)])
            work.commit()
    if library.database.locks_rows:
        with library.database.at_once() as connection:
            connection.exec_driver_sql("ANALYZE")  # As autovacuum does within a minute.
    return Scope({project.id: 1})


def _noise() -> Sequence[float]:
    return array("f", [byte / 255 - 0.5 for byte in os.urandom(_DIMENSION)])


def _milliseconds(search: Callable[[], object]) -> float:
    """The median of ten, after one."""
    taken = []
    for _ in range(11):
        began = time.perf_counter()
        search()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:]) * 1e3


@contextmanager
def _database(make: Make, folder: Path) -> Iterator[Database]:
    if make is embedded:
        yield from _opened(f"sqlite:///{folder / 'parley.db'}")
    else:
        with PostgresServer(durable=True) as server:
            yield from _opened(server.url)


def _opened(url: str) -> Iterator[Database]:
    database = open_database(url)
    Schema(database).upgrade()
    try:
        yield database
    finally:
        database.dispose()
