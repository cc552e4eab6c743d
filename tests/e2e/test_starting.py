"""Starting a server: what it needs, and how it says that something is missing."""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path

import httpx
import pytest

from tests.parley_process import ParleyProcess, cli, environment, free_port, running
from tests.waiting import eventually


def test_a_fresh_folder_is_all_that_a_server_needs(data_dir: Path) -> None:
    with running(data_dir) as parley:
        assert httpx.get(f"{parley.url}/").status_code == 200
        assert httpx.get(f"{parley.url}/healthz").json() == {"data": {"status": "ok"}, "error": None}
        assert not parley.faults


def test_an_occupied_port_is_named(data_dir: Path, embedded: ParleyProcess) -> None:
    failed = cli("serve", "--migrate", PARLEY_DATA_DIR=data_dir, PARLEY_PORT=embedded.port)

    assert failed.returncode == 2
    assert failed.stderr == f"Error: PARLEY_PORT: cannot listen on 127.0.0.1:{embedded.port}: Address already in use.\n"


def test_a_host_that_is_not_this_machines_is_named(data_dir: Path) -> None:
    failed = cli("serve", "--migrate", PARLEY_DATA_DIR=data_dir, PARLEY_HOST="192.0.2.1")

    assert failed.returncode == 2
    assert failed.stderr.startswith("Error: PARLEY_HOST: cannot listen on 192.0.2.1:8000: ")


def test_a_second_worker_cannot_be_had_by_signal(data_dir: Path) -> None:
    with running(data_dir) as parley:
        before = parley.workers()

        os.kill(parley.pid, signal.SIGTTIN)

        for _ in range(300):  # A second or two of requests: time enough to start one.
            assert httpx.get(f"{parley.url}/healthz").status_code == 200
            assert parley.workers() == before


def test_a_reload_replaces_the_worker_and_goes_on(data_dir: Path) -> None:
    with running(data_dir) as parley:
        before = parley.worker_pid()

        os.kill(parley.pid, signal.SIGHUP)
        eventually(lambda: before not in parley.workers())
        eventually(lambda: httpx.get(f"{parley.url}/readyz").status_code == 200)

        visitor = parley.visitor()
        assert visitor.answer(visitor.conversation(), "Hello")["status"] == "completed"


def test_a_database_in_use_is_named(embedded: ParleyProcess, data_dir: Path) -> None:
    same_file = f"sqlite:///{embedded.data_dir / 'parley.db'}"

    failed = cli("serve", PARLEY_DATA_DIR=data_dir, PARLEY_DATABASE_URL=same_file, PARLEY_PORT=free_port())

    assert failed.returncode == 2
    assert failed.stderr == (
        f"Error: PARLEY_DATABASE_URL: another Parley is running on {embedded.data_dir / 'parley.db'}. "
        "More than one need Redis.\n"
    )


def test_an_unwritable_data_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    failed = cli("serve", "--migrate", PARLEY_DATA_DIR=tmp_path / "file" / "data")

    assert failed.returncode == 2
    assert failed.stderr.startswith("Error: PARLEY_DATA_DIR: cannot write to ")


def test_a_database_newer_than_the_code_is_left_alone(data_dir: Path) -> None:
    assert cli("migrate", PARLEY_DATA_DIR=data_dir).returncode == 0
    with sqlite3.connect(data_dir / "parley.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()

    for arguments in (("serve", "--migrate"), ("migrate",), ("rooms", "list")):
        failed = cli(*arguments, PARLEY_DATA_DIR=data_dir)

        assert failed.returncode == 1
        assert "revision 9999, which this version of Parley does not know" in failed.stderr
        assert "Traceback" not in failed.stderr


def test_a_database_that_was_not_migrated_is_named_with_the_remedy(data_dir: Path) -> None:
    failed = cli("serve", PARLEY_DATA_DIR=data_dir, PARLEY_PORT=free_port())

    assert failed.returncode == 1
    assert failed.stderr == (
        "Error: The database is at revision none, this version of Parley needs 0005. Run: parley migrate\n"
    )


def test_a_file_that_is_no_database_is_named(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "parley.db").write_text("This is no database, but a text of some length. " * 30)

    failed = cli("migrate", PARLEY_DATA_DIR=data_dir)

    assert failed.returncode == 2
    assert "is not a SQLite database" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PARLEY_PORT", "none"),
        ("PARLEY_PORT", "70000"),
        ("PARLEY_SECRET_KEY", "short"),
        ("PARLEY_JWT_SECRET", "short"),
        ("PARLEY_JWT_SECRET_FALLBACKS", "a secret of more than thirty-two characters"),
        ("PARLEY_SECRET_KEY_FALLBACKS", "a secret of more than thirty-two characters,short"),
        ("PARLEY_JWT_JWKS_URL", "http://login.example/keys"),
        ("PARLEY_JWT_JWKS_URL", "https://me:secret@login.example/keys"),
        ("PARLEY_JWT_JWKS_URL", "file:///etc/passwd"),
        ("PARLEY_JWT_JWKS_URL", "https://"),
        ("PARLEY_JWT_JWKS_URL", "https://login.example:port/keys"),
        ("PARLEY_JWT_PUBLIC_KEY_FILE", "/nowhere/key.pem"),
        ("PARLEY_JWT_ISSUER", "parley"),
        ("PARLEY_JWT_LEEWAY", "-1"),
        ("PARLEY_JWT_ROLES_CLAIM", ""),
        ("PARLEY_COOKIE_SECURE", "perhaps"),
        ("PARLEY_PROXIES", "11"),
        ("PARLEY_ALLOWED_ORIGINS", "*"),
        ("PARLEY_ALLOWED_ORIGINS", "null"),
        ("PARLEY_ALLOWED_ORIGINS", "https://*.example"),
        ("PARLEY_ALLOWED_ORIGINS", "https://app.example/"),
        ("PARLEY_ALLOWED_ORIGINS", "https://app.example:443"),
        ("PARLEY_ALLOWED_ORIGINS", "app.example"),
        ("PARLEY_REPLY_TIMEOUT", "0"),
        ("PARLEY_LIMIT_ROOMS", "-1"),
        ("PARLEY_LOG_LEVEL", "LOUD"),
        ("PARLEY_DATABASE_URL", "mysql://localhost/parley"),
        ("PARLEY_DATABASE_URL", "sqlite:///:memory:"),
        ("PARLEY_REDIS_URL", "http://localhost"),
        ("PARLEY_REDIS_URL", "redis://:pass/word@localhost"),
        ("PARLEY_MONGO_URL", "localhost:27017"),
        ("PARLEY_PRT", "8000"),
        ("PARLEY_OPENAI_API_KEY", "sk-x"),
    ],
)
def test_a_setting_that_cannot_be_is_named(data_dir: Path, name: str, value: str) -> None:
    failed = cli("migrate", PARLEY_DATA_DIR=data_dir, **{name: value})

    assert failed.returncode == 2
    assert failed.stderr.startswith(f"Error: {name}: ")
    assert failed.stderr.count("\n") == 1


def test_the_tests_own_environment_does_not_reach_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_PORT", "1")
    monkeypatch.setenv("OPENAI_API_KEY", "somebody's")

    assert not {"PARLEY_PORT", "OPENAI_API_KEY"} & set(environment())
