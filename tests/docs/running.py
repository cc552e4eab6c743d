"""Run what a page shows, as its reader would: one after the other, in a folder of their own, against a live server."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from playwright.sync_api import Browser
from playwright.sync_api import Error as BrowserError

from tests.docs.pages import Block
from tests.parley_process import ParleyProcess, environment

_PATIENCE = 400
_MARK = "\x1e"

# What the test model does instead of what a real one would do with the question.
_QUESTIONS = {
    "Tell me a long story.": "!stream words=400 delay=0.02",
    "What time is it?": "!tool name=current_time",
    "Can I return a signed book?": "!cite Can I return a signed book?",
}
# Where the servers of the production path are said to be, and the setting that says where they are.
_ADDRESSES = {
    "postgresql://parley:change-me@db.internal/parley": "PARLEY_DATABASE_URL",
    "mongodb://parley:change-me@mongo.internal/parley": "PARLEY_MONGO_URL",
    "redis://:change-me@redis.internal/0": "PARLEY_REDIS_URL",
    "the-same-long-random-value-on-every-machine": "PARLEY_SECRET_KEY",
    "http://localhost:11434/v1": "OPENAI_BASE_URL",
    "http://localhost:8001/v1": "OPENAI_BASE_URL",
}
_SETUP = """
set -eo pipefail
API=http://localhost:8000/api/v1
J='Content-Type: application/json'
TOKEN=$(curl -s -X POST $API/visitors | jq -r .data.token)
A="Authorization: Bearer $TOKEN"
"""


@dataclass(frozen=True)
class Ran:
    """What came of the blocks of a page: what each printed that was begun, and what went wrong."""

    printed: Sequence[str]
    complaint: str
    failed: bool

    @property
    def last(self) -> int:
        """The block that was the last to begin."""
        return len(self.printed) - 1


class Reader:
    """Does what the documentation says, with the settings of a server."""

    def __init__(self, server: ParleyProcess, folder: Path, more: Mapping[str, object]) -> None:
        self.server = server
        self.folder = folder
        self.settings = {**server.settings, **more}
        programs = folder / ".venv"
        programs.mkdir(parents=True)
        (programs / "bin").symlink_to(Path(sys.executable).parent)
        (folder / ".curlrc").write_text("fail-with-body\nshow-error\n")

    def bash(self, blocks: Sequence[Block]) -> Ran:
        """A refusal ends the script unless the block is there to show one."""
        script = self.here(_SETUP)
        for block in blocks:
            guarded = f"set +e\n{block.code}\nset -e\n" if block.is_refused else block.code
            script += f"\necho {_MARK}\n{self.here(guarded)}\n"
        return self._ran(["bash", "-c", script])

    def python(self, setup: Sequence[Block], blocks: Sequence[Block]) -> Ran:
        marked = "".join(f"\nprint({_MARK!r})\n{block.code}" for block in blocks)
        program = self.folder / "page.py"
        program.write_text(self.here("".join(block.code for block in setup) + marked))
        return self._ran([sys.executable, "-W", "ignore::ResourceWarning", str(program)])

    def javascript(self, browser: Browser, setup: Sequence[Block], blocks: Sequence[Block]) -> Ran:
        """On a page of the server's own origin."""
        marked = "".join(f"\nconsole.log({json.dumps(_MARK)});\n{block.code}" for block in blocks)
        program = self.here("".join(block.code for block in setup) + marked)
        context = browser.new_context()
        context.set_default_timeout(_PATIENCE * 1000)
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text) if message.type == "log" else None)
        page.goto(f"{self.server.url}/healthz")
        try:
            page.evaluate(f"async () => {{\n{program}\n}}")
        except BrowserError as error:
            return Ran(_split("\n".join(said)), error.message, failed=True)
        finally:
            context.close()
        return Ran(_split("\n".join(said)), "", failed=False)

    def here(self, code: str) -> str:
        """The code as it is to be written on this machine."""
        code = re.sub(r"(localhost|127\.0\.0\.1):8000", f"127.0.0.1:{self.server.port}", code)
        code = code.replace("/srv/parley", f"{self.folder}/srv").replace("HOST=0.0.0.0", "HOST=127.0.0.1")
        for address, name in _ADDRESSES.items():
            code = code.replace(address, shlex.quote(str(self.settings.get(name, address))))
        for question, order in _QUESTIONS.items():
            code = code.replace(question, order)
        while '"eyJ…"' in code:  # a token that the reader has to put in: of a user each time
            code = code.replace('"eyJ…"', json.dumps(self.server.user(f"reader-{uuid4()}").token), 1)
        return code

    def environment(self) -> dict[str, str]:
        known = environment(**self.settings)
        return known | {"PATH": f"{self.folder}/.venv/bin:{known['PATH']}", "CURL_HOME": str(self.folder)}

    def _ran(self, command: Sequence[str]) -> Ran:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            stdin=subprocess.DEVNULL,
        )
        return Ran(_split(done.stdout), done.stderr, failed=done.returncode != 0)


def is_printed(expected: str, printed: str) -> bool:
    """Whether this is what was to be printed; `…` stands for anything, and JSON may be set otherwise."""
    try:
        wanted, found = json.loads(expected), json.loads(printed)
    except ValueError:
        return _matches(expected, printed)
    return _is_like(wanted, found)


def _is_like(wanted: object, found: object) -> bool:
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return wanted.keys() == found.keys() and all(_is_like(wanted[key], found[key]) for key in wanted)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(_is_like, wanted, found))
    if wanted == "…":
        return True
    return _matches(wanted, found) if isinstance(wanted, str) and isinstance(found, str) else wanted == found


def _matches(expected: str, printed: str) -> bool:
    lines = re.sub(r"(?m)^…\n|\n…\Z", "…", expected.strip())  # What is left out may be no line.
    pattern = ".*".join(map(re.escape, lines.split("…")))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


def _split(output: str) -> list[str]:
    return [part.removeprefix("\n") for part in output.split(_MARK)[1:]]
