"""Idempotency keys over HTTP: a request that creates takes effect once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.conftest import with_model
from tests.model_server import ModelServer
from tests.parley_process import Client, ParleyProcess, parse_events, running
from tests.waiting import eventually


def keyed(client: Client, key: str, path: str, body: object = None, **options: Any) -> httpx.Response:
    return client.call("POST", path, body, headers={"Idempotency-Key": key} | options.pop("headers", {}), **options)


def test_a_second_request_is_answered_as_the_first(visitor: Client) -> None:
    reply = visitor.answer(visitor.conversation(), "To be regenerated")["id"]
    session = visitor.data("POST", "/sessions", {"conversation_id": visitor.conversation()})["id"]
    requests: list[tuple[str, object]] = [
        ("/rooms", {"name": "Once"}),
        ("/conversations", {"title": "Once"}),
        ("/sessions", {"fresh": True}),
        (f"/sessions/{session}/messages?wait=30", {"content": "Once"}),
        (f"/conversations/{visitor.conversation()}/messages", {"content": "Once"}),
        (f"/replies/{reply}/regenerate", None),
        ("/chat/", {"question": "Once"}),
    ]

    for number, (path, body) in enumerate(requests):
        first = keyed(visitor, f"key-{number}", path, body)
        second = keyed(visitor, f"key-{number}", path, body)

        assert first.is_success, first.text
        assert (second.status_code, second.json()) == (first.status_code, first.json()), path
        assert second.headers.get("Location") == first.headers.get("Location")
        assert ("Idempotent-Replayed" in first.headers, second.headers["Idempotent-Replayed"]) == (False, "true")


def test_nothing_is_created_twice_however_many_ask_at_once(visitor: Client) -> None:
    together = threading.Barrier(8)

    def open_room(_: int) -> httpx.Response:
        client = Client(str(visitor.http.base_url).removesuffix("/api/v1/"), visitor.token)
        with client.http:
            together.wait(10)
            return keyed(client, "all at once", "/rooms", {"name": "Once"})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(open_room, range(8)))

    assert visitor.data("GET", "/rooms")["total"] == 1
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.json()["data"]["id"] for answer in answers if answer.is_success}) == 1
    refused = [answer.json()["error"]["error_code"] for answer in answers if not answer.is_success]
    assert set(refused) <= {"idempotency_key_in_use"}
    assert keyed(visitor, "all at once", "/rooms", {"name": "Once"}).status_code == 201


def test_the_same_key_for_something_else_is_refused(visitor: Client) -> None:
    keyed(visitor, "once", "/rooms", {"name": "A room"})

    for path, body in (("/rooms", {"name": "Another"}), ("/conversations", {"title": "A room"})):
        error = keyed(visitor, "once", path, body).json()["error"]

        assert (error["status_code"], error["error_code"]) == (422, "validation_failed")
        assert list(error["details"]["fields"]) == ["Idempotency-Key"]
    assert visitor.data("GET", "/rooms")["total"] == 1


def test_the_order_of_a_bodys_members_is_nothing_else(visitor: Client) -> None:
    first = keyed(visitor, "order", "/rooms", {"name": "x", "metadata": {"a": 1, "b": 2}})
    second = keyed(visitor, "order", "/rooms", {"metadata": {"b": 2, "a": 1}, "name": "x"})

    assert first.json() == second.json()


def test_keys_of_different_principals_are_different_keys(parley: ParleyProcess) -> None:
    one, other = parley.visitor(), parley.visitor()

    rooms = [keyed(client, "mine", "/rooms", {"name": "Mine"}).json()["data"]["id"] for client in (one, other)]

    assert rooms[0] != rooms[1]
    assert other.call("GET", f"/rooms/{rooms[0]}").status_code == 403


def test_a_refused_request_leaves_its_key_free(visitor: Client) -> None:
    conversation = visitor.conversation()
    live = visitor.ask(conversation, "!stream words=200 delay=0.05")
    path, body = f"/conversations/{conversation}/messages", {"content": "Next"}

    refused = keyed(visitor, "later", path, body)
    visitor.data("POST", f"/replies/{live}/cancel")
    accepted = keyed(visitor, "later", path, body)

    assert (refused.status_code, accepted.status_code) == (409, 202)


def test_a_replay_streams_the_same_reply_from_its_beginning(visitor: Client) -> None:
    conversation = visitor.conversation()
    path, body = f"/conversations/{conversation}/messages", {"content": "Streamed once"}
    sse = {"Accept": "text/event-stream"}

    streams = [list(parse_events(iter(keyed(visitor, "s", path, body, headers=sse).text.splitlines()))) for _ in "12"]

    assert streams[0] == streams[1]
    assert streams[0][-1].event == "reply.completed"
    assert len(visitor.messages(conversation)) == 2


@pytest.mark.parametrize("name", ['"\\ud800"', "1180591620717411303424", "[" * 300 + "]" * 300])
def test_what_not_every_json_holds_is_refused_as_it_is_without_a_key(visitor: Client, name: str) -> None:
    headers = {"Authorization": f"Bearer {visitor.token}", "Content-Type": "application/json", "Idempotency-Key": "k"}
    body = f'{{"name": "x", "metadata": {{"a": {name}}}}}'

    answer = visitor.http.post("/rooms", content=body, headers=headers)

    assert (answer.status_code, list(answer.json()["error"]["details"]["fields"])) == (422, ["metadata"])


def test_a_key_may_be_quoted(visitor: Client) -> None:
    bare = keyed(visitor, "8e03978e", "/rooms", {"name": "x"})
    quoted = keyed(visitor, '"8e03978e"', "/rooms", {"name": "x"})

    assert quoted.json() == bare.json()


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "tab\there"])
def test_a_bad_key_is_refused(visitor: Client, key: str) -> None:
    error = keyed(visitor, key, "/rooms", {"name": "x"}).json()["error"]

    assert error["status_code"] == 422
    assert list(error["details"]["fields"]) == ["Idempotency-Key"]
    assert visitor.data("GET", "/rooms")["total"] == 0


@pytest.fixture(scope="module")
def forgetful(model: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ParleyProcess]:
    """A Parley that keeps keys for a second."""
    folder = tmp_path_factory.mktemp("forgetful")
    with running(folder, **with_model(model, PARLEY_IDEMPOTENCY_KEEP=1)) as process:
        yield process


def test_a_key_is_free_again_when_its_time_is_over(forgetful: ParleyProcess) -> None:
    client = forgetful.visitor()
    keyed(client, "brief", "/rooms", {"name": "One"})

    def ask_again() -> httpx.Response | None:
        answer = keyed(client, "brief", "/rooms", {"name": "Two"})
        return answer if answer.is_success else None

    another = eventually(ask_again, within=10)

    assert another.json()["data"]["name"] == "Two"
    assert client.data("GET", "/rooms")["total"] == 2


def test_a_replay_costs_nothing(model: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("limited")
    with running(folder, **with_model(model, PARLEY_RATE_ROOMS_VISITOR="1/hour")) as process:
        client = process.visitor()
        first = keyed(client, "k", "/rooms", {"name": "x"})
        replay = keyed(client, "k", "/rooms", {"name": "x"})
        new = keyed(client, "other", "/rooms", {"name": "x"})

    assert (first.status_code, replay.status_code, new.status_code) == (201, 201, 429)
