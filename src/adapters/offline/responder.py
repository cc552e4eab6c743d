"""Answers by quoting the passages that were found, at the pace of a model."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence

from application.ports.language import Carried, Passage, Prompt, ToolCall

_QUOTED = 2
_NEARLY_AS_GOOD = 0.6

NO_MODEL = "*No language model is configured, so I can only quote what I have read.*"
MODEL_AWAY = "*The language model cannot be reached at the moment, so I can only quote what I have read.*"
_NOTHING_FOUND = (
    "I found nothing about this in the documents that I may use here. Try other words: I look for those of the "
    "question. (On a new installation the documents are Parley's own: *What is Parley?*, *How do I use my own model?*, "
    "*How do I stop a reply?*, *How do I restore a deleted room?*) Or set `OPENAI_API_KEY` (and `OPENAI_BASE_URL` for "
    "a server of your own) to get answers from a model."
)


class OfflineResponder:
    """See application.ports.language.LanguageModel. Says a word every `pause` seconds, after a `preface`.

    It calls no tools: it cannot tell which one a question needs.
    """

    def __init__(self, *, preface: str = NO_MODEL, pause: float = 0.02) -> None:
        self._preface = preface
        self._pause = pause

    def stream(self, prompt: Prompt) -> OfflineStream:
        return OfflineStream(f"{self._preface}\n\n{_answer(prompt)}", self._pause)

    def ping(self) -> str:
        return "offline responder (set OPENAI_API_KEY or OPENAI_BASE_URL for a model)"


class OfflineStream:
    """See application.ports.language.ModelStream."""

    def __init__(self, answer: str, pause: float) -> None:
        self._answer = answer
        self._pause = pause
        self._aborted = threading.Event()

    @property
    def tool_calls(self) -> Sequence[ToolCall]:
        return ()

    @property
    def metadata(self) -> Mapping[str, object]:
        return {"model": "offline", "offline": True}

    def __iter__(self) -> Iterator[str]:
        for word in re.findall(r"\s*\S+", self._answer):
            if self._aborted.wait(self._pause):
                return
            yield word

    def abort(self) -> None:
        self._aborted.set()

    def release(self) -> None:
        """There is nothing to let go of."""


def _answer(prompt: Prompt) -> str:
    # What an earlier question was about is for a model to make something of: to quote it again would be no answer.
    found = [(number, one) for number, one in enumerate(prompt.passages, start=1) if not isinstance(one, Carried)]
    if not found:
        return _NOTHING_FOUND
    worth_quoting = found[0][1].score * _NEARLY_AS_GOOD
    return "\n\n".join(_quote(number, one) for number, one in found[:_QUOTED] if one.score >= worth_quoting)


def _quote(number: int, passage: Passage) -> str:
    where = passage.title if passage.heading in ("", passage.title) else f"{passage.title} › {passage.heading}"
    quoted = "\n".join(f"> {line}".rstrip() for line in passage.text.splitlines())
    return f"**{where}** [{number}]\n\n{quoted}"
