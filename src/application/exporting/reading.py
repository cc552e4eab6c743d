"""An export as it comes back, line by line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from application.exporting.records import FORMAT, VERSION
from application.exporting.shapes import shapes
from application.ports.persistence import Document
from domain.errors import Category, Invalid, ParleyError
from domain.limits import Limits


class ImportRefused(ParleyError):
    """The file is none that can be taken in as it is; `details` name the `line` and, where it is one, the `field`."""

    slug = "import_refused"
    category = Category.INVALID

    def __init__(self, line: int, problem: str, field: str | None = None) -> None:
        place = f"line {line}, {field}" if field else f"line {line}"
        super().__init__(f"{place}: {problem}", line=line, field=field)


@dataclass(frozen=True, slots=True)
class Line:
    """A record, its line, and how many bytes of the file it is."""

    number: int
    record: Document
    bytes: int

    def refused(self, wrong: Invalid) -> ImportRefused:
        """The same that is wrong, with its line."""
        field, problem = next(iter(wrong.fields.items()))
        return ImportRefused(self.number, problem, f"{self.record['type']}.{field}")


def read(file: IO[bytes], limits: Limits) -> Iterator[Line]:
    """The records between the first and the last, each of its shape. Raises ImportRefused."""
    longest = 2 * limits.document_bytes + 8 * limits.added_message + 4 * 1024 * 1024
    known = shapes(limits)
    counts: Counter[str] = Counter()
    ended = False
    number = 0
    for number, text in enumerate(_lines(file, longest), 1):
        record = _parsed(text, number)
        if number == 1:
            _require_ours(record)
            continue
        if ended:
            raise ImportRefused(number, "Something follows the end.")
        kind = record.get("type")
        if not isinstance(kind, str) or kind not in known:
            raise ImportRefused(number, f"Must be one of {', '.join(known)}.", "type")
        line = Line(number, record, len(text))
        try:
            line = Line(number, known[kind](record, ""), len(text))
        except Invalid as wrong:
            raise line.refused(wrong) from None
        if kind == "end":
            ended = True
            if line.record["counts"] != counts:
                raise ImportRefused(number, f"There are {dict(counts)} before this line: some are missing.", "counts")
        else:
            counts[kind] += 1
            yield line
    if number == 0:
        raise ImportRefused(1, "The file is empty.")
    if not ended:
        raise ImportRefused(sum(counts.values()) + 1, "The file is cut off after this line: its end is missing.")


class Lines:
    """Lines one by one, of which the next is looked at before it is taken."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._ahead: Line | None = None

    def next(self) -> Line | None:
        """The next one; None at the end."""
        line = self._ahead or next(self._lines, None)
        self._ahead = None
        return line

    def next_message(self) -> Line | None:
        """The next one, if it is a message."""
        self._ahead = self._ahead or next(self._lines, None)
        if self._ahead is None or self._ahead.record["type"] != "message":
            return None
        return self.next()


def _lines(file: IO[bytes], longest: int) -> Iterator[bytes]:
    number = 0
    while text := file.readline(longest + 1):
        number += 1
        if len(text) > longest:
            raise ImportRefused(number, f"Is longer than {longest:,} bytes.")
        yield text


def _parsed(text: bytes, number: int) -> Document:
    try:
        record: Any = json.loads(text)
    except (ValueError, RecursionError):
        if number == 1:
            raise ImportRefused(1, "This is no export of Parley's: it is no JSON Lines.") from None
        raise ImportRefused(number, "Is not JSON (in UTF-8, a record a line).") from None
    if not isinstance(record, dict):
        raise ImportRefused(number, "Must be a JSON object.")
    return record


def _require_ours(header: Document) -> None:
    if header.get("format") != FORMAT:
        raise ImportRefused(1, f"This is no export of Parley's: it must be {FORMAT!r}.", "format")
    version = header.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ImportRefused(1, "Must be a whole number from 1 on.", "version")
    if version > VERSION:
        raise ImportRefused(
            1, f"Is {version}: a newer Parley has written this. This one reads up to {VERSION}.", "version"
        )
