"""Runs every measurement and prints the tables. `--quick` for a fraction of the load."""

from __future__ import annotations

import argparse
import platform
import tempfile
from pathlib import Path

from rich.console import Console
from tests.servers import report

from benchmarks import answers, pages, replies, retrieval, startup
from benchmarks.worlds import WORLDS

PARTS = {"pages": pages, "replies": replies, "answers": answers, "retrieval": retrieval, "startup": startup}


def main() -> None:
    arguments = argparse.ArgumentParser(prog="make bench")
    arguments.add_argument("--quick", action="store_true", help="a fraction of the load, for a first look")
    arguments.add_argument("--only", choices=list(PARTS))
    arguments.add_argument("--world", choices=list(WORLDS), help="only this one")
    options = arguments.parse_args()
    console = Console(width=150)
    console.print(
        f"Python {platform.python_version()}. "
        "Ratios are taken in this run; absolute figures say more of this machine than of Parley."
    )
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        for name, part in PARTS.items():
            for world, make in WORLDS.items():
                wanted = options.only in (None, name) and options.world in (None, world)
                if wanted and not (part is startup and world != "embedded"):
                    console.print(part.table(make, Path(folder) / name / world, quick=options.quick))
        console.print(report())


if __name__ == "__main__":
    main()
