"""The servers that the documentation's examples are run against."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.browser.conftest import browser  # noqa: F401 # the same one drives what a page shows
from tests.conftest import with_model
from tests.docs.pages import Page, page
from tests.docs.running import Reader
from tests.installation import installed, production
from tests.model_server import ModelServer
from tests.parley_process import ParleyProcess, running

_SETTINGS: dict[str, object] = {
    "PARLEY_JWT_SECRET": "the-secret-that-both-sides-share!",  # as the page about signing in has it
    "PARLEY_RATE_ASK_VISITOR": "30/hour",
    "PARLEY_CACHE_ANSWERS": 3600,
}


class Readers:
    """Hands out servers to read pages at: each is started when the first page needs it."""

    def __init__(self, model: ModelServer, folders: pytest.TempPathFactory, servers: ExitStack) -> None:
        self._agents = page("docs/agents.md").text.partition("```toml\n")[2].partition("```")[0]
        agents = folders.mktemp("agents") / "agents.toml"
        agents.write_text(self._agents.replace('default = "support"\n', ""))  # The guides ask `general`.
        self._settings = with_model(model, **_SETTINGS, PARLEY_AGENTS_FILE=agents)
        self._folders = folders
        self._servers = servers
        self._started: dict[bool, ParleyProcess] = {}

    def of(self, page: Page, *, alone: bool = False) -> Reader:
        """A reader of a page; `alone` without a server, to start one with the same settings and other data."""
        if page.on_production not in self._started:
            self._started[page.on_production] = self._production() if page.on_production else self._embedded()
        server, folder = self._started[page.on_production], self._folders.mktemp("reader")
        (folder / "agents.toml").write_text(self._agents)
        return Reader(server, folder, {"PARLEY_DATA_DIR": folder / "data"} if alone else {})

    def _embedded(self) -> ParleyProcess:
        return self._servers.enter_context(running(self._folders.mktemp("parley"), **self._settings))

    def _production(self) -> ParleyProcess:
        settings = self._servers.enter_context(production())
        installation = self._servers.enter_context(
            installed(self._folders.mktemp("parley"), **self._settings, **settings)
        )
        web = installation.web("--workers", "2")
        installation.worker()
        return web


@pytest.fixture(scope="session")
def readers(model: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Readers]:
    with ExitStack() as servers:
        yield Readers(model, tmp_path_factory, servers)
