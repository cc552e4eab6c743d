"""The frontend that the documentation shows, served from an origin of its own, talks to Parley."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import with_model
from tests.docs.pages import page
from tests.model_server import ModelServer
from tests.parley_process import ParleyProcess, free_port, running
from tests.waiting import eventually

_LONG = "!stream words=200 delay=0.03"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory, model: ModelServer) -> Iterator[str]:
    """Where the frontend is, beside a Parley that lets it in."""
    folder, port = tmp_path_factory.mktemp("frontend"), free_port()
    origin = f"http://localhost:{port}"
    with running(folder / "data", **with_model(model), PARLEY_ALLOWED_ORIGINS=origin) as parley:
        _write(folder, parley)
        server = subprocess.Popen(
            [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            eventually(lambda: _is_there(origin))
            yield origin
        finally:
            server.terminate()
            server.wait(10)


@pytest.fixture
def frontend(browser: Browser, origin: str) -> Iterator[Page]:
    context = browser.new_context()
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.goto(origin)
    yield opened
    context.close()
    assert problems == []


def test_one_asks_and_sees_the_answer_and_it_is_still_there_after_a_reload(frontend: Page) -> None:
    _ask(frontend, "Hello")
    expect(frontend.locator("p.assistant")).to_have_text("Echo: Hello")

    frontend.reload()

    expect(frontend.locator("p")).to_have_text(["Hello", "Echo: Hello"])


def test_an_answer_goes_on_where_it_is_when_the_page_is_loaded_again_and_can_be_stopped(frontend: Page) -> None:
    _ask(frontend, _LONG)
    expect(frontend.locator("p.assistant")).to_contain_text("word5")

    frontend.reload()

    expect(frontend.locator("p.assistant")).to_contain_text("word0 word1")
    frontend.get_by_role("button", name="Stop").click()
    expect(frontend.get_by_role("button", name="Stop")).to_be_hidden()
    expect(frontend.locator("p.assistant")).not_to_contain_text("word199")


def test_a_page_whose_token_is_no_good_begins_anew(frontend: Page) -> None:
    frontend.wait_for_function("localStorage.conversation")
    frontend.evaluate("localStorage.token = 'nobody'")

    frontend.reload()

    frontend.wait_for_function("localStorage.token !== 'nobody' && localStorage.conversation")
    _ask(frontend, "Hello again")
    expect(frontend.locator("p.assistant")).to_have_text("Echo: Hello again")


def _ask(frontend: Page, question: str) -> None:
    frontend.wait_for_function("localStorage.conversation")
    frontend.get_by_label("Your question").fill(question)
    frontend.get_by_role("button", name="Send").click()


def _write(folder: Path, parley: ParleyProcess) -> None:
    """The two files of the page."""
    shown = page("docs/guides/frontend.md")
    html = shown.text.partition("```html\n")[2].partition("```")[0]
    (script,) = (block.code for block in shown.blocks("javascript"))
    (folder / "index.html").write_text(html)
    (folder / "chat.js").write_text(script.replace("localhost:8000", f"127.0.0.1:{parley.port}"))


def _is_there(origin: str) -> bool:
    try:
        return httpx.get(origin).status_code == 200
    except httpx.TransportError:
        return False
