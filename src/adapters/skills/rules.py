"""Skills by rules: the vocabulary's names, weighed by the sections and the words that they stand in."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from adapters.skills.context import is_denied
from adapters.skills.statements import Section, Statement, Weighing, statements
from adapters.skills.vocabulary import SOFT, SPOKEN, Mention, Vocabulary
from application.ports.skills import Extracted
from domain.job_analyses import Importance, RequiredSkill

METHOD = "rules"

_MOST = 100
"""Skills of one job description; one that names more is a list of everything."""

_NUMBERS = {
    word: number
    for number, words in enumerate(
        (
            "one ein eine einem einer un una une",
            "two zwei dos deux",
            "three drei tres trois",
            "four vier cuatro quatre",
            "five fünf cinco cinq",
            "six sechs seis",
            "seven sieben siete sept",
            "eight acht ocho huit",
            "nine neun nueve neuf",
            "ten zehn diez dix",
        ),
        start=1,
    )
    for word in words.split()
}
_YEARS = re.compile(
    rf"\b(\d{{1,2}}|{'|'.join(_NUMBERS)})\s?\+?\s*(?:(?:-|–|to|bis|a|à|or|o|ou|oder)\s*\d{{1,2}}\s?\+?\s*)?"
    r"(?:or more |plus |full |mehr |más |\+ )?(?:years?|yrs?\b|jahren?|jahre|años?|ans\b|an\b)",
    re.IGNORECASE,
)
_OWN_YEARS = re.compile(
    r"[\s(\[:–,-]{0,4}(?:at least |min(?:\.|imum)? |mindestens |mínimo |au moins )?$", re.IGNORECASE
)
_OWN_DEGREE = re.compile(
    r"(?:,|\b(?:and|or|und|oder|sowie|y|o|e|et|ou)\b)\s*(?:(?:and|or|und|oder|y|o|et|ou|also|very|sehr|muy|très)\s+)*"
    r"(?:strong|solid|good|great|excellent|deep|sound|thorough|proven|basic|some|advanced|working|hands-on|practical|"
    r"proficien\w+|fluen\w+|familiar\w*|knowledge|experienced?|expertise|understanding|exposure|comfortable|skilled|"
    r"gute[snr]?|solide[snr]?|fundierte[snr]?|sichere[snr]?|erste|vertraut|Kenntnisse|Erfahrung\w*|"
    r"buen[oa]s?|sólid[oa]s?|fuertes?|conocimientos?|experiencia|dominio|bonnes?|connaissances?|expérience|maîtrise)\b",
    re.IGNORECASE,
)
"""Where the next skills of a list begin to be asked for in words of their own."""
_FEWEST, _MOST_YEARS = 1, 50


class RuleSkills:
    """See application.ports.skills.SkillExtractor."""

    method = METHOD

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    def extract(self, text: str, known: Collection[str]) -> Extracted:
        vocabulary = self._vocabulary.with_names(known)
        asked: dict[str, list[_Asked]] = {}
        for statement, mentions in _by_statement(text, vocabulary.mentions(text)):
            if statement.section is not Section.EMPLOYER:
                for name, said in _read(text, statement, mentions, vocabulary):
                    asked.setdefault(name, []).append(said)
        skills = [_summed_up(name, vocabulary.kind_of(name), said) for name, said in asked.items()]
        return Extracted(skills[:_MOST], METHOD)


@dataclass(frozen=True, slots=True)
class _Asked:
    importance: Importance | None
    years: int | None


def _by_statement(text: str, mentions: Sequence[Mention]) -> Iterator[tuple[Statement, list[Mention]]]:
    place = 0
    for statement in statements(text):
        inside = []
        while place < len(mentions) and mentions[place].start < statement.end:
            if mentions[place].start >= statement.start:
                inside.append(mentions[place])
            place += 1
        if inside:
            yield statement, inside


def _read(
    text: str, statement: Statement, mentions: Sequence[Mention], vocabulary: Vocabulary
) -> Iterator[tuple[str, _Asked]]:
    weighing = Weighing.of(text, statement)
    of_section = {Section.REQUIRED: Importance.REQUIRED, Section.PREFERRED: Importance.PREFERRED}.get(statement.section)
    years = _Years(text, statement, mentions)
    for mention in mentions:
        if not is_denied(text, mention.start, mention.end):
            can_count = vocabulary.kind_of(mention.name) not in (SOFT, SPOKEN)
            yield (
                mention.name,
                _Asked(weighing.at(mention.start) or of_section, years.of(mention) if can_count else None),
            )


class _Years:
    """The years of experience that a statement names, and whose they are.

    Those right behind a skill are its own ("Python (3+ years)"); others are those of all skills after them, up to one
    that is asked for in words of its own ("3 years of Python or Go, strong SQL").
    """

    def __init__(self, text: str, statement: Statement, mentions: Sequence[Mention]) -> None:
        self._own: dict[Mention, int] = {}
        self._shared: list[tuple[int, int, int]] = []
        ends = [mention.end for mention in mentions]
        for found in _YEARS.finditer(text, statement.start, statement.end):
            years = _number(found.group(1))
            place = bisect_right(ends, found.start()) - 1
            if years is None:
                continue
            if place >= 0 and _OWN_YEARS.fullmatch(text, ends[place], found.start()):
                self._own[mentions[place]] = years
            else:
                first = ends[place + 1] if place + 1 < len(ends) else statement.end
                other = _OWN_DEGREE.search(text, first, statement.end)
                self._shared.append((found.end(), other.start() if other is not None else statement.end, years))

    def of(self, mention: Mention) -> int | None:
        """How many a skill is wanted for, None if that is not said."""
        if mention in self._own:
            return self._own[mention]
        place = bisect_right(self._shared, mention.start, key=lambda each: each[0]) - 1
        if place < 0:
            return None
        _, end, years = self._shared[place]
        return years if mention.start < end else None


def _summed_up(name: str, kind: str, said: Sequence[_Asked]) -> RequiredSkill:
    """What is said of a skill in all places: the strictest; where nowhere is said how much it matters, it does."""
    weighed = {each.importance for each in said}
    is_preferred = Importance.PREFERRED in weighed and Importance.REQUIRED not in weighed
    importance = Importance.PREFERRED if is_preferred else Importance.REQUIRED
    years = max((each.years for each in said if each.years is not None), default=None)
    return RequiredSkill(name=name, kind=kind, importance=importance, years=years)


def _number(written: str) -> int | None:
    number = int(written) if written.isdigit() else _NUMBERS[written.lower()]
    return number if _FEWEST <= number <= _MOST_YEARS else None
