"""A reply's log told as the AI SDK's parts: whatever the log holds, the parts make the finished message."""

from __future__ import annotations

import json
from typing import Any

from application.ports.runtime import LogEntry
from entrypoints.http.ui_messages import UIMessageStream, ui_message

_SOURCE = {
    "number": 1,
    "title": "Tides",
    "heading": "Tides › Spring",
    "document": "tides.md",
    "page": None,
    "excerpt": "Twice a month.",
}
_CALL = {"id": "call_1", "name": "clock", "arguments": {"timezone": "UTC"}}
_DONE = {**_CALL, "result": "Noon", "error": None, "truncated": False, "duration_ms": 3}
_FAILED = {**_CALL, "result": "Error: no", "error": {"code": "tool_failed", "message": "no"}, "duration_ms": 3}


def message(content: str, status: str = "completed", **changes: Any) -> dict[str, Any]:
    return {
        "id": "r1",
        "conversation_id": "c1",
        "position": 2,
        "version": 1,
        "role": "assistant",
        "content": content,
        "status": status,
        "agent": "general",
        "sources": [],
        "tool_calls": [],
        "error": None,
        "metadata": {},
        "alternatives": 0,
        "feedback": None,
        "created_at": "2026-03-02T09:12:33Z",
    } | changes


def told(*events: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The parts, without those that every stream has and without what was measured."""
    reply = {"id": "r1", "conversation_id": "c1", "position": 2, "version": 1, "agent": "general", "status": "queued"}
    stream = UIMessageStream(reply)
    written = stream.begin()
    for number, (event, data) in enumerate(events):
        written += stream.tell([LogEntry(number, f"reply.{event}", data)])
    blocks = (written + stream.end()).decode().removesuffix("\n\n").split("\n\n")
    assert blocks.pop() == "data: [DONE]"
    parts = [json.loads(block.removeprefix("data: ")) for block in blocks]
    assert [part["type"] for part in parts[:2]] == ["start", "start-step"]
    return [part for part in parts[2:] if part["type"] != "message-metadata"]


def types(parts: list[dict[str, Any]]) -> list[str]:
    return [part["type"] for part in parts]


def text(parts: list[dict[str, Any]]) -> str:
    """As a client has it that forgets what it is told to."""
    kept = ""
    for part in parts:
        kept = "" if part["type"] == "reset-step" else kept + part.get("delta", "")
    return kept


def test_an_answer_is_one_step_of_one_text() -> None:
    parts = told(
        ("started", {}),
        ("delta", {"text": "Hel"}),
        ("delta", {"text": "lo"}),
        ("completed", {"message": message("Hello")}),
    )

    assert parts == [
        {"type": "text-start", "id": "text-1"},
        {"type": "text-delta", "id": "text-1", "delta": "Hel"},
        {"type": "text-delta", "id": "text-1", "delta": "lo"},
        {"type": "text-end", "id": "text-1"},
        {"type": "finish-step"},
        {"type": "finish", "finishReason": "stop"},
    ]


def test_a_tool_stands_between_the_texts_before_and_after_it() -> None:
    parts = told(
        ("delta", {"text": "Wait."}),
        ("tool_call", _CALL),
        ("tool_result", _DONE),
        ("delta", {"text": "\n\nNoon."}),
        ("sources", {"sources": [_SOURCE]}),
        ("completed", {"message": message("Wait.\n\nNoon.", tool_calls=[_DONE], sources=[_SOURCE])}),
    )

    assert types(parts) == [
        *("text-start", "text-delta", "text-end"),
        *("tool-input-available", "tool-output-available"),
        *("text-start", "text-delta", "text-end"),
        *("source-document", "finish-step", "finish"),
    ]
    assert parts[3] == {
        "type": "tool-input-available",
        "toolCallId": "call_1",
        "toolName": "clock",
        "input": {"timezone": "UTC"},
        "providerExecuted": True,
        "dynamic": True,
    }
    assert parts[4]["output"] == "Noon"
    assert parts[6]["delta"] == "Noon."
    assert (parts[8]["sourceId"], parts[8]["mediaType"], parts[8]["filename"]) == ("1", "text/markdown", "tides.md")


def test_a_tool_that_failed_says_so() -> None:
    parts = told(
        ("tool_call", _CALL), ("tool_result", _FAILED), ("completed", {"message": message("", tool_calls=[_FAILED])})
    )

    assert parts[1]["type"] == "tool-output-error"
    assert parts[1]["errorText"] == "no"


def test_a_reply_that_begins_anew_has_the_client_forget_what_was_said() -> None:
    parts = told(
        ("started", {}),
        ("delta", {"text": "Of the first."}),
        ("started", {}),
        ("delta", {"text": "Of the second."}),
        ("completed", {"message": message("Of the second.")}),
    )

    assert types(parts)[2] == "reset-step"
    assert text(parts) == "Of the second."


def test_a_reply_that_begins_anew_with_the_same_words_goes_on_where_it_was() -> None:
    parts = told(
        ("delta", {"text": "Of the "}),
        ("delta", {"text": "first"}),
        ("started", {}),
        ("delta", {"text": "Of the"}),
        ("delta", {"text": " first."}),
        ("delta", {"text": " And on."}),
        ("completed", {"message": message("Of the first. And on.")}),
    )

    assert [part["delta"] for part in parts if part["type"] == "text-delta"] == ["Of the ", "first", ".", " And on."]
    assert "reset-step" not in types(parts)


def test_a_reply_that_began_anew_and_was_stopped_is_as_short_as_it_is() -> None:
    stopped = message("Of", "cancelled")

    parts = told(
        ("delta", {"text": "Of the"}), ("started", {}), ("delta", {"text": "Of"}), ("cancelled", {"message": stopped})
    )

    assert text(parts) == "Of"


def test_a_first_attempt_that_said_nothing_leaves_nothing_to_forget() -> None:
    assert "reset-step" not in types(told(("started", {}), ("started", {}), ("completed", {"message": message("Hi")})))


def test_without_a_log_the_end_tells_all_of_the_message() -> None:
    whole = message("Noon. [1]", tool_calls=[_DONE], sources=[_SOURCE])

    parts = told(("completed", {"message": whole}))

    assert types(parts) == [
        *("tool-input-available", "tool-output-available", "text-start", "text-delta", "text-end"),
        *("source-document", "finish-step", "finish"),
    ]


def test_what_a_log_has_lost_comes_with_the_end() -> None:
    parts = told(
        ("delta", {"text": "Wait."}),
        ("tool_result", _DONE),
        ("completed", {"message": message("Wait.\n\nNoon.", tool_calls=[_DONE])}),
    )

    assert text(parts) == "Wait.Noon."
    assert types(parts).count("tool-output-available") == 1


def test_a_message_that_is_another_than_what_was_told_is_told_anew() -> None:
    parts = told(("delta", {"text": "Half"}), ("interrupted", {"message": message("Whole", "interrupted")}))

    assert text(parts) == "Whole"


def test_a_failure_ends_with_an_error_and_keeps_the_text() -> None:
    error = {"code": "model_broke_off", "message": "The connection broke off."}

    parts = told(("delta", {"text": "So far"}), ("failed", {"message": message("So far", "failed"), "error": error}))

    assert text(parts) == "So far"
    assert parts[-1] == {"type": "error", "errorText": "The connection broke off."}


def test_a_stopped_answer_ends_with_an_abort() -> None:
    assert types(told(("delta", {"text": "So"}), ("cancelled", {"message": message("So", "cancelled")})))[-1] == "abort"


def test_an_answer_that_was_cut_off_says_why() -> None:
    cut = message("So", metadata={"finish_reason": "content_filter"})

    assert told(("completed", {"message": cut}))[-1] == {"type": "finish", "finishReason": "content-filter"}


def test_a_stream_that_ends_before_the_reply_does_is_no_finished_one() -> None:
    parts = told(("delta", {"text": "So"}))

    assert types(parts) == ["text-start", "text-delta", "text-end", "error"]
    assert "Load the chat again" in parts[-1]["errorText"]


def test_a_message_of_the_history_has_the_parts_that_its_stream_had() -> None:
    whole = message("Noon. [1]", tool_calls=[_DONE, {**_FAILED, "id": "call_2"}], sources=[_SOURCE])

    parts = ui_message(whole)["parts"]

    assert types(parts) == ["step-start", "dynamic-tool", "dynamic-tool", "text", "source-document"]
    assert [part["state"] for part in parts[1:3]] == ["output-available", "output-error"]


def test_a_source_that_is_an_address_is_linked() -> None:
    at_an_address = {**_SOURCE, "document": "https://example.org/tides"}

    (part,) = ui_message(message("", sources=[at_an_address]))["parts"][1:]

    assert (part["type"], part["url"]) == ("source-url", "https://example.org/tides")
