"""What a terminal, a pipe and Ctrl-C do to commands: each is a process of its own, on a terminal of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import sqlite3
import struct
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.parley_process import PARLEY, cli, environment
from tests.waiting import eventually

Settings = dict[str, Any]

ROOM_ROWS = 1_000


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """An installation with more rooms than a pipe holds."""
    settings: Settings = {"PARLEY_DATA_DIR": tmp_path_factory.mktemp("installation")}
    assert cli("migrate", **settings).returncode == 0
    _fill(Path(str(settings["PARLEY_DATA_DIR"])) / "parley.db")
    return settings


def _fill(file: Path) -> None:
    insert = (
        "INSERT INTO rooms (id, owner, name, metadata, created_at, updated_at, deletion_id, version) "
        "VALUES (?, 'user:alice', ?, '{}', '2026-11-20 12:00:00', '2026-11-20 12:00:00', NULL, 1)"
    )
    with sqlite3.connect(file) as database:
        rows = [(f"{number:032x}", f"Room {number} " + "of a long name " * 300) for number in range(ROOM_ROWS)]
        database.executemany(insert, rows)
    database.close()


class Terminal:
    """A `parley` on a terminal of so many columns; what it prints on it is `output`."""

    def __init__(self, *arguments: str, columns: int = 100, piped: bool = False, **settings: object) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        self.process = subprocess.Popen(
            [PARLEY, *arguments],
            env=environment(TERM="xterm", COLUMNS=columns, **settings),
            stdin=theirs,
            stdout=subprocess.PIPE if piped else theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        os.set_blocking(self._ours, False)
        self.output = ""

    def says(self, words: str) -> str:
        """Wait until it has said that."""

        def said() -> bool:
            assert self.process.poll() is None or words in self._read(), self.output
            return words in self._read()

        eventually(said, within=30)
        return self.output

    def types(self, text: str) -> None:
        """Press keys; "\\x03" is Ctrl-C, "\\x04" Ctrl-D."""
        os.write(self._ours, text.encode())

    def ends(self) -> int:
        """Its exit code; all that it has said is in `output` then."""
        eventually(lambda: self._read() is not None and self.process.poll() is not None, within=30)
        self._read()
        return self.process.returncode

    def close(self) -> None:
        """Hang up."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self._ours)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _read(self) -> str:
        while True:
            try:
                part = os.read(self._ours, 65_536)
            except OSError:  # Nothing is there, or nobody any more.
                return self.output
            if not part:
                return self.output
            self.output += part.decode(errors="replace").replace("\r\n", "\n")


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    """Those that are to be hung up."""
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.close()


def test_what_reads_the_output_may_go(settings: Settings) -> None:
    for arguments in ("rooms list --limit 1000", "rooms list --limit 1000 --json"):
        piped = subprocess.run(
            ["bash", "-c", f'set -o pipefail; "$1" {arguments} | head -1; echo "${{PIPESTATUS[0]}}"', "_", PARLEY],
            env=environment(**settings),
            capture_output=True,
            text=True,
            timeout=60,
        )

        first, code = piped.stdout.splitlines()
        assert first.split()[0] in ("id", "{"), arguments
        assert (code, piped.stderr) == ("141", ""), arguments


def test_a_full_disk_is_said_in_a_line(settings: Settings) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [PARLEY, "rooms", "list"], env=environment(**settings), stdout=full, stderr=subprocess.PIPE, text=True
        )

    assert (done.returncode, done.stderr) == (1, "Error: The output cannot be written: No space left on device.\n")


CLOSED = {
    "rooms list >&-": (0, ""),
    "export --all >&-": (0, ""),
    "export --all --format markdown >&-": (0, ""),
    "import - --dry-run <&-": (1, "Error: "),
    "token show <&-": (1, "Error: "),
    "cleanup 2>&-": (2, ""),
}
"""What a command with closed streams exits with, and how what it says begins."""


@pytest.mark.parametrize("arguments", CLOSED)
def test_streams_that_are_closed_are_empty_and_not_missed(arguments: str, settings: Settings) -> None:
    done = subprocess.run(
        ["bash", "-c", f'"$1" {arguments}', "_", PARLEY], env=environment(**settings), capture_output=True, text=True
    )

    code, begins = CLOSED[arguments]
    assert (done.returncode, done.stderr[: len(begins) or None]) == (code, begins)
    assert "Traceback" not in done.stderr


