"""`parley knowledge` and `parley projects`, beside a running server and without one."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.model_server import MODEL, ModelServer
from tests.parley_process import ParleyProcess, Process, cli, running
from tests.waiting import eventually

Settings = dict[str, object]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """An installation that nobody serves."""
    settings: Settings = {"PARLEY_DATA_DIR": tmp_path_factory.mktemp("installation")}
    assert cli("migrate", **settings).returncode == 0
    return settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files to read in, and some that are passed over."""
    (tmp_path / "guides" / ".git").mkdir(parents=True)
    (tmp_path / "index.md").write_text("# Harbours\n\nThe old harbour of Genoa was built by Renzo Piano.\n")
    (tmp_path / "guides" / "depth.TXT").write_text("It is twelve metres deep.\n")
    (tmp_path / "guides" / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / "guides" / ".git" / "config.txt").write_text("hidden\n")
    (tmp_path / ".hidden.md").write_text("hidden\n")
    return tmp_path


def ingest(settings: Settings, *arguments: object, status: int = 0) -> dict[str, Any]:
    """What the command says it did."""
    done = cli("knowledge", "ingest", *map(str, arguments), "--json", **settings)
    assert done.returncode == status, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


def documents(settings: Settings, *arguments: str) -> dict[str, dict[str, Any]]:
    done = cli("knowledge", "list", *arguments, "--limit", "1000", "--json", **settings)
    assert done.returncode == 0, done.stderr
    return {document["name"]: document for document in json.loads(done.stdout)["items"]}


def test_a_folder_is_read_in_and_later_only_what_has_changed(settings: Settings, folder: Path) -> None:
    first = ingest(settings, folder, "--project", "harbours")
    again = ingest(settings, folder, "--project", "harbours")
    (folder / "index.md").write_text("# Harbours\n\nNothing more.\n")
    (folder / "new.html").write_text("<p>New</p>")
    (folder / "guides" / "depth.TXT").unlink()
    changed = ingest(settings, folder, "--project", "harbours")
    kept = documents(settings, "--project", "harbours")
    pruned = ingest(settings, folder, "--project", "harbours", "--prune")

    assert (first["added"], first["failed"]) == (["guides/depth.TXT", "index.md"], [])
    assert (again["added"], again["replaced"], again["unchanged"]) == ([], [], ["guides/depth.TXT", "index.md"])
    assert (changed["added"], changed["replaced"], changed["deleted"]) == (["new.html"], ["index.md"], [])
    assert {name: document["status"] for name, document in kept.items()} == {
        "guides/depth.TXT": "ready",
        "index.md": "ready",
        "new.html": "ready",
    }
    assert pruned["deleted"] == ["guides/depth.TXT"]
    assert set(documents(settings, "--project", "harbours", "--deleted")) == {"guides/depth.TXT"}


def test_text_of_all_kinds_is_read_of_a_folder_and_what_is_passed_over_is_named(
    settings: Settings, folder: Path
) -> None:
    read = {
        "d.json": '{"harbour": "Genoa"}',
        "t.csv": "port,depth\nGenoa,12\n",
        "r.rst": "Ports\n=====\n",
        "c.py": "x = 1",
    }
    for name, text in read.items():
        (folder / name).write_text(text)
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "index.js").write_text("x")

    outcome = ingest(settings, folder, "--project", "kinds")
    told = cli("knowledge", "ingest", str(folder), "--project", "kinds", **settings)

    assert sorted(outcome["added"]) == sorted([*read, "guides/depth.TXT", "index.md"])
    assert {passed["name"]: passed["code"] for passed in outcome["passed_over"]} == {
        "guides/picture.png": "type_not_read",
        "node_modules": "folder_not_read",
    }
    assert told.returncode == 0
    assert [line.split(":")[0] for line in told.stderr.splitlines()] == ["guides/picture.png", "node_modules"]
    assert told.stdout == "Project kinds: 0 added, 0 replaced, 6 unchanged, 0 deleted, 0 failed, 2 passed over.\n"


