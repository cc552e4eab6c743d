"""`/messages`: versions of questions and answers, edit and ask again, feedback."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from flask import Response
from flask_smorest import Blueprint
from marshmallow import fields

from application.conversations.branching import EditQuestion, SelectVersion
from application.conversations.feedback import GiveFeedback, TakeFeedbackBack
from application.documents import asked_document, conversation_document, message_document
from application.facade import Application
from domain.messages import Rating
from entrypoints.http.answers import data
from entrypoints.http.asking import REFUSED, AskQuery, QuestionBody, answers, asked
from entrypoints.http.auth import principal
from entrypoints.http.conversations import ConversationOut
from entrypoints.http.once import idempotent
from entrypoints.http.refusals import refuses
from entrypoints.http.schemas import ListQuery, MessageOut, Request, choice_field, enveloped, page_of, paged, text_field


class FeedbackBody(Request):
    """What one thinks of an answer."""

    rating = choice_field(Rating, required=True)
    comment = text_field(1000, load_default=None, allow_none=True)


class VersionOut(MessageOut):
    """A message, and whether it is part of the history at present."""

    is_current = fields.Boolean(required=True)


def blueprint(app: Application) -> Blueprint:
    """The routes of messages, over `app`."""
    routes = Blueprint("messages", __name__, url_prefix="/messages", description="Questions, answers, their versions.")

    @routes.get("/<id:message_id>/versions")
    @routes.arguments(ListQuery(), location="query")
    @routes.response(200, paged(VersionOut))
    def list_versions(query: dict[str, Any], message_id: UUID) -> Response:
        """List a message and its other versions, on whatever branch, the oldest first."""
        return data(app.read.versions(message_id, principal(), page_of(query)))

    @routes.post("/<id:message_id>/edit")
    @refuses(*REFUSED, "not_a_question")
    @idempotent(routes)
    @routes.doc(operationId="edit_question")
    @routes.arguments(AskQuery(), location="query")
    @routes.arguments(QuestionBody())
    @answers(routes)
    def edit(query: dict[str, Any], body: dict[str, Any], message_id: UUID) -> Response:
        """Ask another version of a question; what followed the old one leaves the history and is kept.

        Answers as asking does: 202 at once; with `Accept: text/event-stream` the reply's events; with `wait`
        the finished reply, or 408 with the text so far while the reply goes on.
        """
        question = EditQuestion(principal=principal(), message_id=message_id, **body)
        return asked(
            app, lambda once: asked_document(*app.messages.edit(replace(question, once=once))), body, query["wait"]
        )

    @routes.post("/<id:message_id>/select")
    @refuses("reply_in_progress")
    @routes.doc(operationId="select_version")
    @routes.response(200, enveloped(ConversationOut))
    def select(message_id: UUID) -> Response:
        """Have the conversation go on with the branch that a message is on."""
        selection = SelectVersion(principal=principal(), message_id=message_id)
        return data(conversation_document(app.messages.select(selection)))

    @routes.put("/<id:message_id>/feedback")
    @refuses("not_an_answer")
    @routes.arguments(FeedbackBody())
    @routes.response(200, enveloped(MessageOut))
    def give_feedback(body: dict[str, Any], message_id: UUID) -> Response:
        """Rate an answer, in place of what was said before."""
        feedback = GiveFeedback(principal=principal(), message_id=message_id, **body)
        return data(message_document(app.messages.give_feedback(feedback)))

    @routes.delete("/<id:message_id>/feedback")
    @refuses("not_an_answer")
    @routes.response(200, enveloped(MessageOut))
    def take_feedback_back(message_id: UUID) -> Response:
        """Take one's feedback back."""
        taken_back = TakeFeedbackBack(principal=principal(), message_id=message_id)
        return data(message_document(app.messages.take_feedback_back(taken_back)))

    return routes
