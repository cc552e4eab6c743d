"""What a running Parley says of itself. Message texts and secrets are never logged."""

from __future__ import annotations

import logging


def configure_logging(level: str) -> None:
    """Log to standard error, a line an event."""
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", force=True)
    # These tell every request at INFO.
    for name in ("httpx2", "httpcore2", "openai", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
