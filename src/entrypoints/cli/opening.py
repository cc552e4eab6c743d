"""The installation that a command is about."""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from application.facade import Application
    from entrypoints.container import Container


def application() -> Application:
    """All that can be done with it."""
    return container().application()


def container(*, checked: bool = True, create: bool = False) -> Container:
    """The installation, whose database is at the revision that the code needs if that is to be checked.

    One that is not there yet is made only if `create` says so.
    """
    from entrypoints.container import Container
    from entrypoints.observability import configure_logging
    from entrypoints.settings import Settings
    from entrypoints.starting import require_servers

    settings = Settings.from_environment(create=create)
    configure_logging("WARNING")
    container = Container(settings=settings)
    if checked:
        require_servers(container, patience=0)
        container.schema().require_current()
        atexit.register(container.relay().forget_delivered)
    return container
