"""Which statements take long: their text, which never holds a value, goes into the log."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Engine, event

from application.telemetry import tell_slow


def tell_slow_statements(engine: Engine, store: str, seconds: float) -> None:
    """Log every statement of `engine` that takes longer than so many seconds, from now on; 0: none."""
    if not seconds:
        return

    @event.listens_for(engine, "before_cursor_execute")
    def begin(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        context.began_at = time.monotonic()

    @event.listens_for(engine, "after_cursor_execute")
    def end(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        took = time.monotonic() - context.began_at
        if took >= seconds:
            tell_slow(store, statement, took)
