"""What every unit of work must do with projects, documents and jobs, and what queries show of them."""

from __future__ import annotations

from uuid import uuid4

import pytest

from adapters.sql.engine import Database
from adapters.sql.knowledge_reader import SqlKnowledgeReader
from application.ports.knowledge import KnowledgeReader
from application.ports.persistence import ConcurrentChange, StartWork
from application.ports.queries import Page
from domain.deletions import Subject
from domain.errors import Forbidden, NotFound
from domain.identity import SYSTEM, Principal
from domain.jobs import LEASE, Job, JobKind
from domain.knowledge import Document, Project, Visibility
from tests.builders import ADMIN, ALICE, BOB, NOW, a_deletion, a_document, a_job, a_project, later
from tests.contracts.databases import OnPostgres, OnSqlite

BY_NAME = Page(sort_by="name", descending=False)


class KnowledgeWorkContract:
    @pytest.fixture
    def start_work(self) -> StartWork:
        raise NotImplementedError

    @pytest.fixture
    def reader(self) -> KnowledgeReader:
        raise NotImplementedError

    def test_a_project_is_kept_as_it_is(self, start_work: StartWork) -> None:
        project = _kept(start_work, a_project(name="Spaß", description="About\nit", metadata={"deep": [1, None, "é"]}))

        with start_work() as work:
            found = work.projects.get(project.id, for_=ALICE)

        assert _values(found) == _values(project)
        assert found.created_at.tzinfo is not None

    def test_a_document_is_kept_as_it_is_with_its_file(self, start_work: StartWork) -> None:
        project = _kept(start_work, a_project())
        document = _added(start_work, project, content=b"\x00\xffbytes", metadata={"a": {"b": 1}})

        with start_work() as work:
            found = work.documents.get(document.id, for_=ALICE)
            content = work.documents.content(document.id)
            of = work.documents.project_of(document.id)

        assert _values(found) == _values(document)
        assert (content, of) == (b"\x00\xffbytes", project.id)

    def test_a_file_takes_the_place_of_the_one_before(self, start_work: StartWork) -> None:
        document = _added(start_work, _kept(start_work, a_project()), content=b"old")

        with start_work() as work:
            work.documents.keep_content(document.id, b"new")
            work.commit()

        with start_work() as work:
            assert work.documents.content(document.id) == b"new"

    def test_a_job_is_kept_as_it_is(self, start_work: StartWork) -> None:
        job = a_job()
        job.claim(NOW)
        job.retry("away", "It is away.", epoch=1, now=NOW)
        with start_work() as work:
            work.jobs.add(job)
            work.commit()

        with start_work() as work:
            found = work.jobs.get(job.id)

        assert _values(found) == _values(job)

    def test_what_is_not_there_is_not_found(self, start_work: StartWork) -> None:
        unknown = uuid4()
        with start_work() as work:
            for look_up in (
                lambda: work.projects.get(unknown, for_=ALICE),
                lambda: work.projects.look(unknown, for_=ALICE),
                lambda: work.documents.get(unknown, for_=ALICE),
                lambda: work.documents.project_of(unknown),
                lambda: work.documents.content(unknown),
                lambda: work.jobs.get(unknown),
            ):
                with pytest.raises(NotFound):
                    look_up()

    def test_what_is_somebody_elses_is_refused_but_to_admins(self, start_work: StartWork) -> None:
        project = _kept(start_work, a_project(visibility=Visibility.PRIVATE))
        document = _added(start_work, project)

        with start_work() as work:
            with pytest.raises(Forbidden):
                work.projects.get(project.id, for_=BOB)
            with pytest.raises(Forbidden):
                work.documents.get(document.id, for_=BOB)
            assert work.projects.get(project.id, for_=ADMIN).id == project.id
            assert work.documents.get(document.id, for_=SYSTEM).id == document.id

    def test_only_ones_own_and_public_projects_can_be_looked_at(self, start_work: StartWork) -> None:
        private = _kept(start_work, a_project())
        public = _kept(start_work, a_project(ADMIN, visibility=Visibility.PUBLIC))
        gone = _deleted(start_work, _kept(start_work, a_project(name="Gone")))

        with start_work() as work:
            assert work.projects.look(private.id, for_=ALICE).id == private.id
            assert work.projects.look(public.id, for_=BOB).id == public.id
            with pytest.raises(Forbidden):
                work.projects.look(private.id, for_=BOB)
            with pytest.raises(Forbidden):
                work.projects.look(gone.id, for_=BOB)
            with pytest.raises(NotFound):
                work.projects.look(gone.id, for_=ALICE)

    def test_a_key_finds_its_owners_undeleted_project(self, start_work: StartWork) -> None:
        mine = _kept(start_work, a_project(key="handbook"))
        theirs = _kept(start_work, a_project(BOB, key="handbook"))
        _deleted(start_work, _kept(start_work, a_project(key="old")))

        with start_work() as work:
            assert _id(work.projects.keyed(ALICE.key, "handbook")) == mine.id
            assert _id(work.projects.keyed(BOB.key, "handbook")) == theirs.id
            assert work.projects.keyed(ALICE.key, "old") is None

    def test_a_deleted_projects_key_can_be_taken_again(self, start_work: StartWork) -> None:
        _deleted(start_work, _kept(start_work, a_project(key="handbook")))

        again = _kept(start_work, a_project(key="handbook"))

        with start_work() as work:
            assert _id(work.projects.keyed(ALICE.key, "handbook")) == again.id

    def test_undeleted_projects_are_counted_by_owner(self, start_work: StartWork) -> None:
        with start_work() as work:
            assert work.projects.is_empty()
        _kept(start_work, a_project(key="one"))
        _kept(start_work, a_project(BOB, key="two"))
        _deleted(start_work, _kept(start_work, a_project(key="three")))

        with start_work() as work:
            assert (work.projects.count(ALICE.key), work.projects.count(BOB.key)) == (1, 1)

    def test_an_installation_whose_projects_were_deleted_once_had_some(self, start_work: StartWork) -> None:
        _deleted(start_work, _kept(start_work, a_project()))

        with start_work() as work:
            assert not work.projects.is_empty()

    def test_a_projects_documents_are_found_by_name_and_counted_until_deleted(self, start_work: StartWork) -> None:
        project = _kept(start_work, a_project())
        first, second = _added(start_work, project, "a.md"), _added(start_work, project, "b.md")
        deletion = a_deletion(Subject.DOCUMENT, second.id)
        with start_work() as work:
            work.deletions.add(deletion)
            work.documents.get(second.id, for_=ALICE).delete(deletion)
            work.commit()

        with start_work() as work:
            assert _id(work.documents.named(project.id, "a.md")) == first.id
            assert work.documents.named(project.id, "b.md") is None
            assert work.documents.count(project.id) == 1
            assert [document.id for document in work.documents.in_project(project.id)] == [first.id]
            assert [document.id for document in work.documents.taken_by(deletion.id)] == [second.id]
            with pytest.raises(NotFound):
                work.documents.get(second.id, for_=ALICE)
            assert work.documents.get(second.id, for_=ALICE, deleted=True).id == second.id

    def test_of_two_changes_at_once_the_later_one_fails(self, start_work: StartWork) -> None:
        project = _kept(start_work, a_project())
        with start_work() as work:
            stale = work.projects.get(project.id, for_=ALICE)
        with start_work() as work:
            work.projects.get(project.id, for_=ALICE).content_changed(later())
            work.commit()

        def change() -> None:
            with start_work() as work:
                work.projects.add(stale)
                stale.content_changed(later())
                work.commit()

        with pytest.raises(ConcurrentChange):
            change()

    def test_jobs_are_due_when_they_wait_or_their_worker_is_lost(self, start_work: StartWork) -> None:
        waiting, running, retried, done = a_job(), a_job(), a_job(), a_job()
        for job in running, retried, done:
            job.claim(NOW)
        for _ in range(3):
            retried.retry("away", "It is away.", epoch=retried.epoch, now=NOW)
            retried.claim(retried.due_at)
        retried.retry("away", "It is away.", epoch=retried.epoch, now=later())
        done.complete(epoch=1, now=NOW)
        with start_work() as work:
            for job in waiting, running, retried, done:
                work.jobs.add(job)
            work.commit()

        with start_work() as work:
            assert list(work.jobs.due(NOW, limit=10)) == [waiting.id]
            assert set(work.jobs.due(NOW + LEASE, limit=10)) == {waiting.id, running.id}
            assert set(work.jobs.due(later(60), limit=10)) == {waiting.id, running.id, retried.id}
            assert len(work.jobs.due(later(60), limit=1)) == 1

    def test_the_next_job_is_the_first_of_those_that_are_not_patient(self, start_work: StartWork) -> None:
        patient, later_one, first = a_job(JobKind.EMBED), a_job(now=later(2)), a_job(now=later(1))
        not_yet = a_job(now=later(60))
        with start_work() as work:
            for job in patient, later_one, first, not_yet:
                work.jobs.add(job)
            work.commit()

        taken = []
        for _ in range(4):
            with start_work() as work:
                job_or_none = work.jobs.next(later(5))
                if job_or_none is not None:
                    job_or_none.claim(later(5))
                    taken.append(job_or_none.id)
                work.commit()

        assert taken == [first.id, later_one.id, patient.id]

    def test_documents_are_stale_that_another_space_could_find(self, start_work: StartWork) -> None:
        project = _kept(start_work, a_project())
        _added(start_work, project, "never read.md")
        plain, embedded, refused, busy = (_added(start_work, project, f"{number}.md") for number in range(4))
        job = a_job(JobKind.EMBED, subject_id=busy.id)
        with start_work() as work:
            for document in plain, embedded, refused, busy:
                found = work.documents.get(document.id, for_=ALICE)
                found.take_passages(
                    title=None, media_type="text/plain", characters=1, passages=1, fingerprint="f" * 64, now=NOW
                )
                if document is embedded:
                    found.take_embeddings("new", NOW)
                if document is refused:
                    found.refuse_embedding("new", "embeddings_refused", "No.", NOW)
                if document is busy:
                    found.wait_for_embedding(job.id)
            work.jobs.add(job)
            work.commit()

        with start_work() as work:
            assert list(work.documents.stale("new", limit=10)) == [plain.id]
            assert set(work.documents.stale("newer", limit=10)) == {plain.id, embedded.id, refused.id}
            assert len(work.documents.stale("newer", limit=1)) == 1
            job = work.jobs.get(job.id)
            job.drop(NOW)
            work.commit()
        with start_work() as work:
            assert set(work.documents.stale("new", limit=10)) == {plain.id, busy.id}

    def test_lists_hold_ones_own_projects_or_all_visible_ones(
        self, start_work: StartWork, reader: KnowledgeReader
    ) -> None:
        _kept(start_work, a_project(name="b mine"))
        _kept(start_work, a_project(BOB, name="theirs"))
        _kept(start_work, a_project(ADMIN, name="A public one", visibility=Visibility.PUBLIC))
        _deleted(start_work, _kept(start_work, a_project(name="gone")))

        own = reader.projects(ALICE, BY_NAME)
        visible = reader.projects(ALICE, BY_NAME, visible=True)
        first = reader.projects(ALICE, Page(limit=1, sort_by="name", descending=True), visible=True)

        assert [(project["name"], project["is_own"]) for project in own["items"]] == [("b mine", True)]
        assert [(project["name"], project["is_own"]) for project in visible["items"]] == [
            ("A public one", False),
            ("b mine", True),
        ]
        assert ([project["name"] for project in first["items"]], first["total"]) == (["b mine"], 2)

    def test_a_project_is_shown_with_what_its_documents_add_up_to(
        self, start_work: StartWork, reader: KnowledgeReader
    ) -> None:
        project = _kept(start_work, a_project())
        _ready(start_work, _added(start_work, project, "a.md"), passages=3)
        _ready(start_work, _added(start_work, project, "b.md"), passages=4)

        shown = reader.project(project.id, ALICE)

        assert (shown["document_count"], shown["passage_count"]) == (2, 7)
        assert isinstance(shown["passage_count"], int)

    @pytest.mark.parametrize("visibility", list(Visibility))
    def test_what_is_private_is_shown_to_its_owner_and_admins_only(
        self, start_work: StartWork, reader: KnowledgeReader, visibility: Visibility
    ) -> None:
        project = _kept(start_work, a_project(ADMIN, visibility=visibility))
        document = _added(start_work, project, content=b"file")

        for look_up in (
            lambda: reader.project(project.id, BOB)["id"],
            lambda: reader.documents(BOB, project.id, BY_NAME)["total"],
            lambda: reader.document(document.id, BOB)["id"],
            lambda: reader.content(document.id, BOB)[1],
        ):
            if visibility is Visibility.PUBLIC:
                assert look_up()
            else:
                with pytest.raises(Forbidden):
                    look_up()
        assert reader.content(document.id, Principal(BOB.kind, "boss", frozenset({"admin"})))[1] == b"file"

    def test_what_is_deleted_is_shown_to_nobody(self, start_work: StartWork, reader: KnowledgeReader) -> None:
        project = _kept(start_work, a_project())
        document = _added(start_work, project)
        _deleted(start_work, project)

        with pytest.raises(NotFound):
            reader.project(project.id, ALICE)
        with pytest.raises(NotFound):
            reader.document(document.id, ALICE)
        assert reader.documents(ALICE, None, BY_NAME)["total"] == 0

    def test_a_document_is_shown_with_how_far_its_job_is(self, start_work: StartWork, reader: KnowledgeReader) -> None:
        document = _added(start_work, _kept(start_work, a_project()))
        job = a_job(subject_id=document.id)
        with start_work() as work:
            work.jobs.add(job)
            work.documents.get(document.id, for_=ALICE).wait_for(job.id, NOW)
            work.commit()
        waiting = reader.document(document.id, ALICE)
        with start_work() as work:
            job = work.jobs.get(job.id)
            job.claim(NOW)
            job.advance(2, 5, epoch=1, now=NOW)
            work.commit()
        begun = reader.document(document.id, ALICE)
        _ready(start_work, document)
        with start_work() as work:
            work.jobs.get(job.id).complete(epoch=1, now=NOW)
            work.commit()
        done = reader.documents(ALICE, None, BY_NAME)["items"][0]

        assert (waiting["status"], waiting["progress"]) == ("queued", {"done": 0, "total": 0})
        assert (begun["status"], begun["progress"]) == ("processing", {"done": 2, "total": 5})
        assert (done["status"], done["progress"]) == ("ready", None)

    def test_a_scope_is_what_an_owner_may_be_answered_from(
        self, start_work: StartWork, reader: KnowledgeReader
    ) -> None:
        mine = _kept(start_work, a_project(key="mine"))
        public = _kept(start_work, a_project(ADMIN, key="public", visibility=Visibility.PUBLIC))
        theirs = _kept(start_work, a_project(BOB, key="mine"))
        _deleted(start_work, _kept(start_work, a_project(key="gone")))

        def scope(**narrowed: object) -> set[object]:
            options: dict[str, object] = {"project_id": None, "keys": None} | narrowed
            found = reader.scope(ALICE.key, **options)  # type: ignore[arg-type] # as they are given
            with start_work() as work:
                assert work.projects.scope(ALICE.key, **options) == found  # type: ignore[arg-type] # likewise
            return set(found.projects)

        assert scope() == {mine.id, public.id}
        assert scope(project_id=public.id) == {public.id}
        assert scope(project_id=theirs.id) == set()
        assert scope(keys=["mine"]) == {mine.id}
        assert scope(keys=[]) == set()
        assert scope(keys=["mine"], project_id=public.id) == set()

    def test_a_scope_is_another_one_once_something_else_can_be_found(
        self, start_work: StartWork, reader: KnowledgeReader
    ) -> None:
        project = _kept(start_work, a_project())
        before = reader.scope(ALICE.key, project_id=None, keys=None)
        assert reader.scope(ALICE.key, project_id=None, keys=None).key == before.key

        with start_work() as work:
            work.projects.get(project.id, for_=ALICE).content_changed(later())
            work.commit()

        assert reader.scope(ALICE.key, project_id=None, keys=None).key != before.key


