"""The chat over WebSockets: what the WebSocket seed asks for, and what must not disturb it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest
from websockets.exceptions import InvalidStatus

from tests.chat_socket import ChatSocket, chatting
from tests.conftest import with_model
from tests.model_server import ModelServer
from tests.parley_process import Client, ParleyProcess, running
from tests.waiting import eventually


@pytest.fixture
def socket(visitor: Client) -> Iterator[ChatSocket]:
    with chatting(visitor) as socket:
        yield socket


def test_whoever_connects_is_welcomed(visitor: Client) -> None:
    with chatting(visitor, welcomed=False) as socket:
        welcome = socket.receive()

    assert welcome["type"] == "welcome"
    assert welcome["message"]
    assert welcome["principal"]["kind"] == "visitor"
    assert welcome["limits"]["message"] == 2000


def test_a_session_begins_and_a_question_is_answered_event_by_event(socket: ChatSocket, visitor: Client) -> None:
    ready = socket.ask("session_init", "session_ready", id="1", context={"page": "home"})
    accepted = socket.ask("message", "accepted", id="2", content="Hello there")

    reply_id = accepted["reply"]["id"]
    events = socket.events(reply_id)
    assert (ready["id"], ready["history"], ready["live_reply_id"]) == ("1", [], None)
    assert ready["session"]["context"] == {"page": "home"}
    assert (accepted["id"], accepted["message"]["content"]) == ("2", "Hello there")
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert [events[0]["type"], events[-1]["type"]] == ["reply.started", "reply.completed"]
    assert "".join(event["text"] for event in events if event["type"] == "reply.delta") == "Echo: Hello there"
    assert events[-1]["message"] == visitor.messages(events[-1]["message"]["conversation_id"])[-1]


def test_the_events_are_those_of_server_sent_events(socket: ChatSocket, visitor: Client) -> None:
    socket.ask("session_init", "session_ready")
    reply_id = socket.ask("message", "accepted", content="!stream words=5 delay=0.1")["reply"]["id"]

    by_socket = socket.events(reply_id)
    by_stream = list(visitor.events(reply_id))

    assert [(frame.pop("type"), frame.pop("seq")) for frame in by_socket] == [(e.event, e.seq) for e in by_stream]
    assert [{**frame, "reply_id": reply_id} for frame in by_socket] == [
        {name: value for name, value in event.data.items() if name != "seq"} | {"reply_id": reply_id}
        for event in by_stream
    ]


def test_history_and_session_survive_a_reconnect(visitor: Client) -> None:
    with chatting(visitor) as first:
        session = first.ask("session_init", "session_ready")["session"]["id"]
        first.events(first.ask("message", "accepted", content="Remember this")["reply"]["id"])
    with chatting(visitor) as second:
        again = second.ask("session_init", "session_ready", session_id=session, context={"page": 2})
    with chatting(visitor) as third:
        without_id = third.ask("session_init", "session_ready")

    for ready in (again, without_id):
        assert ready["session"]["id"] == session
        assert [message["content"] for message in ready["history"]] == ["Remember this", "Echo: Remember this"]
    assert again["session"]["context"] == {"page": 2}


def test_at_most_fifty_messages_are_shown_to_whoever_comes_back(visitor: Client) -> None:
    conversation = visitor.conversation()
    for number in range(26):
        visitor.answer(conversation, f"Question {number}")

    with chatting(visitor) as socket:
        ready = socket.ask("session_init", "session_ready", conversation_id=conversation)

    assert len(ready["history"]) == 50
    assert ready["history"][0]["content"] == "Question 1"


def test_a_lost_connection_goes_on_by_seq_without_gap_or_repeat(visitor: Client) -> None:
    with chatting(visitor) as socket:
        session = socket.ask("session_init", "session_ready")["session"]["id"]
        reply_id = socket.ask("message", "accepted", content="!stream words=40 delay=0.05")["reply"]["id"]
        socket.expect("reply.delta")
        seen = socket.expect("reply.delta")["seq"]
    with chatting(visitor) as back:
        resume = {"reply_id": reply_id, "after": seen}
        ready = back.ask("session_init", "session_ready", session_id=session, resume=resume)
        events = back.events(reply_id)

    assert ready["live_reply_id"] == reply_id
    assert [event["seq"] for event in events] == list(range(seen + 1, seen + 1 + len(events)))
    assert events[-1]["type"] == "reply.completed"


def test_a_live_reply_is_told_from_its_beginning_to_whoever_comes_new(visitor: Client) -> None:
    with chatting(visitor) as one:
        one.ask("session_init", "session_ready")
        reply_id = one.ask("message", "accepted", content="!stream words=30 delay=0.05")["reply"]["id"]
        one.expect("reply.delta")
        with chatting(visitor) as other:
            other.ask("session_init", "session_ready")
            first, *_ = other.events(reply_id)

    assert first["seq"] == 0


def test_resume_can_be_asked_for_at_any_time(socket: ChatSocket) -> None:
    socket.ask("session_init", "session_ready")
    reply_id = socket.ask("message", "accepted", content="Say it twice")["reply"]["id"]
    first = socket.events(reply_id)

    socket.send("resume", reply_id=reply_id)
    again = socket.events(reply_id)
    finished = socket.ask("resume", "resumed", reply_id=reply_id, after=first[-1]["seq"])

    assert again == first
    assert finished["reply_id"] == reply_id


def test_all_sockets_of_a_session_see_the_same(visitor: Client) -> None:
    with chatting(visitor) as one, chatting(visitor) as other:
        session = one.ask("session_init", "session_ready")["session"]["id"]
        other.ask("session_init", "session_ready", session_id=session)

        accepted = one.ask("message", "accepted", content="Can you hear me?")
        told = other.expect("message")

        assert (told["message"], told["reply_id"]) == (accepted["message"], accepted["reply"]["id"])
        assert one.events(told["reply_id"]) == other.events(told["reply_id"])
        assert [frame["type"] for frame in one.seen].count("message") == 0


def test_what_is_asked_over_http_is_heard_by_the_sockets(visitor: Client) -> None:
    conversation = visitor.conversation()
    with chatting(visitor) as socket:
        socket.ask("session_init", "session_ready", conversation_id=conversation)

        reply_id = visitor.ask(conversation, "From elsewhere")

        assert socket.expect("message")["message"]["content"] == "From elsewhere"
        assert socket.events(reply_id)[-1]["message"]["content"] == "Echo: From elsewhere"


def test_another_branch_of_the_conversation_is_told(visitor: Client) -> None:
    conversation = visitor.conversation()
    visitor.answer(conversation, "First thought")
    question = visitor.messages(conversation)[0]["id"]
    with chatting(visitor) as socket:
        socket.ask("session_init", "session_ready", conversation_id=conversation)

        edited = visitor.data("POST", f"/messages/{question}/edit", {"content": "Second thought"})
        changed = socket.expect("history_changed")
        socket.events(edited["reply"]["id"])
        visitor.data("POST", f"/messages/{question}/select")
        back = socket.expect("history_changed")

    assert (changed["conversation_id"], changed["from_position"], back["from_position"]) == (conversation, 1, 1)


def test_typing_reaches_the_other_sockets_of_the_session_only(visitor: Client) -> None:
    with chatting(visitor) as one, chatting(visitor) as other, chatting(visitor) as elsewhere:
        session = one.ask("session_init", "session_ready")["session"]["id"]
        other.ask("session_init", "session_ready", session_id=session)
        elsewhere.ask("session_init", "session_ready", room_id=visitor.room())

        one.send("typing", is_typing=True)
        started = other.expect("typing")
        one.send("typing", is_typing=False)
        stopped = other.expect("typing")

        assert (started["is_typing"], stopped["is_typing"]) == (True, False)
        for socket in (one, elsewhere):
            socket.ask("ping", "pong")
            assert "typing" not in [frame["type"] for frame in socket.seen]


def test_a_reply_is_stopped_and_keeps_its_text(socket: ChatSocket) -> None:
    socket.ask("session_init", "session_ready")
    reply_id = socket.ask("message", "accepted", content="!stream words=200 delay=0.05")["reply"]["id"]
    socket.expect("reply.delta")

    socket.send("stop", id="s")

    events = socket.events(reply_id)
    stopped = next((frame for frame in socket.seen if frame["type"] == "stopped"), None) or socket.expect("stopped")
    assert events[-1]["type"] == "reply.cancelled"
    assert events[-1]["message"]["content"].startswith("word0")
    assert (stopped["id"], stopped["reply"]["status"]) == ("s", "cancelled")
    assert socket.ask("stop", "stopped")["reply"] is None


def test_context_and_reset_work_as_over_http(socket: ChatSocket, model: ModelServer) -> None:
    session = socket.ask("session_init", "session_ready")["session"]["id"]
    socket.events(socket.ask("message", "accepted", content="My name is Zoë")["reply"]["id"])

    changed = socket.ask("context", "context_changed", context={"navigation": {"path": "/pricing"}})
    socket.ask("reset", "session_reset", id="r")
    socket.events(socket.ask("message", "accepted", content=f"Who am I? ({session})")["reply"]["id"])

    (request,) = model.asked(f"Who am I? ({session})")
    told = [message["content"] for message in request["messages"]]
    assert changed["context"] == {"navigation": {"path": "/pricing"}}
    assert "My name is Zoë" not in told
    assert any("/pricing" in text for text in told)


def test_a_session_is_closed_for_all_its_sockets_with_a_rating(visitor: Client) -> None:
    with chatting(visitor) as one, chatting(visitor) as other:
        session = one.ask("session_init", "session_ready")["session"]["id"]
        other.ask("session_init", "session_ready", session_id=session)

        closed = one.ask("session_close", "session_closed", id="c", rating=4, comment="Good.")
        heard = other.expect("session_closed")

        assert (closed["id"], closed["reason"], heard["reason"]) == ("c", "closed", "closed")
        for socket in (one, other):
            assert socket.refused("message", content="Hello?")["error_code"] == "session_required"
        assert other.ask("session_init", "session_ready")["session"]["id"] != session
    stored = visitor.data("GET", f"/sessions/{session}")
    assert (stored["status"], stored["rating"], stored["rating_comment"]) == ("closed", 4, "Good.")


def test_a_session_that_is_closed_elsewhere_is_told(visitor: Client) -> None:
    with chatting(visitor) as socket:
        session = socket.ask("session_init", "session_ready")["session"]["id"]

        visitor.data("DELETE", f"/sessions/{session}")

        assert socket.expect("session_closed")["reason"] == "closed"


def test_a_fresh_session_is_not_ended_by_the_end_of_the_one_that_it_follows(visitor: Client) -> None:
    with chatting(visitor) as socket:
        before = socket.ask("session_init", "session_ready")["session"]["id"]
        fresh = socket.ask("session_init", "session_ready", fresh=True)["session"]["id"]

        reply_id = socket.ask("message", "accepted", content="Still there?")["reply"]["id"]
        socket.events(reply_id)

        assert fresh != before
        assert [frame["type"] for frame in socket.seen].count("session_closed") == 0


def test_what_cannot_be_resumed_keeps_nobody_from_the_live_reply(visitor: Client) -> None:
    session = visitor.data("POST", "/sessions", {})["id"]
    path, question = f"/sessions/{session}/messages", {"content": "!stream words=20 delay=0.05"}
    live = visitor.data("POST", path, question)["reply"]["id"]

    with chatting(visitor) as socket:
        gone = {"reply_id": str(uuid.uuid4()), "after": 3}
        socket.ask("session_init", "session_ready", session_id=session, resume=gone)

        assert socket.refused("ping")["error_code"] == "reply_not_found"
        assert socket.events(live)[-1]["type"] == "reply.completed"


def test_a_message_that_is_sent_again_after_a_lost_connection_is_the_same(visitor: Client) -> None:
    key = str(uuid.uuid4())
    with chatting(visitor) as socket:
        session = socket.ask("session_init", "session_ready")["session"]["id"]
        first = socket.ask("message", "accepted", content="Only once", key=key)
    with chatting(visitor) as back:
        back.ask("session_init", "session_ready", session_id=session)
        back.send("message", content="Only once", key=key)
        second = back.expect("accepted")
        other = back.refused("message", content="Something else", key=key)

    assert (second["message"], second["reply"]["id"]) == (first["message"], first["reply"]["id"])
    assert other["error_code"] == "validation_failed"
    assert len(visitor.data("GET", f"/sessions/{session}/history")["items"]) <= 2


def test_a_second_question_meanwhile_is_refused_or_interrupts(socket: ChatSocket) -> None:
    socket.ask("session_init", "session_ready")
    first = socket.ask("message", "accepted", content="!stream words=200 delay=0.05")["reply"]["id"]
    socket.expect("reply.delta")

    refused = socket.refused("message", id="no", content="Now me")
    socket.send("message", id="yes", content="Now me", on_conflict="interrupt")
    ended = socket.events(first)[-1]
    accepted = next((f for f in socket.seen if f["type"] == "accepted" and f["id"] == "yes"), None)

    assert (refused["id"], refused["error_code"]) == ("no", "reply_in_progress")
    assert ended["type"] == "reply.cancelled"
    assert (accepted or socket.expect("accepted"))["message"]["content"] == "Now me"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("{", "frame"),
        ("[]", "frame"),
        ("", "frame"),
        ('"message"', "frame"),
        ("{}", "type"),
        ('{"type": "shout"}', "type"),
        ('{"type": 7}', "type"),
        ('{"type": "message"}', "content"),
        ('{"type": "message", "content": 7}', "content"),
        ('{"type": "message", "content": ""}', "content"),
        ('{"type": "message", "content": "' + "x" * 2001 + '"}', "content"),
        ('{"type": "message", "content": "x", "agent": "nobody"}', "agent"),
        ('{"type": "message", "content": "x", "colour": "red"}', "colour"),
        ('{"type": "message", "content": "x", "key": ""}', "key"),
        ('{"type": "message", "content": "x", "key": "\\u0000"}', "key"),
        ('{"type": "typing", "is_typing": "perhaps"}', "is_typing"),
        ('{"type": "resume", "reply_id": "x"}', "reply_id"),
        ('{"type": "resume", "reply_id": "00000000-0000-7000-8000-000000000000", "after": -2}', "after"),
        ('{"type": "context", "context": []}', "context"),
        ('{"type": "reset", "agent": "nobody"}', "agent"),
        ('{"type": "session_close", "rating": 6}', "rating"),
        ('{"type": "session_init", "room_id": "x"}', "room_id"),
        ('{"type": "session_init", "context": {"nul": "\\u0000"}}', "context"),
        ('{"type": "ping", "id": 7}', "id"),
        ('{"type": "message", "content": ' + "[" * 5000 + "]" * 5000 + "}", "frame"),
    ],
)
def test_a_bad_frame_is_refused_naming_the_field_and_the_socket_goes_on(
    socket: ChatSocket, text: str, field: str
) -> None:
    socket.ask("session_init", "session_ready")

    socket.connection.send(text)
    error = socket.receive()

    assert (error["type"], error["error_code"]) == ("error", "validation_failed")
    assert list(error["details"]["fields"]) == [field]
    assert socket.ask("ping", "pong", id="still here")["id"] == "still here"


@pytest.mark.parametrize("kind", ["message", "typing", "stop", "resume", "context", "reset", "session_close"])
def test_before_session_init_nothing_else_is_taken(socket: ChatSocket, kind: str) -> None:
    members: dict[str, Any] = {
        "message": {"content": "Hi"},
        "resume": {"reply_id": str(uuid.uuid4())},
        "context": {"context": {}},
    }

    error = socket.refused(kind, id="early", **members.get(kind, {}))

    assert (error["id"], error["error_code"]) == ("early", "session_required")


def test_a_binary_message_is_refused_with_1003(socket: ChatSocket) -> None:
    socket.connection.send(b'{"type": "ping"}')

    assert socket.closed()[0] == 1003


def test_a_frame_that_is_too_large_ends_with_1009(socket: ChatSocket) -> None:
    socket.connection.send(json.dumps({"type": "message", "content": "x" * 70_000}))

    assert socket.closed()[0] == 1009


def test_too_many_frames_end_with_1008_and_disturb_nobody(visitor: Client, parley: ParleyProcess) -> None:
    other = parley.visitor()
    with chatting(visitor) as flood, chatting(other) as calm:
        calm.ask("session_init", "session_ready")
        for _ in range(200):
            try:
                flood.send("ping")
            except Exception:
                break

        assert flood.closed()[0] == 1008
        assert calm.ask("ping", "pong")


@pytest.fixture(scope="module")
def strict(model: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ParleyProcess]:
    """A Parley with few sockets a principal, the seeds' rate of messages, and sessions that are soon over."""
    settings = with_model(
        model,
        PARLEY_LIMIT_SOCKETS=3,
        PARLEY_RATE_SOCKET_MESSAGE="10/minute",
        PARLEY_RATE_ASK_VISITOR="30/hour",
        PARLEY_SESSION_IDLE=6,
        PARLEY_ALLOWED_ORIGINS="https://app.example",
    )
    with running(tmp_path_factory.mktemp("strict"), **settings) as process:
        yield process


