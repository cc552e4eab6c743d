"""`parley conversations`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from entrypoints.cli.asking import as_json_option, deleted_option, key_of, owner_option, page_of, page_options
from entrypoints.cli.deleting import require_undeleted, tell_deleted, tell_restored
from entrypoints.cli.explaining import Group
from entrypoints.cli.opening import application
from entrypoints.cli.purging import purge_command
from entrypoints.cli.telling import plain, print_facts, print_json, print_page, print_table, say, shown

if TYPE_CHECKING:
    from domain.identity import Principal


@click.group(cls=Group)
def conversations() -> None:
    """Conversations of all principals, and their messages."""


@conversations.command(
    "list",
    examples=[
        "parley conversations list --owner user:alice",
        "parley conversations list --room 01a1f8c7-5eac-731a-b386-f7f9f4be1e6f --deleted",
    ],
)
@owner_option()
@click.option("--room", "room_id", type=click.UUID, help="Only those in this room.")
@deleted_option
@page_options("last_activity_at", "created_at", "title")
@as_json_option
def list_conversations(
    owner: Principal | None,
    room_id: UUID | None,
    deleted: bool,
    limit: int,
    offset: int,
    sort_by: str,
    ascending: bool,
    as_json: bool,
) -> None:
    """List conversations, the most recently active first."""
    page = page_of(limit, offset, sort_by, ascending)
    found = application().read_all.conversations(owner=key_of(owner), room_id=room_id, deleted=deleted, page=page)
    when = ("deleted", "deleted_at") if deleted else ("last active", "last_activity_at")
    columns = {
        "id": lambda one: one["id"],
        "owner": lambda one: one["owner"],
        "title": lambda one: one["title"],
        "agent": lambda one: one["agent"],
        "messages": lambda one: one["message_count"],
        when[0]: lambda one: one[when[1]],
    }
    print_page(found, columns, as_json=as_json)


@conversations.command("show", examples=["parley conversations show 01a1f8c7-5f05-72f3-903e-616c65227958"])
@click.argument("conversation_id", type=click.UUID)
@as_json_option
def show_conversation(conversation_id: UUID, as_json: bool) -> None:
    """Say what is known about a conversation, deleted or not.

    The last five messages are listed with it, by how they begin.
    """
    found = application().read_all.conversation(conversation_id)
    if as_json:
        print_json(found)
        return
    latest = found.pop("messages")
    print_facts({name: value for name, value in found.items() if name != "last_message"})
    if latest:
        columns = ["position", "role", "status", "written", "begins"]
        rows = [[m["position"], m["role"], m["status"], m["created_at"], m["preview"]] for m in latest]
        click.echo()
        print_table(columns, rows)


@conversations.command(
    "messages",
    examples=[
        "parley conversations messages 01a1f8c7-5f05-72f3-903e-616c65227958",
        "parley conversations messages 01a1f8c7-5f05-72f3-903e-616c65227958 --all-branches --json",
        "parley conversations messages 01a1f8c7-5f05-72f3-903e-616c65227958 --before 101 --limit 100",
    ],
)
@click.argument("conversation_id", type=click.UUID)
@click.option("--before", type=click.IntRange(1, 2**31 - 1), help="Only those before this position.")
@click.option("--after", type=click.IntRange(0, 2**31 - 1), help="Only those after this position, the first of them.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="At most so many.")
@click.option("--all-branches", is_flag=True, help="Those that edits and other answers have put aside, too.")
@as_json_option
def conversation_messages(
    conversation_id: UUID, before: int | None, after: int | None, limit: int, all_branches: bool, as_json: bool
) -> None:
    """Print the history of a conversation, deleted or not.

    Whole texts, the newest messages last. Without --before and --after, these are the last ones. What is not on the
    current branch is marked.
    """
    found = application().read_all.messages(
        conversation_id, before=before, after=after, limit=limit, all_branches=all_branches
    )
    if as_json:
        print_json(found)
        return
    for message in found["items"]:
        click.echo(_heading(message))
        say(message["content"], lines=True)
        click.echo()
    say(f"{len(found['items'])} of {found['total']}")


@conversations.command("delete", examples=["parley conversations delete 01a1f8c7-5f05-72f3-903e-616c65227958"])
@click.argument("conversation_id", type=click.UUID)
@as_json_option
def delete_conversation(conversation_id: UUID, as_json: bool) -> None:
    """Delete a conversation; it can be restored.

    A reply that is being written in it is stopped. The server may be running.
    """
    from application.conversations.commands import DeleteConversation
    from domain.identity import SYSTEM

    app = application()
    found = app.read_all.conversation(conversation_id)
    require_undeleted("conversation", found)
    deletion = app.conversations.delete(DeleteConversation(principal=SYSTEM, conversation_id=conversation_id))
    tell_deleted(found, deletion, as_json=as_json)


@conversations.command("restore", examples=["parley conversations restore 01a1f8c7-5f05-72f3-903e-616c65227958"])
@click.argument("conversation_id", type=click.UUID)
@as_json_option
def restore_conversation(conversation_id: UUID, as_json: bool) -> None:
    """Bring back a conversation that was deleted by itself.

    One that went with its room comes back with that: `parley rooms restore`. The server may be running.
    """
    from application.conversations.commands import RestoreConversation
    from domain.identity import SYSTEM

    app = application()
    app.conversations.restore(RestoreConversation(principal=SYSTEM, conversation_id=conversation_id))
    tell_restored("conversation", app.read_all.conversation(conversation_id), as_json=as_json)


conversations.add_command(purge_command("conversation", "Its messages, on all branches, and replies go with it."))


def _heading(message: dict[str, Any]) -> str:
    parts = [f"#{message['position']}", str(message["role"])]
    if message["agent"]:
        parts.append(plain(message["agent"]))
    if message["status"] != "completed":
        parts.append(str(message["status"]))
    if not message["is_current"]:
        parts.append("(put aside)")
    return click.style(" ".join([*parts, shown(message["created_at"])]), bold=True)
