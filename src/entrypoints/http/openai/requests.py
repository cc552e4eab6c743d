"""What OpenAI's clients may send to have something answered."""

from __future__ import annotations

from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from entrypoints.http.openai.talk import Said
from entrypoints.http.openai.wire import Neutral, ignored, metadata_pairs
from entrypoints.http.schemas import Flag, Request

_OUR_TOOLS = "Tools are the agent's own: a client cannot bring others."

_MESSAGES = 500

_SAID = Said()


class ItemReference(Schema):
    """A message that Parley has already."""

    class Meta:
        """marshmallow's options."""

        unknown = EXCLUDE

    type = fields.String(load_default=None, allow_none=True, validate=validate.Equal("item_reference"))
    id = fields.String(required=True)


_REFERENCE = ItemReference()


class StreamOptions(Schema):
    """What a stream tells beside the answer."""

    class Meta:
        """marshmallow's options."""

        unknown = EXCLUDE

    include_usage = Flag(load_default=False, allow_none=True)


class ChatCompletionBody(Request):
    """A talk whose last message is to be answered. What an agent has settled itself is accepted, and has no effect."""

    model = fields.String(required=True, metadata={"description": "An agent's name."})
    messages = fields.List(fields.Nested(Said), required=True, validate=validate.Length(1, _MESSAGES))
    stream = Flag(load_default=False, allow_none=True)
    stream_options = fields.Nested(StreamOptions, load_default=None, allow_none=True)
    metadata = metadata_pairs()
    user = fields.String(load_default=None, allow_none=True, metadata={"description": "For whom the client speaks."})
    safety_identifier = fields.String(load_default=None, allow_none=True)
    n = Neutral(1, reason="There is one answer.")
    tools = Neutral([], reason=_OUR_TOOLS)
    tool_choice = Neutral("none", "auto", reason=_OUR_TOOLS)
    functions = Neutral([], reason=_OUR_TOOLS)
    function_call = Neutral("none", "auto", reason=_OUR_TOOLS)
    web_search_options = Neutral(reason=_OUR_TOOLS)
    response_format = Neutral({"type": "text"}, reason="Answers are text.")
    modalities = Neutral(["text"], reason="Answers are text.")
    audio = Neutral(reason="Answers are text.")
    stop = Neutral([], reason="Answers end where the agent ends them.")
    logprobs = Neutral(False, reason="Probabilities are not told.")
    top_logprobs = Neutral(0, reason="Probabilities are not told.")
    logit_bias = Neutral({}, reason="Tokens cannot be weighed.")
    prediction = Neutral(reason="Answers cannot be predicted.")
    temperature = ignored()
    top_p = ignored()
    top_k = ignored()
    min_p = ignored()
    presence_penalty = ignored()
    frequency_penalty = ignored()
    repetition_penalty = ignored()
    max_tokens = ignored()
    max_completion_tokens = ignored()
    reasoning_effort = ignored()
    verbosity = ignored()
    seed = ignored()
    store = ignored()
    service_tier = ignored()
    parallel_tool_calls = ignored()
    prompt_cache_key = ignored()
    prompt_cache_retention = ignored()
    prompt_cache_options = ignored()


class _Input(fields.Field[list[Any]]):
    """A question, or messages of which the last one is it; those that have no `role` are named by their `id`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> list[Any]:
        if isinstance(value, str):
            return [{"role": "user", "content": value}]
        if not isinstance(value, list) or not 1 <= len(value) <= _MESSAGES:
            raise ValidationError(f"Must be a text, or 1 to {_MESSAGES} messages.")
        wrong: dict[int, Any] = {}
        said: list[Any] = []
        for number, each in enumerate(value):
            try:
                said.append((_REFERENCE if _is_reference(each) else _SAID).load(each))
            except ValidationError as error:
                wrong[number] = error.messages
        if wrong:
            raise ValidationError(wrong)
        return said


def _is_reference(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    return item.get("type") == "item_reference" or (item.get("type") is None and "id" in item and "role" not in item)


class _ConversationField(fields.Field[str]):
    """A conversation's id, by itself or in an object."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        named = value.get("id") if isinstance(value, dict) else value
        if not isinstance(named, str):
            raise ValidationError("Must be the id of a conversation.")
        return named


class ResponseBody(Request):
    """A question. What an agent has settled itself is accepted, and has no effect."""

    input = _Input(
        required=True,
        metadata={
            "anyOf": [
                {"type": "string"},
                {
                    "type": "array",
                    "items": {
                        "anyOf": [
                            {"$ref": "#/components/schemas/Said"},
                            {
                                "type": "object",
                                "required": ["id"],
                                "properties": {"type": {"enum": ["item_reference", None]}, "id": {"type": "string"}},
                            },
                        ]
                    },
                    "minItems": 1,
                    "maxItems": _MESSAGES,
                },
            ]
        },
    )
    model = fields.String(load_default=None, allow_none=True, metadata={"description": "An agent's name."})
    instructions = fields.String(
        load_default=None, allow_none=True, metadata={"description": "For this answer, beside the agent's own."}
    )
    stream = Flag(load_default=False, allow_none=True)
    background = Flag(load_default=False, allow_none=True)
    conversation = _ConversationField(
        load_default=None,
        allow_none=True,
        metadata={
            "anyOf": [
                {"type": "string"},
                {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
                {"type": "null"},
            ]
        },
    )
    previous_response_id = fields.String(load_default=None, allow_none=True)
    metadata = metadata_pairs()
    user = fields.String(load_default=None, allow_none=True, metadata={"description": "For whom the client speaks."})
    safety_identifier = fields.String(load_default=None, allow_none=True)
    store = Neutral(True, reason="Whatever is asked is kept in its conversation: delete that.")
    tools = Neutral([], reason=_OUR_TOOLS)
    tool_choice = Neutral("none", "auto", reason=_OUR_TOOLS)
    prompt = Neutral(reason="There are no stored prompts: instructions are sent, or are the agent's.")
    text = Neutral({"format": {"type": "text"}}, {}, reason="Answers are text.")
    top_logprobs = Neutral(0, reason="Probabilities are not told.")
    context_management = Neutral([], reason="What the model is shown of a conversation is for the agent to settle.")
    moderation = Neutral(reason="There is no moderation.")
    image = Neutral(reason="Answers are text.")
    temperature = ignored()
    top_p = ignored()
    max_output_tokens = ignored()
    max_tool_calls = ignored()
    parallel_tool_calls = ignored()
    reasoning = ignored()
    truncation = ignored()
    include = ignored()
    stream_options = ignored()
    service_tier = ignored()
    prompt_cache_key = ignored()
    prompt_cache_retention = ignored()
    prompt_cache_options = ignored()
    access_programs = ignored()
