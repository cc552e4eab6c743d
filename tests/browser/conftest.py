"""The browser that the tests of pages drive."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None and not os.environ.get("BROWSER_REQUIRED"):
        pytest.skip("no Chromium on this machine; CI has one and requires it")
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-quic", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=found, args=flags)
        yield browser
        browser.close()
