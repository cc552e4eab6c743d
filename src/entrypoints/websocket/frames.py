"""The frames of `/ws/chat/`: JSON objects with a `type`. What clients may send, and what they are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from marshmallow import Schema, ValidationError, fields, validate

from application.conversations.posting import OnConflict
from domain.errors import Invalid, ParleyError
from entrypoints.http.schemas import Request

_LAST = 2_000_000_000


class Frame(Request):
    """What every frame may carry: `id` is the client's own, and comes back with whatever answers it."""

    type = fields.String(required=True)
    id = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=100))


class ResumeFrom(Request):
    """From where a client goes on with a reply: the number of the last event that it has; -1 for none."""

    reply_id = fields.UUID(required=True)
    after = fields.Integer(load_default=-1, strict=True, validate=validate.Range(-1, _LAST))


class SessionInit(Frame):
    """Sit down: at a session of before, in a room, at a conversation, or at one's own thread."""

    session_id = fields.UUID(load_default=None, allow_none=True)
    room_id = fields.UUID(load_default=None, allow_none=True)
    conversation_id = fields.UUID(load_default=None, allow_none=True)
    agent = fields.String(load_default=None, allow_none=True)
    context = fields.Dict(keys=fields.String(), load_default=dict)
    metadata = fields.Dict(keys=fields.String(), load_default=dict)
    fresh = fields.Boolean(load_default=False)
    resume = fields.Nested(ResumeFrom, load_default=None, allow_none=True)


class Message(Frame):
    """Ask. A `key` makes asking again, after a connection that was lost, the same question."""

    content = fields.String(required=True)
    agent = fields.String(load_default=None, allow_none=True)
    on_conflict = fields.Enum(OnConflict, by_value=True, load_default=OnConflict.REJECT)
    key = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Regexp(r"[ -~]{1,255}\Z", error="Must be 1 to 255 printable ASCII characters."),
    )


class Typing(Frame):
    """Tell the session's other sockets that somebody types, or no longer does."""

    is_typing = fields.Boolean(load_default=True)


class Stop(Frame):
    """Stop the reply that is being written."""


class Resume(ResumeFrom, Frame):
    """Go on with a reply's events after a number."""


class Context(Frame):
    """Tell where the user is and who that is."""

    context = fields.Dict(keys=fields.String(), required=True)


class Reset(Frame):
    """Make an agent forget what was said, or all of them."""

    agent = fields.String(load_default=None, allow_none=True)


class SessionClose(Frame):
    """End the session, with a rating or without."""

    rating = fields.Integer(load_default=None, allow_none=True, strict=True, validate=validate.Range(1, 5))
    comment = fields.String(load_default=None, allow_none=True)


class Ping(Frame):
    """Ask for a sign of life, as scripts in browsers cannot by the protocol's own means."""


FRAMES: Mapping[str, Schema] = {
    "session_init": SessionInit(),
    "message": Message(),
    "typing": Typing(),
    "stop": Stop(),
    "resume": Resume(),
    "context": Context(),
    "reset": Reset(),
    "session_close": SessionClose(),
    "ping": Ping(),
}
"""What clients may send, by type."""


def parsed(text: str) -> dict[str, Any]:
    """The frame in a text; raises Invalid, naming the field (`frame` when it is none at all)."""
    try:
        frame = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Invalid({"frame": f"Must be a JSON object: {error}."}) from None
    if not isinstance(frame, dict):
        raise Invalid({"frame": "Must be a JSON object."})
    kind = frame.get("type")
    if not isinstance(kind, str) or kind not in FRAMES:
        raise Invalid({"type": f"Must be one of {', '.join(FRAMES)}."})
    try:
        loaded: dict[str, Any] = FRAMES[kind].load(frame)
    except ValidationError as error:
        raise Invalid({name: _sentence(problems) for name, problems in dict(error.messages_dict).items()}) from None
    return loaded


def written(kind: str, **members: object) -> str:
    """A frame of the server's."""
    return orjson.dumps({"type": kind, **members}).decode()


def refusal(error: ParleyError, frame_id: str | None) -> str:
    """What a client is told when a frame of its is refused."""
    retry = {"retry_after": error.details["retry_after"]} if "retry_after" in error.details else {}
    return written(
        "error", id=frame_id, error_code=error.slug, error_message=error.message, details=error.details, **retry
    )


def frame_id(text: str) -> str | None:
    """The id of a frame that could not be read otherwise, if there is one to be found."""
    try:
        found = orjson.loads(text).get("id")
    except (orjson.JSONDecodeError, AttributeError):
        return None
    return found if isinstance(found, str) and len(found) <= 100 else None


def _sentence(problems: object) -> str:
    if isinstance(problems, list):
        return " ".join(map(str, problems))
    if isinstance(problems, dict):
        return " ".join(f"{name}: {_sentence(inner)}" for name, inner in problems.items())
    return str(problems)
