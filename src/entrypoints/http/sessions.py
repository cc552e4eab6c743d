"""`/sessions`: sit down, ask, tell the context, reset, stop, clear, rate and close."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

from flask import Response
from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate

from application.documents import asked_document, page_document
from application.facade import Application
from application.ports.persistence import Document, Once
from application.sessions.asking import AskInSession
from application.sessions.commands import (
    ChangeContext,
    Cleared,
    ClearHistory,
    InSession,
    OpenSession,
    RateSession,
    ResetSession,
    Scope,
)
from domain.errors import NotFound
from domain.replies import ReplyStatus
from domain.sessions import CloseReason
from entrypoints.http.answers import data
from entrypoints.http.asking import REFUSED, AskQuery, QuestionBody, answers, asked
from entrypoints.http.auth import principal
from entrypoints.http.conversations import MessageListQuery
from entrypoints.http.once import creating, idempotent
from entrypoints.http.refusals import refuses
from entrypoints.http.replies import ReplyOut
from entrypoints.http.schemas import (
    LOCATION,
    Flag,
    ListQuery,
    MessageOut,
    Request,
    WholeNumber,
    agent_field,
    choice_field,
    count_field,
    enveloped,
    json_field,
    message_page_of,
    page_of,
    paged,
)


class SessionBody(Request):
    """Where to sit down: in a room, at a conversation, or at neither."""

    room_id = fields.UUID(
        load_default=None, allow_none=True, metadata={"description": "The room; not beside a conversation."}
    )
    conversation_id = fields.UUID(
        load_default=None, allow_none=True, metadata={"description": "The conversation; not beside a room."}
    )
    agent = agent_field("Who answers in it.", load_default=None, allow_none=True)
    context = json_field("What the agent is told of.", load_default=dict)
    metadata = json_field(load_default=dict)
    fresh = Flag(load_default=False, metadata={"description": "A new one, also where one is open."})


class SessionListQuery(ListQuery):
    """Which page of one's sessions."""

    status = fields.String(load_default="open", validate=validate.OneOf(["open", "over", "all"]))


class ContextBody(Request):
    """What to merge into the context; null takes a member away."""

    context = json_field(required=True)


class ResetBody(Request):
    """Which agent shall forget; all of them without a name."""

    agent = agent_field("Who forgets; everybody, without one.", load_default=None, allow_none=True)


class RatingBody(Request):
    """How satisfying the session was."""

    rating = WholeNumber(required=True, validate=validate.Range(1, 5))
    comment = fields.String(load_default=None, allow_none=True, metadata={"maxLength": 1000})


class ClearQuery(Request):
    """What to clear: what agents remember, what is stored, or both."""

    scope = choice_field(Scope, load_default=Scope.ALL)


class SessionOut(Schema):
    """A session."""

    id = fields.UUID(required=True)
    status = fields.String(required=True, validate=validate.OneOf(["open", "closed", "expired"]))
    room_id = fields.UUID(required=True, allow_none=True)
    conversation_id = fields.UUID(required=True, allow_none=True)
    agent = fields.String(required=True, allow_none=True)
    context = fields.Dict(required=True)
    metadata = fields.Dict(required=True)
    rating = fields.Integer(required=True, allow_none=True, metadata={"minimum": 1, "maximum": 5})
    rating_comment = fields.String(required=True, allow_none=True)
    created_at = fields.DateTime(required=True)
    active_at = fields.DateTime(required=True)
    expires_at = fields.DateTime(required=True, metadata={"description": "If nothing happens in it."})
    ends_at = fields.DateTime(required=True, metadata={"description": "At the latest."})
    closed_at = fields.DateTime(required=True, allow_none=True)
    close_reason = choice_field(CloseReason, required=True, allow_none=True)


class StoppedOut(Schema):
    """The reply that was stopped; null when none was being written."""

    reply = fields.Nested(ReplyOut, required=True, allow_none=True)


class ClearedOut(Schema):
    """How many messages were cleared, and the conversation that was deleted, which can be restored."""

    cleared = count_field()
    conversation_id = fields.UUID(required=True, allow_none=True)


