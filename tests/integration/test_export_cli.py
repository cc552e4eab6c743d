"""`parley export` and `parley import`, on SQLite and PostgreSQL, beside a server and without one."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pypdf
import pytest
from click.testing import CliRunner

from adapters.sql.engine import open_database
from entrypoints.cli import parley
from tests.builders import ALICE, a_conversation
from tests.exporting import Exports
from tests.installation import installed, production
from tests.integration.test_exports import a_long_one
from tests.parley_process import cli, environment, running
from tests.servers import a_postgres_database
from tests.tree import Tree
from tests.waiting import eventually

Settings = dict[str, object]

_PARLEY = str(Path(sys.executable).with_name("parley"))


def an_installation(folder: Path, **settings: object) -> Settings:
    made: Settings = {"PARLEY_DATA_DIR": folder} | settings
    assert cli("migrate", **made).returncode == 0
    return made


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return an_installation(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def conversation(source: Settings) -> UUID:
    """One of Alice's, with two branches."""
    tree = Tree(a_conversation(ALICE, title="Harbours"))
    tree.edit(tree.ask("Which harbour?"), "Which port?")
    return kept(source, tree)


@pytest.fixture
def empty(tmp_path: Path) -> Settings:
    return an_installation(tmp_path / "empty")


def kept(settings: Settings, tree: Tree) -> UUID:
    database = open_database(f"sqlite:///{settings['PARLEY_DATA_DIR']}/parley.db")
    conversation_id = Exports(database).keep(tree)
    database.dispose()
    return conversation_id


def exported(settings: Settings, *what: object) -> list[dict[str, Any]]:
    done = cli("export", *map(str, what), **settings)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()[1:]]


