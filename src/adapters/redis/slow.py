"""Which commands take long: their names go into the log, without keys and values."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from redis import Redis
from redis.client import Pipeline

from application.telemetry import tell_slow


class TellingRedis(Redis):
    """A client that logs every command, and every pipeline, that takes longer than `slow` seconds."""

    slow: float

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """See Redis."""
        began = time.monotonic()
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        finally:
            if (took := time.monotonic() - began) >= self.slow:
                tell_slow("redis", str(args[0]), took)

    def pipeline(self, transaction: Any = True, shard_hint: Any = None) -> Pipeline:
        """See Redis."""
        pipeline = _TellingPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipeline.slow = self.slow
        return pipeline


class _TellingPipeline(Pipeline):
    slow: float

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """See Pipeline."""
        commands = [str(args[0]) for args, _ in self.command_stack]
        began = time.monotonic()
        try:
            executed: list[Any] = super().execute(raise_on_error)
            return executed
        finally:
            if (took := time.monotonic() - began) >= self.slow:
                counted = (f"{name}×{count}" for name, count in Counter(commands).items())
                tell_slow("redis", f"PIPELINE {' '.join(counted)}", took)
