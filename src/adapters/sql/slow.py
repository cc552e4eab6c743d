"""Which statements take long: their text, which never holds a value, goes into the log."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, event

from application.telemetry import tell_slow


def tell_slow_statements(engine: Engine, store: str, seconds: float) -> None:
    """Log every statement of `engine` that takes longer than so many seconds, from now on; 0: none.

    In the dialect's place and not around it: events of a connection cost several times as much for each statement.
    """
    if not seconds:
        return

    def timed(execute: Callable[..., None]) -> Callable[..., bool]:
        def perform(cursor: Any, statement: str, *arguments: Any) -> bool:
            began = time.monotonic()
            try:
                execute(cursor, statement, *arguments)
            finally:
                if (took := time.monotonic() - began) >= seconds:
                    tell_slow(store, statement, took)
            return True  # It is done.

        return perform

    dialect = engine.dialect
    for name in ("do_execute", "do_executemany", "do_execute_no_params"):
        event.listen(engine, name, timed(getattr(dialect, name)))
