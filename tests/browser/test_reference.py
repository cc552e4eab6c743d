"""/docs and /redoc in a real Chromium: both show the document, and ask no other host for anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.parley_process import ParleyProcess


@dataclass
class Seen:
    """A page, with what it asked for and what went wrong on it."""

    page: Page
    requests: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@pytest.fixture
def seen(browser: Browser, embedded: ParleyProcess) -> Iterator[Seen]:
    context = browser.new_context(base_url=embedded.url)
    seen = Seen(context.new_page())
    seen.page.on("request", lambda request: seen.requests.append(request.url))
    seen.page.on("pageerror", lambda error: seen.problems.append(str(error)))
    seen.page.on("console", lambda said: seen.problems.append(said.text) if said.type == "error" else None)
    yield seen
    context.close()
    assert [url for url in seen.requests if not url.startswith((embedded.url, "blob:", "data:"))] == []
    assert seen.problems == []


def test_redoc_shows_the_api(seen: Seen) -> None:
    seen.page.goto("/redoc")

    expect(seen.page.get_by_role("heading", name="Open a room.").first).to_be_visible(timeout=60_000)
    expect(seen.page.get_by_role("heading", name="Who is asking").first).to_be_visible()


def test_swagger_ui_tries_an_operation_with_the_cookie_that_another_one_set(seen: Seen) -> None:
    seen.page.goto("/docs")

    executed(seen.page, "visitors", "welcome_visitor", 201)
    executed(seen.page, "rooms", "open_room", 201)
    executed(seen.page, "identity", "who_am_i", 200)


def test_swagger_ui_tries_an_operation_with_a_token(seen: Seen, embedded: ParleyProcess) -> None:
    seen.page.goto("/docs")
    seen.page.get_by_role("button", name="Authorize").first.click(timeout=60_000)
    form = seen.page.locator(".modal-ux .auth-container", has_text="bearer").first
    form.get_by_role("textbox").fill(embedded.user("alice-of-the-docs").token)
    form.get_by_role("button", name="Apply credentials").click()
    seen.page.locator(".modal-ux .close-modal").click()

    answer = executed(seen.page, "identity", "who_am_i", 200)

    assert "alice-of-the-docs" in answer


def executed(page: Page, tag: str, operation: str, status: int) -> str:
    """Try an operation with its example; what is answered."""
    block = page.locator(f"#operations-{tag}-{operation}")
    heading = page.locator(f"#operations-tag-{tag}")
    heading.wait_for(timeout=60_000)
    if block.count() == 0:
        heading.click()
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Execute").click()
    live = block.locator(".live-responses-table")
    expect(live.locator("tbody .response-col_status").first).to_contain_text(str(status), timeout=20_000)
    return live.inner_text()
