"""Every refusal that HTTP knows: its code, its status and what it means; and which of them a route can answer with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Refusal:
    """A status, and when it is answered."""

    status: int
    meaning: str


REFUSALS = {
    "malformed_json": Refusal(400, "The body is not JSON."),
    "malformed_form": Refusal(400, "The body is not a form with the boundary that its Content-Type names."),
    "bad_handshake": Refusal(400, "The WebSocket handshake is not what RFC 6455 says."),
    "unauthenticated": Refusal(401, "There is no token."),
    "token_invalid": Refusal(401, "The token is malformed, or somebody else's work."),
    "token_expired": Refusal(401, "The token was good once."),
    "forbidden": Refusal(403, "It belongs to somebody else, is for others, or another site's page asks with a cookie."),
    "room_not_found": Refusal(404, "There is no such room, or it was deleted."),
    "conversation_not_found": Refusal(404, "There is no such conversation, or it was deleted."),
    "message_not_found": Refusal(404, "There is no such message, or it was deleted."),
    "reply_not_found": Refusal(404, "There is no such reply, or it was deleted."),
    "session_not_found": Refusal(404, "There is no such session."),
    "project_not_found": Refusal(404, "There is no such project, or it was deleted."),
    "document_not_found": Refusal(404, "There is no such document, or it was deleted."),
    "job_analysis_not_found": Refusal(404, "There is no such job analysis, or it was deleted."),
    "model_not_found": Refusal(404, "There is no agent that OpenAI's clients could call a model by this name."),
    "response_not_found": Refusal(404, "There is no such reply that OpenAI's clients could call a response."),
    "item_not_found": Refusal(404, "There is no such message that OpenAI's clients could call an item."),
    "not_found": Refusal(404, "There is nothing at this path."),
    "method_not_allowed": Refusal(405, "The path does not take this method; `Allow` names those that it takes."),
    "reply_timeout": Refusal(408, "The answer is not finished yet. It goes on; `details` holds what there is."),
    "reply_in_progress": Refusal(409, "A reply is being written in this conversation; `details.reply_id` names it."),
    "not_last_answer": Refusal(409, "Only the last answer of a conversation can be written anew."),
    "not_a_question": Refusal(409, "Only questions can be edited."),
    "not_an_answer": Refusal(409, "Only answers can be rated."),
    "not_deleted": Refusal(409, "There is nothing to restore."),
    "being_purged": Refusal(409, "It is being removed for good: it cannot be restored any more."),
    "room_deleted": Refusal(409, "Its room was deleted: restore that; `details.room_id` names it."),
    "room_limit_reached": Refusal(409, "There are as many rooms as one may have."),
    "external_id_taken": Refusal(409, "Another conversation has this external id."),
    "project_exists": Refusal(409, "Another project has this key."),
    "project_deleted": Refusal(409, "Its project was deleted: restore that."),
    "project_gone": Refusal(409, "The project that the conversation is about was deleted."),
    "project_limit_reached": Refusal(409, "There are as many projects as one may have."),
    "document_exists": Refusal(409, "Another document of the project has this name."),
    "document_limit_reached": Refusal(409, "The project has as many documents as it may have."),
    "job_analysis_limit_reached": Refusal(409, "There are as many job analyses as one may have."),
    "embeddings_off": Refusal(409, "There are no embeddings to search by."),
    "session_closed": Refusal(409, "The session was closed: open another one."),
    "session_expired": Refusal(409, "The session has expired: open another one."),
    "idempotency_key_in_use": Refusal(409, "The request that came first with this key is at work."),
    "body_too_large": Refusal(413, "The body is larger than it may be."),
    "unsupported_media_type": Refusal(415, "The body is of another type than the route takes."),
    "export_too_large": Refusal(422, "It has more messages than a PDF may hold; `details.limit` says how many."),
    "validation_failed": Refusal(422, "A value breaks a rule; `details.fields` says which, and which one."),
    "rate_limited": Refusal(429, "That was done as often as it may be; `Retry-After` says when it may be again."),
    "too_many_live_replies": Refusal(429, "As many replies as one may have are being written."),
    "too_many_sockets": Refusal(429, "As many WebSockets as one may have are open."),
    "internal_error": Refusal(500, "Something went wrong on our side; the log tells of it by its request id."),
    "model_unreachable": Refusal(502, "The model's server cannot be reached."),
    "model_overloaded": Refusal(502, "The model takes no more requests at the moment."),
    "model_refused": Refusal(502, "The model's server refuses Parley's requests."),
    "model_failed": Refusal(502, "The model failed."),
    "model_broke_off": Refusal(502, "The model's answer broke off."),
    "interrupted": Refusal(503, "The process that wrote the reply has ended: ask again."),
    "model_timeout": Refusal(504, "The model did not answer in time."),
    "storage_unavailable": Refusal(503, "The database does not answer."),
    "concurrent_change": Refusal(503, "Others changed the same too often: try again."),
    "keys_unavailable": Refusal(503, "The token cannot be verified at the moment."),
    "pdf_unavailable": Refusal(503, "No PDF can be made at the moment; JSON and Markdown can."),
    "cache_unavailable": Refusal(503, "The cache does not answer."),
    "embeddings_unreachable": Refusal(503, "The embedding server does not answer."),
    "embeddings_overloaded": Refusal(503, "The embedding server takes no more at the moment."),
    "embeddings_refused": Refusal(503, "The embedding server refuses Parley's requests."),
    "embeddings_failed": Refusal(503, "The embedding server failed."),
    "embeddings_unusable": Refusal(503, "The embedding server answers what is of no use."),
    "no_socket_free": Refusal(503, "The process serves as many WebSockets as it can, or is about to stop."),
    "not_ready": Refusal(503, "A part without which nothing can be answered is away."),
}
"""By code. Kinds of things that are not found have codes of their own."""

MODEL_FAILURES = (*(code for code, refusal in REFUSALS.items() if refusal.status in (502, 504)), "interrupted")
"""How a reply fails, where an answer of HTTP tells of it."""

EMBEDDING = tuple(code for code in REFUSALS if code.startswith("embeddings_") and code != "embeddings_off")
"""How asking for embeddings fails."""


def refuses(*codes: str) -> Callable[[View], View]:
    """Decorates a view, right below its route: how it refuses beyond what its path and its parameters tell.

    Those are left out: that nobody is known, that something in the path is not there or is somebody else's, that a
    value or a body is no good, that an idempotency key is in use, and what can go wrong everywhere.
    """

    def decorate(view: View) -> View:
        view.refuses = codes  # type: ignore[attr-defined] # what wraps the view keeps it
        return view

    return decorate
