"""Ask a model for a little JSON, and give up soon."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field

from application.ports.language import LanguageModel, ModelError, ModelStream, Prompt, Turn
from domain.agents import NO_KNOWLEDGE, Agent

_LONGEST = 20_000
"""Characters of an answer; a longer one is none of the sort that was asked for."""


@dataclass(frozen=True, slots=True)
class ShortAnswers:
    """Asks a model about a text, and reads its answer as JSON.

    The text may be anybody's: whoever asks checks the answer as if its author had written it.
    """

    model: LanguageModel

    def ask(self, instructions: str, text: str, *, max_tokens: int, within: float) -> object:
        """The JSON object that the model answers with. Raises ModelError, after `within` seconds at the latest."""
        agent = Agent("classifier", "", instructions, knowledge=NO_KNOWLEDGE)
        turn = Turn(role="user", content=text)
        reading = _Reading(self.model.stream(Prompt(agent=agent, turns=[turn], passages=(), max_tokens=max_tokens)))
        # In a thread of its own, because a connection or a pause between two tries may outlast anybody's patience.
        thread = threading.Thread(target=reading.read, name="short-answer", daemon=True)
        thread.start()
        thread.join(within)
        if thread.is_alive():
            reading.stream.abort()
            raise ModelError("model_timeout", f"The model did not answer within {within:g} seconds.")
        if reading.failure is not None:
            raise reading.failure
        return _object_in(reading.text)


@dataclass(slots=True)
class _Reading:
    stream: ModelStream
    pieces: list[str] = field(default_factory=list)
    failure: ModelError | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def read(self) -> None:
        length = 0
        try:
            for piece in self.stream:
                self.pieces.append(piece)
                length += len(piece)
                if length > _LONGEST:
                    self.stream.abort()
                    raise ModelError("model_failed", "The model wrote more than was asked for.")
        except ModelError as failure:
            self.failure = failure
        except Exception as failure:  # It would end with this thread, unseen.
            self.failure = ModelError("model_failed", f"The model failed: {type(failure).__name__}.")
        finally:
            self.stream.release()


def _object_in(answer: str) -> object:
    """The object in an answer, with or without words or a fence around it."""
    begin, end = answer.find("{"), answer.rfind("}")
    try:
        found: object = json.loads(answer[begin : end + 1]) if begin >= 0 else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ModelError("model_failed", "The model did not answer with a JSON object.")
    return found
