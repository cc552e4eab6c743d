"""Where knowledge is kept and found: projects, documents, their passages, and the jobs that read documents in."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from application.ports.parsing import Piece
from application.ports.persistence import Document as JsonDocument
from application.ports.queries import Page
from domain.errors import Unavailable
from domain.identity import Principal
from domain.jobs import Job
from domain.knowledge import Document, Project


class Projects(Protocol):
    """The projects; every look-up but `look` and `keyed` locks what it finds until the transaction ends."""

    def add(self, project: Project) -> None: ...

    def get(self, project_id: UUID, *, for_: Principal, deleted: bool | None = False) -> Project:
        """One of the principal's own, deleted or not as asked (None: either). Raises NotFound or Forbidden."""
        ...

    def look(self, project_id: UUID, *, for_: Principal) -> Project:
        """One whose documents answer the principal's questions, not locked. Raises NotFound or Forbidden."""
        ...

    def keyed(self, owner: str, key: str) -> Project | None:
        """The undeleted one that an owner calls so, not locked; keeps others from calling theirs so meanwhile."""
        ...

    def scope(self, owner: str, *, project_id: UUID | None, keys: Collection[str] | None) -> Scope:
        """See KnowledgeReader."""
        ...

    def count(self, owner: str) -> int:
        """How many undeleted projects `owner` has; keeps others from opening more until the transaction ends."""
        ...

    def is_empty(self) -> bool:
        """Whether there never was a project, not even one that is deleted."""
        ...


class Documents(Protocol):
    """The documents; every look-up locks what it finds until the transaction ends. Lock their project first."""

    def add(self, document: Document) -> None: ...

    def get(self, document_id: UUID, *, for_: Principal, deleted: bool | None = False) -> Document:
        """The document, deleted or not as asked (None: either). Raises NotFound or Forbidden."""
        ...

    def project_of(self, document_id: UUID) -> UUID:
        """The project that a document is in, for good. Raises NotFound."""
        ...

    def named(self, project_id: UUID, name: str) -> Document | None:
        """The undeleted one whose file is called so."""
        ...

    def count(self, project_id: UUID) -> int:
        """How many undeleted documents a project has."""
        ...

    def in_project(self, project_id: UUID, *, deleted: bool | None = False) -> Sequence[Document]:
        """The documents of a project, deleted or not as asked (None: either)."""
        ...

    def taken_by(self, deletion_id: UUID) -> Sequence[Document]:
        """The documents that one deletion took."""
        ...

    def stale(self, space: str, *, limit: int) -> Sequence[UUID]:
        """Those that are found, but not by vectors of `space`, although it has not refused them; not locked.

        Those that a live job is at work on are left out.
        """
        ...

    def dimensions(self, space: str) -> Mapping[UUID, int]:
        """Of those that have vectors of `space`, deleted or not, that of the first one; not locked."""
        ...

    def keep_content(self, document_id: UUID, content: bytes) -> None:
        """Keep the file itself, in place of what was kept before."""
        ...

    def content(self, document_id: UUID) -> bytes:
        """The file itself. Raises NotFound."""
        ...


class Passages(Protocol):
    """The passages of documents, as they are written."""

    def replace(self, document: Document, pieces: Sequence[Piece]) -> None:
        """Have a document found by these, in their order, and by no others.

        What stood there before, under the same headings, keeps its vector. The others have none yet.
        """
        ...

    def texts(self, document_id: UUID) -> Sequence[str]:
        """What is embedded of each passage, in their order: the headings that it stands under, and its text."""
        ...

    def dimensions(self, document_id: UUID, space: str) -> Sequence[int | None]:
        """Of each passage's vector of `space`, in their order; None for a passage that has none."""
        ...

    def embed(self, document_id: UUID, space: str, vectors: Sequence[Sequence[float] | None]) -> None:
        """Give each passage its vector, in their order; with None it keeps the one that it has."""
        ...

    def forget_vectors(self, document_id: UUID) -> None:
        """Have a document found by its words alone."""
        ...

    def rename(self, document: Document) -> None:
        """Have the passages of a document found by its present title."""
        ...


