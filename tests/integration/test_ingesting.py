"""How documents come to be found, and jobs to be done: by workers that stop, with models that are away."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from adapters.in_process.cache import InProcessCache
from adapters.in_process.queue import InProcessQueue
from adapters.in_process.runtime import new_id
from adapters.parsing.parser import SafeParser
from adapters.sql.engine import Database, open_database
from adapters.sql.knowledge_reader import SqlKnowledgeReader
from adapters.sql.schema import Schema
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.caching import Caches, Lifetimes, Region
from application.jobs import JobFailed, JobHandler, Progress, RunJob, SweepJobs, Write
from application.knowledge.documents import (
    AddDocument,
    AddDocumentHandler,
    DeleteDocument,
    DeleteDocumentHandler,
    ReingestDocument,
    ReingestDocumentHandler,
    ReplaceDocument,
    ReplaceDocumentHandler,
    RestoreDocument,
    RestoreDocumentHandler,
)
from application.knowledge.ingesting import EmbedDocument, EmbedStale, Ingestion, ReadDocument
from application.knowledge.projects import (
    DeleteProject,
    DeleteProjectHandler,
    OpenProject,
    OpenProjectHandler,
    RestoreProject,
    RestoreProjectHandler,
)
from application.knowledge.seeding import SeedDocumentation
from application.ports.persistence import ConcurrentChange, UnitOfWork
from application.ports.projections import RecordedEvent
from application.ports.queries import Page
from domain.errors import Conflict, Unavailable
from domain.identity import SYSTEM
from domain.jobs import ATTEMPTS, LEASE, Job, JobKind, JobStatus
from domain.knowledge import Project, Visibility
from domain.limits import Limits
from tests.builders import ADMIN, ALICE, BOB, NOW, a_job, a_project
from tests.fakes.embedder import AWAY, REFUSED, FakeEmbedder
from tests.waiting import eventually

LIMITS = Limits()
TEXT = b"# Harbours\n\nThe old harbour of Genoa was built by Renzo Piano.\n\n## Depth\n\nIt is twelve metres deep.\n"


class Knowledge:
    """A knowledge base whose clock is set by hand, and whose jobs are done when a test says so."""

    def __init__(
        self, database: Database, embedder: FakeEmbedder | None = None, project: Project | None = None
    ) -> None:
        self.database = database
        self.embedder = embedder
        self.now = NOW
        self.woken: list[UUID] = []
        self.reader = SqlKnowledgeReader(database, embedder.space if embedder is not None else None)
        self.ingestion = Ingestion(new_id, self.clock, LIMITS, embedder)
        handlers: dict[JobKind, JobHandler] = {
            JobKind.INGEST: ReadDocument(self.start_work, SafeParser(), self.ingestion),
            JobKind.EMBED: EmbedDocument(self.start_work, embedder, self.clock),
        }
        self.run = RunJob(self.start_work, handlers, self.clock)
        self.caches = Caches(InProcessCache(1024 * 1024), Lifetimes(), new_id)
        self.embed_stale = EmbedStale(self.start_work, embedder, new_id, self.clock, self.caches, pause=0.0)
        self._project = project

    @property
    def project(self) -> Project:
        """The one that documents are added to, opened with the first."""
        if self._project is None:
            opening = OpenProjectHandler(self.start_work, new_id, self.clock, LIMITS)
            self._project = opening(OpenProject(principal=ALICE, name="Notes"))
        return self._project

    def with_embedder(self, embedder: FakeEmbedder) -> Knowledge:
        """The same with another model."""
        return Knowledge(self.database, embedder, self.project)

    def start_work(self) -> SqlUnitOfWork:
        return SqlUnitOfWork(self.database, self._committed)

    def _committed(self, events: Sequence[RecordedEvent]) -> None:
        self.woken += [event.subject_id for event in events if event.name == "JobQueued"]

    def claim(self, job_id: UUID) -> None:
        """Take a job as a worker does, and then do nothing."""
        with self.start_work() as work:
            work.jobs.get(job_id).claim(self.now)
            work.commit()

    def clock(self) -> datetime:
        return self.now

    def add(self, content: bytes = TEXT, name: str = "genoa.md") -> UUID:
        document, _ = AddDocumentHandler(self.start_work, new_id, self.clock, LIMITS)(
            AddDocument(principal=ALICE, project_id=self.project.id, name=name, content=content)
        )
        return document.id

    def replace(self, document_id: UUID, content: bytes) -> None:
        ReplaceDocumentHandler(self.start_work, new_id, self.clock, LIMITS)(
            ReplaceDocument(principal=ALICE, document_id=document_id, content=content)
        )

    def reingest(self, document_id: UUID) -> None:
        ReingestDocumentHandler(self.start_work, new_id, self.clock)(
            ReingestDocument(principal=ALICE, document_id=document_id)
        )

    def work(self) -> None:
        """Do what is due, and what that leads to."""
        while due := self.due():
            for job_id in due:
                self.run(job_id)

    def due(self) -> list[UUID]:
        with self.start_work() as work:
            return list(work.jobs.due(self.now, limit=10))

    def shown(self, document_id: UUID) -> dict[str, Any]:
        return self.reader.document(document_id, ALICE)

    def texts(self, document_id: UUID) -> str:
        with self.start_work() as work:
            return "\n".join(work.passages.texts(document_id))

    def job_of(self, document_id: UUID) -> Job:
        with self.start_work() as work:
            job_id = work.documents.get(document_id, for_=ALICE, deleted=None).job_id
            assert job_id is not None
            return work.jobs.get(job_id)

    def content_version(self) -> int:
        scope = self.reader.scope(ALICE.key, project_id=self.project.id, keys=None)
        return scope.projects[self.project.id]


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "postgres":
        yield request.getfixturevalue("postgres_database")
        return
    database = open_database(f"sqlite:///{tmp_path / 'knowledge.db'}")
    Schema(database).upgrade()
    yield database
    database.dispose()


@pytest.fixture
def plain(database: Database) -> Knowledge:
    """Without an embedding model."""
    return Knowledge(database)


@pytest.fixture
def knowledge(database: Database) -> Knowledge:
    return Knowledge(database, FakeEmbedder())


def test_a_document_is_found_once_its_job_is_done(plain: Knowledge) -> None:
    before = plain.content_version()
    document = plain.add()
    assert plain.shown(document)["status"] == "queued"
    assert plain.woken == [plain.job_of(document).id]

    plain.work()

    shown = plain.shown(document)
    assert (shown["status"], shown["error"], shown["progress"]) == ("ready", None, None)
    assert shown["title"] == "Harbours"
    assert shown["media_type"] == "text/markdown"
    assert shown["passage_count"] >= 1
    assert not shown["embedded"]
    assert "Renzo Piano" in plain.texts(document)
    assert plain.content_version() > before
    assert plain.job_of(document).status is JobStatus.COMPLETED


def test_embedding_follows_in_a_job_of_its_own(knowledge: Knowledge) -> None:
    document = knowledge.add()
    reading = knowledge.job_of(document)
    knowledge.run(reading.id)
    between, found = knowledge.shown(document), knowledge.content_version()

    knowledge.work()

    assert (between["status"], between["embedded"]) == ("ready", False)
    assert between["progress"] == {"done": 0, "total": 0}
    assert knowledge.job_of(document).kind is JobKind.EMBED
    shown = knowledge.shown(document)
    assert (shown["embedded"], shown["progress"], shown["error"]) == (True, None, None)
    assert knowledge.content_version() > found
    assert any("Renzo Piano" in text for text in _embedder(knowledge).embedded)


def test_what_cannot_be_read_is_said_at_the_document(plain: Knowledge) -> None:
    document = plain.add(b"%PDF-1.7 and no more", name="broken.pdf")

    plain.work()

    shown = plain.shown(document)
    assert shown["status"] == "failed"
    assert shown["error"]["code"] == "document_broken"
    assert shown["progress"] is None
    assert plain.job_of(document).status is JobStatus.FAILED


def test_the_old_content_is_found_until_the_new_one_is_read_in(plain: Knowledge) -> None:
    document = plain.add()
    plain.work()

    plain.replace(document, b"# Harbours\n\nNothing is known of it.\n")
    meanwhile, texts_meanwhile = plain.shown(document), plain.texts(document)
    plain.work()

    assert (meanwhile["status"], meanwhile["progress"]) == ("ready", {"done": 0, "total": 0})
    assert "Renzo Piano" in texts_meanwhile
    assert "Renzo Piano" not in plain.texts(document)
    assert "Nothing is known" in plain.texts(document)


def test_the_old_content_is_found_when_the_new_one_cannot_be_read(plain: Knowledge) -> None:
    document = plain.add()
    plain.work()

    plain.replace(document, b"\x89PNG\r\n\x1a\n and so on")
    plain.work()

    shown = plain.shown(document)
    assert shown["status"] == "ready"
    assert shown["error"]["code"] in ("document_type_unknown", "document_type_mismatch")
    assert "Renzo Piano" in plain.texts(document)


def test_the_same_content_again_is_nothing_to_do(plain: Knowledge) -> None:
    document = plain.add()
    plain.replace(document, TEXT)
    assert len(plain.woken) == 1
    plain.work()
    done = plain.shown(document)

    plain.replace(document, TEXT)

    assert plain.due() == []
    assert plain.shown(document) == done


def test_content_that_is_replaced_while_it_is_read_is_not_taken(knowledge: Knowledge) -> None:
    document = knowledge.add()
    overtaken = knowledge.job_of(document)
    knowledge.work()
    knowledge.replace(document, b"# Second\n\nsecond\n")
    overtaken = knowledge.job_of(document)

    class Replacing:
        def parse(self, content: bytes, *, name: str, media_type: str | None) -> Any:
            knowledge.replace(document, b"# Third\n\nthird\n")
            return SafeParser().parse(content, name=name, media_type=media_type)

    handlers = {JobKind.INGEST: ReadDocument(knowledge.start_work, Replacing(), knowledge.ingestion)}
    RunJob(knowledge.start_work, handlers, knowledge.clock)(overtaken.id)

    assert "Renzo Piano" in knowledge.texts(document)
    knowledge.work()
    assert "third" in knowledge.texts(document)
    assert "second" not in knowledge.texts(document)
    assert knowledge.shown(document)["embedded"]


def test_a_document_of_many_passages_is_embedded_in_batches_with_progress(knowledge: Knowledge) -> None:
    paragraphs = [f"## Part {number}\n\n" + f"Word{number} " * 120 for number in range(150)]
    document = knowledge.add("\n\n".join(paragraphs).encode(), name="long.md")
    knowledge.run(knowledge.job_of(document).id)
    seen: list[dict[str, int]] = []
    _embedder(knowledge).before = lambda: seen.append(knowledge.shown(document)["progress"])

    knowledge.work()

    count = knowledge.shown(document)["passage_count"]
    assert count >= 150
    assert len(seen) >= 3
    assert seen[0] == {"done": 0, "total": count}
    assert len(_embedder(knowledge).embedded) == count


def test_only_what_has_changed_in_a_document_is_embedded(knowledge: Knowledge) -> None:
    sections = [f"# Part {number}\n\n" + f"Word{number} " * 200 for number in range(20)]
    document = knowledge.add("\n\n".join(sections).encode(), name="long.md")
    knowledge.work()
    embedded = _embedder(knowledge).embedded
    before = len(embedded)

    knowledge.reingest(document)
    knowledge.work()
    assert (len(embedded), knowledge.shown(document)["embedded"]) == (before, True)

    sections[7] = "# Part 7\n\nThis one is new.\n"
    knowledge.replace(document, "\n\n".join(sections).encode())
    knowledge.work()

    assert embedded[before:] == ["Part 7\n\nThis one is new."]
    assert knowledge.shown(document)["embedded"]
    with knowledge.start_work() as work:
        assert set(work.passages.dimensions(document, "fake")) == {8}


def test_vectors_of_another_dimension_are_not_kept_beside_new_ones(knowledge: Knowledge) -> None:
    document = knowledge.add()
    knowledge.work()
    _embedder(knowledge).dimension = 5

    knowledge.replace(document, TEXT + b"\n# Another\n\nSomething else.\n")
    knowledge.work()

    with knowledge.start_work() as work:
        assert set(work.passages.dimensions(document, "fake")) == {5}


def test_an_embedding_model_that_is_away_is_waited_for(knowledge: Knowledge) -> None:
    embedder = _embedder(knowledge)
    embedder.failure = AWAY
    document = knowledge.add()

    for _ in range(12):
        knowledge.work()
        assert knowledge.due() == []
        shown = knowledge.shown(document)
        assert (shown["status"], shown["embedded"], shown["error"]) == ("ready", False, None)
        pause = knowledge.job_of(document).due_at - knowledge.now
        assert timedelta() < pause <= timedelta(minutes=5)
        knowledge.now += pause
    embedder.failure = None
    knowledge.work()

    assert knowledge.shown(document)["embedded"]


@pytest.mark.parametrize("kind", ["refused", "unusable"])
def test_what_cannot_be_embedded_is_found_by_its_words_and_harms_no_other(knowledge: Knowledge, kind: str) -> None:
    embedder = _embedder(knowledge)
    before, bad = knowledge.add(name="before.md"), knowledge.add(name="bad.md")
    knowledge.run(knowledge.job_of(before).id)
    knowledge.run(knowledge.job_of(bad).id)
    knowledge.run(knowledge.job_of(before).id)

    if kind == "refused":
        embedder.failure = REFUSED
    else:
        embedder.embed = lambda texts: [[1.0] * 8]  # type: ignore[method-assign] # one vector, whatever is asked
        knowledge.replace(bad, b"\n\n".join(b"# Part\n\n" + b"word " * 300 for _ in range(4)))
        knowledge.run(knowledge.job_of(bad).id)
    knowledge.work()

    shown = knowledge.shown(bad)
    assert (shown["status"], shown["embedded"]) == ("ready", False)
    assert shown["error"]["code"] == f"embeddings_{kind}"
    assert knowledge.texts(bad)
    assert knowledge.shown(before)["embedded"]
    assert knowledge.embed_stale() == 0  # It would refuse them again.


def test_another_embedding_model_embeds_everything_anew(knowledge: Knowledge) -> None:
    first, second = knowledge.add(name="first.md"), knowledge.add(name="second.md")
    knowledge.work()
    assert knowledge.embed_stale() == 0
    assert knowledge.shown(first)["embedded"]
    other = knowledge.with_embedder(FakeEmbedder("another", dimension=5))
    assert not other.shown(first)["embedded"]

    assert other.embed_stale() == 2
    assert other.embed_stale() == 0  # They are under way.
    assert {other.job_of(document).kind for document in (first, second)} == {JobKind.EMBED}  # Nothing is parsed anew.
    other.work()

    assert other.shown(first)["embedded"]
    assert other.shown(second)["embedded"]
    with other.start_work() as work:
        assert work.documents.get(first, for_=ALICE).embedded_with == "another"
    assert len(_embedder(other).embedded) == 2 * other.shown(first)["passage_count"]


def test_a_model_that_gives_another_dimension_embeds_everything_anew(
    knowledge: Knowledge, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = knowledge.add(name="first.md"), knowledge.add(name="second.md")
    knowledge.work()
    assert knowledge.embed_stale() == 0
    later = knowledge.with_embedder(FakeEmbedder(dimension=5))
    later.caches.put(Region.EMBEDDINGS, "fake:question", "old")
    later.caches.put(Region.EMBEDDINGS, "another:question", "old")
    _embedder(later).failure = AWAY
    assert later.embed_stale() == 0
    _embedder(later).failure = None

    assert later.embed_stale() == 2
    assert "fake gives 5 numbers now; documents to embed anew: 2" in caplog.text
    assert later.embed_stale() == 0  # They are under way.
    assert not later.shown(first)["embedded"]
    later.work()

    assert later.embed_stale() == 0
    for document in (first, second):
        assert later.shown(document)["embedded"]
        with later.start_work() as work:
            assert set(work.passages.dimensions(document, "fake")) == {5}
    found = [later.caches.get(Region.EMBEDDINGS, f"{space}:question") for space in ("fake", "another")]
    assert found == [None, "old"]


def test_a_model_that_goes_to_and_fro_between_dimensions_is_left_alone_in_the_end(
    knowledge: Knowledge, caplog: pytest.LogCaptureFixture
) -> None:
    knowledge.add()
    knowledge.work()
    embedder, dimensions = _embedder(knowledge), itertools.cycle([5, 8, 8, 5, 5])
    embedder.before = lambda: setattr(embedder, "dimension", next(dimensions))

    queued = []
    for _ in range(20):
        queued.append(knowledge.embed_stale())
        knowledge.work()

    assert 1 <= sum(queued) <= 2
    assert "fake changes the dimension of its vectors again and again" in caplog.text


def test_a_document_whose_vectors_are_dropped_while_it_is_embedded_is_embedded_anew(knowledge: Knowledge) -> None:
    document = knowledge.add()
    knowledge.work()
    knowledge.reingest(document)
    knowledge.run(knowledge.job_of(document).id)
    overtaken = knowledge.job_of(document)
    _embedder(knowledge).dimension = 5

    assert knowledge.embed_stale() == 1
    knowledge.work()

    assert knowledge.job_of(document).id != overtaken.id
    with knowledge.start_work() as work:
        assert set(work.passages.dimensions(document, "fake")) == {5}


def test_an_embedding_model_that_is_configured_later_embeds_what_there_is(database: Database) -> None:
    document = (plain := Knowledge(database)).add()
    plain.work()
    later = plain.with_embedder(FakeEmbedder())

    assert plain.embed_stale() == 0
    assert later.embed_stale() == 1
    later.work()

    assert later.shown(document)["embedded"]


def test_a_job_whose_worker_was_lost_is_done_by_another(plain: Knowledge) -> None:
    document = plain.add()
    plain.claim(plain.job_of(document).id)

    plain.work()
    assert plain.shown(document)["status"] == "processing"
    plain.now += LEASE
    plain.work()

    assert plain.shown(document)["status"] == "ready"


def test_a_job_over_which_workers_are_lost_again_and_again_is_given_up(plain: Knowledge) -> None:
    document = plain.add()
    for _ in range(ATTEMPTS):
        plain.claim(plain.job_of(document).id)
        plain.now += LEASE

    plain.work()

    assert plain.shown(document)["error"]["code"] == "job_abandoned"
    assert plain.shown(document)["status"] == "failed"
    assert plain.due() == []


def test_a_document_can_be_read_in_again(plain: Knowledge) -> None:
    document = plain.add()
    plain.work()
    first = plain.job_of(document)

    plain.reingest(document)
    assert plain.shown(document)["status"] == "ready"
    plain.work()

    assert plain.job_of(document).id != first.id
    assert plain.shown(document)["error"] is None
    plain.reingest(document)
    running = plain.job_of(document)
    plain.claim(running.id)
    plain.reingest(document)
    assert plain.job_of(document).id == running.id  # Somebody is just doing that.


def test_what_is_deleted_meanwhile_is_not_found_and_read_in_when_it_is_restored(plain: Knowledge) -> None:
    document = plain.add()
    job = plain.job_of(document)

    DeleteDocumentHandler(plain.start_work, new_id, plain.clock)(DeleteDocument(principal=ALICE, document_id=document))
    plain.run(job.id)
    assert plain.texts(document) == ""
    assert plain.due() == []
    RestoreDocumentHandler(plain.start_work, new_id, plain.clock, LIMITS)(
        RestoreDocument(principal=ALICE, document_id=document)
    )
    plain.work()

    assert plain.shown(document)["status"] == "ready"
    assert "Renzo Piano" in plain.texts(document)


def test_a_project_comes_back_with_what_went_with_it_and_nothing_else(plain: Knowledge) -> None:
    kept, gone, unread = plain.add(name="kept.md"), plain.add(name="gone.md"), plain.add(name="unread.md")
    plain.run(plain.job_of(kept).id)
    delete = DeleteDocumentHandler(plain.start_work, new_id, plain.clock)
    delete(DeleteDocument(principal=ALICE, document_id=gone))
    restore_document = RestoreDocumentHandler(plain.start_work, new_id, plain.clock, LIMITS)

    deletion = DeleteProjectHandler(plain.start_work, new_id, plain.clock)(
        DeleteProject(principal=ALICE, project_id=plain.project.id)
    )
    assert deletion.document_count == 2
    assert plain.due() == []
    with pytest.raises(Conflict) as refused:
        restore_document(RestoreDocument(principal=ALICE, document_id=gone))
    assert refused.value.slug == "project_deleted"
    restore = RestoreProjectHandler(plain.start_work, new_id, plain.clock, LIMITS)
    restore(RestoreProject(principal=ALICE, project_id=plain.project.id))
    plain.work()

    documents = plain.reader.documents(ALICE, plain.project.id, Page(sort_by="name", descending=False))["items"]
    assert [(document["id"], document["status"]) for document in documents] == [(kept, "ready"), (unread, "ready")]
    with pytest.raises(Conflict):
        restore(RestoreProject(principal=ALICE, project_id=plain.project.id))


def test_a_project_cannot_come_back_under_a_key_that_is_taken(plain: Knowledge) -> None:
    DeleteProjectHandler(plain.start_work, new_id, plain.clock)(
        DeleteProject(principal=ALICE, project_id=plain.project.id)
    )
    open_project = OpenProjectHandler(plain.start_work, new_id, plain.clock, LIMITS)
    other = open_project(OpenProject(principal=ALICE, name="Notes"))

    with pytest.raises(Conflict) as refused:
        RestoreProjectHandler(plain.start_work, new_id, plain.clock, LIMITS)(
            RestoreProject(principal=ALICE, project_id=plain.project.id)
        )

    assert refused.value.slug == "project_exists"
    assert refused.value.details["id"] == str(other.id)


def test_projects_of_one_name_have_numbered_keys(plain: Knowledge) -> None:
    open_project = OpenProjectHandler(plain.start_work, new_id, plain.clock, LIMITS)
    open_project(OpenProject(principal=ALICE, name="Notes"))

    keys = [open_project(OpenProject(principal=ALICE, name="Notes")).key for _ in range(2)]
    long = [open_project(OpenProject(principal=ALICE, name="n" * 100)).key for _ in range(2)]

    assert keys == ["notes-2", "notes-3"]
    assert long == ["n" * 60, "n" * 58 + "-2"]


class Recording:
    """Handles jobs as a test says; what comes of one is a project of Bob's that is called after it."""

    def __init__(self, act: Any = lambda job, progress: None) -> None:
        self.act = act
        self.given_up: list[str] = []

    def __call__(self, job: Job, progress: Progress) -> Write:
        self.act(job, progress)
        return lambda work: work.projects.add(a_project(BOB, name=str(job.id)))

    def give_up(self, work: UnitOfWork, job: Job, code: str, message: str) -> None:
        self.given_up.append(code)


