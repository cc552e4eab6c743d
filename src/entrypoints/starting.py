"""What a process makes sure of before it begins."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection

from application.ports.runtime import Misconfigured
from domain.errors import Unavailable
from entrypoints.container import Container
from entrypoints.settings import SettingError

log = logging.getLogger(__name__)

_PATIENCE = 30.0
"""Seconds that a database which does not answer is waited for: it may be starting at the same time."""


def require_servers(container: Container, *, needed: Collection[str] = ("PARLEY_DATABASE_URL",)) -> None:
    """Wait for the servers that there is no going on without, and warn of the others.

    Raises SettingError for a server that can never do as it is configured, and Unavailable, naming the
    setting, for a needed one that does not answer in time.
    """
    for setting, require in container.requirements().items():
        deadline = time.monotonic() + _PATIENCE
        pause = 0.2
        while True:
            try:
                require()
                break
            except Misconfigured as wrong:
                raise SettingError(f"{setting}: {wrong.message}") from None
            except Unavailable as away:
                if setting not in needed:
                    log.warning("%s: %s Going on without it.", setting, away.message)
                    break
                if time.monotonic() + pause > deadline:
                    raise Unavailable(f"{setting}: {away.message}") from None
                log.warning("%s: %s Waiting for it.", setting, away.message)
            time.sleep(pause)
            pause = min(2 * pause, 5.0)
