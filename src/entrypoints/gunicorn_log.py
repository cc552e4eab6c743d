"""gunicorn's own lines in Parley's log."""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger


class GunicornLog(Logger):  # type: ignore[misc] # gunicorn has no types
    """Leaves where and how to log to the root logger; requests are logged by Parley itself."""

    def setup(self, cfg: Any) -> None:
        """Have no handlers."""
        self.cfg = cfg
        self.loglevel = self.LOG_LEVELS[cfg.loglevel]
        self._access_log_enabled = False
        self.error_log.setLevel(self.loglevel)
        self.error_log.propagate = True
