"""What writes the answers, and what it may rely on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from domain.agents import Agent
from domain.errors import Category, ParleyError


class ModelError(ParleyError):
    """The model refused, broke off or cannot be reached, after whatever retries made sense.

    `slug` is one of `model_unreachable`, `model_overloaded` (429), `model_refused` (other 4xx),
    `model_failed` (5xx), `model_broke_off` (the stream ended without its end mark), `model_timeout`.
    """

    category = Category.UNAVAILABLE

    def __init__(self, slug: str, message: str) -> None:
        super().__init__(message)
        self.slug = slug


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of a document that bears on a question. `score` is comparable within one search only."""

    document: str
    title: str
    heading: str
    text: str
    score: float


class Knowledge(Protocol):
    """The documents that answers are grounded in."""

    def search(self, question: str, *, limit: int) -> Sequence[Passage]:
        """The passages that bear on `question`, best first; none when nothing does."""
        ...

    def ping(self) -> str:
        """One line on what there is to search."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message as the model reads it."""

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """All that a model is asked with. The last turn is the question; passages are cited as [1], [2], …

    `context` is what the frontend tells of where its user is and who that is: JSON, material like the passages.
    """

    agent: Agent
    turns: Sequence[Turn]
    passages: Sequence[Passage]
    context: Mapping[str, object] = field(default_factory=dict)


class ModelStream(Protocol):
    """One answer on its way. Iterating yields pieces of text and raises ModelError.

    Whoever iterated calls `release` at the end, whatever the end was.
    """

    def __iter__(self) -> Iterator[str]: ...

    def abort(self) -> None:
        """Give the answer up, from any thread and at any time: the upstream connection is cut, iteration ends.

        Does nothing to an answer that has come to its end.
        """
        ...

    def release(self) -> None:
        """Let go of the connection, so that another answer can use it if this one was read to its end."""
        ...

    @property
    def metadata(self) -> Mapping[str, object]:
        """`model`, and once the stream is over `usage` {input_tokens, output_tokens} where known."""
        ...


class LanguageModel(Protocol):
    """Something that answers."""

    def stream(self, prompt: Prompt) -> ModelStream:
        """Begin an answer; nothing is sent before the stream is iterated."""
        ...

    def ping(self) -> str:
        """One line on what answers; raises ModelError when it does not."""
        ...
