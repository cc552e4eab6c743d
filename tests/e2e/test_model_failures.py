"""What becomes of a reply when the model is away, fails, breaks off or says nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import with_model
from tests.model_server import ModelServer
from tests.parley_process import Client, ParleyProcess, running


@pytest.fixture(scope="module")
def impatient(model: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ParleyProcess]:
    """A Parley that waits a second for a silent model and two for a whole reply."""
    settings = with_model(model, PARLEY_IDLE_TIMEOUT=1, PARLEY_REPLY_TIMEOUT=2.5)
    with running(tmp_path_factory.mktemp("impatient"), **settings) as process:
        yield process


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_model_that_is_overloaded_for_a_moment_is_asked_again(visitor: Client, model: ModelServer, code: int) -> None:
    question = f"!status code={code} times=2 {visitor.token[-12:]}"

    reply = visitor.answer(visitor.conversation(), question)

    assert reply["status"] == "completed"
    assert reply["text"] == f"Echo: {question}"
    assert model.attempts[question] == 3
    assert "fallback" not in reply["metadata"]


def test_a_model_that_stays_away_is_replaced_by_the_fallback_answer_marked_as_such(visitor: Client) -> None:
    reply = visitor.answer(visitor.conversation(), "!status code=500 What is Parley?")

    assert reply["status"] == "completed"
    assert "cannot be reached" in reply["text"]
    assert reply["metadata"]["fallback"]["code"] == "model_failed"
    assert reply["metadata"]["offline"] is True


def test_a_request_that_the_model_refuses_is_not_repeated(visitor: Client, model: ModelServer) -> None:
    question = f"!status code=400 {visitor.token[-12:]}"

    reply = visitor.answer(visitor.conversation(), question)

    assert model.attempts[question] == 1
    assert reply["metadata"]["fallback"]["code"] == "model_refused"


@pytest.mark.parametrize(
    ("question", "code"), [("!cut after=3", "model_broke_off"), ("!error after=3", "model_failed")]
)
def test_an_answer_that_breaks_off_fails_and_keeps_its_text(visitor: Client, question: str, code: str) -> None:
    conversation = visitor.conversation()
    reply = visitor.ask(conversation, question)

    last = list(visitor.events(reply))[-1]

    assert last.event == "reply.failed"
    assert last.data["error"]["code"] == code
    assert visitor.messages(conversation)[-1]["content"] == "word0 word1 word2 "


def test_a_server_that_speaks_something_else_is_replaced_by_the_fallback(visitor: Client) -> None:
    reply = visitor.answer(visitor.conversation(), "!garbage")

    assert reply["metadata"]["fallback"]["code"] == "model_failed"


def test_a_model_that_falls_silent_times_out_and_the_text_is_kept(impatient: ParleyProcess, model: ModelServer) -> None:
    visitor = impatient.visitor()
    question = f"!silent after=2 {visitor.token[-12:]}"

    reply = visitor.answer(visitor.conversation(), question)

    assert reply["status"] == "timed_out"
    assert reply["error"]["code"] == "model_timeout"
    assert reply["text"] == "word0 word1 "
    assert question in model.abandoned


def test_a_reply_that_takes_too_long_times_out_and_the_text_is_kept(impatient: ParleyProcess) -> None:
    visitor = impatient.visitor()

    reply = visitor.answer(visitor.conversation(), "!stream words=100 delay=0.1")

    assert reply["status"] == "timed_out"
    assert reply["error"]["code"] == "reply_timeout"
    assert reply["text"].startswith("word0 word1 ")


@pytest.mark.parametrize("question", ["!mute", "!silent"])
def test_a_model_that_never_says_a_word_is_replaced_by_the_fallback(impatient: ParleyProcess, question: str) -> None:
    visitor = impatient.visitor()

    reply = visitor.answer(visitor.conversation(), question)

    assert reply["status"] == "completed"
    assert reply["metadata"]["fallback"]["code"] == "model_timeout"
    assert "cannot be reached" in reply["text"]


def test_a_failed_reply_leaves_the_conversation_usable(visitor: Client) -> None:
    conversation = visitor.conversation()
    visitor.answer(conversation, "!cut after=1")

    assert visitor.answer(conversation, "And now?")["status"] == "completed"


def test_what_no_store_can_hold_is_replaced(visitor: Client) -> None:
    conversation = visitor.conversation()

    for text in ("a\\u0000b", "half \\ud83d of a pair"):
        answer = visitor.answer(
            conversation, f'!chunk {{"choices": [{{"index": 0, "delta": {{"content": "{text}"}}}}]}}'
        )
        assert answer["status"] in ("completed", "failed"), answer

    contents = [message["content"] for message in visitor.messages(conversation) if message["role"] == "assistant"]
    assert "a\ufffdb" in contents[0]
