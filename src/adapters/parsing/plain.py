"""Bytes as text, whatever they were written in, and text without marks as paragraphs."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from adapters.parsing.blocks import Block, Outline, clean

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks; that of UTF-32 begins like that of UTF-16."""

_ENCODINGS = [f"cp{page}" for page in (1252, 1250, 1251, 1253, 1254, 1255, 1256, 874, 932, 949)]
_ENCODINGS += ["koi8_r", "euc_jp", "gb18030", "big5"]
"""What files are still written in that are not Unicode: rarer ones are more often guessed than met."""

_DECLARED = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
_DECLARED_WITHIN = 1024
"""Bytes in which a page names its encoding (HTML, 4.2.5.4)."""

_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_BINARY = 0.1
"""The part of control characters beyond which it is no text: of random ASCII they are twice as much."""

_SAMPLE = 65_536
"""Characters that are looked at to tell what the rest is."""


def outline(text: str) -> Outline:
    """What stands between empty lines."""
    return Outline(None, _paragraphs(text))


def _paragraphs(text: str) -> Iterator[Block]:
    for paragraph in re.split(r"\n(?:[^\S\n]*\n)+", clean(text)):
        yield Block("paragraph", paragraph)


def decoded(content: bytes) -> str | None:
    """The text that the bytes are, or None when they are none."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _unless_binary(content.decode(encoding, errors="replace"))
    if wide := _wide(content[:_SAMPLE]):
        return _unless_binary(content.decode(wide, errors="replace"))
    text = content.decode("utf-8", errors="replace")
    wrong = text.count("\ufffd")
    # A few bytes that are wrong do not make it another encoding, in which the rest would be wrong.
    if not wrong or len(content) - len(text) > 40 * wrong:
        return _unless_binary(text)
    legacy = _declared(content) or _guessed(content)
    return None if legacy is None or _CONTROL.search(legacy) else legacy


def _unless_binary(text: str) -> str | None:
    sample = text[:_SAMPLE]
    return text if len(_CONTROL.findall(sample)) <= len(sample) * _BINARY else None


def _wide(sample: bytes) -> str | None:
    """UTF-16 that does not say so: of common characters every other byte is zero."""
    first, second = sample[::2].count(0), sample[1::2].count(0)
    enough, few = len(sample) * 0.15, len(sample) * 0.02
    if first <= few and second >= enough:
        return "utf-16-le"
    return "utf-16-be" if second <= few and first >= enough else None


def _declared(content: bytes) -> str | None:
    found = _DECLARED.search(content[:_DECLARED_WITHIN])
    try:
        return content.decode(found.group(1).decode("ascii"), errors="strict") if found else None
    except (LookupError, UnicodeDecodeError):
        return None


def _guessed(content: bytes) -> str | None:
    from charset_normalizer import from_bytes

    likely = list(from_bytes(content, cp_isolation=_ENCODINGS))
    # West European texts have so few letters of their own that others fit as well; it is by far the commonest.
    for match in likely:
        if match.encoding == "cp1252" and (match.chaos, -match.coherence) <= (likely[0].chaos, -likely[0].coherence):
            return str(match)
    if likely:
        return str(likely[0])
    try:
        return content.decode("cp1252")
    except UnicodeDecodeError:
        return None
