"""The files in `deploy/` fit the code: settings, commands, paths, images."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from entrypoints.cli import parley
from entrypoints.settings import Settings, _refuse_unknown
from tests.servers import MongoServer, PostgresServer, RedisServer, Server

_PROJECT = Path(__file__).resolve().parents[2]
_COMPOSE = (_PROJECT / "deploy" / "compose.yaml").read_text()
_DOCKERFILE = (_PROJECT / "deploy" / "Dockerfile").read_text().replace("\\\n", " ")
_INSTRUCTIONS = [line.split(maxsplit=1) for line in _DOCKERFILE.splitlines() if re.match(r"[A-Z]+ ", line)]


def _services() -> dict[str, str]:
    """The text of each service: what stands two columns in below `services:`."""
    block = _COMPOSE.split("\nservices:\n")[1].split("\nsecrets:\n")[0]
    names_and_texts = re.split(r"^  (\w+):\n", block, flags=re.MULTILINE)[1:]
    return dict(zip(names_and_texts[::2], names_and_texts[1::2], strict=True))


def _arguments(instruction: str) -> list[str]:
    return [rest for name, rest in _INSTRUCTIONS if name == instruction]


def _made_environment(folder: Path) -> Path:
    """What `make up` makes before it starts anything."""
    (folder / "deploy").mkdir()
    shutil.copy(_PROJECT / "Makefile", folder)
    subprocess.run(["make", "--silent", "deploy/.env"], cwd=folder, check=True)
    return folder / "deploy" / ".env"


@pytest.mark.parametrize("text", [_COMPOSE, _DOCKERFILE], ids=["compose", "Dockerfile"])
def test_every_setting_is_one_of_parleys(text: str) -> None:
    names = set(re.findall(r"\b(PARLEY_[A-Z_]+)\s*[:=]", text))

    assert names
    _refuse_unknown(dict.fromkeys(names, ""))


def test_every_command_is_one_of_parleys() -> None:
    commands = re.findall(r"^    command: \[((?:migrate|serve|worker|scheduler)[^]]*)\]", _COMPOSE, flags=re.MULTILINE)
    commands.append(json.loads(_arguments("CMD")[0]))

    assert len(commands) == 5
    for command in commands:
        name, *arguments = command if isinstance(command, list) else [w.strip(', "') for w in command.split()]
        with parley.commands[name].make_context(name, arguments) as context:
            assert isinstance(context, click.Context)


def test_parley_is_the_first_process_and_has_no_rights() -> None:
    assert _arguments("ENTRYPOINT") == ['["parley"]']
    assert int(_arguments("USER")[-1]) > 0


def test_what_is_installed_is_locked() -> None:
    installs = [run for run in _arguments("RUN") if "pip" in run and "install" in run]

    assert "--require-hashes --requirement requirements.lock" in installs[0]
    assert all("--no-deps" in run for run in installs[1:])


def test_the_image_is_made_from_what_it_needs_and_from_no_secret() -> None:
    copied = {source for copy in _arguments("COPY") if "--from" not in copy for source in copy.split()[:-1]}
    rules = (_PROJECT / ".dockerignore").read_text().splitlines()

    assert all((_PROJECT / source).exists() for source in copied)
    assert "*" in rules
    assert copied == {rule[1:] for rule in rules if rule.startswith("!")}


def test_the_knowledge_and_the_migrations_are_beside_the_code_that_looks_for_them() -> None:
    copied = {source: copy.split()[-1] for copy in _arguments("COPY") for source in copy.split()[:-1]}

    assert copied["docs"] == "docs"
    assert copied["migrations"] == "migrations"
    assert copied["pyproject.toml"] == "./"
    assert copied["/app/src"] == "src"


@pytest.mark.parametrize("kind", [PostgresServer, MongoServer, RedisServer], ids=lambda kind: kind.name)
def test_the_servers_are_those_of_the_tests(kind: type[Server]) -> None:
    assert f"image: {kind.images[0]}\n" in _COMPOSE


def test_only_the_web_and_the_dashboard_can_be_reached_and_only_from_this_machine() -> None:
    published = {name for name, text in _services().items() if "ports:" in text}

    assert published == {"web", "grafana"}
    assert "${PUBLISH:-127.0.0.1:8000}:8000" in _services()["web"]
    assert "${GRAFANA_PUBLISH:-127.0.0.1:3000}:3000" in _services()["grafana"]


def test_nothing_is_killed_before_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_DATA_DIR", str(tmp_path))
    default = Settings.from_environment().shutdown_grace

    for name in ("web", "worker"):
        text = _services()[name]
        grace = float((re.findall(r'PARLEY_SHUTDOWN_GRACE: "(\d+)"', text) or [default])[0])
        assert int(re.findall(r"stop_grace_period: (\d+)s", text)[0]) >= grace + 10


def test_the_passwords_are_made_once_and_for_their_owner_alone(tmp_path: Path) -> None:
    made = _made_environment(tmp_path)
    names_and_values = dict(line.split("=") for line in made.read_text().splitlines())
    again = subprocess.run(["make", "--question", "deploy/.env"], cwd=tmp_path)

    assert set(re.findall(r"\$\{(\w+):\?", _COMPOSE)) == set(names_and_values)
    assert len(set(names_and_values.values())) == len(names_and_values)
    assert all(re.fullmatch("[0-9a-f]{48}", value) for value in names_and_values.values())
    assert made.stat().st_mode & 0o777 == 0o600
    assert again.returncode == 0
    assert "deploy/.env" in (_PROJECT / ".gitignore").read_text().splitlines()


def test_compose_takes_the_file(tmp_path: Path) -> None:
    if shutil.which("docker") is None or _compose(tmp_path, "version").returncode != 0:
        pytest.skip("there is no Docker with Compose")
    made = _made_environment(tmp_path)

    checked = _compose(made.parent, "config", "--quiet")

    assert checked.returncode == 0, checked.stderr


def _compose(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Docker Compose, with the settings that were made in a folder."""
    file = _PROJECT / "deploy" / "compose.yaml"
    return subprocess.run(
        ["docker", "compose", "--project-directory", folder, "--file", file, *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
