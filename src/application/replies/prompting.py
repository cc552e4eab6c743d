"""What the model is asked with, and which of the passages its answer relied on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from application.ports.language import Passage, Prompt, Turn
from application.ports.persistence import Document
from domain.agents import Agent
from domain.messages import Message

_CITATION = re.compile(r"\[(\d{1,2})\]")


def prompt_from(
    agent: Agent, history: Sequence[Message], passages: Sequence[Passage], context: Mapping[str, object]
) -> Prompt:
    """The window of a conversation; messages that were left empty say nothing to a model."""
    turns = [Turn(role=message.role.value, content=message.content) for message in history if message.content]
    return Prompt(agent=agent, turns=turns, passages=passages, context=context)


def cited(text: str, passages: Sequence[Passage]) -> list[Document]:
    """The passages that `text` cites as [1], [2], …, with their numbers."""
    numbers = {int(number) for number in _CITATION.findall(text)}
    return [
        {
            "number": number,
            "title": passage.title,
            "heading": passage.heading,
            "document": passage.document,
            "excerpt": passage.text,
        }
        for number, passage in enumerate(passages, start=1)
        if number in numbers
    ]
