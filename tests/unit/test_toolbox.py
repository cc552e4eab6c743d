"""What a tool may do wrong, and what a model may ask of it: each becomes a result that the model can read."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

import pytest

from adapters.tools.current_time import CURRENT_TIME
from adapters.tools.schemas import compile_schema
from application.ports.language import ToolCall
from application.ports.tools import Tool, ToolContext, ToolFailure, ToolRun
from application.tools import RESULT_CHARACTERS, SEARCH_KNOWLEDGE, Toolbox, ToolOutcome, arguments_of
from tests.waiting import eventually

_CONTEXT = ToolContext(
    principal="user:alice",
    conversation_id=UUID(int=1),
    reply_id=UUID(int=2),
    agent="general",
    project_id=None,
    now=datetime(2031, 7, 1, 12, 30, tzinfo=UTC),
)

_ECHO = {
    "type": "object",
    "properties": {
        "word": {"type": "string"},
        "times": {"type": "integer", "minimum": 1},
        "where": {"type": "array", "items": {"$ref": "#/$defs/place"}},
    },
    "required": ["word"],
    "additionalProperties": False,
    "$defs": {"place": {"type": "object", "properties": {"x": {"type": "number"}}}},
}


def tool(run: ToolRun, *, parameters: Mapping[str, object] | None = None, timeout: float = 10.0) -> Tool:
    return Tool(name="echo", description="d", parameters=parameters or {"type": "object"}, run=run, timeout=timeout)


def outcome_of(tool: Tool, arguments: str = "{}", *, within: float = 10.0) -> ToolOutcome:
    call = ToolCall(id="1", name=tool.name, arguments=arguments)
    return Toolbox([tool], compile_schema).run(call, _CONTEXT, allowed=[tool.name], within=within)


def returning(result: object) -> Tool:
    return tool(lambda context, arguments: result)


def raising(failure: BaseException) -> Tool:
    def run(context: ToolContext, arguments: Mapping[str, object]) -> object:
        raise failure

    return tool(run)


def test_a_tool_gets_its_arguments_and_for_whom_it_is_run() -> None:
    seen: list[object] = []
    echo = tool(lambda context, arguments: seen.extend([context, arguments]), parameters=_ECHO)

    outcome_of(echo, '{"word": "ja", "times": 2}')

    assert seen == [_CONTEXT, {"word": "ja", "times": 2}]


@pytest.mark.parametrize(
    ("result", "content"),
    [
        ("plain text", "plain text"),
        ({"a": [1, 2.5, None, True], "ü": "ö"}, '{"a": [1, 2.5, null, true], "ü": "ö"}'),
        (None, "null"),
        ("", "(The result is empty.)"),
        ("a\x00b\ud800c", "a\ufffdb?c"),
    ],
)
def test_the_model_reads_what_the_tool_returned(result: object, content: str) -> None:
    outcome = outcome_of(returning(result))

    assert (outcome.content, outcome.error, outcome.truncated) == (content, None, False)


def test_a_large_result_is_cut_and_says_so() -> None:
    outcome = outcome_of(returning("x" * 5_000_000))

    assert outcome.truncated
    assert outcome.error is None
    assert outcome.content.startswith("x" * RESULT_CHARACTERS + "\n\n[Cut off")
    assert "5,000,000" in outcome.content
    assert len(outcome.content) < RESULT_CHARACTERS + 200


_CYCLE: list[object] = []
_CYCLE.append(_CYCLE)


@pytest.mark.parametrize("result", [object(), b"bytes", {1, 2}, float("nan"), {"a": object()}, _CYCLE])
def test_a_result_that_is_neither_text_nor_json_is_an_error(result: object) -> None:
    outcome = outcome_of(returning(result))

    assert outcome.error == {
        "code": "tool_result_invalid",
        "message": "The tool returned what is neither text nor JSON.",
    }


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("{", "The arguments are no JSON"),
        ("nonsense", "The arguments are no JSON"),
        ('{"word": NaN}', "NaN is no JSON"),
        ('{"word": ' + "9" * 5000 + "}", "The arguments are no JSON"),
        ("[" * 100_000, "The arguments are no JSON"),
        ('["word"]', "must be a JSON object"),
        ('"word"', "must be a JSON object"),
        ("null", "must be a JSON object"),
        ('{"word": "\\u0000"}', "valid Unicode text"),
        ('{"word": "\\ud800"}', "valid Unicode text"),
        ('{"word": 18446744073709551616}', "64 bits"),
        ('{"word": ' + "[" * 40 + "]" * 40 + "}", "32 levels"),
        ('{"word": "' + "x" * 70_000 + '"}', "65,536 bytes"),
        ("", "word: is required"),
        ("{}", "word: is required"),
        ('{"word": 5}', "word: 5 is not of type 'string'"),
        ('{"word": "a", "times": 0}', "times: 0 is less than the minimum of 1"),
        ('{"word": "a", "where": [{}, {"x": "y"}]}', "where[1].x: 'y' is not of type 'number'"),
        ('{"word": "a", "other": 1}', "'other' was unexpected"),
    ],
)
def test_arguments_that_do_not_fit_are_named_and_the_tool_is_not_run(arguments: str, problem: str) -> None:
    runs: list[object] = []

    outcome = outcome_of(tool(lambda context, arguments: runs.append(1), parameters=_ECHO), arguments)

    assert outcome.error is not None
    assert outcome.error["code"] == "tool_arguments_invalid"
    assert problem in outcome.error["message"]
    assert outcome.content == f"Error: {outcome.error['message']}"
    assert len(outcome.content) < 1000
    assert runs == []


def test_no_arguments_at_all_are_an_empty_object() -> None:
    assert arguments_of(ToolCall(id="1", name="echo", arguments=" ")) == {}


def test_a_tool_that_cannot_do_it_tells_the_model_why() -> None:
    outcome = outcome_of(raising(ToolFailure("The order 7 is not yours.")))

    assert outcome.content == "Error: The order 7 is not yours."
    assert outcome.error == {"code": "tool_failed", "message": "The order 7 is not yours."}


@pytest.mark.parametrize("failure", [ZeroDivisionError("secret"), SystemExit("secret"), KeyboardInterrupt("secret")])
def test_a_tool_that_breaks_says_only_that_and_the_log_says_how(
    failure: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        outcome = outcome_of(raising(failure))

    assert outcome.error == {"code": "tool_failed", "message": "The tool failed."}
    assert "secret" not in outcome.content
    assert "secret" in caplog.text
    assert str(_CONTEXT.reply_id) in caplog.text


@pytest.mark.parametrize(("timeout", "within"), [(0.05, 10.0), (10.0, 0.05), (10.0, 0.0), (10.0, -1.0)])
def test_nobody_waits_for_a_tool_that_hangs(timeout: float, within: float) -> None:
    let_go = threading.Event()
    try:
        outcome = outcome_of(tool(lambda context, arguments: let_go.wait(60), timeout=timeout), within=within)
    finally:
        let_go.set()

    assert outcome.error is not None
    assert outcome.error["code"] == "tool_timeout"


def test_a_call_is_given_up_by_whoever_sets_its_event() -> None:
    let_go, running, over = threading.Event(), threading.Event(), threading.Event()
    outcomes: list[ToolOutcome] = []

    def run(context: ToolContext, arguments: Mapping[str, object]) -> object:
        running.set()
        return let_go.wait(60)

    box = Toolbox([tool(run)], compile_schema)
    call = ToolCall(id="1", name="echo", arguments="{}")
    caller = threading.Thread(
        target=lambda: outcomes.append(box.run(call, _CONTEXT, allowed=["echo"], within=60, over=over))
    )
    caller.start()
    running.wait(10)
    over.set()
    caller.join(10)
    let_go.set()

    assert [outcome.error["code"] for outcome in outcomes if outcome.error] == ["tool_given_up"]


def test_a_tool_that_always_hangs_does_not_pile_up_without_end() -> None:
    let_go = threading.Event()
    begun: list[int] = []

    def run(context: ToolContext, arguments: Mapping[str, object]) -> object:
        begun.append(1)
        return let_go.wait(60)

    box = Toolbox([tool(run)], compile_schema)
    call = ToolCall(id="1", name="echo", arguments="{}")
    try:
        for _ in range(100):
            box.run(call, _CONTEXT, allowed=["echo"], within=0)
        threads = threading.active_count()
        for _ in range(20):
            box.run(call, _CONTEXT, allowed=["echo"], within=0)
        eventually(lambda: threading.active_count() <= threads)
        assert len(begun) <= 100
    finally:
        let_go.set()


@pytest.mark.parametrize(("name", "allowed"), [("nothing", ["current_time"]), ("echo", ["current_time"])])
def test_a_tool_that_there_is_not_and_one_that_is_not_allowed_are_the_same(name: str, allowed: list[str]) -> None:
    box = Toolbox([returning("never"), CURRENT_TIME], compile_schema)

    outcome = box.run(ToolCall(id="1", name=name, arguments="{}"), _CONTEXT, allowed=allowed, within=1)

    assert outcome.error == {"code": "tool_unknown", "message": f"There is no tool {name!r}. There are: current_time."}


def test_a_reply_brings_its_own_way_to_search() -> None:
    box = Toolbox([], compile_schema)
    names = [SEARCH_KNOWLEDGE.name]
    call = ToolCall(id="1", name=SEARCH_KNOWLEDGE.name, arguments='{"query": "tides", "limit": 3}')
    missing = ToolCall(id="2", name=SEARCH_KNOWLEDGE.name, arguments='{"limit": 9}')
    own: dict[str, ToolRun] = {SEARCH_KNOWLEDGE.name: lambda context, arguments: f"found {arguments['query']}"}

    assert box.run(call, _CONTEXT, allowed=names, within=5, own=own).content == "found tides"
    assert box.run(call, _CONTEXT, allowed=names, within=5).content == "Error: There are no documents to search."
    refused = box.run(missing, _CONTEXT, allowed=names, within=5, own=own).content
    assert "query: is required" in refused
    assert "limit: 9 is greater than the maximum of 8" in refused


def test_the_model_is_told_of_the_tools_that_are_named_in_that_order() -> None:
    box = Toolbox([returning("x"), CURRENT_TIME], compile_schema)

    assert [spec.name for spec in box.specs(["current_time", "echo", "search_knowledge"])] == [
        "current_time",
        "echo",
        "search_knowledge",
    ]
    assert set(box.names) == {"current_time", "echo", "search_knowledge"}


@pytest.mark.parametrize(
    ("arguments", "content"),
    [
        ("{}", '{"time": "2031-07-01T12:30:00+00:00", "weekday": "Tuesday", "timezone": "UTC"}'),
        (
            '{"timezone": "Asia/Tokyo"}',
            '{"time": "2031-07-01T21:30:00+09:00", "weekday": "Tuesday", "timezone": "Asia/Tokyo"}',
        ),
    ],
)
def test_the_time_is_told_in_the_zone_that_was_asked_for(arguments: str, content: str) -> None:
    assert outcome_of(CURRENT_TIME, arguments).content == content


@pytest.mark.parametrize("zone", ["Mars/Olympus", "Europe", "../../etc/passwd", "/etc/passwd", "Europe/Berlin ", "é"])
def test_a_zone_that_there_is_not_is_refused(zone: str) -> None:
    outcome = outcome_of(CURRENT_TIME, f'{{"timezone": "{zone}"}}')

    assert outcome.error is not None
    assert outcome.error["message"].startswith(f"There is no time zone {zone!r}.")


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({}, "object"),
        ({"type": "string"}, "object"),
        ({"type": "object", "properties": {"a": {"type": "text"}}}, "properties.a.type"),
        ({"type": "object", "properties": {"a": {"pattern": "("}}}, "properties.a.pattern"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}}, "there is no #/$defs/b"),
        ({"type": "object", "properties": {"a": {"$ref": "https://example.com/s.json"}}}, "must begin with #"),
        ({"type": "object", "default": object()}, "no JSON"),
    ],
)
def test_what_is_no_schema_of_arguments_is_refused(schema: Mapping[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        compile_schema(schema)
