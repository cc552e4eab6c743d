"""How documents come to be found: read in by one job, and embedded by the next."""

from __future__ import annotations

import logging
import time
from array import array
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from application.caching import Caches, Region
from application.jobs import JobFailed, Progress, Write
from application.ports.caching import CacheUnavailable
from application.ports.knowledge import Embedder, EmbeddingError
from application.ports.parsing import DocumentParser, ParsedDocument
from application.ports.persistence import StartWork, UnitOfWork
from application.ports.runtime import NewId, Now
from domain.errors import NotFound, Unavailable
from domain.identity import SYSTEM
from domain.jobs import Job, JobKind
from domain.knowledge import Document, Project
from domain.limits import Limits

log = logging.getLogger(__name__)

_AT_ONCE = 64
"""Passages that are embedded by one request."""

_TRIES = 5
"""How often a document is tried that cannot be read at the moment: it may be its own doing."""

_STALE = 200
"""Documents that are queued at a time to be embedded anew."""

_SAMPLE = "Parley"
"""What a model is given to see the dimension of its vectors."""

_AWAY = 60.0
"""Seconds until a model that could not be asked for its dimension is asked again."""


@dataclass(frozen=True, slots=True)
class Ingestion:
    """Has documents found by what they hold; with an embedder, by its meaning soon after."""

    new_id: NewId
    now: Now
    limits: Limits
    embedder: Embedder | None

    def take(
        self, work: UnitOfWork, project: Project, document: Document, parsed: ParsedDocument, fingerprint: str
    ) -> None:
        """Have a document found by the pieces that the content of `fingerprint` was parsed into."""
        now = self.now()
        document.take_passages(
            title=(parsed.title or "")[: self.limits.document_title],
            media_type=parsed.media_type,
            characters=parsed.characters,
            passages=len(parsed.pieces),
            fingerprint=fingerprint,
            now=now,
        )
        work.passages.replace(document, parsed.pieces)
        project.content_changed(now)
        if self.embedder is not None:
            queue_embedding(work, document, self.new_id(), now)


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """Handles JobKind.INGEST, see application.jobs.JobHandler: parses the file and has its passages found.

    What was found in the document before is found until then.
    """

    start_work: StartWork
    parser: DocumentParser
    ingestion: Ingestion

    def __call__(self, job: Job, progress: Progress) -> Write:
        with self.start_work() as work:
            document = work.documents.get(job.subject_id, for_=SYSTEM)
            content = work.documents.content(document.id)
        try:
            parsed = self.parser.parse(content, name=document.name, media_type=document.media_type)
        except Unavailable as away:
            if job.retries < _TRIES:
                raise
            raise JobFailed("document_unreadable", f"It was tried several times. {away.message}") from away

        def write(work: UnitOfWork) -> None:
            project = work.projects.get(document.project_id, for_=SYSTEM, deleted=None)
            found = _waiting(work, job)
            if found is not None:
                self.ingestion.take(work, project, found, parsed, document.fingerprint)

        return write

    def give_up(self, work: UnitOfWork, job: Job, code: str, message: str) -> None:
        document = _waiting(work, job)
        if document is not None:
            document.refuse(code, message, self.ingestion.now())


@dataclass(frozen=True, slots=True)
class EmbedDocument:
    """Handles JobKind.EMBED, see application.jobs.JobHandler: gives a document's passages their vectors.

    Passages that have kept theirs are not embedded again.
    """

    start_work: StartWork
    embedder: Embedder | None
    now: Now

    def __call__(self, job: Job, progress: Progress) -> Write:
        if self.embedder is None:  # The settings are others by now.
            return _nothing
        with self.start_work() as work:
            document = work.documents.get(job.subject_id, for_=SYSTEM)
            texts = work.passages.texts(document.id)
            kept = work.passages.dimensions(document.id, space := self.embedder.space)
        vectors = _completed(self.embedder, texts, kept, progress)

        def write(work: UnitOfWork) -> None:
            project = work.projects.get(document.project_id, for_=SYSTEM, deleted=None)
            found = _waiting(work, job)
            if found is not None:
                now = self.now()
                work.passages.embed(found.id, space, vectors)
                found.take_embeddings(space, now)
                project.content_changed(now)

        return write

    def give_up(self, work: UnitOfWork, job: Job, code: str, message: str) -> None:
        document = _waiting(work, job)
        if document is not None and self.embedder is not None:
            document.refuse_embedding(self.embedder.space, code, message, self.now())


