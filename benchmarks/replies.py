"""Live replies: what Parley adds to the model's own stream, from one at a time to a thousand at once."""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.table import Table
from tests.parley_process import Client, ParleyProcess, free_port
from tests.waiting import eventually

from benchmarks.model import PACE, TOKENS
from benchmarks.process import cpu_seconds, memory_mb
from benchmarks.worlds import Make

_IDEAL = (TOKENS - 1) * PACE


@dataclass(frozen=True)
class Stream:
    """A request that is answered by a stream, and what to look for in its lines."""

    port: int
    request: bytes
    first: bytes
    end: bytes


@dataclass(frozen=True)
class Seen:
    """When the first word and the end came, in seconds after the request; nothing for a stream that broke off."""

    first: float
    end: float


def table(make: Make, folder: Path, *, quick: bool) -> Table:
    cases = [(1, 0.0), (50, 0.0), (200, 0.0), (200, 10.0), (1000, 10.0), (1000, 0.0)]
    if quick:
        cases = cases[:3]
    settings = {
        "PARLEY_LIMIT_LIVE_REPLIES": 100_000,
        "PARLEY_CONCURRENCY": 2_000,
        "PARLEY_REPLY_TIMEOUT": 120,
        "PARLEY_MODEL": "bench",
        "PARLEY_CACHE_ANSWERS": 0,  # everybody asks the same
    }
    with _model() as model_port:
        url = f"http://127.0.0.1:{model_port}/v1"
        with make(folder, OPENAI_BASE_URL=url, OPENAI_API_KEY="bench", **settings) as world:
            parts = {**world.ours, **{name: pid for name, pid in world.servers.items() if name == "Redis"}}
            shown = Table(
                "live replies",
                "first word, over the model's own: p50 · p99 ms",
                f"whole, p50 s (ideal {_IDEAL:.2f})",
                f"CPU ms a token: {' + '.join(parts)}",
                "MB a stream",
                "failed",
                title=f"Live replies, {world.name}: {TOKENS} tokens at {1 / PACE:.0f} a second each",
            )
            visitor = world.web.visitor()
            _run([_through(world.web, visitor)], 0.0)
            at_rest = sum(map(memory_mb, world.ours.values()))
            more = _a_token_more(world.web, visitor, list(parts.values()), count=20 if quick else 50)
            for count, spread in cases:
                direct = _run([_direct(model_port)] * count, spread)
                streams = [_through(world.web, visitor) for _ in range(count)]
                before = [cpu_seconds(pid) for pid in parts.values()]
                peak: list[float] = []
                seen = _run(streams, spread, partial(_note_memory, peak, list(world.ours.values())))
                spent = [cpu_seconds(pid) - cpu for pid, cpu in zip(parts.values(), before, strict=True)]
                over = [one.first - _quantile([each.first for each in direct], 0.5) for one in seen]
                a_token = [cpu * 1e3 / (count * TOKENS) for cpu in spent]
                shown.add_row(
                    f"{count:,} {'at once' if not spread else f'over {spread:.0f} s'}",
                    f"{_quantile(over, 0.5) * 1e3:.0f} · {_quantile(over, 0.99) * 1e3:.0f}",
                    f"{_quantile([one.end for one in seen], 0.5):.2f}",
                    _summed(a_token),
                    f"{(max(peak) - at_rest) / count:.2f}" if count > 1 else "",
                    f"{count - len(seen)}",
                )
            shown.add_section()
            shown.add_row("a token more, by replies of 100 and of 500", "", "", _summed(more))
            stops = [_stop(visitor) for _ in range(5 if quick else 20)]
            shown.add_row("stop one: until 200", f"{_quantile(stops, 0.5) * 1e3:.0f} · {max(stops) * 1e3:.0f}")
    return shown


def _a_token_more(parley: ParleyProcess, visitor: Client, pids: list[int], *, count: int) -> list[float]:
    """CPU ms of each process for one token more, without what a reply costs whatever its length."""
    spent = []
    for tokens in (TOKENS, 5 * TOKENS):
        streams = [_through(parley, visitor, tokens) for _ in range(count)]
        before = list(map(cpu_seconds, pids))
        _run(streams, 2.0)
        spent.append([cpu_seconds(pid) - cpu for pid, cpu in zip(pids, before, strict=True)])
    return [1e3 * (long - short) / (count * 4 * TOKENS) for short, long in zip(*spent, strict=True)]


def _summed(shares: list[float]) -> str:
    return f"{sum(shares):.3f}" + (f" = {' + '.join(f'{share:.3f}' for share in shares)}" if shares[1:] else "")


def _run(streams: list[Stream], spread: float, midway: Callable[[], None] | None = None) -> list[Seen]:
    return asyncio.run(_watch_all(streams, spread, midway))


async def _watch_all(streams: list[Stream], spread: float, midway: Callable[[], None] | None) -> list[Seen]:
    async def after(delay: float, stream: Stream) -> Seen | None:
        await asyncio.sleep(delay)
        try:
            async with asyncio.timeout(60):
                return await _watch(stream)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return None

    tasks = [asyncio.create_task(after(spread * n / len(streams), stream)) for n, stream in enumerate(streams)]
    if midway is not None:
        await asyncio.sleep(max(spread, 2.0))
        midway()
    return [seen for seen in await asyncio.gather(*tasks) if seen is not None]


async def _watch(stream: Stream) -> Seen | None:
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", stream.port)
    first = 0.0
    try:
        writer.write(stream.request)
        while block := await reader.read(65536):
            if not first and stream.first in block:
                first = time.perf_counter() - began
            if stream.end in block:
                return Seen(first, time.perf_counter() - began)
    finally:
        writer.close()
    return None


def _direct(port: int) -> Stream:
    body = json.dumps(
        {"model": "bench", "stream": True, "messages": [{"role": "user", "content": str(TOKENS)}]}
    ).encode()
    return Stream(port, _post("/v1/chat/completions", body), b"token0", b"[DONE]")


def _through(parley: ParleyProcess, visitor: Client, tokens: int = TOKENS) -> Stream:
    conversation = visitor.conversation()
    body = json.dumps({"content": str(tokens)}).encode()
    path = f"/api/v1/conversations/{conversation}/messages"
    head = f"Authorization: Bearer {visitor.token}\r\nAccept: text/event-stream\r\n"
    return Stream(parley.port, _post(path, body, head), b"token0", b"reply.completed")


def _post(path: str, body: bytes, head: str = "") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def _note_memory(noted: list[float], pids: list[int]) -> None:
    noted.append(sum(map(memory_mb, pids)))


def _stop(visitor: Client) -> float:
    reply = visitor.ask(visitor.conversation(), str(TOKENS))
    next(event for event in visitor.events(reply) if event.event == "reply.delta")
    began = time.perf_counter()
    assert visitor.call("POST", f"/replies/{reply}/cancel").status_code == 200
    return time.perf_counter() - began


def _quantile(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1] if values[1:] else values[0]


@contextmanager
def _model() -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.model", str(port)])
    try:
        eventually(lambda: _listens(port))
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
