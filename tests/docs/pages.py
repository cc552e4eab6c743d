"""The documentation as its pages, and the code that they show.

A fence of bash, python or javascript is run unless a comment on the line before it says why not:

    <!-- not run: needs Docker -->                  nobody runs it; the reason is in words
    <!-- run by: tests/integration/test_cli.py -->  that test runs it
    <!-- run: refused -->                           it is run, and ends with an error

A fence of text or json right after code is what that code prints, and what each fence prints that stands right before
another: the same in every language. `…` stands for anything. Two comments are about a whole page:

    <!-- run on: production -->                     on PostgreSQL, MongoDB and Redis
    <!-- this page is run by: tests/integration/test_cli.py -->
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

PROJECT = Path(__file__).resolve().parents[2]
LANGUAGES = ("bash", "python", "javascript")

_MARK = re.compile(r"<!--\s*(not run|run by|run):\s*(.+?)\s*-->")
_PRODUCTION = "<!-- run on: production -->"
_ELSEWHERE = re.compile(r"<!-- this page is run by: (.+?) -->")


@dataclass(frozen=True)
class Block:
    """A fence of code: where it begins, under which heading, how it is marked, and what it prints."""

    page: str
    line: int
    heading: str
    language: str
    code: str
    mark: str = ""
    reason: str = ""
    prints: str | None = None

    @property
    def is_run(self) -> bool:
        return self.mark not in ("not run", "run by")

    @property
    def is_refused(self) -> bool:
        return (self.mark, self.reason) == ("run", "refused")

    def __str__(self) -> str:
        return f"{self.page}:{self.line} ({self.heading})"


@dataclass(frozen=True)
class Page:
    """A page, by its path in the project."""

    name: str
    text: str

    @property
    def on_production(self) -> bool:
        return _PRODUCTION in self.text

    def blocks(self, language: str) -> list[Block]:
        """Its code in a language, in order."""
        return [block for block in _blocks(self) if block.language == language]


@cache
def pages() -> Sequence[Page]:
    """The README and every page but the ADRs, which show code to explain what was decided."""
    files = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
    names = (file.relative_to(PROJECT).as_posix() for file in files)
    return [Page(name, (PROJECT / name).read_text()) for name in names if not name.startswith("docs/adr/")]


def page(name: str) -> Page:
    return next(page for page in pages() if page.name == name)


def tokens(text: str) -> Sequence[Token]:
    return MarkdownIt("commonmark").enable("table").parse(text)


@cache
def _blocks(page: Page) -> list[Block]:
    blocks: list[Block] = []
    group: list[int] = []  # Those that stand right before what comes next.
    elsewhere = _ELSEWHERE.search(page.text)
    unmarked = ("run by", elsewhere[1]) if elsewhere else ("", "")
    heading, mark = "", unmarked
    for kind, content, line in _pieces(page.text):
        if kind == "heading":
            heading = content
        if kind == "comment":
            found = _MARK.fullmatch(content)
            mark = (found[1], found[2]) if found else unmarked
            continue
        if kind in LANGUAGES:
            if mark[0] or (group and blocks[group[-1]].language == kind):
                group = []
            group.append(len(blocks))
            blocks.append(Block(page.name, line, heading, kind, content, *mark))
        else:
            if kind in ("text", "json"):
                for index in group:
                    blocks[index] = replace(blocks[index], prints=content)
            group = []
        mark = unmarked
    return blocks


def _pieces(text: str) -> Iterator[tuple[str, str, int]]:
    """What a page consists of: headings, comments, fences by their language, and the rest."""
    parsed = tokens(text)
    for index, token in enumerate(parsed):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "heading_open":
            yield "heading", parsed[index + 1].content, line
        elif token.type == "html_block" and token.content.strip().startswith("<!--"):
            yield "comment", token.content.strip(), line
        elif token.type == "fence":
            yield token.info.split(" ")[0] or "fence", token.content, line
        elif token.level == 0 and token.nesting >= 0:
            yield token.type, "", line
