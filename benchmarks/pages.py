"""A page of history and a write, against the same thing done by hand in a bare Flask route over the same file."""

from __future__ import annotations

import sqlite3
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.table import Table
from tests.parley_process import ParleyProcess, environment, free_port, running
from tests.waiting import eventually

from benchmarks.process import cpu_seconds

_SIZES = (100, 10_000, 100_000)


@dataclass(frozen=True)
class Case:
    """A request to make again and again, and the process that answers it."""

    name: str
    pid: int
    request: Callable[[], httpx.Response]


def table(folder: Path, *, quick: bool) -> Table:
    rounds, requests = (3, 100) if quick else (5, 400)
    with running(folder, PARLEY_LIMIT_ROOMS=1_000_000) as parley, _bare(parley) as (bare_url, bare_pid):
        visitor = parley.visitor()
        room = visitor.room()
        for _ in range(50):
            visitor.conversation(room_id=room)
        conversations = {size: visitor.conversation() for size in _SIZES}
        for size, conversation in conversations.items():
            _fill(parley, conversation, size)
        with httpx.Client(headers={"Authorization": f"Bearer {visitor.token}"}) as client:

            def get(path: str, **query: int) -> Callable[[], httpx.Response]:
                return lambda: client.get(f"{parley.url}/api/v1{path}", params=query)

            history = {size: f"/conversations/{conversation}/messages" for size, conversation in conversations.items()}
            reads = [
                Case("bare: newest 20 messages", bare_pid, lambda: client.get(f"{bare_url}/{conversations[100]}")),
                *(Case(f"newest 20 of {size:,} messages", parley.pid, get(history[size], limit=20)) for size in _SIZES),
                Case("20 in the middle of 100,000", parley.pid, get(history[100_000], limit=20, before=50_000)),
                Case("newest 20 of 53 conversations", parley.pid, get("/conversations", limit=20)),
                Case("newest 20 rooms", parley.pid, get("/rooms", limit=20)),
            ]
            writes = [
                Case("bare: insert a conversation", bare_pid, lambda: client.post(f"{bare_url}/")),
                Case(
                    "start a conversation, with its event",
                    parley.pid,
                    lambda: client.post(f"{parley.url}/api/v1/conversations", json={}),
                ),
            ]
            shown = Table("request", "ms", "CPU ms in the server", "CPU, bare = 1", title="Pages and writes")
            for cases in (reads, writes):
                measured = _measure(cases, rounds, requests)
                for case in cases:
                    wall, cpu = measured[case.name]
                    against = measured[cases[0].name][1]
                    shown.add_row(case.name, f"{wall * 1e3:.2f}", f"{cpu * 1e3:.2f}", f"{cpu / against:.1f}")
    return shown


def _measure(cases: list[Case], rounds: int, requests: int) -> dict[str, tuple[float, float]]:
    """Seconds and CPU seconds a request: medians over rounds in which every case has its turn."""
    taken: dict[str, list[tuple[float, float]]] = {case.name: [] for case in cases}
    for _ in range(rounds):
        for case in cases:
            case.request().raise_for_status()
            cpu, began = cpu_seconds(case.pid), time.perf_counter()
            for _ in range(requests):
                case.request().raise_for_status()
            wall = time.perf_counter() - began
            taken[case.name].append((wall / requests, (cpu_seconds(case.pid) - cpu) / requests))
    return {
        name: (statistics.median(wall for wall, _ in both), statistics.median(cpu for _, cpu in both))
        for name, both in taken.items()
    }


def _fill(parley: ParleyProcess, conversation: str, size: int) -> None:
    """Write messages as so many questions and answers would leave them."""
    with closing(sqlite3.connect(parley.data_dir / "parley.db", timeout=30)) as database:
        key = uuid.UUID(conversation).hex
        database.executemany(
            "INSERT INTO messages (id, conversation_id, owner, position, version, role, content, status, sources, "
            "metadata, created_at) "
            "VALUES (?, ?, 'visitor:bench', ?, 1, ?, ?, 'completed', '[]', '{}', '2026-01-01 00:00:00.000000')",
            (
                (uuid.uuid4().hex, key, position, ("assistant", "user")[position % 2], f"Message {position}. " * 20)
                for position in range(1, size + 1)
            ),
        )
        database.execute(
            "UPDATE conversations SET message_count = ?, next_position = ? WHERE id = ?", (size, size + 1, key)
        )
        database.commit()


@contextmanager
def _bare(parley: ParleyProcess) -> Iterator[tuple[str, int]]:
    """The bare routes over the same database: where they are, and who answers."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-k", "gevent", "-b", f"127.0.0.1:{port}", "benchmarks.bare:app"]
    settings = environment(BARE_DATABASE=parley.data_dir / "parley.db")
    process = subprocess.Popen(command, env=settings, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: _answers(port))
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait(30)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/x").status_code == 200
    except httpx.TransportError:
        return False
