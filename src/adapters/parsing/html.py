"""HTML as the text that its readers see."""

from __future__ import annotations

import re
from typing import Any

from adapters.parsing.blocks import Block, Outline, as_code, as_table, clean, one_line
from adapters.parsing.chunking import too_large

_DROPPED = frozenset(
    """
    audio button canvas datalist dialog embed head iframe input map math nav noscript object rp rt script select
    style svg template textarea video
    """.split()  # noqa: SIM905 # quoted words are harder to read
)
_APART = frozenset(
    """
    address article aside blockquote body caption center dd details div dl dt fieldset figcaption figure footer form
    header hgroup hr html legend main menu ol p section summary table tbody td tfoot th thead tr ul
    """.split()  # noqa: SIM905
)
_LEVELS = {f"h{level}": level for level in range(1, 7)}
_LISTS = {"ul", "ol", "menu"}
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_HIDDEN_ROLES = {"banner", "contentinfo", "navigation", "search"}
_NO_CELLS = ("pre", *_LEVELS)
_BREAK = "\x1e"
"""A line's end that is meant: newlines are but spaces in HTML."""


def outline(text: str) -> Outline:
    """The page's blocks, or those of its <main> part; its title is in <title>, or the first <h1>."""
    from lxml import etree

    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        page = etree.fromstring(clean(text).encode(), parser)
    except etree.ParserError:
        page = None
    if any(error.type_name == "ERR_RESOURCE_LIMIT" for error in parser.error_log):
        raise too_large("Its elements are nested too deeply.")
    if page is None:
        return Outline(None, ())
    mains = [main for main in page.iter("main") if _words(main)]
    reader = _Reader()
    reader.read(mains[0] if len(mains) == 1 else page)
    titles = [_words(element) for tag in ("title", "h1") for element in page.iter(tag)]
    return Outline(next(filter(None, titles), None), reader.blocks)


class _Reader:
    """Walks through a page and gathers its text until a block is over. Pages nest too deeply for recursion."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._text: list[str] = []
        self._lists: list[int | None] = []  # The number of the last item in each list that is open, if it has numbers.
        self._bullet = ""

    def read(self, top: Any) -> None:
        from lxml import etree

        walk = etree.iterwalk(top, events=("start", "end"))
        left_out = None
        for event, element in walk:
            if event == "start":
                if _is_dropped(element) or self._is_whole(element):
                    left_out = element
                    walk.skip_subtree()
                else:
                    self._open(element)
                    self._text.append(element.text or "")
            else:
                if element is not left_out:
                    self._close(element)
                left_out = None
                if element is not top:
                    self._text.append(element.tail or "")
        self._end_block()

    def _open(self, element: Any) -> None:
        if element.tag == "br":
            self._text.append(_BREAK)
        elif element.tag in _APART or element.tag in _LEVELS or element.tag == "li":
            self._end_block()
        if element.tag in _LISTS:
            self._lists.append(0 if element.tag == "ol" else None)
        elif element.tag == "li":
            self._bullet = self._next_bullet()

    def _close(self, element: Any) -> None:
        if element.tag in _LEVELS:
            self._end_block(level=_LEVELS[element.tag])
        elif element.tag in _APART or element.tag == "li":
            self._end_block()
        if element.tag in _LISTS and self._lists:
            self._lists.pop()

    def _is_whole(self, element: Any) -> bool:
        """Whether the element is read in one go, as it has been then."""
        if element.tag == "pre":
            block = Block("code", as_code("".join(element.itertext())))
        elif element.tag == "table" and next(element.iter(*_NO_CELLS), None) is None and _has_cells(element):
            block = Block(
                "table", as_table([_words(cell) for cell in row.iter("td", "th")] for row in element.iter("tr"))
            )
        else:
            return False
        self._end_block()
        self.blocks.append(block)
        return True

    def _next_bullet(self) -> str:
        number = self._lists[-1] if self._lists else None
        if number is None:
            return "- "
        self._lists[-1] = number + 1
        return f"{number + 1}. "

    def _end_block(self, level: int = 0) -> None:
        text = "\n".join(one_line(line) for line in "".join(self._text).split(_BREAK)).strip()
        self._text.clear()
        if not text:
            return
        if level:
            self.blocks.append(Block("heading", text, level=level))
        elif self._lists:
            hanging = "  " if self._lists[-1] is None else "   "
            indented = "  " * (len(self._lists) - 1) + (self._bullet or hanging)
            self.blocks.append(Block("item", indented + text.replace("\n", "\n" + " " * len(indented))))
            self._bullet = ""
        else:
            self.blocks.append(Block("paragraph", self._bullet + text))
            self._bullet = ""


def _is_dropped(element: Any) -> bool:
    return (
        element.tag in _DROPPED
        or element.get("hidden", "until-found") != "until-found"
        or element.get("aria-hidden") == "true"
        or element.get("role") in _HIDDEN_ROLES
        or _HIDDEN.search(element.get("style", "")) is not None
    )


def _has_cells(table: Any) -> bool:
    """Whether it holds data: tables of one column or row only lay a page out."""
    rows = [sum(1 for _ in row.iter("td", "th")) for row in table.iter("tr")]
    return len(rows) > 1 and max(rows) > 1 and next(table.iterdescendants("table"), None) is None


def _words(element: Any) -> str:
    """Its text in one line, without what is dropped."""
    parts: list[str] = []
    walk = [(element, False)]
    while walk:
        inner, is_over = walk.pop()
        if is_over:
            parts.append(inner.tail or "")
        elif inner is element or not _is_dropped(inner):
            parts.append(" " if inner.tag in _APART or inner.tag == "br" else "")
            parts.append(inner.text or "")
            for child in reversed(inner):
                walk += [(child, True), (child, False)]
    return one_line("".join(parts))
