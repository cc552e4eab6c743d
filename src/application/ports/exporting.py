"""What there is, read in bulk for exports, written in bulk by imports, and set as a page to be printed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from application.ports.persistence import Document
from domain.errors import Category, ParleyError, Unavailable
from domain.messages import Message
from domain.replies import Reply


class Kind(StrEnum):
    """What has an id of its own, in the order in which an export tells of it."""

    VISITOR = "visitor"
    PROJECT = "project"
    DOCUMENT = "document"
    ROOM = "room"
    CONVERSATION = "conversation"
    SESSION = "session"
    JOB_ANALYSIS = "job_analysis"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How far an export goes: a room, a conversation, all of one owner's, or, with none of these, everything.

    What is deleted is left out unless it is asked for.
    """

    room_id: UUID | None = None
    conversation_id: UUID | None = None
    owner: str | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Branch:
    """The current branch of a conversation at one moment: of each position, from 1 on, the version that is on it.

    A reply in the making has not left it: what it is to replace is still there. `until` bounds the messages that
    there were at that moment, on all branches.
    """

    versions: Sequence[int]
    until: int

    def holds(self, position: int, version: int) -> bool:
        """Whether the message of a position and a version is on it."""
        return position <= len(self.versions) and self.versions[position - 1] == version


class ExportReader(Protocol):
    """What there is, in the records of application.exporting.records. Everything raises StorageUnavailable.

    Each call is short, however much there is in all: nothing is locked and no snapshot held between two of them.
    """

    def things(self, kind: Kind, extent: Extent, after: UUID | None, *, limit: int) -> Sequence[Document]:
        """The next records of a kind in the order of their ids, without messages and files."""
        ...

    def branch(self, conversation_id: UUID) -> Branch:
        """The current branch, in one snapshot; four bytes a message."""
        ...

    def messages(
        self, conversation_id: UUID, branch: Branch, after: tuple[int, int], *, limit: int
    ) -> Sequence[Document]:
        """The next messages of all branches after a position and a version, in the order of these."""
        ...

    def content(self, document_id: UUID) -> bytes | None:
        """The file of a document, if there still is one."""
        ...


class Imports(Protocol):
    """What a transaction writes of another installation's, beside entities."""

    def owners(self, kind: Kind, ids: Collection[UUID]) -> Mapping[UUID, str]:
        """By id, whose each is of those of `ids` that are taken, the deleted included."""
        ...

    def is_present(self, kind: Kind, thing: UUID) -> bool:
        """Whether a thing is there, and not deleted."""
        ...

    def deletion_subject(self, deletion_id: UUID) -> UUID | None:
        """What a deletion was asked for; None if there is none with this id."""
        ...

    def taken_messages(self, ids: Collection[UUID]) -> Collection[UUID]:
        """Those of `ids` that are the id of a message or of a reply."""
        ...

    def add_messages(self, messages: Sequence[Message], replies: Sequence[Reply]) -> None:
        """Add messages of a conversation that the transaction adds, and the replies that some of them were.

        No event tells of them: the conversation's own does.
        """
        ...


class PdfUnavailable(Unavailable):
    """No PDF can be made at the moment: too many are being made, or the process that makes one failed."""

    slug = "pdf_unavailable"


class TooMuchForPdf(ParleyError):
    """A PDF of it would take too long to make; Markdown and JSON have no bounds."""

    slug = "export_too_large"
    category = Category.INVALID


class PdfPrinter(Protocol):
    """Prints records."""

    def __call__(self, records: Iterable[Document]) -> Iterator[bytes]:
        """The PDF, from its first byte on once all records were taken.

        Nothing of it stays in the memory of this process, and its other greenlets go on meanwhile.
        Raises PdfUnavailable or TooMuchForPdf, before the first byte.
        """
        ...
