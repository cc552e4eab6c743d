"""`parley` as operators use it, beside a running server and without one."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path

import pytest

from tests.parley_process import Client, ParleyProcess, cli


def run(parley: ParleyProcess, *arguments: str) -> str:
    """The command's output; fails when the command does."""
    done = cli(*arguments, **parley.settings)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_deleted_room_is_listed_and_restored(parley: ParleyProcess, visitor: Client) -> None:
    room = visitor.room("Lost and found")
    visitor.answer(visitor.conversation(room_id=room), "Hello")
    visitor.data("DELETE", f"/rooms/{room}")

    deleted = run(parley, "rooms", "list", "--deleted")
    restored = run(parley, "rooms", "restore", room)

    line = next(line for line in deleted.splitlines() if room in line)
    assert re.search(r"visitor:\S+ +Lost and found +1 +2 +\d{4}-\d\d-\d\d \d\d:\d\d", line)
    assert "Restored the room 'Lost and found'" in restored
    assert visitor.data("GET", f"/rooms/{room}")["message_count"] == 2


def test_rooms_are_listed_by_owner(parley: ParleyProcess, visitor: Client) -> None:
    visitor.room("Mine")
    alice = parley.user("alice-of-the-cli")
    alice.room("Alice's")

    listed = run(parley, "rooms", "list", "--owner", "user:alice-of-the-cli")

    assert "Alice's" in listed
    assert "Mine" not in listed
    assert "1 of 1" in listed


def test_a_deleted_conversation_is_restored(parley: ParleyProcess, visitor: Client) -> None:
    conversation = visitor.conversation(title="Old talk")
    visitor.data("DELETE", f"/conversations/{conversation}")

    restored = run(parley, "conversations", "restore", conversation)

    assert "Restored the conversation 'Old talk'" in restored
    assert visitor.data("GET", f"/conversations/{conversation}")["title"] == "Old talk"


KINDS = {"rooms": "room", "conversations": "conversation", "job-analyses": "job analysis"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_restored_is_said_in_a_line(parley: ParleyProcess, kind: str) -> None:
    unknown = cli(kind, "restore", str(uuid.uuid4()), **parley.settings)
    malformed = cli(kind, "restore", "abc", **parley.settings)

    assert unknown.returncode == 1
    assert unknown.stderr.startswith(f"Error: There is no {KINDS[kind]} ")
    assert unknown.stderr.count("\n") == 1
    assert malformed.returncode == 2


def test_an_issued_token_speaks_for_its_user_and_roles(parley: ParleyProcess) -> None:
    admin = parley.user("operator", "admin")

    assert admin.data("GET", "/rooms")["total"] == 0


@pytest.mark.parametrize("arguments", [("--user", ""), ("--user", "x" * 201), ("--user", "x", "--hours", "0"), ()])
def test_a_token_needs_a_user_and_a_time(parley: ParleyProcess, arguments: tuple[str, ...]) -> None:
    assert cli("token", "issue", *arguments, **parley.settings).returncode == 2


def test_reaping_finds_nothing_where_all_is_well(parley: ParleyProcess) -> None:
    assert run(parley, "replies", "reap") == "0 reaped.\n"


def test_the_doctor_names_every_part_that_answers(parley: ParleyProcess) -> None:
    report = run(parley, "doctor")

    for part, answer in (
        ("schema", "up to date"),
        ("database", r"(SQLite 3|PostgreSQL)"),
        ("model", "test-model at http"),
    ):
        assert re.search(rf"^ *{part} +ok +{answer}", report, re.MULTILINE), report


def test_the_doctor_names_every_part_that_does_not(data_dir: Path) -> None:
    data_dir.mkdir()

    sick = cli("doctor", PARLEY_DATA_DIR=data_dir, OPENAI_BASE_URL="http://127.0.0.1:9/v1")

    assert sick.returncode == 1
    assert re.search(
        r"^schema +failed +There is no database .*parley\.db yet\. Run: parley migrate$", sick.stdout, re.MULTILINE
    )
    assert re.search(r"^model +failed +The model's server cannot be reached", sick.stdout, re.MULTILINE)
    assert list(data_dir.iterdir()) == []
    assert "Traceback" not in sick.stdout + sick.stderr


def test_the_doctor_names_projects_of_agents_that_are_not_there(data_dir: Path, tmp_path: Path) -> None:
    agents = tmp_path / "agents.toml"
    agents.write_text(
        'built_in = false\n[agents.guide]\ndescription = "Guides"\ninstructions = "Guide."\n'
        'knowledge = ["parley", "handbook"]\n[agents.poet]\ndescription = "Rhymes"\ninstructions = "Rhyme."\n'
    )
    settings: dict[str, object] = {"PARLEY_DATA_DIR": data_dir, "PARLEY_AGENTS_FILE": agents}
    before = cli("doctor", "--json", PARLEY_DATA_DIR=tmp_path, PARLEY_AGENTS_FILE=agents)
    assert cli("migrate", **settings).returncode == 0

    after = cli("doctor", **settings)

    parts = {part["part"]: part["ok"] for part in json.loads(before.stdout)["parts"]}
    assert not parts["agents"]
    assert after.returncode == 0
    assert re.search(
        r"^agents +ok +2 agents \(there is no such project: guide names handbook\)$", after.stdout, re.MULTILINE
    )


@pytest.mark.parametrize("arguments", [("doctor",), ("rooms", "list"), ("token", "issue", "--user", "x")])
def test_a_command_in_the_wrong_place_makes_nothing_there(data_dir: Path, arguments: tuple[str, ...]) -> None:
    lost = cli(*arguments, PARLEY_DATA_DIR=data_dir)

    assert lost.returncode == 2
    assert lost.stderr.startswith(f"Error: PARLEY_DATA_DIR: there is no folder {data_dir}. ")
    assert not data_dir.exists()


def test_migrating_goes_up_and_down(data_dir: Path) -> None:
    up = cli("migrate", PARLEY_DATA_DIR=data_dir)
    down = cli("migrate", "--down-to", "base", "--yes", PARLEY_DATA_DIR=data_dir)
    nowhere = cli("migrate", "--to", "nowhere", PARLEY_DATA_DIR=data_dir)

    assert up.stdout == "The database is at revision 0005.\n"
    assert down.stdout == "The database is at revision none.\n"
    assert nowhere.returncode != 0
    assert "Traceback" not in nowhere.stderr


@pytest.mark.parametrize("arguments", [(), ("serve",), ("rooms",), ("rooms", "list"), ("token", "issue"), ("doctor",)])
def test_every_command_explains_itself(arguments: tuple[str, ...]) -> None:
    explained = cli(*arguments, "--help")

    assert explained.returncode == 0
    assert "Usage: parley" in explained.stdout
