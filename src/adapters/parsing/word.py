"""Word documents (Office Open XML, ECMA-376), and what else a ZIP archive may be."""

from __future__ import annotations

import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any

from adapters.parsing.blocks import Block, Outline, as_table
from adapters.parsing.chunking import too_large
from application.ports.parsing import DOCX, DocumentUnreadable

if TYPE_CHECKING:
    from docx.document import Document
    from docx.styles.style import ParagraphStyle

_MOST_PARTS = 5_000
_MOST_BYTES = 256 * 1024 * 1024
"""All parts unpacked, pictures included: each is held in memory at once."""

_MOST_XML = 48 * 1024 * 1024
"""The parts that are parsed, whose trees take ten times their size. A novel of a thousand pages has about 10 MiB."""

_CONTENTS = "[Content_Types].xml"
_ARCHIVES = (
    ("xl/workbook.xml", "an Excel workbook"),
    ("ppt/presentation.xml", "a PowerPoint presentation"),
    ("META-INF/container.xml", "an EPUB book"),
    ("META-INF/MANIFEST.MF", "a Java archive"),
    ("content.xml", "an OpenDocument file"),
    ("word/document.xml", "a Word document of a kind that is not read (with macros, or a template)"),
)

_DEEPEST_LIST = 9
_DEEPEST_PART = 100
"""Tables in tables and the like: no more than recursion bears, and more than anybody writes."""

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_UNSEEN = {f"{_W}del", f"{_W}moveFrom", f"{_W}txbxContent", f"{_W}instrText", _FALLBACK}
_WHITE = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}
_HEADING = re.compile(r"heading ([1-9])", re.IGNORECASE)


def kind_of_archive(content: bytes) -> str:
    """The media type of a Word document, or what else the archive is, in words; raises DocumentUnreadable."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            parts = {part.filename: part for part in archive.infolist()}
            contents = parts.get(_CONTENTS)
            if contents is not None and contents.file_size < 1024 * 1024:
                declared = archive.read(contents)
                if b"wordprocessingml.document.main+xml" in declared:
                    return DOCX
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise _broken() from error
    return next((what for name, what in _ARCHIVES if name in parts), "a ZIP archive")


def outline(content: bytes) -> Outline:
    """The document's blocks, changes to it accepted; its title is in the style "Title", or its properties."""
    _bound(content)
    import docx
    from docx.opc.exceptions import PackageNotFoundError
    from lxml import etree

    try:
        document = docx.Document(BytesIO(content))
        body = document.element.body
    except etree.XMLSyntaxError as error:
        if error.code in (etree.ErrorTypes.ERR_NO_MEMORY, etree.ErrorTypes.ERR_RESOURCE_LIMIT):
            raise too_large("Its parts expand beyond what is read.") from error
        raise _broken() from error
    except (PackageNotFoundError, zipfile.BadZipFile, EOFError, KeyError, ValueError) as error:
        raise _broken() from error
    if body is None or document.element.getroottree().docinfo.doctype:
        raise _broken()  # No word processor writes entities; those that are written are not expanded.
    blocks = list(_Reader(document).read(body))
    title = next((block.text for block in blocks if block.kind == "heading" and block.level == 0), None)
    return Outline(
        title or _property_title(document),
        [
            Block("heading", block.text, level=1) if block.kind == "heading" and not block.level else block
            for block in blocks
        ],
    )


def _property_title(document: Document) -> str | None:
    """The title in the document's properties, if it has any: those that the library makes up are all called alike."""
    from docx.opc.constants import RELATIONSHIP_TYPE

    package = document.part.package
    if package is None or all(each.reltype != RELATIONSHIP_TYPE.CORE_PROPERTIES for each in package.rels.values()):
        return None
    return package.core_properties.title or None


