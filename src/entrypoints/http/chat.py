"""`/chat/`: ask, and be answered, in one call; whoever is not known yet becomes a visitor by it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response
from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate

from application.conversations.posting import OnConflict
from application.documents import asked_document
from application.facade import Application
from application.ports.persistence import Document, Once
from application.replies.watching import WatchReply
from application.sessions.asking import AskInSession
from application.sessions.commands import Cleared, ClearHistory, OpenSession, Scope
from domain.errors import Invalid, NotFound, ReplyTimeout
from domain.limits import Limits
from domain.replies import ReplyStatus
from entrypoints.http import auth
from entrypoints.http.answers import data
from entrypoints.http.asking import REFUSED, waited_for
from entrypoints.http.auth import principal
from entrypoints.http.conversations import MessageListQuery
from entrypoints.http.once import idempotent
from entrypoints.http.refusals import refuses
from entrypoints.http.schemas import (
    FailureOut,
    MessageOut,
    Request,
    SourceOut,
    WholeNumber,
    agent_field,
    choice_field,
    count_field,
    enveloped,
    paged,
    text_field,
)
from entrypoints.http.sessions import ClearedOut, cleared_document, history_of
from entrypoints.http.visitors import VisitorOut, introduced, shown


class ChatBody(Request):
    """A question, to whom, and about what."""

    question = text_field(5000, required=True)
    context_type = agent_field("Who answers: an agent's name.", load_default=None, allow_none=True)
    project_id = fields.UUID(
        load_default=None, allow_none=True, metadata={"description": "What the question is about."}
    )
    on_conflict = choice_field(OnConflict, load_default=OnConflict.REJECT)


class TimedChatBody(ChatBody):
    """A question, and for how long its answer is waited for."""

    timeout = WholeNumber(load_default=30, validate=validate.Range(1, 30), metadata={"description": "Seconds."})


class ChatOut(Schema):
    """An answer with what was measured; `visitor` is there for whoever has just become one."""

    question = fields.String(required=True)
    answer = fields.String(required=True)
    status = fields.String(
        required=True, validate=validate.OneOf([each.value for each in ReplyStatus if not each.is_live])
    )
    context_type = fields.String(required=True)
    project_id = fields.UUID(required=True, allow_none=True)
    conversation_id = fields.UUID(required=True)
    message_id = fields.UUID(required=True)
    reply_id = fields.UUID(required=True)
    sources = fields.List(fields.Nested(SourceOut), required=True)
    confidence = fields.Float(required=True, allow_none=True, metadata={"minimum": 0, "maximum": 1})
    tokens_used = fields.Integer(required=True, allow_none=True, metadata={"minimum": 0})
    chunks_used = count_field()
    cached = fields.Boolean(required=True)
    response_time_ms = fields.Integer(required=True, allow_none=True, metadata={"minimum": 0})
    error = fields.Nested(FailureOut, required=True, allow_none=True)
    visitor = fields.Nested(VisitorOut)


def blueprint(app: Application, limits: Limits, reply_timeout: float) -> Blueprint:
    """The routes of the one-call chat, over `app`; an answer takes `reply_timeout` seconds at most."""
    routes = Blueprint("chat", __name__, url_prefix="/chat", description="Question and answer in one call.")

    @routes.post("/")
    @refuses(*REFUSED, "forbidden", "project_not_found")
    @idempotent(routes)
    @routes.doc(security=auth.OPTIONAL)
    @routes.arguments(ChatBody())
    @routes.response(200, enveloped(ChatOut), headers=auth.SETS_COOKIE)
    def chat(body: dict[str, Any]) -> Response:
        """Ask, and wait for the answer."""
        return _answered(app, limits, body, reply_timeout + 5)

    @routes.post("/timeout/")
    @refuses(*REFUSED, "forbidden", "project_not_found")
    @idempotent(routes)
    @routes.doc(security=auth.OPTIONAL)
    @routes.arguments(TimedChatBody())
    @routes.response(200, enveloped(ChatOut), headers=auth.SETS_COOKIE)
    def chat_with_timeout(body: dict[str, Any]) -> Response:
        """Ask, and wait for so many seconds; 408 with the text so far when they are over, while the reply goes on."""
        return _answered(app, limits, body, body["timeout"])

    @routes.get("/history/")
    @routes.arguments(MessageListQuery(), location="query")
    @routes.response(200, paged(MessageOut))
    def chat_history(query: dict[str, Any]) -> Response:
        """Read what was asked and answered here; the newest messages without a cursor."""
        return data(history_of(app, app.read_sessions.own(principal()), query))

    @routes.post("/clear/")
    @routes.response(200, enveloped(ClearedOut))
    def clear_chat() -> Response:
        """Clear the history; its conversation is deleted softly, and can be restored."""
        session = app.read_sessions.own(principal())
        if session is None:
            return data(cleared_document(Cleared()))
        clear = ClearHistory(principal=principal(), session_id=session["id"], scope=Scope.STORED)
        return data(cleared_document(app.sessions.clear(clear)))

    return routes


def _answered(app: Application, limits: Limits, body: dict[str, Any], within: float) -> Response:
    # Whoever asks what cannot be answered does not become a visitor by it.
    limits.text("question", body["question"], limits.message)
    try:
        app.agents.named(body["context_type"])
    except Invalid as invalid:
        raise invalid.renamed({"agent": "context_type"}) from None
    visitor = _introduced(app, body["project_id"])
    document = waited_for(
        app, lambda once: _posted(app, body, once), body["question"], body["context_type"], body["project_id"]
    )
    reply_id = UUID(str(document["reply"]["id"]))
    reply = app.replies.watch.wait(WatchReply(principal=principal(), reply_id=reply_id), within=within)
    if ReplyStatus(reply["status"]).is_live:
        raise ReplyTimeout(
            f"The answer is not finished after {within:g} s. It goes on.",
            text=reply["text"],
            reply_id=str(reply_id),
            conversation_id=str(reply["conversation_id"]),
            retry={
                "suggestion": "Do not ask again: fetch the answer when it is finished, or watch it.",
                "after": 2,
                "reply": f"/api/v1/replies/{reply_id}",
                "events": f"/api/v1/replies/{reply_id}/events",
            },
            **visitor,
        )
    return data(_chat_document(document["message"], reply) | visitor)


def _posted(app: Application, body: dict[str, Any], once: Once | None) -> Document:
    """The question, asked in the principal's own session."""
    session, _ = app.sessions.open(OpenSession(principal=principal()))
    question = AskInSession(
        principal=principal(),
        session_id=session.id,
        content=body["question"],
        agent=body["context_type"],
        project_id=body["project_id"],
        on_conflict=body["on_conflict"],
        once=once,
    )
    return asked_document(*app.sessions.ask(question))


