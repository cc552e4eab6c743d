"""Sessions over HTTP: what the chat-room seed and the WebSocket seed ask of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import with_model
from tests.model_server import ModelServer
from tests.parley_process import Client, ParleyProcess, running
from tests.waiting import eventually


def prompts(model: ModelServer, question: str) -> list[str]:
    """What the model was told of with a question, a text a message."""
    (request,) = model.asked(question)
    return [message["content"] for message in request["messages"]]


@pytest.fixture(scope="module")
def short_lived(model: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ParleyProcess]:
    """A Parley whose sessions are over after a second without a sign of life."""
    folder = tmp_path_factory.mktemp("short_lived")
    with running(folder, **with_model(model, PARLEY_SESSION_IDLE=1, PARLEY_LIMIT_SESSIONS=3)) as process:
        yield process


def test_a_session_is_got_or_created(visitor: Client) -> None:
    room = visitor.room()

    created = visitor.call("POST", "/sessions", {"room_id": room, "context": {"page": "home"}})
    again = visitor.call("POST", "/sessions", {"room_id": room, "context": {"profile": {"name": "Zoë"}}})

    session = created.json()["data"]
    assert (created.status_code, again.status_code) == (201, 200)
    assert created.headers["Location"] == f"/api/v1/sessions/{session['id']}"
    assert again.json()["data"]["id"] == session["id"]
    assert again.json()["data"]["context"] == {"page": "home", "profile": {"name": "Zoë"}}
    assert (session["status"], session["room_id"]) == ("open", room)


def test_there_is_one_active_session_a_principal_and_room(visitor: Client, parley: ParleyProcess) -> None:
    one, other = visitor.room(), visitor.room()
    first = visitor.data("POST", "/sessions", {"room_id": one})
    elsewhere = visitor.data("POST", "/sessions", {"room_id": other})

    fresh = visitor.data("POST", "/sessions", {"room_id": one, "fresh": True})

    assert [each["id"] for each in visitor.data("GET", "/sessions")["items"]] == [fresh["id"], elsewhere["id"]]
    assert visitor.data("GET", f"/sessions/{first['id']}")["status"] == "closed"
    assert visitor.data("GET", "/sessions", params={"status": "all"})["total"] == 3
    assert visitor.data("GET", "/sessions", params={"status": "over"})["items"][0]["id"] == first["id"]


def test_a_session_is_bound_to_a_room_or_a_conversation(visitor: Client) -> None:
    room = visitor.room()
    conversation = visitor.conversation()

    bound = visitor.data("POST", "/sessions", {"conversation_id": conversation})
    both = visitor.error("POST", "/sessions", {"conversation_id": conversation, "room_id": room})

    assert bound["conversation_id"] == conversation
    assert list(both["details"]["fields"]) == ["conversation_id"]


def test_asking_in_a_session_speaks_in_one_conversation_of_its_room(visitor: Client) -> None:
    room = visitor.room()
    session = visitor.data("POST", "/sessions", {"room_id": room})["id"]

    for question in ("One", "Two"):
        visitor.data("POST", f"/sessions/{session}/messages?wait=30", {"content": question})

    (conversation,) = visitor.data("GET", "/conversations", params={"room_id": room})["items"]
    assert visitor.data("GET", f"/sessions/{session}")["conversation_id"] == conversation["id"]
    history = visitor.data("GET", f"/sessions/{session}/history")["items"]
    assert [message["content"] for message in history] == ["One", "Echo: One", "Two", "Echo: Two"]


def test_the_history_of_a_session_comes_in_pages(visitor: Client) -> None:
    session = visitor.data("POST", "/sessions", {})["id"]
    for number in range(3):
        visitor.data("POST", f"/sessions/{session}/messages?wait=30", {"content": f"Question {number}"})

    def page(**query: object) -> list[int]:
        items = visitor.data("GET", f"/sessions/{session}/history", params=query)["items"]
        return [message["position"] for message in items]

    assert page(limit=2) == [5, 6]
    assert page(limit=2, before=5) == [3, 4]
    assert page(after=4) == [5, 6]
    assert page(limit=2, offset=1, order="desc") == [5, 4]


def test_a_new_session_goes_on_where_the_last_one_spoke(visitor: Client) -> None:
    for place in ({"room_id": visitor.room()}, {}):
        first = visitor.data("POST", "/sessions", place)["id"]
        visitor.data("POST", f"/sessions/{first}/messages?wait=30", {"content": "Remember me"})
        visitor.data("DELETE", f"/sessions/{first}")

        second = visitor.data("POST", "/sessions", place)

        assert second["id"] != first
        history = visitor.data("GET", f"/sessions/{second['id']}/history")["items"]
        assert [message["content"] for message in history] == ["Remember me", "Echo: Remember me"]


def test_a_session_in_a_room_goes_on_in_the_rooms_latest_conversation(visitor: Client) -> None:
    room = visitor.room()
    conversation = visitor.conversation(room_id=room)
    visitor.answer(conversation, "Before there were sessions")

    session = visitor.data("POST", "/sessions", {"room_id": room})

    assert session["conversation_id"] == conversation


def test_the_context_reaches_the_model_and_is_merged(visitor: Client, model: ModelServer) -> None:
    context = {"navigation": {"path": "/pricing"}, "profile": {"name": "Zoë"}}
    session = visitor.data("POST", "/sessions", {"context": context})["id"]

    changed = visitor.data("PATCH", f"/sessions/{session}/context", {"context": {"navigation": {"path": "/docs"}}})
    visitor.data("POST", f"/sessions/{session}/messages?wait=30", {"content": f"Where am I in {session}?"})
    bare = visitor.data("PATCH", f"/sessions/{session}/context", {"context": {"profile": None}})

    assert changed["context"] == {"navigation": {"path": "/docs"}, "profile": {"name": "Zoë"}}
    (told,) = [text for text in prompts(model, f"Where am I in {session}?") if "Zoë" in text]
    assert '"/docs"' in told
    assert "/pricing" not in told
    assert bare["context"] == {"navigation": {"path": "/docs"}}


def test_the_context_stays_with_its_session(visitor: Client, model: ModelServer) -> None:
    conversation = visitor.conversation()
    visitor.data("POST", "/sessions", {"conversation_id": conversation, "context": {"secret": "of the session"}})

    visitor.answer(conversation, f"Asked beside it in {conversation}")

    assert not any("of the session" in text for text in prompts(model, f"Asked beside it in {conversation}"))


@pytest.mark.parametrize("agent", ["general", None])
def test_a_reset_makes_agents_forget_and_keeps_the_history(
    visitor: Client, model: ModelServer, agent: str | None
) -> None:
    session = visitor.data("POST", "/sessions", {})["id"]
    visitor.data("POST", f"/sessions/{session}/messages?wait=30", {"content": "My name is Zoë"})

    visitor.data("POST", f"/sessions/{session}/reset", {"agent": agent} if agent else None)
    for name in ("general", "skills"):
        question = f"Who am I, {name}? ({session})"
        visitor.data("POST", f"/sessions/{session}/messages?wait=30", {"content": question, "agent": name})

    forgetful = prompts(model, f"Who am I, general? ({session})")
    other = prompts(model, f"Who am I, skills? ({session})")
    assert "My name is Zoë" not in forgetful
    assert ("My name is Zoë" in other) is (agent is not None)
    assert f"Who am I, general? ({session})" in other
    assert visitor.data("GET", f"/sessions/{session}/history")["total"] == 6


def test_stopping_a_session_stops_its_stream_and_keeps_the_text(visitor: Client) -> None:
    session = visitor.data("POST", "/sessions", {})["id"]
    nothing = visitor.data("POST", f"/sessions/{session}/stop")
    asked = visitor.data("POST", f"/sessions/{session}/messages", {"content": "!stream words=200 delay=0.05"})
    eventually(lambda: visitor.reply(asked["reply"]["id"])["text"])

    stopped = visitor.data("POST", f"/sessions/{session}/stop")["reply"]

    assert nothing == {"reply": None}
    assert stopped["status"] == "cancelled"
    assert stopped["text"].startswith("word0")


@pytest.mark.parametrize("scope", ["memory", "stored", "all"])
def test_clearing_the_history_tells_memory_and_store_apart(visitor: Client, model: ModelServer, scope: str) -> None:
    session = visitor.data("POST", "/sessions", {})["id"]
    visitor.data("POST", f"/sessions/{session}/messages?wait=30", {"content": "Forget this"})
    conversation = visitor.data("GET", f"/sessions/{session}")["conversation_id"]

    cleared = visitor.data("DELETE", f"/sessions/{session}/history", params={"scope": scope})
    visitor.data("POST", f"/sessions/{session}/messages?wait=30", {"content": f"And now? ({session})"})

    assert cleared == {"cleared": 2, "conversation_id": None if scope == "memory" else conversation}
    assert "Forget this" not in prompts(model, f"And now? ({session})")
    history = visitor.data("GET", f"/sessions/{session}/history")
    assert history["total"] == (4 if scope == "memory" else 2)
    if scope != "memory":
        restored = visitor.data("POST", f"/conversations/{conversation}/restore")
        assert restored["message_count"] == 2


def test_a_session_is_rated_while_it_is_open_and_afterwards(visitor: Client) -> None:
    session = visitor.data("POST", "/sessions", {})["id"]

    first = visitor.data("PUT", f"/sessions/{session}/rating", {"rating": 2})
    visitor.data("DELETE", f"/sessions/{session}")
    last = visitor.data("PUT", f"/sessions/{session}/rating", {"rating": 5, "comment": " Helped in the end. "})

    assert (first["rating"], first["rating_comment"]) == (2, None)
    assert (last["rating"], last["rating_comment"]) == (5, "Helped in the end.")


def test_a_closed_session_takes_no_more_questions(visitor: Client) -> None:
    session = visitor.data("POST", "/sessions", {})["id"]
    closed = visitor.data("DELETE", f"/sessions/{session}")
    again = visitor.data("DELETE", f"/sessions/{session}")

    error = visitor.error("POST", f"/sessions/{session}/messages", {"content": "Anybody there?"})

    assert (closed["status"], closed["close_reason"]) == ("closed", "closed")
    assert again["closed_at"] == closed["closed_at"]
    assert (error["status_code"], error["error_code"]) == (409, "session_closed")


def test_who_is_no_longer_an_admin_has_nothing_left_of_their_sessions_with_others(parley: ParleyProcess) -> None:
    owner, name = parley.visitor(), f"admin-{uuid4()}"
    admin, former = parley.user(name, "admin"), parley.user(name)
    session = admin.data("POST", "/sessions", {"room_id": owner.room()})["id"]
    admin.data("POST", f"/sessions/{session}/messages?wait=30", {"content": "May I help?"})

    for method, path, body in [
        ("POST", "messages", {"content": "May I still?"}),
        ("POST", "reset", {}),
        ("POST", "stop", None),
        ("GET", "history", None),
        ("DELETE", "history?scope=memory", None),
    ]:
        assert former.call(method, f"/sessions/{session}/{path}", body).status_code == 403, path
    assert owner.data("GET", "/conversations")["items"][0]["message_count"] == 2


def test_a_session_of_a_deleted_place_says_so(visitor: Client) -> None:
    room = visitor.room()
    conversation = visitor.conversation()
    in_room = visitor.data("POST", "/sessions", {"room_id": room})["id"]
    at_conversation = visitor.data("POST", "/sessions", {"conversation_id": conversation})["id"]
    visitor.data("DELETE", f"/rooms/{room}")
    visitor.data("DELETE", f"/conversations/{conversation}")

    errors = [
        visitor.error("POST", f"/sessions/{session}/messages", {"content": "Hello"})
        for session in (in_room, at_conversation)
    ]

    assert [error["error_code"] for error in errors] == ["room_not_found", "conversation_not_found"]
    assert visitor.data("GET", f"/sessions/{at_conversation}/history")["items"] == []


def test_an_idle_session_expires_and_is_replaced(short_lived: ParleyProcess) -> None:
    client = short_lived.visitor()
    session = client.data("POST", "/sessions", {})["id"]
    client.data("POST", f"/sessions/{session}/messages?wait=30", {"content": "Still here"})

    eventually(lambda: client.data("GET", f"/sessions/{session}")["status"] == "expired")
    error = client.error("POST", f"/sessions/{session}/messages", {"content": "Back again"})
    replaced = client.call("POST", "/sessions", {})

    assert (error["status_code"], error["error_code"]) == (409, "session_expired")
    assert replaced.status_code == 201
    assert client.data("GET", f"/sessions/{session}")["close_reason"] == "expired"
    assert client.data("GET", f"/sessions/{replaced.json()['data']['id']}/history")["total"] == 2


def test_a_session_ends_at_the_latest_however_busy_it_is(model: ModelServer, tmp_path: Path) -> None:
    with running(tmp_path, **with_model(model, PARLEY_SESSION_TOTAL=2)) as process:
        client = process.visitor()
        session = client.data("POST", "/sessions", {})

        def refused() -> bool:
            return client.call("PATCH", f"/sessions/{session['id']}/context", {"context": {}}).status_code == 409

        assert session["expires_at"] == session["ends_at"]
        eventually(refused, within=10)
        assert client.data("GET", f"/sessions/{session['id']}")["status"] == "expired"


def test_the_longest_quiet_session_makes_way_for_one_too_many(
    parley: ParleyProcess, short_lived: ParleyProcess
) -> None:
    client = short_lived.visitor()
    sessions = [client.data("POST", "/sessions", {"room_id": client.room()})["id"] for _ in range(4)]

    first = client.data("GET", f"/sessions/{sessions[0]}")

    assert first["status"] in ("closed", "expired")
    assert client.data("GET", "/sessions")["total"] <= 3


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "", {"room_id": "x"}, "room_id"),
        ("POST", "", {"agent": "nobody"}, "agent"),
        ("POST", "", {"context": []}, "context"),
        ("POST", "", {"context": {"big": "x" * 11_000}}, "context"),
        ("POST", "", {"colour": "red"}, "colour"),
        ("PATCH", "/{id}/context", {}, "context"),
        ("PATCH", "/{id}/context", {"context": {"nul": "\x00"}}, "context"),
        ("POST", "/{id}/reset", {"agent": "nobody"}, "agent"),
        ("PUT", "/{id}/rating", {"rating": 6}, "rating"),
        ("PUT", "/{id}/rating", {"rating": 4.5}, "rating"),
        ("PUT", "/{id}/rating", {"rating": 5, "comment": "x" * 1001}, "comment"),
        ("POST", "/{id}/messages", {"content": " "}, "content"),
        ("DELETE", "/{id}/history?scope=everything", None, "scope"),
    ],
)
def test_bad_input_is_refused_naming_the_field(visitor: Client, method: str, path: str, body: Any, field: str) -> None:
    session = visitor.data("POST", "/sessions", {})["id"]

    error = visitor.error(method, f"/sessions{path.format(id=session)}", body)

    assert (error["status_code"], error["error_code"]) == (422, "validation_failed")
    assert list(error["details"]["fields"]) == [field]
