"""The servers that tests share: a model and a Parley in front of it, each a real process or thread."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from adapters.sql.engine import Database, open_database
from adapters.sql.schema import Schema
from tests.installation import installed, production
from tests.model_server import MODEL, ModelServer, model_server
from tests.parley_process import Client, ParleyProcess, running
from tests.servers import a_postgres_database, report

# A run that fails fails again. HYPOTHESIS_PROFILE=default looks at other examples each time.
hypothesis.settings.register_profile("repeatable", derandomize=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the servers that were used, how far the walk of strangers went, and what retrieval was found to be worth."""
    if used := report():
        terminalreporter.write_line(f"Servers: {used}")
    for passed in terminalreporter.getreports("passed"):
        if walked := dict(passed.user_properties).get("walked"):
            terminalreporter.write_line(f"Isolation: {walked}")
        if answered := dict(passed.user_properties).get("answered"):
            terminalreporter.write_line(f"Answered: {answered}")
        if retrieved := dict(passed.user_properties).get("retrieved"):
            terminalreporter.write_line(f"Retrieved: {retrieved}")
        if followed := dict(passed.user_properties).get("followed"):
            terminalreporter.write_line(f"Followed: {followed}")
        if fuzzed := dict(passed.user_properties).get("fuzzed"):
            terminalreporter.write_line(f"Schemathesis: {fuzzed}")


@pytest.fixture(scope="session")
def model() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


@pytest.fixture(scope="session", params=["embedded", "production"])
def parley(
    request: pytest.FixtureRequest, model: ModelServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ParleyProcess]:
    """A Parley in front of the test model, of one process or on all its servers. Tests are different visitors."""
    folder = tmp_path_factory.mktemp("parley")
    if request.param == "embedded":
        with running(folder, **with_model(model)) as process:
            yield process
    else:
        with production() as settings, installed(folder, **with_model(model), **settings) as installation:
            del installation.settings["PARLEY_SECRET_KEY"]  # Tests sign tokens with the one in the folder.
            web = installation.web("--workers", "2")
            installation.worker()
            yield web


@pytest.fixture(scope="session")
def embedded(model: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ParleyProcess]:
    """A Parley of one process."""
    with running(tmp_path_factory.mktemp("embedded"), **with_model(model)) as process:
        yield process


@pytest.fixture
def visitor(parley: ParleyProcess) -> Client:
    return parley.visitor()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(scope="session")
def migrated_postgres() -> Iterator[str]:
    """A PostgreSQL database that others are copied from."""
    with a_postgres_database() as url:
        database = open_database(url)
        Schema(database).upgrade()
        database.dispose()
        yield url


@pytest.fixture
def postgres_database(migrated_postgres: str) -> Iterator[Database]:
    with a_postgres_database(template=migrated_postgres) as url:
        database = open_database(url)
        yield database
        database.dispose()


def with_model(model: ModelServer, **settings: object) -> dict[str, object]:
    """The settings of a Parley in front of the test model."""
    return {
        "OPENAI_BASE_URL": model.url,
        "OPENAI_API_KEY": "test-key",
        "PARLEY_MODEL": MODEL,
        "PARLEY_LIMIT_LIVE_REPLIES": 100,
    } | settings
