"""On which line of a TOML document each value stands, which `tomllib` does not tell."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left

Path = tuple[str | int, ...]
"""The keys, and the places in arrays (from 0), that lead to a value."""

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_KEY = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|[A-Za-z0-9_-]+')
_BETWEEN_KEYS = re.compile(r"[ \t]*\.[ \t]*")
_EQUALS = re.compile(r"[ \t]*=[ \t]*")
_HEADER_END = re.compile(r"[ \t]*\]{1,2}")
_STRING = re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL)
_SCALAR = re.compile(r"[^,\]}\n#]*")


class Lines:
    """The lines of a document that `tomllib` has read without complaint (TOML 1.0)."""

    def __init__(self, document: str) -> None:
        self._text = document.replace("\r\n", "\n")
        self._at = 0
        self._ends = [found.start() for found in re.finditer("\n", self._text)]
        self._lines: dict[Path, int] = {(): 1}
        table: Path = ()
        self._pass(_BLANK)
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._pass(_BLANK)

    def of(self, path: Path) -> int:
        """The line where a value begins, or the nearest thing that it would be in; the first is 1."""
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]

    def _header(self) -> Path:
        line = self._line()
        self._at += 2 if self._text.startswith("[[", self._at) else 1
        self._pass(_BLANK)
        table = self._keys(())
        self._pass(_HEADER_END)
        self._lines[table] = line  # Its dotted keys or sub-tables may have come before it.
        return table

    def _pair(self, table: Path) -> None:
        path = self._keys(table)
        self._pass(_EQUALS)
        self._value(path)

    def _keys(self, path: Path) -> Path:
        """A key with its dots, each part of which is noted when it is new."""
        while raw := self._pass(_KEY):
            path = (*path, tomllib.loads(f"key = {raw}")["key"] if raw[0] in "\"'" else raw)
            self._lines.setdefault(path, self._line())
            if not self._pass(_BETWEEN_KEYS):
                break
        return path

    def _value(self, path: Path) -> None:
        self._lines.setdefault(path, self._line())
        match self._text[self._at]:
            case "[":
                self._at += 1
                place = 0
                while not self._closes("]"):
                    self._value((*path, place))
                    place += 1
            case "{":
                self._at += 1
                while not self._closes("}"):
                    self._pair(path)
            case '"' | "'":
                self._pass(_STRING)
            case _:
                self._pass(_SCALAR)

    def _closes(self, bracket: str) -> bool:
        """Go on to the next member of an array or inline table, or past its end."""
        self._pass(_BLANK)
        if self._text[self._at] == ",":
            self._at += 1
            self._pass(_BLANK)
        if self._text[self._at] != bracket:
            return False
        self._at += 1
        return True

    def _pass(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        return found[0]

    def _line(self) -> int:
        return bisect_left(self._ends, self._at) + 1
