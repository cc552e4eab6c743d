"""Read a model's stream in a thread of its own, so that nothing slows the upstream connection."""

from __future__ import annotations

import logging
import threading
from collections import deque

from application.ports.language import ModelError, ModelStream

log = logging.getLogger(__name__)


class ModelReader:
    """Hands over what has come of a stream since the last time.

    It wakes the consumer for the end, and for a piece only while `wakes` says that one is waited for.
    """

    def __init__(self, stream: ModelStream, wake: threading.Event) -> None:
        self._stream = stream
        self._wake = wake
        self._pieces: deque[str] = deque()
        self.wakes = True
        self.over = False
        self.failure: ModelError | None = None
        threading.Thread(target=self._read, name="model-reader", daemon=True).start()

    @property
    def has_more(self) -> bool:
        return bool(self._pieces) or self.over

    def take(self) -> str:
        """All that has come since the last call."""
        taken = []
        while self._pieces:
            taken.append(self._pieces.popleft())
        return "".join(taken)

    def _read(self) -> None:
        try:
            for piece in self._stream:
                self._pieces.append(piece)
                if self.wakes:
                    self._wake.set()
        except ModelError as failure:
            self.failure = failure
        except Exception as failure:
            log.exception("the model's stream failed unexpectedly")
            self.failure = ModelError("model_failed", f"The model's stream failed: {type(failure).__name__}.")
        finally:
            self.over = True
            self._wake.set()
            self._stream.release()
