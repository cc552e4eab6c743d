"""What the answer to a first question is kept under: everything that shapes it, for a cache may outlive its process."""

from __future__ import annotations

from pathlib import Path

import pytest

from application.ports.knowledge import Scope
from domain.agents import BUILT_IN
from entrypoints.container import Container
from entrypoints.settings import Settings
from tests.builders import a_conversation, asked

_QUESTION, _REPLY = asked(a_conversation())


@pytest.fixture(autouse=True)
def installation(monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> None:
    monkeypatch.setenv("PARLEY_DATA_DIR", str(data_dir))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:9/v1")
    monkeypatch.setenv("PARLEY_EMBEDDING_MODEL", "embed-a")


def test_an_answer_is_found_again_under_the_same_settings() -> None:
    assert key() == key()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("OPENAI_BASE_URL", "http://localhost:10/v1"),
        ("PARLEY_MODEL", "another"),
        ("PARLEY_EMBEDDING_MODEL", "embed-b"),
        ("PARLEY_EMBEDDING_BASE_URL", "http://localhost:11/v1"),
        ("PARLEY_EMBEDDING_FLOOR", "0.5"),
        ("PARLEY_LIMIT_PASSAGES", "2"),
        ("PARLEY_LIMIT_PASSAGE_TOKENS", "500"),
    ],
)
def test_an_answer_is_not_given_again_under_other_settings(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str
) -> None:
    before = key()
    monkeypatch.setenv(setting, value)

    assert key() != before


def test_an_answer_is_not_given_again_by_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    monkeypatch.setattr("entrypoints.container.answering.version", lambda _: "99.0.0")

    assert key() != before


def key() -> str:
    container = Container(settings=Settings.from_environment())
    made = container.answers().key(_REPLY, BUILT_IN.default, [_QUESTION], {}, Scope({}))
    container.database().dispose()
    assert made is not None
    return made
