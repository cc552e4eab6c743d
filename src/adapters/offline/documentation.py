"""Markdown files as passages, found by full-text match."""

from __future__ import annotations

import math
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from application.ports.language import Passage

_LONGEST = 900
"""Characters after which a passage ends with its paragraph."""

_COVERAGE = 0.45
"""How much of what a question asks for (its words, the rare ones counting more) a passage must hold."""

_CANDIDATES = 24

_STOP_WORDS = frozenset(
    """
    a about after all also am an and any are as at be been but by can could did do does for from get give go got
    had has have how i if in into is it its just know let like make me more most much my need no not now of on one
    or our out please say see should show so some tell than thank that the their them then there these they thing this
    to up us use want was way we were what when where which while who why will with work works would you your
    happen happens happened mean means explain describe
    """.split()  # noqa: SIM905 # a list of a hundred quoted words is harder to read
)


class Documentation:
    """See application.ports.language.Knowledge. Reads Markdown files, given by themselves or by folder, once."""

    def __init__(self, *paths: Path) -> None:
        self._lock = threading.Lock()
        self._index = sqlite3.connect(":memory:", check_same_thread=False)
        self._index.execute(
            "CREATE VIRTUAL TABLE passages USING fts5("
            "document UNINDEXED, title, heading, text, tokenize='porter unicode61 remove_diacritics 2')"
        )
        for file in _files(paths):
            rows = [(file.name, *passage) for passage in _passages(file.read_text(encoding="utf-8"))]
            self._index.executemany("INSERT INTO passages VALUES (?, ?, ?, ?)", rows)
        self._count: int = self._index.execute("SELECT count(*) FROM passages").fetchone()[0]

    def search(self, question: str, *, limit: int) -> Sequence[Passage]:
        words = _content_words(question)
        if not words or not self._count:
            return ()
        with self._lock:
            return self._search(question, words, limit)

    def ping(self) -> str:
        """One line on what there is to search."""
        return f"{self._count} passages, full text"

    def close(self) -> None:
        """Forget everything."""
        self._index.close()

    def _search(self, question: str, words: Sequence[str], limit: int) -> list[Passage]:
        holders = {word: self._holders(word) for word in words}
        # A word that stands nowhere weighs most: a question about it is not about these documents.
        weights = {word: math.log(1 + self._count / (len(rows) + 0.5)) for word, rows in holders.items()}
        asked_for = sum(weights.values())
        anywhere = " OR ".join(f'"{word}"' for word in words)
        rows = self._index.execute(
            "SELECT rowid, document, title, heading, text, bm25(passages, 0, 3.0, 4.0, 1.0) AS distance "
            "FROM passages WHERE passages MATCH ? ORDER BY distance LIMIT ?",
            (anywhere, _CANDIDATES),
        ).fetchall()
        found = []
        for rowid, document, title, heading, text, distance in rows:
            coverage = sum(weights[word] for word in words if rowid in holders[word]) / asked_for
            if coverage >= _COVERAGE:
                score = -distance * coverage * (1 + _alike(question, heading))
                found.append(Passage(document=document, title=title, heading=heading, text=text, score=score))
        found.sort(key=lambda passage: -passage.score)
        return found[:limit]

    def _holders(self, word: str) -> set[int]:
        rows = self._index.execute("SELECT rowid FROM passages WHERE passages MATCH ?", (f'"{word}"',))
        return {rowid for (rowid,) in rows}


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        yield from (sorted(path.glob("*.md")) if path.is_dir() else [path] if path.exists() else [])


def _content_words(question: str) -> list[str]:
    words = dict.fromkeys(re.findall(r"\w+", question.lower()))
    return [word for word in words if word not in _STOP_WORDS and len(word) > 1][:16]


def _passages(markdown: str) -> Iterator[tuple[str, str, str]]:
    """`(title, heading, text)` of each piece: what stands under one heading, cut between paragraphs when long."""
    title, heading, block = "", "", ""
    for kind, text in _lines(markdown):
        if kind == "heading":
            yield from ((title, heading, piece) for piece in _pieces(block))
            block = ""
            _, name = text.split(" ", 1)
            if not title:
                title = heading = name
            else:
                heading = name
        else:
            block += text + "\n"
    yield from ((title, heading, piece) for piece in _pieces(block))


def _lines(markdown: str) -> Iterator[tuple[str, str]]:
    fenced = False
    for line in markdown.splitlines():
        fenced ^= line.lstrip().startswith("```")
        is_heading = not fenced and re.match(r"#{1,6} \S", line) is not None
        yield ("heading" if is_heading else "text"), line


def _pieces(block: str) -> Iterator[str]:
    piece = ""
    for paragraph in _paragraphs(block):
        if piece and len(piece) + len(paragraph) > _LONGEST:
            yield piece
            piece = ""
        piece = f"{piece}\n\n{paragraph}" if piece else paragraph
    if piece:
        yield piece


def _paragraphs(block: str) -> Iterator[str]:
    """What stands between blank lines; a fenced block of code is never cut."""
    lines: list[str] = []
    fenced = False
    for line in [*block.splitlines(), ""]:
        fenced ^= line.lstrip().startswith("```")
        if line.strip() or fenced:
            lines.append(line)
        elif lines:
            yield "\n".join(lines)
            lines = []
    if lines:
        yield "\n".join(lines)


def _alike(question: str, heading: str) -> float:
    """How much a heading says the same as a question, from 0 to 1 (Dice's coefficient of their words).

    Questions are short, and then bm25 hardly tells the passages apart that hold their only rare word.
    """
    asked, named = _stems(question), _stems(heading)
    return 2 * len(asked & named) / (len(asked) + len(named)) if named else 0.0


def _stems(text: str) -> set[str]:
    words = re.findall(r"\w+", text.lower())
    return {re.sub(r"(ing|ed|es|s)$", "", word) if len(word) > 4 else word for word in words}
