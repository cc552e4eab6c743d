"""Files in requests: as a form with a file (RFC 7578), or as text in JSON; larger than other bodies may be."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import copy
from typing import Any, ClassVar, TypeVar

from flask import Flask, Request, current_app, request
from flask_smorest import Blueprint
from marshmallow import ValidationError, fields, post_load, validate, validates_schema
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from application.knowledge.documents import UNKNOWN_TYPE
from application.ports.parsing import HTML, MARKDOWN, PLAIN_TEXT
from entrypoints.http.schemas import Request as RequestSchema

LOCATION = "upload"
"""Where webargs looks for what came in either form."""

_FORM = "multipart/form-data"

_TEXTS = (PLAIN_TEXT, MARKDOWN, HTML)

_MEDIA_TYPE = r"^[A-Za-z0-9_.+-]+/[A-Za-z0-9_.+-]+( *;[ -~]*)?$"

View = TypeVar("View", bound=Callable[..., Any])


class MalformedForm(BadRequest):
    """The body is not the form that its Content-Type says it is."""

    slug = "malformed_form"


class _Request(Request):
    """Does not pass a malformed form over."""

    def make_form_data_parser(self) -> FormDataParser:
        parser = super().make_form_data_parser()
        parser.silent = False
        return parser

    def _load_form_data(self) -> None:
        try:
            super()._load_form_data()
        except ValueError as error:
            raise MalformedForm(f"The body is not a form that can be read: {error}.") from error


class _File(fields.Field[FileStorage]):
    """A file of a form."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> FileStorage:
        if not isinstance(value, FileStorage):
            raise ValidationError("Must be a file of a form.")
        return value


class UploadBody(RequestSchema):
    """A file or, in JSON, a text in its place.

    Loads to `content` (bytes), `media_type` and, if the schema has one and it is known, `name`.
    """

    of_files: ClassVar[frozenset[str]] = frozenset({"file"})
    """What does not go with a text."""

    file = _File(metadata={"type": "string", "format": "binary", "minLength": 1})
    text = fields.String(validate=validate.Length(min=1, error="Must not be empty."))
    media_type = fields.String(
        validate=[validate.Length(3, 200), validate.Regexp(_MEDIA_TYPE, error="Must be a media type.")],
        metadata={"description": "What it is, if the form does not say so rightly."},
    )

    @validates_schema
    def check_content(self, body: dict[str, Any], **_: Any) -> None:
        """Refuse no content, two contents, and a text that is said to be something else."""
        if ("file" in body) == ("text" in body):
            raise ValidationError("Send either a file or a text.", "file")
        if "text" in body and body.get("media_type", PLAIN_TEXT) not in _TEXTS:
            raise ValidationError(f"Must be one of {', '.join(_TEXTS)} for a text.", "media_type")

    @post_load
    def read(self, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        """The content in place of what it came in."""
        if "text" in body:
            try:
                return {"media_type": PLAIN_TEXT, "content": body.pop("text").encode()} | body
            except UnicodeEncodeError:
                raise ValidationError("Must be valid Unicode text.", "text") from None
        file: FileStorage = body.pop("file")
        said: dict[str, Any] = {"media_type": file.content_type or UNKNOWN_TYPE, "content": file.read()}
        if "name" in self.fields and file.filename:
            said["name"] = file.filename
        return said | body


def takes_file(routes: Blueprint, schema: UploadBody) -> Callable[[View], View]:
    """Decorates a view that is given what `schema` loads, from a form or from JSON, in a body of a file's size."""

    def decorate(view: View) -> View:
        bodies = {"application/json": _of_text(schema), _FORM: _of_file(schema)}
        documented = routes.doc(requestBody={"content": {kind: {"schema": told} for kind, told in bodies.items()}})
        parsed: View = routes.arguments(schema, location=LOCATION)(documented(view))
        parsed.takes_file = True  # type: ignore[attr-defined] # what wraps the view keeps it
        return parsed

    return decorate


def _of_text(schema: UploadBody) -> RequestSchema:
    """What the schema is in JSON, for the document."""
    members = {name: copy(field) for name, field in schema.declared_fields.items() if name not in schema.of_files}
    members["text"].required = True
    if "media_type" in members:
        members["media_type"] = fields.String(load_default=PLAIN_TEXT, validate=validate.OneOf(_TEXTS))
    told: RequestSchema = type(type(schema).__name__, (RequestSchema,), members)()
    return told


def _of_file(schema: UploadBody) -> RequestSchema:
    """What it is in a form, for the document."""
    members = {name: copy(field) for name, field in schema.declared_fields.items() if name != "text"}
    members["file"].required = True
    told: RequestSchema = type(type(schema).__name__.replace("Body", "Form"), (RequestSchema,), members)()
    return told


def takes_up_to(size: int) -> Callable[[View], View]:
    """Decorates a view whose bodies may hold so many bytes, and more than others' may."""

    def decorate(view: View) -> View:
        view.takes_up_to = size  # type: ignore[attr-defined] # what wraps the view keeps it
        return view

    return decorate


def install(app: Flask, document_bytes: int) -> None:
    """Let the bodies of views that take files hold `document_bytes` beside what others may hold in all."""
    Blueprint.DEFAULT_LOCATION_CONTENT_TYPE_MAPPING[LOCATION] = _FORM
    app.request_class = _Request
    limit = app.config["MAX_CONTENT_LENGTH"] + document_bytes

    @app.before_request
    def allow_more() -> None:
        if _takes_file():
            request.max_content_length = request.max_form_memory_size = limit
        elif (more := getattr(_view(), "takes_up_to", None)) is not None:
            request.max_content_length = more

    @app.before_request
    def refuse_at_once() -> None:
        """What says how large it is need not be read."""
        if (request.content_length or 0) > (request.max_content_length or 0):
            raise RequestEntityTooLarge


def content_types() -> tuple[str, ...]:
    """What the body of the present request may be."""
    return ("application/json", _FORM) if _takes_file() else ("application/json",)


def form(of: Request) -> dict[str, Any]:
    """The fields and files of a form, `metadata` from its JSON. Raises ValidationError, or MalformedForm."""
    doubled = [name for part in (of.files, of.form) for name in part if len(part.getlist(name)) > 1]
    if doubled:
        raise ValidationError({doubled[0]: ["Must stand in the form once."]})
    members: dict[str, Any] = of.form.to_dict() | of.files.to_dict()
    if "metadata" in members:
        try:
            members["metadata"] = json.loads(members["metadata"])
        except (ValueError, TypeError, RecursionError):
            raise ValidationError({"metadata": ["Must be a JSON object."]}) from None
    return members


def _takes_file() -> bool:
    return getattr(_view(), "takes_file", False)


def _view() -> Callable[..., Any] | None:
    return current_app.view_functions.get(request.endpoint or "")