class Jobs(Protocol):
    """The jobs; every look-up locks what it finds until the transaction ends."""

    def add(self, job: Job) -> None: ...

    def get(self, job_id: UUID) -> Job:
        """The job. Raises NotFound."""
        ...

    def live(self, job_ids: Sequence[UUID]) -> Sequence[Job]:
        """Those of them that wait or run."""
        ...

    def next(self, now: datetime) -> Job | None:
        """The one to be done first of those that are due and that nobody is just claiming; see domain.jobs.PATIENT."""
        ...

    def due(self, now: datetime, *, limit: int) -> Sequence[UUID]:
        """Those that wait and are due, or whose worker's lease is over, the oldest first; not locked."""
        ...


class KnowledgeReader(Protocol):
    """The queries about projects and documents: what the asker may see, nothing deleted."""

    def projects(self, principal: Principal, page: Page, *, visible: bool = False) -> JsonDocument:
        """One's own projects, or all that are `visible` to one; sorted by name, created_at or updated_at."""
        ...

    def project(self, project_id: UUID, principal: Principal) -> JsonDocument:
        """One's own or a public one. Raises NotFound or Forbidden."""
        ...

    def documents(self, principal: Principal, project_id: UUID | None, page: Page) -> JsonDocument:
        """Of one visible project, or of all one's own; sorted by name, created_at or updated_at."""
        ...

    def document(self, document_id: UUID, principal: Principal) -> JsonDocument:
        """With the `progress` of the job that reads it in. Raises NotFound or Forbidden."""
        ...

    def content(self, document_id: UUID, principal: Principal) -> tuple[JsonDocument, bytes]:
        """The document, and the file itself, whose `media_type` is not known until it has been read in."""
        ...

    def scope(self, owner: str, *, project_id: UUID | None, keys: Collection[str] | None) -> Scope:
        """What an owner's questions are answered from, narrowed to one project and to projects with certain keys."""
        ...


@dataclass(frozen=True, slots=True)
class Scope:
    """Which projects are searched, each with its content's version.

    Two scopes that are equal find the same, whoever asks: caches are keyed by them.
    """

    projects: Mapping[UUID, int]

    @property
    def key(self) -> str:
        """A text that is another one as soon as something else can be found."""
        return ",".join(f"{project.hex}:{version}" for project, version in sorted(self.projects.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A passage as the index found it."""

    number: int
    document_id: UUID
    project_id: UUID
    document: str
    """The name of the document's file."""
    title: str
    heading: str
    """The headings that it stands under, the outermost first, with " › " between them."""
    text: str
    page: int | None
    similarity: float | None = None
    """The cosine of its vector's angle to the question's, -1 to 1; None where vectors were not compared."""


class PassageIndex(Protocol):
    """The passages of documents, as they are searched. Only what is undeleted is found."""

    def matching(
        self, weights: Mapping[str, float], in_heading: Mapping[str, float], scope: Scope, *, limit: int
    ) -> Sequence[Found]:
        """Those that hold any of the terms, those first whose terms weigh most together.

        A term that stands in the passage's heading (the innermost one; in the title where there is none) weighs
        what `in_heading` says besides.
        """
        ...

    def frequencies(self, terms: Collection[str], scope: Scope) -> tuple[Mapping[str, int], int]:
        """In how many passages each term stands, if in any, and how many passages there are."""
        ...

    @property
    def compares_vectors(self) -> bool:
        """Whether `nearest` can find anything."""
        ...

    def nearest(self, vector: Sequence[float], space: str, scope: Scope, *, limit: int) -> Sequence[Found]:
        """Those whose vectors of `space` are nearest in angle, the nearest first; none where none can be compared."""
        ...

    def ping(self) -> str:
        """One line on what there is to search, and how."""
        ...


class EmbeddingError(Unavailable):
    """Texts could not be embedded. `is_passing` says whether trying again later may help.

    `slug` is one of `embeddings_unreachable`, `embeddings_overloaded`, `embeddings_refused`, `embeddings_failed`,
    `embeddings_unusable` (vectors of another number or dimension than asked for, or that hold no numbers).
    """

    def __init__(self, slug: str, message: str, *, is_passing: bool) -> None:
        super().__init__(message)
        self.slug = slug
        self.is_passing = is_passing


class Embedder(Protocol):
    """Turns texts into vectors whose angles say how near they are in meaning."""

    @property
    def space(self) -> str:
        """What vectors have to have in common to be compared: the model, and its dimension where one was asked for."""
        ...

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """A vector each, in their order. Raises EmbeddingError."""
        ...

    def ping(self) -> str:
        """One line on what embeds; raises EmbeddingError when it does not."""
        ...
