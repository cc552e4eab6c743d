"""Calls of tools on the Chat Completions wire: put together from their pieces, and sent back with what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import orjson

from application.ports.language import ModelError, ToolCall, ToolSpec, Turn

_CALLS = 64
_CHARACTERS = 256 * 1024
_NAME_CHARACTERS = 200


@dataclass(slots=True)
class _Part:
    """A call on its way."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether no more can belong to its arguments."""
        return is_object("".join(self.arguments))


class ToolCalls:
    """Puts calls together from the deltas of a stream, in the ways that compatible servers send them.

    OpenAI numbers the calls (`index`) and sends id and name once, then the arguments in pieces. Other servers repeat
    id or name in each piece, invent a new id for each, send a call in one piece, give all calls the index 0 or none,
    leave out the id, or write the arguments as an object. Whatever is not understood is passed over.
    """

    def __init__(self) -> None:
        self._parts: list[_Part] = []
        self._by_index: dict[int, _Part] = {}
        self._characters = 0

    def take(self, pieces: object) -> bool:
        """Take the `tool_calls` of a delta; says whether there were any. Raises ModelError when it is too much."""
        if not isinstance(pieces, list) or not pieces:
            return False
        for piece in pieces:
            if isinstance(piece, dict):
                self._take(piece)
        return True

    def made(self) -> list[ToolCall]:
        """The calls, in the order in which they began."""
        calls: dict[str, ToolCall] = {}
        for part in self._parts:
            if part.name:
                call_id = part.id if part.id and part.id not in calls else f"call_{uuid4().hex[:24]}"
                calls[call_id] = ToolCall(id=call_id, name=part.name, arguments="".join(part.arguments))
        return list(calls.values())

    def _take(self, piece: dict[str, Any]) -> None:
        function = piece.get("function")
        if not isinstance(function, dict):
            function = {}
        call_id, name = _text(piece.get("id")), _text(function.get("name"))
        arguments = function.get("arguments")
        if isinstance(arguments, dict):
            arguments = orjson.dumps(arguments).decode()
        if not isinstance(arguments, str):
            arguments = ""
        part = self._part(piece.get("index"), call_id, name, arguments)
        part.id = part.id or call_id
        part.name = part.name or name
        part.arguments.append(arguments.replace("\x00", ""))
        self._characters += len(arguments)
        if self._characters > _CHARACTERS or len(self._parts) > _CALLS:
            raise ModelError("model_failed", "The model asked for more than tools can take.")

    def _part(self, index: object, id: str, name: str, arguments: str) -> _Part:
        """The call that a piece belongs to, a new one if it begins one."""
        known = self._by_index.get(index) if isinstance(index, int) else self._unnumbered(id, name)
        if known is None or self._begins_another(known, id, name, arguments):
            known = _Part()
            self._parts.append(known)
        if isinstance(index, int):
            self._by_index[index] = known
        return known

    def _unnumbered(self, id: str, name: str) -> _Part | None:
        """Without an index, it goes on with the call of its id, or with the last one if it names nothing."""
        if id:
            same = [part for part in self._parts if part.id == id]
            return same[-1] if same else (self._parts[-1] if self._parts and not name else None)
        return self._parts[-1] if self._parts and not name else None

    @staticmethod
    def _begins_another(known: _Part, id: str, name: str, arguments: str) -> bool:
        """Whether a piece that seems to go on with a call names the next one."""
        if not name or not known.name:
            return False
        if id and known.id:
            return id != known.id
        return bool(arguments) and known.is_whole


def tools_of(specs: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    """The tools of a request."""
    return [
        {
            "type": "function",
            "function": {"name": spec.name, "description": spec.description, "parameters": spec.parameters},
        }
        for spec in specs
    ]


def message_of(turn: Turn) -> dict[str, Any]:
    """A turn as a message of a request."""
    if turn.tool_call_id is not None:
        return {"role": turn.role, "content": turn.content, "tool_call_id": turn.tool_call_id}
    if turn.tool_calls:
        return {"role": turn.role, "content": turn.content or None, "tool_calls": [_sent(c) for c in turn.tool_calls]}
    return {"role": turn.role, "content": turn.content}


def is_object(text: str) -> bool:
    """Whether the text is a JSON object, whole."""
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def _sent(call: ToolCall) -> Mapping[str, Any]:
    # There are servers that read the arguments, and refuse the request when a model had written no object.
    arguments = call.arguments if is_object(call.arguments) else "{}"
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _text(value: object) -> str:
    return value.replace("\x00", "")[:_NAME_CHARACTERS] if isinstance(value, str) else ""
