"""Read a model's stream in a thread of its own, so that nothing slows the upstream connection."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from application.ports.language import ModelError, ModelStream
from application.telemetry import spawn

log = logging.getLogger(__name__)


class ModelReader:
    """Hands over what has come of a stream since the last time; calls `wake` for the first piece and the end."""

    def __init__(self, stream: ModelStream, wake: Callable[[], None]) -> None:
        self._stream = stream
        self._wake = wake
        self._pieces: deque[str] = deque()
        self.over = False
        self.failure: ModelError | None = None
        spawn(self._read, name="model-reader")

    @property
    def has_pieces(self) -> bool:
        """Whether anything has come since the last call of `take`."""
        return bool(self._pieces)

    def take(self) -> str:
        """All that has come since the last call."""
        taken = []
        while self._pieces:
            taken.append(self._pieces.popleft())
        return "".join(taken)

    def _read(self) -> None:
        try:
            pieces = iter(self._stream)
            for first in pieces:
                self._pieces.append(storable(first))
                self._wake()
                break
            self._pieces.extend(map(storable, pieces))
        except ModelError as failure:
            self.failure = failure
        except Exception as failure:
            log.exception("the model's stream failed unexpectedly")
            self.failure = ModelError("model_failed", f"The model's stream failed: {type(failure).__name__}.")
        finally:
            self.over = True
            self._wake()
            self._stream.release()


def storable(text: str) -> str:
    """The text without what not every store can hold: NUL, and halves of surrogate pairs, which are no characters."""
    if text.isascii():
        return text.replace("\x00", "\ufffd") if "\x00" in text else text
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
