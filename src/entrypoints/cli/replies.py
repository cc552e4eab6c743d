"""`parley replies`: answers in the making, and how others ended."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import click

from entrypoints.cli.asking import as_json_option, key_of, owner_option, page_of, page_options
from entrypoints.cli.explaining import Group
from entrypoints.cli.opening import application
from entrypoints.cli.telling import print_facts, print_json, print_page, say

if TYPE_CHECKING:
    from domain.identity import Principal

_STATUSES = ("queued", "running", "completed", "cancelled", "failed", "timed_out", "interrupted")


@click.group(cls=Group)
def replies() -> None:
    """Replies in the making, and how others ended."""


@replies.command(
    "list", examples=["parley replies list --live", "parley replies list --status failed --status timed_out --limit 20"]
)
@owner_option()
@click.option("--live", is_flag=True, help="Only those that wait or run: --status queued --status running.")
@click.option("--status", "statuses", multiple=True, type=click.Choice(_STATUSES), help="Only such; may be repeated.")
@click.option("--conversation", "conversation_id", type=click.UUID, help="Only those in this conversation.")
@page_options()
@as_json_option
def list_replies(
    owner: Principal | None,
    live: bool,
    statuses: tuple[str, ...],
    conversation_id: UUID | None,
    limit: int,
    offset: int,
    as_json: bool,
) -> None:
    """List replies without their texts, the newest first."""
    wanted = {*statuses, *(("queued", "running") if live else ())}
    found = application().read_all.replies(
        owner=key_of(owner), statuses=wanted, conversation_id=conversation_id, page=page_of(limit, offset)
    )
    columns = {
        "id": lambda reply: reply["id"],
        "owner": lambda reply: reply["owner"],
        "agent": lambda reply: reply["agent"],
        "status": lambda reply: reply["status"],
        "error": lambda reply: reply["error"]["code"] if reply["error"] else None,
        "attempts": lambda reply: reply["attempts"],
        "asked": lambda reply: reply["created_at"],
    }
    print_page(found, columns, as_json=as_json)


@replies.command("show", examples=["parley replies show 01a1f8c7-6012-7c11-8a52-0f6f3a1b9c2d"])
@click.argument("reply_id", type=click.UUID)
@as_json_option
def show_reply(reply_id: UUID, as_json: bool) -> None:
    """Say what is known about a reply, but for its text.

    That is its state, how often it was tried, and what was measured. Its text is in the history:
    `parley conversations messages`.
    """
    found = application().read_all.reply(reply_id)
    if as_json:
        print_json(found)
    else:
        print_facts(found)


@replies.command(
    "cancel",
    examples=["parley replies cancel 01a1f8c7-6012-7c11-8a52-0f6f3a1b9c2d"],
    exits={0: "it has ended, or is about to", 1: "there is none, or its conversation is deleted"},
)
@click.argument("reply_id", type=click.UUID)
@click.option("--insist", is_flag=True, help="If its process says nothing within two seconds, end it without it.")
@as_json_option
def cancel_reply(reply_id: UUID, insist: bool, as_json: bool) -> None:
    """Stop a reply; what was written of it is kept.

    Cancelling what has ended changes nothing. The process that writes it is told, and stops within a second or two.
    """
    from application.replies.ending import CancelReply
    from domain.identity import SYSTEM

    app = application()
    app.replies.cancel(CancelReply(principal=SYSTEM, reply_id=reply_id, insist=insist))
    found = app.read_all.reply(reply_id)
    if as_json:
        print_json(found)
    else:
        status = found["status"]
        say(f"{reply_id} {status}" + ("; it is being stopped." if status in ("queued", "running") else ""))


@replies.command("reap", examples=["parley replies reap"])
@as_json_option
def reap_replies(as_json: bool) -> None:
    """End or requeue the replies whose process is gone.

    A running server or worker does this by itself every two seconds: this is for a database that none runs on.
    """
    reaped = application().replies.reap()
    if as_json:
        print_json({"items": [{"id": reply_id, "status": status} for reply_id, status in reaped], "total": len(reaped)})
        return
    for reply_id, status in reaped:
        say(f"{reply_id} {status}")
    say(f"{len(reaped)} reaped.")
