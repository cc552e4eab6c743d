"""What a document is made of, in its order, whatever kind of file it was."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Block:
    """One of a document's parts: a heading of a level (1 is the outermost), or text.

    A `line` is text that stands by itself, though not apart: a row or a label on a page.
    """

    kind: Literal["heading", "paragraph", "item", "line", "code", "table"]
    text: str
    level: int = 0
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Outline:
    """A document as its blocks, and what it says its title is."""

    title: str | None
    blocks: Iterable[Block]


_NEVER_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\ufeff\ufffe\uffff\ud800-\udfff]")
"""Control characters, marks of byte order, hyphens that are not shown, and halves of characters."""

_NEW_LINES = re.compile("\r\n?|[\x0b\x85\u2028]")
_NEW_PARAGRAPHS = re.compile("[\x0c\u2029]")


def clean(text: str) -> str:
    """Text that any database takes, in one spelling (Unicode's NFC), its lines ended by newlines."""
    text = _NEW_PARAGRAPHS.sub("\n\n", _NEW_LINES.sub("\n", text))
    return unicodedata.normalize("NFC", _NEVER_TEXT.sub("", text))


def one_line(text: str) -> str:
    """The words of a text with one space between them."""
    return " ".join(text.split())


def as_table(rows: Iterable[Iterable[str]]) -> str:
    """Rows of cells as Markdown writes a table."""
    lines = ["| " + " | ".join(one_line(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    if not any(line.strip("| ") for line in lines):
        return ""
    columns = len(re.findall(r"(?<!\\)\|", lines[0])) - 1
    return "\n".join([lines[0], "|" + "---|" * columns, *lines[1:]])


def as_code(code: str) -> str:
    """Lines as Markdown writes code, in a fence that they do not hold themselves."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", code)), default=0))
    return f"{fence}\n{code.strip(chr(10)).rstrip()}\n{fence}" if code.strip() else ""
