"""A page of history and a write, against the same thing done by hand in a bare Flask route over the same store."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.table import Table
from tests.parley_process import environment, free_port
from tests.waiting import eventually

from benchmarks.process import cpu_seconds
from benchmarks.worlds import Make, World

_SIZES = (100, 10_000, 100_000)


@dataclass(frozen=True)
class Case:
    """A request to make again and again, and the process that answers it."""

    name: str
    pid: int
    request: Callable[[], httpx.Response]


def table(make: Make, folder: Path, *, quick: bool) -> Table:
    rounds, requests = (3, 100) if quick else (5, 400)
    with make(folder, PARLEY_LIMIT_ROOMS=1_000_000) as world, _bare(world) as (bare_url, bare_pid):
        parley = world.web
        visitor = parley.visitor()
        room = visitor.room()
        for _ in range(50):
            visitor.conversation(room_id=room)
        conversations = {size: visitor.conversation() for size in _SIZES}
        for size, conversation in conversations.items():
            world.fill(conversation, "visitor:bench", size)
        world.settled()
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
            shown = Table(
                "request", "ms", "CPU ms in the server", "in its stores", "CPU, bare = 1", title=f"Pages, {world.name}"
            )
            for cases in (reads, writes):
                measured = _measure(cases, rounds, requests, list(world.servers.values()))
                for case in cases:
                    wall, cpu, stores = measured[case.name]
                    against = measured[cases[0].name][1]
                    shown.add_row(
                        case.name,
                        f"{wall * 1e3:.2f}",
                        f"{cpu * 1e3:.2f}",
                        f"{stores * 1e3:.2f}" if world.servers else "",
                        f"{cpu / against:.2f}",
                    )
    return shown


def _measure(cases: list[Case], rounds: int, requests: int, stores: list[int]) -> dict[str, tuple[float, ...]]:
    """Seconds and CPU seconds a request, the server's and its stores': medians over rounds of turns."""
    taken: dict[str, list[tuple[float, ...]]] = {case.name: [] for case in cases}
    for _ in range(rounds):
        for case in cases:
            case.request().raise_for_status()
            before = cpu_seconds(case.pid), sum(map(cpu_seconds, stores))
            began = time.perf_counter()
            for _ in range(requests):
                case.request().raise_for_status()
            wall = time.perf_counter() - began
            spent = cpu_seconds(case.pid) - before[0], sum(map(cpu_seconds, stores)) - before[1]
            taken[case.name].append(tuple(value / requests for value in (wall, *spent)))
    return {
        name: tuple(statistics.median(column) for column in zip(*rounds_of_it, strict=True))
        for name, rounds_of_it in taken.items()
    }


@contextmanager
def _bare(world: World) -> Iterator[tuple[str, int]]:
    """The bare routes over the same stores: where they are, and who answers."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-k", "gevent", "-b", f"127.0.0.1:{port}", "benchmarks.bare:app"]
    settings = environment(**world.bare)
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
