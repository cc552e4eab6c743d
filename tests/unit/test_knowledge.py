"""What projects, documents and jobs decide by themselves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.deletions import Subject
from domain.errors import Conflict, Forbidden, Invalid, LeaseLost
from domain.identity import Principal, PrincipalKind
from domain.jobs import ATTEMPTS, LEASE, JobStatus
from domain.knowledge import Document, DocumentStatus, Visibility, key_from, numbered_key, require_author
from domain.limits import Limits
from tests.builders import ADMIN, ALICE, BOB, NOW, a_deletion, a_document, a_job, a_project, later

ID = UUID(int=0xABCD_EF01)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Handbook", "handbook"),
        ("  The (new) Handbook! ", "the-new-handbook"),
        ("Über Häfen", "uber-hafen"),
        ("日本", "project-abcdef01"),
        ("n" * 100, "n" * 60),
        ("a" * 59 + " b", "a" * 59),
    ],
)
def test_a_name_makes_a_key(name: str, key: str) -> None:
    assert key_from(name, ID) == key
    assert a_project(name=name, id=ID).key == key


def test_keys_are_numbered_within_their_length() -> None:
    assert numbered_key("notes", 2) == "notes-2"
    assert numbered_key("n" * 60, 12) == "n" * 57 + "-12"
    assert numbered_key("n" * 57 + "-nn", 2) == "n" * 57 + "-2"


@pytest.mark.parametrize("key", ["", "-a", "a-", "A", "a_b", "a b", "ä", "a" * 61, "a\n"])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(Invalid) as refused:
        a_project(key=key)
    assert list(refused.value.fields) == ["key"]


def test_visitors_keep_nothing() -> None:
    with pytest.raises(Forbidden):
        require_author(Principal(PrincipalKind.VISITOR, "x"))
    require_author(ALICE)


def test_there_are_only_so_many_projects_and_documents() -> None:
    with pytest.raises(Conflict) as refused:
        a_project(projects_so_far=2, limits=Limits(projects=2))
    assert refused.value.slug == "project_limit_reached"
    with pytest.raises(Conflict) as refused:
        a_document(a_project(), documents_so_far=2, limits=Limits(documents=2))
    assert refused.value.slug == "document_limit_reached"


def test_a_public_project_answers_everybody_and_only_admins_make_it() -> None:
    project = a_project()
    assert project.is_visible_to(ALICE)
    assert not project.is_visible_to(BOB)
    assert not project.is_visible_to(ADMIN)
    unchanged = {"key": None, "name": None, "description": None, "metadata": None, "limits": Limits(), "now": later()}
    with pytest.raises(Forbidden):
        project.change(by=ALICE, visibility=Visibility.PUBLIC, **unchanged)  # type: ignore[arg-type] # as they are

    project.change(by=ADMIN, visibility=Visibility.PUBLIC, **unchanged)  # type: ignore[arg-type] # as they are

    assert project.is_visible_to(BOB)


def test_deleting_and_restoring_make_caches_fresh() -> None:
    project = a_project()
    deletion = a_deletion(Subject.PROJECT, project.id)

    project.delete(deletion)
    project.restore(deletion, later())

    assert project.content_version == 2
    with pytest.raises(Conflict):
        project.restore(deletion, later())


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a\x1b[2Jb"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"size": 0}, "file"),
        ({"size": 11 * 1024 * 1024}, "file"),
        ({"media_type": "text"}, "media_type"),
        ({"media_type": "text/plain\r\nX: 1"}, "media_type"),
        ({"media_type": "text/" + "x" * 200}, "media_type"),
        ({"title": ""}, "title"),
    ],
)
def test_what_a_document_cannot_be_is_named(given: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        a_document(a_project(), **given)
    assert list(refused.value.fields) == [field]


def test_files_are_called_as_people_call_them() -> None:
    for name in ("Bildschirmfoto 10.00\u202fUhr.pdf", "a/b c.md", "日本.md", "..md"):
        assert a_document(a_project(), name).name == name


@pytest.mark.parametrize(
    ("title", "media_type", "name"),
    [
        ("Über Häfen", "text/markdown", "Über-Häfen.md"),
        ("../../x", "text/html", "x.html"),
        (None, "text/plain", "text-abcdef01.txt"),
        ("?", "text/plain", "text-abcdef01.txt"),
    ],
)
def test_a_text_without_a_name_is_given_one(title: str | None, media_type: str, name: str) -> None:
    document = Document.add(
        id=ID,
        project=a_project(),
        name=None,
        title=title,
        media_type=media_type,
        size=1,
        fingerprint="f" * 64,
        metadata={},
        documents_so_far=0,
        limits=Limits(),
        now=NOW,
    )

    assert document.name == name


def a_ready_document(**given: Any) -> Document:
    document = a_document(a_project(), **given)
    document.take_passages(
        title="Own", media_type="text/plain", characters=5, passages=1, fingerprint="f" * 64, now=NOW
    )
    return document


def test_a_document_is_called_by_its_uploader_then_by_itself_then_by_its_file() -> None:
    assert a_ready_document(title="Given").title == "Given"
    assert a_ready_document().title == "Own"
    nameless = a_document(a_project(), "x.md")
    nameless.take_passages(title="", media_type="text/plain", characters=5, passages=1, fingerprint="f" * 64, now=NOW)
    assert nameless.title == "x.md"


def test_what_was_found_is_found_when_new_content_cannot_be_read() -> None:
    document = a_ready_document()
    document.replace(media_type="text/plain", size=3, fingerprint="n" * 64, limits=Limits(), now=later())
    document.wait_for(ID, later())
    assert (document.status, document.is_ingested, document.is_unread) == (DocumentStatus.READY, False, True)

    document.refuse("document_broken", "It is damaged.", later())

    assert (document.status, document.is_unread) == (DocumentStatus.READY, False)
    assert document.error == {"code": "document_broken", "message": "It is damaged."}


def test_vectors_do_not_hide_why_newer_content_cannot_be_read() -> None:
    document = a_ready_document()
    document.replace(media_type="text/plain", size=3, fingerprint="n" * 64, limits=Limits(), now=later())
    document.refuse("document_broken", "It is damaged.", later())

    document.refuse_embedding("space", "embeddings_refused", "No.", later())
    assert document.error is not None
    assert document.error["code"] == "document_broken"
    document.take_embeddings("other", later())

    assert document.error["code"] == "document_broken"
    assert (document.embedded_with, document.refused_by) == ("other", None)


def test_a_job_has_one_owner_for_one_lease() -> None:
    job = a_job()
    job.claim(NOW)
    with pytest.raises(Conflict):
        job.claim(NOW + LEASE / 2)

    job.claim(NOW + LEASE)

    assert (job.epoch, job.attempts) == (2, 2)
    writes: list[Callable[[], object]] = [
        lambda: job.advance(1, 2, epoch=1, now=NOW),
        lambda: job.complete(epoch=1, now=NOW),
        lambda: job.fail("x", "x", epoch=1, now=NOW),
        lambda: job.retry("x", "x", epoch=1, now=NOW),
        lambda: job.give_back(epoch=1, now=NOW),
    ]
    for write in writes:
        with pytest.raises(LeaseLost):
            write()


def test_a_sign_of_life_keeps_a_job() -> None:
    job = a_job()
    job.claim(NOW)

    job.advance(1, 2, epoch=1, now=NOW + LEASE / 2)

    assert (job.done, job.total) == (1, 2)
    with pytest.raises(Conflict):
        job.claim(NOW + LEASE)


def test_a_job_waits_longer_each_time_but_never_more_than_five_minutes() -> None:
    job = a_job()
    pauses = []
    now = NOW
    for _ in range(12):
        job.claim(now)
        job.retry("away", "It is away.", epoch=job.epoch, now=now)
        pauses.append(job.due_at - now)
        now = job.due_at

    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (timedelta(seconds=1), timedelta(minutes=5))
    assert not job.is_hopeless


def test_a_job_over_which_workers_are_lost_is_hopeless_one_that_was_given_back_is_not() -> None:
    job, given_back = a_job(), a_job()
    now = NOW
    for _ in range(ATTEMPTS + 1):
        assert not job.is_hopeless
        job.claim(now)
        given_back.claim(now)
        given_back.give_back(epoch=given_back.epoch, now=now)
        now += LEASE

    assert job.is_hopeless
    assert (given_back.attempts, given_back.status) == (0, JobStatus.QUEUED)
    assert [type(event).__name__ for event in given_back.release_events()] == ["JobQueued"] * (ATTEMPTS + 2)


def test_what_is_not_needed_any_more_is_over_for_whoever_is_at_it() -> None:
    job = a_job()
    job.claim(NOW)

    job.drop(NOW)

    assert not job.is_live
    with pytest.raises(LeaseLost):
        job.complete(epoch=1, now=NOW)
    finished = job.finished_at
    job.drop(later())
    assert job.finished_at == finished