def test_links_that_lead_out_of_a_folder_are_not_followed(
    settings: Settings, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    secrets = tmp_path_factory.mktemp("elsewhere")
    (secrets / "secret.txt").write_text("The launch code is zebra42.\n")
    (folder / "out.txt").symlink_to(secrets / "secret.txt")
    (folder / "folder").symlink_to(secrets)
    (folder / "nowhere.txt").symlink_to(secrets / "nothing.txt")
    (folder / "inside.md").symlink_to(folder / "index.md")

    outcome = ingest(settings, folder, "--project", "links")

    assert outcome["added"] == ["guides/depth.TXT", "index.md", "inside.md"]
    assert {passed["name"]: passed["code"] for passed in outcome["passed_over"]} == {
        "folder": "link_to_folder",
        "guides/picture.png": "type_not_read",
        "nowhere.txt": "no_file",
        "out.txt": "link_leads_out",
    }
    assert ingest(settings, folder / "out.txt", "--project", "links")["added"] == ["out.txt"]


def test_a_file_that_had_failed_is_tried_again(settings: Settings, tmp_path: Path, model: ModelServer) -> None:
    (tmp_path / "depth.md").write_text("Twelve metres.\n")
    (tmp_path / "new.md").write_text("Old.\n")
    refusing = settings | {"OPENAI_BASE_URL": model.url, "PARLEY_EMBEDDING_MODEL": "embed-nan"}

    failed = ingest(refusing, tmp_path, "--project", "again", status=1)
    (tmp_path / "new.md").write_text("New.\n")
    again = ingest(settings, tmp_path, "--project", "again")

    assert sorted(failure["name"] for failure in failed["failed"]) == ["depth.md", "new.md"]
    assert (again["retried"], again["replaced"], again["failed"]) == (["depth.md"], ["new.md"], [])


def test_a_project_that_is_made_is_public_unless_it_is_to_be_private(settings: Settings, folder: Path) -> None:
    ingest(settings, folder / "index.md")
    ingest(settings, folder / "index.md", "--project", "alices-own", "--private", "--owner", "user:alice")

    listed = json.loads(cli("projects", "list", "--json", **settings).stdout)["items"]
    table = cli("projects", "list", "--owner", "user:alice", **settings).stdout

    found = {project["key"]: (project["owner"], project["visibility"], project["name"]) for project in listed}
    assert found["documents"] == ("user:parley", "public", "Documents")
    assert found["alices-own"] == ("user:alice", "private", "Alices own")
    assert "alices-own" in table
    assert "1 of 1" in table


def test_a_file_that_cannot_be_read_is_said_and_stops_no_other(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7\nno")
    (tmp_path / "empty.md").touch()
    (tmp_path / "good.md").write_text("# Good\n\nText.\n")

    outcome = ingest(settings, tmp_path, "--project", "mixed", status=1)
    told = cli("knowledge", "ingest", str(tmp_path), "--project", "mixed", **settings)

    assert {failure["name"]: failure["code"] for failure in outcome["failed"]} == {
        "broken.pdf": "document_broken",
        "empty.md": "validation_failed",
    }
    assert documents(settings, "--project", "mixed")["good.md"]["status"] == "ready"
    assert told.returncode == 1
    assert [line.split(":")[0] for line in told.stderr.splitlines()] == ["broken.pdf", "empty.md"]
    assert (outcome["added"], outcome["replaced"], outcome["retried"]) == (["good.md"], [], [])
    assert told.stdout == "Project mixed: 0 added, 0 replaced, 1 unchanged, 0 deleted, 2 failed.\n"


def test_a_file_that_is_too_large_is_refused_before_it_fills_the_memory(settings: Settings, tmp_path: Path) -> None:
    with (tmp_path / "huge.md").open("wb") as huge:
        huge.truncate(2**40)  # A terabyte that takes no room.
    (tmp_path / "good.md").write_text("# Good\n\nText.\n")

    outcome = ingest(settings, tmp_path, "--project", "sizes", status=1)

    assert outcome["added"] == ["good.md"]
    (failure,) = outcome["failed"]
    assert (failure["name"], failure["code"]) == ("huge.md", "validation_failed")
    assert failure["message"] == "file: Must be at most 10,485,760 bytes, but has 1,099,511,627,776."


def test_what_files_are_called_reaches_no_terminal_raw(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "odd\x1b[31m.md").touch()

    told = cli("knowledge", "ingest", str(tmp_path), "--project", "odd", **settings)

    assert told.returncode == 1
    assert told.stderr.startswith(r"odd\x1b[31m.md: ")
    assert "\x1b" not in told.stderr + told.stdout


def test_a_file_whose_name_is_no_text_is_read_in_all_the_same(settings: Settings, tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.md")).write_text("# Menu\n\nEspresso.\n")
    (tmp_path / "good.md").write_text("# Good\n\nText.\n")

    outcome = ingest(settings, tmp_path, "--project", "names")

    assert outcome["added"] == ["caf\ufffd.md", "good.md"]
    assert documents(settings, "--project", "names")["caf\ufffd.md"]["status"] == "ready"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_said(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("x")
    (tmp_path / "secret.md").chmod(0)

    assert ingest(settings, tmp_path, "--project", "secret", status=1)["failed"][0]["code"] == "file_unreadable"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nowhere.md",),
        ("index.md", "guides/index.md"),
        ("index.md", "--owner", "alice"),
        ("index.md", "--owner", "visitor:alice"),
        ("index.md", "--private"),
        ("empty", "--prune"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: Settings, folder: Path, arguments: tuple[str, ...]) -> None:
    (folder / "guides" / "index.md").write_text("Another.")
    (folder / "empty").mkdir()
    given = [str(folder / one) if one.endswith(("md", "empty")) else one for one in arguments]

    done = cli("knowledge", "ingest", *given, **settings)

    assert done.returncode == 2
    assert "Error" in done.stderr


def test_a_key_that_is_none_is_refused(settings: Settings, folder: Path) -> None:
    done = cli("knowledge", "ingest", str(folder / "index.md"), "--project", "No Key", **settings)

    assert (done.returncode, done.stderr.startswith("Error: key: ")) == (1, True)


def test_a_document_is_shown_deleted_restored_and_read_in_again(settings: Settings, folder: Path) -> None:
    ingest(settings, folder, "--project", "one")
    document = documents(settings, "--project", "one")["index.md"]["id"]

    shown = cli("knowledge", "show", document, **settings)
    as_json = json.loads(cli("knowledge", "show", document, "--json", **settings).stdout)
    deleted = cli("knowledge", "delete", document, **settings)
    gone = cli("knowledge", "show", document, **settings)
    restored = cli("knowledge", "restore", document, **settings)
    again = cli("knowledge", "reingest", document, **settings)
    table = cli("knowledge", "list", "--project", "one", **settings)

    assert "title          Harbours" in shown.stdout
    assert as_json["name"] == "index.md"
    assert deleted.stdout == "Deleted the document 'index.md' of user:parley.\n"
    assert (gone.returncode, "deleted" in gone.stdout) == (0, True)
    assert restored.stdout == "Restored the document 'index.md' of user:parley.\n"
    assert again.stdout == "index.md: ready, 1 passages.\n"
    assert table.stdout.splitlines()[-1] == "2 of 2"


def test_a_deleted_project_is_restored(settings: Settings, parley: ParleyProcess, folder: Path) -> None:
    alice = parley.user("alice-of-the-projects")
    project = alice.data("POST", "/projects", {"name": "Lost"})["id"]
    alice.data("DELETE", f"/projects/{project}")

    restored = cli("projects", "restore", project, **parley.settings)

    assert restored.stdout == "Restored the project 'Lost' of user:alice-of-the-projects.\n"
    assert alice.data("GET", f"/projects/{project}")["name"] == "Lost"


def test_beside_a_running_server_each_document_is_read_in_once(parley: ParleyProcess, folder: Path) -> None:
    """The server wants to do the same jobs."""
    for number in range(20):
        (folder / f"{number}.md").write_text(f"# Part {number}\n\nText of part {number}.\n")

    outcome = ingest(parley.settings, folder, "--project", "beside")

    assert (len(outcome["added"]), outcome["failed"], outcome["put_off"]) == (22, [], [])
    kept = documents(parley.settings, "--project", "beside")
    assert {(document["status"], document["progress"] is None) for document in kept.values()} == {("ready", True)}
    visitor = parley.visitor()
    assert visitor.data("GET", f"/documents/{kept['3.md']['id']}")["passage_count"] == 1


def test_without_waiting_it_is_left_to_the_server(data_dir: Path, folder: Path) -> None:
    with running(data_dir) as parley:
        assert ingest(parley.settings, folder, "--no-wait", "--project", "later")["added"]

        visitor = parley.visitor()
        path = "/projects?visible=true&sort_by=created_at"
        (later, *_) = visitor.data("GET", path)["items"]

        def settled() -> list[str] | None:
            kept = visitor.data("GET", f"/documents?project_id={later['id']}")["items"]
            done = all(document["progress"] is None for document in kept)
            return [document["status"] for document in kept] if done else None

        assert later["key"] == "later"
        assert eventually(settled) == ["ready", "ready"]


def test_an_embedding_model_that_is_away_does_not_hold_anybody_up(
    model: ModelServer, folder: Path, data_dir: Path
) -> None:
    away = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "PARLEY_EMBEDDING_MODEL": MODEL, "PARLEY_DATA_DIR": data_dir}
    assert cli("migrate", **away).returncode == 0

    outcome = ingest(away, folder / "index.md", "--project", "away")

    assert [waiting["name"] for waiting in outcome["put_off"]] == ["index.md"]
    document = documents(away, "--project", "away")["index.md"]
    assert (document["status"], document["embedded"]) == ("ready", False)
    near = away | {"OPENAI_BASE_URL": model.url}
    assert ingest(near, folder / "index.md", "--project", "near")["put_off"] == []
    assert documents(near, "--project", "near")["index.md"]["embedded"]
    for other in ({"PARLEY_EMBEDDING_MODEL": "another"}, {"PARLEY_EMBEDDING_MODEL": ""}):
        assert not documents(near | other, "--project", "near")["index.md"]["embedded"]


def test_what_a_killed_command_has_left_is_taken_up_by_the_next(settings: Settings, tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"{number}.md").write_text(f"# Part {number}\n\nText of part {number}.\n")
    command = Process("knowledge", "ingest", str(tmp_path), "--project", "killed", **settings)
    database = sqlite3.connect(f"{settings['PARLEY_DATA_DIR']}/parley.db")
    begun = "SELECT count(*) FROM documents JOIN projects ON projects.id = project_id WHERE key = 'killed'"
    command.launch()
    eventually(lambda: database.execute(begun).fetchone()[0] >= 3)
    command.kill()
    (left,) = database.execute(begun).fetchone()
    database.close()

    outcome = ingest(settings, tmp_path, "--project", "killed")

    assert left < 60
    assert (len(outcome["added"]), len(outcome["unchanged"]), outcome["failed"]) == (60 - left, left, [])
    kept = documents(settings, "--project", "killed")
    assert {document["status"] for document in kept.values()} == {"ready"}
    assert len(kept) == 60
