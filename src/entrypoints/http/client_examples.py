"""The examples of the wires of other makers' clients: OpenAI's and the AI SDK's."""

from __future__ import annotations

from typing import Any

_CONVERSATION = "conv_018f3a1e7c427d2b9a553f0c8b1e6d11"
_RESPONSE = "resp_018f3a1e7c427d2b9a553f0c8b1e6d13"
_MESSAGE = "msg_018f3a1e7c427d2b9a553f0c8b1e6d13"

_CREATED = 1772442751

_QUESTION = "How long may I return what I bought?"
_ANSWER = "You may return it within 30 days [1]."

_MODEL = {"id": "general", "object": "model", "created": 0, "owned_by": "parley"}

_ASKED = {"role": "user", "content": _QUESTION}

_ITEM = {
    "id": _MESSAGE,
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": _ANSWER, "annotations": []}],
}

EXAMPLES: dict[str, Any] = {
    "OpenAIError": {
        "error": {
            "message": "There is no model gpt-9.",
            "type": "not_found_error",
            "param": None,
            "code": "model_not_found",
        }
    },
    "Model": _MODEL,
    "ModelList": {"object": "list", "data": [_MODEL]},
    "ChatCompletionBody": {"model": "general", "messages": [_ASKED]},
    "ChatCompletion": {
        "id": "chatcmpl-018f3a1e7c427d2b9a553f0c8b1e6d13",
        "object": "chat.completion",
        "created": _CREATED,
        "model": "general",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": _ANSWER, "refusal": None, "annotations": []},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 412, "completion_tokens": 14, "total_tokens": 426},
        "metadata": {"conversation_id": _CONVERSATION},
    },
    "ResponseBody": {"model": "general", "input": _QUESTION, "background": True},
    "Response": {
        "id": _RESPONSE,
        "object": "response",
        "created_at": _CREATED,
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": "general",
        "output": [_ITEM],
        "parallel_tool_calls": False,
        "previous_response_id": None,
        "conversation": {"id": _CONVERSATION},
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "none",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
        "usage": {
            "input_tokens": 412,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 14,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 426,
        },
        "user": None,
        "metadata": {},
    },
    "OpenAIConversationBody": {"metadata": {"topic": "returns"}, "items": [_ASKED]},
    "OpenAIConversationChanges": {"metadata": {"topic": "refunds"}},
    "OpenAIConversation": {
        "id": _CONVERSATION,
        "object": "conversation",
        "created_at": _CREATED,
        "metadata": {"topic": "returns"},
    },
    "OpenAIDeleted": {"id": _CONVERSATION, "object": "conversation.deleted", "deleted": True},
    "ItemsBody": {"items": [_ASKED]},
    "Item": _ITEM,
    "ItemList": {"object": "list", "data": [_ITEM], "first_id": _MESSAGE, "last_id": _MESSAGE, "has_more": False},
    "UIChatBody": {
        "id": "kX2v9qQ1",
        "messages": [{"id": "u1", "role": "user", "parts": [{"type": "text", "text": _QUESTION}]}],
        "trigger": "submit-message",
    },
    "UIChat": {
        "id": "kX2v9qQ1",
        "conversation_id": "018f3a1e-7c42-7d2b-9a55-3f0c8b1e6d11",
        "title": "Returns",
        "live": False,
        "total": 2,
        "messages": [
            {
                "id": "018f3a1e-7c42-7d2b-9a55-3f0c8b1e6d13",
                "role": "assistant",
                "metadata": {"confidence": 0.87},
                "parts": [{"type": "text", "text": _ANSWER}],
            }
        ],
    },
}
"""By the schema's name."""

STREAMS = {
    "/v1/": 'data: {"id":"chatcmpl-018f","object":"chat.completion.chunk","choices":[{"index":0,"delta":'
    '{"content":"You may return"},"finish_reason":null}]}\n\ndata: [DONE]\n\n',
    "/api/chat": 'data: {"type":"start","messageId":"018f3a1e-7c42-7d2b-9a55-3f0c8b1e6d13"}\n\n'
    'data: {"type":"text-start","id":"t"}\n\ndata: {"type":"text-delta","id":"t","delta":"You may return"}\n\n'
    'data: {"type":"text-end","id":"t"}\n\ndata: {"type":"finish"}\n\ndata: [DONE]\n\n',
}
"""Their streams, by how the paths begin."""
