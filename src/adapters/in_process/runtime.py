"""The time and the ids of this machine."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import uuid_utils.compat


def now() -> datetime:
    """See application.ports.runtime.Now."""
    return datetime.now(UTC)


def new_id() -> UUID:
    """See application.ports.runtime.NewId."""
    return uuid_utils.compat.uuid7()
