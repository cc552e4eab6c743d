"""Every command of `parley`, one by one: what it says of itself, and what it does where something is wrong."""

from __future__ import annotations

import json
import re
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import click
import pytest
from sqlalchemy.exc import OperationalError

from adapters.sql.engine import open_database
from entrypoints.cli import parley as everything
from entrypoints.cli.settings import is_secret
from tests.commands import Commands, commands
from tests.servers import a_postgres_database

UNKNOWN = str(uuid.uuid4())

_BY_ID = ("show", "delete", "restore", "purge", "reingest", "cancel", "close", "messages")

ARGUMENTS: dict[str, tuple[str, ...]] = {
    "cleanup": ("--dry-run",),
    "erase": ("--principal", "user:alice", "--yes"),
    "export": ("--room", UNKNOWN),
    "import": ("nowhere.jsonl",),
    "knowledge ingest": (__file__,),
    "knowledge search": ("Anything?",),
    "token issue": ("--user", "alice"),
    "completion": ("bash",),
}
"""What a command needs to get to work."""

WITHOUT_A_DATABASE = {"cache clear", "cache stats", "completion", "doctor", "settings", "token issue", "token show"}
ALL_BY_THEMSELVES = {"migrate", "scheduler", "serve", "worker"}
"""They make, or wait for, what is not there."""

ELSEWHERE = {"export", "import"}
"""What they do without a database depends on their files; see their own tests."""


