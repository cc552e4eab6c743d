"""A conversation is exported from the chat page."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.parley_process import ParleyProcess


def test_what_is_open_is_had_as_a_file(browser: Browser, embedded: ParleyProcess) -> None:
    context = browser.new_context(accept_downloads=True)
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.goto(embedded.url)
    expect(page.get_by_test_id("export")).to_be_hidden()
    page.get_by_test_id("composer").fill("Which harbour?")
    page.keyboard.press("Enter")
    expect(page.locator('[data-role=assistant][data-status="completed"]')).to_be_visible(timeout=20_000)

    kinds = {"Markdown": b"> Which harbour?", "PDF": b"%PDF", "JSON": b'"content":"Which harbour?"'}
    for name, held in kinds.items():
        page.get_by_test_id("export").click()
        with page.expect_download() as downloading:
            page.get_by_role("link", name=name, exact=True).click()
        file = downloading.value
        assert file.suggested_filename.startswith("Which harbour")
        assert held in Path(file.path()).read_bytes()
        expect(page.get_by_role("link", name=name, exact=True)).to_be_hidden()

    page.get_by_test_id("export").click()
    expect(page.get_by_role("link", name="PDF", exact=True)).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="PDF", exact=True)).to_be_hidden()
    context.close()
    assert problems == []