def _introduced(app: Application, project_id: UUID | None) -> Document:
    """Make whoever is not known a visitor, remembered by a cookie: `{visitor}`, and nothing for those who are known.

    Raises NotFound for a project that no visitor could ask about.
    """
    is_stranger = not auth.recognise(app) and project_id is not None
    if is_stranger and not app.read_knowledge.scope("", project_id=project_id, keys=None).projects:
        raise NotFound("project", project_id)
    welcome = introduced(app)
    return {"visitor": shown(welcome)} if welcome is not None else {}


def _chat_document(question: Document, reply: Document) -> Document:
    measured = reply["metadata"]
    usage = measured.get("usage") or {}
    tokens = [count for count in (usage.get("input_tokens"), usage.get("output_tokens")) if count is not None]
    return {
        "question": question["content"],
        "answer": reply["text"],
        "status": reply["status"],
        "context_type": reply["agent"],
        "project_id": reply["project_id"],
        "conversation_id": reply["conversation_id"],
        "message_id": question["id"],
        "reply_id": reply["id"],
        "sources": reply["sources"],
        "confidence": measured.get("confidence"),
        "tokens_used": sum(tokens) if tokens else None,
        "chunks_used": measured.get("chunks_used", 0),
        "response_time_ms": measured.get("response_time_ms"),
        "cached": measured.get("cached", False),
        "error": reply["error"],
    }
