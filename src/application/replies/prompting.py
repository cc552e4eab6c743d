"""What the model is asked with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from application.ports.language import Passage, Prompt, ToolSpec, Turn
from application.replies.citing import without_citations
from domain.agents import Agent
from domain.messages import Message

_TAG = re.compile(r"<(?=[\s/]*passage(?![\w-]))", re.IGNORECASE)
"""The beginning of what could pass for a passage's tag."""


def prompt_from(
    agent: Agent,
    history: Sequence[Message],
    passages: Sequence[Passage],
    context: Mapping[str, object],
    tools: Sequence[ToolSpec] = (),
) -> Prompt:
    """The window of a conversation; messages that were left empty say nothing to a model.

    Earlier answers come without the numbers that they cite: the passages of this answer have the same numbers.
    """
    turns = [Turn(role=message.role.value, content=_said(message)) for message in history if message.content]
    return Prompt(
        agent=agent, turns=turns, passages=passages, context=context, tools=tools, max_tokens=agent.limits.max_tokens
    )


def fenced(numbered: Iterable[tuple[int, Passage]]) -> str:
    """Passages as a model reads them, each in a tag of its own that nothing in it can close or imitate."""
    return "\n\n".join(
        f'<passage n="{number}" title="{_titled(passage)}">\n{_TAG.sub("&lt;", passage.text)}\n</passage>'
        for number, passage in numbered
    )


def _titled(passage: Passage) -> str:
    where = " › ".join(part for part in (passage.title, passage.heading) if part)
    return escape(" ".join(where.split()))


def _said(message: Message) -> str:
    return without_citations(message.content) if message.sources else message.content


def tokens_in(text: str) -> int:
    """About how many tokens a text has, rather too many than too few: every model counts its own way.

    Four characters of ASCII make a token, and of any other script one; rounded up.
    """
    ascii_characters = len(text) if text.isascii() else sum(character < "\x80" for character in text)
    return (ascii_characters + 3) // 4 + len(text) - ascii_characters
