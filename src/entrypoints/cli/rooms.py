"""`parley rooms`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import click

from entrypoints.cli.asking import as_json_option, deleted_option, key_of, owner_option, page_of, page_options
from entrypoints.cli.deleting import require_undeleted, tell_deleted, tell_restored
from entrypoints.cli.explaining import Group
from entrypoints.cli.opening import application
from entrypoints.cli.purging import purge_command
from entrypoints.cli.telling import print_facts, print_json, print_page, print_table

if TYPE_CHECKING:
    from domain.identity import Principal


@click.group(cls=Group)
def rooms() -> None:
    """Rooms of all principals."""


@rooms.command(
    "list",
    examples=[
        "parley rooms list --deleted",
        "parley rooms list --owner user:alice --limit 10",
        "parley rooms list --sort name --ascending --json",
    ],
)
@owner_option()
@deleted_option
@page_options("last_activity_at", "created_at", "name")
@as_json_option
def list_rooms(
    owner: Principal | None, deleted: bool, limit: int, offset: int, sort_by: str, ascending: bool, as_json: bool
) -> None:
    """List rooms, the most recently active first."""
    page = page_of(limit, offset, sort_by, ascending)
    found = application().read_all.rooms(owner=key_of(owner), deleted=deleted, page=page)
    when = ("deleted", "deleted_at") if deleted else ("last active", "last_activity_at")
    columns = {
        "id": lambda room: room["id"],
        "owner": lambda room: room["owner"],
        "name": lambda room: room["name"],
        "conversations": lambda room: room["conversation_count"],
        "messages": lambda room: room["message_count"],
        when[0]: lambda room: room[when[1]],
    }
    print_page(found, columns, as_json=as_json)


@rooms.command("show", examples=["parley rooms show 01a1f8c7-5eac-731a-b386-f7f9f4be1e6f"])
@click.argument("room_id", type=click.UUID)
@as_json_option
def show_room(room_id: UUID, as_json: bool) -> None:
    """Say what is known about a room, deleted or not.

    The ten conversations that were active last are listed with it.
    """
    found = application().read_all.room(room_id)
    if as_json:
        print_json(found)
        return
    latest = found.pop("conversations")
    print_facts(found)
    if latest:
        columns = ["id", "title", "messages", "last active", "deleted"]
        rows = [[c["id"], c["title"], c["message_count"], c["last_activity_at"], c["deleted_at"]] for c in latest]
        click.echo()
        print_table(columns, rows)


@rooms.command("delete", examples=["parley rooms delete 01a1f8c7-5eac-731a-b386-f7f9f4be1e6f"])
@click.argument("room_id", type=click.UUID)
@as_json_option
def delete_room(room_id: UUID, as_json: bool) -> None:
    """Delete a room with its conversations; it can be restored.

    Replies that are being written in it are stopped. The server may be running.
    """
    from application.rooms.commands import DeleteRoom
    from domain.identity import SYSTEM

    app = application()
    found = app.read_all.room(room_id)
    require_undeleted("room", found)
    deletion = app.rooms.delete(DeleteRoom(principal=SYSTEM, room_id=room_id))
    tell_deleted(found, deletion, as_json=as_json)


@rooms.command("restore", examples=["parley rooms restore 01a1f8c7-5eac-731a-b386-f7f9f4be1e6f"])
@click.argument("room_id", type=click.UUID)
@as_json_option
def restore_room(room_id: UUID, as_json: bool) -> None:
    """Bring a deleted room back with what went with it.

    Conversations that had been deleted before stay deleted. The server may be running.
    """
    from application.rooms.commands import RestoreRoom
    from domain.identity import SYSTEM

    app = application()
    app.rooms.restore(RestoreRoom(principal=SYSTEM, room_id=room_id))
    tell_restored("room", app.read_all.room(room_id), as_json=as_json)


rooms.add_command(purge_command("room", "Its conversations, messages and replies go with it."))
