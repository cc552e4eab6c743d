"""The three ways in which a question is answered: at once with where to look, as a stream, or when it is finished."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from flask import Response, request
from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate

from application.conversations.posting import OnConflict
from application.facade import Application
from application.ports.persistence import Document, Once
from application.ports.queries import MessagePage
from application.replies.watching import WatchReply
from domain.errors import Conflict, ReplyTimeout
from domain.rate_limits import Action
from domain.replies import ReplyStatus
from entrypoints.http.answers import data
from entrypoints.http.auth import principal
from entrypoints.http.events import STREAM
from entrypoints.http.once import creating
from entrypoints.http.replies import ReplyOut
from entrypoints.http.schemas import LOCATION, MessageOut, Request, agent_field, choice_field, enveloped, text_field
from entrypoints.http.streaming import event_stream

REFUSED = ("reply_timeout", "reply_in_progress", "project_gone", "rate_limited", "too_many_live_replies")
"""How a question is refused that could be one."""

View = TypeVar("View", bound=Callable[..., Any])


class AskQuery(Request):
    """Whether to wait for the finished reply."""

    wait = fields.Integer(load_default=None, validate=validate.Range(1, 30), metadata={"description": "Seconds."})


class QuestionBody(Request):
    """A question."""

    content = text_field(5000, required=True)
    agent = agent_field("Who answers this one.", load_default=None, allow_none=True)
    on_conflict = choice_field(
        OnConflict,
        load_default=OnConflict.REJECT,
        metadata={"description": "While a reply is being written: refuse with 409, or cancel it and keep its text."},
    )


class AskedOut(Schema):
    """The question as it was taken, and the reply that is being written."""

    message = fields.Nested(MessageOut, required=True)
    reply = fields.Nested(ReplyOut, required=True)


def answers(routes: Blueprint) -> Callable[[View], View]:
    """Decorates a view that answers with `asked`: says so in the document."""
    found, finished = (
        enveloped(AskedOut),
        "With `wait` the finished reply, with `Accept: text/event-stream` its events.",
    )

    def decorate(view: View) -> View:
        view = routes.alt_response(200, schema=STREAM, content_type="text/event-stream")(view)
        view = routes.alt_response(200, schema=found, headers=LOCATION, description=finished)(view)
        return routes.response(202, found, headers=LOCATION)(view)

    return decorate


def asked(app: Application, post: Callable[[Once | None], Document], body: Document, wait: int | None) -> Response:
    """Post the question in `body`, and answer with it and its reply, `{message, reply}`.

    202 at once; with `Accept: text/event-stream` the reply's events; with `wait` 200 and the finished reply, or
    408 with the text so far while the reply goes on. What an idempotency key stands for is waited for or
    streamed just so.
    """
    if wait is None:
        document = creating(app, post, Action.ASK)
    else:
        document = waited_for(app, post, body["content"], body["agent"])
    reply = document["reply"]
    where = {"Location": f"/api/v1/replies/{reply['id']}"}
    watching = WatchReply(principal=principal(), reply_id=UUID(str(reply["id"])))
    if request.accept_mimetypes.best == "text/event-stream":
        return event_stream(app.replies.watch(watching, known=reply), where)
    if wait is None:
        return data(document, 202, where)
    finished = app.replies.watch.wait(watching, within=wait)
    if ReplyStatus(finished["status"]).is_live:
        raise ReplyTimeout(
            f"The reply is not finished after {wait} s. It goes on: fetch or watch it.",
            message=document["message"],
            reply=finished,
        )
    return data({"message": document["message"], "reply": finished}, 200, where)


def waited_for(
    app: Application,
    post: Callable[[Once | None], Document],
    content: str,
    agent: str | None,
    project_id: UUID | None = None,
) -> Document:
    """Post a question that is then waited for: `{message, reply}`.

    Who asks what is being answered already joins the wait. Browsers send a request once more by themselves that is
    answered with 408 on a connection that they had used before (RFC 9110, section 15.5.9).
    """
    try:
        return creating(app, post, Action.ASK)
    except Conflict as conflict:
        if conflict.slug != "reply_in_progress":
            raise
        reply = app.read.reply(UUID(str(conflict.details["reply_id"])), principal())
        before = MessagePage(before=reply["position"], limit=1)
        asked = app.read.messages(UUID(str(reply["conversation_id"])), principal(), before)["items"]
        is_same = [each["content"] for each in asked] == [content.strip()] and agent in (None, reply["agent"])
        if not is_same or project_id not in (None, reply["project_id"]):
            raise
        return {"message": asked[0], "reply": reply}
