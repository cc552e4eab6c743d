"""`/export`, `/rooms/{id}/export`, `/conversations/{id}/export`: files of what there is, as they are written."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from uuid import UUID

from flask import Response
from flask_smorest import Blueprint
from marshmallow import fields, validate

from application.exporting.exporting import Branches, Export, Format
from application.facade import Application
from application.ports.exporting import Extent
from entrypoints.http.auth import principal
from entrypoints.http.refusals import refuses
from entrypoints.http.schemas import Request

_FILE = {"type": "string", "format": "binary"}

_ANSWERED: dict[str, Any] = {
    "description": "The file, as it is written. One that ends without the record `end` (JSON) is not whole.",
    "headers": {
        "Content-Disposition": {
            "description": "What the file is called (RFC 6266, RFC 8187).",
            "schema": {"type": "string"},
        }
    },
    "content": {kind: {"schema": _FILE} for kind in ("application/x-ndjson", "text/markdown", "application/pdf")},
}


class ExportQuery(Request):
    """As what to export, and how much of it."""

    format = fields.String(
        load_default=Format.JSON.value,
        validate=validate.OneOf([each.value for each in Format]),
        metadata={"description": "`json` is JSON Lines, holds everything and can be imported; the others are to read."},
    )
    branches = fields.String(
        load_default=None,
        validate=validate.OneOf([each.value for each in Branches]),
        metadata={"description": "`all` (JSON only, and its default), or the `current` ones alone."},
    )


def blueprint(app: Application) -> Blueprint:
    """The routes of exports, over `app`."""
    routes = Blueprint("exports", __name__, url_prefix="", description="Everything, in a file.")

    @routes.get("/export")
    @refuses("export_too_large", "pdf_unavailable")
    @routes.doc(responses={"200": _ANSWERED})
    @routes.arguments(ExportQuery(), location="query")
    def export_everything(query: dict[str, Any]) -> Response:
        """Export all that one has: rooms, conversations, sessions, projects with their documents, job analyses."""
        return _exported(app, query, Extent(owner=principal().key))

    @routes.get("/rooms/<id:room_id>/export")
    @refuses("export_too_large", "pdf_unavailable")
    @routes.doc(responses={"200": _ANSWERED})
    @routes.arguments(ExportQuery(), location="query")
    def export_room(query: dict[str, Any], room_id: UUID) -> Response:
        """Export a room with its conversations."""
        return _exported(app, query, Extent(room_id=room_id))

    @routes.get("/conversations/<id:conversation_id>/export")
    @refuses("export_too_large", "pdf_unavailable")
    @routes.doc(responses={"200": _ANSWERED})
    @routes.arguments(ExportQuery(), location="query")
    def export_conversation(query: dict[str, Any], conversation_id: UUID) -> Response:
        """Export a conversation."""
        return _exported(app, query, Extent(conversation_id=conversation_id))

    return routes


def _exported(app: Application, query: dict[str, Any], extent: Extent) -> Response:
    branches = Branches(query["branches"]) if query["branches"] is not None else None
    file = app.exports.write(
        Export(principal=principal(), extent=extent, format=Format(query["format"]), branches=branches)
    )
    headers = {
        "Content-Disposition": disposition(file.name),
        "Cache-Control": "no-store, no-transform",
        "X-Accel-Buffering": "no",
    }
    return Response(file.chunks, content_type=file.media_type, headers=headers)


def disposition(name: str) -> str:
    """A file to be kept under this name: whole for those who know RFC 8187, in ASCII for others (RFC 6266, D)."""
    plain = "".join(sign if " " <= sign < "\x7f" and sign not in '"\\%' else "_" for sign in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
