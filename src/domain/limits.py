"""How large and how many: the bounds that entities keep. Every one is a setting; these are the defaults."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from domain.errors import Invalid


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what one principal may store and run.

    Lengths count Unicode code points, `metadata_bytes` the UTF-8 bytes of the compact JSON, `document_bytes` those of
    a file. `added_message` bounds what was said elsewhere, answers among it. `documents` is the most in one project,
    `projects`, `rooms` and `job_analyses` the most of one principal. `history` messages are shown to the model, with
    up to `passages` that have `passage_tokens` in all; the `recent` ones to a client that comes back.
    Sources: the chat-room seed (names, metadata, rooms, streams), the JWT seed (messages, history), the
    WebSocket seed (messages on a socket, recent ones, sessions).
    """

    room_name: int = 100
    conversation_title: int = 200
    metadata_bytes: int = 10 * 1024
    message: int = 5_000
    added_message: int = 100_000
    socket_message: int = 2_000
    comment: int = 1_000
    project_name: int = 100
    description: int = 2_000
    document_title: int = 200
    document_bytes: int = 10 * 1024 * 1024
    projects: int = 50
    documents: int = 1_000
    job_description: int = 20_000
    job_analyses: int = 100
    rooms: int = 50
    sessions: int = 100
    sockets: int = 20
    live_replies: int = 5
    history: int = 20
    passages: int = 4
    passage_tokens: int = 2_000
    recent: int = 50

    def text(self, field: str, value: str, at_most: int) -> str:
        """`value` stripped of surrounding white space; raises Invalid when 0 or more than `at_most` are left."""
        stripped = value.strip()
        if not stripped:
            raise Invalid({field: "Must not be empty."})
        if len(stripped) > at_most:
            raise Invalid({field: f"Must be at most {at_most:,} characters long, but has {len(stripped):,}."})
        if not _is_text(stripped):
            raise Invalid({field: "Must be valid Unicode text without the NUL character."})
        return stripped

    def metadata(self, value: Mapping[str, object], field: str = "metadata") -> dict[str, object]:
        """A copy of `value`; raises Invalid, naming `field`, for what not every store or reader of JSON keeps.

        That is more than `metadata_bytes`, 32 levels, numbers that are not finite or need over 64 bits
        (RFC 8259, section 6), lone surrogates and NUL.
        """
        _require_portable(field, value, 1)
        copied = dict(value)
        encoded = json.dumps(copied, ensure_ascii=False, separators=(",", ":")).encode()
        if len(encoded) > self.metadata_bytes:
            raise Invalid({field: f"Must be at most {self.metadata_bytes:,} bytes of JSON, but has {len(encoded):,}."})
        return copied


_LEVELS = 32


def _require_portable(field: str, value: object, level: int) -> None:
    if level > _LEVELS:
        raise Invalid({field: f"Must not be nested deeper than {_LEVELS} levels."})
    match value:
        case str() if not _is_text(value):
            raise Invalid({field: "Must hold valid Unicode text without the NUL character."})
        case float() if not math.isfinite(value):
            raise Invalid({field: "Must not hold NaN or Infinity."})
        case int() if not -(2**63) <= value < 2**64:
            raise Invalid({field: "Must not hold whole numbers of more than 64 bits."})
        case Mapping():
            for key, member in value.items():
                _require_portable(field, key, level)
                _require_portable(field, member, level + 1)
        case list():
            for member in value:
                _require_portable(field, member, level + 1)
        case _:
            pass


def _is_text(value: str) -> bool:
    return "\x00" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
