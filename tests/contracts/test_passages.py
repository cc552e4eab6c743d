"""What every store of passages and every index of them must do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from adapters.sql.engine import Database, open_database
from adapters.sql.passage_index import SqlPassageIndex
from adapters.sql.schema import Schema
from application.ports.knowledge import Found, PassageIndex, Scope
from application.ports.parsing import Piece
from application.ports.persistence import StartWork
from domain.deletions import Subject
from domain.identity import SYSTEM
from domain.knowledge import Document, Project
from tests.builders import NOW, a_deletion, a_document, a_project
from tests.contracts.databases import OnPostgres, OnSqlite

_SPACE = "a-model"


class PassagesContract:
    @pytest.fixture
    def start_work(self) -> StartWork:
        raise NotImplementedError

    @pytest.fixture
    def index(self) -> PassageIndex:
        raise NotImplementedError

    @pytest.fixture
    def project(self, start_work: StartWork) -> Project:
        return _opened(start_work)

    def test_a_passage_is_found_by_its_terms_with_where_it_stands(
        self, start_work: StartWork, index: PassageIndex, project: Project
    ) -> None:
        pieces = [Piece(heading="Returns › Deadlines", text="Thirty days.", page=3), Piece(heading="", text="Hello.")]
        document = _added(start_work, project, pieces, title="Refunds")

        found = _found(index, project, "thirti")

        assert [(one.heading, one.text, one.page, one.similarity) for one in found] == [
            ("Returns › Deadlines", "Thirty days.", 3, None)
        ]
        assert [(one.document, one.title, one.document_id, one.project_id) for one in found] == [
            ("notes.md", "Refunds", document.id, project.id)
        ]

    @pytest.mark.parametrize("term", ["refund", "handbook.md", "handbook", "deadlin", "return"])
    def test_a_passage_is_found_by_its_document_and_its_headings_too(
        self, start_work: StartWork, index: PassageIndex, project: Project, term: str
    ) -> None:
        pieces = [Piece(heading="Returns › Deadlines", text="Thirty days.")]
        _added(start_work, project, pieces, name="handbook.md", title="Refunds")

        assert len(_found(index, project, term)) == 1

    @pytest.mark.parametrize(
        ("content", "term"),
        [
            ("Der Hauptstraße entlang", "hauptstrass"),
            ("Łódź, naïve café", "lodz"),
            ("Как отменить ответ", "отменить"),
            ("كيف أُلغي الرَّد", "الرد"),
            ("हिन्दी में उत्तर", "हिन्दी"),
            ("如何取消回复", "取消"),
            ("データベースを選ぶ", "ータ"),
            ("데이터베이스를 고르다", "이터"),
            ("ยกเลิกคำตอบ", "เลิ"),
            ("Set PARLEY_REDIS_URL=redis://here", "parley_redis_url"),
            ("Answers 409 with reply_in_progress.", "reply_in_progress"),
            ("Written in C++ and C#.", "c++"),
            ("Written in C++ and C#.", "c#"),
            ("Run kill -9 1234", "9"),
            ("Look into settings.py", "settings.pi"),
        ],
    )
    def test_text_in_any_script_and_identifiers_are_found(
        self, start_work: StartWork, index: PassageIndex, project: Project, content: str, term: str
    ) -> None:
        _added(start_work, project, [Piece(heading="", text=content), Piece(heading="", text="Something else.")])

        assert [one.text for one in _found(index, project, term)] == [content]

    def test_signs_that_mean_something_to_a_search_engine_are_nothing_but_signs(
        self, start_work: StartWork, index: PassageIndex, project: Project
    ) -> None:
        nasty = """It's "quoted" \\ OR & | ! (x:*) ' ^ NEAR{}"""
        _added(start_work, project, [Piece(heading="", text=nasty)])

        assert len(_found(index, project, "quot")) == 1
        for term in ["'", '"', "\\", "''", ")", "*", ":*", "^", "&"]:
            assert _found(index, project, term) == [], term

    def test_those_come_first_whose_terms_weigh_most_together(
        self, start_work: StartWork, index: PassageIndex, project: Project
    ) -> None:
        texts = ["wolf", "wolf bear", "bear", "fox bear", "hare"]
        _added(start_work, project, [Piece(heading="", text=text) for text in texts])
        weights = {"wolf": 2.0, "bear": 1.0, "fox": 0.5, "lynx": 9.0}

        found = index.matching(weights, {}, _scope(project), limit=10)

        assert [one.text for one in found] == ["wolf bear", "wolf", "fox bear", "bear"]
        assert [one.text for one in index.matching(weights, {}, _scope(project), limit=1)] == ["wolf bear"]

    def test_a_term_weighs_more_in_the_heading_or_else_the_title(
        self, start_work: StartWork, index: PassageIndex, project: Project
    ) -> None:
        pieces = [
            Piece(heading="Wolves › Food", text="wolf"),
            Piece(heading="Animals › Wolves", text="They howl."),
            Piece(heading="", text="wolf"),
        ]
        _added(start_work, project, pieces, title="Of the wild")

        in_heading = index.matching({"wolv": 1.0, "wolf": 1.0}, {"wolv": 5.0}, _scope(project), limit=9)
        in_title = index.matching({"wolf": 1.0}, {"wild": 5.0}, _scope(project), limit=9)

        assert in_heading[0].heading == "Animals › Wolves"
        assert in_title[0].heading == ""

    def test_it_is_told_how_rare_terms_are_in_a_scope(
        self, start_work: StartWork, index: PassageIndex, project: Project
    ) -> None:
        _added(start_work, project, [Piece(heading="", text=text) for text in ["wolf", "wolf bear wolf", "hare"]])
        _added(start_work, _opened(start_work), [Piece(heading="", text="wolf lynx")])

        assert index.frequencies(["wolf", "bear", "lynx"], _scope(project)) == ({"wolf": 2, "bear": 1}, 3)
        assert index.frequencies([], _scope(project)) == ({}, 3)
        assert index.frequencies(["wolf"], Scope({})) == ({}, 0)

    def test_only_what_is_in_scope_is_found(self, start_work: StartWork, index: PassageIndex, project: Project) -> None:
        others = _opened(start_work)
        _added(start_work, project, [Piece(heading="", text="My wolf")], vectors=[[1.0, 0.0]])
        _added(start_work, others, [Piece(heading="", text="Their wolf")], vectors=[[1.0, 0.0]])

        def everything(scope: Scope) -> list[list[str]]:
            by_words = index.matching({"wolf": 1.0}, {"wolf": 1.0}, scope, limit=9)
            by_vectors = index.nearest([1.0, 0.0], _SPACE, scope, limit=9)
            return [[one.text for one in found] for found in (by_words, by_vectors)]

        assert everything(_scope(project)) == [["My wolf"], ["My wolf"]]
        assert everything(_scope(project, others)) == [["My wolf", "Their wolf"], ["My wolf", "Their wolf"]]
        assert everything(_scope(others, *(_opened(start_work) for _ in range(20)))) == [["Their wolf"]] * 2
        assert everything(Scope({})) == [[], []]
        assert everything(Scope({uuid4(): 1})) == [[], []]

    def test_a_document_is_found_by_its_new_passages_alone(
        self, start_work: StartWork, index: PassageIndex, project: Project
    ) -> None:
        document = _added(start_work, project, [Piece(heading="", text="wolf")] * 3, vectors=[[1.0, 0.0]] * 3)
        with start_work() as work:
            kept = work.documents.get(document.id, for_=SYSTEM)
            work.passages.replace(kept, [Piece(heading="", text="bear")])
            kept.passage_count = 1
            work.commit()

        assert _found(index, project, "wolf") == []
        assert [one.text for one in _found(index, project, "bear")] == ["bear"]
        assert list(index.nearest([1.0, 0.0], _SPACE, _scope(project), limit=9)) == []
        assert index.frequencies(["wolf", "bear"], _scope(project)) == ({"bear": 1}, 1)

    def test_what_stood_there_before_keeps_its_vector(
        self, start_work: StartWork, index: PassageIndex, project: Project
    ) -> None:
        pieces = [Piece(heading="Animals", text=name) for name in ("wolf", "bear", "fox")]
        others = [Piece(heading="Plants", text="fox"), pieces[1], Piece(heading="", text="hare"), pieces[0], pieces[1]]
        vectors = [[0.1, 1.0], [1.0, -0.3], [0.5, 0.5]]
        document = _added(start_work, project, pieces, vectors=vectors)

        with start_work() as work:
            work.passages.replace(work.documents.get(document.id, for_=SYSTEM), others)
            work.commit()

        with start_work() as work:
            assert list(work.passages.dimensions(document.id, _SPACE)) == [None, 2, None, 2, 2]
            assert list(work.passages.dimensions(document.id, "another")) == [None] * 5
        for vector, name in zip(vectors, ("wolf", "bear"), strict=False):
            nearest = index.nearest(vector, _SPACE, _scope(project), limit=9)
            assert (len(nearest), nearest[0].text) == (3, name)
            assert nearest[0].similarity == pytest.approx(1.0, abs=1e-6)

        with start_work() as work:
            work.passages.embed(document.id, _SPACE, [[1.0, 0.0], None, [0.0, -1.0], None, None])
            work.commit()
        with start_work() as work:
            assert list(work.passages.dimensions(document.id, _SPACE)) == [2] * 5
        assert [one.text for one in index.nearest([0.0, -1.0], _SPACE, _scope(project), limit=1)] == ["hare"]

    def test_replacing_that_is_not_committed_changes_nothing(
        self, start_work: StartWork, index: PassageIndex, project: Project
    ) -> None:
        document = _added(start_work, project, [Piece(heading="", text="wolf")])
        with start_work() as work:
            work.passages.replace(work.documents.get(document.id, for_=SYSTEM), [Piece(heading="", text="bear")])

        assert [one.text for one in _found(index, project, "wolf")] == ["wolf"]
        assert _found(index, project, "bear") == []

    def test_a_document_without_passages_is_not_found(
        self, start_work: StartWork, index: PassageIndex, project: Project
    ) -> None:
        document = _added(start_work, project, [Piece(heading="", text="wolf")])
        with start_work() as work:
            work.passages.replace(work.documents.get(document.id, for_=SYSTEM), [])
            work.commit()

        assert _found(index, project, "wolf") == []
        with start_work() as work:
            assert list(work.passages.texts(document.id)) == []
            work.passages.embed(document.id, _SPACE, [])

    def test_a_renamed_document_is_found_by_its_new_title_alone(
        self, start_work: StartWork, index: PassageIndex, project: Project
    ) -> None:
        document = _added(start_work, project, [Piece(heading="", text="It howls.")], title="Wolves")
        with start_work() as work:
            kept = work.documents.get(document.id, for_=SYSTEM)
            kept.title = "Bears"
            work.passages.rename(kept)
            work.commit()

        assert [one.title for one in _found(index, project, "bear")] == ["Bears"]
        assert _found(index, project, "wolv") == []
        assert len(_found(index, project, "howl")) == 1

    def test_a_deleted_document_is_not_found_until_it_is_restored(
        self, start_work: StartWork, index: PassageIndex, project: Project
    ) -> None:
        document = _added(start_work, project, [Piece(heading="", text="wolf")], vectors=[[1.0, 0.0]])
        deletion = a_deletion(Subject.DOCUMENT, document.id)
        with start_work() as work:
            work.deletions.add(deletion)
            work.documents.get(document.id, for_=SYSTEM).delete(deletion)
            work.commit()

        assert _found(index, project, "wolf") == []
        assert list(index.nearest([1.0, 0.0], _SPACE, _scope(project), limit=9)) == []
        assert index.frequencies(["wolf"], _scope(project)) == ({}, 0)

        with start_work() as work:
            kept = work.documents.get(document.id, for_=SYSTEM, deleted=True)
            kept.restore(work.deletions.get(deletion.id), NOW)
            work.commit()

        assert len(_found(index, project, "wolf")) == 1
        assert len(index.nearest([1.0, 0.0], _SPACE, _scope(project), limit=9)) == 1

    def test_what_is_embedded_is_the_text_below_its_headings_in_order(
        self, start_work: StartWork, project: Project
    ) -> None:
        pieces = [Piece(heading="", text="First."), Piece(heading="A › B", text="Second.")]
        document = _added(start_work, project, pieces)

        with start_work() as work:
            assert list(work.passages.texts(document.id)) == ["First.", "A › B\n\nSecond."]

    def test_every_passage_needs_its_vector(self, start_work: StartWork, project: Project) -> None:
        document = _added(start_work, project, [Piece(heading="", text="wolf")] * 2)

        with start_work() as work, pytest.raises(ValueError, match="shorter"):
            work.passages.embed(document.id, _SPACE, [[1.0, 0.0]])

    def test_the_nearest_in_angle_come_first(
        self, start_work: StartWork, index: PassageIndex, project: Project
    ) -> None:
        vectors = {"far": [-1.0, 0.0], "near": [30.0, 1.0], "next": [1.0, 1.0], "beside": [0.0, 0.5]}
        pieces = [Piece(heading="", text=name) for name in vectors]
        _added(start_work, project, pieces, vectors=list(vectors.values()))

        found = index.nearest([2.0, 0.0], _SPACE, _scope(project), limit=3)

        assert index.compares_vectors
        assert [one.text for one in found] == ["near", "next", "beside"]
        assert [one.similarity for one in found] == pytest.approx([0.99944, 0.70711, 0.0], abs=1e-4)

    def test_vectors_of_another_space_or_dimension_are_not_compared(
        self, start_work: StartWork, index: PassageIndex, project: Project
    ) -> None:
        _added(start_work, project, [Piece(heading="", text="two")], vectors=[[1.0, 0.0]])
        _added(start_work, project, [Piece(heading="", text="three")], vectors=[[1.0, 0.0, 0.0]], name="three.md")
        _added(start_work, project, [Piece(heading="", text="none")], name="none.md")

        assert [one.text for one in index.nearest([1.0, 0.0], _SPACE, _scope(project), limit=9)] == ["two"]
        assert [one.text for one in index.nearest([1.0, 0.0, 0.0], _SPACE, _scope(project), limit=9)] == ["three"]
        assert list(index.nearest([1.0, 0.0], "another", _scope(project), limit=9)) == []

    def test_documents_tell_the_dimension_of_their_vectors_until_they_are_forgotten(
        self, start_work: StartWork, index: PassageIndex, project: Project
    ) -> None:
        pieces = [Piece(heading="", text="one"), Piece(heading="", text="more")]
        two = _added(start_work, project, pieces, vectors=[[1.0, 0.0]] * 2)
        three = _added(start_work, project, pieces, vectors=[[1.0, 0.0, 0.0]] * 2, name="three.md")
        _added(start_work, project, pieces, name="none.md")

        with start_work() as work:
            assert work.documents.dimensions(_SPACE) == {two.id: 2, three.id: 3}
            assert work.documents.dimensions("another") == {}
            work.passages.forget_vectors(two.id)
            work.commit()

        with start_work() as work:
            assert work.documents.dimensions(_SPACE) == {three.id: 3}
            assert list(work.passages.dimensions(two.id, _SPACE)) == [None, None]
        assert list(index.nearest([1.0, 0.0], _SPACE, _scope(project), limit=9)) == []
        assert len(_found(index, project, "more")) == 3

    def test_vectors_of_many_numbers_are_kept_as_they_are(
        self, start_work: StartWork, index: PassageIndex, project: Project
    ) -> None:
        vector = [((number * 7919) % 1000 - 500) / 500 for number in range(3072)]
        _added(start_work, project, [Piece(heading="", text="wolf")], vectors=[vector])

        (found,) = index.nearest(vector, _SPACE, _scope(project), limit=9)

        assert found.similarity == pytest.approx(1.0, abs=1e-5)

    def test_a_passage_of_very_many_words_is_found_by_its_first_ones(
        self, start_work: StartWork, index: PassageIndex, project: Project
    ) -> None:
        words = " ".join(f"word{number:07d}" + "x" * 60 for number in range(30_000))
        _added(start_work, project, [Piece(heading="", text=f"beginning {words}")])

        assert len(_found(index, project, "begin")) == 1

    def test_it_says_what_there_is_to_search_and_how(
        self, start_work: StartWork, index: PassageIndex, project: Project
    ) -> None:
        _added(start_work, project, [Piece(heading="", text="wolf")], vectors=[[1.0, 0.0]])
        _added(start_work, project, [Piece(heading="", text="bear")], name="bear.md")

        assert index.ping().startswith("2 passages, full text; 1 with vectors, ")


class TestSqlite(OnSqlite, PassagesContract):
    @pytest.fixture
    def index(self, database: Database) -> PassageIndex:
        return SqlPassageIndex(database)

    def test_passages_that_are_removed_by_anybody_leave_the_index(
        self, start_work: StartWork, database: Database, project: Project
    ) -> None:
        _added(start_work, project, [Piece(heading="", text="wolf")] * 3)
        with database.at_once() as connection:
            connection.execute(text("DELETE FROM passages"))

        with database.reading() as connection:
            assert connection.execute(text("SELECT count(*) FROM passages_fts")).scalar_one() == 0

    def test_without_the_extension_passages_are_found_by_their_words(self, tmp_path: Path) -> None:
        """In a Python of its own, whose SQLite is built as some are: it knows no extensions at all."""
        tried = subprocess.run(
            [sys.executable, "-c", _WITHOUT_EXTENSION, str(tmp_path / "parley.db")],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            capture_output=True,
            text=True,
            timeout=60,
        )

        assert tried.returncode == 0, tried.stderr
        assert tried.stdout.splitlines() == [
            "['wolf']",
            "[]",
            "False",
            "1 passages, full text (this sqlite compares no vectors)",
        ]
        assert tried.stderr.count("passages are found by their words alone") == 1

    def test_greenlets_have_their_turns_while_a_long_document_is_written(self, tmp_path: Path) -> None:
        """As in `parley serve`, where one thread serves everybody."""
        tried = subprocess.run(
            [sys.executable, "-c", _AMONG_GREENLETS, str(tmp_path / "parley.db")],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            capture_output=True,
            text=True,
            timeout=60,
        )

        assert tried.returncode == 0, tried.stderr
        turns = dict(line.split() for line in tried.stdout.splitlines())
        assert list(turns) == ["replaced", "renamed", "embedded", "replaced-again"]
        assert min(map(int, turns.values())) >= 5


class TestPostgres(OnPostgres, PassagesContract):
    @pytest.fixture
    def index(self, database: Database) -> PassageIndex:
        return SqlPassageIndex(database)

    def test_without_the_extension_passages_are_found_by_their_words(
        self, start_work: StartWork, project: Project, database: Database
    ) -> None:
        with database.at_once() as connection:
            connection.execute(text("DROP EXTENSION vector"))
        index = SqlPassageIndex(database)
        _added(start_work, project, [Piece(heading="", text="wolf")], vectors=[[1.0, 0.0]])

        assert [one.text for one in _found(index, project, "wolf")] == ["wolf"]
        assert list(index.nearest([1.0, 0.0], _SPACE, _scope(project), limit=9)) == []
        assert not index.compares_vectors
        assert index.ping() == "1 passages, full text (this postgresql compares no vectors)"

    def test_an_extension_that_is_dropped_in_between_fails_no_search(
        self, start_work: StartWork, project: Project, index: PassageIndex, database: Database
    ) -> None:
        _added(start_work, project, [Piece(heading="", text="wolf")], vectors=[[1.0, 0.0]])
        assert len(index.nearest([1.0, 0.0], _SPACE, _scope(project), limit=9)) == 1
        with database.at_once() as connection:
            connection.execute(text("DROP EXTENSION vector"))

        assert list(index.nearest([1.0, 0.0], _SPACE, _scope(project), limit=9)) == []
        assert not index.compares_vectors

    def test_upgrading_takes_the_extension_in_again(self, database: Database) -> None:
        with database.at_once() as connection:
            connection.execute(text("DROP EXTENSION vector"))

        Schema(database).upgrade()

        assert SqlPassageIndex(database).compares_vectors

    def test_an_extension_that_we_may_not_take_in_is_no_obstacle(
        self, database: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        role = f"reader_{uuid4().hex[:12]}"
        with database.at_once() as connection:
            connection.execute(text("DROP EXTENSION vector"))
            connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD 'secret' IN ROLE pg_read_all_data"))
        try:
            url = database.url.set(drivername="postgresql", username=role, password="secret")
            restricted = open_database(url.render_as_string(hide_password=False))
            Schema(restricted).upgrade()

            assert not SqlPassageIndex(restricted).compares_vectors
            assert "without pgvector, passages are found by their words alone: permission denied" in caplog.text
            restricted.dispose()
        finally:
            with database.at_once() as connection:
                connection.execute(text(f"DROP ROLE {role}"))


_AMONG_GREENLETS = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
from adapters.sql.engine import open_database
from adapters.sql.schema import Schema
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.ports.parsing import Piece
from tests.builders import a_document, a_project

database = open_database(f"sqlite:///{sys.argv[1]}")
Schema(database).upgrade()
project = a_project()
document = a_document(project)
with SqlUnitOfWork(database) as work:
    work.projects.add(project)
    work.flush()
    work.documents.add(document)
    work.commit()
turns = 0

def others():
    global turns
    while True:
        turns += 1
        gevent.sleep(0.001)

def count(what, write, *given):
    global turns
    with SqlUnitOfWork(database) as work:
        turns = 0
        getattr(work.passages, write)(*given)
        print(what, turns)
        work.commit()

gevent.spawn(others)
pieces = [Piece(heading="", text="a wolf")] * 500
count("replaced", "replace", document, pieces)
count("renamed", "rename", document)
count("embedded", "embed", document.id, "a-model", [[1.0, 0.0]] * 500)
count("replaced-again", "replace", document, pieces)
"""

