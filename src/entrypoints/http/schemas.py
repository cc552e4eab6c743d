"""What the capabilities' schemas share: the envelope, pages, messages.

Requests are loaded through marshmallow schemas, answers are only documented by them: the
documents of `application/documents.py` are written out as they are, and a test holds the two together.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from marshmallow import RAISE, Schema, fields, validate

from application.ports.queries import MessagePage, Page
from domain.deletions import Subject
from domain.messages import Rating, Role
from domain.replies import ReplyStatus

LOCATION = {"Location": {"description": "Where it is.", "schema": {"type": "string", "format": "uri-reference"}}}
"""The header of what was made, or goes on after the answer."""

_TEXT = r"\S"
"""What every text has that is asked for: something to be seen."""


def _null() -> fields.Field[Any]:
    return fields.Raw(required=True, metadata={"type": "null"})


class Request(Schema):
    """Base of everything that comes in: what is not known is refused."""

    class Meta:
        """marshmallow's options."""

        unknown = RAISE


class Flag(fields.Boolean):
    """true or false, and nothing that stands for them."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class WholeNumber(fields.Integer):
    """An integer as JSON Schema has it: 3 and 3.0, and not "3"."""

    def __init__(self, **options: Any) -> None:
        super().__init__(strict=True, **options)

    def _validated(self, value: Any) -> int:
        return super()._validated(int(value) if isinstance(value, float) and value.is_integer() else value)


def text_field(at_most: int, description: str = "", /, **options: Any) -> fields.String:
    """A text whose bounds the application knows, which are only told of here."""
    told = {"minLength": 1, "maxLength": at_most, "pattern": _TEXT}
    return fields.String(**options, metadata=told | ({"description": description} if description else {}))


def agent_field(description: str = "Who answers.", /, **options: Any) -> fields.String:
    """The name of an agent of this installation."""
    return fields.String(**options, metadata={"minLength": 1, "description": description})


def choice_field(of: type[Enum], **options: Any) -> fields.Enum[Any]:
    """One of the values of an enumeration."""
    return fields.Enum(of, by_value=fields.String, **options)


def count_field(**options: Any) -> fields.Integer:
    """How many."""
    return fields.Integer(required=True, metadata={"minimum": 0}, **options)


def json_field(what: str = "", **options: Any) -> fields.Dict:
    """Free JSON of the caller's own, an object at the top."""
    bounds = "Any JSON object, 10 KB at most, 32 levels deep at most, with whole numbers of up to 64 bits."
    return fields.Dict(keys=fields.String(), **options, metadata={"description": f"{what} {bounds}".strip()})


def metadata_field() -> fields.Dict:
    """What a caller keeps with something."""
    return json_field()


def order_field(default: str) -> fields.String:
    """From which side a list is read."""
    return fields.String(load_default=default, validate=validate.OneOf(["asc", "desc"]))


class ListQuery(Request):
    """Which page of a list."""

    limit = fields.Integer(
        load_default=20, validate=validate.Range(1, 100), metadata={"description": "How many at most."}
    )
    offset = fields.Integer(
        load_default=0, validate=validate.Range(0, 1_000_000_000), metadata={"description": "Skip so many."}
    )


def deleted_field() -> fields.Boolean:
    """Whether a list is of what is deleted."""
    return fields.Boolean(
        load_default=False, metadata={"description": "Instead, one's own that are deleted and can be restored."}
    )


class LastMessage(Schema):
    """The beginning of the newest message."""

    role = choice_field(Role, required=True)
    preview = fields.String(required=True)
    created_at = fields.DateTime(required=True)


class SourceOut(Schema):
    """A passage that an answer cites as [number]."""

    number = fields.Integer(required=True, metadata={"minimum": 1})
    title = fields.String(required=True)
    heading = fields.String(required=True)
    document = fields.String(required=True)
    document_id = fields.UUID()
    project_id = fields.UUID()
    page = fields.Integer(allow_none=True, metadata={"description": "Of a PDF."})
    excerpt = fields.String(required=True)
    relevance = fields.Float(metadata={"minimum": 0, "maximum": 1})


