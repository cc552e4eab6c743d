"""What writes the answers, and what it may rely on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

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
    """A piece of a document that bears on a question. `score` is comparable within one search only.

    `document` is the name of its file, `heading` the path of headings that it stands under, empty above the first,
    and `page` counts from 1 where there are pages. `relevance` is 0 to 1, and means the same in every search: how much
    of what was asked for the passage holds, the rare words weighing more, and how near it is in meaning. It is a
    measure of the finding and not of truth: 1 says that everything that was asked for is spoken of.
    """

    document_id: UUID
    project_id: UUID
    document: str
    title: str
    heading: str
    page: int | None
    text: str
    score: float
    relevance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried(Passage):
    """A passage that bears on an earlier question of the conversation, and holds no word of this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """What a model is told of a tool that it may call. `parameters` is the JSON Schema of an object."""

    name: str
    description: str
    parameters: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A model's wish to have a tool run. `arguments` is what it wrote: meant as a JSON object, but it can be any text.

    `id` is what the answer to it refers to, and differs from those of the other calls of the same stream.
    """

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message as the model reads it.

    A turn of the assistant's may ask for tools; a turn of the role `tool` follows for each of these calls, with
    its result, and names it by `tool_call_id`.
    """

    role: str
    content: str
    tool_calls: Sequence[ToolCall] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """All that a model is asked with. Passages are cited as [1], [2], …

    The last turn is the question, or the result of a tool that was called to answer it.
    `context` is what the frontend tells of where its user is and who that is: JSON, material like the passages.
    The model may call any of `tools`, and write `max_tokens` tokens (None: as many as it likes).
    """

    agent: Agent
    turns: Sequence[Turn]
    passages: Sequence[Passage]
    context: Mapping[str, object] = field(default_factory=dict)
    tools: Sequence[ToolSpec] = ()
    max_tokens: int | None = None


class ModelStream(Protocol):
    """One answer on its way. Iterating yields pieces of text and raises ModelError.

    An empty piece is a sign of life: the model is writing the call of a tool. Whoever iterated calls `release` at
    the end, whatever the end was.
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
    def tool_calls(self) -> Sequence[ToolCall]:
        """What the model wants done before it goes on, in its order; none before the stream has come to its end.

        With calls, the text may be empty: then that is no failure. An answer has none.
        """
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
