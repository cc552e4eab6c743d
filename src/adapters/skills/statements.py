"""A job description as statements: each a sentence or an item of a list, and how much what it asks for matters.

English by what is most usual, German, Spanish and French by their basics.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from domain.job_analyses import Importance


class Section(Enum):
    """What a part of a job description is about."""

    REQUIRED = "required"
    PREFERRED = "preferred"
    EMPLOYER = "employer"
    """Who the employer is and what it gives: nothing that stands there is asked for."""
    OTHER = "other"


class Statement(NamedTuple):
    """A part of a text that says one thing, and the section that it stands in."""

    start: int
    end: int
    section: Section


_HEADINGS = (
    (
        Section.EMPLOYER,
        r"benefits|perks|(?:what )?we offer|what(?:'s| is) in it for you|our offer|compensation|salary|how to apply|"
        r"apply|application process|equal opportunit\w+|diversity|contact|about (?:us|the company)|who we are|"
        r"the company|(?:was )?wir bieten|unser angebot|(?:deine|ihre) vorteile|bewerbung|über uns|ofrecemos|"
        r"qu[eé] ofrecemos|beneficios|sobre nosotros|nous offrons|avantages|ce que nous offrons|à propos|nous sommes",
    ),
    (
        Section.PREFERRED,
        r"nice[- ]to[- ]haves?|preferred|bonus|desirable|desired|good to have|pluse?s?\b|optional|ideally|extra|"
        r"w[uü]nschenswert|von vorteil|pluspunkte|deseables?|valorables?|se valorar\w*|atouts?|souhait\w*|appréci\w*",
    ),
    (
        Section.REQUIRED,
        r"requirements?|required|qualifications?|must[- ]haves?|what (?:you|we)(?:'ll|'re| will| are)? "
        r"(?:need|bring|looking for|expect|require)|who you are|your (?:profile|skills|background)|about you|you have|"
        r"you bring|skills|essential|minimum|mandatory|anforderungen|(?:ihr|dein|unser)? ?profil|das bringst du mit|"
        r"was (?:du|sie) mitbring\w+|voraussetzungen|qualifikation\w*|requisitos|perfil|qué buscamos|imprescindible\w*|"
        r"compétences|prérequis|ce que nous recherchons|tech(?:nology)? stack|technologies",
    ),
    (
        Section.OTHER,
        r"about the|responsibilit\w+|what you(?:'ll| will) (?:do|be)|your (?:tasks|role|mission|job)|"
        r"duties|the (?:role|job|team|position)|overview|summary|(?:deine |ihre )?aufgaben|tareas|"
        r"funciones|responsabilidades|(?:vos )?missions?",
    ),
)
_BEFORE_HEADING = (
    r"(?:(?:our|the|your|key|main|minimum|basic|technical|professional|core|additional|some|these|deine|ihre|unsere|"
    r"technische|nuestros|tus|vos|nos|job|desired|hard|soft|as|are|and|it|a|great|if|points?|big)[\s']+){0,3}"
)
_SECTIONS = [
    (section, re.compile(rf"{_BEFORE_HEADING}(?:{phrases})\b", re.IGNORECASE)) for section, phrases in _HEADINGS
]
_MARKS = re.compile(r"[\s#*_•·▪◦‣–-]{0,12}")
_IS_ITEM = re.compile(r"[ \t]{0,20}(?:[-*•·–+▪◦‣]|\d{1,2}[.)])\s")
_LABEL = re.compile(r"[^:,;.!?\n]{2,60}:[*_]{0,3}(?:\s|$)")
_LONGEST_HEADING = 60
_MOST_WORDS = 7
_WRAPPED = 50
"""Characters of a line after which the next one may go on with its sentence."""

_SENTENCE_END = re.compile(r";|(?<=[.!?])\s+(?=[A-ZÄÖÜÁÉÈÀ¿¡(])")


def statements(text: str) -> Iterator[Statement]:
    """All of a text, in order, without its headings."""
    section = Section.OTHER
    block: tuple[int, int, Section] | None = None
    is_open = False
    start = 0
    for line in text.splitlines(keepends=True):
        begin, start = start, start + len(line)
        label, named = _heading(line)
        if label or not line.strip() or _IS_ITEM.match(line) or not is_open or block is None:
            if block is not None:
                yield from _sentences(text, *block)
            block = None
            if label and named is not None and not line[label:].strip("*_ \t\r\n"):
                section = named  # Of all that follows; a label with something behind it names that alone.
            elif line.strip():
                block = (begin + label, start, named or section)
        else:
            block = (block[0], start, block[2])
        is_open = len(line.strip()) >= _WRAPPED and line.rstrip()[-1] not in ".:;!?"
    if block is not None:
        yield from _sentences(text, *block)


def _heading(line: str) -> tuple[int, Section | None]:
    """How much of a line is a heading or a label, and which section it begins; none if it is not known."""
    marks = _MARKS.match(line)
    begin = marks.end() if marks is not None else 0
    labelled = _LABEL.match(line, begin)
    end = labelled.end() if labelled is not None else len(line)
    said = line[begin:end].strip().strip(":*_# ")
    is_marked = line.lstrip().startswith(("#", "**"))
    if labelled is None and (_IS_ITEM.match(line) or len(said) > _LONGEST_HEADING or said.endswith((".", ","))):
        return 0, None
    if len(said.split()) > _MOST_WORDS:
        return 0, None
    section = next((section for section, phrases in _SECTIONS if phrases.match(said.replace("’", "'"))), None)
    if section is None and is_marked and not _IS_ITEM.match(line) and labelled is None and line.startswith("#"):
        section = Section.OTHER
    return (end, section) if section is not None else (0, None)


def _sentences(text: str, start: int, end: int, section: Section) -> Iterator[Statement]:
    for stop in _SENTENCE_END.finditer(text, start, end):
        if stop.start() > start:
            yield Statement(start, stop.start(), section)
        start = stop.end()
    if start < end:
        yield Statement(start, end, section)


_LEADING = {
    Importance.REQUIRED: r"must[- ]haves?|you must|requires?|required|mandatory|essential|you(?:'ll)? need|zwingend|"
    r"unbedingt|voraussetzung|imprescindible|indispensable|obligatoire|obligatorio",
    Importance.PREFERRED: r"nice[- ]to[- ]haves?|ideally|preferably|preferred|bonus(?: points)?|optional(?:ly)?|even "
    r"better|extra points|desirable|a plus if|idealerweise|gerne?|wünschenswert|von vorteil|preferiblemente|idealmente|"
    r"se valora\w*|deseable|de préférence|idéalement|atout|pluspunkte?",
}
_TRAILING = {
    Importance.REQUIRED: r"required|mandatory|a must(?:[- ]have)?|essential|necessary|needed|erforderlich|notwendig|"
    r"zwingend|pflicht|voraussetzung|imprescindibles?|obligatori[oa]s?|requerid[oa]s?|exigée?s?|obligatoires?|"
    r"indispensables?|requise?s?",
    Importance.PREFERRED: r"an? (?:big |strong |definite |huge |real |clear )?(?:plus|bonus|advantage|asset)|preferred|"
    r"nice[- ]to[- ]have|desirable|desired|beneficial|optional|helpful|welcome|von vorteil|wünschenswert|un plus|"
    r"valorad[oa]s?|deseables?|appréciée?s?|souhaitée?s?|un atout|pluspunkt",
}
_PHRASES = [
    (importance, is_leading, re.compile(rf"\b(?:{phrases})\b", re.IGNORECASE))
    for is_leading, by_importance in ((True, _LEADING), (False, _TRAILING))
    for importance, phrases in by_importance.items()
]
_LONGEST_CLAUSE = 60
_OWN_CLAUSE = re.compile(
    r"[,(]\s*(?!(?:and|or|und|oder|y|o|et|ou)\b)(?:(?!(?:and|or|und|oder|y|o|et|ou)\b)[^\s,()]+\s+){1,4}"
    r"(?:is|ist|est|es|would be|wäre|sería|serait)\s+(?:also |considered |an? )?$",
    re.IGNORECASE,
)
"""What a comma parts from a list before it: a few words that say one thing of one thing."""

_ALWAYS_LEAD = re.compile(
    r"(?:must[- ]haves?|you must|requires?|you(?:'ll)? need|ideally|preferably|bonus.*|even better|extra points|"
    r"a plus if|idealerweise|gerne?|preferiblemente|idealmente|se valora\w*|de préférence|idéalement|unbedingt)$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Weighing:
    """What a statement says about how much matters what it asks for: places of words, and what they hold for.

    "Must have Python, ideally Rust": what leads holds for all that follows, up to the next such word.
    "Python and Rust are a plus": what trails holds for all that stands before it, back to the last such word; or to a
    comma, where what is between says something of its own ("Python, Rust is a plus").
    """

    leading: Sequence[tuple[int, int, Importance]]
    trailing: Sequence[tuple[int, int, Importance]]

    @classmethod
    def of(cls, text: str, statement: Statement) -> Weighing:
        """Read it from the words of a statement."""
        leading: list[tuple[int, int, Importance]] = []
        trailing: list[tuple[int, int, Importance]] = []
        for importance, leads, phrase in _PHRASES:
            for found in phrase.finditer(text, statement.start, statement.end):
                if _leads(text, statement, found) is not leads:
                    continue
                if leads:
                    leading.append((found.start(), found.end(), importance))
                else:
                    own = _OWN_CLAUSE.search(text, max(statement.start, found.start() - _LONGEST_CLAUSE), found.start())
                    trailing.append((found.start(), own.start() if own is not None else 0, importance))
        return cls(sorted(leading), sorted(trailing))

    def at(self, place: int) -> Importance | None:
        """How much matters what is asked for at a place of the text; None where the statement does not say."""
        behind = bisect_right(self.leading, place, key=lambda each: each[1])
        ahead = bisect_left(self.leading, place, key=lambda each: each[0])
        next_lead = self.leading[ahead][0] if ahead < len(self.leading) else None
        after = bisect_left(self.trailing, place, key=lambda each: each[0])
        if after < len(self.trailing) and (next_lead is None or self.trailing[after][0] < next_lead):
            _, begin, importance = self.trailing[after]
            if begin <= place:
                return importance
        return self.leading[behind - 1][2] if behind else None


def _leads(text: str, statement: Statement, found: re.Match[str]) -> bool:
    """Whether a phrase speaks of what comes after it."""
    if _ALWAYS_LEAD.match(found.group()):
        return True
    is_first = not text[statement.start : found.start()].strip(" \t\r\n-*•·–+▪◦‣()[]0123456789.:")
    return is_first or text[found.end() : found.end() + 2].lstrip("*_ ").startswith(":")
