"""`/documents`: add, list, read, change, replace, delete, restore, download, read in anew."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote
from uuid import UUID

from flask import Response
from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate

from application.documents import deletion_document, document_of_project
from application.facade import Application
from application.knowledge.documents import (
    AddDocument,
    ChangeDocument,
    DeleteDocument,
    ReingestDocument,
    ReplaceDocument,
    RestoreDocument,
)
from domain.rate_limits import Action
from entrypoints.http.answers import data
from entrypoints.http.auth import principal
from entrypoints.http.once import creating, idempotent
from entrypoints.http.rates import spending
from entrypoints.http.refusals import refuses
from entrypoints.http.schemas import (
    LOCATION,
    DeletionOut,
    FailureOut,
    ListQuery,
    Request,
    count_field,
    deleted_field,
    deletion_field,
    enveloped,
    metadata_field,
    order_field,
    page_of,
    paged,
    text_field,
)
from entrypoints.http.uploads import UploadBody, takes_file

_NAME = {
    "minLength": 1,
    "maxLength": 200,
    "pattern": r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f\u2028\u2029]*$",
    "description": "What its file is called.",
}

_BYTES = {"type": "string", "format": "binary"}

_FILE = {"Content-Disposition": {"description": "What it is called (RFC 6266).", "schema": {"type": "string"}}}


class DocumentListQuery(ListQuery):
    """Which page of the documents, in which order: of one project, or all one's own."""

    project_id = fields.UUID(load_default=None, metadata={"description": "Only those of this project."})
    sort_by = fields.String(load_default="updated_at", validate=validate.OneOf(["updated_at", "created_at", "name"]))
    order = order_field("desc")
    deleted = deleted_field()


class DocumentBody(UploadBody):
    """A new document of a project."""

    project_id = fields.UUID(required=True)
    name = fields.String(metadata=_NAME)
    title = text_field(200)
    metadata = metadata_field()


class DocumentChanges(Request):
    """What to change of a document."""

    title = text_field(200)
    metadata = metadata_field()


class ProgressOut(Schema):
    """How many steps of the work under way are behind it; what there is in all may not be known yet."""

    done = count_field()
    total = count_field()


class DocumentOut(Schema):
    """A document of a project, and how far it is read in."""

    id = fields.UUID(required=True)
    project_id = fields.UUID(required=True)
    name = fields.String(required=True)
    title = fields.String(required=True)
    media_type = fields.String(required=True)
    size = fields.Integer(required=True, metadata={"minimum": 0, "description": "Bytes."})
    status = fields.String(required=True, validate=validate.OneOf(["queued", "processing", "ready", "failed"]))
    progress = fields.Nested(ProgressOut, required=True, allow_none=True)
    error = fields.Nested(FailureOut, required=True, allow_none=True)
    characters = count_field()
    passage_count = count_field()
    embedded = fields.Boolean(required=True, metadata={"description": "Whether it is found by its meaning."})
    metadata = fields.Dict(required=True)
    created_at = fields.DateTime(required=True)
    updated_at = fields.DateTime(required=True)
    ingested_at = fields.DateTime(required=True, allow_none=True)
    version = fields.Integer(required=True, metadata={"minimum": 1})
    deletion = deletion_field()


