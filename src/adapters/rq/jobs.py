"""What a job of the queue does."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from uuid import UUID

writing: ContextVar[Callable[[UUID], None]] = ContextVar("writing")
"""How the worker that performs a job writes a reply."""


def write_reply(reply_id: str) -> None:
    """Write a queued reply; does nothing when another worker has it. Only `parley worker` can perform this."""
    writing.get()(UUID(reply_id))
