"""What every store of job analyses must do, and what comes of them over real documents."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest

from adapters.parsing.parser import SafeParser
from adapters.skills.rules import RuleSkills
from adapters.skills.vocabulary import vocabulary
from adapters.sql.engine import Database
from adapters.sql.job_analyses import SqlJobAnalysisReader
from adapters.words import terms_of
from application.job_analyses.analysing import AnalyseJob
from application.job_analyses.commands import (
    AnalyseJobDescription,
    AnalyseJobDescriptionHandler,
    DeleteJobAnalysis,
    DeleteJobAnalysisHandler,
    File,
    RestoreJobAnalysis,
    RestoreJobAnalysisHandler,
)
from application.job_analyses.matching import SkillMatching
from application.jobs import RunJob
from application.ports.persistence import Document
from application.ports.queries import Page
from application.visitors.commands import ClaimVisitor, ClaimVisitorHandler
from domain.errors import Conflict, Forbidden, NotFound
from domain.identity import SYSTEM, Principal, PrincipalKind
from domain.job_analyses import JobAnalysis
from domain.jobs import JobKind
from domain.knowledge import Visibility
from domain.limits import Limits
from tests.builders import ADMIN, ALICE, BOB, NOW, a_job_analysis, later
from tests.contracts.databases import OnPostgres, OnSqlite
from tests.library import Library

_VISITOR = Principal(PrincipalKind.VISITOR, str(UUID(int=1)))
_NEWEST = Page(sort_by="created_at")


@dataclass
class Bench:
    """Everything that job analyses need, but the queue."""

    library: Library
    limits: Limits = field(default_factory=lambda: Limits(job_analyses=3))

    def __post_init__(self) -> None:
        start_work, library = self.library.start_work, self.library
        self.reader = SqlJobAnalysisReader(library.database)
        self.ask = AnalyseJobDescriptionHandler(start_work, uuid4, lambda: NOW, self.limits)
        self.delete = DeleteJobAnalysisHandler(start_work, uuid4, lambda: NOW)
        self.restore = RestoreJobAnalysisHandler(start_work, uuid4, lambda: NOW, self.limits)
        handler = AnalyseJob(
            start_work,
            SafeParser(),
            RuleSkills(vocabulary()),
            SkillMatching(library.index, library.reader, vocabulary(), terms_of),
            library.caches,
            lambda: NOW,
            self.limits,
        )
        self.run = RunJob(start_work, {JobKind.ANALYSE: handler}, lambda: NOW)

    def analysed(
        self, description: str | File, principal: Principal = ALICE, project_id: UUID | None = None
    ) -> Document:
        """Ask, have it done, and read what came of it."""
        asked = self.ask(AnalyseJobDescription(principal=principal, description=description, project_id=project_id))
        return self.done(asked.id, principal)

    def done(self, analysis_id: UUID, principal: Principal = ALICE) -> Document:
        with self.library.start_work() as work:
            job_id = work.job_analyses.get(analysis_id, for_=SYSTEM).job_id
        assert job_id is not None
        self.run(job_id)
        return self.reader.job_analysis(analysis_id, principal)


def evidence(analysis: Document) -> dict[str, list[str]]:
    """The documents, or else the projects, that show each skill."""
    return {
        skill["name"]: [ground["document"] or ground["title"] for ground in skill["evidence"]]
        for skill in analysis["result"]["skills"]
    }


class JobAnalysesContract:
    @pytest.fixture
    def database(self) -> Database:
        raise NotImplementedError

    @pytest.fixture
    def bench(self, database: Database) -> Bench:
        return Bench(Library(database))

    def test_an_analysis_is_kept_as_it_is(self, bench: Bench) -> None:
        analysis = a_job_analysis("Größe\n\nRequirements: Zig", title="é")
        with bench.library.start_work() as work:
            work.job_analyses.add(analysis, b"\x00bytes")
            work.commit()

        with bench.library.start_work() as work:
            found = work.job_analyses.get(analysis.id, for_=ALICE)
            content = work.job_analyses.content(analysis.id)

        assert (found.title, found.text, found.created_at) == ("é", "Größe\n\nRequirements: Zig", NOW)
        assert content == b"\x00bytes"

    def test_an_analysis_is_its_principals_own(self, bench: Bench) -> None:
        analysis = bench.analysed("Requirements: Zig")

        with bench.library.start_work() as work, pytest.raises(Forbidden):
            work.job_analyses.get(analysis["id"], for_=BOB)
        with pytest.raises(Forbidden):
            bench.reader.job_analysis(analysis["id"], BOB)
        with pytest.raises(NotFound):
            bench.reader.job_analysis(uuid4(), ALICE)
        with pytest.raises(Forbidden):
            bench.delete(DeleteJobAnalysis(principal=BOB, analysis_id=analysis["id"]))
        assert bench.reader.job_analyses(BOB, _NEWEST)["total"] == 0
        assert bench.reader.job_analysis(analysis["id"], ADMIN)["id"] == analysis["id"]

    def test_lists_are_sorted_and_hold_no_texts(self, bench: Bench) -> None:
        project = bench.library.project()
        bench.library.add(project, "a.md", "We wrote it in Erlang.")
        for title, text in (("b", "Requirements: Erlang"), ("A", "Feed the ducks."), ("c", "Requirements: Zig")):
            asked = bench.ask(AnalyseJobDescription(principal=ALICE, description=text, title=title))
            bench.done(asked.id)

        def titles(sort_by: str, *, descending: bool) -> list[str]:
            page = Page(sort_by=sort_by, descending=descending)
            return [item["title"] for item in bench.reader.job_analyses(ALICE, page)["items"]]

        assert titles("title", descending=False) == ["A", "b", "c"]
        assert titles("score", descending=True) == ["b", "c", "A"]
        assert titles("score", descending=False) == ["A", "c", "b"]
        assert bench.reader.job_analyses(ALICE, Page(sort_by="title", limit=1, offset=1))["items"][0]["title"] == "b"
        assert "text" not in bench.reader.job_analyses(ALICE, _NEWEST)["items"][0]

    def test_however_many_ask_at_once_there_are_no_more_than_may_be(self, bench: Bench) -> None:
        together = threading.Barrier(6)

        def ask(_: int) -> bool:
            together.wait(10)
            try:
                bench.ask(AnalyseJobDescription(principal=ALICE, description="Zig"))
            except Conflict:
                return False
            return True

        with ThreadPoolExecutor(6) as threads:
            granted = list(threads.map(ask, range(6)))

        assert sum(granted) == bench.reader.job_analyses(ALICE, _NEWEST)["total"] == 3

    def test_deleting_makes_place_and_restoring_needs_it(self, bench: Bench) -> None:
        first, *_ = [bench.analysed("Zig") for _ in range(3)]
        bench.delete(DeleteJobAnalysis(principal=ALICE, analysis_id=first["id"]))

        bench.analysed("Zig")

        with pytest.raises(Conflict, match="3 job analyses"):
            bench.restore(RestoreJobAnalysis(principal=ALICE, analysis_id=first["id"]))

    def test_what_is_deleted_is_not_analysed_before_it_is_back(self, bench: Bench) -> None:
        asked = bench.ask(AnalyseJobDescription(principal=ALICE, description="Requirements: Zig"))
        assert asked.job_id is not None

        bench.delete(DeleteJobAnalysis(principal=ALICE, analysis_id=asked.id))
        with bench.library.start_work() as work:
            assert work.jobs.live([asked.job_id]) == []
        bench.restore(RestoreJobAnalysis(principal=ALICE, analysis_id=asked.id))
        waiting = bench.reader.job_analysis(asked.id, ALICE)

        assert (waiting["status"], waiting["progress"]) == ("queued", {"done": 0, "total": 0})
        assert bench.done(asked.id)["status"] == "completed"

    def test_a_file_is_kept_until_it_was_read(self, bench: Bench) -> None:
        good = bench.analysed(File(name="job.txt", media_type="text/plain", content=b"Requirements:\n- Erlang\n"))
        bad = bench.analysed(File(name="job.pdf", media_type="application/pdf", content=b"%PDF-1.4 nothing"))

        assert (good["status"], good["text"]) == ("completed", "Requirements:\n- Erlang")
        assert (bad["status"], bad["error"]["code"], bad["text"]) == ("failed", "document_broken", None)
        for analysis in (good, bad):
            with bench.library.start_work() as work, pytest.raises(NotFound):
                work.job_analyses.content(analysis["id"])

    def test_a_skill_is_shown_by_what_really_names_it(self, bench: Bench) -> None:
        project = bench.library.project(name="Portfolio")
        bench.library.add(project, "k.md", "# Ops\n\n## Clusters\n\nWe ran k8s for years.\n")
        bench.library.add(
            project, "g.md", "# Diary\n\nGo to the market. We react to change, and the rest is history.\n"
        )
        bench.library.add(project, "c.md", "# Systems\n\nA parser, written in C, and its bindings for C++ and C#.\n")
        bench.library.add(project, "n.md", "# Never\n\nI have no experience with Java. We never used Rust.\n")

        analysis = bench.analysed("Requirements: Kubernetes, Go, C, C++, React, REST, Java, Rust, Scala")

        assert evidence(analysis) == {
            "Kubernetes": ["k.md"],
            "Go": [],
            "C": ["c.md"],
            "C++": ["c.md"],
            "React": [],
            "REST": [],
            "Java": [],
            "Rust": [],
            "Scala": [],
        }
        ground = analysis["result"]["skills"][0]["evidence"][0]
        assert (ground["heading"], ground["excerpt"]) == ("Clusters", "We ran k8s for years.")

    def test_evidence_comes_from_three_documents_at_most(self, bench: Bench) -> None:
        project = bench.library.project()
        for number in range(5):
            bench.library.add(project, f"{number}.md", f"# Part {number}\n\nErlang in part {number}.\n")

        found = evidence(bench.analysed("Requirements: Erlang"))["Erlang"]

        assert len(found) == len(set(found)) == 3

    def test_a_long_passage_is_shown_around_the_skill(self, bench: Bench) -> None:
        words = "many words about nothing at all " * 12
        bench.library.add(bench.library.project(), "a.md", f"# A\n\n{words} then Erlang came {words}\n")

        skill = bench.analysed("Requirements: Erlang")["result"]["skills"][0]

        excerpt = skill["evidence"][0]["excerpt"]
        assert "then Erlang came" in excerpt
        assert (excerpt[0], excerpt[-1], len(excerpt) <= 242) == ("…", "…", True)

    def test_projects_speak_for_themselves_too(self, bench: Bench) -> None:
        project = bench.library.project(name="Compiler in Haskell")
        with bench.library.start_work() as work:
            mine = work.projects.get(project.id, for_=ALICE)
            mine.metadata = {"skills": ["Falconry", "Go", 7, "x", "y" * 61]}
            work.commit()

        found = evidence(bench.analysed("Requirements: Haskell, Go, falconry, Zig"))

        name = "Compiler in Haskell"
        assert found == {"Haskell": [name], "Go": [name], "Falconry": [name], "Zig": []}

    def test_another_principals_private_documents_show_nothing(self, bench: Bench) -> None:
        bench.library.add(bench.library.project(BOB), "secret.md", "We wrote it in Erlang.")
        public = bench.library.project(ADMIN, visibility=Visibility.PUBLIC)
        bench.library.add(public, "cv.md", "And this in Fortran.")

        for principal in (ALICE, _VISITOR):
            found = evidence(bench.analysed("Requirements: Erlang, Fortran", principal))

            assert found == {"Erlang": [], "Fortran": ["cv.md"]}
        assert evidence(bench.analysed("Requirements: Erlang, Fortran", BOB))["Erlang"] == ["secret.md"]

    def test_an_analysis_can_be_narrowed_to_a_project(self, bench: Bench) -> None:
        one, other = bench.library.project(name="One"), bench.library.project(name="Other")
        bench.library.add(one, "one.md", "We wrote it in Erlang.")
        bench.library.add(other, "other.md", "We wrote it in Fortran.")

        found = evidence(bench.analysed("Requirements: Erlang, Fortran", project_id=one.id))

        assert found == {"Erlang": ["one.md"], "Fortran": []}
        with pytest.raises(Forbidden):
            bench.analysed("Requirements: Erlang", BOB, project_id=one.id)

    def test_what_is_known_already_is_not_worked_out_again(self, bench: Bench) -> None:
        project = bench.library.project()
        bench.library.add(project, "a.md", "We wrote it in Erlang.")
        bench.library.project(BOB)  # It is called the same.
        job = "Requirements: Erlang, Fortran"

        first, second = bench.analysed(job), bench.analysed(job)
        of_bob = bench.analysed(job, BOB)
        with bench.library.start_work() as work:
            work.projects.get(project.id, for_=ALICE).metadata = {"skills": ["Fortran"]}
            work.commit()
        third = bench.analysed(job)

        assert [each["result"]["cached"] for each in (first, second, of_bob, third)] == [False, True, False, False]
        assert first["result"] | {"cached": True} == second["result"]
        assert [each["score"] for each in (first, second, of_bob, third)] == [50, 50, 0, 100]

    def test_a_user_takes_over_what_a_visitor_had_analysed(self, bench: Bench) -> None:
        kept, deleted = bench.analysed("Requirements: Zig", _VISITOR), bench.analysed("Requirements: Nim", _VISITOR)
        deletion = bench.delete(DeleteJobAnalysis(principal=_VISITOR, analysis_id=deleted["id"]))
        waiting = bench.ask(AnalyseJobDescription(principal=_VISITOR, description="Requirements: Elm, Python"))
        claim = ClaimVisitorHandler(bench.library.start_work, lambda: later(), Limits())

        claim(ClaimVisitor(principal=ALICE, visitor=_VISITOR))

        assert bench.reader.job_analyses(_VISITOR, _NEWEST)["total"] == 0
        assert {item["id"] for item in bench.reader.job_analyses(ALICE, _NEWEST)["items"]} == {kept["id"], waiting.id}
        assert bench.done(waiting.id)["status"] == "completed"
        restored = bench.restore(RestoreJobAnalysis(principal=ALICE, analysis_id=deleted["id"]))
        assert isinstance(restored, JobAnalysis)
        assert restored.owner == ALICE.key
        with bench.library.start_work() as work:
            assert work.deletions.get(deletion.id).owner == ALICE.key
            assert waiting.job_id is not None
            assert work.jobs.get(waiting.job_id).owner == ALICE.key


class TestJobAnalysesOnSqlite(OnSqlite, JobAnalysesContract):
    """On SQLite."""


class TestJobAnalysesOnPostgres(OnPostgres, JobAnalysesContract):
    """On PostgreSQL."""
