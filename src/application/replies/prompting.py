"""What the model is asked with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from application.ports.language import Passage, Prompt, ToolSpec, Turn
from domain.agents import Agent
from domain.messages import Message


def prompt_from(
    agent: Agent,
    history: Sequence[Message],
    passages: Sequence[Passage],
    context: Mapping[str, object],
    tools: Sequence[ToolSpec] = (),
) -> Prompt:
    """The window of a conversation; messages that were left empty say nothing to a model."""
    turns = [Turn(role=message.role.value, content=message.content) for message in history if message.content]
    return Prompt(
        agent=agent, turns=turns, passages=passages, context=context, tools=tools, max_tokens=agent.limits.max_tokens
    )


def tokens_in(text: str) -> int:
    """About how many tokens a text has, rather too many than too few: every model counts its own way.

    Four characters of ASCII make a token, and of any other script one; rounded up.
    """
    ascii_characters = len(text) if text.isascii() else sum(character < "\x80" for character in text)
    return (ascii_characters + 3) // 4 + len(text) - ascii_characters
