"""Markdown as its blocks, each in its own source."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from adapters.parsing.blocks import Block, Outline, clean

if TYPE_CHECKING:
    from markdown_it.token import Token

_FRONT_MATTER = re.compile(r"---[ \t]*\n((?:(?:[\w.-]+:|[ \t]|- |#).*\n|\n)*)(?:---|\.\.\.)[ \t]*(?:\n|\Z)")
_TITLE = re.compile(r"^title:[ \t]*(.+?)[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"\s*<!--.*-->\s*", re.DOTALL)
_KINDS: dict[str, Literal["code", "table"]] = {"fence": "code", "code_block": "code", "table_open": "table"}


def outline(text: str) -> Outline:
    """The document's blocks (CommonMark, and tables), and its title: what its front matter says, or its first H1."""
    text = clean(text)
    title = None
    if front_matter := _FRONT_MATTER.match(text):
        text = text[front_matter.end() :]
        if said := _TITLE.search(front_matter.group(1)):
            title = said.group(1).strip("\"'")
    blocks = list(_blocks(text))
    first = next((block.text for block in blocks if block.kind == "heading" and block.level == 1), None)
    return Outline(title or first, blocks)


def _blocks(text: str) -> Iterator[Block]:
    lines = text.split("\n")
    at = 0
    for token, inside in _outermost(text):
        begin, end = token.map or (at, at)
        yield from _unmarked(lines[at:begin])
        source = "\n".join(lines[begin:end])
        at = end
        if token.type == "heading_open":
            yield Block("heading", inside[0].content, level=int(token.tag[1:]))
        elif token.type in ("bullet_list_open", "ordered_list_open"):
            yield from _items(lines, inside)
        elif token.type != "hr" and not (token.type == "html_block" and _COMMENT.fullmatch(source)):
            yield Block(_KINDS.get(token.type, "paragraph"), source)
    yield from _unmarked(lines[at:])


def _outermost(text: str) -> Iterator[tuple[Token, Sequence[Token]]]:
    """Each token that is inside no other, and those inside it."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.enableOnly(["normalize", "block"])  # What is within a line stays as it is written.
    tokens = parser.parse(text)
    begin = 0
    for place, token in enumerate(tokens):
        if token.level == 0 and token.nesting >= 0:
            begin = place
        if token.level == 0 and token.nesting <= 0:
            yield tokens[begin], tokens[begin + 1 : place]


def _items(lines: Sequence[str], inside: Sequence[Token]) -> Iterator[Block]:
    for token in inside:
        if token.type == "list_item_open" and token.level == 1 and token.map:
            yield Block("item", "\n".join(lines[token.map[0] : token.map[1]]))


def _unmarked(lines: Sequence[str]) -> Iterator[Block]:
    """Where the targets of links are told, which are no tokens."""
    yield Block("paragraph", "\n".join(lines))
