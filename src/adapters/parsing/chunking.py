"""Blocks as pieces: whole where that is possible, under one heading always."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from adapters.parsing.blocks import Block, Outline, clean, one_line
from application.ports.parsing import WITHIN, DocumentUnreadable, ParsedDocument, Piece

TARGET = 900
"""Characters after which a piece ends with its block: some 200 tokens, one thought, and a model is shown several."""

LONGEST = 1800
"""Characters of a piece at most: some 450 tokens of English, which the smallest embedding models read whole."""

_SMALLEST = 200
"""Characters below which what is left of a section joins the piece before."""

_OVERLAP = 150
"""Characters at most that go on from one part of a cut paragraph to the next: about a sentence."""

_LONGEST_HEADING = 250
"""Characters beyond which a heading is a paragraph that somebody set in large type, and a title is cut."""

_SENTENCE = re.compile(r"""(?<=[.!?…։۔؟।॥၊။።])["'”’»)\]]*\s+|(?<=[。！？｡])["'”’»」』）〉》]*\s*""")
_CLAUSE = re.compile(r"(?<=[,;:،؛])\s+|(?<=[，、；：])\s*")
_SPACE = re.compile(r"\s+")
_LINE = re.compile(r"\n")
_JOINED_BY_LINE = {"item", "line"}
_FENCE = re.compile(r"\s*(`{3,}|~{3,})")


def chunk(outline: Outline, *, media_type: str, max_characters: int, max_pieces: int) -> ParsedDocument:
    """The pieces of a document; raises DocumentUnreadable when there is no text, or too much."""
    title = one_line(clean(outline.title or ""))
    pieces: list[Piece] = []
    characters = 0
    for section in _sections(outline.blocks, title):
        characters += sum(len(block.text) for block in section.blocks)
        if characters > max_characters:
            raise too_large(f"It holds more than {max_characters:,} characters of text.", characters=max_characters)
        path = WITHIN.join(section.path)
        pieces += (Piece(heading=path, text=text, page=section.page) for text in _texts(section.blocks))
        if len(pieces) > max_pieces:
            raise too_large(f"It falls into more than {max_pieces:,} pieces.", pieces=max_pieces)
    if not pieces and title:
        pieces, characters = [Piece(heading="", text=title[:LONGEST])], len(title)
    if not pieces:
        raise DocumentUnreadable("document_empty", "The document holds no text.")
    title = title[:_LONGEST_HEADING].rstrip()
    return ParsedDocument(title=title or None, media_type=media_type, pieces=pieces, characters=characters)


def too_large(why: str, **bounds: int) -> DocumentUnreadable:
    """That a document goes beyond a bound."""
    return DocumentUnreadable("document_too_large", f"The document is too large. {why}", **bounds)


class _Section:
    """What stands under one heading, on one page."""

    def __init__(self, path: Sequence[str], page: int | None) -> None:
        self.path, self.page, self.blocks = path, page, list[Block]()


def _sections(blocks: Iterable[Block], title: str) -> Iterator[_Section]:
    headings: list[tuple[int, str]] = []
    section = _Section((), None)
    for block in blocks:
        text = clean(block.text)
        if block.kind == "heading" and 0 < len(one_line(text)) <= _LONGEST_HEADING:
            if section.blocks:
                yield section
            elif headings and block.level <= headings[-1][0]:
                yield from _alone(headings, section.page)
            headings = [above for above in headings if above[0] < block.level]
            name = one_line(text)
            headings.append((block.level, "" if block.level == 1 and name.casefold() == title.casefold() else name))
            section = _Section([name for _, name in headings if name], block.page)
        elif text.strip():
            kind = "paragraph" if block.kind == "heading" else block.kind
            if block.page != section.page:
                if section.blocks:
                    yield section
                section = _Section(section.path, block.page)
            section.blocks.append(Block(kind, text.strip("\n").rstrip()))
    if section.blocks:
        yield section
    else:
        yield from _alone(headings, section.page)


def _alone(headings: Sequence[tuple[int, str]], page: int | None) -> Iterator[_Section]:
    """A heading with nothing under it is still something that the document says."""
    if headings and headings[-1][1]:
        section = _Section([name for _, name in headings if name], page)
        section.blocks.append(Block("paragraph", headings[-1][1]))
        yield section


def _texts(blocks: Iterable[Block]) -> list[str]:
    texts: list[str] = []
    last: Block | None = None
    for block in (part for whole in blocks for part in _parts(whole)):
        if last is not None:
            joined = texts[-1] + _joiner(last, block) + block.text
            if len(joined) <= TARGET or (len(joined) <= LONGEST and _leads_in(last.text)):
                texts[-1], last = joined, block
                continue
        texts.append(block.text)
        last = block
    if len(texts) > 1 and len(texts[-1]) < _SMALLEST and len(texts[-2]) + 2 + len(texts[-1]) <= LONGEST:
        texts[-2:] = [f"{texts[-2]}\n\n{texts[-1]}"]
    return texts


def _joiner(above: Block, below: Block) -> str:
    return "\n" if above.kind == below.kind and above.kind in _JOINED_BY_LINE else "\n\n"


def _leads_in(text: str) -> bool:
    """Whether what follows belongs to this text: a list or a sample without its introduction says little."""
    return text.endswith((":", "："))


def _parts(block: Block) -> Iterator[Block]:
    if len(block.text) <= LONGEST:
        yield block
        return
    if block.kind == "code":
        texts = _cut_code(block.text)
    elif block.kind == "table":
        texts = _cut_table(block.text)
    elif block.kind == "paragraph":
        texts = _overlapping(_filled(_units(block.text, (_SENTENCE, _LINE, _CLAUSE, _SPACE), TARGET), TARGET))
    else:
        texts = _filled(_units(block.text, (_LINE, _SENTENCE, _CLAUSE, _SPACE), TARGET), TARGET)
    yield from (Block(block.kind, text.strip("\n").rstrip()) for text in texts if text.strip())


def _cut_code(code: str) -> list[str]:
    """Parts that end with a line, each in a fence like the whole."""
    lines = code.split("\n")
    fence = _FENCE.match(lines[0])
    if fence is None or len(lines[0]) > TARGET // 4:
        return _filled(_units(code, (_LINE, _SPACE), TARGET), TARGET)
    opening, closing = lines[0], fence.group(1)
    body = "\n".join(lines[1:-1] if lines[-1].strip() == closing else lines[1:])
    parts = _filled(_units(body, (_LINE, _SPACE), TARGET), TARGET)
    return [f"{opening}\n{part.rstrip()}\n{closing}" for part in parts]


def _cut_table(table: str) -> list[str]:
    """Parts that end with a row, each below the table's header."""
    lines = table.split("\n")
    head, rows = "\n".join(lines[:2]), "\n".join(lines[2:])
    room = min(TARGET, LONGEST - len(head) - 1 - _SMALLEST)
    if not rows or room < TARGET // 2:
        return _filled(_units(table, (_LINE, _SPACE), TARGET), TARGET)
    return [f"{head}\n{part}" for part in _filled(_units(rows, (_LINE, _SPACE), room), room)]


def _units(text: str, ends: Sequence[re.Pattern[str]], limit: int) -> Iterator[str]:
    """The text in the fewest steps of structure, none longer than `limit`: joined, they are the text again."""
    if len(text) <= limit:
        yield text
    elif not ends:
        yield from _anywhere(text, limit)
    else:
        begin = 0
        for end in [*(match.end() for match in ends[0].finditer(text)), len(text)]:
            if end > begin:
                yield from _units(text[begin:end], ends[1:], limit)
            begin = end


def _anywhere(text: str, limit: int) -> Iterator[str]:
    begin = 0
    while begin < len(text):
        end = _between_characters(text, min(begin + limit, len(text)), begin)
        yield text[begin:end]
        begin = end


def _between_characters(text: str, at: int, begin: int) -> int:
    """The place at or before `at` where a reader sees one character end, unless that is absurdly far away."""
    for place in range(at, max(begin, at - 32), -1):
        if place == len(text) or not (_goes_on(text[place]) or text[place - 1] == "\u200d"):
            return place
    return at


def _goes_on(character: str) -> bool:
    """Whether it belongs to the character before: accents, vowel signs, joined emoji and their skin."""
    return unicodedata.category(character).startswith("M") or character == "\u200d" or "🏻" <= character <= "🏿"


def _filled(units: Iterable[str], limit: int) -> list[str]:
    """As many units in each text as fit; what little is left at the end joins the text before."""
    texts = [""]
    for unit in units:
        if texts[-1] and len(texts[-1]) + len(unit.rstrip()) > limit:
            texts.append("")
        texts[-1] += unit
    if len(texts) > 1 and len(texts[-1]) < _SMALLEST:
        texts[-2:] = [texts[-2] + texts[-1]]
    return texts


def _overlapping(texts: Sequence[str]) -> list[str]:
    """Each text after the first begins with the end of the one before."""
    tails = ("", *(_tail(text) for text in texts[:-1]))
    return [tail + text for tail, text in zip(tails, texts, strict=True)]


def _tail(text: str) -> str:
    """The last sentence or line if it is short, or else the last words, or characters where there are no words."""
    if len(text) < 2 * _OVERLAP:
        return ""
    begin = len(text) - _OVERLAP
    for ends in (_SENTENCE, _LINE, _SPACE):
        match = ends.search(text, begin)
        if match and match.end() < len(text):
            return text[match.end() :]
    return text[_between_characters(text, begin, 0) :]
