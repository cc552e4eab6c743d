"""`parley worker`: writes replies in a process of its own, many at once.

Imported after gevent has patched the standard library.
"""

from __future__ import annotations

import signal
import threading
from contextlib import suppress

import gevent

from entrypoints.background import Writing, deliveries, hearing, upkeep
from entrypoints.container import Container, observing
from entrypoints.metrics_server import show_metrics
from entrypoints.observability import configure_logging
from entrypoints.settings import SettingError, Settings
from entrypoints.starting import allow_files, require_servers, settle_memory


def work(settings: Settings) -> None:
    """Write replies until told to stop. Raises SettingError or ParleyError before anything is begun.

    SIGTERM: begin no more, give the replies under way the grace period, then hand over what is left: what
    has said nothing goes back to the queue, the rest ends as interrupted. SIGINT and SIGQUIT: leave no time.
    """
    configure_logging(settings.log_level, settings.log_format)
    if settings.redis_url is None:
        raise SettingError("PARLEY_REDIS_URL: without it the replies are written by `parley serve` itself.")
    allow_files()
    shown = observing.shown(None)
    container = Container(settings=settings, telemetry=shown.telemetry)
    require_servers(container)
    container.schema().require_current()
    app = container.application()
    process = observing.process(container.database(), app.telemetry)
    chores = upkeep(app) | deliveries(app) | {"process": (2.0, process)}
    writing = Writing(app, container.worker(), container.jobs_worker(), chores)
    show_metrics(settings, shown.page)
    told = threading.Event()
    at_once = threading.Event()

    def stop() -> None:
        told.set()

    def stop_at_once() -> None:
        at_once.set()
        told.set()
        app.replies.generate.stop_all()

    gevent.signal_handler(signal.SIGTERM, stop)
    for hasty in (signal.SIGINT, signal.SIGQUIT):
        gevent.signal_handler(hasty, stop_at_once)
    with hearing(app):
        writing.start()
        settle_memory()
        print(f"Parley writes up to {settings.concurrency} replies at once in this process.", flush=True)
        told.wait()
        writing.stop(0.0 if at_once.is_set() else settings.shutdown_grace)
    with suppress(Exception):
        app.relay.forget_delivered()
    container.reply_log().flush(2.0)
    if (tracer := app.telemetry.tracer) is not None:
        tracer.flush(2.0)
