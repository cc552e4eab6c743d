"""How an answer cites the passages that it was given, as the chat page shows it (`static/citations.js`)."""

from __future__ import annotations

import re
from collections.abc import Iterator

_NUMBERS = r"\d{1,2}(?:\s*[-–—]\s*\d{1,2})?"
_LIST = rf"({_NUMBERS}(?:\s*[,;]\s*{_NUMBERS})*)"
_CITATION = re.compile(
    rf"\[\s*(?:\^|sources?\s+|passages?\s+)?{_LIST}\s*\](?!\()"
    rf"|【\s*(?:sources?\s+)?{_LIST}\s*(?:†[^】\n]{{0,100}})?】",
    re.IGNORECASE,
)
"""`[1]`, `[1, 2]`, `[1; 2]`, `[1-3]`, `[^1]`, `[Source 1]` or `【1】`; what is followed by an address is a link."""

_DEFINED = re.compile(r"^ {0,3}\[(\^?\d{1,2})\]:[ \t]*\S+[ \t]*$", re.MULTILINE)
"""`[1]: https://…` on a line of its own, which makes a link of every `[1]`."""

_CODE = re.compile(r"^ {0,3}(```|~~~).*?(?:^ {0,3}\1|\Z)|(`+)[^`\n]+\2", re.DOTALL | re.MULTILINE)
"""Code in Markdown, where brackets are an index: blocks between fences, and what stands between backticks."""


def cited(text: str, count: int) -> list[int]:
    """The numbers, from 1 to `count`, that a text in Markdown cites, in their order."""
    numbers = {number for match in _citations(text) for number in _numbers(match, count)}
    return [number for number in range(1, count + 1) if number in numbers]


def place_of(text: str, number: int) -> int | None:
    """Where a text cites the passage of this number first."""
    return next((match.start() for match in _citations(text) if number in _numbers(match, 99)), None)


def without_citations(text: str) -> str:
    """The text without the numbers of the passages that it cites, and without the space before them."""
    kept, end = [], 0
    for match in _citations(text):
        kept.append(text[end : match.start()].rstrip(" \u00a0") if _is_mark(text, match) else text[end : match.start()])
        end = match.end()
    return "".join([*kept, text[end:]])


def _is_mark(text: str, match: re.Match[str]) -> bool:
    """Whether it stands behind words, and not at the beginning of a line."""
    return bool(text[text.rfind("\n", 0, match.start()) + 1 : match.start()].strip())


def _citations(text: str) -> Iterator[re.Match[str]]:
    # As long as it was, so that places are those of the text.
    prose = _CODE.sub(lambda code: " " * len(code[0]), text)
    defined = set(_DEFINED.findall(prose))
    for match in _CITATION.finditer(prose):
        if match[0][1:-1] not in defined:
            yield match


def _numbers(match: re.Match[str], count: int) -> Iterator[int]:
    """What it names; a range only if all of it is there, for `[1-10]` may be a scale."""
    for part in re.split("[,;]", match[1] or match[2]):
        first, *last = (int(number) for number in re.split("[-–—]", part))
        if not last:
            yield first
        elif 1 <= first < last[0] <= count:
            yield from range(first, last[0] + 1)
