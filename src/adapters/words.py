"""What search takes for a word, the same in every store."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

from snowballstemmer.english_stemmer import EnglishStemmer

_WORD = re.compile(r"[^\W_]+")
_AROUND = 24
"""How many words a snippet shows."""

_LONGEST_TERM = 64

_SIGNS = "".join(
    chr(code)
    for block in (range(0x0300, 0x1D00), range(0x3099, 0x309B), range(0xA800, 0xAC00))
    for code in block
    if unicodedata.category(chr(code)).startswith("M")
)
"""Vowel signs, tone marks and the like: characters of their own that belong to the letter before."""

_PASSED_OVER = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    "\u00ad\u0640\u200b-\u200f\u2060\ufeff]"
)
"""Accents and points that people leave out, and what nobody sees. In other scripts, signs make other words."""

_SPELT = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "œ": "oe", "æ": "ae", "’": "'"})

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u31ff"
    "\u3400-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Thai, Lao, Myanmar, Khmer, Kana, Chinese characters and Hangul: spaces do not part their words, or not all."""

_LETTER = f"(?:(?![{_UNSPACED}])[^\\W_][{_SIGNS}]*)"
_UNSPACED_LETTER = f"(?:(?=[{_UNSPACED}])[^\\W_][{_SIGNS}]*)"
_IDENTIFIER = r"{0}+(?:(?:\.|_+){0}+)*(?:\+\+|#(?!\w))?"
_TERM = re.compile(f"(?P<cut>{_UNSPACED_LETTER}+)|{_IDENTIFIER.format(_LETTER)}")
_ASCII_TERM = re.compile(_IDENTIFIER.format("[a-z0-9]"))
_ONE_UNSPACED = re.compile(_UNSPACED_LETTER)
_PART = re.compile(r"[^_.]+")
_ARTICLE = re.compile("^(?:[وبكف]?ال|لل)(?=...)")
"""Arabic's article, with the small words that are written in one with it."""

_ELIDED = re.compile(r"'(?:s|t|d|m|ll|re|ve)\b|\b(?:l|d|j|m|n|s|t|c|qu)'(?=\w)")
"""What an apostrophe joins to a word in English and in the Romance languages."""


def words_of(text: str) -> list[str]:
    """The words of a text in order, in small letters and without accents, each as often as it stands there."""
    return _WORD.findall(_folded(text))


def terms_of(text: str) -> list[str]:
    """What a text is found by, each as often as it stands there.

    Words of any script, folded and stemmed; where a script does not part its words, each two letters that follow
    each other. An identifier such as `PARLEY_REDIS_URL` or `settings.py` stands for itself besides its words, `C++`
    and `C#` for themselves alone. A term holds letters, digits, signs of letters and `_.+#`, 64 characters at most.
    """
    if text.isascii():
        words = _ASCII_TERM.findall(_unelided(text.lower()))
        return [*map(_term, words), *_parts(words)]
    folded = _PASSED_OVER.sub("", unicodedata.normalize("NFKD", text.casefold())).translate(_SPELT)
    words, pairs = [], []
    for match in _TERM.finditer(unicodedata.normalize("NFC", _unelided(folded))):
        if match.lastgroup is None:
            words.append(match.group())
        else:
            letters = _ONE_UNSPACED.findall(match.group())
            pairs += [first + second for first, second in pairwise(letters)] or letters
    return [*map(_term, words), *_parts(words), *pairs]


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """What the English inflections of a folded word have in common (Snowball's "english", also called Porter 2)."""
    stemmed: str = EnglishStemmer().stemWord(word)  # A stemmer keeps state, which threads must not share.
    return stemmed


def snippet(text: str, query: str) -> str:
    """The words around the first hit as HTML, with every hit in <mark> and "…" where text was left out."""
    wanted = words_of(query)
    places = list(_WORD.finditer(unicodedata.normalize("NFC", text)))
    text = unicodedata.normalize("NFC", text)
    hits = [number for number, place in enumerate(places) if _is_hit(place.group(), wanted)]
    first = max(0, (hits[0] if hits else 0) - _AROUND // 4)
    shown = places[first : first + _AROUND]
    if not shown:
        return html.escape(text[:200], quote=False)
    begin = shown[0].start() if first else 0
    end = shown[-1].end() if first + _AROUND < len(places) else len(text)
    parts = list(_marked(text, begin, end, [places[number] for number in hits]))
    return ("…" if begin else "") + "".join(parts) + ("…" if end < len(text) else "")


def _unelided(text: str) -> str:
    return _ELIDED.sub("", text) if "'" in text else text


@lru_cache(maxsize=50_000)
def _term(word: str) -> str:
    if "\u0600" <= word[0] <= "\u06ff":
        word = _ARTICLE.sub("", word)
    return stem(word[:_LONGEST_TERM])


def _parts(words: list[str]) -> Iterator[str]:
    """The words of identifiers."""
    for word in words:
        if not word.isalnum() and ("_" in word or "." in word):
            yield from map(_term, _PART.findall(word))


def _marked(text: str, begin: int, end: int, hits: list[re.Match[str]]) -> Iterator[str]:
    for hit in hits:
        if begin <= hit.start() and hit.end() <= end:
            yield html.escape(text[begin : hit.start()], quote=False)
            yield f"<mark>{html.escape(hit.group(), quote=False)}</mark>"
            begin = hit.end()
    yield html.escape(text[begin:end], quote=False)


def _is_hit(word: str, wanted: list[str]) -> bool:
    folded = _folded(word)
    if any(folded == one or stem(folded) == stem(one) for one in wanted):
        return True
    return bool(wanted) and len(wanted[-1]) > 1 and folded.startswith(wanted[-1])


def _folded(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.lower())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))
