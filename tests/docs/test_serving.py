"""The commands that start Parley, as the documentation has them, start it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.conftest import Readers
from tests.docs.pages import Page, page, pages
from tests.docs.serving import commands, goes_on, serving


def _starts(page: Page) -> list[str]:
    return [command for block in page.blocks("bash") if block.is_run and goes_on(block) for command in commands(block)]


# What stands on several pages is started as on the one with the most servers.
_PAGES = sorted(pages(), key=lambda page: page.on_production)
_COMMANDS = {command: page.name for page in _PAGES for command in _starts(page)}


@pytest.mark.parametrize("command", _COMMANDS)
def test_what_is_to_be_started_becomes_ready(readers: Readers, command: str) -> None:
    reader = readers.of(page(_COMMANDS[command]), alone=True)
    if "--migrate" not in command and "make run" not in command:
        command = f"parley migrate\n{command}"

    with serving(reader.here(command), reader.folder, reader.environment()):
        pass


def test_make_run_is_what_these_tests_take_it_for() -> None:
    recipe = (Path(__file__).resolve().parents[2] / "Makefile").read_text().partition("\nrun:")[2]

    assert recipe.split("\n")[1] == "\t@exec $(BIN)/parley serve --migrate"