class ToolCallOut(Schema):
    """A tool that was called for an answer, and what came of it: a result, or an error that the model was told."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    arguments = fields.Raw(required=True)
    result = fields.String(required=True)
    error = fields.Nested(lambda: FailureOut(), required=True, allow_none=True)
    truncated = fields.Boolean(required=True)
    duration_ms = count_field()


class FailureOut(Schema):
    """Why a reply did not complete."""

    code = fields.String(required=True)
    message = fields.String(required=True)


class FeedbackOut(Schema):
    """What somebody thinks of an answer."""

    rating = choice_field(Rating, required=True)
    comment = fields.String(required=True, allow_none=True)
    given_at = fields.DateTime(required=True)


class MessageOut(Schema):
    """A message of the history."""

    id = fields.UUID(required=True)
    conversation_id = fields.UUID(required=True)
    position = fields.Integer(required=True, metadata={"minimum": 1})
    version = fields.Integer(required=True, metadata={"minimum": 1})
    role = choice_field(Role, required=True)
    content = fields.String(required=True)
    status = fields.String(
        required=True, validate=validate.OneOf([each.value for each in ReplyStatus if not each.is_live])
    )
    agent = fields.String(required=True, allow_none=True)
    sources = fields.List(fields.Nested(SourceOut), required=True)
    tool_calls = fields.List(fields.Nested(ToolCallOut), required=True)
    error = fields.Nested(FailureOut, required=True, allow_none=True)
    metadata = fields.Dict(required=True)
    parent_id = fields.UUID(required=True, allow_none=True)
    alternatives = count_field()
    feedback = fields.Nested(FeedbackOut, required=True, allow_none=True)
    created_at = fields.DateTime(required=True)


class DeletionOut(Schema):
    """What a deletion took; restoring its subject brings back just that."""

    id = fields.UUID(required=True)
    subject = choice_field(Subject, required=True)
    subject_id = fields.UUID(required=True)
    conversation_count = count_field()
    message_count = count_field()
    document_count = count_field()
    deleted_at = fields.DateTime(required=True)


class RestorableOut(Schema):
    """With what something was deleted; restoring that subject brings it back."""

    id = fields.UUID(required=True)
    subject = choice_field(Subject, required=True)
    subject_id = fields.UUID(required=True)
    deleted_at = fields.DateTime(required=True)
    restorable_until = fields.DateTime(
        required=True, metadata={"description": "The next clean-up after this removes it for good."}
    )


def deletion_field() -> fields.Nested:
    """With what something in a list of what is deleted was deleted."""
    return fields.Nested(RestorableOut, metadata={"description": "In lists with `deleted=true` only."})


class ErrorOut(Schema):
    """What went wrong."""

    error_code = fields.String(required=True, metadata={"description": "For programs: it stays the same."})
    error_message = fields.String(required=True, metadata={"description": "For people: it may change."})
    status_code = fields.Integer(required=True, metadata={"minimum": 400, "maximum": 599})
    details = fields.Dict(
        required=True,
        metadata={"description": "What a program needs beyond the code; `fields` names what is wrong in a request."},
    )
    request_id = fields.String(required=True)


class ErrorEnvelope(Schema):
    """The answer to everything that is refused or fails."""

    data = _null()
    error = fields.Nested(ErrorOut, required=True)


def enveloped(schema: type[Schema]) -> Schema:
    """`{"data": schema, "error": null}`."""
    name = schema.__name__.removesuffix("Out")
    return _derived(f"{name}Envelope", data=fields.Nested(schema, required=True), error=_null())


def paged(schema: type[Schema]) -> Schema:
    """`{"data": {"items": [schema], "total", "limit", "offset"}, "error": null}`; see Page and MessagePage."""
    name = schema.__name__.removesuffix("Out")
    page = _derived(
        f"{name}Page",
        items=fields.List(fields.Nested(schema), required=True),
        total=count_field(),
        limit=count_field(),
        offset=fields.Integer(required=True, allow_none=True, metadata={"minimum": 0}),
    )
    return _derived(f"{name}PageEnvelope", data=fields.Nested(page, required=True), error=_null())


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


_derived_schemas: dict[str, Schema] = {}


def _derived(name: str, **members: fields.Field[Any]) -> Schema:
    if name not in _derived_schemas:
        _derived_schemas[name] = Schema.from_dict(members, name=name)()
    return _derived_schemas[name]
