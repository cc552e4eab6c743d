"""Search in MongoDB: what is stored of a text, and what finds it.

MongoDB's own text index can neither ask for every word in its inflections nor for the beginning of one.
"""

from __future__ import annotations

from bson import Regex

from adapters.words import stem, words_of
from application.ports.persistence import Document

_LONGEST = 64
"""Characters of a word that are looked at: keys of an index stay short where a language has no spaces."""


def words_to_store(text: str) -> list[str]:
    """Each word of a text as it stands there, and as its inflections share it."""
    words = set(_cut(text))
    return sorted(words | {stem(word) for word in words})


def condition_for(query: str) -> Document | None:
    """What stored words must fulfil: every word in some inflection, the last one also as a beginning.

    None when there is no word in the query.
    """
    words = _cut(query)
    if not words:
        return None
    *whole, last = words
    endings: list[str | Regex[str]] = [stem(last)]
    if len(last) > 1:
        endings.append(Regex(f"^{last}"))  # There are only letters and digits in it.
    condition: Document = {"$in": endings}
    if whole:
        # The first is looked up in the index, the others in what that finds; and long words are rare.
        condition["$all"] = sorted({stem(word) for word in whole}, key=lambda word: (-len(word), word))
    return condition


def _cut(text: str) -> list[str]:
    return [word[:_LONGEST] for word in words_of(text)]
