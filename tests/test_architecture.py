"""The import rules hold, and each has teeth: a seeded violation breaks it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_PROJECT = Path(__file__).resolve().parents[1]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--config", str(folder / "pyproject.toml")],
        cwd=folder,
        env={"PYTHONPATH": str(folder / "src"), "PATH": "/usr/bin:/bin", "COLUMNS": "400"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project's sources, to be spoilt."""
    shutil.copytree(_PROJECT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("web", "__pycache__"))
    shutil.copy(_PROJECT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_import_rules_hold(copy: Path) -> None:
    kept = lint(copy)

    assert kept.returncode == 0, kept.stdout
    assert "0 broken" in kept.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("domain/rooms.py", "import application.facade", "Entrypoints use adapters"),
        ("application/relay.py", "import adapters.sql.engine", "Entrypoints use adapters"),
        ("adapters/sql/engine.py", "import entrypoints.settings", "Entrypoints use adapters"),
        ("domain/rooms.py", "import orjson", "The domain imports the standard library only"),
        ("application/relay.py", "import sqlalchemy", "The application names no framework and no driver"),
        ("application/relay.py", "import sqlite3", "The application names no framework and no driver"),
        ("entrypoints/http/rooms.py", "import adapters.sql.reader", "Only the container imports adapters"),
        ("adapters/openai/model.py", "import adapters.sql.engine", "No technology knows another"),
        ("adapters/carrier_pigeon/__init__.py", '"""New."""', "Every adapter is known to these contracts"),
    ],
)
def test_each_rule_breaks_on_a_violation(copy: Path, module: str, line: str, contract: str) -> None:
    spoilt = copy / "src" / module
    spoilt.parent.mkdir(exist_ok=True)
    before = spoilt.read_text() if spoilt.exists() else ""
    spoilt.write_text(f"{before}\n{line}\n")

    broken = lint(copy)

    assert broken.returncode == 1, broken.stdout
    assert any(contract in report and "BROKEN" in report for report in broken.stdout.splitlines()), broken.stdout


def test_every_third_party_package_is_forbidden_where_none_belongs() -> None:
    """A dependency that is added has to be added to the two rules as well."""
    import tomllib

    project = tomllib.loads((_PROJECT / "pyproject.toml").read_text())
    names = {"dependency-injector": "dependency_injector", "flask-smorest": "flask_smorest", "pyjwt": "jwt"}
    names |= {"uuid-utils": "uuid_utils", "sqlite-vec": "sqlite_vec"}
    names |= {"charset-normalizer": "charset_normalizer", "markdown-it-py": "markdown_it", "python-docx": "docx"}
    names |= {"prometheus-client": "prometheus_client"}
    names |= dict.fromkeys(("opentelemetry-api", "opentelemetry-sdk"), "opentelemetry")
    names |= {"opentelemetry-exporter-otlp-proto-http": "opentelemetry"}
    names |= {"fpdf2": "fpdf"}
    packages = {line.split(">")[0].split("[")[0] for line in project["project"]["dependencies"]}
    imported = {names.get(package, package) for package in packages}
    contracts = {contract["id"]: contract for contract in project["tool"]["importlinter"]["contracts"]}

    for rule in ("domain-is-pure", "application-names-no-technology"):
        assert imported <= set(contracts[rule]["forbidden_modules"])
