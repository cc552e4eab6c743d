"""`/v1/responses`: ask, in the background or not, watch from any event on, stop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from flask import Response
from flask_smorest import Blueprint
from marshmallow import fields, validate

from application.conversations.transcripts import AskTranscript
from application.documents import asked_document
from application.facade import Application
from application.ports.persistence import Document, Once
from application.ports.queries import MessagePage, Page
from application.ports.runtime import LogEntry
from application.replies.ending import CancelReply
from application.replies.watching import WatchReply
from domain.errors import Invalid, NotFound, Unavailable
from domain.rate_limits import Action
from entrypoints.http.auth import principal
from entrypoints.http.once import creating, idempotent
from entrypoints.http.openai.items import ItemListOut, ItemListQuery, item, message_of, page
from entrypoints.http.openai.requests import ResponseBody
from entrypoints.http.openai.response_documents import ResponseDocument, ResponseOut
from entrypoints.http.openai.response_events import ResponseEvents
from entrypoints.http.openai.talk import Talk
from entrypoints.http.openai.wire import STREAM, agent_named, answer, dressed, is_retry, undressed
from entrypoints.http.refusals import refuses
from entrypoints.http.schemas import Request
from entrypoints.http.streaming import STREAM_HEADERS, beating

_LAST_NUMBER = 2**53 - 1


class ResponseQuery(Request):
    """Whether to watch it, and from where."""

    stream = fields.Boolean(load_default=False)
    starting_after = fields.Integer(
        load_default=None,
        validate=validate.Range(0, _LAST_NUMBER),
        metadata={"description": "The `sequence_number` of the last event that was seen."},
    )
    include = fields.List(fields.String(), metadata={"description": "It has no effect: there is nothing more."})
    include_obfuscation = fields.Boolean(metadata={"description": "It has no effect: there is none."})


def blueprint(app: Application) -> Blueprint:
    """The routes of responses, over `app`."""
    routes = Blueprint(
        "responses", __name__, url_prefix="/responses", description="OpenAI's wire: answers that can be come back to."
    )

    @routes.post("")
    @idempotent(routes)
    @refuses(
        "model_not_found",
        "response_not_found",
        "conversation_not_found",
        "item_not_found",
        "forbidden",
        "reply_in_progress",
        "project_gone",
        "rate_limited",
        "too_many_live_replies",
    )
    @routes.arguments(ResponseBody())
    @routes.response(200, ResponseOut())
    @routes.alt_response(200, schema=STREAM, content_type="text/event-stream")
    def create_response(body: dict[str, Any]) -> Response:
        """Ask a question.

        It is answered when the answer is finished, with `background` at once, and with `stream` by server-sent
        events. The answer goes on whoever listens. Without `conversation` and `previous_response_id` the talk goes on
        where it is known from, as at `/v1/chat/completions`, or begins a new conversation.
        """
        talk = Talk.of("input", [_said(app, each) for each in body["input"]])
        question = _question(app, body, talk)

        def post(once: Once | None) -> Document:
            with talk.naming():
                return asked_document(*app.conversations.ask_transcript(replace(question, once=once)))

        asked = creating(app, post, Action.ASK)
        told = ResponseDocument(asked["reply"], asked["message"])
        if body["stream"]:
            return _stream(told, _watched(app, asked["reply"]), -1)
        if body["background"]:
            return answer(told.now())
        for batch in _watched(app, asked["reply"]):
            if batch and batch[-1].is_terminal:
                return answer(told.ended(batch[-1].data["message"]))
        raise Unavailable("This process ends. The answer goes on: send the request again.")

    @routes.get("/<string:response>")
    @refuses("response_not_found", "forbidden")
    @routes.arguments(ResponseQuery(), location="query")
    @routes.response(200, ResponseOut())
    @routes.alt_response(200, schema=STREAM, content_type="text/event-stream")
    def get_response(query: dict[str, Any], response: str) -> Response:
        """Read a response, or with `stream` watch it: all of it, or what comes after the event `starting_after`."""
        reply = _reply(app, response)
        told = ResponseDocument(reply, _question_of(app, reply))
        if not query["stream"]:
            return answer(told.now())
        seen = query["starting_after"]
        return _stream(told, _watched(app, reply), -1 if seen is None else seen)

    @routes.post("/<string:response>/cancel")
    @refuses("response_not_found", "forbidden")
    @routes.response(200, ResponseOut())
    def cancel_response(response: str) -> Response:
        """Stop a response and keep its text; it is still in progress where that takes over two seconds."""
        reply_id = _reply(app, response)["id"]
        reply = app.replies.cancel(CancelReply(principal=principal(), reply_id=UUID(str(reply_id))))
        return answer(ResponseDocument(reply, _question_of(app, reply)).now())

    @routes.get("/<string:response>/input_items")
    @refuses("response_not_found", "forbidden")
    @routes.arguments(ItemListQuery(), location="query")
    @routes.response(200, ItemListOut())
    def list_input_items(query: dict[str, Any], response: str) -> Response:
        """List what was sent for a response: its question, and what was said with it before."""
        reply = _reply(app, response)
        items = [item(message) for message in _input_of(app, reply)]
        if query["order"] == "desc":
            items.reverse()
        ids = [each["id"] for each in items]
        if query["after"] is not None:
            after = dressed("msg", undressed("item", "msg", query["after"]))
            if after not in ids:
                raise NotFound("item", after)
            items = items[ids.index(after) + 1 :]
        return answer(page(items[: query["limit"]], has_more=len(items) > query["limit"]))

    return routes


def _question(app: Application, body: dict[str, Any], talk: Talk) -> AskTranscript:
    previous, conversation = body["previous_response_id"], body["conversation"]
    if previous is not None and conversation is not None:
        raise Invalid({"previous_response_id": "Cannot be given together with a conversation."})
    after = undressed("response", "resp", previous) if previous is not None else None
    about = {
        "metadata": body["metadata"],
        "background": body["background"],
        "previous_response_id": dressed("resp", after) if after is not None else None,
        "items": len(talk.said),
    }
    told = filter(None, [(body["instructions"] or "").strip(), talk.instructions])
    return AskTranscript(
        principal=principal(),
        said=talk.said,
        agent=agent_named(app, body["model"]) if body["model"] is not None else None,
        metadata={"response": {name: value for name, value in about.items() if value}},
        instructions="\n\n".join(told) or None,
        speaker=body["safety_identifier"] or body["user"],
        conversation_id=undressed("conversation", "conv", conversation) if conversation is not None else None,
        after=after,
        is_retry=is_retry(),
    )


def _said(app: Application, each: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an item of the input says, or the one that it names."""
    return each if "role" in each else message_of(app, undressed("item", "msg", each["id"]))


