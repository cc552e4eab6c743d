"""Vectors of texts, the same every time: texts that share words are near each other."""

from __future__ import annotations

import base64
import math
import re
import struct
import zlib

DIMENSION = 256


def vector(text: str, dimension: int = DIMENSION) -> list[float]:
    """A bag of words, each hashed to one place (Weinberger et al., 2009), of length 1."""
    counts = [0.0] * dimension
    for word in re.findall(r"\w+", text.lower()):
        counts[zlib.crc32(word.encode()) % dimension] += 1.0
    length = math.sqrt(sum(count * count for count in counts))
    if not length:
        return [1.0] + [0.0] * (dimension - 1)
    return [count / length for count in counts]


def subword_vector(text: str, dimension: int = DIMENSION) -> list[float]:
    """A bag of the pieces of words, three and four letters long, as fastText has it (Bojanowski et al., 2017).

    Inflections, compounds and misspellings are near each other, words of the same meaning no more than by chance.
    """
    counts = [0.0] * dimension
    for word in re.findall(r"\w+", text.lower()):
        marked = f"<{word}>"
        pieces = [marked[at : at + size] for size in (3, 4) for at in range(len(marked) - size + 1)] or [marked]
        for piece in pieces:
            counts[zlib.crc32(piece.encode()) % dimension] += len(word) / len(pieces)
    length = math.sqrt(sum(count * count for count in counts))
    return [count / length for count in counts] if length else [1.0] + [0.0] * (dimension - 1)


def packed(numbers: list[float]) -> str:
    """As the `encoding_format` base64 sends it: little-endian 32-bit floats."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
