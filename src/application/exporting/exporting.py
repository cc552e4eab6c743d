"""Export a room, a conversation, all that one principal has, or everything."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from application.exporting import records
from application.exporting.markdown import markdown
from application.ports.exporting import ExportReader, Extent, Kind, PdfPrinter
from application.ports.persistence import ConcurrentChange, Document
from application.ports.runtime import Now
from domain.errors import Invalid, NotFound
from domain.identity import Principal

_THINGS = 200
_MESSAGES = 200
"""How many records are read at a time: some milliseconds, in which nobody else has a turn."""

_CHUNK = 64 * 1024
"""Characters that are handed over at a time, or a record if it has more."""


class Format(StrEnum):
    """What an export can be written as. JSON alone holds everything, and can be taken in again."""

    JSON = "json"
    MARKDOWN = "markdown"
    PDF = "pdf"


class Branches(StrEnum):
    """Whether an export holds all branches of its conversations, or the current ones alone."""

    ALL = "all"
    CURRENT = "current"


_TOLD = {
    Format.JSON: ("application/x-ndjson", ".jsonl"),
    Format.MARKDOWN: ("text/markdown; charset=utf-8; variant=CommonMark", ".md"),
    Format.PDF: ("application/pdf", ".pdf"),
}
"""Media types (RFC 7763 for Markdown) and the endings of files' names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A principal wants what there is of something; see Extent. Without `branches`, all of them where that can be."""

    principal: Principal
    extent: Extent
    format: Format = Format.JSON
    branches: Branches | None = None


@dataclass(frozen=True, slots=True)
class Exported:
    """A file in the making. `chunks` reads on as they are taken; closing it before its end leaves nothing behind.

    Whatever it raises, it has raised before its first chunk, StorageUnavailable and ConcurrentChange apart: what was
    taken until then is not whole.
    """

    name: str
    media_type: str
    chunks: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class ExportHandler:
    """Writes the export.

    It shows each conversation as it is at one moment, and holds nothing meanwhile that others wait for: what is read
    are pages, between which `give_way` lets others have their turn.
    Raises NotFound, Forbidden, Invalid, PdfUnavailable or TooMuchForPdf.
    """

    reader: ExportReader
    print_pdf: PdfPrinter
    give_way: Callable[[], None]
    now: Now

    def __call__(self, query: Export) -> Exported:
        about = self._authorised(query)
        branches = query.branches or (Branches.ALL if query.format is Format.JSON else Branches.CURRENT)
        if branches is Branches.ALL and query.format is not Format.JSON:
            raise Invalid({"branches": 'Only JSON holds all branches. Ask for "current", or for format=json.'})
        found = self._records(query.extent, branches, about)
        media_type, ending = _TOLD[query.format]
        chunks = _begun(self._written(query.format, found))
        return Exported(_file_name(about, ending), media_type, chunks)

    def _authorised(self, query: Export) -> Document:
        """What the header tells of it."""
        extent = query.extent
        for kind, wanted in ((Kind.ROOM, extent.room_id), (Kind.CONVERSATION, extent.conversation_id)):
            if wanted is None:
                continue
            found = self.reader.things(kind, replace(extent, deleted=True), None, limit=1)
            if not found:
                raise NotFound(kind, wanted)
            query.principal.authorise(_Owned(found[0]["owner"]), kind)
            if found[0]["deletion"] is not None and not extent.deleted:
                raise NotFound(kind, wanted)
            named = found[0]["name" if kind is Kind.ROOM else "title"]
            return {"of": kind.value, "id": wanted, "owner": found[0]["owner"], "name": named}
        owner = extent.owner
        query.principal.authorise(_Owned(owner or ""), "export")
        return {"of": "principal" if owner is not None else "installation", "id": None, "owner": owner, "name": ""}

    def _written(self, format: Format, found: Iterator[Document]) -> Iterator[bytes]:
        if format is Format.JSON:
            return _lines(found)
        if format is Format.MARKDOWN:
            return markdown(found)
        return self.print_pdf(found)

    def _records(self, extent: Extent, branches: Branches, about: Document) -> Iterator[Document]:
        counts: dict[str, int] = {}

        def counted(record: Document) -> Document:
            counts[record["type"]] = counts.get(record["type"], 0) + 1
            return record

        yield records.header(**about, branches=branches, exported_at=self.now())
        for kind in Kind:
            for thing in self._things(kind, extent):
                if kind is Kind.DOCUMENT:
                    content = self.reader.content(thing["id"])
                    if content is None:
                        continue  # It was purged meanwhile.
                    yield counted(records.with_content(thing, content))
                    self.give_way()
                    continue
                yield counted(thing)
                if kind is Kind.CONVERSATION:
                    yield from map(counted, self._messages(thing["id"], branches))
        yield records.end(counts)

    def _things(self, kind: Kind, extent: Extent) -> Iterator[Document]:
        after: UUID | None = None
        while found := self.reader.things(kind, extent, after, limit=_THINGS):
            yield from found
            if len(found) < _THINGS:
                return
            after = found[-1]["id"]
            self.give_way()

    def _messages(self, conversation_id: UUID, branches: Branches) -> Iterator[Document]:
        branch = self.reader.branch(conversation_id)
        after, reached = (0, 0), 0
        head: UUID | None = None  # of what has been reached of the current branch, and the one before it
        before: UUID | None = None
        while found := self.reader.messages(conversation_id, branch, after, limit=_MESSAGES):
            for message in found:
                position, version = after = (message["position"], message["version"])
                if branch.holds(position, version):
                    # An older Parley, which knew of no branches, did not say what a message follows.
                    message |= {"parent_id": head, "superseded_by": None}
                    before, head, reached = head, message["id"], position
                    yield message if branches is Branches.ALL else message | {"version": 1}
                elif branches is Branches.ALL:
                    message["parent_id"] = message["parent_id"] or (before if reached == position else head)
                    # It may have come back since the branch was looked at.
                    message["superseded_by"] = message["superseded_by"] or head or message["id"]
                    yield message
            self.give_way()
        if reached < len(branch.versions):
            raise ConcurrentChange("A conversation was removed while it was exported. Try again.")


@dataclass(frozen=True, slots=True)
class _Owned:
    owner: str


def _begun(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same, after all that is looked up for the first chunk: what is wrong is said before anything is sent."""

    def primed() -> Iterator[bytes]:
        try:
            first = next(chunks, b"")
            yield b""  # Until here for now: from here on, closing it closes what it stands on.
            yield first
            yield from chunks
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()

    begun = primed()
    next(begun)
    return begun


def _lines(found: Iterator[Document]) -> Iterator[bytes]:
    """JSON Lines, some of them at a time."""
    some: list[str] = []
    size = 0
    for record in found:
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=_written)
        some.append(line)
        size += len(line)
        if size >= _CHUNK:
            yield ("\n".join(some) + "\n").encode()
            some, size = [], 0
    yield ("\n".join(some) + "\n").encode()


def _written(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _file_name(about: Document, ending: str) -> str:
    """What a file of it is called: nothing in it that a file system or a header would take for something else."""
    kept = (" " if unicodedata.category(sign)[0] in "CZ" or sign in '/\\:*?"<>|%;' else sign for sign in about["name"])
    name = " ".join("".join(kept).split())[:80].strip(". ")
    return f"{name or 'parley-' + about['of']}{ending}"
