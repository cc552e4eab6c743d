"""The vocabulary of skills, and where in a text it is spoken of.

A text is cut into tokens (`c++`, `c#` and `.net` are some), and spellings are looked up as rows of tokens, the
longest first. Many skills are ordinary words (Go, R, Spring, Excel). Such a word counts in company only: beside
another skill in a list, as all that an item says, or where skills are spoken of ("written in Go", "Go developer").
What is looked at around each place is bounded, so that a hostile text takes no longer than an honest one.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from adapters.skills.context import SHORT, are_listed, is_denied, is_glued, is_spoken_of, is_whole_item

SPOKEN = "spoken_language"
SOFT = "soft_skill"
OTHER = "other"
"""The kind of a skill that the vocabulary does not know."""

_FILE = Path(__file__).with_name("vocabulary.toml")

_TOKEN = re.compile(r"(?<![^\W_])\.(?=[^\W\d_])[^\W_]+|[^\W_]+(?:\+\+|#(?![^\W_]))?")
_JOINT = re.compile(r"[.\-‐–/_'’]|[ \t]{1,2}|[ \t]?[/&\-–][ \t]?|[ \t]?\n[ \t]*|")
"""What may stand between two tokens of a spelling."""

_ADDRESS = re.compile(
    r"(?<![^\s(<\[])(?:https?://|www\.|[^\s@]{1,64}@)[^\s]{1,500}"
    r"|(?<![\w.-])(?:\w[\w-]{0,62}\.){1,4}(?:com|org|eu|de|fr|es)\b",
    re.IGNORECASE,
)


class Mention(NamedTuple):
    """A skill, and where in a text its name stands."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Spelling:
    name: str
    kind: str
    tokens: tuple[str, ...]
    written: tuple[str, ...]
    is_exact: bool
    is_word: bool
    """Whether it is an ordinary word, too."""


class _Token(NamedTuple):
    folded: str
    written: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Candidate:
    spelling: _Spelling
    mention: Mention
    is_as_written: bool


class Vocabulary:
    """See application.ports.skills.SkillSpotter. It never changes: `with_names` makes another one."""

    def __init__(self, spellings: Iterable[_Spelling], unless: Mapping[str, re.Pattern[str]]) -> None:
        self._spellings = tuple(spellings)
        self._unless = unless
        self._by_first: dict[str, list[_Spelling]] = defaultdict(list)
        self._by_name: dict[str, list[_Spelling]] = defaultdict(list)
        self._names: dict[tuple[str, ...], str] = {}
        for spelling in self._spellings:
            self._by_first[spelling.tokens[0]].append(spelling)
            self._by_name[spelling.name].append(spelling)
            self._names.setdefault(spelling.tokens, spelling.name)
        for several in self._by_first.values():
            several.sort(key=lambda spelling: -len(spelling.tokens))

    def with_names(self, names: Iterable[str]) -> Vocabulary:
        """The same that knows these, too; what it knows already, in whatever spelling, stays as it is."""
        more = [_spelling(name, OTHER, name) for name in names if tokens_of(name) and self.name_of(name) is None]
        return Vocabulary((*self._spellings, *more), self._unless) if more else self

    def name_of(self, spelling: str) -> str | None:
        """The skill that is written so."""
        return self._names.get(tokens_of(spelling))

    def kind_of(self, name: str) -> str:
        """Its kind; OTHER for a name that is not known."""
        return self._by_name[name][0].kind if name in self._by_name else OTHER

    def spellings(self, skill: str) -> Sequence[str]:
        written = (" ".join(spelling.written) for spelling in self._by_name.get(skill, ()))
        return list(dict.fromkeys((skill, *written)))

    def spot(self, text: str, skills: Collection[str]) -> Mapping[str, range]:
        first: dict[str, range] = {}
        for mention in _knowing(self, frozenset(skills)).mentions(text):
            if mention.name in skills and not is_denied(text, mention.start, mention.end):
                first.setdefault(mention.name, range(mention.start, mention.end))
        return first

    def mentions(self, text: str) -> Sequence[Mention]:
        """Every skill that the text speaks of, in order, each as often as it does."""
        text = _ADDRESS.sub(lambda address: " " * len(address.group()), text)
        return [each.mention for those in _lists(text, self._candidates(text)) for each in _meant(text, those)]

    def _candidates(self, text: str) -> Iterator[_Candidate]:
        tokens = [_Token(folded(m.group()), m.group(), m.start(), m.end()) for m in _TOKEN.finditer(text)]
        place = 0
        while place < len(tokens):
            found = self._at(text, tokens, place)
            if found is not None:
                yield found
            place += len(found.spelling.tokens) if found is not None else 1

    def _at(self, text: str, tokens: Sequence[_Token], place: int) -> _Candidate | None:
        for spelling in self._by_first.get(tokens[place].folded, ()):
            row = tokens[place : place + len(spelling.tokens)]
            if tuple(token.folded for token in row) != spelling.tokens:
                continue
            if not all(_JOINT.fullmatch(text, one.end, other.start) for one, other in pairwise(row)):
                continue
            as_written = tuple(token.written for token in row) == spelling.written
            if spelling.is_exact and not as_written:
                continue
            mention = Mention(spelling.name, row[0].start, row[-1].end)
            unless = self._unless.get(spelling.name)
            if unless is not None and unless.match(text, mention.end):
                continue
            return _Candidate(spelling, mention, as_written or spelling.written[0].islower())
        return None