def _written(plain: Knowledge) -> list[str]:
    """The jobs of which something came."""
    return [project["name"] for project in plain.reader.projects(BOB, Page(sort_by="name"))["items"]]


def _queued(plain: Knowledge) -> Job:
    job = a_job()
    with plain.start_work() as work:
        work.jobs.add(job)
        work.commit()
    return job


def _status(plain: Knowledge, job: Job) -> tuple[JobStatus, str | None]:
    with plain.start_work() as work:
        found = work.jobs.get(job.id)
    return found.status, found.error["code"] if found.error else None


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (Unavailable("It is away."), JobStatus.QUEUED, "unavailable"),
        (JobFailed("no_use", "There is no use."), JobStatus.FAILED, "no_use"),
        (Conflict("taken", "It is taken."), JobStatus.FAILED, "taken"),
        (ZeroDivisionError(), JobStatus.FAILED, "internal_error"),
    ],
)
def test_how_a_job_ends_depends_on_what_went_wrong(
    plain: Knowledge, failure: Exception, status: JobStatus, code: str
) -> None:
    def fail(job: Job, progress: Progress) -> None:
        raise failure

    job, handler = _queued(plain), Recording(fail)
    RunJob(plain.start_work, {JobKind.INGEST: handler}, plain.clock)(job.id)

    assert _status(plain, job) == (status, code)
    assert handler.given_up == ([code] if status is JobStatus.FAILED else [])
    assert _written(plain) == []