def blueprint(app: Application) -> Blueprint:
    """The routes of documents, over `app`."""
    routes = Blueprint("documents", __name__, url_prefix="/documents", description="The files of projects.")

    def accepted(document: dict[str, Any]) -> Response:
        """What goes on after the answer has its progress where the document is read."""
        return data(document, 202, {"Location": f"/api/v1/documents/{document['id']}"})

    @routes.post("")
    @refuses("forbidden", "project_not_found", "document_exists", "document_limit_reached", "rate_limited")
    @idempotent(routes)
    @takes_file(routes, DocumentBody())
    @routes.response(202, enveloped(DocumentOut), headers=LOCATION)
    def add_document(body: dict[str, Any]) -> Response:
        """Add a document to a project; it is read in afterwards."""
        document = AddDocument(principal=principal(), **body)
        return accepted(
            creating(
                app, lambda once: document_of_project(*app.documents.add(replace(document, once=once))), Action.UPLOAD
            )
        )

    @routes.get("")
    @refuses("forbidden", "project_not_found")
    @routes.arguments(DocumentListQuery(), location="query")
    @routes.response(200, paged(DocumentOut))
    def list_documents(query: dict[str, Any]) -> Response:
        """List the documents of a project, or all one's own."""
        if query["deleted"]:
            return data(app.read_deleted.documents(principal(), query["project_id"], page_of(query)))
        return data(app.read_knowledge.documents(principal(), query["project_id"], page_of(query)))

    @routes.get("/<id:document_id>")
    @routes.response(200, enveloped(DocumentOut))
    def get_document(document_id: UUID) -> Response:
        """Read what is known about a document, and how far it is read in."""
        return data(app.read_knowledge.document(document_id, principal()))

    @routes.patch("/<id:document_id>")
    @routes.arguments(DocumentChanges())
    @routes.response(200, enveloped(DocumentOut))
    def change_document(body: dict[str, Any], document_id: UUID) -> Response:
        """Give a document another title or metadata."""
        app.documents.change(ChangeDocument(principal=principal(), document_id=document_id, **body))
        return data(app.read_knowledge.document(document_id, principal()))

    @routes.put("/<id:document_id>/content")
    @refuses("rate_limited")
    @takes_file(routes, UploadBody())
    @routes.response(202, enveloped(DocumentOut), headers=LOCATION)
    def replace_content(body: dict[str, Any], document_id: UUID) -> Response:
        """Replace a document's file; what the old one says is found until the new one is read in."""
        with spending(app, Action.UPLOAD):
            app.documents.replace(ReplaceDocument(principal=principal(), document_id=document_id, **body))
        return accepted(app.read_knowledge.document(document_id, principal()))

    @routes.get("/<id:document_id>/content")
    @routes.alt_response(200, schema=_BYTES, content_type="*/*", description="The file, as it was sent.")
    @routes.response(
        200, _BYTES, content_type="application/octet-stream", description="The file, as it was sent.", headers=_FILE
    )
    def get_content(document_id: UUID) -> Response:
        """Download a document's file."""
        document, content = app.read_knowledge.content(document_id, principal())
        response = Response(content, content_type=document["media_type"])
        response.headers.set("Content-Disposition", "attachment", **_file_names(document["name"]))
        response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
        return response

    @routes.post("/<id:document_id>/ingest")
    @refuses("rate_limited")
    @routes.response(202, enveloped(DocumentOut), headers=LOCATION)
    def reingest_document(document_id: UUID) -> Response:
        """Read a document in again."""
        with spending(app, Action.UPLOAD):
            app.documents.reingest(ReingestDocument(principal=principal(), document_id=document_id))
        return accepted(app.read_knowledge.document(document_id, principal()))

    @routes.delete("/<id:document_id>")
    @routes.response(200, enveloped(DeletionOut))
    def delete_document(document_id: UUID) -> Response:
        """Delete a document; it can be restored."""
        deletion = app.documents.delete(DeleteDocument(principal=principal(), document_id=document_id))
        return data(deletion_document(deletion))

    @routes.post("/<id:document_id>/restore")
    @refuses("not_deleted", "being_purged", "project_deleted", "document_exists", "document_limit_reached")
    @routes.response(200, enveloped(DocumentOut))
    def restore_document(document_id: UUID) -> Response:
        """Bring a deleted document back."""
        app.documents.restore(RestoreDocument(principal=principal(), document_id=document_id))
        return data(app.read_knowledge.document(document_id, principal()))

    return routes


def _file_names(name: str) -> dict[str, str]:
    """What a document's file is called, in the two ways that a header says it (RFC 6266, section 4.3)."""
    last = _last_part(name)
    if last.isascii():
        return {"filename": last}
    simple = unicodedata.normalize("NFKD", last).encode("ascii", "ignore").decode()
    return {"filename": _last_part(simple), "filename*": f"UTF-8''{quote(last, safe='')}"}


def _last_part(name: str) -> str:
    """Without the folders: a document's name may be a path."""
    return PurePosixPath(name.replace("\\", "/")).name or "document"
