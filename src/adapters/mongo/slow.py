"""How long commands take; the shape of those that take long, without any value, goes into the log."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from application.telemetry import Observe, tell_slow

_PLUMBING = frozenset({"lsid", "txnNumber", "$db", "$clusterTime", "$readPreference", "apiVersion"})

_WORDS = frozenset({"find", "aggregate", "count", "distinct", "update", "insert", "delete", "findAndModify", "getMore"})
"""The commands whose first value is the name of a collection."""

_STAGES = 10
"""How many stages of a pipeline, or documents of a list, are shown."""


class TimedCommands(CommandListener):
    """Logs every command that takes longer than `slow` seconds (0: none), and tells `observe` of all."""

    def __init__(self, slow: float, observe: Observe | None) -> None:
        self._microseconds = slow * 1e6 or math.inf
        self._observe = observe
        self._under_way: dict[int, Mapping[str, Any]] = {}

    def started(self, event: CommandStartedEvent) -> None:
        """Remember what it is."""
        self._under_way[event.request_id] = event.command

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Look how long it took."""
        self._ended(event)

    def failed(self, event: CommandFailedEvent) -> None:
        """Look how long it took."""
        self._ended(event)

    def _ended(self, event: CommandSucceededEvent | CommandFailedEvent) -> None:
        command = self._under_way.pop(event.request_id, None)
        if self._observe is not None:
            self._observe("mongo", event.command_name, event.duration_micros / 1e6)
        if event.duration_micros >= self._microseconds and command is not None:
            tell_slow("mongo", shape_of(command), event.duration_micros / 1e6)


def shape_of(command: Mapping[str, Any]) -> str:
    """A command with `?` for every value; of a list of values the first stands for all."""
    shown = {
        name: value if name in _WORDS and isinstance(value, str) else _shape(value)
        for name, value in command.items()
        if name not in _PLUMBING
    }
    return orjson.dumps(shown).decode()


def _shape(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _shape(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_shape(one) for one in value[:_STAGES]] if value and isinstance(value[0], Mapping) else ["?"]
    return "?"