def test_a_job_is_done_by_one_of_those_who_try_at_the_same_time(plain: Knowledge) -> None:
    job, both = _queued(plain), threading.Barrier(2)
    handler = Recording()
    run = RunJob(plain.start_work, {JobKind.INGEST: handler}, plain.clock)

    def race() -> None:
        both.wait()
        run(job.id)

    threads = [threading.Thread(target=race) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert _written(plain) == [str(job.id)]


def test_a_worker_that_lost_its_lease_writes_nothing_and_is_told(plain: Knowledge) -> None:
    job, told = _queued(plain), []

    def be_slow(job: Job, progress: Progress) -> None:
        plain.now += LEASE
        plain.claim(job.id)
        try:
            progress.advance(1, 2)
        except Exception as lost:
            told.append(type(lost).__name__)
            raise

    handler = Recording(be_slow)
    RunJob(plain.start_work, {JobKind.INGEST: handler}, plain.clock)(job.id)

    assert told == ["LeaseLost"]
    assert _written(plain) == []
    assert _status(plain, job) == (JobStatus.RUNNING, None)


def test_greenlets_have_their_turns_between_the_steps_of_a_job() -> None:
    """As in `parley serve`, where one thread serves everybody."""
    tried = subprocess.run(
        [sys.executable, "-c", _AMONG_GREENLETS],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert tried.returncode == 0, tried.stderr
    assert int(tried.stdout) >= 10


_AMONG_GREENLETS = """
from gevent import monkey
monkey.patch_all()
import gevent
from contextlib import nullcontext
from types import SimpleNamespace
from application.jobs import Progress
from tests.builders import NOW, a_job

job = a_job()
job.claim(NOW)
work = SimpleNamespace(jobs=SimpleNamespace(get=lambda _: job), commit=lambda: None)
progress = Progress(lambda: nullcontext(work), job, lambda: NOW)
turns = 0

def others():
    global turns
    while True:
        turns += 1
        gevent.sleep(0.001)

gevent.spawn(others)
for done in range(20):
    progress.advance(done, 20)
print(turns)
"""


def test_a_worker_that_stops_gives_its_jobs_back(plain: Knowledge) -> None:
    job, begun, may_go_on = _queued(plain), threading.Event(), threading.Event()

    def wait(job: Job, progress: Progress) -> None:
        begun.set()
        assert may_go_on.wait(10)

    handler = Recording(wait)
    run = RunJob(plain.start_work, {JobKind.INGEST: handler}, plain.clock)
    worker = threading.Thread(target=run, args=[job.id])
    worker.start()
    assert begun.wait(10)
    plain.woken.clear()

    run.give_back()
    may_go_on.set()
    worker.join()

    assert _status(plain, job) == (JobStatus.QUEUED, None)
    assert plain.woken == [job.id]
    assert _written(plain) == []
    RunJob(plain.start_work, {JobKind.INGEST: Recording()}, plain.clock)(job.id)
    assert _written(plain) == [str(job.id)]


def test_the_sweeper_dispatches_what_is_due_and_nothing_else(plain: Knowledge) -> None:
    due, running = _queued(plain), _queued(plain)
    plain.claim(running.id)
    done: list[UUID] = []
    queue = InProcessQueue(1)
    queue.start(done.append)
    sweep = SweepJobs(plain.start_work, queue, plain.clock)

    assert sweep() == 1
    eventually(lambda: done == [due.id])
    plain.now += LEASE
    assert sweep() == 2


def test_a_job_that_is_not_there_is_passed_over(plain: Knowledge) -> None:
    plain.run(uuid4())


class TestSeeding:
    @pytest.fixture
    def fresh(self, database: Database) -> Knowledge:
        """An installation that never had a project."""
        return Knowledge(database)

    @pytest.fixture
    def docs(self, tmp_path: Path) -> Path:
        folder = tmp_path / "docs"
        folder.mkdir()
        (folder / "index.md").write_bytes(TEXT)
        (folder / "cli.md").write_text("# Commands\n\nparley serve\n")
        return folder

    def seed(self, fresh: Knowledge, docs: Path) -> int:
        return SeedDocumentation(fresh.start_work, SafeParser(), fresh.ingestion, docs)()

    def documents(self, fresh: Knowledge) -> dict[str, dict[str, Any]]:
        found = fresh.reader.documents(SYSTEM, None, Page(limit=100, sort_by="name"))
        return {document["name"]: document for document in found["items"]}

    def test_a_new_installation_knows_the_documentation_at_once(self, fresh: Knowledge, docs: Path) -> None:
        assert self.seed(fresh, docs) == 2

        (project,) = fresh.reader.projects(ALICE, Page(sort_by="name"), visible=True)["items"]
        assert (project["key"], project["name"], project["visibility"]) == ("parley", "Parley", "public")
        assert (project["document_count"], project["is_own"]) == (2, False)
        assert {document["status"] for document in self.documents(fresh).values()} == {"ready"}
        assert fresh.due() == []

    def test_what_has_changed_is_read_in_again_and_nothing_else(self, fresh: Knowledge, docs: Path) -> None:
        self.seed(fresh, docs)
        before = self.documents(fresh)
        assert self.seed(fresh, docs) == 0
        (docs / "cli.md").write_text("# Commands\n\nparley worker\n")
        (docs / "new.md").write_text("# New\n\nSomething.\n")
        (docs / "index.md").unlink()

        assert self.seed(fresh, docs) == 3

        after = self.documents(fresh)
        assert set(after) == {"cli.md", "new.md"}
        assert after["cli.md"]["id"] == before["cli.md"]["id"]
        assert "parley worker" in fresh.texts(after["cli.md"]["id"])

    def test_what_was_deleted_stays_so(self, fresh: Knowledge, docs: Path) -> None:
        self.seed(fresh, docs)
        document = self.documents(fresh)["cli.md"]
        delete = DeleteDocumentHandler(fresh.start_work, new_id, fresh.clock)
        delete(DeleteDocument(principal=ADMIN, document_id=document["id"]))
        (docs / "cli.md").write_text("# Commands\n\nparley worker\n")
        assert self.seed(fresh, docs) == 0

        DeleteProjectHandler(fresh.start_work, new_id, fresh.clock)(
            DeleteProject(principal=ADMIN, project_id=document["project_id"])
        )

        assert self.seed(fresh, docs) == 0
        assert self.documents(fresh) == {}

    def test_who_has_waited_too_long_for_another_that_reads_them_in_waits_again(
        self, fresh: Knowledge, docs: Path
    ) -> None:
        tries = []

        def collide_at_first() -> UnitOfWork:
            tries.append("try")
            if len(tries) < 4:
                raise ConcurrentChange("Somebody else is changing this.")
            return fresh.start_work()

        assert SeedDocumentation(collide_at_first, SafeParser(), fresh.ingestion, docs)() == 2

    def test_whoever_has_projects_of_their_own_is_given_none(self, plain: Knowledge, docs: Path) -> None:
        plain.add()

        assert self.seed(plain, docs) == 0

    def test_what_others_put_into_the_project_is_left_alone(self, fresh: Knowledge, docs: Path) -> None:
        self.seed(fresh, docs)
        project_id = self.documents(fresh)["cli.md"]["project_id"]
        add = AddDocumentHandler(fresh.start_work, new_id, fresh.clock, LIMITS)
        add(AddDocument(principal=ADMIN, project_id=project_id, name="house.md", content=b"# Ours\n\nOurs.\n"))

        assert self.seed(fresh, docs) == 0
        assert "house.md" in self.documents(fresh)

    def test_only_admins_may_make_projects_public(self, plain: Knowledge) -> None:
        open_project = OpenProjectHandler(plain.start_work, new_id, plain.clock, LIMITS)
        assert open_project(OpenProject(principal=ADMIN, name="All", visibility=Visibility.PUBLIC)).key == "all"


def _embedder(knowledge: Knowledge) -> FakeEmbedder:
    assert knowledge.embedder is not None
    return knowledge.embedder
