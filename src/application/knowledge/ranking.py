"""Which of the passages that were found bear on a question, and how well: by their words, their meaning, or both."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from application.ports.knowledge import Found
from application.ports.parsing import WITHIN

TermsOf = Callable[[str], Sequence[str]]
"""What a text is found by, in order, each term as often as it stands there: letters, and signs in identifiers."""

MOST_TERMS = 32
"""Terms of a question that are looked for: the rarest of it."""

MOST_LOOKED_UP = 128
"""Terms of a question of which it is looked up how rare they are: its first."""

COVERAGE = 0.47
"""How much of what a question asks for (its words, the rare ones counting more) a passage must hold."""

_FEW = 3
"""So many words of a question count that stand nowhere, however few stand somewhere."""

_SHORT = 6
"""Words up to which a question has to be covered so; of the longer ones less, for they tell much around it."""

_MANY = 1_000
"""Passages from which on a word that most of them hold is taken for one that tells nothing."""

_HEADING, _PATH, _TITLE = 4.0, 2.0, 3.0
"""How much a word counts in the heading, in those around it and in the document's title; in the text, 1."""

_UNTELLING = 0.1
"""The weight of a word that tells nothing, where a heading is compared with a question."""

_SATURATION, _LENGTH = 1.2, 0.75
"""BM25's k1 and b, at their usual values (Robertson and Zaragoza, 2009)."""

_RECIPROCAL = 60
"""Reciprocal rank fusion's k (Cormack, Clarke and Büttcher, 2009)."""

_SAME = 0.9
"""Share of their terms that two passages have in common of which one is enough."""

