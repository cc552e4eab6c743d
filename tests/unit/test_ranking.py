"""Which passages bear on a question, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.words import terms_of
from application.knowledge import ranking
from application.knowledge.ranking import Asked, Ranked
from application.ports.knowledge import Found

_STOP_TERMS = ranking.stop_terms(terms_of)


def test_words_that_say_nothing_are_not_looked_for() -> None:
    for question in (
        "How do I restore a deleted room?",
        "Wie kann ich restore deleted room?",
        "¿Cómo puedo restore deleted room?",
        "Comment est-ce que je peux restore deleted room ?",
    ):
        assert ranking.telling(terms_of(question), _STOP_TERMS) == ["restor", "delet", "room"], question
    assert ranking.telling(terms_of("Where is it, and why?"), _STOP_TERMS) == []


def test_a_term_is_looked_for_once_and_of_a_long_question_only_the_rarest_are() -> None:
    question = [f"word{number}" for number in range(1000)] * 2

    telling = ranking.telling(question, frozenset())
    asked = ranking.asked_for(question, telling, {term: 1000 - place for place, term in enumerate(telling)}, 2000)

    assert len(telling) == 128
    assert list(asked.weights) == [f"word{number}" for number in range(127, 95, -1)]


def test_a_rarer_term_weighs_more() -> None:
    asked = ranking.asked_for([], ["rare", "common"], {"rare": 1, "common": 90}, 100)

    assert asked.weights["rare"] > 2 * asked.weights["common"]


def test_what_most_of_many_passages_hold_tells_nothing() -> None:
    assert set(ranking.asked_for([], ["jak", "zwrot"], {"jak": 1900, "zwrot": 3}, 2000).weights) == {"zwrot"}
    assert set(ranking.asked_for([], ["jak", "zwrot"], {"jak": 19, "zwrot": 3}, 20).weights) == {"jak", "zwrot"}
    assert set(ranking.asked_for([], ["jak"], {"jak": 1900}, 2000).weights) == {"jak"}


def test_a_passage_that_holds_little_of_what_is_asked_for_does_not_bear_on_it() -> None:
    held = _asked("warranty bicycle", frequencies={"warranti": 3, "bicycl": 3})
    missed = _asked("capital of warranty France", frequencies={"warranti": 3})

    assert _numbers(ranking.by_words(held, [_found(1, "The warranty.")], terms_of)) == [1]
    assert _numbers(ranking.by_words(missed, [_found(1, "The warranty.")], terms_of)) == []


def test_relevance_is_the_share_of_what_is_asked_for() -> None:
    asked = _asked("warranty bicycle", frequencies={"warranti": 3, "bicycl": 3})

    both, one = ranking.by_words(asked, [_found(1, "The warranty."), _found(2, "A bicycle's warranty")], terms_of)

    assert _numbers([both, one]) == [2, 1]
    assert [both.relevance, one.relevance] == pytest.approx([1.0, 0.5])


def test_an_identifier_that_stands_nowhere_is_asked_for_by_its_words() -> None:
    asked = _asked("What is in settings.py?", frequencies={"set": 2, "py": 1})

    assert ranking.by_words(asked, [_found(1, "Settings in py")], terms_of)[0].relevance == pytest.approx(1.0)


def test_letters_cut_across_two_words_are_hardly_missed() -> None:
    asked = _asked("如何取消我的回复？", frequencies={"取消": 1, "回复": 2})

    assert ranking.by_words(asked, [_found(1, "取消一个回复。")], terms_of)[0].relevance > 0.6


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"heading": "Warranty", "text": "Two years."}, {"heading": "Other", "text": "The warranty is two years."}),
        ({"heading": "A › Warranty"}, {"heading": "Warranty › A"}),
        ({"title": "Warranty", "text": "Two."}, {"title": "Terms", "text": "Some words on the warranty."}),
        ({"text": "Warranty, warranty, warranty."}, {"text": "Warranty, delivery, returns."}),
        ({"text": "Warranty."}, {"text": "Warranty. " + "Something else. " * 60}),
        ({"heading": "What is the warranty"}, {"heading": "Warranty of bicycles and of other things"}),
    ],
)
def test_words_count_by_where_and_how_densely_they_stand(better: dict[str, str], worse: dict[str, str]) -> None:
    asked = _asked("What is the warranty?", frequencies={"warranti": 5})

    found = [
        _found(number, given.get("text", ""), heading=given.get("heading", ""), title=given.get("title", ""))
        for number, given in ((1, worse), (2, better))
    ]

    assert _numbers(ranking.by_words(asked, found, terms_of)) == [2, 1]


def test_only_what_is_near_enough_bears_on_a_question_by_its_meaning() -> None:
    asked = _asked("warranty", frequencies={})
    found = [_found(number, "", similarity=similarity) for number, similarity in enumerate([0.9, 0.29, None, 0.3, -1])]

    ranked = ranking.by_meaning(asked, found, terms_of, 0.3)

    assert _numbers(ranked) == [0, 3]
    assert [one.relevance for one in ranked] == [pytest.approx(6 / 7), pytest.approx(0.0)]


def test_a_passage_that_is_near_and_speaks_of_it_is_more_relevant_than_either() -> None:
    asked = _asked("warranty bicycle", frequencies={"warranti": 3, "bicycl": 3})

    (ranked,) = ranking.by_meaning(asked, [_found(1, "Warranty", similarity=0.65)], terms_of, 0.3)

    assert ranked.relevance == pytest.approx(1 - 0.5 * 0.5)


def test_a_floor_of_one_lets_only_the_same_through() -> None:
    asked = _asked("warranty", frequencies={})

    (ranked,) = ranking.by_meaning(asked, [_found(1, "", similarity=1.0)], terms_of, 1.0)

    assert ranked.relevance == 1.0


def test_what_is_high_in_two_lists_comes_before_what_is_first_in_one() -> None:
    words = [_ranked(1, relevance=0.5), _ranked(2, relevance=0.2), _ranked(3)]
    meaning = [_ranked(4), _ranked(2, relevance=0.4), _ranked(5)]

    fused = ranking.fused(words, meaning)

    assert _numbers(fused) == [2, 1, 4, 3, 5]
    assert fused[0].relevance == 0.4
    assert all(0 < one.score <= 1 for one in fused)
    assert ranking.fused([_ranked(1)], [_ranked(1)])[0].score == pytest.approx(1.0)


def test_what_says_the_same_again_is_left_out() -> None:
    text = "The warranty of a bicycle lasts for two years from its delivery"
    ranked = [_ranked(1, text), _ranked(2, text + "."), _ranked(3, "Something else"), _ranked(4, text.upper())]

    assert _numbers(ranking.without_repeats(ranked, terms_of, limit=9)) == [1, 3]
    assert _numbers(ranking.without_repeats(ranked, terms_of, limit=1)) == [1]


@given(st.text(max_size=300), st.lists(st.text(max_size=200), max_size=5))
def test_any_text_can_be_asked_and_found(question: str, texts: list[str]) -> None:
    terms = terms_of(question)
    telling = ranking.telling(terms, _STOP_TERMS)
    found = [_found(number, text, similarity=0.5) for number, text in enumerate(texts)]
    frequencies = {term: 1 for term in telling if any(term in terms_of(text) for text in texts)}
    asked = ranking.asked_for(terms, telling, frequencies, len(texts))

    lists = ranking.by_words(asked, found, terms_of), ranking.by_meaning(asked, found, terms_of, 0.3)

    for one in ranking.without_repeats(ranking.fused(*lists), terms_of, limit=5):
        assert 0 <= one.relevance <= 1.0000001
        assert 0 < one.score <= 1.0000001


@given(st.text(max_size=500))
def test_terms_are_short_and_hold_no_signs_of_their_own(text: str) -> None:
    for term in terms_of(text):
        assert 1 <= len(term) <= 64
        assert not set(term) & set("'\"\\ \n\t()*:&|!@^<>-")
        assert len(term.encode()) < 2046


def _asked(question: str, frequencies: dict[str, int]) -> Asked:
    terms = terms_of(question)
    return ranking.asked_for(terms, ranking.telling(terms, _STOP_TERMS), frequencies, 100)


def _found(number: int, text: str, *, heading: str = "", title: str = "", similarity: float | None = None) -> Found:
    return Found(
        number=number,
        document_id=UUID(int=1),
        project_id=UUID(int=2),
        document="notes.md",
        title=title,
        heading=heading,
        text=text,
        page=None,
        similarity=similarity,
    )


def _ranked(number: int, text: str = "", *, relevance: float = 0.1) -> Ranked:
    return Ranked(found=_found(number, text or f"passage{number}"), score=9.0, relevance=relevance)


def _numbers(ranked: Sequence[Ranked]) -> list[int]:
    return [one.found.number for one in ranked]
