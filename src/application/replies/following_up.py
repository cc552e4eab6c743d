"""What a follow-up question asks for: what its own words find, and what the questions before it were about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from uuid import UUID

from application.knowledge import ranking
from application.knowledge.retrieval import Findings, Mode, Retrieval
from application.ports.knowledge import Scope
from application.ports.language import Carried, Passage

_LOOKED_AT = 5
"""How many earlier questions are looked at."""

_SUBJECTS = 2
"""How many of them a follow-up is understood from."""

_ABOUT = 0.3
"""The relevance from which on a question is about something in the documents, and not `Thanks!`."""

_WHOLE = 0.6
"""The relevance from which on a question says by itself what it is about: what it finds best comes first."""

_SHARE = 0.5
"""What a place in the list of an earlier question counts, of the same place in the list of the one after it."""

_stop_terms = lru_cache(maxsize=1)(ranking.stop_terms)


def in_context(retrieval: Retrieval, question: str, earlier: Sequence[str], scope: Scope, *, limit: int) -> Findings:
    """What bears on a question that follows `earlier` ones, the latest first.

    "How much in dollars?" finds nothing by itself. So it is searched for alone, and once more by the words of both
    with each earlier question that was about something; where both together find nothing, what that one had found is
    carried over. Searching anew rather than keeping passages means that nothing comes back which has been deleted
    since. The question's own words count most, so that a change of the subject is followed.
    """
    alone = retrieval.find(question, scope, limit=limit)
    lists = [list(alone.passages)]
    telling = _telling(question, retrieval)
    for subject, found in _subjects(retrieval, question, earlier, scope, limit):
        # The question first: of a long text only the first words are looked up.
        both = retrieval.find(f"{question}\n{subject}", scope, limit=limit, mode=Mode.TEXT).passages
        lists.append(
            [one if telling & _terms(one, retrieval) else _carried(one) for one in both]
            if both
            else [replace(_carried(one), relevance=one.relevance / 2) for one in found]
        )
    if len(lists) == 1:
        return alone
    merged = _merged(lists)
    if alone.passages and alone.passages[0].relevance >= _WHOLE:
        best = _identity(alone.passages[0])
        merged.sort(key=lambda one: _identity(one) != best)
    return replace(alone, passages=merged[:limit])


def _subjects(
    retrieval: Retrieval, question: str, earlier: Sequence[str], scope: Scope, limit: int
) -> Iterator[tuple[str, Sequence[Passage]]]:
    """The latest questions that were about something, with what they find; that is remembered from when they came."""
    known = {question}
    subjects = 0
    for before in earlier[:_LOOKED_AT]:
        if subjects == _SUBJECTS or before in known:
            continue
        known.add(before)
        found = retrieval.find(before, scope, limit=limit).passages
        if any(one.relevance >= _ABOUT for one in found):
            subjects += 1
            yield before, found


def _merged(lists: Sequence[Sequence[Passage]]) -> list[Passage]:
    """One list by reciprocal ranks, the first list counting most."""
    best: dict[tuple[UUID, str], Passage] = {}
    weight = 1.0
    for passages in lists:
        for place, one in enumerate(passages):
            key = _identity(one)
            score = weight / (2 + place)
            known = best.get(key)
            best[key] = replace(known, score=known.score + score) if known else replace(one, score=score)
        weight *= _SHARE
    return sorted(best.values(), key=lambda one: -one.score)


def _identity(passage: Passage) -> tuple[UUID, str]:
    return passage.document_id, passage.text


def _carried(passage: Passage) -> Passage:
    return Carried(**asdict(passage))


def _telling(question: str, retrieval: Retrieval) -> frozenset[str]:
    return frozenset(ranking.telling(retrieval.terms_of(question), _stop_terms(retrieval.terms_of)))


def _terms(passage: Passage, retrieval: Retrieval) -> frozenset[str]:
    return frozenset(retrieval.terms_of(f"{passage.title} {passage.heading} {passage.text}"))
