"""Documents as they come, read into pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.errors import Category, ParleyError

PLAIN_TEXT = "text/plain"
MARKDOWN = "text/markdown"
HTML = "text/html"
PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

MEDIA_TYPES = (PLAIN_TEXT, MARKDOWN, HTML, PDF, DOCX)
"""The kinds of documents that are read."""

WITHIN = " › "
"""Stands between the headings of a path."""


class DocumentUnreadable(ParleyError):
    """The document cannot be taken as it is; the message tells its uploader why.

    `slug` is one of `document_empty` (it holds no text), `document_encrypted` (a password is needed),
    `document_broken`, `document_too_large` (it holds more than is read, or expands to it),
    `document_type_mismatch` (it is not what its name or media type says), `document_type_unknown`
    (nothing that is read) and `document_timed_out`. Trying again with the same document does not help.
    """

    category = Category.INVALID

    def __init__(self, slug: str, message: str, /, **details: object) -> None:
        super().__init__(message, **details)
        self.slug = slug


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Text of a document that belongs together: Markdown where the document is, and readable text otherwise.

    `heading` is the path of headings above it, outermost first, joined by WITHIN, each as it stands in the document;
    the title is not part of it, so it is empty above the first one. `page` counts from 1 where there are pages.
    """

    heading: str
    text: str
    page: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedDocument:
    """What a document says. `title` is its own, if it has one, and `media_type` what it really is, one of MEDIA_TYPES.

    There is at least one piece. `characters` counts its text once, where pieces may overlap.
    Nothing in it has NULs or lone surrogates, which databases refuse.
    """

    title: str | None
    media_type: str
    pieces: Sequence[Piece]
    characters: int


class DocumentParser(Protocol):
    """Reads documents that nobody has looked at yet."""

    def parse(self, content: bytes, *, name: str, media_type: str | None) -> ParsedDocument:
        """Read a document. `name` is its file's, `media_type` what its sender said it is, parameters included.

        May take a minute, without stalling the greenlets of this process. Raises DocumentUnreadable,
        or Unavailable when documents cannot be read at the moment.
        """
        ...
