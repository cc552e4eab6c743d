"""How a reply's log becomes a response's events, also when some of it was lost; and what can be told of an answer."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from application.ports.runtime import LogEntry
from entrypoints.http.openai.items import citations
from entrypoints.http.openai.response_events import ResponseEvents
from entrypoints.http.openai.wire import Telling, error_document

_REPLY = UUID(int=7)
_SOURCES = [
    {"number": 1, "document": "a.md", "document_id": str(UUID(int=1))},
    {"number": 2, "document": "b.md", "document_id": str(UUID(int=2))},
]

Told = list[dict[str, Any]]


def log(*said: str, status: str = "completed", sources: Any = (), start: int = 0) -> list[LogEntry]:
    """The log of an answer that was said in pieces."""
    entries: list[tuple[str, dict[str, Any]]] = [
        ("reply.started", {}),
        *(("reply.delta", {"text": piece}) for piece in said),
    ]
    if sources:
        entries.append(("reply.sources", {"sources": sources}))
    message = {"content": "".join(said), "status": status, "sources": list(sources)}
    entries.append((f"reply.{status}", {"message": message}))
    return [LogEntry(seq, event, data) for seq, (event, data) in enumerate(entries, start)]


def told(entries: list[LogEntry], seen: int = -1) -> Told:
    events = ResponseEvents({"status": "in_progress"}, lambda message: {"status": message["status"]}, _REPLY, seen=seen)
    lines = b"".join(events.render([entry]) for entry in entries).decode().splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def kinds(events: Told) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def text(events: Told) -> str:
    return "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")


def test_whoever_comes_back_is_told_the_rest_wherever_that_begins() -> None:
    entries = log("One ", "two [1] ", "[2]", sources=_SOURCES)
    whole = told(entries)

    assert kinds(whole).count("output_text.annotation.added") == 2
    for place, event in enumerate(whole):
        assert told(entries, seen=event["sequence_number"]) == whole[place + 1 :]


def test_numbers_never_meet_however_much_is_cited() -> None:
    sources = [{"number": n, "document": "a.md", "document_id": str(UUID(int=n))} for n in range(1, 100)]
    answer = " ".join(f"[{n}]" for n in range(1, 100))

    for entries in (log(answer, sources=sources), log(answer, sources=sources)[-1:]):
        numbers = [event["sequence_number"] for event in told(entries)]
        assert numbers == sorted(set(numbers))


def test_what_is_left_of_a_lost_log_is_told_as_a_whole() -> None:
    entries = log("One ", "two")
    whole, last = told(entries), told(entries[-1:])

    assert kinds(last) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert text(last) == "One two"
    assert last[-4:] == whole[-4:]


@pytest.mark.parametrize("seen", range(4, 6))
def test_who_had_begun_to_read_what_was_lost_is_told_no_text_twice(seen: int) -> None:
    entries = log("One ", "two")
    number = told(entries)[seen]["sequence_number"]

    rest = told(entries[-1:], seen=number)

    assert kinds(rest) == ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert rest[0]["text"] == "One two"


@pytest.mark.parametrize("seen", range(4))
def test_who_had_read_nothing_of_what_was_lost_is_told_all_of_it(seen: int) -> None:
    entries = log("One ", "two")
    whole = told(entries)

    rest = told(entries[-1:], seen=whole[seen]["sequence_number"])

    assert kinds(rest) == kinds(told(entries[-1:]))[seen + 1 :]
    assert text(rest) == "One two"


def test_a_log_that_was_told_anew_repeats_nothing() -> None:
    """As its owner does when the log's store was emptied: from the beginning, under new numbers."""
    number = told(log("One ", "two"))[5]["sequence_number"]

    rest = told(log("One two three", " four", start=40), seen=number)

    assert text(rest) == ""
    assert kinds(rest) == ["output_text.done", "content_part.done", "output_item.done", "completed"]


def test_an_attempt_that_begins_anew_goes_on_where_it_says_more() -> None:
    first = log("One ", "two")[:-1]
    again = log("One ", "two ", "three", start=len(first))

    events = told([*first, *again])

    assert text(events) == "One two three"
    assert kinds(events).count("created") == 1


def test_what_turns_out_otherwise_is_told_at_the_end() -> None:
    first = log("One ", "two")[:-1]

    events = told([*first, *log("Never mind.", start=len(first))])

    assert text(events) == "One two"
    assert events[-4]["text"] == "Never mind."


def test_an_answer_without_a_word_has_no_item() -> None:
    assert kinds(told(log(status="failed"))) == ["created", "in_progress", "failed"]
    assert kinds(told(log(status="cancelled"))) == ["created", "in_progress", "incomplete"]


def test_a_passage_is_cited_where_the_text_names_it_first() -> None:
    places = [cited["index"] for cited in citations("See [2] and [1, 2].", _SOURCES)]

    assert places == [12, 4]


def test_telling_takes_nothing_back() -> None:
    telling = Telling()

    assert [telling.more("One "), telling.more("two")] == ["One ", "two"]
    telling.restart()
    assert [telling.more("One t"), telling.more("wo th"), telling.more("ree")] == ["", " th", "ree"]
    assert (telling.end("One two three."), telling.is_true) == (".", True)
    assert (telling.end("Else"), telling.is_true) == ("", False)


def test_places_in_lists_are_written_in_brackets() -> None:
    error = error_document(400, "validation_failed", "No.", "messages.0.content.12.type")["error"]

    assert error["param"] == "messages[0].content[12].type"