@dataclass(slots=True)
class _State:
    """What changes: when to look at the model's dimension, and because of which ones vectors were dropped."""

    look_at: float = 0.0
    dropped_for: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class EmbedStale:
    """Queues documents whose vectors are of another model than the one that is configured now, or that have none.

    A server may come to give vectors of another dimension under the same name. So it is asked at first and every
    `pause` seconds, and documents whose vectors cannot be compared any more lose them. That is done once for each
    dimension: a server that goes to and fro between some is left alone in the end.
    """

    start_work: StartWork
    embedder: Embedder | None
    new_id: NewId
    now: Now
    caches: Caches
    pause: float = 3600.0
    _state: _State = field(default_factory=_State, repr=False)

    def __call__(self) -> int:
        """How many were queued; the rest has its turn later."""
        if self.embedder is None:
            return 0
        if time.monotonic() >= self._state.look_at:
            self._state.look_at = time.monotonic() + self._drop_incomparable(self.embedder)
        with self.start_work() as work:
            stale = work.documents.stale(self.embedder.space, limit=_STALE)
        for document_id in stale:
            with self.start_work() as work:
                document = work.documents.get(document_id, for_=SYSTEM, deleted=None)
                if document.deletion_id is None and not (document.job_id and work.jobs.live([document.job_id])):
                    queue_embedding(work, document, self.new_id(), self.now())
                    work.commit()
        return len(stale)

    def _drop_incomparable(self, embedder: Embedder) -> float:
        """Take from documents the vectors that have another dimension than new ones; in how many seconds again."""
        with self.start_work() as work:
            kept = work.documents.dimensions(embedder.space)
        if not kept:
            return self.pause
        try:
            present = len(embedder.embed([_SAMPLE])[0])
            others = [document_id for document_id, dimension in kept.items() if dimension != present]
            if not others:
                return self.pause
            if present in self._state.dropped_for:
                log.warning("%s changes the dimension of its vectors again and again: %s", embedder.space, present)
                return self.pause
            self.caches.clear(Region.EMBEDDINGS, f"{embedder.space}:*")
        except (EmbeddingError, CacheUnavailable):
            return min(_AWAY, self.pause)
        for document_id in others:
            with suppress(NotFound):
                self._drop_vectors(document_id, embedder.space, present)
        self._state.dropped_for.add(present)
        log.warning("%s gives %s numbers now; documents to embed anew: %s", embedder.space, present, len(others))
        return self.pause

    def _drop_vectors(self, document_id: UUID, space: str, present: int) -> None:
        with self.start_work() as work:
            document = work.documents.get(document_id, for_=SYSTEM, deleted=None)
            if present in work.passages.dimensions(document.id, space):
                return  # Another process was quicker.
            for job in work.jobs.live([document.job_id] if document.job_id is not None else []):
                if job.kind is JobKind.EMBED:
                    job.drop(self.now())  # It may count on those that are there.
            work.passages.forget_vectors(document.id)
            document.lose_embeddings()
            work.commit()


def queue_reading(work: UnitOfWork, document: Document, job_id: UUID, now: datetime) -> Job:
    """Have a document read in; whatever was at work on it is not needed any more."""
    job = _queued(work, JobKind.INGEST, document, job_id, now)
    document.wait_for(job.id, now)
    return job


def queue_embedding(work: UnitOfWork, document: Document, job_id: UUID, now: datetime) -> Job:
    """Have a document's passages embedded."""
    job = _queued(work, JobKind.EMBED, document, job_id, now)
    document.wait_for_embedding(job.id)
    return job


def drop_jobs(work: UnitOfWork, documents: Sequence[Document], now: datetime) -> None:
    """Stop whatever is at work on documents."""
    for job in work.jobs.live([document.job_id for document in documents if document.job_id is not None]):
        job.drop(now)


def _queued(work: UnitOfWork, kind: JobKind, document: Document, job_id: UUID, now: datetime) -> Job:
    job = Job.queue(id=job_id, kind=kind, subject_id=document.id, owner=document.owner, now=now)
    work.jobs.add(job)
    return job


def _completed(
    embedder: Embedder, texts: Sequence[str], kept: Sequence[int | None], progress: Progress
) -> Sequence[Sequence[float] | None]:
    """The vectors that texts lack; None for those that have `kept` one, which is told by its dimension.

    All of them, if those that were kept cannot be compared with what the model gives by now.
    """
    lacking = [number for number, dimension in enumerate(kept) if dimension is None]
    made = _embedded(embedder, [texts[number] for number in lacking], progress)
    dimensions = {len(vector) for vector in made} | {dimension for dimension in kept if dimension is not None}
    if len(dimensions) > 1:
        return _embedded(embedder, texts, progress)
    vectors = dict(zip(lacking, made, strict=True))
    return [vectors.get(number) for number in range(len(texts))]


def _embedded(embedder: Embedder, texts: Sequence[str], progress: Progress) -> Sequence[Sequence[float]]:
    """The texts' vectors, with four bytes a number: there may be many. Raises JobFailed for what is no use."""
    vectors: list[array[float]] = []
    for start in range(0, len(texts), _AT_ONCE):
        progress.advance(start, len(texts))
        try:
            vectors += [array("f", vector) for vector in embedder.embed(texts[start : start + _AT_ONCE])]
        except EmbeddingError as failure:
            if failure.is_passing:
                raise
            raise JobFailed(failure.slug, failure.message) from failure
    if len(vectors) != len(texts) or len({len(vector) for vector in vectors}) > 1:
        raise JobFailed("embeddings_unusable", "The embedding model gave vectors of another number or dimension.")
    return vectors


def _waiting(work: UnitOfWork, job: Job) -> Document | None:
    """The document, if it waits for this very job; it may be gone, or wait for another one that came later."""
    try:
        document = work.documents.get(job.subject_id, for_=SYSTEM)
    except NotFound:
        return None
    return document if document.job_id == job.id else None


def _nothing(work: UnitOfWork) -> None:
    """Nothing came of it, and nothing had to."""