def test_ten_messages_a_minute_and_then_a_time_to_wait(strict: ParleyProcess) -> None:
    with chatting(strict.visitor()) as socket:
        socket.ask("session_init", "session_ready")
        for number in range(10):
            socket.events(socket.ask("message", "accepted", content=f"Message {number}")["reply"]["id"])

        error = socket.refused("message", id="11", content="One more")

    assert (error["id"], error["error_code"]) == ("11", "rate_limited")
    assert 0 < error["retry_after"] <= 60


def test_a_refused_message_costs_nothing(strict: ParleyProcess) -> None:
    with chatting(strict.visitor()) as socket:
        socket.ask("session_init", "session_ready")
        for _ in range(15):
            assert socket.refused("message", content="")["error_code"] == "validation_failed"

        assert socket.ask("message", "accepted", content="This one counts")


def test_a_session_stays_open_while_its_socket_does(strict: ParleyProcess) -> None:
    client = strict.visitor()
    with chatting(client) as socket:
        session = socket.ask("session_init", "session_ready")["session"]

        def was_extended() -> bool:
            return bool(client.data("GET", f"/sessions/{session['id']}")["expires_at"] > session["expires_at"])

        eventually(was_extended, within=30)
        assert socket.ask("message", "accepted", content="Still here")


def test_more_sockets_than_one_may_have_are_refused_before_the_upgrade(strict: ParleyProcess) -> None:
    client = strict.visitor()
    with chatting(client), chatting(client), chatting(client):
        with pytest.raises(InvalidStatus) as refused, chatting(client):
            pass
        with chatting(strict.visitor()) as somebody_else:
            assert somebody_else.ask("ping", "pong")

    answer = refused.value.response
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert json.loads(answer.body)["error"]["error_code"] == "too_many_sockets"
    eventually(lambda: _connects(client))


