"""What `delete` and `restore` say, which every kind of thing that is deleted softly has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from entrypoints.cli.telling import counted, plain, print_json, say, shown

if TYPE_CHECKING:
    from domain.deletions import Deletion

_WITHIN = {"room": ("conversations", "messages"), "conversation": ("messages",), "project": ("documents",)}
"""What there is in a thing, which goes with it."""


def require_undeleted(kind: str, found: Mapping[str, Any]) -> None:
    """Raise ClickException if it is deleted already; `kind` is a word of domain.deletions.Subject."""
    deletion = found["deletion"]
    if deletion is None:
        return
    with_it = f" with its {deletion['subject'].replace('_', ' ')}" if deletion["subject"] != kind else ""
    since = shown(deletion["deleted_at"])
    raise click.ClickException(f"The {named(kind, found)} is deleted already{with_it}, since {since}.")


def tell_deleted(found: Mapping[str, Any], deletion: Deletion, *, as_json: bool) -> None:
    """Say what a deletion took; `found` is what it was asked for, as it was before."""
    from application.documents import deletion_document

    if as_json:
        print_json(deletion_document(deletion) | {"owner": found["owner"]})
        return
    counts = {
        "conversations": deletion.conversation_count,
        "messages": deletion.message_count,
        "documents": deletion.document_count,
    }
    taken = {what: counts[what] for what in _WITHIN.get(deletion.subject, ())}
    took = f": {counted(taken)}" if any(taken.values()) else ""
    say(f"Deleted the {named(deletion.subject, found)}{took}.")


def tell_restored(kind: str, found: Mapping[str, Any], *, as_json: bool) -> None:
    """Say what was brought back, as it is again."""
    if as_json:
        print_json(found)
    else:
        say(f"Restored the {named(kind, found)}.")


def named(kind: str, found: Mapping[str, Any]) -> str:
    """What a thing is, what it is called and whose it is."""
    name = plain(found.get("name") or found.get("title") or "")
    return f"{kind.replace('_', ' ')} {name!r} of {found['owner']}"
