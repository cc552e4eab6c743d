"""What a process makes sure of before it begins."""

from __future__ import annotations

import gc
import logging
import time

from application.ports.runtime import Misconfigured
from domain.errors import Unavailable
from entrypoints.container import Container
from entrypoints.settings import SettingError

log = logging.getLogger(__name__)

_NEEDED = "PARLEY_DATABASE_URL"


def settle_memory() -> None:
    """Keep what was loaded at the start out of every later garbage collection, which it would make a pause.

    A full collection over some hundred thousand objects takes a good part of a second, for everybody.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


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
