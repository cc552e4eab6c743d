"""`parley worker`: writes replies in a process of its own, many at once.

Imported after gevent has patched the standard library.
"""

from __future__ import annotations

import signal
import threading

import gevent

from entrypoints.background import Writing, deliveries, upkeep
from entrypoints.container import Container
from entrypoints.observability import configure_logging
from entrypoints.settings import SettingError, Settings
from entrypoints.starting import require_servers, settle_memory


def work(settings: Settings) -> None:
    """Write replies until told to stop. Raises SettingError or ParleyError before anything is begun.

    SIGTERM: begin no more, give the replies under way the grace period, then hand over what is left: what
    has said nothing goes back to the queue, the rest ends as interrupted. SIGINT and SIGQUIT: leave no time.
    """
    configure_logging(settings.log_level)
    if settings.redis_url is None:
        raise SettingError("PARLEY_REDIS_URL: without it the replies are written by `parley serve` itself.")
    container = Container(settings=settings)
    require_servers(container)
    container.schema().require_current()
    app = container.application()
    writing = Writing(app, container.worker(), upkeep(app) | deliveries(app))
    told = threading.Event()
    grace = settings.shutdown_grace

    def stop(seconds: float) -> None:
        nonlocal grace
        grace = seconds
        told.set()

    gevent.signal_handler(signal.SIGTERM, stop, grace)
    for at_once in (signal.SIGINT, signal.SIGQUIT):
        gevent.signal_handler(at_once, stop, 0.0)
    writing.start()
    settle_memory()
    print(f"Parley writes up to {settings.concurrency} replies at once in this process.", flush=True)
    told.wait()
    writing.stop(grace)
    app.relay.forget_delivered()
    container.reply_log().flush(2.0)
