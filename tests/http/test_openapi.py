"""The specification says what the API does: every answer fits its documented schema."""

from __future__ import annotations

from typing import Any

import httpx
from marshmallow import Schema

from entrypoints.http.asking import AskedOut
from entrypoints.http.chat import ChatOut
from entrypoints.http.conversations import ConversationOut
from entrypoints.http.identity import PrincipalOut
from entrypoints.http.job_analyses import JobAnalysisItemOut, JobAnalysisOut
from entrypoints.http.messages import VersionOut
from entrypoints.http.replies import ReplyOut
from entrypoints.http.rooms import RoomOut
from entrypoints.http.schemas import DeletionOut, ErrorOut, MessageOut
from entrypoints.http.search import AgentOut, HitOut
from entrypoints.http.sessions import ClearedOut, SessionOut, StoppedOut
from entrypoints.http.visitors import VisitorOut
from tests.parley_process import Client, ParleyProcess
from tests.waiting import eventually


def fits(schema: type[Schema], document: dict[str, Any]) -> None:
    """The document has just the fields of the schema, each of its type."""
    assert schema().validate(document) == {}
    assert set(document) <= set(schema().fields)
    assert {name for name, field in schema().fields.items() if field.required} <= set(document)


def test_documents_fit_their_schemas(visitor: Client) -> None:
    room = visitor.room()
    conversation = visitor.conversation(room_id=room)
    reply = visitor.answer(conversation, "Hello")
    broken = visitor.answer(conversation, "!cut after=1")

    fits(RoomOut, visitor.data("GET", f"/rooms/{room}"))
    fits(ConversationOut, visitor.data("GET", f"/conversations/{conversation}"))
    fits(ReplyOut, visitor.reply(reply["id"]))
    fits(ReplyOut, visitor.reply(broken["id"]))
    fits(MessageOut, visitor.data("PUT", f"/messages/{reply['id']}/feedback", {"rating": "up"}))
    for message in visitor.messages(conversation):
        fits(MessageOut, message)
        for version in visitor.data("GET", f"/messages/{message['id']}/versions")["items"]:
            fits(VersionOut, version)
    fits(HitOut, visitor.data("GET", "/search", params={"q": "hello"})["items"][0])
    fits(VisitorOut, visitor.data("POST", "/visitors"))
    fits(PrincipalOut, visitor.data("GET", "/me"))
    session = visitor.data("POST", "/sessions", {})
    fits(SessionOut, session)
    fits(SessionOut, visitor.data("GET", "/sessions")["items"][0])
    fits(AskedOut, visitor.data("POST", f"/sessions/{session['id']}/messages?wait=30", {"content": "Hello"}))
    fits(StoppedOut, visitor.data("POST", f"/sessions/{session['id']}/stop"))
    fits(ClearedOut, visitor.data("DELETE", f"/sessions/{session['id']}/history"))
    fits(ChatOut, visitor.data("POST", "/chat/", {"question": "Hello"}))
    analysis = visitor.data("POST", "/job-analyses", {"text": "Requirements: PostgreSQL, Zig"})
    fits(JobAnalysisOut, analysis)
    eventually(lambda: visitor.data("GET", f"/job-analyses/{analysis['id']}")["result"], within=30)
    fits(JobAnalysisOut, visitor.data("GET", f"/job-analyses/{analysis['id']}"))
    fits(JobAnalysisItemOut, visitor.data("GET", "/job-analyses")["items"][0])
    for agent in visitor.data("GET", "/agents")["items"]:
        fits(AgentOut, agent)
    fits(DeletionOut, visitor.data("DELETE", f"/rooms/{room}"))
    fits(ErrorOut, visitor.error("GET", f"/rooms/{room}"))


