"""The servers that tests share: a model and a Parley in front of it, each a real process or thread."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.model_server import MODEL, ModelServer, model_server
from tests.parley_process import Client, ParleyProcess, running


@pytest.fixture(scope="session")
def model() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


@pytest.fixture(scope="session")
def parley(model: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ParleyProcess]:
    """A Parley in front of the test model. Tests keep apart by being different visitors."""
    with running(tmp_path_factory.mktemp("parley"), **with_model(model)) as process:
        yield process


@pytest.fixture
def visitor(parley: ParleyProcess) -> Client:
    return parley.visitor()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def with_model(model: ModelServer, **settings: object) -> dict[str, object]:
    """The settings of a Parley in front of the test model."""
    return {
        "OPENAI_BASE_URL": model.url,
        "OPENAI_API_KEY": "test-key",
        "PARLEY_MODEL": MODEL,
        "PARLEY_LIMIT_LIVE_REPLIES": 100,
    } | settings
