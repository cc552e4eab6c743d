"""Bad input: each a clear error that names the field, and nothing half-done."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from tests.parley_process import Client, ParleyProcess

_UNKNOWN = str(uuid.UUID(int=7))


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/rooms", {}, "name"),
        ("/rooms", {"name": 7}, "name"),
        ("/rooms", {"name": None}, "name"),
        ("/rooms", {"name": "   "}, "name"),
        ("/rooms", {"name": "x" * 101}, "name"),
        ("/rooms", {"name": "nul \x00"}, "name"),
        ("/rooms", {"name": "x", "metadata": []}, "metadata"),
        ("/rooms", {"name": "x", "metadata": {"k": "v" * 11_000}}, "metadata"),
        ("/rooms", {"name": "x", "metadata": {"n": 2**64}}, "metadata"),
        ("/rooms", {"name": "x", "metadata": {"n": "nul \x00"}}, "metadata"),
        ("/rooms", {"name": "x", "metadata": json.loads('{"a":' * 40 + "1" + "}" * 40)}, "metadata"),
        ("/rooms", {"name": "x", "nmae": "y"}, "nmae"),
        ("/rooms", [], "body"),
        ("/rooms", "text", "body"),
        ("/conversations", {"room_id": "abc"}, "room_id"),
        ("/conversations", {"agent": "nobody"}, "agent"),
        ("/conversations", {"title": "x" * 201}, "title"),
        (f"/conversations/{_UNKNOWN}/messages", {}, "content"),
        (f"/conversations/{_UNKNOWN}/messages", {"content": "x", "on_conflict": "maybe"}, "on_conflict"),
        (f"/conversations/{_UNKNOWN}/messages?wait=31", {"content": "x"}, "wait"),
        (f"/conversations/{_UNKNOWN}/messages?weight=3", {"content": "x"}, "weight"),
    ],
)
def test_a_bad_body_is_refused_naming_the_field(visitor: Client, path: str, body: Any, field: str) -> None:
    error = visitor.error("POST", path, body)

    assert error["status_code"] == 422
    assert error["error_code"] == "validation_failed"
    assert list(error["details"]["fields"]) == [field]
    assert visitor.data("GET", "/rooms")["total"] == 0


@pytest.mark.parametrize("content", ["", "   ", "x" * 5001, "a\x00b"])
def test_a_question_has_one_to_five_thousand_characters(visitor: Client, content: str) -> None:
    conversation = visitor.conversation()

    error = visitor.error("POST", f"/conversations/{conversation}/messages", {"content": content})

    assert list(error["details"]["fields"]) == ["content"]
    assert visitor.messages(conversation) == []


def test_five_thousand_characters_of_any_script_are_fine(visitor: Client) -> None:
    text = "å🙂文" * 1666

    reply = visitor.answer(visitor.conversation(), text)

    assert reply["text"] == f"Echo: {text}"


def test_text_that_unicode_does_not_have_is_refused(visitor: Client) -> None:
    answer = visitor.http.post(
        "/rooms",
        content=b'{"name": "\\ud800"}',
        headers={"Authorization": f"Bearer {visitor.token}", "Content-Type": "application/json"},
    )

    assert answer.status_code == 422
    assert list(answer.json()["error"]["details"]["fields"]) == ["name"]


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/rooms", {"limit": 0}, "limit"),
        ("/rooms", {"limit": 101}, "limit"),
        ("/rooms", {"limit": "many"}, "limit"),
        ("/rooms", {"offset": -1}, "offset"),
        ("/rooms", {"sort_by": "colour"}, "sort_by"),
        ("/rooms", {"order": "up"}, "order"),
        ("/rooms", {"limt": 5}, "limt"),
        ("/conversations", {"room_id": "abc"}, "room_id"),
        ("/conversations", {"sort_by": "name"}, "sort_by"),
        ("/search", {}, "q"),
        ("/search", {"q": ""}, "q"),
        ("/search", {"q": "x" * 201}, "q"),
        ("/rooms/abc", {}, "room_id"),
        ("/conversations/abc/messages", {}, "conversation_id"),
        ("/replies/abc/events", {}, "reply_id"),
    ],
)
def test_a_bad_query_is_refused_naming_the_field(visitor: Client, path: str, query: dict[str, Any], field: str) -> None:
    error = visitor.error("GET", path, params=query)

    assert error["status_code"] == 422
    assert list(error["details"]["fields"]) == [field]


@pytest.mark.parametrize("header", ["abc", "-1", "1.5", "٣", "99999999999999999999"])
def test_a_bad_last_event_id_is_refused(visitor: Client, header: str) -> None:
    reply = visitor.answer(visitor.conversation(), "Hello")["id"]

    error = visitor.error("GET", f"/replies/{reply}/events", headers={"Last-Event-ID": header.encode()})

    assert list(error["details"]["fields"]) == ["Last-Event-ID"]


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "malformed_json"),
        (b"\xff\xfe", "application/json", 400, "malformed_json"),
        (b"[" * 500_000, "application/json", 400, "malformed_json"),
        (b'{"name": ' + b"1" * 5_000 + b"}", "application/json", 400, "malformed_json"),
        (b'{"name": "x", "\\ud800": 1}', "application/json", 422, "validation_failed"),
        (b'{"name": "x", "metadata": {"n": NaN}}', "application/json", 422, "validation_failed"),
        (b'{"name": "x", "metadata": {"n": "\\ud800"}}', "application/json", 422, "validation_failed"),
        (b'{"name": "x", "metadata": {"\\udfff": 1}}', "application/json", 422, "validation_failed"),
        (b"name=x", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b'{"name": "x"}', "text/plain", 415, "unsupported_media_type"),
        (b'{"name": "' + b"x" * 1_100_000 + b'"}', "application/json", 413, "body_too_large"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(
    visitor: Client, content: bytes, content_type: str, status: int, code: str
) -> None:
    headers = {"Authorization": f"Bearer {visitor.token}", "Content-Type": content_type}

    answer = visitor.http.post("/rooms", content=content, headers=headers)

    assert answer.status_code == status
    assert answer.json()["error"]["error_code"] == code


@pytest.mark.parametrize("path", ["/rooms/{}", "/conversations/{}", "/conversations/{}/messages", "/replies/{}"])
def test_what_does_not_exist_answers_404_naming_it(visitor: Client, path: str) -> None:
    error = visitor.error("GET", path.format(_UNKNOWN))

    assert error["status_code"] == 404
    assert error["error_code"] == path.split("/")[1].removesuffix("s").replace("replie", "reply") + "_not_found"
    assert error["details"]["id"] == _UNKNOWN


def test_a_header_that_means_something_to_gateways_is_passed_over(visitor: Client) -> None:
    assert visitor.call("GET", "/rooms", headers={"SCRIPT_NAME": "/x", "Path_Info": "/y"}).status_code == 200


def test_what_is_somebodys_own_is_not_kept_by_caches(visitor: Client) -> None:
    assert visitor.call("GET", "/rooms").headers["Cache-Control"] == "no-store"


def test_an_unknown_path_and_a_wrong_method_answer_in_the_envelope(visitor: Client) -> None:
    unknown = visitor.error("GET", "/nothing")
    wrong = visitor.call("PUT", "/rooms", {})

    assert unknown["error_code"] == "not_found"
    assert wrong.status_code == 405
    assert "POST" in wrong.headers["Allow"]
    assert wrong.json()["error"]["error_code"] == "method_not_allowed"


def test_every_answer_has_a_request_id_and_keeps_the_callers(visitor: Client) -> None:
    own = visitor.call("GET", "/rooms", headers={"X-Request-ID": "trace-42"})
    made = visitor.call("GET", "/rooms", headers={"X-Request-ID": "no good"})
    error = visitor.call("GET", "/nothing", headers={"X-Request-ID": "trace-43"})

    assert own.headers["X-Request-ID"] == "trace-42"
    assert uuid.UUID(made.headers["X-Request-ID"]).version == 7
    assert error.json()["error"]["request_id"] == "trace-43"


def test_more_live_replies_than_allowed_answer_429_with_a_time_to_come_back(parley: ParleyProcess) -> None:
    visitor = parley.visitor()
    replies = [visitor.ask(visitor.conversation(), "!silent") for _ in range(100)]

    answer = visitor.call("POST", f"/conversations/{visitor.conversation()}/messages", {"content": "One more"})

    for reply in replies:
        visitor.call("POST", f"/replies/{reply}/cancel")
    assert answer.status_code == 429
    assert answer.json()["error"]["error_code"] == "too_many_live_replies"
    assert int(answer.headers["Retry-After"]) > 0


class TestTokens:
    def test_without_a_token_nothing_is_answered(self, parley: ParleyProcess) -> None:
        nobody = Client(parley.url)

        error = nobody.error("GET", "/rooms")

        assert (error["status_code"], error["error_code"]) == (401, "unauthenticated")
        nobody.http.close()

    @pytest.mark.parametrize("header", ["Bearer", "Bearer a b", "Basic dXNlcjpwYXNz", "Bearer abc", "Bearer a.b.c"])
    def test_a_broken_token_is_refused(self, visitor: Client, header: str) -> None:
        answer = visitor.http.get("/rooms", headers={"Authorization": header})

        assert answer.status_code == 401
        assert answer.json()["error"]["error_code"] == "token_invalid"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")

    @pytest.mark.parametrize(
        ("claims", "key", "algorithm", "code"),
        [
            ({"sub": "alice"}, None, "HS256", "token_invalid"),
            ({"sub": "alice", "exp": 1}, None, "HS256", "token_expired"),
            ({"exp": 4102444800}, None, "HS256", "token_invalid"),
            ({"sub": 7, "exp": 4102444800}, None, "HS256", "token_invalid"),
            ({"sub": "", "exp": 4102444800}, None, "HS256", "token_invalid"),
            ({"sub": "a\ud800", "exp": 4102444800}, None, "HS256", "token_invalid"),
            ({"sub": "alice", "exp": [1]}, None, "HS256", "token_invalid"),
            ({"sub": "alice", "exp": "1e999"}, None, "HS256", "token_invalid"),
            ({"sub": "alice", "exp": float("inf")}, None, "HS256", "token_invalid"),
            ({"sub": "alice", "exp": float("nan")}, None, "HS256", "token_invalid"),
            ({"sub": "alice", "exp": 4102444800, "iss": "parley"}, None, "HS256", "token_invalid"),
            ({"sub": "alice", "exp": 4102444800, "iss": "parley", "kind": "king"}, None, "HS256", "token_invalid"),
            ({"sub": "alice", "exp": 4102444800, "roles": {"admin": True}}, None, "HS256", "token_invalid"),
            ({"sub": "alice", "exp": 4102444800}, "x" * 32, "HS256", "token_invalid"),
            ({"sub": "alice", "exp": 4102444800}, "", "none", "token_invalid"),
            ({"sub": "alice", "exp": 4102444800}, "y" * 64, "HS512", "token_invalid"),
        ],
    )
    def test_a_token_that_proves_nothing_is_refused(
        self, parley: ParleyProcess, visitor: Client, claims: dict[str, Any], key: str | None, algorithm: str, code: str
    ) -> None:
        secret = (parley.data_dir / "secret_key").read_text() if key is None else key
        token = jwt.encode(claims, secret, algorithm)

        answer = visitor.http.get("/rooms", headers={"Authorization": f"Bearer {token}"})

        assert answer.status_code == 401
        assert answer.json()["error"]["error_code"] == code

    def test_a_token_of_the_host_product_speaks_for_its_user(self, parley: ParleyProcess, visitor: Client) -> None:
        secret = (parley.data_dir / "secret_key").read_text()
        token = jwt.encode({"sub": "alice", "exp": datetime.now(UTC) + timedelta(minutes=5)}, secret, "HS256")
        issued = parley.user("alice")

        room = issued.room("Alice's")

        alice = Client(parley.url, token)
        assert alice.data("GET", f"/rooms/{room}")["name"] == "Alice's"
        alice.http.close()


class TestSomebodyElses:
    def test_things_answer_403_whatever_is_tried(self, parley: ParleyProcess, visitor: Client) -> None:
        room = visitor.room()
        conversation = visitor.conversation(room_id=room)
        reply = visitor.answer(conversation, "Mine")["id"]
        stranger = parley.visitor()

        for method, path, body in [
            ("GET", f"/rooms/{room}", None),
            ("PATCH", f"/rooms/{room}", {"name": "Theirs"}),
            ("DELETE", f"/rooms/{room}", None),
            ("POST", f"/rooms/{room}/restore", None),
            ("GET", f"/rooms/{room}/history", None),
            ("POST", "/conversations", {"room_id": room}),
            ("GET", f"/conversations?room_id={room}", None),
            ("GET", f"/conversations/{conversation}", None),
            ("PATCH", f"/conversations/{conversation}", {"title": "Theirs"}),
            ("DELETE", f"/conversations/{conversation}", None),
            ("POST", f"/conversations/{conversation}/restore", None),
            ("GET", f"/conversations/{conversation}/messages", None),
            ("POST", f"/conversations/{conversation}/messages", {"content": "Psst"}),
            ("GET", f"/replies/{reply}", None),
            ("GET", f"/replies/{reply}/events", None),
            ("POST", f"/replies/{reply}/cancel", None),
            ("POST", f"/replies/{reply}/regenerate", None),
        ]:
            error = stranger.error(method, path, body)

            assert (error["status_code"], error["error_code"]) == (403, "forbidden"), (method, path)
        assert len(visitor.messages(conversation)) == 2

    def test_lists_hold_ones_own_things_only(self, parley: ParleyProcess, visitor: Client) -> None:
        visitor.conversation(room_id=visitor.room())
        stranger = parley.visitor()

        assert stranger.data("GET", "/rooms")["total"] == 0
        assert stranger.data("GET", "/conversations")["total"] == 0

    def test_what_an_admin_starts_in_somebodys_room_is_that_somebodys(
        self, parley: ParleyProcess, visitor: Client
    ) -> None:
        room = visitor.room()
        admin = parley.user("root", "admin")

        conversation = admin.conversation(room_id=room)
        admin.answer(conversation, "How may I help?")

        assert len(visitor.messages(conversation)) == 2
        assert visitor.data("GET", "/rooms")["items"][0]["conversation_count"] == 1
        assert visitor.data("DELETE", f"/rooms/{room}")["message_count"] == 2

    def test_an_admin_may_read_and_restore_anybodys_room(self, parley: ParleyProcess, visitor: Client) -> None:
        room = visitor.room("Lost")
        visitor.data("DELETE", f"/rooms/{room}")
        admin = parley.user("root", "admin")

        assert admin.data("POST", f"/rooms/{room}/restore")["name"] == "Lost"
        assert visitor.data("GET", f"/rooms/{room}")["name"] == "Lost"


class TestVisitors:
    def test_a_visitor_gets_a_token_and_a_cookie_that_scripts_cannot_read(self, parley: ParleyProcess) -> None:
        browser = Client(parley.url)

        answer = browser.call("POST", "/visitors")

        cookie = answer.headers["Set-Cookie"]
        assert answer.status_code == 201
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Secure" not in cookie
        assert browser.data("GET", "/rooms")["total"] == 0
        browser.http.close()

    def test_a_visitor_who_comes_again_stays_the_same(self, parley: ParleyProcess) -> None:
        browser = Client(parley.url)
        first = browser.data("POST", "/visitors")

        again = browser.call("POST", "/visitors")

        assert again.status_code == 200
        assert again.json()["data"]["id"] == first["id"]
        browser.http.close()

    def test_a_visitor_whose_token_is_no_longer_good_becomes_a_new_one(self, parley: ParleyProcess) -> None:
        browser = Client(parley.url)

        answer = browser.call("POST", "/visitors", headers={"Cookie": "parley_visitor=stale"})

        assert answer.status_code == 201
        browser.http.close()

    def test_the_cookie_does_not_act_for_another_sites_page(self, parley: ParleyProcess) -> None:
        browser = Client(parley.url)
        browser.call("POST", "/visitors")

        for origin in ("http://elsewhere.example", "null", "http://["):
            error = browser.error("POST", "/rooms", {"name": "x"}, headers={"Origin": origin})
            assert (error["status_code"], error["error_code"]) == (403, "forbidden")
        own = browser.call("POST", "/rooms", {"name": "x"}, headers={"Origin": parley.url})

        assert own.status_code == 201
        browser.http.close()

    def test_another_sites_page_cannot_make_somebody_a_new_visitor(self, parley: ParleyProcess) -> None:
        browser = Client(parley.url)

        answer = browser.call("POST", "/visitors", headers={"Origin": "http://elsewhere.example"})

        assert answer.status_code == 403
        assert "Set-Cookie" not in answer.headers
        browser.http.close()


@pytest.mark.parametrize("thing", ["conversations", "rooms", "projects", "job-analyses"])
def test_statistics_are_nothing_that_is_called_stats(visitor: Client, thing: str) -> None:
    answers = [visitor.call(method, f"/{thing}/stats/") for method in ("DELETE", "PATCH")]

    assert [answer.status_code for answer in answers] == [405, 405]
    assert {frozenset(answer.headers["Allow"].split(", ")) for answer in answers} == {
        frozenset({"GET", "HEAD", "OPTIONS"})
    }


def test_what_a_path_does_not_take_is_refused_as_that_whatever_is_sent(visitor: Client) -> None:
    form = visitor.call("PUT", "/documents", files={"file": ("a.md", b"x")})

    assert (form.status_code, form.json()["error"]["error_code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        ("multipart/form-data", b"--x\r\n"),
        ("multipart/form-data; boundary=x", b"no form"),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name=file\r\n\r\ncut off"),
    ],
)
def test_a_form_that_is_none_is_refused_as_that(visitor: Client, content_type: str, content: bytes) -> None:
    for path in "/job-analyses", f"/replies/{_UNKNOWN}/regenerate":
        headers = {"Content-Type": content_type, "Idempotency-Key": "form"}
        answer = visitor.call("POST", path, content=content if "job" in path else b"", headers=headers)

        refusal = (answer.status_code, answer.json()["error"]["error_code"])
        assert refusal in [(400, "malformed_form"), (404, "reply_not_found")], answer.text
        assert path != "/job-analyses" or refusal[0] == 400


@pytest.mark.parametrize(("rating", "status"), [(3, 200), (3.0, 200), ("3", 422), (3.5, 422), (True, 422), (6.0, 422)])
def test_a_whole_number_may_be_written_with_a_point_and_not_in_quotes(
    visitor: Client, rating: Any, status: int
) -> None:
    session = visitor.data("POST", "/sessions", {})["id"]

    assert visitor.call("PUT", f"/sessions/{session}/rating", {"rating": rating}).status_code == status


def test_what_is_true_or_false_is_nothing_else(visitor: Client) -> None:
    answers = [visitor.call("POST", "/sessions", {"fresh": fresh}) for fresh in (0, 1, "true", "no", None, True)]

    assert [answer.status_code for answer in answers] == [422, 422, 422, 422, 422, 201]


def test_a_file_of_no_type_is_refused(visitor: Client) -> None:
    headers = {"Authorization": f"Bearer {visitor.token}"}
    files = {"file": ("job.txt", b"Requirements: Zig")}

    answer = visitor.http.post("/job-analyses", files=files, data={"media_type": "text"}, headers=headers)

    assert list(answer.json()["error"]["details"]["fields"]) == ["media_type"]


def test_a_search_may_be_as_long_as_an_address(visitor: Client) -> None:
    answers = [visitor.call("GET", "/knowledge/search", params={"q": "文" * length}) for length in (900, 1000)]

    assert [answer.status_code for answer in answers] == [200, 414]