_WITHOUT_EXTENSION = """
import sqlite3, sys

Real = sqlite3.connect

class Connection(sqlite3.Connection):
    def execute(self, sql, *parameters):
        if "vec_version" in sql:
            raise sqlite3.OperationalError("no such function: vec_version")
        return super().execute(sql, *parameters)

sqlite3.connect = lambda *given, **options: Real(*given, **options, factory=Connection)

from adapters.sql.engine import open_database
from adapters.sql.schema import Schema
from adapters.sql.passage_index import SqlPassageIndex
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.ports.parsing import Piece
from tests.contracts.test_passages import _added, _found, _opened, _scope

database = open_database(f"sqlite:///{sys.argv[1]}")
Schema(database).upgrade()
start_work = lambda: SqlUnitOfWork(database)
project = _opened(start_work)
_added(start_work, project, [Piece(heading="", text="wolf")], vectors=[[1.0, 0.0]])
index = SqlPassageIndex(database)
print([one.text for one in _found(index, project, "wolf")])
print(list(index.nearest([1.0, 0.0], "a-model", _scope(project), limit=9)))
print(index.compares_vectors)
print(index.ping())
"""


def _opened(start_work: StartWork) -> Project:
    project = a_project()
    project.key = f"project-{project.id.hex[:8]}"
    with start_work() as work:
        work.projects.add(project)
        work.commit()
    return project


def _added(
    start_work: StartWork,
    project: Project,
    pieces: Sequence[Piece],
    *,
    name: str | None = None,
    title: str = "",
    vectors: Sequence[Sequence[float]] = (),
) -> Document:
    if name is None:
        with start_work() as work:
            name = f"notes{work.documents.count(project.id) or ''}.md"
    document = a_document(project, name)
    document.title, document.passage_count = title, len(pieces)
    with start_work() as work:
        work.documents.add(document)
        work.passages.replace(document, pieces)
        if vectors:
            work.passages.embed(document.id, _SPACE, vectors)
        work.commit()
    return document


def _scope(*projects: Project) -> Scope:
    return Scope({project.id: 1 for project in projects})


def _found(index: PassageIndex, project: Project, term: str) -> Sequence[Found]:
    return list(index.matching({term: 1.0}, {}, _scope(project), limit=10))
