"""What the capabilities' schemas share: the envelope, pages, messages.

Requests are loaded through marshmallow schemas, answers are only documented by them: the
documents of `application/documents.py` are written out as they are, and a test holds the two together.
"""

from __future__ import annotations

from typing import Any

from marshmallow import RAISE, Schema, fields, validate

from application.ports.queries import MessagePage, Page


class Request(Schema):
    """Base of everything that comes in: what is not known is refused."""

    class Meta:
        """marshmallow's options."""

        unknown = RAISE


def metadata_field() -> fields.Dict:
    """Free JSON of the caller's own, an object at the top."""
    return fields.Dict(keys=fields.String(), metadata={"description": "Any JSON object, 10 KB at most."})


class ListQuery(Request):
    """Which page of a list."""

    limit = fields.Integer(load_default=20, validate=validate.Range(1, 100))
    offset = fields.Integer(load_default=0, validate=validate.Range(0, 1_000_000_000))


class LastMessage(Schema):
    """The beginning of the newest message."""

    role = fields.String(required=True)
    preview = fields.String(required=True)
    created_at = fields.DateTime(required=True)


class SourceOut(Schema):
    """A passage that an answer cites as [number]."""

    number = fields.Integer(required=True)
    title = fields.String(required=True)
    heading = fields.String(required=True)
    document = fields.String(required=True)
    document_id = fields.UUID()
    project_id = fields.UUID()
    page = fields.Integer(allow_none=True)
    excerpt = fields.String(required=True)
    relevance = fields.Float()


class ToolCallOut(Schema):
    """A tool that was called for an answer, and what came of it: a result, or an error that the model was told."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    arguments = fields.Raw(required=True)
    result = fields.String(required=True)
    error = fields.Nested(lambda: FailureOut(), required=True, allow_none=True)
    truncated = fields.Boolean(required=True)
    duration_ms = fields.Integer(required=True)


class FailureOut(Schema):
    """Why a reply did not complete."""

    code = fields.String(required=True)
    message = fields.String(required=True)


class FeedbackOut(Schema):
    """What somebody thinks of an answer."""

    rating = fields.String(required=True)
    comment = fields.String(required=True, allow_none=True)
    given_at = fields.DateTime(required=True)


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
    tool_calls = fields.List(fields.Nested(ToolCallOut), required=True)
    error = fields.Nested(FailureOut, required=True, allow_none=True)
    metadata = fields.Dict(required=True)
    parent_id = fields.UUID(required=True, allow_none=True)
    alternatives = fields.Integer(required=True)
    feedback = fields.Nested(FeedbackOut, required=True, allow_none=True)
    created_at = fields.DateTime(required=True)


class DeletionOut(Schema):
    """What a deletion took; restoring its subject brings back just that."""

    id = fields.UUID(required=True)
    subject = fields.String(required=True)
    subject_id = fields.UUID(required=True)
    conversation_count = fields.Integer(required=True)
    message_count = fields.Integer(required=True)
    document_count = fields.Integer(required=True)
    deleted_at = fields.DateTime(required=True)


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
    return _derived(f"{name}PageEnvelope", data=fields.Nested(page, required=True), error=_no_error())


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
