"""`parley` many times over: each command in a process of its own, forked from one that has imported everything.

What a process costs to start is what most of a short command costs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.parley_process import environment

_FORKING = """
import atexit, gc, json, os, sys
import entrypoints.cli, entrypoints.container, entrypoints.starting, rich.console, rich.table, rich.progress
told = os.dup(1)
gc.freeze()
for line in sys.stdin:
    wanted = json.loads(line)
    child = os.fork()
    if not child:
        os.close(told)
        for number, path, how in ((0, os.devnull, os.O_RDONLY), (1, "out", os.O_WRONLY), (2, "err", os.O_WRONLY)):
            os.dup2(os.open(os.path.join(wanted["folder"], path), how | os.O_CREAT | os.O_TRUNC * (number > 0)), number)
        os.environ.clear()
        os.environ.update(wanted["environment"])
        sys.argv = ["parley", *wanted["arguments"]]
        try:
            entrypoints.cli.main()
        except SystemExit as end:
            atexit._run_exitfuncs()
            sys.stdout.flush()
            os._exit(end.code)  # Taking all apart takes longer than most commands.
    _, status = os.waitpid(child, 0)
    os.write(told, f"{os.waitstatus_to_exitcode(status)}\\n".encode())
"""


class Commands:
    """Runs `parley`, one command at a time."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder

    def __call__(self, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
        """What a command printed, and its exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        wanted = {"arguments": arguments, "environment": environment(**settings), "folder": str(self._folder)}
        self._process.stdin.write(f"{json.dumps(wanted)}\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        printed, complained = ((self._folder / name).read_text() for name in ("out", "err"))
        return subprocess.CompletedProcess(arguments, code, printed, complained)


@contextmanager
def commands() -> Iterator[Commands]:
    """Commands that can be run in the context."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-c", _FORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with process:
            yield Commands(process, Path(folder))
