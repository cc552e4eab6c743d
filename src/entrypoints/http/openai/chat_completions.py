"""`/v1/chat/completions`: the client keeps the talk and sends all of it each time."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flask import Response, g, request
from flask_smorest import Blueprint

from application.conversations.transcripts import AbandonReply, AskTranscript
from application.documents import asked_document
from application.facade import Application
from application.ports.persistence import Document, Once
from application.ports.runtime import LogEntry
from application.replies.watching import WatchReply
from domain.errors import ParleyError, Unavailable
from domain.identity import Principal
from domain.rate_limits import Action
from entrypoints.http.answers import problem
from entrypoints.http.auth import principal
from entrypoints.http.once import creating, idempotent
from entrypoints.http.openai.completions import ChatCompletionOut, Completion, failure_of, is_good
from entrypoints.http.openai.requests import ChatCompletionBody
from entrypoints.http.openai.talk import Talk
from entrypoints.http.openai.wire import STREAM, agent_named, answer, error_document, event, is_retry, undressed
from entrypoints.http.refusals import MODEL_FAILURES, refuses
from entrypoints.http.streaming import STREAM_HEADERS, beating, is_gone

log = logging.getLogger(__name__)

_GRACE = 2.0
"""Seconds in which a client that has gone can come back for its answer: SDKs send again after half a second to one."""

_CLIENT_CLOSED_REQUEST = 499
"""Nobody is there to be answered; this is what nginx calls it."""


def blueprint(app: Application) -> Blueprint:
    """The routes of chat completions, over `app`."""
    routes = Blueprint(
        "chat_completions",
        __name__,
        url_prefix="/chat/completions",
        description="OpenAI's wire: the client keeps the talk.",
    )

    @routes.post("")
    @idempotent(routes)
    @refuses(
        "model_not_found",
        "conversation_not_found",
        "forbidden",
        "reply_in_progress",
        "project_gone",
        "rate_limited",
        "too_many_live_replies",
        *MODEL_FAILURES,
    )
    @routes.arguments(ChatCompletionBody())
    @routes.response(200, ChatCompletionOut())
    @routes.alt_response(200, schema=STREAM, content_type="text/event-stream")
    def create_chat_completion(body: dict[str, Any]) -> Response:
        """Have the last message of a talk answered.

        With `stream`, server-sent events: chunks, and `[DONE]`. The talk goes on in the conversation that it is known
        from, or in the one that `metadata.conversation_id` names; else it begins a new one. A client that hangs up
        stops its answer, unless it has sent an Idempotency-Key, by which it can come back for it.
        """
        talk = Talk.of("messages", body["messages"])
        if "conversation_id" in (body["metadata"] or {}):
            talk = talk.since_the_last_answer()  # What was said there before is known there.
        question = _question(app, body, talk)

        def post(once: Once | None) -> Document:
            with talk.naming():
                return asked_document(*app.conversations.ask_transcript(replace(question, once=once)))

        asked = creating(app, post, Action.ASK)
        waiting = _Waiting(app, principal(), asked["reply"], comes_back=g.idempotency_key is not None)
        completion = Completion(asked["reply"], bool((body["stream_options"] or {}).get("include_usage")))
        if body["stream"]:
            return Response(waiting.stream(completion), mimetype="text/event-stream", headers=STREAM_HEADERS)
        message = waiting.message()
        if message is None:
            return Response(status=_CLIENT_CLOSED_REQUEST)
        return answer(completion.whole(message)) if is_good(message) else _refused(message)

    return routes


def _question(app: Application, body: dict[str, Any], talk: Talk) -> AskTranscript:
    notes = dict(body["metadata"] or {})
    named = notes.pop("conversation_id", None)
    return AskTranscript(
        principal=principal(),
        said=talk.said,
        agent=agent_named(app, body["model"]),
        metadata={"client": notes} if notes else {},
        instructions=talk.instructions,
        speaker=body["safety_identifier"] or body["user"],
        conversation_id=undressed("conversation", "conv", named) if named is not None else None,
        is_retry=is_retry(),
    )


class _Waiting:
    """One client's wait for one reply, which is given up with it."""

    def __init__(self, app: Application, asking: Principal, reply: Document, *, comes_back: bool) -> None:
        self._app = app
        self._asking = asking
        self._reply_id = UUID(str(reply["id"]))
        self._known = reply
        self._comes_back = comes_back
        self._client: socket.socket | None = request.environ.get("gunicorn.socket")
        self._since = datetime.now(UTC)

    def message(self) -> Document | None:
        """The finished message; None for a client that has gone. Raises Unavailable when this process ends first."""
        for batch in self._batches():
            if batch and batch[-1].is_terminal:
                message: Document = batch[-1].data["message"]
                return message
            if self._has_gone():
                time.sleep(_GRACE)
                self._give_up()
                return None
        raise Unavailable("This process ends. The answer goes on: send the request again.")

    def stream(self, completion: Completion) -> Iterator[bytes]:
        """The chunks."""
        is_left = True
        try:
            yield from beating(self._heard(), completion.render)
            is_left = False
            if not completion.is_over:
                yield event(error_document(503, "unavailable", "This process ends. Send the request again."))
        finally:
            if is_left and not completion.is_over:
                self._give_up()

    def _batches(self) -> Iterator[Sequence[LogEntry]]:
        watching = WatchReply(principal=self._asking, reply_id=self._reply_id)
        return self._app.replies.watch(watching, known=self._known) or iter(())

    def _heard(self) -> Iterator[Sequence[LogEntry]]:
        for batch in self._batches():
            if not batch and self._has_gone():
                raise BrokenPipeError
            yield batch

    def _has_gone(self) -> bool:
        return self._client is not None and is_gone(self._client)

    def _give_up(self) -> None:
        if self._comes_back:
            return
        try:
            abandon = AbandonReply(principal=self._asking, reply_id=self._reply_id, since=self._since)
            self._app.replies.abandon(abandon)
        except ParleyError as failure:
            log.warning("reply %s: goes on though its client has gone: %s", self._reply_id, failure)


def _refused(message: Document) -> Response:
    """The model was asked more than once already, so trying again at once is of no use; but another worker may be."""
    status, code, why = failure_of(message)
    return problem(status, code, why, headers={} if status == 503 else {"x-should-retry": "false"})
