"""The installation that a command is about."""

from __future__ import annotations

import atexit
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from application.facade import Application
    from entrypoints.container import Container


def application() -> Application:
    """All that can be done with it."""
    return container().application()


def container(*, checked: bool = True, create: bool = False) -> Container:
    """The installation, whose database is at the revision that the code needs if that is to be checked.

    What is not there yet (the data folder, the secret, the database's file) is made only if `create` says so.
    """
    from dataclasses import replace

    from entrypoints.container import Container
    from entrypoints.observability import configure_logging
    from entrypoints.settings import Settings
    from entrypoints.starting import require_servers

    # Commands go through everything there is, and wait for their turn: that is no sign of anything.
    settings = replace(Settings.from_environment(create=create), slow_query=0.0)
    configure_logging("WARNING")
    container = Container(settings=settings)
    if checked:
        schema = container.schema()
        schema.require_there()
        require_servers(container, patience=0)
        schema.require_current()
        atexit.register(_forget_delivered, container)
    return container


def _forget_delivered(container: Container) -> None:
    from domain.errors import ParleyError

    with suppress(ParleyError):  # Then it is delivered once more.
        container.relay().forget_delivered()