def _reply(app: Application, response: str) -> Document:
    try:
        return app.read.reply(undressed("response", "resp", response), principal())
    except NotFound:
        raise NotFound("response", response) from None


def _question_of(app: Application, reply: Document) -> Document | None:
    """What a reply answers, on whatever branch that is by now."""
    message = reply.get("message")
    if message is not None and message["parent_id"] is not None:
        versions = app.read.versions(UUID(str(message["parent_id"])), principal(), Page(limit=100))["items"]
        return next((each for each in versions if str(each["id"]) == str(message["parent_id"])), None)
    before = MessagePage(before=reply["position"], limit=1)
    found: list[Document] = app.read.messages(UUID(str(reply["conversation_id"])), principal(), before)["items"]
    return found[0] if found else None


def _input_of(app: Application, reply: Document) -> Sequence[Document]:
    """The question, and as many messages before it as came with it."""
    question = _question_of(app, reply)
    if question is None:
        return ()
    count = question["metadata"].get("response", {}).get("items", 1)
    before = MessagePage(before=question["position"] + 1, limit=min(count, 100))
    found: list[Document] = app.read.messages(UUID(str(reply["conversation_id"])), principal(), before)["items"]
    is_current = bool(found) and str(found[-1]["id"]) == str(question["id"])
    return found if is_current else [question]


def _watched(app: Application, reply: Document) -> Iterator[Sequence[LogEntry]]:
    watching = WatchReply(principal=principal(), reply_id=UUID(str(reply["id"])))
    return app.replies.watch(watching, known=reply) or iter(())


def _stream(told: ResponseDocument, batches: Iterator[Sequence[LogEntry]], seen: int) -> Response:
    events = ResponseEvents(told.begun(), told.ended, told.reply["id"], seen=seen)
    return Response(beating(batches, events.render), mimetype="text/event-stream", headers=STREAM_HEADERS)