@cache
def vocabulary() -> Vocabulary:
    """The one that Parley comes with."""
    kinds: dict[str, dict[str, Any]] = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    unless = {name: re.compile(rf"[\s-]+(?:{what})", re.IGNORECASE) for name, what in kinds.pop("unless").items()}
    return Vocabulary((each for kind, names in kinds.items() for each in _listed(kind, names)), unless)


def folded(word: str) -> str:
    """In small letters and without accents."""
    plain = word.lower()
    if plain.isascii():
        return plain
    return "".join(sign for sign in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(sign))


def tokens_of(text: str) -> tuple[str, ...]:
    """What a spelling is compared by."""
    return tuple(folded(token) for token in _TOKEN.findall(text))


@lru_cache(maxsize=64)
def _knowing(vocabulary: Vocabulary, names: frozenset[str]) -> Vocabulary:
    return vocabulary.with_names(sorted(names))


def _listed(kind: str, names: Mapping[str, Sequence[str]]) -> Iterator[_Spelling]:
    for name, others in names.items():
        listed = {other.lstrip("~=") for other in others}
        for written in others if name in listed else (name, *others):
            yield _spelling(name, kind, written)


def _spelling(name: str, kind: str, written: str) -> _Spelling:
    plain = written.lstrip("~=")
    return _Spelling(
        name=name,
        kind=kind,
        tokens=tokens_of(plain),
        written=tuple(_TOKEN.findall(plain)),
        is_exact=written.startswith("="),
        is_word=written.startswith("~"),
    )


def _lists(text: str, candidates: Iterable[_Candidate]) -> Iterator[list[_Candidate]]:
    """The candidates by the lists that they stand in; one that stands alone is a list of its own."""
    those: list[_Candidate] = []
    for candidate in candidates:
        if those and not _are_listed(text, those[-1], candidate):
            yield those
            those = []
        those.append(candidate)
    if those:
        yield those


def _meant(text: str, those: Sequence[_Candidate]) -> Sequence[_Candidate]:
    """One that is meant speaks for all of its list. So does it that an item holds nothing but the list.

    And so does a list in which everything is called as a skill: "some Go or Rust"; but not "German or English firms".
    """
    is_item = len(those) > 1 and is_whole_item(text, those[0].mention.start, those[-1].mention.end)
    names = {each.spelling.name for each in those if each.is_as_written and each.spelling.kind not in (SPOKEN, SOFT)}
    if (
        is_item
        or 1 < len(names) == len(those)
        or any(not each.spelling.is_word or _is_meant(text, each) for each in those)
    ):
        return those
    return ()


def _is_meant(text: str, candidate: _Candidate) -> bool:
    """Whether an ordinary word is the name of a skill, as far as it can be told without its neighbours."""
    _, start, end = candidate.mention
    if is_glued(text, start, end):
        return False
    if is_whole_item(text, start, end):
        return candidate.is_as_written or end - start > SHORT
    return candidate.is_as_written and is_spoken_of(text, start, end, as_language=candidate.spelling.kind == SPOKEN)


def _are_listed(text: str, one: _Candidate, other: _Candidate) -> bool:
    """Whether one stands beside the other in a list of their like."""
    for each in (one, other):
        _, start, end = each.mention
        is_odd = not each.is_as_written and end - start <= SHORT
        if each.spelling.is_word and (is_odd or is_glued(text, start, end)):
            return False
    if _company(one.spelling.kind) != _company(other.spelling.kind):
        return False
    return are_listed(text, one.mention.end, other.mention.start)


def _company(kind: str) -> str:
    """Which skills one is listed with."""
    return kind if kind in (SPOKEN, SOFT) else OTHER
