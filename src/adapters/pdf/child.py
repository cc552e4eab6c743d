"""A process for one PDF: `python -P -m adapters.pdf.child`.

On its standard input are a line of JSON (`fonts`, `seconds`, `memory`) and the records of an export, a line each; on
its standard output is the PDF, once all of them are there.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import traceback
import warnings
from contextlib import suppress


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
    logging.disable(logging.WARNING)  # fontTools tells of every table that it leaves out.
    warnings.simplefilter("ignore")
    # What makes pages is imported only where the limits hold.
    from adapters.pdf.pages import pages

    try:
        made = pages(map(json.loads, sys.stdin.buffer), request["fonts"])
    except Exception as error:
        # Where it went wrong is for the log; what it says of that may be a part of what somebody wrote.
        traceback.print_tb(error.__traceback__)
        sys.exit(f"{type(error).__name__}, while pages were made")
    sys.stdout.buffer.write(made)


if __name__ == "__main__":
    main()
