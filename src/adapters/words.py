"""What search takes for a word, the same in every store."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from snowballstemmer.english_stemmer import EnglishStemmer

_WORD = re.compile(r"[^\W_]+")
_AROUND = 24
"""How many words a snippet shows."""


def words_of(text: str) -> list[str]:
    """The words of a text in order, in small letters and without accents, each as often as it stands there."""
    return _WORD.findall(_folded(text))


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