_STOP_WORDS = """
    a about after all also am an and any are as at be been but by can could did do does don for from get give go got
    had has have how i if in into is it its just know let like make me more most much my need no not now of on one
    or our out please say see should show so some tell than thank that the their them then there these they thing
    this to up us use want was way we were what when where which while who why will with work works would you your
    happen happens happened mean means explain describe doesn didn isn hello hi hey thanks

    aber als am an auch auf aus bei das dem der des dies du ein eine einem einen einer er es für gibt habe ich ihr
    im ist kann können mein mich mir mit muss nach nicht oder sich sie sind soll und uns vom von vor warum was
    welche welcher welches wenn wer werden wie wir wird wo zu zum zur

    au aux avec ce ces cette comment dans de des du elle en est et il ils je la le les leur mais ma mes mon ne nous
    on ou où par pas peut peux pour pourquoi quand que quel quelle quelles quels qui quoi sa ses sont sur un une
    vous

    al como con cual cuales cuando cuál cuáles cuándo cuánto cómo de del donde dónde el ella en es esta este está
    hay la las lo los más mi no o para pero por porque puede puedo que quien quién qué se ser si su sus tiene un una
    y

    che chi con cosa cui da dal dei del della delle di dove e gli ha i il in la le lo ma mi nel non per perché più
    posso può quale quali quando quanto quanti si sono su un una

    ao aos as com como da das do e em essa esse eu foi há mas na nas no nos não o onde os ou para pela pelo por
    posso pode qual quais quando que quem se ser seu sua são um uma você

    aan als bij dat de deze dit een en er het hij hoe hoeveel ik in is je kan maar mijn naar niet of om ook op over
    te tot uit voor waar waarom wanneer wat we welke wie wij worden wordt ze zijn

    без был была было быть в во вы где да для до его ее если есть же за и из или их к как какая какие какой когда
    кто ли мне можно мой мы на не ни но о он она они от по почему при с сколько со так то у что это я

    ما ماذا هل كم كيف متى أين لماذا من في على إلى عن هو هي هذا هذه التي الذي أن هناك

    是 的 了 在 有 和 吗 呢 什么 怎么 如何 多少 哪些 哪个 为什么 です ます した する ください から まで どの なに どう
"""
"""Words of questions that say nothing of what is asked about, in the languages that are asked most."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question asks for: `weights` of the terms that stand somewhere, out of a `total` of all that count.

    `least` is the share of the total from which on a passage bears on the question.
    """

    weights: Mapping[str, float]
    total: float
    least: float
    all_terms: frozenset[str]

    @property
    def in_heading(self) -> Mapping[str, float]:
        """What terms weigh that stand in a heading: those too that tell nothing, for a heading may be a question."""
        return {term: self.weights.get(term, _UNTELLING) for term in self.all_terms}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A passage with its place in a list. `score` is comparable in that list only, `relevance` is 0 to 1."""

    found: Found
    score: float
    relevance: float


def telling(terms: Iterable[str], stop_terms: Collection[str]) -> list[str]:
    """The terms of a question that tell what it is about, each once, and its first ones only."""
    those = (term for term in dict.fromkeys(terms) if term not in stop_terms and not _is_a_letter(term))
    return list(islice(those, MOST_LOOKED_UP))


def stop_terms(terms_of: TermsOf) -> frozenset[str]:
    """The terms that say nothing in a question."""
    return frozenset(terms_of(_STOP_WORDS))


def asked_for(question: Sequence[str], terms: Sequence[str], frequencies: Mapping[str, int], passages: int) -> Asked:
    """What the telling `terms` of a `question` ask for, in so many passages that hold the terms so often."""
    present = sorted((term for term in terms if term in frequencies), key=lambda term: frequencies[term])[:MOST_TERMS]
    if passages >= _MANY:  # What most passages hold tells nothing either, in whatever language it is.
        present = [term for term in present if frequencies[term] <= passages / 2] or present[:1]
    weights = {term: _weight(frequencies[term], passages) for term in present}
    # A word that stands nowhere weighs most: a question about it is not about these documents. Of a long question,
    # which may quote anything, not more such words count than others.
    missing = sorted((_weight(0, passages) * _import(term) for term in terms if term not in frequencies), reverse=True)
    total = sum(weights.values()) + sum(missing[: max(_FEW, len(weights))])
    least = COVERAGE * min(1.0, math.sqrt(_SHORT / max(1, len(terms))))
    others = (term for term in question if term not in weights)
    return Asked(weights, total, least, frozenset([*weights, *islice(others, MOST_TERMS)]))


def by_words(asked: Asked, found: Sequence[Found], terms_of: TermsOf) -> list[Ranked]:
    """Those that hold enough of what is asked for, the best first: BM25 over their fields, times what they cover."""
    held = [_Held(passage, asked, terms_of) for passage in found]
    average = sum(one.length for one in held) / len(held) if held else 0.0
    ranked = []
    for passage, one in zip(found, held, strict=True):
        if one.coverage >= asked.least:
            score = one.bm25(average) * one.coverage * (1 + one.likeness)
            ranked.append(Ranked(found=passage, score=score, relevance=one.coverage))
    return _sorted(ranked)


def by_meaning(asked: Asked, found: Sequence[Found], terms_of: TermsOf, floor: float) -> list[Ranked]:
    """Those whose similarity is at least `floor`, the nearest first."""
    ranked = []
    for passage in found:
        similarity = passage.similarity
        if similarity is not None and similarity >= floor:
            nearness = min(1.0, (similarity - floor) / (1 - floor)) if floor < 1 else 1.0
            # Being spoken of and being near are two reasons to believe that it bears on the question.
            relevance = 1 - (1 - nearness) * (1 - _Held(passage, asked, terms_of).coverage)
            ranked.append(Ranked(found=passage, score=similarity, relevance=relevance))
    return _sorted(ranked)


def fused(*lists: Sequence[Ranked]) -> list[Ranked]:
    """One list of several, by reciprocal rank fusion: 1 is the first of all of them."""
    best: dict[int, Ranked] = {}
    for ranked in lists:
        for rank, one in enumerate(ranked):
            known = best.get(one.found.number)
            score = (_RECIPROCAL + 1) / (_RECIPROCAL + 1 + rank) / len(lists) + (known.score if known else 0.0)
            relevance = max(one.relevance, known.relevance if known else 0.0)
            best[one.found.number] = replace(one, score=score, relevance=relevance)
    return _sorted(best.values())


def without_repeats(ranked: Iterable[Ranked], terms_of: TermsOf, *, limit: int) -> list[Ranked]:
    """The first `limit` that say something that none before them has said."""
    taken: list[Ranked] = []
    said: list[frozenset[str]] = []
    for one in ranked:
        if len(taken) == limit:
            break
        terms = frozenset(terms_of(one.found.text))
        if not any(_overlap(terms, others) >= _SAME for others in said):
            taken.append(one)
            said.append(terms)
    return taken


class _Held:
    """What a passage holds of what was asked for: how much each term counts in it, and how long it is."""

    def __init__(self, passage: Found, asked: Asked, terms_of: TermsOf) -> None:
        path, _, heading = passage.heading.rpartition(WITHIN)
        in_heading = terms_of(heading)
        fields = (
            (terms_of(passage.text), 1.0),
            (in_heading, _HEADING),
            (terms_of(path), _PATH),
            (terms_of(f"{passage.title} {passage.document}"), _TITLE),
        )
        self._asked = asked
        self._named = frozenset(in_heading or terms_of(passage.title))
        self._counts = {
            term: count
            for term in asked.weights
            if (count := sum(weight * terms.count(term) for terms, weight in fields))
        }
        self.length = sum(len(terms) for terms, _ in fields)

    @property
    def coverage(self) -> float:
        held = sum(self._asked.weights[term] for term in self._counts)
        return held / self._asked.total if self._asked.total else 0.0

    def bm25(self, average: float) -> float:
        norm = _SATURATION * (1 - _LENGTH + _LENGTH * self.length / average) if average else _SATURATION
        return sum(
            self._asked.weights[term] * count * (_SATURATION + 1) / (count + norm)
            for term, count in self._counts.items()
        )

    @property
    def likeness(self) -> float:
        """How much the heading says the same as the question, from 0 to 1 (Dice's coefficient of their terms).

        Questions are short, and then BM25 hardly tells the passages apart that hold their only rare word.
        """
        both = len(self._named) + len(self._asked.all_terms)
        return 2 * len(self._named & self._asked.all_terms) / both if both else 0.0


def _weight(frequency: int, passages: int) -> float:
    """How much a term tells that stands in so many passages.

    In few passages chance has much to do with how often: what is added makes the terms of small collections alike.
    """
    return math.log(1 + (passages + 10) / (frequency + 1))


def _import(term: str) -> float:
    """How much it means that a term stands nowhere.

    Little for two letters that were cut from a script without spaces: they may belong to two words. Nothing for an
    identifier, whose words are terms too.
    """
    if "_" in term or "." in term:
        return 0.0
    return 0.2 if len(term) == 2 and term[0] >= "\u0e00" else 1.0


def _is_a_letter(term: str) -> bool:
    """Or a digit: by itself, in a question, neither tells what it is about."""
    return len(term) == 1 and term.isascii()


def _overlap(first: frozenset[str], second: frozenset[str]) -> float:
    return len(first & second) / len(first | second) if first or second else 1.0


def _sorted(ranked: Iterable[Ranked]) -> list[Ranked]:
    return sorted(ranked, key=lambda one: (-one.score, one.found.number))
