"""Ask, generate, watch, stop: over HTTP alone, as a client sees them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.model_server import ModelServer
from tests.parley_process import TERMINAL, Client, Event, ParleyProcess
from tests.waiting import eventually


def text_of(events: list[Event]) -> str:
    return "".join(event.data["text"] for event in events if event.event == "reply.delta")


def test_a_visitor_asks_watches_the_answer_and_finds_both_messages_in_the_history(visitor: Client) -> None:
    conversation = visitor.conversation(room_id=visitor.room())
    reply = visitor.ask(conversation, "Hello there")

    events = list(visitor.events(reply))
    history = visitor.messages(conversation)

    assert list(range(len(events))) == [event.seq for event in events]
    assert events[0].event == "reply.started"
    assert events[-1].event == "reply.completed"
    assert text_of(events) == "Echo: Hello there"
    assert [message["content"] for message in history] == ["Hello there", "Echo: Hello there"]
    assert [message["position"] for message in history] == [1, 2]
    assert events[-1].data["message"] == history[1]


def test_every_event_carries_its_own_number(visitor: Client) -> None:
    events = list(visitor.events(visitor.ask(visitor.conversation(), "Hello")))

    assert [event.seq for event in events] == [event.data["seq"] for event in events]


def test_whoever_has_seen_the_end_finds_it_in_the_history(visitor: Client) -> None:
    conversation = visitor.conversation()

    for number in range(10):
        reply = visitor.ask(conversation, f"Question {number}")
        for event in visitor.events(reply):
            if event.event in TERMINAL:
                newest = visitor.messages(conversation, limit=1)

                assert event.data["message"] == newest[0]


def test_the_answer_tells_what_it_took(visitor: Client) -> None:
    reply = visitor.answer(visitor.conversation(), "Hello there")

    metadata = reply["message"]["metadata"]
    assert metadata["model"] == "test-model"
    assert metadata["usage"] == {"input_tokens": 7, "output_tokens": 3}
    assert 0 <= metadata["time_to_first_token_ms"] <= metadata["response_time_ms"]


def test_the_model_gets_the_conversation_so_far_but_no_more_than_twenty_messages(
    visitor: Client, model: ModelServer
) -> None:
    conversation = visitor.conversation()
    for number in range(11):
        visitor.answer(conversation, f"Turn {number}")

    last_request = model.asked("Turn 10")[-1]
    turns = [message["content"] for message in last_request["messages"] if message["role"] != "system"]
    assert len(turns) == 20
    assert turns[-3:] == ["Turn 9", "Echo: Turn 9", "Turn 10"]


@pytest.fixture(scope="module")
def finished_reply(parley: ParleyProcess) -> tuple[Client, str, list[Event]]:
    client = parley.visitor()
    reply = client.ask(client.conversation(), "!stream words=120 delay=0.01")
    events = list(client.events(reply))
    assert len(events) > 20
    return client, reply, events


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(min_value=1, max_value=40), max_size=8))
def test_a_watcher_cut_off_anywhere_and_resumed_sees_every_event_once(
    finished_reply: tuple[Client, str, list[Event]], cuts: list[int]
) -> None:
    client, reply, everything = finished_reply

    assert everything == watch_with_cuts(client, reply, cuts)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(min_value=1, max_value=10), min_size=3, max_size=12))
def test_a_watcher_cut_off_while_the_answer_is_written_sees_every_event_once(
    parley: ParleyProcess, cuts: list[int]
) -> None:
    client = parley.visitor()
    reply = client.ask(client.conversation(), "!stream words=60 delay=0.01")

    seen = watch_with_cuts(client, reply, cuts)

    assert seen == list(client.events(reply))
    assert text_of(seen) == "".join(f"word{number} " for number in range(60))


def watch_with_cuts(client: Client, reply: str, cuts: list[int]) -> list[Event]:
    """Watch a reply, dropping the connection after so many events each time."""
    seen: list[Event] = []
    for cut in itertools.chain(cuts, itertools.repeat(10_000)):
        stream = client.events(reply, after=seen[-1].seq if seen else None)
        seen.extend(itertools.islice(stream, cut))
        stream.close()  # type: ignore[attr-defined] # a generator
        if seen and seen[-1].event in TERMINAL:
            return seen
    raise AssertionError("the chain is endless")


def test_a_watcher_who_has_seen_the_last_event_is_told_so(visitor: Client) -> None:
    reply = visitor.ask(visitor.conversation(), "Hello")
    last = list(visitor.events(reply))[-1]

    answer = visitor.call("GET", f"/replies/{reply}/events", headers={"Last-Event-ID": str(last.seq)})

    assert answer.status_code == 204


def test_the_stream_has_the_headers_that_proxies_and_browsers_need(visitor: Client) -> None:
    reply = visitor.ask(visitor.conversation(), "Hello")

    headers = visitor.call("GET", f"/replies/{reply}/events").headers

    assert headers["Content-Type"].startswith("text/event-stream")
    assert headers["Cache-Control"] == "no-cache, no-transform"
    assert headers["X-Accel-Buffering"] == "no"


def test_asking_for_an_event_stream_answers_with_the_events(visitor: Client) -> None:
    conversation = visitor.conversation()

    answer = visitor.call(
        "POST", f"/conversations/{conversation}/messages", {"content": "Hello"}, headers={"Accept": "text/event-stream"}
    )

    assert "event: reply.completed" in answer.text
    assert answer.headers["Location"].startswith("/api/v1/replies/")


def test_waiting_answers_with_the_finished_reply(visitor: Client) -> None:
    conversation = visitor.conversation()

    answer = visitor.call("POST", f"/conversations/{conversation}/messages?wait=10", {"content": "Hello"})

    assert answer.status_code == 200
    assert answer.json()["data"]["reply"]["text"] == "Echo: Hello"


def test_waiting_too_long_answers_408_with_the_text_so_far_and_the_reply_goes_on(visitor: Client) -> None:
    conversation = visitor.conversation()

    error = visitor.error(
        "POST", f"/conversations/{conversation}/messages?wait=1", {"content": "!stream words=40 delay=0.04"}
    )

    assert error["error_code"] == "reply_timeout"
    assert error["status_code"] == 408
    assert error["details"]["reply"]["text"].startswith("word0 ")
    last = list(visitor.events(error["details"]["reply"]["id"]))[-1]
    assert last.event == "reply.completed"


def test_a_second_question_is_refused_while_a_reply_is_written(visitor: Client) -> None:
    conversation = visitor.conversation()
    reply = visitor.ask(conversation, "!silent after=2")

    error = visitor.error("POST", f"/conversations/{conversation}/messages", {"content": "And?"})

    assert error["error_code"] == "reply_in_progress"
    assert error["status_code"] == 409
    assert error["details"]["reply_id"] == reply
    visitor.call("POST", f"/replies/{reply}/cancel")


def test_interrupting_keeps_the_text_of_the_first_reply_and_asks_the_second_question(visitor: Client) -> None:
    conversation = visitor.conversation()
    first = visitor.ask(conversation, "!silent after=2 interrupt")
    eventually(lambda: visitor.reply(first)["text"])

    second = visitor.ask(conversation, "Never mind", on_conflict="interrupt")

    list(visitor.events(second))
    contents = [(message["content"], message["status"]) for message in visitor.messages(conversation)]
    assert contents == [
        ("!silent after=2 interrupt", "completed"),
        ("word0 word1 ", "cancelled"),
        ("Never mind", "completed"),
        ("Echo: Never mind", "completed"),
    ]


@pytest.mark.parametrize("silence", ["!silent after=3", "!mute"])
def test_stopping_answers_with_the_partial_text_and_closes_the_upstream_connection(
    visitor: Client, model: ModelServer, silence: str
) -> None:
    question = f"{silence} of {visitor.token[-12:]}"
    conversation = visitor.conversation()
    reply = visitor.ask(conversation, question)
    eventually(lambda: model.asked(question))
    if "after" in question:
        stream = visitor.events(reply)
        next(event for event in stream if event.event == "reply.delta")

    answer = visitor.call("POST", f"/replies/{reply}/cancel")

    expected = "word0 word1 word2 " if "after" in question else ""
    assert answer.status_code == 200
    assert answer.json()["data"]["status"] == "cancelled"
    assert answer.json()["data"]["text"] == expected
    assert visitor.messages(conversation)[-1]["content"] == expected
    assert eventually(lambda: question in model.abandoned)


def test_stopping_twice_is_the_same_as_once(visitor: Client) -> None:
    reply = visitor.ask(visitor.conversation(), "!silent after=1")
    eventually(lambda: visitor.reply(reply)["text"])

    first = visitor.data("POST", f"/replies/{reply}/cancel")
    second = visitor.data("POST", f"/replies/{reply}/cancel")

    assert first == second
    assert first["status"] == "cancelled"


def test_stopping_a_finished_reply_leaves_it_as_it_is(visitor: Client) -> None:
    reply = visitor.answer(visitor.conversation(), "Hello")

    after = visitor.data("POST", f"/replies/{reply['id']}/cancel")

    assert after["status"] == "completed"
    assert after["text"] == "Echo: Hello"


def test_regenerating_replaces_the_last_answer_and_counts_its_version(visitor: Client) -> None:
    conversation = visitor.conversation()
    first = visitor.answer(conversation, "Hello")

    second = visitor.data("POST", f"/replies/{first['id']}/regenerate")["reply"]
    list(visitor.events(second["id"]))

    history = visitor.messages(conversation)
    assert [message["id"] for message in history][1:] == [second["id"]]
    assert (history[1]["position"], history[1]["version"]) == (2, 2)
    assert visitor.data("GET", f"/conversations/{conversation}")["message_count"] == 2


def test_only_the_last_answer_can_be_regenerated(visitor: Client) -> None:
    conversation = visitor.conversation()
    first = visitor.answer(conversation, "One")
    visitor.answer(conversation, "Two")

    error = visitor.error("POST", f"/replies/{first['id']}/regenerate")

    assert error["error_code"] == "not_last_answer"
    assert error["status_code"] == 409


def test_the_first_question_names_the_conversation(visitor: Client) -> None:
    conversation = visitor.conversation()
    visitor.answer(conversation, "How do tides work?\nI mean at sea.")

    assert visitor.data("GET", f"/conversations/{conversation}")["title"] == "How do tides work? I mean at sea."


def test_the_agent_of_a_question_answers_it(visitor: Client, model: ModelServer) -> None:
    question = f"Which skills? {visitor.token[-12:]}"
    conversation = visitor.conversation()
    list(visitor.events(visitor.ask(conversation, question, agent="skills")))

    assert "skills" in model.asked(question)[-1]["messages"][0]["content"]
    assert visitor.messages(conversation)[-1]["agent"] == "skills"
