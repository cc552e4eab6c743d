"""What goes in and out, as marshmallow schemas: requests are loaded through them, answers are documented by them."""

from __future__ import annotations

from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from application.conversations.asking import OnConflict
from application.ports.persistence import MessagePage, Page


class Request(Schema):
    """Base of everything that comes in: what is not known is refused."""

    class Meta:
        """marshmallow's options."""

        unknown = RAISE


class Text(fields.String):
    """A string that UTF-8 can carry; lone surrogates, which JSON can spell, are refused."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValidationError("Not a valid Unicode string.") from None
        return text


def metadata_field() -> fields.Dict:
    """Free JSON of the caller's own, an object at the top."""
    return fields.Dict(
        keys=fields.String(),
        metadata={"description": "Any JSON object, 10 KB at most."},
    )


class ListQuery(Request):
    """Which page of a list."""

    limit = fields.Integer(load_default=20, validate=validate.Range(1, 100))
    offset = fields.Integer(load_default=0, validate=validate.Range(0, 1_000_000_000))


class RoomListQuery(ListQuery):
    """Which page of the rooms, in which order."""

    sort_by = fields.String(
        load_default="last_activity_at",
        validate=validate.OneOf(["last_activity_at", "created_at", "name"]),
    )
    order = fields.String(load_default="desc", validate=validate.OneOf(["asc", "desc"]))


class ConversationListQuery(ListQuery):
    """Which page of the conversations, in which order; of one room if it is given."""

    room_id = fields.UUID(load_default=None)
    sort_by = fields.String(
        load_default="last_activity_at",
        validate=validate.OneOf(["last_activity_at", "created_at", "title"]),
    )
    order = fields.String(load_default="desc", validate=validate.OneOf(["asc", "desc"]))


class MessageListQuery(Request):
    """Which page of a history: by position (`before`, `after`, both exclusive) or by offset."""

    limit = fields.Integer(load_default=20, validate=validate.Range(1, 100))
    offset = fields.Integer(load_default=None, validate=validate.Range(0, 1_000_000_000))
    before = fields.Integer(load_default=None, validate=validate.Range(1, 2_000_000_000))
    after = fields.Integer(load_default=None, validate=validate.Range(0, 2_000_000_000))
    order = fields.String(load_default="asc", validate=validate.OneOf(["asc", "desc"]))


class RoomHistoryQuery(ListQuery):
    """Which page of a room's history."""

    order = fields.String(load_default="asc", validate=validate.OneOf(["asc", "desc"]))


class SearchQuery(ListQuery):
    """What to look for in one's own messages."""

    q = Text(required=True, validate=validate.Length(1, 200))


class EventsQuery(Request):
    """From where to watch; the Last-Event-ID header says the same."""

    after = fields.Integer(load_default=-1, validate=validate.Range(-1, 2_000_000_000))


class AskQuery(Request):
    """Whether to wait for the finished reply."""

    wait = fields.Integer(
        load_default=None,
        validate=validate.Range(1, 30),
        metadata={"description": "Seconds."},
    )


class RoomBody(Request):
    """A new room."""

    name = Text(required=True, metadata={"minLength": 1, "maxLength": 100})
    metadata = metadata_field()


class RoomChanges(Request):
    """What to change of a room."""

    name = Text(metadata={"minLength": 1, "maxLength": 100})
    metadata = metadata_field()


class ConversationBody(Request):
    """A new conversation."""

    room_id = fields.UUID(load_default=None, allow_none=True)
    title = Text(load_default=None, allow_none=True, metadata={"minLength": 1, "maxLength": 200})
    agent = Text(load_default=None, allow_none=True)
    metadata = metadata_field()


class ConversationChanges(Request):
    """What to change of a conversation."""

    title = Text(metadata={"minLength": 1, "maxLength": 200})
    agent = Text()
    metadata = metadata_field()


class QuestionBody(Request):
    """A question."""

    content = Text(required=True, metadata={"minLength": 1, "maxLength": 5000})
    agent = Text(load_default=None, allow_none=True)
    on_conflict = fields.Enum(OnConflict, by_value=True, load_default=OnConflict.REJECT)


class LastMessage(Schema):
    """The beginning of the newest message."""

    role = fields.String(required=True)
    preview = fields.String(required=True)
    created_at = fields.DateTime(required=True)


class RoomOut(Schema):
    """A room and what its conversations add up to."""

    id = fields.UUID(required=True)
    name = fields.String(required=True)
    metadata = fields.Dict(required=True)
    conversation_count = fields.Integer(required=True)
    message_count = fields.Integer(required=True)
    last_message = fields.Nested(LastMessage, required=True, allow_none=True)
    last_activity_at = fields.DateTime(required=True)
    created_at = fields.DateTime(required=True)
    updated_at = fields.DateTime(required=True)
    version = fields.Integer(required=True)


class ConversationOut(Schema):
    """A conversation without its messages."""

    id = fields.UUID(required=True)
    room_id = fields.UUID(required=True, allow_none=True)
    title = fields.String(required=True)
    agent = fields.String(required=True)
    metadata = fields.Dict(required=True)
    message_count = fields.Integer(required=True)
    last_message = fields.Nested(LastMessage, required=True, allow_none=True)
    live_reply_id = fields.UUID(required=True, allow_none=True)
    last_activity_at = fields.DateTime(required=True)
    created_at = fields.DateTime(required=True)
    updated_at = fields.DateTime(required=True)
    version = fields.Integer(required=True)


