"""PDF, which knows places on pages only: lines are put together again to what they were written as."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from itertools import chain
from typing import TYPE_CHECKING, Any

from adapters.parsing.blocks import Block, Outline, clean, one_line
from adapters.parsing.chunking import too_large
from application.ports.parsing import DocumentUnreadable

if TYPE_CHECKING:
    from pypdf import PdfReader

_MOST_PAGES = 5_000
_DEEPEST_BOOKMARK = 6

_EDGE = 2
"""Lines at the top and at the bottom of a page that may be a header or a footer."""

_FEWEST_PAGES = 4
"""Pages of which can be told what stands on each of them."""

_FULL = 0.75
"""The part of a page's usual width from which on a line ends because it is full."""

_MACHINE_TITLE = re.compile(
    r"microsoft (word|powerpoint|excel) - |untitled|.*\.(docx?|odt|pdf|indd|tex|dvi|rtf|txt)$", re.I
)
_BULLET = re.compile(r"[•‣▪●○◦–*-]\s|\(?(\d{1,3}|[a-zA-Z])[.)]\s")
_ENDS = (".", "!", "?", ":", "。", "！", "？", "।", "؟", "۔", "…", '."', ".”")
_PRESENTATION_FORM = re.compile("[\ufb00-\ufdff\ufe70-\ufefc]")
"""Ligatures and the shapes of Arabic letters: how text looks, not what it says."""

_NARROWEST = 40
"""The width of a column of text: shorter lines stand by themselves, as on slides."""

_LEADER = re.compile(r"(?: ?\.){5,} ?")
"""The dots of a table of contents."""

_Headings = Mapping[int, Sequence[tuple[int, str]]]
"""What begins on each page, as levels and titles."""


