"""The OpenAPI document is valid, whole, and tells what every route takes, answers and refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from entrypoints.http.events import EVENTS
from entrypoints.http.refusals import REFUSALS
from tests.parley_process import ParleyProcess

_METHODS = {"get", "post", "put", "patch", "delete"}

_API = Path(__file__).parents[2] / "docs" / "api.md"

Operation = tuple[str, dict[str, Any]]
"""Its method and path, and what the document says of it."""


@pytest.fixture(scope="module")
def document(embedded: ParleyProcess) -> dict[str, Any]:
    read: dict[str, Any] = httpx.get(f"{embedded.url}/openapi.json").json()
    return read


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> list[Operation]:
    return [
        (f"{method.upper()} {path}", item[method] | {"path_parameters": item["parameters"]})
        for path, item in document["paths"].items()
        for method in _METHODS & item.keys()
    ]


def resolved(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """What a reference leads to; the node itself if it is none."""
    while "$ref" in node:
        found: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def contents(document: dict[str, Any], operation: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Where each body and answer stands, its media type, and what is said of it."""
    for kind, media in operation.get("requestBody", {}).get("content", {}).items():
        yield "body", kind, media
    for status, response in operation["responses"].items():
        for kind, media in resolved(document, response).get("content", {}).items():
            yield status, kind, media


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_every_body_and_every_answer_has_an_example_that_fits_its_schema(
    document: dict[str, Any], operations: list[Operation]
) -> None:
    unfit = []
    for name, operation in operations:
        for place, kind, media in contents(document, operation):
            examples = [media["example"]] if "example" in media else list(media.get("examples", {}).values())
            validator = Draft202012Validator({**media["schema"], "components": document["components"]})
            unfit += [f"{name}, {place}: no example of {kind}"] if not examples else []
            values = [
                resolved(document, each).get("value", each) if isinstance(each, dict) else each for each in examples
            ]
            unfit += [f"{name}, {place}: {error.message}" for each in values for error in validator.iter_errors(each)]

    assert unfit == []


def test_every_operation_has_a_name_a_summary_and_a_tag_that_is_described(
    document: dict[str, Any], operations: list[Operation]
) -> None:
    described = {tag["name"] for tag in document["tags"] if tag["description"]}

    assert [name for name, operation in operations if not operation["summary"]] == []
    assert [name for name, operation in operations if not described.issuperset(operation["tags"])] == []
    names = [operation["operationId"] for _, operation in operations]
    assert len(names) == len(set(names))
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]*", name)] == []


def test_every_answer_names_its_headers(document: dict[str, Any], operations: list[Operation]) -> None:
    for name, operation in operations:
        assert {"$ref": "#/components/parameters/RequestId"} in operation["path_parameters"]
        for status, response in operation["responses"].items():
            if status == "414":
                continue  # It is answered before a request has an id.
            headers = resolved(document, response)["headers"]
            assert "X-Request-ID" in headers, name
            assert ("WWW-Authenticate" in headers) == (status == "401"), name
            assert ("Retry-After" in headers) == (status in ("429", "503")), name


def test_every_refusal_names_its_codes_which_have_its_status(
    document: dict[str, Any], operations: list[Operation]
) -> None:
    for name, operation in operations:
        told = {
            status: resolved(document, each)
            for status, each in operation["responses"].items()
            if status >= "400" and status != "414"
        }
        assert {"500"} <= set(told), name
        if not name.split()[1].startswith("/v1/"):
            wrong = {
                code: status
                for status, response in told.items()
                for code in response["x-error-codes"]
                if str(REFUSALS[code].status) != status and (code, status) != ("bad_handshake", "426")
            }
            assert wrong == {}, name


def test_a_chat_completion_tells_how_its_model_fails(document: dict[str, Any], operations: list[Operation]) -> None:
    responses = dict(operations)["POST /v1/chat/completions"]["responses"]

    assert {"model_failed", "model_refused"} <= set(resolved(document, responses["502"])["x-error-codes"])
    assert resolved(document, responses["504"])["x-error-codes"] == ["model_timeout"]


