"""The time and the ids of this machine, and the memory of this process."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import uuid_utils.compat


def now() -> datetime:
    """See application.ports.runtime.Now."""
    return datetime.now(UTC)


def new_id() -> UUID:
    """See application.ports.runtime.NewId."""
    return uuid_utils.compat.uuid7()


def resident_memory() -> int | None:
    """Bytes of memory that this process has at the moment, shared ones included; None where Linux does not tell."""
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None
