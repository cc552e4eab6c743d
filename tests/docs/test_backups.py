"""The backups of the page about operations bring back what was there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import with_model
from tests.docs.pages import Block, page
from tests.installation import installed, production
from tests.model_server import ModelServer
from tests.parley_process import Client, ParleyProcess, environment
from tests.servers import PostgresServer, a_postgres_database, missing_programs

_PAGE = page("docs/operations.md")


def _block(heading: str) -> Block:
    """The first one of a section."""
    return next(block for block in _PAGE.blocks("bash") if block.heading == heading)


@pytest.fixture
def embedded(tmp_path: Path, model: ModelServer) -> Iterator[ParleyProcess]:
    """A server whose data is where the page has it."""
    process = ParleyProcess(tmp_path / "var", **with_model(model))
    process.start()
    yield process
    for client in process.clients:
        client.http.close()
    if not process.ended:
        process.kill()


def test_a_backup_of_a_running_server_is_restored_with_what_it_held(embedded: ParleyProcess, tmp_path: Path) -> None:
    visitor = embedded.visitor()
    visitor.room("Kept")
    _run(_block("Back up the data").code, tmp_path)
    visitor.room("Too late")
    embedded.terminate()

    restore, _, serve = _block("Restore a backup").code.strip().rpartition("\n")
    assert serve == "parley serve --migrate"
    _run(restore, tmp_path)
    embedded.start()

    assert _rooms(visitor) == ["Kept"]


def test_a_dump_of_postgresql_is_restored_and_the_read_models_are_written_anew(
    tmp_path: Path, model: ModelServer
) -> None:
    if missing := missing_programs(PostgresServer):
        pytest.skip(missing)
    with (
        production() as settings,
        a_postgres_database() as empty,
        installed(tmp_path / "data", **with_model(model), **settings) as installation,
    ):
        web = installation.web()
        visitor = web.visitor()
        visitor.room("Kept")
        _run(_block("Back up PostgreSQL, MongoDB and Redis").code, tmp_path, **web.settings)
        visitor.room("Too late")
        web.terminate()

        restored = web.settings | {"PARLEY_DATABASE_URL": empty}
        _run(_block("Restore PostgreSQL from a backup").code, tmp_path, **restored)
        again = installation.web(PARLEY_DATABASE_URL=empty)

        assert _rooms(installation.at(again, visitor)) == ["Kept"]


def _rooms(visitor: Client) -> list[str]:
    return [room["name"] for room in visitor.data("GET", "/rooms")["items"]]


def _run(code: str, folder: Path, **settings: object) -> None:
    """With PostgreSQL's programs of the version that the tests' server has."""
    known = environment(**settings)
    programs = f"{PostgresServer.program().parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    url = re.sub(r"\?.*", "", known.get("PARLEY_DATABASE_URL", ""))
    subprocess.run(
        ["bash", "-eo", "pipefail", "-c", code],
        cwd=folder,
        env=known | {"PATH": programs, "PARLEY_DATABASE_URL": url},
        check=True,
    )
