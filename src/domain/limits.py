"""How large and how many: the bounds that entities keep. Every one is a setting; these are the defaults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from domain.errors import Invalid


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what one principal may store and run.

    Lengths count Unicode code points, `metadata_bytes` the UTF-8 bytes of the compact JSON.
    Sources: the chat-room seed (names, metadata, rooms, streams), the JWT seed (messages, history).
    """

    room_name: int = 100
    conversation_title: int = 200
    metadata_bytes: int = 10 * 1024
    message: int = 5_000
    rooms: int = 50
    live_replies: int = 5
    history: int = 20

    def text(self, field: str, value: str, at_most: int) -> str:
        """`value` stripped of surrounding white space; raises Invalid when 0 or more than `at_most` are left."""
        stripped = value.strip()
        if not stripped:
            raise Invalid({field: "Must not be empty."})
        if len(stripped) > at_most:
            raise Invalid({field: f"Must be at most {at_most:,} characters long, but has {len(stripped):,}."})
        if "\x00" in stripped:
            raise Invalid({field: "Must not contain the NUL character."})
        return stripped

    def metadata(self, value: Mapping[str, object]) -> dict[str, object]:
        """A copy of `value`; raises Invalid when its JSON is over `metadata_bytes`."""
        encoded = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        if len(encoded) > self.metadata_bytes:
            raise Invalid(
                {"metadata": f"Must be at most {self.metadata_bytes:,} bytes of JSON, but has {len(encoded):,}."}
            )
        if b"\\u0000" in encoded:
            raise Invalid({"metadata": "Must not contain the NUL character."})
        return dict(value)