def test_a_file_is_written_and_taken_in_elsewhere(
    source: Settings, conversation: UUID, empty: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "harbours.jsonl"

    written = cli("export", "--conversation", str(conversation), "--output", str(file), **source)
    taken = cli("import", str(file), "--yes", **empty)
    again = cli("import", str(file), "--yes", "--json", **empty)

    assert (written.returncode, written.stdout) == (0, "")
    assert written.stderr == f"Written to {file}.\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert taken.returncode == 0, taken.stderr
    assert "added" in taken.stdout
    assert "1 conversation, 4 messages" in taken.stdout
    assert json.loads(again.stdout) == {
        "dry_run": False,
        "added": {},
        "present": {"conversation": 1, "message": 4},
        "notes": [],
    }
    assert exported(empty, "--conversation", conversation) == exported(source, "--conversation", conversation)


def test_an_installation_moves_from_sqlite_to_postgresql(source: Settings, conversation: UUID, tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    with a_postgres_database() as url:
        there = an_installation(tmp_path / "there", PARLEY_DATABASE_URL=url)
        assert cli("export", "--all", "--deleted", "-o", str(file), **source).returncode == 0

        done = cli("import", str(file), "--yes", "--json", **there)

        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        # Both have read Parley's own documentation in when they were made.
        assert report["present"]["project"] == 1
        assert report["added"]["conversation"] == 1
        assert exported(there, "--conversation", conversation) == exported(source, "--conversation", conversation)


def test_somebody_elses_things_are_given_to_an_owner(source: Settings, conversation: UUID, tmp_path: Path) -> None:
    file = tmp_path / "alice.jsonl"
    cli("export", "--principal", "user:alice", "-o", str(file), **source)

    dry = cli("import", str(file), "--owner", "user:bob", "--dry-run", **source)
    none = exported(source, "--principal", "user:bob")
    done = cli("import", str(file), "--owner", "user:bob", "--yes", **source)

    assert dry.returncode == done.returncode == 0, done.stderr
    assert "would be added" in dry.stdout
    assert "Nothing was written." in dry.stdout
    assert [record["type"] for record in none] == ["end"]
    of_bob = exported(source, "--principal", "user:bob")
    assert {record["owner"] for record in of_bob if "owner" in record} == {"user:bob"}
    assert str(conversation) not in {record.get("id") for record in of_bob}


@pytest.mark.parametrize("written_as", ["markdown", "pdf"])
def test_it_is_written_to_be_read(source: Settings, conversation: UUID, tmp_path: Path, written_as: str) -> None:
    file = tmp_path / "harbours"

    done = cli("export", "--conversation", str(conversation), "--format", written_as, "-o", str(file), **source)

    assert done.returncode == 0, done.stderr
    content = file.read_bytes()
    text = (
        content.decode() if written_as == "markdown" else pypdf.PdfReader(io.BytesIO(content)).pages[0].extract_text()
    )
    assert "Which port?" in text
    assert "Which harbour?" not in text


def test_a_font_is_taken_for_what_the_others_lack(source: Settings, tmp_path: Path) -> None:
    built_in = Path(__file__).parents[2] / "src" / "adapters" / "pdf" / "fonts" / "DejaVuSansMono.ttf"
    conversation_id = kept(source, Tree(a_conversation(ALICE, title="Fonts")))
    export = ["export", "--conversation", str(conversation_id), "--format", "pdf", "-o", str(tmp_path / "a.pdf")]
    (tmp_path / "no.ttf").write_text("no font")

    good = cli(*export, PARLEY_EXPORT_FONTS=built_in, **source)
    missing = cli(*export, PARLEY_EXPORT_FONTS=tmp_path / "none.ttf", **source)
    broken = cli(*export, PARLEY_EXPORT_FONTS=tmp_path / "no.ttf", **source)

    assert good.returncode == 0, good.stderr
    assert missing.returncode == 2
    assert missing.stderr.startswith("Error: PARLEY_EXPORT_FONTS: there is no font file")
    assert broken.returncode == 3
    assert "No PDF can be made" in broken.stderr


# What is refused


@pytest.mark.parametrize(
    "arguments",
    [
        ("export",),
        ("export", "--room", "x"),
        ("export", "--all", "--principal", "user:alice"),
        ("export", "--principal", "alice"),
        ("export", "--all", "--format", "docx"),
        ("import",),
        ("import", "/nowhere/at/all"),
        ("import", "/"),
        ("import", __file__, "--owner", "bob"),
        ("import", __file__),
    ],
)
def test_wrong_usage_is_said_in_few_words(
    source: Settings, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in source.items():
        monkeypatch.setenv(name, str(value))

    done = CliRunner().invoke(parley, arguments)

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: ")


def test_what_is_not_there_is_said_in_one_line(source: Settings, tmp_path: Path) -> None:
    unknown = "01a1ff8f-2190-7238-add8-b11359efc978"
    file = tmp_path / "out.jsonl"

    for what in ("--room", "--conversation"):
        done = cli("export", what, unknown, "-o", str(file), **source)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"Error: There is no {what[2:]} {unknown}.\n"
    assert not file.exists()


def test_a_file_that_is_no_export_is_refused_by_its_line(empty: Settings, tmp_path: Path) -> None:
    file = tmp_path / "broken.jsonl"
    file.write_text('{"format": "parley-export", "version": 1}\n{"type": "room", "id": 7}\n')

    done = cli("import", str(file), "--yes", **empty)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: line 2, room.id: Must be a text.\n"


def test_where_it_cannot_be_written_nothing_is(source: Settings, conversation: UUID, tmp_path: Path) -> None:
    done = cli("export", "--conversation", str(conversation), "-o", str(tmp_path / "no" / "where"), **source)

    assert done.returncode == 1
    assert "Cannot write to" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_has_the_name_and_is_no_file_is_written_to_and_stays(
    source: Settings, conversation: UUID, tmp_path: Path
) -> None:
    pipe, link, file = tmp_path / "pipe", tmp_path / "link", tmp_path / "file"
    os.mkfifo(pipe)
    link.symlink_to(file)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        done = [
            cli("export", "--conversation", str(conversation), "-o", str(path), **source)
            for path in (pipe, link, tmp_path)
        ]
        is_pipe = pipe.is_fifo()
        if not is_pipe:
            reader.kill()  # It would wait for ever.
        piped, _ = reader.communicate()

    assert [each.returncode for each in done] == [0, 0, 1], done
    assert done[2].stderr == f"Error: Cannot write {tmp_path}: Is a directory.\n"
    assert (is_pipe, link.is_symlink()) == (True, True)
    for content in (piped, file.read_bytes()):
        assert json.loads(content.splitlines()[-1])["type"] == "end"


def test_more_than_a_pdf_may_hold_is_refused_and_a_file_that_is_there_stays(
    source: Settings, conversation: UUID, tmp_path: Path
) -> None:
    file = tmp_path / "out"
    file.write_text("before")

    refused = cli(
        *("export", "--conversation", str(conversation), "--format", "pdf", "-o", str(file)),
        PARLEY_EXPORT_PDF_MESSAGES=1,
        **source,
    )
    before = file.read_text()
    done = cli("export", "--conversation", str(conversation), "-o", str(file), **source)

    assert (refused.returncode, before) == (1, "before")
    assert "more than 1 messages" in refused.stderr
    assert done.returncode == 0
    assert file.read_text().startswith('{"format":"parley-export"')
    assert list(tmp_path.iterdir()) == [file]


# Pipes, and Ctrl-C


def test_a_pipe_is_written_and_read(source: Settings, conversation: UUID, empty: Settings) -> None:
    def piped(settings: Settings, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([_PARLEY, *arguments], input=given, env=environment(**settings), capture_output=True)

    written = piped(source, "export", "--conversation", str(conversation))
    asked = piped(empty, "import", "-", given=written.stdout)
    taken = piped(empty, "import", "-", "--yes", "--json", given=written.stdout)

    assert asked.returncode == 2
    assert b"--yes" in asked.stderr
    assert taken.returncode == 0, taken.stderr
    assert json.loads(taken.stdout)["added"] == {"conversation": 1, "message": 4}


@pytest.fixture(scope="module")
def long(source: Settings) -> UUID:
    database = open_database(f"sqlite:///{source['PARLEY_DATA_DIR']}/parley.db")
    conversation_id = a_long_one(Exports(database), 6_000)
    database.dispose()
    return conversation_id


def test_who_stops_reading_stops_the_export(source: Settings, long: UUID) -> None:
    with subprocess.Popen(
        [_PARLEY, "export", "--conversation", str(long)],
        env=environment(**source),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as export:
        assert export.stdout is not None
        assert export.stderr is not None
        export.stdout.readline()
        export.stdout.close()
        told = export.stderr.read()
    assert export.returncode == 141
    assert told == b""


def test_ctrl_c_leaves_no_half_of_a_file(source: Settings, long: UUID, tmp_path: Path) -> None:
    file = tmp_path / "long.md"
    with subprocess.Popen(
        [_PARLEY, "export", "--conversation", str(long), "--format", "markdown", "-o", str(file)],
        env=environment(**source),
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as export:
        eventually(lambda: any(tmp_path.iterdir()))
        os.killpg(export.pid, signal.SIGINT)
        _, told = export.communicate(timeout=60)
    assert (export.returncode, list(tmp_path.iterdir())) in ((130, []), (0, [file]))
    assert b"Traceback" not in told


# Beside a server


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Any]]:
    folder = tmp_path_factory.mktemp("served")
    with production() as settings, installed(folder, **settings) as installation:
        web = installation.web()
        yield installation.settings, web


def test_what_is_imported_beside_a_server_is_shown_at_once_by_its_read_models(
    source: Settings, conversation: UUID, served: tuple[Settings, Any], tmp_path: Path
) -> None:
    settings, web = served
    file = tmp_path / "harbours.jsonl"
    cli("export", "--conversation", str(conversation), "-o", str(file), **source)
    alice = web.user("alice")

    done = cli("import", str(file), "--yes", **settings)

    assert done.returncode == 0, done.stderr
    assert [message["content"] for message in alice.messages(str(conversation))] == ["Which port?", "So."]
    assert alice.data("GET", "/search", params={"q": "port"})["total"] == 1
    verified = cli("projections", "verify", **settings)
    assert (verified.returncode, verified.stdout) == (0, "No difference.\n"), verified


def test_what_is_imported_beside_a_running_process_of_its_own_goes_on(
    source: Settings, conversation: UUID, tmp_path: Path
) -> None:
    file = tmp_path / "harbours.jsonl"
    cli("export", "--conversation", str(conversation), "-o", str(file), **source)
    with running(tmp_path / "data") as web:
        done = cli("import", str(file), "--yes", **web.settings)
        alice = web.user("alice")

        again = alice.answer(str(conversation), "And now?")

        assert done.returncode == 0, done.stderr
        assert again["status"] == "completed"
        assert [message["position"] for message in alice.messages(str(conversation))] == [1, 2, 3, 4]