class SourceOut(Schema):
    """A passage that an answer cites as [number]."""

    number = fields.Integer(required=True)
    title = fields.String(required=True)
    heading = fields.String(required=True)
    document = fields.String(required=True)
    excerpt = fields.String(required=True)


class FailureOut(Schema):
    """Why a reply did not complete."""

    code = fields.String(required=True)
    message = fields.String(required=True)


class MessageOut(Schema):
    """A message of the history."""

    id = fields.UUID(required=True)
    conversation_id = fields.UUID(required=True)
    position = fields.Integer(required=True)
    version = fields.Integer(required=True)
    role = fields.String(required=True)
    content = fields.String(required=True)
    status = fields.String(required=True)
    agent = fields.String(required=True, allow_none=True)
    sources = fields.List(fields.Nested(SourceOut), required=True)
    error = fields.Nested(FailureOut, required=True, allow_none=True)
    metadata = fields.Dict(required=True)
    created_at = fields.DateTime(required=True)


class ReplyOut(Schema):
    """A reply; `text` is the last checkpoint while it is live, `message` there once it has ended."""

    id = fields.UUID(required=True)
    conversation_id = fields.UUID(required=True)
    position = fields.Integer(required=True)
    version = fields.Integer(required=True)
    agent = fields.String(required=True)
    status = fields.String(required=True)
    text = fields.String(required=True)
    sources = fields.List(fields.Nested(SourceOut), required=True)
    error = fields.Nested(FailureOut, required=True, allow_none=True)
    metadata = fields.Dict(required=True)
    cancel_requested = fields.Boolean(required=True)
    final_seq = fields.Integer(required=True, allow_none=True)
    created_at = fields.DateTime(required=True)
    started_at = fields.DateTime(required=True, allow_none=True)
    finished_at = fields.DateTime(required=True, allow_none=True)
    message = fields.Nested(MessageOut, allow_none=True)


class AskedOut(Schema):
    """The question as it was taken, and the reply that is being written."""

    message = fields.Nested(MessageOut, required=True)
    reply = fields.Nested(ReplyOut, required=True)


class RegeneratedOut(Schema):
    """The reply that is being written anew."""

    reply = fields.Nested(ReplyOut, required=True)


class DeletionOut(Schema):
    """What a deletion took; restoring its subject brings back just that."""

    id = fields.UUID(required=True)
    subject = fields.String(required=True)
    subject_id = fields.UUID(required=True)
    conversation_count = fields.Integer(required=True)
    message_count = fields.Integer(required=True)
    deleted_at = fields.DateTime(required=True)


class VisitorOut(Schema):
    """A visitor and the token that speaks for them."""

    id = fields.String(required=True)
    kind = fields.String(required=True)
    token = fields.String(required=True)
    expires_at = fields.DateTime(required=True)


class AgentOut(Schema):
    """Somebody who answers."""

    name = fields.String(required=True)
    description = fields.String(required=True)


class FoundConversation(Schema):
    """Where a message was found."""

    id = fields.UUID(required=True)
    title = fields.String(required=True)
    room_id = fields.UUID(required=True, allow_none=True)


class HitOut(Schema):
    """A message that was found; the snippet is escaped HTML with its hits in <mark>."""

    message = fields.Nested(MessageOut, required=True)
    conversation = fields.Nested(FoundConversation, required=True)
    snippet = fields.String(required=True)


class ErrorOut(Schema):
    """What went wrong."""

    error_code = fields.String(required=True)
    error_message = fields.String(required=True)
    status_code = fields.Integer(required=True)
    details = fields.Dict(required=True)
    request_id = fields.String(required=True)


class ErrorEnvelope(Schema):
    """The answer to everything that is refused or fails."""

    data = fields.Raw(required=True, allow_none=True)
    error = fields.Nested(ErrorOut, required=True)


def enveloped(schema: type[Schema]) -> Schema:
    """`{"data": schema, "error": null}`."""
    name = schema.__name__.removesuffix("Out")
    return _derived(f"{name}Envelope", data=fields.Nested(schema, required=True), error=_no_error())


def paged(schema: type[Schema]) -> Schema:
    """`{"data": {"items": [schema], "total", "limit", "offset"}, "error": null}`; see Page and MessagePage."""
    name = schema.__name__.removesuffix("Out")
    page = _derived(
        f"{name}Page",
        items=fields.List(fields.Nested(schema), required=True),
        total=fields.Integer(required=True),
        limit=fields.Integer(required=True),
        offset=fields.Integer(required=True, allow_none=True),
    )
    return _derived(
        f"{name}PageEnvelope",
        data=fields.Nested(page, required=True),
        error=_no_error(),
    )


def page_of(query: dict[str, Any]) -> Page:
    """The page that a list's query asks for."""
    return Page(
        limit=query["limit"],
        offset=query["offset"],
        sort_by=query.get("sort_by", "last_activity_at"),
        descending=query.get("order", "desc") == "desc",
    )


def message_page_of(query: dict[str, Any]) -> MessagePage:
    """The page that a history's query asks for."""
    return MessagePage(
        limit=query["limit"],
        offset=query.get("offset"),
        before=query.get("before"),
        after=query.get("after"),
        descending=query["order"] == "desc",
    )


def _no_error() -> fields.Field[Any]:
    return fields.Raw(required=True, allow_none=True, metadata={"nullable": True})


_derived_schemas: dict[str, Schema] = {}


def _derived(name: str, **members: fields.Field[Any]) -> Schema:
    if name not in _derived_schemas:
        _derived_schemas[name] = Schema.from_dict(members, name=name)()
    return _derived_schemas[name]
