"""What a model can have done: the tools. This is what a plugin's author writes against, see docs/agents.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.errors import ParleyError


class ToolFailure(ParleyError):
    """A tool cannot do what it was asked to; the model is told the message, so it says what would help."""

    slug = "tool_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """For whom and where a tool is run. `principal` is a key such as `user:alice` or `visitor:<uuid>`.

    Who asks is known from here alone: what the arguments say of it was written by a model, and can be talked into it.
    """

    principal: str
    conversation_id: UUID
    reply_id: UUID
    agent: str
    project_id: UUID | None
    now: datetime


ToolRun = Callable[[ToolContext, Mapping[str, object]], object]
"""What a tool does with arguments that fit its `parameters`, in a thread of its own, for several replies at once.

It returns text or JSON values. Of what it raises, the model is told the message of a ToolFailure only.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """Something that a model can have done.

    `name` has 1 to 64 letters (a-z, A-Z), digits, hyphens or underscores; `description` tells the model what it does
    and when to use it, and `parameters` is the JSON Schema (2020-12, unless it names another) of its arguments, an
    object. Nobody waits for it longer than `timeout` seconds.
    """

    name: str
    description: str
    parameters: Mapping[str, object]
    run: ToolRun
    timeout: float = 10.0


CheckArguments = Callable[[Mapping[str, object]], Mapping[str, str]]
"""What is wrong with arguments, by the path of the field (`a.b[0]`); empty when they fit."""

CompileSchema = Callable[[Mapping[str, object]], CheckArguments]
"""Makes a check of a JSON Schema; raises ValueError, saying where, for what is none."""
