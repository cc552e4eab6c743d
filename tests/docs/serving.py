"""Commands of the documentation that go on until they are stopped."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.docs.pages import Block
from tests.parley_process import free_port
from tests.waiting import eventually

_GOES_ON = re.compile(r"make run|parley (serve|worker|scheduler)(?!.*--help)")
_READY = {"worker": "Parley writes up to", "scheduler": "Parley cleans up"}
_PATIENCE = 120


def goes_on(block: Block) -> bool:
    """Whether a command of it serves."""
    return block.language == "bash" and any(map(_serves, block.code.split("\n")))


def commands(block: Block) -> Iterator[str]:
    """Each command that goes on, with those before it that do not."""
    before = ""
    for line in block.code.replace("\\\n", " ").strip().split("\n"):
        if _serves(line):
            yield before + line.partition(" #")[0].rstrip()
        else:
            before += f"{line}\n"


@contextmanager
def serving(command: str, folder: Path, known: dict[str, str]) -> Iterator[str]:
    """A command that has become ready; its address, if it has one. It has to end in order when it is told to."""
    port = free_port()
    said = folder / "said.txt"
    script = f"make() {{ parley serve --migrate; }}\n{re.sub(r'PARLEY_PORT=[0-9]+', f'PARLEY_PORT={port}', command)}"
    with said.open("w") as output:
        process = subprocess.Popen(
            ["bash", "-ec", script],
            cwd=folder,
            env=known | {"PARLEY_PORT": str(port)},
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    found = _GOES_ON.search(command)
    kind = (found and found[1]) or "serve"
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert process.poll() is None, said.read_text()
        return _READY[kind] in said.read_text() if kind in _READY else _answers(url)

    try:
        eventually(ready, within=_PATIENCE)
        yield url
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(_PATIENCE)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(_PATIENCE)
    assert "Traceback" not in said.read_text()
    assert '"exception"' not in said.read_text()


def _serves(line: str) -> bool:
    return _GOES_ON.search(line.partition(" #")[0]) is not None


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
