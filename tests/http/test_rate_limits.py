"""What a client sees of rates: how much is left, when to come back, and what does not count."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import httpx
import pytest

from tests.conftest import with_model
from tests.installation import installed, production
from tests.model_server import ModelServer
from tests.parley_process import Client, ParleyProcess, cli, running

_RATES: dict[str, object] = {
    "PARLEY_RATE_ASK_VISITOR": "3/hour",
    "PARLEY_RATE_ROOMS_VISITOR": "2/30m",
    "PARLEY_RATE_VISITORS": "4/hour",
    "PARLEY_RATE_SEARCHES_VISITOR": "2/hour",
    "PARLEY_RATE_UPLOADS": "2/hour",
}

# Every address of 127.0.0.0/8 is this machine, so that tests can come from different ones.
_ADDRESSES = (f"127.77.{number // 250}.{number % 250 + 1}" for number in count())


@pytest.fixture(scope="module", params=["embedded", "production"])
def limited(
    request: pytest.FixtureRequest, model: ModelServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ParleyProcess]:
    """A Parley with rates that are soon exhausted, of one process or of several."""
    folder = tmp_path_factory.mktemp("limited")
    settings = with_model(model, **_RATES)
    if request.param == "embedded":
        with running(folder, **settings) as process:
            yield process
    else:
        with production() as servers, installed(folder, **(settings | servers)) as installation:
            del installation.settings["PARLEY_SECRET_KEY"]  # The one in the folder signs users' tokens too.
            web = installation.web("--workers", "2")
            installation.worker()
            yield web


@pytest.fixture
def a_client(limited: ParleyProcess) -> Iterator[Callable[[], Client]]:
    """Makes clients of nobody, each from an address of its own."""
    made: list[Client] = []

    def make() -> Client:
        client = Client(limited.url)
        client.http.close()
        transport = httpx.HTTPTransport(local_address=next(_ADDRESSES))
        client.http = httpx.Client(base_url=client.http.base_url, timeout=40, transport=transport)
        made.append(client)
        return client

    yield make
    for client in made:
        client.http.close()


@pytest.fixture
def visitor(a_client: Callable[[], Client]) -> Client:
    client = a_client()
    client.token = client.data("POST", "/visitors")["token"]
    client.http.cookies.clear()
    return client


def asked(
    client: Client, conversation: str, content: str = "Hello", path: str = "", **options: object
) -> httpx.Response:
    """The answer to a question."""
    return client.call("POST", f"/conversations/{conversation}/messages{path}", {"content": content}, **options)


def left(answer: httpx.Response, action: str = "ask") -> int:
    """How many are left, as the headers say."""
    told = re.fullmatch(rf'"{action}";r=(\d+);t=(\d+)', answer.headers["RateLimit"])
    assert told is not None, answer.headers
    assert int(told[2]) <= 3600
    return int(told[1])


def test_each_answer_says_what_is_left_and_a_429_when_to_come_back(visitor: Client) -> None:
    answers = [asked(visitor, visitor.conversation()) for _ in range(5)]

    assert [answer.status_code for answer in answers] == [202, 202, 202, 429, 429]
    assert [left(answer) for answer in answers] == [2, 1, 0, 0, 0]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"ask";q=3;w=3600'}
    refused = answers[-1]
    wait = int(refused.headers["Retry-After"])
    assert 3500 < wait <= 3600
    assert refused.headers["RateLimit"] == f'"ask";r=0;t={wait}'
    assert refused.json()["error"] == {
        "error_code": "rate_limited",
        "error_message": "3 questions per hour is the most.",
        "status_code": 429,
        "details": {"action": "ask", "limit": 3, "window": 3600, "retry_after": wait},
        "request_id": refused.headers["X-Request-ID"],
    }


def test_a_question_beyond_the_rate_leaves_nothing(visitor: Client) -> None:
    conversation = visitor.conversation()
    for _ in range(3):
        visitor.answer(conversation, "Hello")

    assert asked(visitor, conversation, "One too many").status_code == 429
    assert len(visitor.messages(conversation)) == 6
    assert visitor.data("GET", f"/conversations/{conversation}")["live_reply_id"] is None


def test_a_question_that_is_refused_for_another_reason_does_not_count(visitor: Client) -> None:
    conversation = visitor.conversation()
    reply = asked(visitor, conversation, "!stream words=500 delay=0.02")
    assert left(reply) == 2

    refusals = [
        asked(visitor, conversation, "At the same time"),
        asked(visitor, conversation, "x" * 5001),
        asked(visitor, conversation, " "),
        visitor.call("POST", f"/conversations/{conversation}/messages", {"content": "Hello", "agent": "nobody"}),
        asked(visitor, "01a1f8c0-5415-70fa-a0db-329b810c4f14"),
    ]

    assert [answer.status_code for answer in refusals] == [409, 422, 422, 422, 404]
    assert [left(answer) for answer in refusals] == [2] * 5
    visitor.data("POST", f"/replies/{reply.json()['data']['reply']['id']}/cancel")
    assert left(asked(visitor, conversation)) == 1


def test_a_body_that_is_no_question_is_not_counted(visitor: Client) -> None:
    conversation = visitor.conversation()
    for _ in range(5):
        assert visitor.call("POST", f"/conversations/{conversation}/messages", {}).status_code == 422

    assert left(asked(visitor, conversation)) == 2


def test_streams_and_those_who_wait_are_told_too(visitor: Client) -> None:
    path = f"/api/v1/conversations/{visitor.conversation()}/messages"
    headers = {"Authorization": f"Bearer {visitor.token}", "Accept": "text/event-stream"}
    url = visitor.http.base_url.join(path)

    with visitor.http.stream("POST", url, json={"content": "Hello"}, headers=headers) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        assert left(stream) == 2
        assert "reply.completed" in stream.read().decode()
    waited = asked(visitor, visitor.conversation(), path="?wait=30")
    timed_out = asked(visitor, visitor.conversation(), "!stream words=100 delay=0.05", path="?wait=1")
    refused = asked(visitor, visitor.conversation(), headers={"Accept": "text/event-stream"})

    assert (waited.status_code, left(waited)) == (200, 1)
    assert (timed_out.status_code, left(timed_out)) == (408, 0)  # The reply goes on, so the question counts.
    assert (refused.status_code, left(refused)) == (429, 0)
    assert refused.json()["error"]["error_code"] == "rate_limited"


def test_to_regenerate_is_to_ask(visitor: Client) -> None:
    conversation = visitor.conversation()
    visitor.answer(conversation, "Hello")
    reply = visitor.answer(conversation, "Hello")

    again = visitor.call("POST", f"/replies/{reply['id']}/regenerate")
    assert (again.status_code, left(again)) == (202, 0)
    refused = visitor.call("POST", f"/replies/{again.json()['data']['reply']['id']}/regenerate")
    assert (refused.status_code, left(refused)) == (429, 0)


def test_rooms_have_a_rate_of_their_own(visitor: Client) -> None:
    first = visitor.call("POST", "/rooms", {"name": "One"})
    blank = visitor.call("POST", "/rooms", {"name": " "})
    second = visitor.call("POST", "/rooms", {"name": "Two"})
    third = visitor.call("POST", "/rooms", {"name": "Three"})

    assert [answer.status_code for answer in (first, blank, second, third)] == [201, 422, 201, 429]
    assert [left(answer, "open_room") for answer in (first, blank, second, third)] == [1, 1, 0, 0]
    assert third.headers["RateLimit-Policy"] == '"open_room";q=2;w=1800'
    assert third.json()["error"]["error_message"] == "2 new rooms per 30 minutes is the most."
    assert visitor.data("GET", "/rooms")["total"] == 2
    assert asked(visitor, visitor.conversation()).status_code == 202


def test_each_visitor_has_its_own(visitor: Client, a_client: Callable[[], Client]) -> None:
    other = a_client()
    other.token = other.data("POST", "/visitors")["token"]
    for _ in range(4):
        asked(visitor, visitor.conversation())

    assert left(asked(other, other.conversation())) == 2


def test_users_have_no_limit_by_default(limited: ParleyProcess) -> None:
    user = limited.user("alice")
    for _ in range(5):
        answers = [asked(user, user.conversation()), user.call("POST", "/rooms", {"name": "Room"})]

        assert [answer.status_code for answer in answers] == [202, 201]
        assert not any({"RateLimit", "RateLimit-Policy"} & set(answer.headers) for answer in answers)


def test_what_is_not_limited_says_nothing_of_limits(visitor: Client) -> None:
    for path in ("/rooms", "/agents", "/conversations"):
        assert "RateLimit" not in visitor.call("GET", path).headers


def test_new_visitors_are_counted_by_address(a_client: Callable[[], Client]) -> None:
    here, elsewhere = a_client(), a_client()

    welcomes = []
    for _ in range(5):
        welcomes.append(here.call("POST", "/visitors"))
        here.http.cookies.clear()

    assert [answer.status_code for answer in welcomes] == [201, 201, 201, 201, 429]
    assert [left(answer, "welcome_visitor") for answer in welcomes] == [3, 2, 1, 0, 0]
    assert elsewhere.call("POST", "/visitors").status_code == 201


def test_a_visitor_who_comes_again_is_not_counted(a_client: Callable[[], Client]) -> None:
    client = a_client()
    tokens = []
    for _ in range(4):
        tokens.append(client.data("POST", "/visitors")["token"])
        client.http.cookies.clear()
    assert client.call("POST", "/visitors", headers={"Authorization": "Bearer nonsense"}).status_code == 429

    for token in tokens:
        renewed = client.call("POST", "/visitors", headers={"Authorization": f"Bearer {token}"})

        assert renewed.status_code == 200
        assert "RateLimit" not in renewed.headers
        client.http.cookies.clear()


@pytest.mark.parametrize("value", ["lots", "0/hour", "30/fortnight", "1000000/hour", "5/31d"])
def test_a_rate_that_cannot_be_read_is_refused_at_the_start(tmp_path: Path, value: str) -> None:
    failed = cli("serve", "--migrate", PARLEY_DATA_DIR=tmp_path, PARLEY_RATE_ASK_VISITOR=value)

    assert failed.returncode == 2
    assert failed.stderr.startswith("Error: PARLEY_RATE_ASK_VISITOR: ")


def test_a_rate_of_something_else_is_refused_at_the_start(tmp_path: Path) -> None:
    failed = cli("serve", "--migrate", PARLEY_DATA_DIR=tmp_path, PARLEY_RATE_SOMETHING="30/hour")

    assert failed.returncode == 2
    assert failed.stderr == "Error: PARLEY_RATE_SOMETHING: there is no such setting. docs/settings.md lists them.\n"


def test_a_visitor_searches_in_documents_as_often_as_the_rate_says(visitor: Client) -> None:
    answers = [visitor.call("GET", "/knowledge/search?q=parley") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [left(answer, "search_knowledge") for answer in answers] == [1, 0, 0]
    assert visitor.call("GET", "/knowledge/search").status_code == 422


def test_whatever_has_a_document_read_in_counts_as_an_upload(limited: ParleyProcess) -> None:
    user = limited.user("alice-of-the-uploads")
    project = user.data("POST", "/projects", {"name": "Uploads"})["id"]
    added = user.call("POST", "/documents", {"project_id": project, "text": "# One"})
    document = added.json()["data"]["id"]

    again = user.call(
        "POST", "/documents", {"project_id": project, "text": "# One", "name": "document.txt", "media_type": "no"}
    )
    replaced = user.call("PUT", f"/documents/{document}/content", {"text": "# Two"})
    refused = [
        user.call("POST", f"/documents/{document}/ingest"),
        user.call("POST", "/documents", {"project_id": project, "text": "# Three", "name": "three.md"}),
    ]

    assert (again.status_code, "RateLimit" in again.headers) == (422, False)
    assert [left(answer, "upload") for answer in (added, replaced, *refused)] == [1, 0, 0, 0]
    assert [answer.json()["error"]["details"]["action"] for answer in refused] == ["upload", "upload"]
    assert user.data("GET", f"/documents?project_id={project}")["total"] == 1