def outline(content: bytes, *, max_characters: int) -> Outline:
    """The text of each page below its bookmarks, and the title of the metadata, unless a program made it up."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, LimitReachedError, PyPdfError

    try:
        reader = PdfReader(BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            raise DocumentUnreadable(
                "document_encrypted", "The PDF is protected by a password. Save it without one, and send it again."
            )
        title = _title(reader)
        pages = _pages(reader, max_characters)
        headings = _bookmarks(reader)
    except LimitReachedError as error:
        raise too_large("Parts of the PDF expand beyond what is read.") from error
    except (DependencyError, NotImplementedError) as error:
        raise DocumentUnreadable("document_encrypted", "The PDF is encrypted in a way that is not read.") from error
    except PyPdfError as error:
        raise DocumentUnreadable("document_broken", "The PDF is damaged or incomplete, and cannot be read.") from error
    if not any(chain.from_iterable(pages)):
        raise DocumentUnreadable(
            "document_empty",
            "The PDF holds no text. Scanned pages are pictures: recognise their text (OCR) first.",
            pages=len(pages),
        )
    return Outline(title, _blocks(_without_edges(pages), headings))


def _title(reader: PdfReader) -> str | None:
    title = reader.metadata.title if reader.metadata is not None else None
    return None if title is None or _MACHINE_TITLE.match(title) else title


def _pages(reader: PdfReader, max_characters: int) -> list[list[str]]:
    if len(reader.pages) > _MOST_PAGES:
        raise too_large(f"It has more than {_MOST_PAGES:,} pages.", pages=_MOST_PAGES)
    pages: list[list[str]] = []
    characters = 0
    for page in reader.pages:
        text = _PRESENTATION_FORM.sub(lambda form: unicodedata.normalize("NFKC", form.group()), page.extract_text())
        pages.append([_LEADER.sub(" … ", one_line(line)) for line in _hyphens_kept(text).split("\n")])
        characters += len(text)
        if characters > max_characters:
            raise too_large(f"It holds more than {max_characters:,} characters of text.", characters=max_characters)
    return pages


def _hyphens_kept(text: str) -> str:
    """The text made clean; a soft hyphen is shown where a line ends with it."""
    return clean(re.sub("\xad(?=\\s*\n)", "-", text))


def _bookmarks(reader: PdfReader) -> _Headings:
    """The bookmarks by page. Those of a document that is sound otherwise may lead nowhere: then there are none."""
    found: dict[int, list[tuple[int, str]]] = defaultdict(list)

    def walk(items: Sequence[Any], level: int) -> None:
        for item in items:
            if isinstance(item, list):
                walk(item, min(level + 1, _DEEPEST_BOOKMARK))
            elif (page := reader.get_destination_page_number(item)) is not None and page >= 0:
                found[page].append((level, one_line(clean(str(item.title)))))

    try:
        walk(reader.outline, 1)
    except Exception:  # pypdf raises whatever a broken destination leads it to
        return {}
    return found


def _without_edges(pages: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    """The pages without the headers and footers that most of them have."""
    if len(pages) < _FEWEST_PAGES:
        return pages
    counts = Counter(chain.from_iterable({_shape(page[place]) for place in _edges(page)} for page in pages))
    running = {shape for shape, count in counts.items() if count > len(pages) / 2}
    return [
        [line for place, line in enumerate(page) if place not in _edges(page) or _shape(line) not in running]
        for page in pages
    ]


def _edges(page: Sequence[str]) -> set[int]:
    filled = [place for place, line in enumerate(page) if line]
    return {*filled[:_EDGE], *filled[-_EDGE:]}


def _shape(line: str) -> str:
    return re.sub(r"\d+", "#", line)


def _blocks(pages: Sequence[Sequence[str]], headings: _Headings) -> Iterator[Block]:
    open_block: Block | None = None  # What may go on over the page.
    for number, page in enumerate(pages):
        for block in _page_blocks(page, headings.get(number, ()), number + 1):
            if open_block is not None and _goes_over(open_block, block):
                open_block = Block("paragraph", _joined(open_block.text, block.text), page=open_block.page)
                continue
            if open_block is not None:
                yield open_block
            open_block = block
    if open_block is not None:
        yield open_block


def _goes_over(above: Block, below: Block) -> bool:
    both_paragraphs = above.kind == below.kind == "paragraph" and above.page != below.page
    return both_paragraphs and not above.text.endswith(_ENDS) and below.text[:1].islower()


def _page_blocks(lines: Sequence[str], headings: Sequence[tuple[int, str]], page: int) -> Iterator[Block]:
    begin = 0
    for level, title in headings:
        place, length = _find(lines, title, begin)
        yield from _paragraphs(lines[begin:place], page)
        yield Block("heading", title, level=level, page=page)
        begin = place + length
    yield from _paragraphs(lines[begin:], page)


def _find(lines: Sequence[str], title: str, begin: int) -> tuple[int, int]:
    """Where a heading stands, and in how many lines; where it is not found, it is above all that is left."""
    wanted = title.casefold()
    for length in (1, 2):
        for place in range(begin, len(lines) - length + 1):
            line = " ".join(lines[place : place + length]).casefold()
            if line == wanted or (line.endswith(wanted) and len(line) - len(wanted) < len("10.10.10 ")):
                return place, length
    return begin, 0


def _paragraphs(lines: Sequence[str], page: int) -> Iterator[Block]:
    widths = sorted(_width(line) for line in lines if line)
    full = _FULL * max(_NARROWEST, widths[len(widths) * 9 // 10] if widths else 0)
    text, goes_on = "", False
    for line in lines:
        if text and line and goes_on and not _BULLET.match(line):
            text = _joined(text, line)
        else:
            yield _block(text, page)
            text = line
        goes_on = _width(line) >= full and "…" not in line[-8:]
    yield _block(text, page)


def _block(text: str, page: int) -> Block:
    if _BULLET.match(text):
        return Block("item", text, page=page)
    return Block("paragraph" if text.endswith(_ENDS) or _width(text) >= _NARROWEST else "line", text, page=page)


def _joined(above: str, below: str) -> str:
    """Two lines of a paragraph as one. Scripts that have no spaces have none between lines either."""
    if above.endswith(("-", "\u2010")) and above[-2:-1].isalpha() and below[:1].islower():
        return above[:-1] + below
    return f"{above}{below}" if _width(above[-1:]) == _width(below[:1]) == 2 else f"{above} {below}"


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
