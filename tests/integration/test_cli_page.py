"""The commands that docs/cli.md shows, run in its order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from shlex import quote

import pytest

from tests.commands import commands
from tests.docs.pages import page
from tests.docs.serving import commands as going_on
from tests.docs.serving import goes_on, serving
from tests.parley_process import ParleyProcess, environment

_SETUP = """
set -eo pipefail
J='Content-Type: application/json'
TOKEN=$(curl -s -X POST $API/visitors | jq -r .data.token)
A="Authorization: Bearer $TOKEN"
"""

PAGE = page("docs/cli.md")


@pytest.mark.parametrize("parley", ["production"], indirect=True)
def test_every_command_of_the_page_does_what_it_says(parley: ParleyProcess, tmp_path: Path) -> None:
    blocks = [block for block in PAGE.blocks("bash") if not goes_on(block)]
    script = _SETUP + "".join(f"echo {quote(block.heading)} >&2\n{block.code}" for block in blocks)
    known = environment(**parley.settings) | {"API": f"{parley.url}/api/v1"}
    with commands() as run:
        known["PATH"] = f"{run.program.parent}:{known['PATH']}"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env=known,
            capture_output=True,
            text=True,
            timeout=560,
            stdin=subprocess.DEVNULL,
        )

    told = f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert done.returncode == 0, told
    begun = [line for line in done.stderr.splitlines() if line in {block.heading for block in blocks}]
    assert begun == [block.heading for block in blocks], told
    assert len(blocks) >= 25
    assert "Purged the room 'Plans'" in done.stdout
    assert "null" not in done.stdout.split("\n")


@pytest.mark.parametrize("command", [one for block in PAGE.blocks("bash") if goes_on(block) for one in going_on(block)])
@pytest.mark.parametrize("parley", ["production"], indirect=True)
def test_what_goes_on_until_it_is_stopped_begins_and_ends_in_order(
    parley: ParleyProcess, command: str, tmp_path: Path
) -> None:
    known = environment(**parley.settings)
    known["PATH"] = f"{Path(sys.executable).parent}:{known['PATH']}"

    with serving(command, tmp_path, known):
        pass
