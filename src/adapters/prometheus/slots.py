"""One folder in which the processes of a server count together, so that any of them can show what all have counted.

Each process has a slot: files of prometheus_client's multiprocess mode under a number that is not the process's, as
the library has it, but the lowest one that is free. Whoever comes after a process that has ended goes on with its
counters. So they never fall while the server runs, and there are never more files than there were processes at once.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from prometheus_client.core import Metric as Family
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

_MOST = 10_000


def clean(folder: Path) -> None:
    """Begin anew in a folder, before any process counts there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)


class Slots:
    """The slots of a folder; this process has one of them until it ends, however that happens."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.mine, self._lock = self._taken()

    def collect(self) -> Iterator[Family]:
        """What all have counted, and what those that live have at the moment."""
        for path in self._folder.glob("slot-*"):
            number = int(path.name.removeprefix("slot-"))
            if number != self.mine and (lock := self._free(number)) is not None:
                lock.close()
        yield from MultiProcessCollector(None, str(self._folder)).collect()  # type: ignore[no-untyped-call]

    def _taken(self) -> tuple[int, IO[str]]:
        for number in range(_MOST):
            if (lock := self._free(number)) is not None:
                return number, lock
        raise OSError(f"All {_MOST} slots in {self._folder} are taken.")

    def _free(self, number: int) -> IO[str] | None:
        """The lock of a slot whose process has ended, with nothing left of what that had at the moment; else None."""
        lock = (self._folder / f"slot-{number}").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        mark_process_dead(number, str(self._folder))  # type: ignore[no-untyped-call]
        return lock
