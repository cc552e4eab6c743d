"""What a process makes sure of before it begins."""

from __future__ import annotations

import gc
import logging
import resource
import time
from contextlib import suppress

from application.ports.runtime import Misconfigured
from domain.errors import Unavailable
from entrypoints.container import Container
from entrypoints.settings import SettingError

log = logging.getLogger(__name__)

_NEEDED = "PARLEY_DATABASE_URL"

_FILES = 65_536
"""More than one process can serve; many more would make some programs slow that go through all there may be."""


def settle_memory() -> None:
    """Keep what was loaded at the start out of every later garbage collection, which it would make a pause.

    A full collection over some hundred thousand objects takes a good part of a second, for everybody.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def allow_files() -> int:
    """Let this process, and those it starts, open as many files as it may, within reason; how many that are.

    The limit that a shell or a service begins with is often 1,024, and a connection is a file.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited:
        return _FILES
    wanted = _FILES if hard == unlimited else min(_FILES, hard)
    if soft < wanted:
        with suppress(OSError, ValueError):  # There are systems whose hard limit is not the last word.
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def require_servers(container: Container, *, patience: float = 30.0) -> None:
    """Wait up to `patience` seconds for the database, and warn of other servers that do not answer.

    Raises SettingError for a server that can never do as it is configured, and Unavailable when the
    database does not answer in time: it may be starting at the same time as we.
    """
    for setting, require in container.requirements().items():
        deadline = time.monotonic() + patience
        pause = 0.2
        while True:
            try:
                require()
                break
            except Misconfigured as wrong:
                raise SettingError(f"{setting}: {wrong.message}") from None
            except Unavailable as away:
                if setting != _NEEDED:
                    log.warning("%s: %s. Going on without it.", setting, away.message.rstrip("."))
                    break
                if time.monotonic() + pause > deadline:
                    raise Unavailable(f"{setting}: {away.message}") from None
                log.warning("%s: %s. Waiting for it.", setting, away.message.rstrip("."))
            time.sleep(pause)
            pause = min(2 * pause, 5.0)
