"""Counts the free pages of a SQLite file that hold something; to be run as a program, with the file's path.

In a process of its own: one that has the file open loses its locks as soon as it closes it anywhere
(https://www.sqlite.org/howtocorrupt.html, section 2.2).
"""

from __future__ import annotations

import sys
from pathlib import Path

_HEADER = 100
"""Bytes of the file's header (https://www.sqlite.org/fileformat2.html, section 1.3)."""


def written_free_pages(path: str) -> int:
    """How many pages of the freelist hold something (file format, section 1.5), but those that list others."""
    with Path(path).open("rb") as file:
        header = file.read(_HEADER)
        size = int.from_bytes(header[16:18], "big")
        size = 65536 if size == 1 else size
        trunk, written = int.from_bytes(header[32:36], "big"), 0
        while trunk:
            file.seek((trunk - 1) * size)
            page = file.read(size)
            count = int.from_bytes(page[4:8], "big")
            for place in range(count):
                leaf = int.from_bytes(page[8 + 4 * place : 12 + 4 * place], "big")
                file.seek((leaf - 1) * size)
                written += any(file.read(size))
            trunk = int.from_bytes(page[:4], "big")
    return written


if __name__ == "__main__":
    sys.stdout.write(str(written_free_pages(sys.argv[1])))
