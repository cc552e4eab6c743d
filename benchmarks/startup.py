"""How long until it answers, and what it takes while nothing happens."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from rich.table import Table
from tests.parley_process import ParleyProcess

from benchmarks.process import cpu_seconds, memory_mb
from benchmarks.worlds import Make


def table(_make: Make, folder: Path, *, quick: bool) -> Table:
    times, memories, cpus = [], [], []
    for number in range(2 if quick else 5):
        parley = ParleyProcess(folder / str(number))
        began = time.perf_counter()
        parley.start()
        times.append(time.perf_counter() - began)
        time.sleep(1)
        cpu = cpu_seconds(parley.pid)
        time.sleep(3)
        cpus.append((cpu_seconds(parley.pid) - cpu) / 3)
        memories.append(memory_mb(parley.pid))
        parley.kill()
    shown = Table("start and rest", "median", title="Start, embedded: from an empty data folder, migrations included")
    shown.add_row("seconds until /readyz answers", f"{statistics.median(times):.2f}")
    shown.add_row("memory at rest, both processes (PSS)", f"{statistics.median(memories):.0f} MB")
    shown.add_row("CPU at rest", f"{statistics.median(cpus):.1%}")
    return shown
