"""A model whose every word is the test's to give, when it wants it given."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping, Sequence

from application.ports.language import ModelError, Prompt, ToolCall

_Step = str | ToolCall | ModelError | None


class ScriptedModel:
    """See application.ports.language.LanguageModel. Each stream says what `say` was given, until `finish`.

    `call` has it ask for a tool before that.
    """

    def __init__(self) -> None:
        self.prompts: list[Prompt] = []
        self.streams: list[ScriptedStream] = []
        self._script: queue.SimpleQueue[_Step] = queue.SimpleQueue()

    def say(self, *pieces: str) -> None:
        """The next pieces."""
        for piece in pieces:
            self._script.put(piece)

    def call(self, name: str, arguments: str = "{}", *, id: str = "call_1") -> None:
        """The next tool that the stream asks for."""
        self._script.put(ToolCall(id=id, name=name, arguments=arguments))

    def finish(self) -> None:
        """The end of the answer."""
        self._script.put(None)

    def fail(self, slug: str) -> None:
        """A failure instead of the end."""
        self._script.put(ModelError(slug, "as scripted"))

    def stream(self, prompt: Prompt) -> ScriptedStream:
        self.prompts.append(prompt)
        self.streams.append(ScriptedStream(self._script))
        return self.streams[-1]

    def ping(self) -> str:
        return "scripted"


class ScriptedStream:
    """See application.ports.language.ModelStream."""

    def __init__(self, script: queue.SimpleQueue[_Step]) -> None:
        self._script = script
        self._calls: list[ToolCall] = []
        self.closed = False
        self.ended = False
        self.released = False

    @property
    def tool_calls(self) -> Sequence[ToolCall]:
        return self._calls if self.ended else ()

    @property
    def metadata(self) -> Mapping[str, object]:
        return {"model": "scripted"}

    def __iter__(self) -> Iterator[str]:
        try:
            while not self.closed:
                try:
                    step = self._script.get(timeout=0.02)
                except queue.Empty:
                    continue
                match step:
                    case None:
                        return
                    case ModelError():
                        raise step
                    case ToolCall():
                        self._calls.append(step)
                        yield ""
                    case _:
                        yield step
        finally:
            self.ended = True

    def abort(self) -> None:
        self.closed = True

    def release(self) -> None:
        self.released = True
