"""How well passages are found: recall and reciprocal rank over labelled questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from application.knowledge.retrieval import Mode
from application.ports.knowledge import Scope
from application.ports.language import Passage
from application.ports.parsing import WITHIN
from application.replies.grounding import Grounding
from tests.library import Library
from tests.retrieval.labelled import DOCUMENTS, Labelled

DEPTH = 5
GIVEN = 4


@dataclass(frozen=True)
class Measure:
    """`recall`: the share of questions with an answer among the first 5; `mrr`: the mean of 1 / its place, or 0."""

    recall: float
    mrr: float


def fill(library: Library) -> Scope:
    """Have the labelled documents found."""
    project = library.project()
    for name, content in DOCUMENTS.items():
        library.add(project, name, content)
    return library.scope()


def measure(library: Library, scope: Scope, questions: Sequence[Labelled], mode: Mode) -> Measure:
    return _measured(
        [place_of(library.retrieval.search(one.question, scope, limit=DEPTH, mode=mode), one) for one in questions]
    )


def measure_in_context(library: Library, scope: Scope, questions: Sequence[Labelled]) -> Measure:
    """The same, each question in its conversation."""
    return _measured([place_of(grounded(library, scope, one).passages, one) for one in questions])


def grounded(library: Library, scope: Scope, asked: Labelled) -> Grounding:
    """What a model is given with a question of a conversation, and as much as it is."""
    grounding = Grounding(library.retrieval, scope, tokens=2_000)
    grounding.gather(asked.question, limit=GIVEN, earlier=asked.earlier[::-1])
    return grounding


def _measured(places: Sequence[int | None]) -> Measure:
    found = [place for place in places if place is not None]
    return Measure(len(found) / len(places), sum(1 / place for place in found) / len(places))


def place_of(found: Sequence[Passage], labelled: Labelled) -> int | None:
    """The place of the first passage that answers, from 1."""
    for place, passage in enumerate(found, start=1):
        if f"{passage.document} › {passage.heading.rpartition(WITHIN)[2]}" in labelled.answers:
            return place
    return None