def test_a_table_fits_the_terminal_and_a_pipe_has_it_whole(settings: Settings, terminals: list[Terminal]) -> None:
    terminals.append(narrow := Terminal("rooms", "list", "--limit", "3", columns=110, **settings))
    assert narrow.ends() == 0
    wide = cli("rooms", "list", "--limit", "3", **settings).stdout

    header, *rows, total = re.sub(r"\x1b\[[0-9;]*m", "", narrow.output).splitlines()
    assert header.split()[:3] == ["id", "owner", "name"]
    assert total == f"3 of {ROOM_ROWS}"
    assert all(len(row) <= 110 and "…" in row for row in rows)
    assert all(re.match(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12} ", row) for row in rows)
    assert len(rows) == 3
    terminals.append(narrowest := Terminal("rooms", "list", "--limit", "3", columns=40, **settings))
    assert narrowest.ends() == 0
    whole = re.sub(r"\x1b\[[0-9;]*m", "", narrowest.output).splitlines()
    assert whole[0].split() == header.split()
    assert all(row.split()[:2] == short.split()[:2] for row, short in zip(rows, whole[1:-1], strict=True))
    assert "of a long name of a long name of a long name" in wide


def test_what_cannot_be_undone_is_asked_first(data_dir: Path, terminals: list[Terminal]) -> None:
    installation: Settings = {"PARLEY_DATA_DIR": data_dir}
    assert cli("migrate", **installation).returncode == 0

    def asked() -> Terminal:
        terminals.append(terminal := Terminal("migrate", "--down-to", "base", **installation))
        terminal.says("Go on? [y/N]")
        return terminal

    answers = {"\n": 1, "\x04": 1, "\x03": 130}
    for answer, code in answers.items():
        terminal = asked()
        terminal.types(answer)
        assert terminal.ends() == code, (answer, terminal.output)
        assert ("Interrupted." if code == 130 else "Error: Nothing was done.") in terminal.output
        assert "Traceback" not in terminal.output
    assert cli("rooms", "list", **installation).returncode == 0
    terminal = asked()
    terminal.types("y\n")

    assert terminal.ends() == 0
    assert "The database is at revision none." in terminal.output


def test_a_question_is_not_part_of_the_result(settings: Settings, terminals: list[Terminal]) -> None:
    terminals.append(terminal := Terminal("migrate", "--down-to", "base", piped=True, **settings))
    terminal.says("Go on? [y/N]")
    terminal.types("n\n")

    assert terminal.ends() == 1
    assert terminal.process.stdout is not None
    assert terminal.process.stdout.read() == b""


def _documents(folder: Path, number: int) -> Path:
    folder.mkdir()
    for each in range(number):
        (folder / f"{each:04}.md").write_text(f"# Part {each}\n\nText of part {each}.\n")
    return folder


def _begun(settings: Settings) -> int:
    with sqlite3.connect(f"{settings['PARLEY_DATA_DIR']}/parley.db") as database:
        counted = "SELECT count(*) FROM documents JOIN projects ON projects.id = project_id WHERE key = 'stopped'"
        (number,) = database.execute(counted).fetchone()
    database.close()
    return int(number)


def test_long_work_ends_between_two_steps_at_ctrl_c_and_goes_on_later(
    settings: Settings, tmp_path: Path, terminals: list[Terminal]
) -> None:
    folder = _documents(tmp_path / "parts", 300)
    arguments = ("knowledge", "ingest", str(folder), "--project", "stopped")
    terminals.append(terminal := Terminal(*arguments, piped=True, **settings))
    terminal.says("reading in")  # The bar, on the terminal and not among the result.
    eventually(lambda: _begun(settings) >= 3, within=30)
    terminal.types("\x03")
    terminal.says("Stopping after this step.")

    code = terminal.ends()
    left = _begun(settings)
    goes_on = cli(*arguments, **settings)

    assert code == 130
    assert terminal.output.rstrip().endswith("Interrupted. Run the same command again to go on.")
    assert 3 <= left < 300
    assert (
        goes_on.stdout == f"Project stopped: {300 - left} added, 0 replaced, {left} unchanged, 0 deleted, 0 failed.\n"
    )
    assert goes_on.stderr == ""


def test_ctrl_c_ends_a_command_that_waits_for_a_server(data_dir: Path, terminals: list[Terminal]) -> None:
    """One that takes connections and says nothing."""
    import socket

    data_dir.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://parley@127.0.0.1:{silent.getsockname()[1]}/parley"
        waiting: Settings = {"PARLEY_DATA_DIR": data_dir, "PARLEY_DATABASE_URL": url}
        terminals.append(terminal := Terminal("rooms", "list", **waiting))
        taken, _ = silent.accept()
        with taken:
            os.killpg(terminal.process.pid, signal.SIGINT)
            code = terminal.ends()

    assert code == 130
    assert terminal.output.strip().endswith("Interrupted.")
    assert "Traceback" not in terminal.output


def test_a_token_is_asked_for_on_a_terminal_without_showing_it(settings: Settings, terminals: list[Terminal]) -> None:
    token = cli("token", "issue", "--user", "alice", **settings).stdout
    terminals.append(terminal := Terminal("token", "show", **settings))
    terminal.says("Token:")
    terminal.types(token)

    assert terminal.ends() == 0
    assert "user:alice" in terminal.output
    assert token.strip() not in terminal.output


def test_a_token_is_read_from_a_pipe_and_refused_in_a_line(settings: Settings) -> None:
    def shown(given: bytes) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([PARLEY, "token", "show"], env=environment(**settings), input=given, capture_output=True)

    good = cli("token", "issue", "--user", "alice", "--role", "admin", **settings).stdout.encode()

    assert b"user:alice" in shown(good).stdout
    for bad in (good[:-4] + b"AAAA", b"\xff\x1b[31m" * 10_000):
        refused = shown(bad)
        assert (refused.returncode, refused.stdout) == (1, b""), bad[:20]
        assert re.fullmatch(rb"Error: [ -~]+\n", refused.stderr)
