"""A process for one PDF: `python -P -m adapters.pdf.child`.

On its standard input are a line of JSON (`fonts`, `seconds`, `memory`, `parent`) and the records of an export, a line
each; on its standard output is the PDF, once all of them are there.
"""

from __future__ import annotations

import json
import logging
import os
import re
import resource
import sys
import threading
import time
import traceback
import warnings
from contextlib import suppress

_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0e47-\u0e4e"
    "\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
)
_TOO_MANY_MARKS = re.compile(f"([{_MARKS}]{{8}})[{_MARKS}]+")
"""Marks on one letter beyond the eighth: no language has them, and to set thousands takes minutes."""


def main() -> None:
    """Make the PDF."""
    request = json.loads(sys.stdin.buffer.readline())
    for what, most in (
        (resource.RLIMIT_AS, request["memory"]),  # Bytes; macOS has no such limit.
        (resource.RLIMIT_CPU, request["seconds"]),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(OSError, ValueError):
            resource.setrlimit(what, (most, most))
    threading.Thread(target=_end_with_parent, args=(request["parent"],), daemon=True).start()
    logging.disable(logging.WARNING)  # fontTools tells of every table that it leaves out.
    warnings.simplefilter("ignore")
    # What makes pages is imported only where the limits hold.
    from adapters.pdf.pages import pages

    try:
        lines = (_TOO_MANY_MARKS.sub(r"\1", line.decode()) for line in sys.stdin.buffer)
        made = pages(map(json.loads, lines), request["fonts"])
    except Exception as error:
        # Where it went wrong is for the log; what it says of that may be a part of what somebody wrote.
        traceback.print_tb(error.__traceback__)
        sys.exit(f"{type(error).__name__}, while pages were made")
    sys.stdout.buffer.write(made)


def _end_with_parent(parent: int) -> None:
    """A parent that was killed ends nobody, and there is nobody left to read what is made here."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


if __name__ == "__main__":
    main()
