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


def packed(numbers: list[float]) -> str:
    """As the `encoding_format` base64 sends it: little-endian 32-bit floats."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