def tree(command: click.Command = everything, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command that is shown, by what one types."""
    if not isinstance(command, click.Group):
        yield " ".join(path), command
        return
    for name, inner in command.commands.items():
        if not inner.hidden:
            yield from tree(inner, (*path, name))


COMMANDS = dict(tree())
ON_THE_DATABASE = sorted(COMMANDS.keys() - WITHOUT_A_DATABASE - ALL_BY_THEMSELVES - ELSEWHERE)
BY_ID = [path for path in ON_THE_DATABASE if path.split()[-1] in _BY_ID]
LISTS = [path for path in ON_THE_DATABASE if path.endswith(" list")]


def typed(path: str, thing: str = UNKNOWN) -> list[str]:
    """A command with what it needs."""
    wanted = ARGUMENTS.get(path, (thing,) if path in BY_ID else ())
    yes = ["--yes"] if any("--yes" in option.opts for option in COMMANDS[path].params) else []
    return [*path.split(), *wanted, *(each for each in yes if each not in wanted)]


@pytest.fixture(scope="module")
def run() -> Iterator[Commands]:
    with commands() as run:
        yield run


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def settings(
    request: pytest.FixtureRequest, run: Commands, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, object]]:
    """An installation that nobody serves and nobody has used."""
    settings: dict[str, object] = {"PARLEY_DATA_DIR": tmp_path_factory.mktemp("installation")}
    if request.param == "sqlite":
        assert run("migrate", **settings).returncode == 0
        yield settings
        return
    with a_postgres_database() as url:
        settings["PARLEY_DATABASE_URL"] = url
        assert run("migrate", **settings).returncode == 0
        yield settings


@pytest.mark.parametrize("path", COMMANDS)
def test_a_command_explains_itself(path: str, run: Commands) -> None:
    command = COMMANDS[path]

    told = run(*path.split(), "--help")

    assert told.returncode == 0
    assert told.stdout.startswith(f"Usage: parley {path} ")
    first = (command.help or "").split("\n")[0]
    assert re.fullmatch(r"[A-Z][^.]{3,78}\.", first), first
    assert any(f"parley {path}" in example for example in getattr(command, "examples", ()))
    assert "Examples:" in told.stdout
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.opts
            assert parameter.opts[0] in told.stdout
        else:
            assert parameter.make_metavar(click.Context(command)).strip("[].") in told.stdout


def test_all_commands_are_listed_by_topic(run: Commands) -> None:
    listed = run("--help").stdout

    for name in everything.commands:
        assert re.search(rf"^  {name}  +[A-Z].*\.$", listed, re.MULTILINE), name
    assert "Exit codes:" in listed


def test_the_commands_page_has_every_command_and_every_option() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()

    for path, command in COMMANDS.items():
        assert f"`parley {path}" in page or re.search(rf"^#+ .*parley {path}\b", page, re.MULTILINE), path
        for option in command.params:
            if isinstance(option, click.Option) and option.name not in ("limit", "offset", "sort_by", "ascending"):
                assert f"`{option.opts[0]}" in page, (path, option.opts)


def test_what_former_versions_called_otherwise_goes_on(run: Commands, settings: dict[str, object]) -> None:
    now, then = (run(group, "list", "--json", **settings) for group in ("documents", "knowledge"))

    assert now.returncode == 0
    assert now.stdout == then.stdout
    assert "reingest" not in run("knowledge", "--help").stdout


@pytest.mark.parametrize("path", sorted(COMMANDS.keys() - {"serve", "worker", "scheduler", "export", "completion"}))
def test_a_command_can_be_asked_for_json(path: str) -> None:
    assert any("--json" in option.opts for option in COMMANDS[path].params)


def test_lists_are_json_of_one_shape(run: Commands, settings: dict[str, object]) -> None:
    for path in LISTS:
        done = run(*path.split(), "--limit", "7", "--offset", "3", "--json", **settings)

        assert done.returncode == 0, (path, done.stderr)
        page = json.loads(done.stdout)
        assert list(page) == ["items", "total", "limit", "offset"], path
        assert (page["limit"], page["offset"]) == (7, 3)


def test_what_is_printed_for_programs_is_one_json_document(run: Commands, settings: dict[str, object]) -> None:
    for path in ("status", "doctor", "settings", "replies reap", "token issue", "knowledge search"):
        done = run(*typed(path), "--json", **settings)

        assert done.returncode == 0, (path, done.stderr)
        assert json.loads(done.stdout), path


def test_an_id_that_is_none_is_wrong_usage(run: Commands, settings: dict[str, object]) -> None:
    for path in BY_ID:
        done = run(*typed(path, "abc\x1b[31m"), **settings)

        assert done.returncode == 2, path
        assert re.search(r"Invalid value for '\w+_ID': 'abc\\x1b\[31m' is not a valid UUID", done.stderr), path
        assert done.stdout == ""


def test_an_id_that_nothing_has_is_said_in_a_line(run: Commands, settings: dict[str, object]) -> None:
    for path in BY_ID:
        done = run(*typed(path), **settings)

        group = path.split()[0]
        kind = {"replies": "reply", "job-analyses": "job analysis"}.get(group, group.removesuffix("s"))
        assert (done.returncode, done.stdout) == (1, ""), path
        assert done.stderr == f"Error: There is no {kind} {UNKNOWN}.\n", path


def test_a_folder_that_is_not_there_is_not_made(run: Commands, tmp_path: Path) -> None:
    for path in sorted(COMMANDS.keys() - ALL_BY_THEMSELVES - ELSEWHERE - {"completion"}):
        done = run(*typed(path), PARLEY_DATA_DIR=tmp_path / "nowhere")

        assert (done.returncode, done.stdout) == (2, ""), path
        assert done.stderr.startswith(f"Error: PARLEY_DATA_DIR: there is no folder {tmp_path / 'nowhere'}. "), path
        assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_not_there_is_not_made(run: Commands, tmp_path: Path) -> None:
    for path in ON_THE_DATABASE:
        done = run(*typed(path), PARLEY_DATA_DIR=tmp_path)

        missing = f"Error: There is no database {tmp_path / 'parley.db'} yet. Run: parley migrate\n"
        assert (done.returncode, done.stdout, done.stderr) == (1, "", missing), path
    for path in ("settings", "doctor", "token issue", "token show"):
        run(*typed(path), PARLEY_DATA_DIR=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_secret_that_is_not_there_is_not_made_for_a_token(run: Commands, tmp_path: Path) -> None:
    done = run("token", "issue", "--user", "alice", PARLEY_DATA_DIR=tmp_path)

    assert done.returncode == 2
    assert done.stderr.startswith("Error: PARLEY_SECRET_KEY: is not set, and there is no secret in ")


def test_a_half_migrated_database_is_said_with_what_mends_it(run: Commands, tmp_path: Path) -> None:
    assert run("migrate", "--to", "0002", PARLEY_DATA_DIR=tmp_path).returncode == 0

    for path in ON_THE_DATABASE:
        done = run(*typed(path), PARLEY_DATA_DIR=tmp_path)

        assert (done.returncode, done.stdout) == (1, ""), path
        assert re.fullmatch(r"Error: The database is at revision 0002, .* Run: parley migrate\n", done.stderr), path


def test_a_database_of_a_newer_parley_is_left_alone(run: Commands, tmp_path: Path) -> None:
    assert run("migrate", PARLEY_DATA_DIR=tmp_path).returncode == 0
    with sqlite3.connect(tmp_path / "parley.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()

    for path in [*ON_THE_DATABASE, "migrate"]:
        done = run(*typed(path), PARLEY_DATA_DIR=tmp_path)

        assert (done.returncode, done.stdout) == (1, ""), path
        assert done.stderr.startswith("Error: The database is at revision 9999, which this version"), path
        assert done.stderr.count("\n") == 1


LACKING = {
    "ALTER TABLE sessions RENAME TO sittings": "it has no table sessions",
    "ALTER TABLE rooms RENAME COLUMN name TO title": "it has no column rooms.name",
}


def test_a_database_that_lacks_what_its_revision_has_is_said_in_a_line(run: Commands, tmp_path: Path) -> None:
    assert run("migrate", PARLEY_DATA_DIR=tmp_path).returncode == 0
    with sqlite3.connect(tmp_path / "parley.db") as database:
        database.execute("DROP TABLE sessions")
    database.close()

    for path in ON_THE_DATABASE:
        done = run(*typed(path), PARLEY_DATA_DIR=tmp_path)

        assert (done.returncode, done.stdout) == (1, ""), path
        assert done.stderr == (
            "Error: The database is not as its revision says: it has no table sessions. Restore a backup.\n"
        ), path


@pytest.mark.parametrize("change", LACKING)
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_the_doctor_says_what_a_database_lacks(change: str, database: str, run: Commands, tmp_path: Path) -> None:
    with a_postgres_database() if database == "postgres" else nullcontext(f"sqlite:///{tmp_path}/a.db") as url:
        settings = {"PARLEY_DATA_DIR": tmp_path, "PARLEY_DATABASE_URL": url}
        assert run("migrate", **settings).returncode == 0
        assert json.loads(run("doctor", "--json", **settings).stdout)["parts"][0]["ok"]
        changed = open_database(url)
        with changed.writing() as connection:
            connection.exec_driver_sql(change)
            connection.commit()
        changed.dispose()

        done = run("doctor", "--json", **settings)

    assert done.returncode == 1
    found = {part["part"]: part for part in json.loads(done.stdout)["parts"]}
    assert not found["schema"]["ok"]
    assert LACKING[change] in found["schema"]["answer"]


def test_what_goes_missing_from_a_database_meanwhile_is_not_called_away(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/a.db")

    for statement in ("SELECT 1 FROM nowhere", "SELECT absent FROM sqlite_master"):
        with pytest.raises(OperationalError, match="no such"), database.reading() as connection:
            connection.exec_driver_sql(statement)

    database.dispose()


def test_a_server_that_does_not_answer_is_said_in_a_line(run: Commands, tmp_path: Path) -> None:
    away = {"PARLEY_DATA_DIR": tmp_path, "PARLEY_DATABASE_URL": "postgresql://parley:secret@127.0.0.1:9/parley"}

    for path in ON_THE_DATABASE:
        done = run(*typed(path), **away)

        assert (done.returncode, done.stdout) == (3, ""), path
        assert re.fullmatch(r"Error: PARLEY_DATABASE_URL: PostgreSQL at [^\n]* does not answer: [^\n]*\n", done.stderr)
        assert "secret" not in done.stderr


def test_other_servers_that_do_not_answer_are_only_said(run: Commands, tmp_path: Path) -> None:
    away = {
        "PARLEY_DATA_DIR": tmp_path,
        "PARLEY_MONGO_URL": "mongodb://127.0.0.1:9/parley?serverSelectionTimeoutMS=50",
        "PARLEY_REDIS_URL": "redis://127.0.0.1:9",
    }
    assert run("migrate", **(away | {"PARLEY_MONGO_URL": "", "PARLEY_REDIS_URL": ""})).returncode == 0

    listed = run("rooms", "list", "--json", **away)
    verified = run("projections", "verify", **away)
    known = run("projections", "status", **away)
    cached = run("cache", "stats", **away)

    assert (listed.returncode, json.loads(listed.stdout)["total"]) == (0, 0)
    assert "Going on without it" in listed.stderr
    assert [done.returncode for done in (verified, known, cached)] == [3, 1, 3]
    assert "cannot be reached" in known.stdout
    assert "Traceback" not in listed.stderr + verified.stderr + known.stderr + cached.stderr


def test_a_wrong_setting_is_said_in_a_line(run: Commands, tmp_path: Path) -> None:
    for path in ("rooms list", "settings", "doctor", "token issue"):
        unknown = run(*typed(path), PARLEY_DATA_DIR=tmp_path, PARLEY_LIMTI_ROOMS=3)

        assert (unknown.returncode, unknown.stdout) == (2, ""), path
        assert unknown.stderr.startswith("Error: PARLEY_LIMTI_ROOMS: there is no such setting.")


@pytest.mark.parametrize("owner", ["alice", "user:", "group:alice", "", "user:" + "x" * 201, "visitor"])
def test_an_owner_that_is_nobody_is_wrong_usage(owner: str, run: Commands, tmp_path: Path) -> None:
    for path in LISTS:
        if any("--owner" in parameter.opts for parameter in COMMANDS[path].params):
            done = run(*path.split(), "--owner", owner, PARLEY_DATA_DIR=tmp_path)

            assert (done.returncode, done.stdout) == (2, ""), path
            assert "--owner" in done.stderr


@pytest.mark.parametrize(
    ("user", "told"), [("user:alice", "issued by the id alone: --user alice"), ("visitor:x", "a visitor is no user")]
)
def test_a_token_is_not_issued_to_a_user_who_is_called_as_an_owner_is(
    user: str, told: str, run: Commands, tmp_path: Path
) -> None:
    done = run("token", "issue", "--user", user, PARLEY_DATA_DIR=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr


def test_a_text_that_is_none_is_wrong_usage(run: Commands, tmp_path: Path) -> None:
    for arguments in (
        ("documents", "list", "--project", "caf\udce9"),
        ("knowledge", "ingest", __file__, "--project", "caf\udce9"),
        ("knowledge", "search", "caf\udce9"),
        ("rooms", "list", "--owner", "user:caf\udce9"),
        ("token", "issue", "--user", "caf\udce9"),
    ):
        done = run(*arguments, PARLEY_DATA_DIR=tmp_path)

        assert done.returncode == 2, arguments
        assert "b'" in done.stderr
        assert "is not UTF-8" in done.stderr


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x"])
def test_a_page_has_bounds(limit: str, run: Commands, tmp_path: Path) -> None:
    for path in LISTS:
        assert run(*path.split(), "--limit", limit, PARLEY_DATA_DIR=tmp_path).returncode == 2, path


def test_what_cannot_be_undone_needs_a_yes_where_nobody_can_be_asked(
    run: Commands, settings: dict[str, object]
) -> None:
    done = run("migrate", "--down-to", "base", **settings)

    assert (done.returncode, done.stdout) == (2, "")
    assert "--yes" in done.stderr
    assert run("rooms", "list", **settings).returncode == 0


def test_going_back_says_what_it_removes(run: Commands, tmp_path: Path) -> None:
    for revision, lost in (("base", "everything in it"), ("0004", "what has no place in that one")):
        done = run("migrate", "--down-to", revision, PARLEY_DATA_DIR=tmp_path)

        assert done.returncode == 2
        assert f"Going back to revision {revision} removes for good {lost}. There is no terminal" in done.stderr


def test_secrets_are_not_among_the_settings_that_are_shown(run: Commands, tmp_path: Path) -> None:
    secret = "s3cret-" * 6
    given = {
        "PARLEY_DATA_DIR": tmp_path,
        "PARLEY_DATABASE_URL": "postgresql://parley:pass@word@db.example:5432/parley?sslpassword=in-query",
        "PARLEY_REDIS_URL": "redis://:red1s-pass@cache.example:6379/0",
        "PARLEY_MONGO_URL": "mongodb://me:m0ngo-pass@store.example/parley",
        "PARLEY_SECRET_KEY": secret,
        "PARLEY_SECRET_KEY_FALLBACKS": secret[::-1],
        "PARLEY_JWT_SECRET": secret,
        "OPENAI_API_KEY": "sk-verysecret",
        "PARLEY_EMBEDDING_API_KEY": "sk-othersecret",
        "PARLEY_RATE_ASK_VISITOR": "5/minute",
        "PARLEY_LIMIT_ROOMS": 7,
    }

    table, document = run("settings", **given), run("settings", "--json", **given)
    changed = run("settings", "--changed", **given)

    assert table.returncode == document.returncode == 0, table.stderr
    for word in (
        secret,
        secret[::-1],
        "pass@word",
        "word@",
        "in-query",
        "red1s-pass",
        "m0ngo-pass",
        "verysecret",
        "othersecret",
    ):
        assert word not in table.stdout + document.stdout
    found = {one["name"]: one for one in json.loads(document.stdout)["items"]}
    assert found["PARLEY_LIMIT_ROOMS"] == {"name": "PARLEY_LIMIT_ROOMS", "value": "7", "from": "environment"}
    assert found["PARLEY_SECRET_KEY"] == {"name": "PARLEY_SECRET_KEY", "value": "(hidden)", "from": "environment"}
    assert (
        found["PARLEY_DATABASE_URL"]["value"]
        == "postgresql://parley:(hidden)@db.example:5432/parley?sslpassword=(hidden)"
    )
    assert found["PARLEY_PORT"] == {"name": "PARLEY_PORT", "value": "8000", "from": "default"}
    assert found["PARLEY_JWT_ISSUER"]["value"] is None
    assert {line.split()[0] for line in changed.stdout.splitlines()[1:]} == set(given)


def documented_settings() -> set[str]:
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    return set(re.findall(r"^\| `((?:PARLEY|OPENAI)_[A-Z_]+)`", page, re.MULTILINE))


def test_of_all_settings_these_are_secret_and_no_other() -> None:
    assert {name for name in documented_settings() if is_secret(name)} == {
        "OPENAI_API_KEY",
        "PARLEY_EMBEDDING_API_KEY",
        "PARLEY_SECRET_KEY",
        "PARLEY_SECRET_KEY_FALLBACKS",
        "PARLEY_JWT_SECRET",
        "PARLEY_JWT_SECRET_FALLBACKS",
        "PARLEY_METRICS_TOKEN",
    }


def test_every_setting_that_is_documented_is_shown_and_no_other(run: Commands, tmp_path: Path) -> None:
    shown = json.loads(run("settings", "--json", PARLEY_DATA_DIR=tmp_path).stdout)["items"]

    assert {one["name"] for one in shown} == documented_settings()
    assert [one["value"] for one in shown if one["name"] == "PARLEY_LIMIT_PASSAGE_TOKENS"] == ["2000"]


def test_shells_complete_commands_options_and_values(run: Commands) -> None:
    def completed(words: str) -> set[str]:
        asked = {"_PARLEY_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": len(words.split(" ")) - 1}
        return {line.split(",")[1] for line in run(**asked).stdout.splitlines()}

    assert {"rooms", "replies"} <= completed("parley r")
    assert completed("parley rooms re") == {"restore"}
    assert {"--owner", "--offset"} <= completed("parley rooms list --o")
    assert completed("parley cache clear --region an") == {"answers", "analyses"}
    for shell in ("bash", "zsh", "fish"):
        assert "_PARLEY_COMPLETE" in run("completion", shell).stdout
    assert run("completion", "csh").returncode == 2
