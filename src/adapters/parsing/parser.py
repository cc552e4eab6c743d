"""Documents read where they can do no harm."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from adapters.parsing.kinds import kind_of
from adapters.parsing.reading import Bounds, pieces_of
from application.ports.parsing import MARKDOWN, PLAIN_TEXT, DocumentUnreadable, ParsedDocument, Piece
from domain.errors import Unavailable

log = logging.getLogger(__name__)

_SMALL = 64 * 1024
"""Bytes of text that are read in this process: some 10 ms, where starting another one takes ten times as long."""

_FEW_QUOTES = 50
"""Lines that are quotes: quotes within quotes take the Markdown parser the square of their lines."""

_QUOTED_WITHIN = " \t-*+.)0123456789"
"""What stands before a quote that is in a list."""

_COMMAND = (sys.executable, "-P", "-B", "-m", "adapters.parsing.child")
_SOURCES = Path(__file__).resolve().parents[2]
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
"""What a process of Python may need of the environment. Whoever takes the child over finds no secrets there."""

_ENDS = {
    signal.SIGXCPU: ("document_timed_out", "Reading the document takes too long."),
    signal.SIGKILL: ("document_too_large", "The document takes too much memory to read."),  # The system ran out of it.
    signal.SIGSEGV: ("document_broken", "The document is damaged."),
    signal.SIGABRT: ("document_broken", "The document is damaged."),
    signal.SIGBUS: ("document_broken", "The document is damaged."),
}


class SafeParser:
    """See application.ports.parsing.DocumentParser. Reads all but short texts in a process apart, a few at a time.

    `timeout` is in seconds, for waiting until there is room and for reading; `memory` is in bytes of address space
    for each of the `at_once` documents that are read at the same time.
    """

    def __init__(
        self,
        timeout: float = 60.0,
        max_characters: int = 5_000_000,
        max_pieces: int = 20_000,
        memory: int = 1024**3,
        at_once: int = 2,
    ) -> None:
        self._timeout = timeout
        self._bounds = Bounds(max_characters, max_pieces)
        self._memory = memory
        self._room = threading.BoundedSemaphore(at_once)

    def parse(self, content: bytes, *, name: str, media_type: str | None) -> ParsedDocument:
        if len(content) <= _SMALL and _is_utf8(content):
            kind, text = kind_of(content, name=name, media_type=media_type)
            if kind == PLAIN_TEXT or (kind == MARKDOWN and _quotes_in(text) <= _FEW_QUOTES):
                return pieces_of(kind, content, text, self._bounds)
        if not self._room.acquire(timeout=self._timeout):
            raise Unavailable("Too many documents are being read.")
        try:
            answer = self._ask_child(content, name, media_type)
        finally:
            self._room.release()
        if "slug" in answer:
            if "cause" in answer:
                log.info("A document could not be parsed: %s", answer["cause"])
            raise DocumentUnreadable(answer["slug"], answer["message"], **answer["details"])
        return ParsedDocument(
            title=answer["title"],
            media_type=answer["media_type"],
            characters=answer["characters"],
            pieces=[Piece(heading=heading, text=text, page=page) for heading, text, page in answer["pieces"]],
        )

    def _ask_child(self, content: bytes, name: str, media_type: str | None) -> dict[str, Any]:
        request = {
            "name": name,
            "media_type": media_type,
            "max_characters": self._bounds.max_characters,
            "max_pieces": self._bounds.max_pieces,
            "seconds": math.ceil(self._timeout) + 1,
            "memory": self._memory,
        }
        try:
            child = subprocess.run(  # noqa: S603 # no part of the command comes from outside
                _COMMAND,
                input=json.dumps(request).encode() + b"\n" + content,
                capture_output=True,
                timeout=self._timeout,
                env=_environment(),
                cwd="/",
                start_new_session=True,  # Ctrl-C is for this process, which may still have use for the answer.
            )
        except subprocess.TimeoutExpired:
            slug, message = _ENDS[signal.SIGXCPU]
            raise DocumentUnreadable(slug, message, seconds=self._timeout) from None
        except OSError as error:
            raise Unavailable(f"No document can be read at the moment: {error.strerror}.") from error
        if child.returncode == 0:
            answer: dict[str, Any] = json.loads(child.stdout)
            return answer
        if -child.returncode in _ENDS:
            raise DocumentUnreadable(*_ENDS[signal.Signals(-child.returncode)])
        log.error("A document could not be read: %s", child.stderr.decode(errors="replace")[-2000:])
        raise Unavailable("No document can be read at the moment.")


def _quotes_in(text: str) -> int:
    return sum(line.lstrip(_QUOTED_WITHIN).startswith(">") for line in text.splitlines())


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _environment() -> dict[str, str]:
    """The child finds what this process finds, wherever it was installed."""
    paths = [str(_SOURCES), *(path for path in sys.path if os.path.isabs(path))]
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return passed_on | {"PYTHONPATH": os.pathsep.join(paths)}