def test_what_is_asked_with_a_token_says_so(document: dict[str, Any], operations: list[Operation]) -> None:
    public = sorted(name for name, operation in operations if operation.get("security") == [])

    assert {"bearer", "userCookie", "visitorCookie"} == set(document["components"]["securitySchemes"])
    assert public == [
        "GET /api/health",
        "GET /api/v1/agents",
        "GET /healthz",
        "GET /readyz",
        "POST /api/v1/logout",
        "POST /api/v1/visitors",
    ]
    assert [
        name
        for name, operation in operations
        if operation.get("security") != [] and "401" not in operation["responses"]
    ] == []


def test_a_body_is_required_where_a_member_of_it_is(document: dict[str, Any], operations: list[Operation]) -> None:
    bodies = {name: operation["requestBody"] for name, operation in operations if "requestBody" in operation}

    required = {name for name, body in bodies.items() if body.get("required")}
    assert {"POST /api/v1/rooms", "POST /api/v1/documents", "PUT /api/v1/documents/{document_id}/content"} <= required
    assert {"POST /api/v1/sessions/{session_id}/reset", "POST /api/v1/visitors/claim"}.isdisjoint(required)


def test_what_is_made_leads_to_what_can_be_done_with_it(document: dict[str, Any], operations: list[Operation]) -> None:
    by_id = {operation["operationId"]: operation for _, operation in operations}

    links = by_id["ask"]["responses"]["202"]["links"]
    assert links["watch_reply"] == {
        "operationId": "watch_reply",
        "parameters": {"reply_id": "$response.body#/data/reply/id"},
    }
    assert {"get_reply", "cancel_reply", "regenerate_reply", "edit_question", "give_feedback"} <= set(links)
    for _, operation in operations:
        for response in operation["responses"].values():
            for link in response.get("links", {}).values():
                assert link["operationId"] in by_id


def test_the_document_does_not_change_between_two_requests(embedded: ParleyProcess) -> None:
    first = httpx.get(f"{embedded.url}/openapi.json")
    again = httpx.get(f"{embedded.url}/openapi.json", headers={"If-None-Match": first.headers["ETag"]})

    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")


def test_the_reference_names_every_error_code_under_its_status() -> None:
    page = _API.read_text(encoding="utf-8")
    table = page.partition("## HTTP status codes and error codes")[2].partition("\n## ")[0]

    told = {
        code: int(row[0])
        for row in re.findall(r"^\| (\d{3}) \| (.*) \|$", table, re.MULTILINE)
        for code in re.findall(r"`([a-z_]+)`", row[1])
    }
    assert (
        told.items() >= {code: refusal.status for code, refusal in REFUSALS.items() if code != "bad_handshake"}.items()
    )


def test_every_event_of_a_stream_fits_its_schema(document: dict[str, Any], embedded: ParleyProcess) -> None:
    client = embedded.visitor()
    conversation = client.conversation()
    replies = [client.ask(conversation, "Hello")]
    client.data(
        "POST",
        f"/conversations/{conversation}/messages?wait=30",
        {"content": "!cut after=1", "on_conflict": "interrupt"},
    )
    replies.append(client.messages(conversation)[-1]["id"])

    seen = [event for reply in replies for event in client.events(reply)]

    components = document["components"]
    for event in seen:
        name = EVENTS[event.event].__name__
        validator = Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": components})
        assert [error.message for error in validator.iter_errors(event.data)] == [], event
    assert {"reply.started", "reply.delta", "reply.cancelled"} <= {event.event for event in seen}


def test_the_pages_show_the_document_from_this_host_alone(embedded: ParleyProcess) -> None:
    for path in "/docs", "/redoc":
        page = httpx.get(f"{embedded.url}{path}")

        assert page.status_code == 200
        assert "default-src 'none'; script-src 'self'" in page.headers["Content-Security-Policy"]
        sources = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert [source for source in sources if not source.startswith("/")] == []
        assert all(httpx.get(f"{embedded.url}{source}").status_code == 200 for source in sources)
