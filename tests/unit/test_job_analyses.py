"""What becomes of a job analysis, and what its score is made of."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.deletions import Subject
from domain.errors import Conflict, Invalid
from domain.job_analyses import AnalysisStatus, Evidence, Finding, Findings, Importance, JobAnalysis, RequiredSkill
from domain.limits import Limits
from tests.builders import ALICE, NOW, a_deletion, a_job_analysis, later

_GROUND = Evidence(project_id=UUID(int=1), document_id=UUID(int=2), document="a.md", title="A", excerpt="…")


def a_finding(name: str, *, is_matched: bool, importance: Importance = Importance.REQUIRED) -> Finding:
    skill = RequiredSkill(name=name, kind="language", importance=importance)
    return Finding(skill, [_GROUND] if is_matched else [])


@pytest.mark.parametrize(
    ("required", "preferred", "score"),
    [
        ([True, True], [True], 100),
        ([False, False], [False], 0),
        ([True, False], [], 50),
        ([], [True, False], 50),
        ([True], [False, False], 50),
        ([True, True, False], [True], 71),
    ],
)
def test_what_is_required_counts_double(required: list[bool], preferred: list[bool], score: int) -> None:
    findings = Findings(
        [a_finding(f"r{n}", is_matched=matched) for n, matched in enumerate(required)]
        + [
            a_finding(f"p{n}", is_matched=matched, importance=Importance.PREFERRED)
            for n, matched in enumerate(preferred)
        ]
    )

    assert findings.score == score


def test_where_nothing_is_asked_for_there_is_no_score() -> None:
    result = Findings([]).result("rules")

    assert (result["score"], result["matched"], result["missing"], result["skills"]) == (None, 0, 0, [])
    assert "No skill was found" in str(result["summary"])


def test_a_summary_names_the_grounds_and_what_is_missing() -> None:
    findings = Findings(
        [a_finding(name, is_matched=False, importance=Importance.PREFERRED) for name in ("Zig", "Nim")]
        + [a_finding("Python", is_matched=True)]
        + [a_finding(name, is_matched=False) for name in ("Go", "Rust", "Ada")]
    )

    assert findings.summary == (
        "The documents show 1 of 4 required skills and 0 of 2 preferred skills. Missing: Go, Rust, Ada, and 2 more."
    )


def test_a_result_puts_the_required_first_and_is_json() -> None:
    result = Findings(
        [a_finding("Zig", is_matched=False, importance=Importance.PREFERRED), a_finding("Go", is_matched=True)]
    ).result("rules")

    skills: Any = result["skills"]
    assert [(skill["name"], skill["status"]) for skill in skills] == [("Go", "matched"), ("Zig", "missing")]
    assert skills[0]["evidence"][0]["document_id"] == str(UUID(int=2))
    assert result["grounds"] == {"required": {"found": 1, "matched": 1}, "preferred": {"found": 1, "matched": 0}}


def test_an_analysis_takes_its_result() -> None:
    analysis = a_job_analysis()

    analysis.complete(
        "Requirements: Zig", Findings([a_finding("Zig", is_matched=True)]).result("rules"), cached=True, now=later()
    )

    assert (analysis.status, analysis.score, analysis.matched, analysis.missing) == (
        AnalysisStatus.COMPLETED,
        100,
        1,
        0,
    )
    assert analysis.result is not None
    assert analysis.result["cached"] is True
    assert (analysis.finished_at, analysis.is_pending) == (later(), False)


def test_an_analysis_can_fail() -> None:
    analysis = a_job_analysis()

    analysis.fail("document_broken", "The file is broken.", later())

    assert (analysis.status, analysis.error) == (
        AnalysisStatus.FAILED,
        {"code": "document_broken", "message": "The file is broken."},
    )
    assert analysis.result is None


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("\n  # Engineer\nand more", "Engineer"),
        ("**Engineer**", "Engineer"),
        ("x" * 300, f"{'x' * 199}…"),
        ("###\nEngineer", "###"),
    ],
)
def test_without_a_title_an_analysis_is_called_as_its_first_line(text: str, title: str) -> None:
    assert a_job_analysis(text).title == title


@pytest.mark.parametrize("text", ["", "  \n", "x" * 20_001, "a\x00b", "\ud800"])
def test_a_text_that_is_no_job_description_is_refused_by_name(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        a_job_analysis(text)

    assert list(refused.value.fields) == ["text"]


@pytest.mark.parametrize("size", [0, 10 * 1024 * 1024 + 1])
def test_a_file_without_or_with_too_many_bytes_is_refused(size: int) -> None:
    with pytest.raises(Invalid) as refused:
        JobAnalysis.of_file(
            name="job.pdf",
            media_type="application/pdf",
            size=size,
            id=uuid4(),
            owner=ALICE,
            title=None,
            project_id=None,
            analyses_so_far=0,
            limits=Limits(),
            now=NOW,
        )

    assert list(refused.value.fields) == ["file"]


def test_one_has_a_hundred_analyses_at_most() -> None:
    with pytest.raises(Conflict) as refused:
        a_job_analysis(analyses_so_far=100)

    assert (refused.value.slug, refused.value.details) == ("job_analysis_limit_reached", {"limit": 100})


def test_what_was_deleted_by_another_deletion_does_not_come_back() -> None:
    analysis = a_job_analysis()
    taken, other = (a_deletion(Subject.JOB_ANALYSIS, analysis.id) for _ in range(2))
    analysis.delete(taken)

    with pytest.raises(Conflict):
        analysis.restore(other, later())
    analysis.restore(taken, later())

    assert analysis.is_pending