def _bound(content: bytes) -> None:
    """Refuse what expands too far. What is declared holds: `zipfile` gives no more of a part than that."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        parts = archive.infolist()
    xml = sum(part.file_size for part in parts if part.filename.endswith((".xml", ".rels")))
    if len(parts) > _MOST_PARTS or xml > _MOST_XML or sum(part.file_size for part in parts) > _MOST_BYTES:
        raise too_large("Its parts expand beyond what is read.")
    if any(part.flag_bits & 1 for part in parts):
        raise DocumentUnreadable("document_encrypted", "The document is protected by a password.")


def _broken() -> DocumentUnreadable:
    return DocumentUnreadable("document_broken", "The Word document is damaged or incomplete, and cannot be read.")


class _Reader:
    """Knows the styles and numbering of one document."""

    def __init__(self, document: Document) -> None:
        self._styles = {style.style_id: style for style in document.styles if style.element.tag == f"{_W}style"}
        self._formats = _number_formats(document)
        self._numbers: dict[str, list[int]] = defaultdict(lambda: [0] * _DEEPEST_LIST)

    def read(self, container: Any, depth: int = 0) -> Iterator[Block]:
        """The blocks of a body, a cell or another element that holds paragraphs."""
        if depth > _DEEPEST_PART:
            raise too_large("Its parts are nested too deeply.")
        for element in container:
            if element.tag == f"{_W}p":
                yield from self._paragraph(element)
                for box in element.iter(f"{_W}txbxContent"):
                    if next(box.iterancestors(_FALLBACK, f"{_W}txbxContent"), None) is None:
                        yield from self.read(box, depth + 1)
            elif element.tag == f"{_W}tbl":
                yield from self._table(element, depth)
            elif isinstance(element.tag, str) and element.tag not in _UNSEEN:
                yield from self.read(element, depth + 1)  # Content controls, and marks of what was inserted.

    def _paragraph(self, paragraph: Any) -> Iterator[Block]:
        text = _text(paragraph).strip()
        if not text:
            return
        style = self._styles.get(_value(paragraph, "pPr/pStyle") or "")
        level = self._level(paragraph, style)
        if level is not None:
            yield Block("heading", text, level=level)
        elif (bullet := self._bullet(paragraph, style)) is not None:
            yield Block("item", bullet + text)
        else:
            yield Block("paragraph", text)

    def _level(self, paragraph: Any, style: ParagraphStyle | None) -> int | None:
        """The level of a heading, 0 for the title, or None for what is no heading."""
        own = _value(paragraph, "pPr/outlineLvl")
        if own is not None:
            return int(own) + 1 if own in "012345678" else None
        for inherited in _lineage(style):
            name = inherited.name or ""
            if name.lower() == "title":
                return 0
            if match := _HEADING.fullmatch(name):
                return int(match.group(1))
            level = _value(inherited.element, "pPr/outlineLvl")
            if level is not None:
                return int(level) + 1 if level in "012345678" else None
        return None

    def _bullet(self, paragraph: Any, style: ParagraphStyle | None) -> str | None:
        number = _value(paragraph, "pPr/numPr/numId")
        depth = _value(paragraph, "pPr/numPr/ilvl")
        for inherited in _lineage(style):
            number = number or _value(inherited.element, "pPr/numPr/numId")
            depth = depth or _value(inherited.element, "pPr/numPr/ilvl")
        if number is None or number == "0":  # 0 takes the style's numbering away (ECMA-376 part 1, 17.9.18).
            return None
        level = min(int(depth or 0), _DEEPEST_LIST - 1)
        counts = self._numbers[number]
        counts[level] += 1
        counts[level + 1 :] = [0] * (_DEEPEST_LIST - level - 1)
        is_numbered = self._formats.get((number, str(level)), "bullet") not in ("bullet", "none")
        return "  " * level + (f"{counts[level]}. " if is_numbered else "- ")

    def _table(self, table: Any, depth: int) -> Iterator[Block]:
        rows = [[cell for cell in row.iter(f"{_W}tc") if _row_of(cell) is row] for row in table.iterchildren(f"{_W}tr")]
        if next(table.iterdescendants(f"{_W}tbl"), None) is None and max(map(len, rows), default=0) > 1:
            yield Block("table", as_table([[self._cell(cell) for cell in row] for row in rows]))
        else:  # It lays the page out.
            for row in rows:
                for cell in row:
                    yield from self.read(cell, depth + 1)

    def _cell(self, cell: Any) -> str:
        return " ".join(_text(paragraph) for paragraph in cell.iter(f"{_W}p"))


def _lineage(style: ParagraphStyle | None) -> Iterator[ParagraphStyle]:
    """A style and those it is based on."""
    for _ in range(_DEEPEST_LIST):
        if style is None:
            return
        yield style
        style = style.base_style


def _number_formats(document: Document) -> dict[tuple[str, str], str]:
    """How each level of each numbering counts."""
    try:
        numbering = document.part.numbering_part.element
    except (KeyError, NotImplementedError):
        return {}
    abstract = {definition.get(f"{_W}abstractNumId"): definition for definition in numbering.iter(f"{_W}abstractNum")}
    return {
        (number.get(f"{_W}numId"), level.get(f"{_W}ilvl")): _value(level, "numFmt") or "decimal"
        for number in numbering.iter(f"{_W}num")
        for level in abstract.get(_value(number, "abstractNumId"), ())
        if level.tag == f"{_W}lvl"
    }


def _row_of(cell: Any) -> Any:
    return next(cell.iterancestors(f"{_W}tr"), None)


def _value(element: Any, path: str) -> str | None:
    """The `val` of an element below."""
    found = element.find("/".join(f"{_W}{step}" for step in path.split("/")))
    return None if found is None else found.get(f"{_W}val")


def _text(paragraph: Any) -> str:
    """What a paragraph shows, without the text boxes that hang on it."""
    parts: list[str] = []
    waiting = list(reversed(paragraph))
    while waiting:
        element = waiting.pop()
        if element.tag == f"{_W}t":
            parts.append(element.text or "")
        elif element.tag in _WHITE:
            parts.append(_WHITE[element.tag])
        elif element.tag not in _UNSEEN:
            waiting.extend(reversed(element))
    return "".join(parts)
