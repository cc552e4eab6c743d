"""Documents of every kind, made on the spot."""

from __future__ import annotations

import unicodedata
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from io import BytesIO

from docx import Document
from pypdf import PdfReader, PdfWriter
from pypdf.generic import IndirectObject

_FONT = (
    b"<< /Type /Font /Subtype /Type0 /BaseFont /Any /Encoding /Identity-H /DescendantFonts [5 0 R] /ToUnicode 4 0 R >>"
)
_DESCENDANT = (
    b"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /Any /DW 500"
    b" /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> >>"
)


def pdf(*pages: Sequence[str]) -> bytes:
    """A PDF with these lines on its pages, in any script: its font has no shapes, but says what each of them means.

    Like every PDF it knows places only: Arabic and Hebrew lines are written from their left end.
    """
    characters = sorted({character for page in pages for line in page for character in line})
    codes = {character: number for number, character in enumerate(characters, start=1)}
    meanings = "\n".join(f"<{code:04x}> <{text.encode('utf-16-be').hex()}>" for text, code in codes.items())
    to_unicode = (
        "/CIDInit /ProcSet findresource begin begincmap 1 begincodespacerange <0000> <ffff> endcodespacerange\n"
        f"{len(codes)} beginbfchar\n{meanings}\nendbfchar endcmap end"
    ).encode()
    first_page = 6
    kids = " ".join(f"{first_page + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        _FONT,
        _stream(to_unicode),
        _DESCENDANT,
    ]
    for number, lines in enumerate(pages):
        shown = "".join(
            f"BT /F 10 Tf 72 {780 - 14 * place} Td <{''.join(f'{codes[one]:04x}' for one in _as_placed(line))}> Tj ET\n"
            for place, line in enumerate(lines)
        )
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F 3 0 R >> >>"
            + f" /Contents {first_page + 2 * number + 1} 0 R >>".encode()
        )
        objects.append(_stream(shown.encode()))
    return _file(objects)


def pdf_bomb(size: int) -> bytes:
    """A PDF whose only page expands to that many bytes of commands."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >> >>",
        _stream(b"BT /F 10 Tf (Boom) Tj ET\n" * (size // 26)),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    return _file(objects)


def with_bookmarks(content: bytes, bookmarks: Sequence[tuple[str, int, int | None]], *, title: str = "") -> bytes:
    """The PDF with bookmarks: titles, pages from 1, and the number of the bookmark that each is below."""
    writer = PdfWriter(clone_from=PdfReader(BytesIO(content)))
    made: list[IndirectObject] = []
    for name, page, parent in bookmarks:
        above = None if parent is None else made[parent]
        made.append(writer.add_outline_item(title=name, page_number=page - 1, parent=above))
    writer.add_metadata({"/Title": title})
    return _written(writer)


def encrypted(content: bytes, *, user_password: str, owner_password: str, algorithm: str = "AES-256") -> bytes:
    """The PDF, to be opened with a password only, which may be empty."""
    writer = PdfWriter(clone_from=PdfReader(BytesIO(content)))
    writer.encrypt(user_password, owner_password, algorithm=algorithm)
    return _written(writer)


def docx(*paragraphs: tuple[str, str], table: Sequence[Sequence[str]] = (), title: str = "") -> bytes:
    """A Word document of paragraphs in the styles named before them, with a table at its end."""
    document = Document()
    document.core_properties.title = title
    for style, text in paragraphs:
        document.add_paragraph(text, style=style)
    if table:
        cells = document.add_table(rows=len(table), cols=len(table[0]))
        for row, texts in zip(cells.rows, table, strict=True):
            for cell, text in zip(row.cells, texts, strict=True):
                cell.text = text
    file = BytesIO()
    document.save(file)
    return file.getvalue()


def part_of(archive: bytes, name: str) -> bytes:
    """A part of the ZIP archive."""
    with zipfile.ZipFile(BytesIO(archive)) as parts:
        return parts.read(name)


def with_parts(archive: bytes, parts: Mapping[str, bytes]) -> bytes:
    """The ZIP archive with other parts of these names."""
    file = BytesIO()
    with zipfile.ZipFile(BytesIO(archive)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, parts.get(name, old.read(name)))
        for name in parts.keys() - set(old.namelist()):
            new.writestr(name, parts[name])
    return file.getvalue()


def archive(**parts: bytes) -> bytes:
    """A ZIP archive."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as new:
        for name, content in parts.items():
            new.writestr(name, content)
    return file.getvalue()


def word_body(body: str, *, prologue: str = "") -> bytes:
    """The main part of a Word document with this body."""
    namespace = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    declaration = '<?xml version="1.0" encoding="UTF-8"?>'
    return f'{declaration}{prologue}<w:document xmlns:w="{namespace}"><w:body>{body}</w:body></w:document>'.encode()


def _as_placed(line: str) -> str:
    return line[::-1] if unicodedata.bidirectional(line[:1]) in ("R", "AL") else line


def _stream(content: bytes) -> bytes:
    packed = zlib.compress(content, 9)
    return b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(packed), packed)


def _file(objects: Sequence[bytes]) -> bytes:
    file = b"%PDF-1.7\n"
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    return file + b"xref\n0 %d\n0000000000 65535 f \n%strailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        size,
        table,
        size,
        len(file),
    )


def _written(writer: PdfWriter) -> bytes:
    file = BytesIO()
    writer.write(file)
    return file.getvalue()
