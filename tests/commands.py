"""`parley` many times over: each command in a process of its own, forked from one that has imported everything.

What a process costs to start is what most of a short command costs.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.parley_process import environment

# $1 is where it listens. Whoever connects sends its standard streams, its arguments, environment and folder, and is
# answered with the exit code.
_FORKING = """
import atexit, gc, json, os, signal, socket, sys, traceback
import entrypoints.cli, entrypoints.container, entrypoints.starting, rich.console, rich.progress, rich.table
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen(100)
gc.freeze()
print("ready", flush=True)
while True:
    asked, _ = server.accept()
    if os.fork():
        asked.close()
        continue
    server.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, streams, _, _ = socket.recv_fds(asked, 200_000, 3)
    wanted = json.loads(message)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    os.chdir(wanted["folder"])
    sys.argv = ["parley", *wanted["arguments"]]
    try:
        entrypoints.cli.main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    if sys.stdout is not None:
        sys.stdout.flush()
    asked.sendall(str(code).encode())
    os._exit(0)  # Taking all apart takes longer than most commands.
"""

_CLIENT = f"""#!{sys.executable} -SE
import json, os, socket, sys
asking = socket.socket(socket.AF_UNIX)
asking.connect(%r)
wanted = {{"arguments": sys.argv[1:], "environment": dict(os.environ), "folder": os.getcwd()}}
socket.send_fds(asking, [json.dumps(wanted).encode()], [0, 1, 2])
sys.exit(int(asking.recv(16) or 1))
"""


class Commands:
    """Runs `parley`."""

    def __init__(self, address: str, folder: Path) -> None:
        self._address = address
        self._folder = folder
        self.program = folder / "parley"
        """What is run as `parley` by a shell."""
        self.program.write_text(_CLIENT % address)
        self.program.chmod(0o700)

    def __call__(self, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
        """What a command printed, and its exit code. Its standard input is empty."""
        wanted = {"arguments": arguments, "environment": environment(**settings), "folder": os.getcwd()}
        with ExitStack() as files:
            nothing = files.enter_context(open(os.devnull))
            printed, complained = (files.enter_context(tempfile.TemporaryFile("w+")) for _ in range(2))
            asking = files.enter_context(socket.socket(socket.AF_UNIX))
            asking.connect(self._address)
            streams = [each.fileno() for each in (nothing, printed, complained)]
            socket.send_fds(asking, [json.dumps(wanted).encode()], streams)
            code = int(asking.recv(16) or 1)
            for each in (printed, complained):
                each.seek(0)
            return subprocess.CompletedProcess(arguments, code, printed.read(), complained.read())


@contextmanager
def commands() -> Iterator[Commands]:
    """Commands that can be run in the context."""
    with tempfile.TemporaryDirectory() as folder:
        address = f"{folder}/socket"
        process = subprocess.Popen([sys.executable, "-c", _FORKING, address], stdout=subprocess.PIPE, text=True)
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield Commands(address, Path(folder))
            process.terminate()
