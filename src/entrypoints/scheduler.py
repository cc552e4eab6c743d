"""`parley scheduler`: cleans up regularly, in a process of its own."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import suppress
from types import FrameType

from application.facade import Application
from application.retention.cleaning import Cleaned, CleanUp
from domain.errors import Conflict, ParleyError, Unavailable
from entrypoints.container import Container, close, observing
from entrypoints.metrics_server import show_metrics
from entrypoints.observability import configure_logging
from entrypoints.settings import Settings
from entrypoints.starting import require_servers

log = logging.getLogger(__name__)

_AGAIN = 60.0
"""Seconds after which it is tried again while a server is away."""


class _Stopped(Exception):
    """The process shall end, between two steps."""


def schedule(settings: Settings, *, every: float) -> None:
    """Clean up now and every so many seconds, until SIGTERM or SIGINT; the step under way is finished.

    Raises SettingError or ParleyError before anything is begun.
    """
    configure_logging(settings.log_level, settings.log_format)
    shown = observing.shown(None)
    container = Container(settings=settings, telemetry=shown.telemetry)
    require_servers(container)
    container.schema().require_current()
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    app = container.application()
    show_metrics(settings, shown.page)
    print(f"Parley cleans up every {every:g} seconds.", flush=True)
    while not stopped.is_set():
        pause = every if _cleaned_up(app, stopped) else min(every, _AGAIN)
        stopped.wait(pause)
    with suppress(Unavailable):  # Then it is delivered once more.
        app.relay.forget_delivered()
    close(container)


def _cleaned_up(app: Application, stopped: threading.Event) -> bool:
    """Whether that is done for this time."""

    def advance(kind: str, done: int) -> None:
        if stopped.is_set():
            raise _Stopped

    try:
        cleaned = app.retention.clean_up(CleanUp(), advance)
    except _Stopped:
        return True
    except Conflict as busy:  # Another machine's turn.
        log.info("%s", busy.message)
        return True
    except Unavailable as away:
        log.warning("cleaning up is left for later: %s", away.message)
        return False
    except ParleyError as failure:
        log.warning("cleaning up failed: %s", failure.message)
        return False
    except Exception:
        log.exception("cleaning up failed")
        return False
    _tell(cleaned)
    return not cleaned.settled.away


def _tell(cleaned: Cleaned) -> None:
    """What was done, as numbers only."""
    done = {"closed": cleaned.closed, "deleted": cleaned.deleted, "purged": cleaned.purged, "removed": cleaned.removed}
    told = [f"{what} {n} {kind}" for what, tally in done.items() for kind, n in tally.items() if n]
    log.info("cleaned up: %s", ", ".join(told) or "there was nothing to do")