def blueprint(app: Application) -> Blueprint:
    """The routes of sessions, over `app`."""
    routes = Blueprint("sessions", __name__, url_prefix="/sessions", description="Sittings of a principal.")

    def shown(session_id: UUID) -> Response:
        return data(app.read_sessions.session(session_id, principal()))

    @routes.post("")
    @refuses("forbidden", "room_not_found", "conversation_not_found")
    @idempotent(routes)
    @routes.arguments(SessionBody())
    @routes.response(201, enveloped(SessionOut), headers=LOCATION)
    @routes.alt_response(200, schema=enveloped(SessionOut), headers=LOCATION, description="It was open already.")
    def open_session(body: dict[str, Any]) -> Response:
        """Open a session, or get the one that is open in the same place."""
        wish = OpenSession(principal=principal(), **body)

        def open_(once: Once | None) -> Document:
            session, is_new = app.sessions.open(replace(wish, once=once))
            return {"is_new": is_new, **app.read_sessions.session(session.id, wish.principal)}

        document = dict(creating(app, open_))
        status = 201 if document.pop("is_new") else 200
        return data(document, status, {"Location": f"/api/v1/sessions/{document['id']}"})

    @routes.get("")
    @routes.arguments(SessionListQuery(), location="query")
    @routes.response(200, paged(SessionOut))
    def list_sessions(query: dict[str, Any]) -> Response:
        """List one's sessions, the newest first; only the open ones unless asked otherwise."""
        is_open = {"open": True, "over": False, "all": None}[query["status"]]
        return data(app.read_sessions.sessions(principal(), is_open=is_open, page=page_of(query)))

    @routes.get("/<id:session_id>")
    @routes.response(200, enveloped(SessionOut))
    def get_session(session_id: UUID) -> Response:
        """Read a session."""
        return data(app.read_sessions.session(session_id, principal()))

    @routes.delete("/<id:session_id>")
    @routes.response(200, enveloped(SessionOut))
    def close_session(session_id: UUID) -> Response:
        """Close a session; what was said in it stays."""
        app.sessions.close(InSession(principal=principal(), session_id=session_id))
        return shown(session_id)

    @routes.post("/<id:session_id>/messages")
    @refuses(*REFUSED, "session_closed", "session_expired", "conversation_not_found", "room_not_found")
    @idempotent(routes)
    @routes.arguments(AskQuery(), location="query")
    @routes.arguments(QuestionBody())
    @answers(routes)
    def ask_in_session(query: dict[str, Any], body: dict[str, Any], session_id: UUID) -> Response:
        """Ask in a session, as in a conversation; the session's context reaches the agent."""
        question = AskInSession(principal=principal(), session_id=session_id, **body)
        return asked(
            app, lambda once: asked_document(*app.sessions.ask(replace(question, once=once))), body, query["wait"]
        )

    @routes.patch("/<id:session_id>/context")
    @refuses("session_closed", "session_expired")
    @routes.arguments(ContextBody())
    @routes.response(200, enveloped(SessionOut))
    def change_context(body: dict[str, Any], session_id: UUID) -> Response:
        """Tell where the user is and who that is; what is given is merged, null takes away."""
        app.sessions.change_context(ChangeContext(principal=principal(), session_id=session_id, **body))
        return shown(session_id)

    @routes.post("/<id:session_id>/reset")
    @refuses("session_closed", "session_expired")
    @routes.arguments(ResetBody())
    @routes.response(200, enveloped(SessionOut))
    def reset_session(body: dict[str, Any], session_id: UUID) -> Response:
        """Make one agent, or all, forget what was said; the history stays."""
        app.sessions.reset(ResetSession(principal=principal(), session_id=session_id, **body))
        return shown(session_id)

    @routes.post("/<id:session_id>/stop")
    @routes.response(200, enveloped(StoppedOut))
    @routes.alt_response(202, schema=enveloped(StoppedOut), description="Not confirmed yet.")
    def stop_session(session_id: UUID) -> Response:
        """Stop the reply that is being written in the session, and keep its text."""
        reply = app.sessions.stop(InSession(principal=principal(), session_id=session_id))
        is_live = reply is not None and ReplyStatus(reply["status"]).is_live
        return data({"reply": reply}, 202 if is_live else 200)

    @routes.get("/<id:session_id>/history")
    @routes.arguments(MessageListQuery(), location="query")
    @routes.response(200, paged(MessageOut))
    def session_history(query: dict[str, Any], session_id: UUID) -> Response:
        """Read what was said where the session speaks; the newest messages without a cursor."""
        session = app.read_sessions.session(session_id, principal())
        return data(history_of(app, session, query))

    @routes.delete("/<id:session_id>/history")
    @refuses("session_closed", "session_expired")
    @routes.arguments(ClearQuery(), location="query")
    @routes.response(200, enveloped(ClearedOut))
    def clear_history(query: dict[str, Any], session_id: UUID) -> Response:
        """Clear the history: what the agents remember, or with it what is stored (which can be restored)."""
        clear = ClearHistory(principal=principal(), session_id=session_id, scope=query["scope"])
        return data(cleared_document(app.sessions.clear(clear)))

    @routes.put("/<id:session_id>/rating")
    @routes.arguments(RatingBody())
    @routes.response(200, enveloped(SessionOut))
    def rate_session(body: dict[str, Any], session_id: UUID) -> Response:
        """Say how satisfying the session was, 1 to 5, with a comment or without."""
        app.sessions.rate(RateSession(principal=principal(), session_id=session_id, **body))
        return shown(session_id)

    return routes


def cleared_document(cleared: Cleared) -> Document:
    """How much was cleared, and what can be restored."""
    return {"cleared": cleared.messages, "conversation_id": cleared.conversation_id}


def history_of(app: Application, session: Document | None, query: dict[str, Any]) -> Document:
    """A page of what was said where a session speaks; an empty one before that, and after it was cleared."""
    page = message_page_of(query)
    if session is not None and session["conversation_id"] is not None:
        with suppress(NotFound):
            return app.read.messages(UUID(str(session["conversation_id"])), principal(), page)
    return page_document([], total=0, limit=page.limit, offset=page.offset)
