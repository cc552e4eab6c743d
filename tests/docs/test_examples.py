"""The code that the documentation shows does what the documentation says."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from playwright.sync_api import Browser

from tests.docs.conftest import Readers
from tests.docs.pages import LANGUAGES, PROJECT, Block, Page, page, pages
from tests.docs.running import Ran, is_printed
from tests.docs.serving import goes_on

_SETUP = "docs/guides/first-conversation.md"


def _pages_with(language: str) -> list[str]:
    return [page.name for page in pages() if _to_run(page, language)]


def _to_run(page: Page, language: str) -> list[Block]:
    return [block for block in page.blocks(language) if block.is_run and not goes_on(block)]


@pytest.mark.parametrize("name", _pages_with("bash"))
def test_the_commands_of_a_page_do_what_it_says(readers: Readers, name: str) -> None:
    blocks = _to_run(page(name), "bash")

    _hold(blocks, readers.of(page(name)).bash(blocks))


@pytest.mark.parametrize("name", _pages_with("python"))
def test_the_python_of_a_page_does_what_it_says(readers: Readers, name: str) -> None:
    blocks = _to_run(page(name), "python")

    _hold(blocks, readers.of(page(name)).python(_setup(name, "python"), blocks))


@pytest.mark.parametrize("name", _pages_with("javascript"))
def test_the_javascript_of_a_page_does_what_it_says(readers: Readers, browser: Browser, name: str) -> None:
    blocks = _to_run(page(name), "javascript")

    _hold(blocks, readers.of(page(name)).javascript(browser, _setup(name, "javascript"), blocks))


def test_no_code_is_passed_over_without_a_reason() -> None:
    shown = [block for page in pages() for language in LANGUAGES for block in page.blocks(language)]
    elsewhere = [block for block in shown if block.mark == "run by"]

    assert [str(block) for block in shown if block.mark == "run" and not block.is_refused] == []
    assert [str(block) for block in shown if block.mark == "not run" and len(block.reason.split()) < 2] == []
    assert [str(block) for block in elsewhere if not (PROJECT / block.reason).is_file()] == []
    assert len([block for block in shown if block.is_run]) > 150


def test_code_of_other_names_is_not_meant_to_be_run() -> None:
    """A fence that calls itself `sh` would be passed over."""
    others = {"console", "sh", "shell", "js", "py", "python3"}

    assert [page.name for page in pages() if any(f"```{other}\n" in page.text for other in others)] == []


def test_an_expectation_holds_for_what_it_names_alone() -> None:
    assert is_printed("reply.started\n…\nreply.completed", "reply.started\nreply.delta\nreply.completed\n")
    assert not is_printed("reply.started", "reply.started\nreply.delta")
    assert is_printed('{"id": "…", "n": 1}', '{\n  "id": "01",\n  "n": 1\n}')
    assert not is_printed('{"id": "…", "n": 1}', '{"id": "01", "n": 2}')


def _setup(name: str, language: str) -> Sequence[Block]:
    """What the other pages go on from."""
    shown = page(_SETUP).blocks(language)
    return [] if name == _SETUP else [block for block in shown if block.heading.startswith("Set up")]


def _hold(blocks: Sequence[Block], ran: Ran) -> None:
    at = blocks[ran.last] if 0 <= ran.last < len(blocks) else "before the first block"
    assert not ran.failed, f"{at}\n{''.join(ran.printed[-1:])}\n{ran.complaint}"
    assert len(ran.printed) == len(blocks), ran.complaint
    for block, printed in zip(blocks, ran.printed, strict=True):
        if block.prints is not None:
            assert is_printed(block.prints, printed), f"{block} printed\n{printed}"
        elif block.language == "bash":
            assert "null" not in printed.split("\n"), f"{block}: nothing is there\n{printed}"
