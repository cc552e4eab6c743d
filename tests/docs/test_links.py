"""Every link in the documentation leads somewhere, and every page can be reached."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.docs.pages import PROJECT, tokens

_FILES = [PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
_FILES += sorted((PROJECT / "docs").rglob("*.md"))


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.relative_to(PROJECT).as_posix())
def test_the_links_of_a_page_lead_to_what_is_there(path: Path) -> None:
    broken = [target for target in _links(path) if not _leads_somewhere(path, target)]

    assert broken == []


def test_the_navigation_of_the_site_has_every_page() -> None:
    config = tomllib.loads((PROJECT / "docs" / "website" / "zensical.toml").read_text())
    named = set(_named(config["project"]["nav"])) - {"openapi.md", "adr/*"}
    pages = {path.relative_to(PROJECT / "docs").as_posix() for path in (PROJECT / "docs").rglob("*.md")}

    assert named == {page for page in pages if not page.startswith("adr/")}


def _links(path: Path) -> Iterator[str]:
    for token in tokens(path.read_text()):
        for inside in token.children or []:
            if inside.type == "link_open":
                target = str(inside.attrGet("href"))
                if not re.match(r"[a-z]+:", target):
                    yield target


def _leads_somewhere(path: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    there = (path.parent / name).resolve() if name else path
    return there.exists() and (not anchor or anchor in _anchors(there))


@cache
def _anchors(path: Path) -> set[str]:
    """What headings are called in addresses, by GitHub and on our site alike."""
    parsed = tokens(path.read_text())
    found = [parsed[index + 1] for index, token in enumerate(parsed) if token.type == "heading_open"]
    texts = ["".join(inside.content for inside in heading.children or []) for heading in found]
    return {re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-") for text in texts}


def _named(nav: object) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for one in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else []:
        yield from _named(one)
