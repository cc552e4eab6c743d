"""The one-call chat: what the portfolio seed asks for."""

from __future__ import annotations

import uuid

import httpx
import pytest

from tests.model_server import ModelServer
from tests.parley_process import Client, ParleyProcess
from tests.waiting import eventually


def test_one_call_asks_and_answers_and_makes_a_visitor(parley: ParleyProcess) -> None:
    with httpx.Client(base_url=f"{parley.url}/api/v1", timeout=40) as browser:
        answer = browser.post("/chat/", json={"question": "Hello", "context_type": "skills"})
        history = browser.get("/chat/history/").json()["data"]

    chat = answer.json()["data"]
    assert answer.status_code == 200
    assert (chat["question"], chat["answer"], chat["context_type"]) == ("Hello", "Echo: Hello", "skills")
    assert (chat["status"], chat["error"], chat["project_id"]) == ("completed", None, None)
    assert chat["response_time_ms"] >= 0
    assert chat["tokens_used"] > 0
    assert {"confidence", "chunks_used", "sources"} <= chat.keys()
    assert chat["visitor"]["token"] == answer.cookies["parley_visitor"]
    assert [message["id"] for message in history["items"]] == [chat["message_id"], chat["reply_id"]]


def test_whoever_is_known_goes_on_in_the_same_conversation(visitor: Client, model: ModelServer) -> None:
    first = visitor.data("POST", "/chat/", {"question": "My name is Zoë"})
    second = visitor.data("POST", "/chat/", {"question": f"Who am I? ({first['reply_id']})"})

    assert "visitor" not in first
    assert second["conversation_id"] == first["conversation_id"]
    (request,) = model.asked(f"Who am I? ({first['reply_id']})")
    assert "My name is Zoë" in [message["content"] for message in request["messages"]]


def test_a_timeout_answers_with_the_text_so_far_and_the_reply_goes_on(visitor: Client) -> None:
    error = visitor.error("POST", "/chat/timeout/", {"question": "!stream words=20 delay=0.1", "timeout": 1})

    details = error["details"]
    assert (error["status_code"], error["error_code"]) == (408, "reply_timeout")
    assert details["text"].startswith("word0")
    assert details["retry"]["suggestion"]
    reply = eventually(
        lambda: (found := visitor.reply(details["reply_id"]))["status"] == "completed" and found, within=15
    )
    assert reply["text"].endswith("word19 ")
    assert details["retry"]["reply"] == f"/api/v1/replies/{details['reply_id']}"


def test_who_asks_again_what_is_being_answered_waits_with_the_first(visitor: Client) -> None:
    """As browsers do by themselves after a 408 on a connection that they had used before."""
    question = {"question": "!stream words=30 delay=0.1", "timeout": 1}

    first = visitor.error("POST", "/chat/timeout/", question)
    again = visitor.data("POST", "/chat/timeout/", {**question, "timeout": 30})

    assert again["reply_id"] == first["details"]["reply_id"]
    assert visitor.data("GET", "/chat/history/")["total"] == 2


def test_a_refused_question_makes_no_visitor(parley: ParleyProcess) -> None:
    for body in ({"question": ""}, {"question": "x", "context_type": "nobody"}, {"question": "x" * 5001}):
        answer = httpx.post(f"{parley.url}/api/v1/chat/", json=body)

        assert answer.status_code == 422
        assert "parley_visitor" not in answer.cookies


def test_an_answer_in_time_is_no_timeout(visitor: Client) -> None:
    chat = visitor.data("POST", "/chat/timeout/", {"question": "Quick", "timeout": 30})

    assert chat["answer"] == "Echo: Quick"


def test_a_cleared_history_is_gone_from_sight_and_can_be_restored(visitor: Client) -> None:
    chat = visitor.data("POST", "/chat/", {"question": "Forget me"})

    cleared = visitor.data("POST", "/chat/clear/")
    empty = visitor.data("GET", "/chat/history/")
    again = visitor.data("POST", "/chat/clear/")
    anew = visitor.data("POST", "/chat/", {"question": "Afresh"})

    assert cleared == {"cleared": 2, "conversation_id": chat["conversation_id"]}
    assert (empty["items"], again) == ([], {"cleared": 0, "conversation_id": None})
    assert anew["conversation_id"] != chat["conversation_id"]
    history = visitor.data("GET", "/chat/history/")["items"]
    assert [message["content"] for message in history] == ["Afresh", "Echo: Afresh"]
    restored = visitor.data("POST", f"/conversations/{cleared['conversation_id']}/restore")
    assert restored["message_count"] == 2


def test_nobodys_history_is_unauthenticated(parley: ParleyProcess) -> None:
    for method, path in (("GET", "history"), ("POST", "clear")):
        assert httpx.request(method, f"{parley.url}/api/v1/chat/{path}/").status_code == 401


def test_a_model_that_fails_is_replaced_by_the_fallback(visitor: Client) -> None:
    chat = visitor.data("POST", "/chat/", {"question": "!error after=0"})

    assert chat["status"] == "completed"
    assert chat["answer"]


def test_another_question_meanwhile_is_a_conflict_or_an_interruption(visitor: Client) -> None:
    late = visitor.error("POST", "/chat/timeout/", {"question": "!stream words=100 delay=0.1", "timeout": 1})

    refused = visitor.error("POST", "/chat/", {"question": "Me too"})
    instead = visitor.data("POST", "/chat/", {"question": "Rather this", "on_conflict": "interrupt"})

    assert (refused["status_code"], refused["error_code"]) == (409, "reply_in_progress")
    assert instead["answer"] == "Echo: Rather this"
    assert visitor.reply(late["details"]["reply_id"])["status"] == "cancelled"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/chat/", {}, "question"),
        ("/chat/", {"question": ""}, "question"),
        ("/chat/", {"question": "x" * 5001}, "question"),
        ("/chat/", {"question": "x", "context_type": "nobody"}, "context_type"),
        ("/chat/", {"question": "x", "project_id": "1"}, "project_id"),
        ("/chat/", {"question": "x", "timeout": 3}, "timeout"),
        ("/chat/timeout/", {"question": "x", "timeout": 31}, "timeout"),
        ("/chat/timeout/", {"question": "x", "timeout": 0}, "timeout"),
        ("/chat/timeout/", {"question": "x", "timeout": "soon"}, "timeout"),
    ],
)
def test_bad_input_is_refused_naming_the_field(visitor: Client, path: str, body: dict[str, object], field: str) -> None:
    error = visitor.error("POST", path, body)

    assert error["status_code"] == 422
    assert list(error["details"]["fields"]) == [field]
    assert visitor.data("GET", "/chat/history/")["items"] == []


def test_an_unknown_project_is_not_found(visitor: Client) -> None:
    error = visitor.error("POST", "/chat/", {"question": "x", "project_id": str(uuid.uuid4())})

    assert (error["status_code"], error["error_code"]) == (404, "project_not_found")
