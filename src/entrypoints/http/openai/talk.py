"""A talk as OpenAI's clients send it: messages in their roles, texts in parts, instructions among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from marshmallow import EXCLUDE, ValidationError, fields, validate

from domain.errors import Invalid
from domain.messages import NewMessage, Role
from entrypoints.http.openai.wire import Neutral
from entrypoints.http.schemas import Request

_TEXT_PARTS = ("input_text", "output_text", "text")

_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "system": Role.SYSTEM, "developer": Role.SYSTEM}


class Text(fields.Field[str]):
    """A text, or the parts of one."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        if isinstance(value, str):
            return value
        if not isinstance(value, list):
            raise ValidationError("Must be a text, or a list of parts of the type text.")
        return "".join(_part(number, part) for number, part in enumerate(value))


def _part(number: int, part: Any) -> str:
    if not isinstance(part, dict) or part.get("type") not in _TEXT_PARTS:
        raise ValidationError({number: {"type": ["Only text is taken here: no images, sounds or files."]}})
    if not isinstance(text := part.get("text"), str):
        raise ValidationError({number: {"text": ["Must be a text."]}})
    return text


class Said(Request):
    """A message. Who has it from an answer may send it back with all else that was in it."""

    class Meta:
        """marshmallow's options."""

        unknown = EXCLUDE

    type = fields.String(load_default="message", validate=validate.Equal("message"))
    role = fields.String(required=True, validate=validate.OneOf(_ROLES))
    content = Text(
        required=True,
        allow_none=True,
        metadata={
            "anyOf": [
                {"type": "string"},
                {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["type", "text"],
                        "properties": {"type": {"type": "string", "enum": [*_TEXT_PARTS]}, "text": {"type": "string"}},
                    },
                },
                {"type": "null"},
            ]
        },
    )
    tool_calls = Neutral([], reason="Tools are the agent's own: a client cannot call them.")
    function_call = Neutral(reason="Tools are the agent's own: a client cannot call them.")


def role_of(message: Mapping[str, Any]) -> Role:
    """Who has said a message; who instructs is the system."""
    return _ROLES[message["role"]]


@dataclass(frozen=True, slots=True)
class Talk:
    """What was said, and what the agent is told beside: all instructions together, wherever they stand.

    Answers without a word are passed over. `field` is what the list is called that it came in.
    """

    field: str
    said: Sequence[NewMessage]
    instructions: str | None
    places: Sequence[int]
    """Where in that list each of the messages was."""

    @classmethod
    def of(cls, field: str, messages: Sequence[Mapping[str, Any]]) -> Talk:
        """The talk in a list of messages."""
        said, places, told = [], [], []
        for place, message in enumerate(messages):
            role, content = role_of(message), (message["content"] or "").strip()
            if role is Role.SYSTEM:
                told.append(content)
            elif content or role is Role.USER:
                said.append(NewMessage(role=role, content=content))
                places.append(place)
        return cls(field, said, "\n\n".join(filter(None, told)) or None, places)

    def since_the_last_answer(self) -> Talk:
        """What its client has said since."""
        answers = [number for number, message in enumerate(self.said) if message.role is Role.ASSISTANT]
        start = answers[-1] + 1 if answers else 0
        return Talk(self.field, self.said[start:], self.instructions, self.places[start:])

    @contextmanager
    def naming(self) -> Iterator[None]:
        """What is wrong with one of the messages is told of its place in the list."""
        try:
            yield
        except Invalid as wrong:
            raise wrong.renamed({name: self._named(name) for name in wrong.fields}) from None

    def _named(self, name: str) -> str:
        kind, *rest = name.split(".")
        if kind != "messages":
            return name
        return ".".join([self.field, *([str(self.places[int(rest[0])]), *rest[1:]] if rest else [])])
