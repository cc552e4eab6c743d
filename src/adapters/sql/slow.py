"""How long statements take; the text of those that take long, which never holds a value, goes into the log."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, event

from application.telemetry import Observe, tell_slow

_KINDS = ("select", "insert", "update", "delete", "with")


def time_statements(engine: Engine, store: str, slow: float, observe: Observe | None) -> None:
    """Tell `observe` of every statement of `engine`, from now on, and the log of those longer than `slow` seconds.

    0 is none of them.

    In the dialect's place and not around it: events of a connection cost several times as much for each statement.
    """
    if not slow and observe is None:
        return
    too_long = slow or math.inf

    def timed(execute: Callable[..., None]) -> Callable[..., bool]:
        def perform(cursor: Any, statement: str, *arguments: Any) -> bool:
            began = time.monotonic()
            try:
                execute(cursor, statement, *arguments)
            finally:
                took = time.monotonic() - began
                if observe is not None:
                    observe(store, _kind(statement), took)
                if took >= too_long:
                    tell_slow(store, statement, took)
            return True  # It is done.

        return perform

    dialect = engine.dialect
    for name in ("do_execute", "do_executemany", "do_execute_no_params"):
        event.listen(engine, name, timed(getattr(dialect, name)))


def _kind(statement: str) -> str:
    begins = statement.lstrip()[:6].lower()
    return next((kind for kind in _KINDS if begins.startswith(kind)), "other")