def test_the_specification_names_every_route(parley: ParleyProcess) -> None:
    specification = httpx.get(f"{parley.url}/openapi.json").json()

    operations = {
        f"{method.upper()} {path}"
        for path, methods in specification["paths"].items()
        for method in methods
        if method != "parameters"
    }
    assert specification["openapi"] == "3.1.0"
    assert {
        "POST /api/v1/visitors",
        "POST /api/v1/job-analyses",
        "GET /api/v1/job-analyses",
        "GET /api/v1/job-analyses/{analysis_id}",
        "DELETE /api/v1/job-analyses/{analysis_id}",
        "POST /api/v1/job-analyses/{analysis_id}/restore",
        "POST /api/v1/visitors/claim",
        "POST /api/v1/login",
        "POST /api/v1/logout",
        "GET /api/v1/me",
        "GET /api/v1/agents",
        "GET /api/v1/search",
        "POST /api/v1/rooms",
        "GET /api/v1/rooms",
        "GET /api/v1/rooms/{room_id}",
        "PATCH /api/v1/rooms/{room_id}",
        "DELETE /api/v1/rooms/{room_id}",
        "POST /api/v1/rooms/{room_id}/restore",
        "GET /api/v1/rooms/{room_id}/history",
        "POST /api/v1/conversations",
        "GET /api/v1/conversations",
        "GET /api/v1/conversations/{conversation_id}",
        "PATCH /api/v1/conversations/{conversation_id}",
        "DELETE /api/v1/conversations/{conversation_id}",
        "POST /api/v1/conversations/{conversation_id}/restore",
        "GET /api/v1/conversations/{conversation_id}/export",
        "GET /api/v1/rooms/{room_id}/export",
        "GET /api/v1/export",
        "GET /api/v1/conversations/{conversation_id}/messages",
        "POST /api/v1/conversations/{conversation_id}/messages",
        "GET /api/v1/messages/{message_id}/versions",
        "POST /api/v1/messages/{message_id}/edit",
        "POST /api/v1/messages/{message_id}/select",
        "PUT /api/v1/messages/{message_id}/feedback",
        "DELETE /api/v1/messages/{message_id}/feedback",
        "POST /api/v1/sessions",
        "GET /api/v1/sessions",
        "GET /api/v1/sessions/{session_id}",
        "DELETE /api/v1/sessions/{session_id}",
        "POST /api/v1/sessions/{session_id}/messages",
        "PATCH /api/v1/sessions/{session_id}/context",
        "POST /api/v1/sessions/{session_id}/reset",
        "POST /api/v1/sessions/{session_id}/stop",
        "GET /api/v1/sessions/{session_id}/history",
        "DELETE /api/v1/sessions/{session_id}/history",
        "PUT /api/v1/sessions/{session_id}/rating",
        "GET /api/v1/knowledge/search",
        "GET /api/v1/cache/stats/",
        "POST /api/v1/cache/clear/",
        "POST /api/v1/projects",
        "GET /api/v1/projects",
        "GET /api/v1/projects/{project_id}",
        "PATCH /api/v1/projects/{project_id}",
        "DELETE /api/v1/projects/{project_id}",
        "POST /api/v1/projects/{project_id}/restore",
        "POST /api/v1/documents",
        "GET /api/v1/documents",
        "GET /api/v1/documents/{document_id}",
        "PATCH /api/v1/documents/{document_id}",
        "DELETE /api/v1/documents/{document_id}",
        "POST /api/v1/documents/{document_id}/restore",
        "POST /api/v1/documents/{document_id}/ingest",
        "GET /api/v1/documents/{document_id}/content",
        "PUT /api/v1/documents/{document_id}/content",
        "POST /api/chat",
        "GET /api/chat/{chat}",
        "GET /api/chat/{chat}/stream",
        "POST /api/chat/{chat}/stop",
        "POST /api/v1/chat/",
        "POST /api/v1/chat/timeout/",
        "GET /api/v1/chat/history/",
        "POST /api/v1/chat/clear/",
        "GET /api/v1/replies/{reply_id}",
        "GET /api/v1/replies/{reply_id}/events",
        "POST /api/v1/replies/{reply_id}/cancel",
        "POST /api/v1/replies/{reply_id}/regenerate",
        "GET /api/v1/conversations/stats/",
        "GET /api/v1/rooms/stats/",
        "GET /api/v1/replies/stats/",
        "GET /api/v1/feedback/stats/",
        "GET /api/v1/visitors/stats/",
        "GET /api/v1/projects/stats/",
        "GET /api/v1/job-analyses/stats/",
        "GET /healthz",
        "GET /readyz",
        "GET /api/health",
        "GET /metrics",
        "GET /ws/chat/",
        "GET /v1/models",
        "GET /v1/models/{model}",
        "POST /v1/chat/completions",
        "POST /v1/responses",
        "GET /v1/responses/{response}",
        "POST /v1/responses/{response}/cancel",
        "GET /v1/responses/{response}/input_items",
        "POST /v1/conversations",
        "GET /v1/conversations/{conversation}",
        "POST /v1/conversations/{conversation}",
        "DELETE /v1/conversations/{conversation}",
        "GET /v1/conversations/{conversation}/items",
        "POST /v1/conversations/{conversation}/items",
        "GET /v1/conversations/{conversation}/items/{message}",
    } == operations


def test_every_post_that_creates_takes_an_idempotency_key(parley: ParleyProcess) -> None:
    specification = httpx.get(f"{parley.url}/openapi.json").json()

    taking = {
        path.removeprefix("/api/v1")
        for path, methods in specification["paths"].items()
        if any(each.get("name") == "Idempotency-Key" for each in methods.get("post", {}).get("parameters", []))
    }
    assert taking == {
        "/rooms",
        "/projects",
        "/documents",
        "/job-analyses",
        "/conversations",
        "/conversations/{conversation_id}/messages",
        "/messages/{message_id}/edit",
        "/replies/{reply_id}/regenerate",
        "/sessions",
        "/sessions/{session_id}/messages",
        "/chat/",
        "/chat/timeout/",
        "/api/chat",
        "/v1/chat/completions",
        "/v1/responses",
        "/v1/conversations",
    }
    asking = specification["paths"]["/api/v1/conversations/{conversation_id}/messages"]["post"]["parameters"]
    assert {each["name"] for each in asking} >= {"wait", "Idempotency-Key"}


def test_a_document_is_sent_as_a_form_or_as_json(parley: ParleyProcess) -> None:
    specification = httpx.get(f"{parley.url}/openapi.json").json()

    sent = specification["paths"]["/api/v1/documents"]["post"]["requestBody"]["content"]
    assert set(sent) == {"multipart/form-data", "application/json"}
    form, json = (
        specification["components"]["schemas"][sent[kind]["schema"]["$ref"].rpartition("/")[2]]
        for kind in ("multipart/form-data", "application/json")
    )
    shared = {"project_id", "name", "title", "metadata", "media_type"}
    assert set(form["properties"]) == shared | {"file"}
    assert set(json["properties"]) == shared | {"text"}
    assert (form["properties"]["file"]["format"], sorted(form["required"])) == ("binary", ["file", "project_id"])
    assert sorted(json["required"]) == ["project_id", "text"]
