"""How long commands take; the names of those that take long go into the log, without keys and values."""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import Any

from redis import Redis
from redis.client import Pipeline

from application.telemetry import Observe, tell_slow


class TimedRedis(Redis):
    """A client that logs what takes longer than `slow` seconds, commands and pipelines, and tells `observe` of all."""

    slow: float = math.inf
    observe: Observe | None = None

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """See Redis."""
        began = time.monotonic()
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        finally:
            took = time.monotonic() - began
            if self.observe is not None:
                self.observe("redis", str(args[0]).partition(" ")[0].lower(), took)
            if took >= self.slow:
                tell_slow("redis", str(args[0]), took)

    def pipeline(self, transaction: Any = True, shard_hint: Any = None) -> Pipeline:
        """See Redis."""
        pipeline = _TimedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipeline.slow, pipeline.observe = self.slow, self.observe
        return pipeline


class _TimedPipeline(Pipeline):
    slow: float = math.inf
    observe: Observe | None = None

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """See Pipeline."""
        commands = [str(args[0]) for args, _ in self.command_stack]
        began = time.monotonic()
        try:
            executed: list[Any] = super().execute(raise_on_error)
            return executed
        finally:
            took = time.monotonic() - began
            if self.observe is not None and commands:
                self.observe("redis", "pipeline", took)
            if took >= self.slow:
                counted = (f"{name}×{count}" for name, count in Counter(commands).items())
                tell_slow("redis", f"PIPELINE {' '.join(counted)}", took)
