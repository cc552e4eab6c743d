"""PDFs made in a process apart, which takes as long as it takes."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, cast

from application.ports.exporting import PdfUnavailable, TooMuchForPdf
from application.ports.persistence import Document

log = logging.getLogger(__name__)

_COMMAND = (sys.executable, "-P", "-B", "-m", "adapters.pdf.child")
_SOURCES = Path(__file__).resolve().parents[2]
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
_CHUNK = 64 * 1024


class SubprocessPdfPrinter:
    """See application.ports.exporting.PdfPrinter. `fonts` are files of fonts, for what the built in ones lack.

    A PDF holds up to `max_messages`, takes up to `seconds` of a processor and `memory` bytes; `at_once` are made at
    the same time, and who comes then waits `patience` seconds at most.
    """

    def __init__(
        self,
        fonts: Sequence[Path],
        max_messages: int,
        *,
        seconds: int = 120,
        memory: int = 2 * 1024**3,
        at_once: int = 2,
        patience: float = 30.0,
    ) -> None:
        self._fonts = [str(font) for font in fonts]
        self._max_messages = max_messages
        self._seconds = seconds
        self._memory = memory
        self._room = threading.BoundedSemaphore(at_once)
        self._patience = patience

    def __call__(self, records: Iterable[Document]) -> Iterator[bytes]:
        with tempfile.TemporaryFile() as made:
            # Who takes long to read it keeps nobody from having another one made.
            with self._place():
                self._make(records, made)
            made.seek(0)
            while chunk := made.read(_CHUNK):
                yield chunk

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._room.acquire(timeout=self._patience):
            raise PdfUnavailable("Too many PDFs are being made. Try again, or ask for Markdown.")
        try:
            yield
        finally:
            self._room.release()

    def _make(self, records: Iterable[Document], made: IO[bytes]) -> None:
        with tempfile.TemporaryFile() as said, _child(made, said) as (child, takes):
            with suppress(BrokenPipeError):  # It has ended: why, it has said.
                self._feed(takes, records)
                takes.close()
            if code := child.wait():
                said.seek(0)
                cause = said.read()[-2000:].decode(errors="replace")
                log.error("a PDF could not be made (exit code %d): %s", code, cause)
                raise PdfUnavailable("No PDF can be made of this at the moment. Markdown and JSON are there.")

    def _feed(self, pipe: IO[bytes], records: Iterable[Document]) -> None:
        request = {"fonts": self._fonts, "seconds": self._seconds, "memory": self._memory, "parent": os.getpid()}
        pipe.write(json.dumps(request).encode() + b"\n")
        messages = 0
        for record in records:
            messages += record.get("type") == "message"
            if messages > self._max_messages:
                raise TooMuchForPdf(
                    f"It has more than {self._max_messages:,} messages, the most that a PDF may hold here. "
                    "Ask for format=markdown or format=json.",
                    limit=self._max_messages,
                )
            if record.get("type") not in ("document", "session", "project", "visitor", "job_analysis"):
                pipe.write(json.dumps(record, ensure_ascii=False, default=_written).encode() + b"\n")
        pipe.flush()


@contextmanager
def _child(made: IO[bytes], said: IO[bytes]) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """The process, which writes to two files, and the pipe that it reads. It has ended when the context has."""
    paths = [str(_SOURCES), *(path for path in sys.path if os.path.isabs(path))]
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    try:
        child = subprocess.Popen(  # noqa: S603 # no part of the command comes from outside
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=made,
            stderr=said,
            env=passed_on | {"PYTHONPATH": os.pathsep.join(paths)},
            cwd="/",
            start_new_session=True,  # Ctrl-C is for this process, which ends that one.
        )
    except OSError as error:
        raise PdfUnavailable(f"No PDF can be made at the moment: {error.strerror}.") from error
    takes = cast("IO[bytes]", child.stdin)
    try:
        yield child, takes
    finally:
        child.kill()
        with suppress(OSError):  # What it was still to take is nobody's any more.
            takes.close()
        child.wait()


def _written(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
