"""Records as pages: titles, who says what, their Markdown, and numbers at the foot."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from fpdf import FPDF, XPos, YPos
from fpdf.enums import WrapMode

from adapters.pdf.letters import BOLD, CODE, ITALIC, NOT_THERE, PLAIN, Letters, is_leftward
from application.exporting.markdown import remarks, source_line, speaker, told
from application.ports.persistence import Document
from domain.messages import Role

if TYPE_CHECKING:
    from markdown_it.token import Token

_SIZE, _SMALL = 10.0, 8.0
_HEADINGS = {"h1": 14.0, "h2": 12.5, "h3": 11.5}
_BOLD = ("h1", "h2", "h3", "h4", "h5", "h6", "th")
_STEP = 6.0
"""Millimetres that a list or a quote is set in by."""

_LEVELS = 8
"""How often it is set in: deeper ones stay where these are."""

_FEW_QUOTES = 50
"""Lines that are quotes: quotes within quotes take the Markdown parser the square of their lines."""

_BELOW: dict[str, Any] = {"new_x": XPos.LMARGIN, "new_y": YPos.NEXT}
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LINK = re.compile(r"(?:https?|mailto):", re.IGNORECASE)


def pages(found: Iterable[Document], fonts: Sequence[str]) -> bytes:
    """The PDF of an export; `fonts` are files of more fonts."""
    book = _Book(fonts)
    for record in found:
        match record.get("type"):
            case None:
                book.begin_export(record)
            case "room":
                book.add_title(record["name"], f"Room, opened {_told(record['created_at'])}", 18.0)
            case "conversation":
                began = _told(record["created_at"])
                book.add_title(record["title"] or "Conversation", f"With {record['agent']}, started {began}", 15.0)
            case "message":
                book.add_message(record)
    book.say_what_is_missing()
    return bytes(book.output())


@dataclass(frozen=True, slots=True)
class _Run:
    """Some text of one look."""

    text: str
    font: str = PLAIN
    link: str = ""


class _Book(FPDF):
    def __init__(self, fonts: Sequence[str]) -> None:
        super().__init__(format="A4")
        self.letters = Letters(self, fonts)
        self.set_margins(20, 18)
        self.set_auto_page_break(True, margin=20)
        self.set_creator("Parley")
        self.add_page()
        self.set_font(PLAIN, size=_SIZE)
        self._levels = 0

    def footer(self) -> None:
        self.set_y(-14)
        self.set_text_color(110)
        self.set_font(PLAIN, size=_SMALL)
        self.cell(0, 5, str(self.page_no()), align="C")
        self.set_text_color(0)

    def begin_export(self, header: Document) -> None:
        self.set_creation_date(datetime.fromisoformat(header["exported_at"]))
        self.set_title(header.get("name") or "Parley export")

    def add_title(self, text: str, below: str, size: float) -> None:
        if self.get_y() > self.t_margin + 1:
            self.ln(8)
        self._paragraph([_Run(" ".join(text.split()), BOLD)], size)
        self._paragraph([_Run(below)], _SMALL, grey=True)
        self.ln(3)

    def add_message(self, message: Document) -> None:
        if self.will_page_break(22):
            self.add_page()  # Who speaks is not left alone at the foot of a page.
        self._paragraph([_Run(speaker(message), BOLD), _Run(f"   {_told(message['created_at'])}")], _SIZE, grey=True)
        self.ln(1)
        content = message["content"].strip("\n")
        if message["role"] == Role.ASSISTANT and _quotes_in(content) <= _FEW_QUOTES:
            self._markdown(content)
        else:
            for paragraph in content.split("\n"):
                self._paragraph([_Run(paragraph)])
        for source in message["sources"]:
            self._paragraph([_Run(f"[{source.get('number', '')}] {source_line(source)}")], _SMALL, grey=True)
        for remark in remarks(message):
            self._paragraph([_Run(remark, ITALIC)], _SMALL, grey=True)
        self.ln(5)

    def say_what_is_missing(self) -> None:
        if not self.letters.missing:
            return
        many = sum(self.letters.missing.values())
        which = ", ".join(f"U+{ord(sign):04X}" for sign in sorted(self.letters.missing)[:10])
        more = " and others" if len(self.letters.missing) > 10 else ""
        self._paragraph(
            [
                _Run(
                    f"{NOT_THERE} stands for {many} characters that no font of this installation has ({which}{more}). "
                    "PARLEY_EXPORT_FONTS names more fonts; JSON and Markdown hold every character."
                )
            ],
            _SMALL,
            grey=True,
        )

    def _markdown(self, text: str) -> None:
        from markdown_it import MarkdownIt

        tokens = MarkdownIt("commonmark").enable("table").parse(text)
        numbers: list[int | None] = []
        cells: list[_Run] = []
        opened = ""
        for token in tokens:
            match token.type:
                case "heading_open":
                    self.ln(1.5)
                case "inline":
                    self._inline(token, opened, cells)
                case "fence" | "code_block" | "html_block":
                    self._code(token.content)
                case "hr":
                    self.line(self.l_margin, self.get_y() + 2, self.w - self.r_margin, self.get_y() + 2)
                    self.ln(4)
                case "bullet_list_open":
                    numbers.append(None)
                case "ordered_list_open":
                    numbers.append(int(token.attrs.get("start", 1)))
                case "bullet_list_close" | "ordered_list_close":
                    numbers.pop()
                case "list_item_open":
                    self._item(numbers)
                case "blockquote_open":
                    self._set_in(1)
                case "list_item_close" | "blockquote_close":
                    self._set_in(-1)
                case "tr_close":
                    self._paragraph(cells)
                    cells.clear()
                case "paragraph_close" | "heading_close" | "table_close":
                    self.ln(1.5)
                case _:
                    pass
            opened = token.tag

    def _inline(self, token: Token, within: str, cells: list[_Run]) -> None:
        runs = list(_runs(token.children or (), BOLD if within in _BOLD else PLAIN))
        if within in ("td", "th"):
            cells += [_Run("   |   "), *runs] if cells else runs
        else:
            self._paragraph(runs, _HEADINGS.get(within, _SIZE))

    def _item(self, numbers: list[int | None]) -> None:
        self._set_in(1)
        number = numbers[-1]
        mark = "\N{BULLET}" if number is None else f"{number}."
        if number is not None:
            numbers[-1] = number + 1
        self.set_font(PLAIN, size=_SIZE)
        if self.will_page_break(6):
            self.add_page()
        self.set_x(self.l_margin - _STEP)
        self.cell(_STEP, 5, mark, new_x=XPos.LMARGIN, new_y=YPos.TOP)

    def _set_in(self, by: int) -> None:
        self._levels += by
        self.set_left_margin(20 + _STEP * min(self._levels, _LEVELS))
        self.set_x(self.l_margin)

    def _code(self, text: str) -> None:
        self.set_fill_color(242)
        for line in text.rstrip("\n").split("\n"):
            line = _UNSEEN.sub(NOT_THERE, line.expandtabs(4)) or " "
            with self._shaped(line) as (shown, font):
                self.set_font(font or CODE, size=_SMALL + 0.5)
                for part, letter in [(shown, font)] if font else self._one_font(shown):
                    self.set_font(letter or CODE, size=_SMALL + 0.5)
                    self.multi_cell(0, 4.4, part, fill=True, align="L", wrapmode=WrapMode.CHAR, **_BELOW)
        self.ln(2)

    def _one_font(self, line: str) -> Iterator[tuple[str, str]]:
        """A line of code in the one font that has it, or as near as there is."""
        runs = list(self.letters.runs(line, CODE))
        if len({font for _, font in runs}) == 1:
            yield "".join(part for part, _ in runs), runs[0][1]
        else:
            font, kept = self.letters.best_for(line)
            yield kept, font

    def _paragraph(self, runs: Sequence[_Run], size: float = _SIZE, *, grey: bool = False) -> None:
        height = size * 0.5
        self.set_text_color(90 if grey else 0)
        runs = [_Run(_UNSEEN.sub(NOT_THERE, run.text.replace("\t", "    ")), run.font, run.link) for run in runs]
        text = "".join(run.text for run in runs)
        with self._shaped(text) as (shown, font):
            if font is not None:
                self.set_font(font, size=size)
                align = "R" if is_leftward(shown) else "L"
                self.multi_cell(0, height, shown, align=align, **_BELOW)
            else:
                for run in runs:
                    self._run(run, size, height)
                self.ln(height)
        self.set_text_color(0)

    def _run(self, run: _Run, size: float, height: float) -> None:
        if run.link:
            self.set_text_color(20, 70, 150)
        for part, font in self.letters.runs(run.text, run.font):
            self.set_font(font, size=size)
            self.write(height, part, link=run.link)
        if run.link:
            self.set_text_color(0)

    @contextmanager
    def _shaped(self, text: str) -> Iterator[tuple[str, str | None]]:
        """With a text whose characters have to be shaped or turned: it, and the font for all of it; else None."""
        if self.letters.is_simple(text):
            yield text, None
            return
        font, kept = self.letters.best_for(text)
        self.set_fallback_fonts([PLAIN, *self.letters.more], exact_match=False)
        self.set_text_shaping(True)
        yield kept, font
        self.set_text_shaping(False)
        self.set_fallback_fonts([])


def _runs(tokens: Sequence[Token], font: str) -> Iterator[_Run]:
    fonts, links = [font], [""]
    for token in tokens:
        match token.type:
            case "strong_open":
                fonts.append(BOLD)
            case "em_open":
                fonts.append(ITALIC if fonts[-1] == PLAIN else fonts[-1])
            case "strong_close" | "em_close":
                fonts.pop()
            case "link_open":
                target = str(token.attrs.get("href", ""))
                links.append(target if _LINK.match(target) else "")
            case "link_close":
                links.pop()
            case "code_inline":
                yield _Run(token.content, CODE, links[-1])
            case "softbreak":
                yield _Run(" ", fonts[-1])
            case "hardbreak":
                yield _Run("\n", fonts[-1])
            case "image":
                yield _Run(f"[{token.content}]", fonts[-1])
            case _:
                yield _Run(token.content, fonts[-1], links[-1])


def _quotes_in(text: str) -> int:
    return sum(line.lstrip(" \t-*+.)0123456789").startswith(">") for line in text.splitlines())


def _told(time: Any) -> str:
    return told(datetime.fromisoformat(time))