def _connects(client: Client) -> bool:
    try:
        with chatting(client):
            return True
    except InvalidStatus:
        return False


@pytest.mark.parametrize(
    ("origin", "status"), [("https://evil.example", 403), ("null", 403), ("https://app.example", 101), (None, 101)]
)
def test_the_origin_is_checked_before_the_upgrade(strict: ParleyProcess, origin: str | None, status: int) -> None:
    client = strict.visitor()

    assert handshake(strict, client.token, origin) == status


def handshake(parley: ParleyProcess, token: str | None, origin: str | None = None) -> int:
    """The status of an upgrade request."""
    client = Client(parley.url, token or "")
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    try:
        with client.http, chatting(client, additional_headers=headers, origin=origin):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


def test_a_browser_offers_its_token_as_a_subprotocol(parley: ParleyProcess) -> None:
    client = parley.visitor()
    offered: Any = ["parley", f"bearer.{client.token}"]

    with chatting(client, additional_headers={}, subprotocols=offered) as socket:
        assert socket.connection.subprotocol == "parley"
        assert socket.ask("ping", "pong")


def test_a_browser_is_known_by_its_cookie(parley: ParleyProcess) -> None:
    client = parley.visitor()
    headers = {"Cookie": f"parley_visitor={client.token}"}

    with chatting(client, additional_headers=headers, origin=parley.url) as socket:
        assert socket.ask("session_init", "session_ready")


