"""`/rooms`: open, list, read, change, delete, restore, history."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from flask import Response
from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate

from application.documents import deletion_document, room_document
from application.facade import Application
from application.rooms.commands import ChangeRoom, DeleteRoom, OpenRoom, RestoreRoom
from domain.rate_limits import Action
from entrypoints.http.answers import data
from entrypoints.http.auth import principal
from entrypoints.http.once import creating, idempotent
from entrypoints.http.refusals import refuses
from entrypoints.http.schemas import (
    LOCATION,
    DeletionOut,
    LastMessage,
    ListQuery,
    MessageOut,
    Request,
    count_field,
    deleted_field,
    deletion_field,
    enveloped,
    message_page_of,
    metadata_field,
    order_field,
    page_of,
    paged,
    text_field,
)


class RoomListQuery(ListQuery):
    """Which page of the rooms, in which order."""

    sort_by = fields.String(
        load_default="last_activity_at", validate=validate.OneOf(["last_activity_at", "created_at", "name"])
    )
    order = order_field("desc")
    deleted = deleted_field()


class RoomHistoryQuery(ListQuery):
    """Which page of a room's history."""

    order = order_field("asc")


class RoomBody(Request):
    """A new room."""

    name = text_field(100, required=True)
    metadata = metadata_field()


class RoomChanges(Request):
    """What to change of a room."""

    name = text_field(100)
    metadata = metadata_field()


class RoomOut(Schema):
    """A room and what its conversations add up to."""

    id = fields.UUID(required=True)
    name = fields.String(required=True)
    metadata = fields.Dict(required=True)
    conversation_count = count_field()
    message_count = count_field()
    last_message = fields.Nested(LastMessage, required=True, allow_none=True)
    last_activity_at = fields.DateTime(required=True)
    created_at = fields.DateTime(required=True)
    updated_at = fields.DateTime(required=True)
    version = fields.Integer(required=True, metadata={"minimum": 1})
    deletion = deletion_field()


def blueprint(app: Application) -> Blueprint:
    """The routes of rooms, over `app`."""
    routes = Blueprint("rooms", __name__, url_prefix="/rooms", description="A principal's spaces.")

    @routes.post("")
    @refuses("room_limit_reached", "rate_limited")
    @idempotent(routes)
    @routes.arguments(RoomBody())
    @routes.response(201, enveloped(RoomOut), headers=LOCATION)
    def open_room(body: dict[str, Any]) -> Response:
        """Open a room."""
        room = OpenRoom(principal=principal(), **body)
        opened = creating(app, lambda once: room_document(app.rooms.open(replace(room, once=once))), Action.OPEN_ROOM)
        return data(opened, 201, {"Location": f"/api/v1/rooms/{opened['id']}"})

    @routes.get("")
    @routes.arguments(RoomListQuery(), location="query")
    @routes.response(200, paged(RoomOut))
    def list_rooms(query: dict[str, Any]) -> Response:
        """List one's rooms."""
        if query["deleted"]:
            return data(app.read_deleted.rooms(principal(), page_of(query)))
        return data(app.read.rooms(principal(), page_of(query)))

    @routes.get("/<id:room_id>")
    @routes.response(200, enveloped(RoomOut))
    def get_room(room_id: UUID) -> Response:
        """Read a room."""
        return data(app.read.room(room_id, principal()))

    @routes.patch("/<id:room_id>")
    @routes.arguments(RoomChanges())
    @routes.response(200, enveloped(RoomOut))
    def change_room(body: dict[str, Any], room_id: UUID) -> Response:
        """Rename a room or replace its metadata."""
        app.rooms.change(ChangeRoom(principal=principal(), room_id=room_id, **body))
        return data(app.read.room(room_id, principal()))

    @routes.delete("/<id:room_id>")
    @routes.response(200, enveloped(DeletionOut))
    def delete_room(room_id: UUID) -> Response:
        """Delete a room with its conversations; it can be restored."""
        deletion = app.rooms.delete(DeleteRoom(principal=principal(), room_id=room_id))
        return data(deletion_document(deletion))

    @routes.post("/<id:room_id>/restore")
    @refuses("not_deleted", "being_purged", "room_limit_reached")
    @routes.response(200, enveloped(RoomOut))
    def restore_room(room_id: UUID) -> Response:
        """Bring a deleted room back with what went with it."""
        app.rooms.restore(RestoreRoom(principal=principal(), room_id=room_id))
        return data(app.read.room(room_id, principal()))

    @routes.get("/<id:room_id>/history")
    @routes.arguments(RoomHistoryQuery(), location="query")
    @routes.response(200, paged(MessageOut))
    def room_history(query: dict[str, Any], room_id: UUID) -> Response:
        """Read the messages of all the room's conversations, by time."""
        return data(app.read.room_history(room_id, principal(), message_page_of(query)))

    return routes
