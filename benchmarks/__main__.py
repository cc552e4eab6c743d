"""Runs every measurement and prints the tables. `--quick` for a fraction of the load."""

from __future__ import annotations

import argparse
import platform
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks import pages, replies, startup


def main() -> None:
    arguments = argparse.ArgumentParser(prog="make bench")
    arguments.add_argument("--quick", action="store_true", help="a fraction of the load, for a first look")
    arguments.add_argument("--only", choices=["pages", "replies", "startup"])
    options = arguments.parse_args()
    console = Console(width=118)
    console.print(
        f"Python {platform.python_version()}, embedded default (SQLite, in-process queue and log). "
        "Ratios are taken in this run; absolute figures say more of this machine than of Parley."
    )
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        for part in (pages, replies, startup):
            name = part.__name__.removeprefix("benchmarks.")
            if options.only in (None, name):
                console.print(part.table(Path(folder) / name, quick=options.quick))


if __name__ == "__main__":
    main()
