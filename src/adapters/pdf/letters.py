"""Which font has a character, and which characters none has."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from fpdf import FPDF
from fpdf.fonts import TTFFont

NOT_THERE = "\N{WHITE SQUARE}"
"""What stands for a character that no font has."""

PLAIN, BOLD, ITALIC, CODE = "plain", "bold", "italic", "code"

_FONTS = Path(__file__).parent / "fonts"
_BUILT_IN = {
    PLAIN: "DejaVuSans.ttf",
    BOLD: "DejaVuSans-Bold.ttf",
    ITALIC: "DejaVuSans-Oblique.ttf",
    CODE: "DejaVuSansMono.ttf",
}

_BEYOND_SIMPLE = (
    (0x0590, 0x08FF),  # Hebrew, Arabic, Syriac, Thaana, N'Ko: from right to left, and joined
    (0x0900, 0x109F),  # the scripts of India, Sri Lanka, Thailand, Laos, Tibet, Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1800, 0x18AF),  # Mongolian
    (0x1A20, 0x1AAF),  # Tai Tham
    (0xA800, 0xABFF),
    (0xFB1D, 0xFDFF),
    (0xFE70, 0xFEFF),
    (0x10800, 0x11FFF),
    (0x1E800, 0x1EFFF),
)
"""Where a character's shape and place depend on its neighbours: four times the work, left out elsewhere."""


class Letters:
    """The fonts of a PDF: the built in ones, and `files` for what those do not have, the first before the next."""

    def __init__(self, pdf: FPDF, files: Sequence[str]) -> None:
        self.missing: dict[str, int] = {}
        for name, file in _BUILT_IN.items():
            pdf.add_font(name, fname=_FONTS / file)
        self.more = [f"more{number}" for number, _ in enumerate(files)]
        for name, file in zip(self.more, files, strict=True):
            pdf.add_font(name, fname=file)
        self._has: dict[str, Collection[int]] = {
            name: font.cmap for name, font in pdf.fonts.items() if isinstance(font, TTFFont)
        }

    def runs(self, text: str, wanted: str) -> Iterator[tuple[str, str]]:
        """The text in parts, each with the font that has it, the `wanted` one as far as it goes."""
        fonts = [wanted, *(name for name in (PLAIN, CODE) if name != wanted), *self.more]
        for font, signs in groupby(text, lambda sign: self._font_of(sign, fonts)):
            part = "".join(signs)
            yield (part, font) if font is not None else (self._replaced(part), wanted)

    def is_simple(self, text: str) -> bool:
        """Whether it can be set from left to right, a character beside the other."""
        return text.isascii() or not any(
            begin <= ord(sign) <= end for sign in text if sign > "\u058f" for begin, end in _BEYOND_SIMPLE
        )

    def best_for(self, text: str) -> tuple[str, str]:
        """The one font that has most of a text, and the text without what no font has."""
        font = max((PLAIN, *self.more), key=lambda name: sum(ord(sign) in self._has[name] for sign in text))
        everywhere = [PLAIN, *self.more]
        return font, "".join(sign if self._font_of(sign, everywhere) else self._replaced(sign) for sign in text)

    def _font_of(self, sign: str, fonts: Sequence[str]) -> str | None:
        if sign in "\n\u200b\u200c\u200d\ufe0e\ufe0f" or unicodedata.category(sign) == "Cf":
            return fonts[0]  # Nothing to be seen.
        return next((name for name in fonts if ord(sign) in self._has[name]), None)

    def _replaced(self, signs: str) -> str:
        for sign in signs:
            self.missing[sign] = self.missing.get(sign, 0) + 1
        return NOT_THERE * len(signs)


def is_leftward(text: str) -> bool:
    """Whether a paragraph is read from right to left: its first letter says (Unicode Standard Annex 9, P2 and P3)."""
    for sign in text:
        direction = unicodedata.bidirectional(sign)
        if direction in ("L", "R", "AL"):
            return direction != "L"
    return False
