"""A document of a known kind as its pieces, in this process."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.parsing import html, markdown, pdf, plain, word
from adapters.parsing.blocks import Outline
from adapters.parsing.chunking import chunk
from application.ports.parsing import DOCX, HTML, MARKDOWN, PDF, ParsedDocument


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of a document is read."""

    max_characters: int
    max_pieces: int


def pieces_of(kind: str, content: bytes, text: str, bounds: Bounds) -> ParsedDocument:
    """The document's pieces; `text` is what its bytes are, if it is text. Raises DocumentUnreadable, and anything."""
    outline = _outline(kind, content, text, bounds)
    return chunk(outline, media_type=kind, max_characters=bounds.max_characters, max_pieces=bounds.max_pieces)


def _outline(kind: str, content: bytes, text: str, bounds: Bounds) -> Outline:
    if kind == PDF:
        return pdf.outline(content, max_characters=bounds.max_characters)
    if kind == DOCX:
        return word.outline(content)
    if kind == HTML:
        return html.outline(text)
    return markdown.outline(text) if kind == MARKDOWN else plain.outline(text)