class TestSqlite(OnSqlite, KnowledgeWorkContract):
    @pytest.fixture
    def reader(self, database: Database) -> KnowledgeReader:
        return SqlKnowledgeReader(database)


class TestPostgres(OnPostgres, KnowledgeWorkContract):
    def test_a_job_that_somebody_is_claiming_is_passed_over(self, start_work: StartWork) -> None:
        first, second = a_job(), a_job(now=later(1))
        with start_work() as work:
            work.jobs.add(first)
            work.jobs.add(second)
            work.commit()

        with start_work() as one, start_work() as other:
            taken = [work.jobs.next(later(5)) for work in (one, other)]

        assert [job.id for job in taken if job is not None] == [first.id, second.id]

    @pytest.fixture
    def reader(self, database: Database) -> KnowledgeReader:
        return SqlKnowledgeReader(database)


def _kept(start_work: StartWork, project: Project) -> Project:
    with start_work() as work:
        work.projects.add(project)
        work.commit()
    return project


def _added(
    start_work: StartWork, project: Project, name: str = "notes.md", content: bytes = b"text", **given: object
) -> Document:
    document = a_document(project, name, **given)
    with start_work() as work:
        work.documents.add(document)
        work.documents.keep_content(document.id, content)
        work.commit()
    return document


def _ready(start_work: StartWork, document: Document, passages: int = 1) -> None:
    with start_work() as work:
        work.documents.get(document.id, for_=SYSTEM).take_passages(
            title=None, media_type="text/plain", characters=1, passages=passages, fingerprint="f" * 64, now=NOW
        )
        work.commit()


def _deleted(start_work: StartWork, project: Project) -> Project:
    deletion = a_deletion(Subject.PROJECT, project.id)
    with start_work() as work:
        work.deletions.add(deletion)
        found = work.projects.get(project.id, for_=SYSTEM)
        found.delete(deletion)
        for document in work.documents.in_project(project.id):
            document.delete(deletion)
        work.commit()
    return found


def _id(found: Project | Document | None) -> object:
    return found.id if found is not None else None


def _values(entity: Project | Document | Job) -> dict[str, object]:
    return {name: value for name, value in vars(entity).items() if not name.startswith("_")}
