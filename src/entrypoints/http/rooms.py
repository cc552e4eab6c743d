"""`/rooms`: open, list, read, change, delete, restore, history."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response
from flask_smorest import Blueprint

from application.documents import deletion_document, room_document
from application.facade import Application
from application.rooms.commands import ChangeRoom, DeleteRoom, OpenRoom, RestoreRoom
from entrypoints.http import schemas
from entrypoints.http.answers import data
from entrypoints.http.auth import principal


def blueprint(app: Application) -> Blueprint:
    """The routes of rooms, over `app`."""
    routes = Blueprint("rooms", __name__, url_prefix="/rooms", description="A principal's spaces.")

    @routes.post("")
    @routes.arguments(schemas.RoomBody)
    @routes.response(201, schemas.enveloped(schemas.RoomOut))
    def open_room(body: dict[str, Any]) -> Response:
        """Open a room."""
        room = app.rooms.open(OpenRoom(principal=principal(), **body))
        return data(room_document(room), 201, {"Location": f"/api/v1/rooms/{room.id}"})

    @routes.get("")
    @routes.arguments(schemas.RoomListQuery, location="query")
    @routes.response(200, schemas.paged(schemas.RoomOut))
    def list_rooms(query: dict[str, Any]) -> Response:
        """List one's rooms."""
        return data(app.read.rooms(principal(), schemas.page_of(query)))

    @routes.get("/<id:room_id>")
    @routes.response(200, schemas.enveloped(schemas.RoomOut))
    def get_room(room_id: UUID) -> Response:
        """Read a room."""
        return data(app.read.room(room_id, principal()))

    @routes.patch("/<id:room_id>")
    @routes.arguments(schemas.RoomChanges)
    @routes.response(200, schemas.enveloped(schemas.RoomOut))
    def change_room(body: dict[str, Any], room_id: UUID) -> Response:
        """Rename a room or replace its metadata."""
        app.rooms.change(ChangeRoom(principal=principal(), room_id=room_id, **body))
        return data(app.read.room(room_id, principal()))

    @routes.delete("/<id:room_id>")
    @routes.response(200, schemas.enveloped(schemas.DeletionOut))
    def delete_room(room_id: UUID) -> Response:
        """Delete a room with its conversations; it can be restored."""
        deletion = app.rooms.delete(DeleteRoom(principal=principal(), room_id=room_id))
        return data(deletion_document(deletion))

    @routes.post("/<id:room_id>/restore")
    @routes.response(200, schemas.enveloped(schemas.RoomOut))
    def restore_room(room_id: UUID) -> Response:
        """Bring a deleted room back with what went with it."""
        app.rooms.restore(RestoreRoom(principal=principal(), room_id=room_id))
        return data(app.read.room(room_id, principal()))

    @routes.get("/<id:room_id>/history")
    @routes.arguments(schemas.RoomHistoryQuery, location="query")
    @routes.response(200, schemas.paged(schemas.MessageOut))
    def room_history(query: dict[str, Any], room_id: UUID) -> Response:
        """Read the messages of all the room's conversations, by time."""
        return data(app.read.room_history(room_id, principal(), schemas.message_page_of(query)))

    return routes
