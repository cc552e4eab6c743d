"""What kind of document some bytes are, and whether that is what they were said to be."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePath

from adapters.parsing.plain import decoded
from adapters.parsing.word import kind_of_archive
from application.ports.parsing import DOCX, HTML, MARKDOWN, MEDIA_TYPES, PDF, PLAIN_TEXT, DocumentUnreadable

_SUFFIXES = {
    ".txt": PLAIN_TEXT,
    ".text": PLAIN_TEXT,
    ".log": PLAIN_TEXT,
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".pdf": PDF,
    ".docx": DOCX,
}
_SYNONYMS = {
    "text/x-markdown": MARKDOWN,
    "application/xhtml+xml": HTML,
    "application/x-pdf": PDF,
    **{media_type: media_type for media_type in (PLAIN_TEXT, MARKDOWN, HTML, PDF, DOCX)},
}
_NAMES = {PLAIN_TEXT: "plain text", MARKDOWN: "Markdown", HTML: "HTML", PDF: "a PDF", DOCX: "a Word document (.docx)"}

_READ = "Plain text, Markdown, HTML, PDF and Word documents (.docx) are read."

_SIGNATURES = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"MZ\x90\x00", "a Windows program"),
    (b"\x7fELF", "a program"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh91AY", "a bzip2 archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"SQLite format 3\x00", "a database"),
    (b"{\\rtf", "a rich text file (.rtf)"),
    (b"%!PS", "a PostScript file"),
)
"""How files begin that are not read, though some of what follows may be text."""

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_OFFICE = "EncryptedPackage".encode("utf-16-le")
_HTML = re.compile(r"\s*+(<\?xml[^>]*>\s*+)?(?><!--.*?-->\s*)*+<(!doctype\s+html|html|head|body)[\s>]", re.I | re.S)
_PDF_WITHIN = 1024
"""Bytes that readers allow before a PDF begins (ISO 32000-1, annex H.3.4.1)."""


def kind_of(content: bytes, *, name: str, media_type: str | None) -> tuple[str, str]:
    """`(media type, text)` of a document, the text empty for what is no text; raises DocumentUnreadable."""
    if not content.strip(b"\x00\t\n\r "):
        raise DocumentUnreadable("document_empty", "The document is empty.")
    claims = _claims(name, media_type)
    text = ""
    if content.startswith(b"PK\x03\x04"):
        found = kind_of_archive(content)
    elif content.startswith(_OLE):
        found = _kind_of_ole(content)
    elif b"%PDF-" in content[: _PDF_WITHIN if PDF in claims.values() else 8]:
        found = PDF
    else:
        found, text = _kind_of_text(content, claims.values())
    said = next(((claim, kind) for claim, kind in claims.items() if not _agree(kind, found)), None)
    if said is not None:
        what = _NAMES.get(found, found)
        raise DocumentUnreadable(
            "document_type_mismatch",
            f"The file is {what}, but by its {said[0]} it is {_NAMES[said[1]]}.",
            found=found,
            expected=said[1],
        )
    if found not in MEDIA_TYPES:
        raise DocumentUnreadable("document_type_unknown", f"The file is {found}. {_READ}", found=found)
    return found, text


def _claims(name: str, media_type: str | None) -> dict[str, str]:
    """What is said of a document. Other media types say nothing: browsers guess them by what is installed."""
    said = {
        "name": _SUFFIXES.get(PurePath(name).suffix.lower()),
        "media type": _SYNONYMS.get((media_type or "").partition(";")[0].strip().lower()),
    }
    return {claim: kind for claim, kind in said.items() if kind}


def _agree(said: str, found: str) -> bool:
    """Whether a file may be called that. Any text may be called any other: the one is written in the other."""
    return said == found or {said, found} <= {PLAIN_TEXT, MARKDOWN, HTML}


def _kind_of_ole(content: bytes) -> str:
    if _ENCRYPTED_OFFICE in content:
        raise DocumentUnreadable(
            "document_encrypted", "The document is protected by a password. Save it without one, and send it again."
        )
    return "a file of an older Office (such as .doc)"


def _kind_of_text(content: bytes, claims: Collection[str]) -> tuple[str, str]:
    for beginning, what in _SIGNATURES:
        if content.startswith(beginning):
            return what, ""
    text = decoded(content)
    if text is None:
        return "binary data", ""
    if not text.strip():
        raise DocumentUnreadable("document_empty", "The document holds no text.")
    if _HTML.match(text[:4096]):
        return HTML, text
    return next((kind for kind in (MARKDOWN, HTML) if kind in claims), PLAIN_TEXT), text