def test_a_plain_request_is_told_to_upgrade(parley: ParleyProcess) -> None:
    client = parley.visitor()

    answer = httpx.get(f"{parley.url}/ws/chat/", headers={"Authorization": f"Bearer {client.token}"})

    assert answer.status_code == 426
    assert answer.headers["Sec-WebSocket-Version"] == "13"


def test_a_token_that_ends_ends_the_socket(embedded: ParleyProcess) -> None:
    secret = (embedded.data_dir / "secret_key").read_text().strip()
    soon = jwt.encode({"sub": "brief", "exp": int(time.time()) + 2}, secret, "HS256")
    client = embedded._client(soon)

    with chatting(client) as socket:
        assert socket.closed()[0] == 4401


@pytest.mark.parametrize("which", ["session", "room", "conversation", "reply"])
def test_what_is_somebody_elses_is_forbidden(visitor: Client, parley: ParleyProcess, which: str) -> None:
    room = visitor.room()
    conversation = visitor.conversation()
    reply = visitor.answer(conversation, "Mine")["id"]
    session = visitor.data("POST", "/sessions", {"room_id": room})["id"]
    with chatting(parley.visitor()) as stranger:
        if which == "reply":
            stranger.ask("session_init", "session_ready")
            error = stranger.refused("resume", reply_id=reply)
        else:
            theirs = {"session": session, "room": room, "conversation": conversation}[which]
            error = stranger.refused("session_init", **{f"{which}_id": theirs})

    assert error["error_code"] == "forbidden"


def test_a_crowd_that_comes_and_goes_leaves_nothing_behind(parley: ParleyProcess) -> None:
    """Sockets that are cut off without a word make room again."""
    client = parley.visitor()
    for _ in range(3):
        for _ in range(15):
            with chatting(client) as socket:
                socket.connection.socket.close()
        eventually(lambda: _connects(client))

    with chatting(client) as socket:
        assert socket.ask("session_init", "session_ready")
