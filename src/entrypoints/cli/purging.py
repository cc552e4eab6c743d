"""`purge`, which every kind of thing that is deleted softly has."""

from __future__ import annotations

from uuid import UUID

import click

from entrypoints.cli.asking import as_json_option, confirm, yes_option
from entrypoints.cli.explaining import Explained
from entrypoints.cli.opening import application
from entrypoints.cli.telling import complain, long_work, plain, print_json, say, shown


def purge_command(kind: str, what_goes: str) -> click.Command:
    """`parley <kind>s purge ID`; `kind` is a word of domain.deletions.Subject."""
    words = kind.replace("_", " ")
    group = {"job_analysis": "job-analyses"}.get(kind, f"{kind}s")

    @click.argument("thing_id", metavar=f"{kind.upper()}_ID", type=click.UUID)
    @yes_option
    @as_json_option
    def purge(thing_id: UUID, yes: bool, as_json: bool) -> None:
        from application.retention.purging import PurgeDeleted
        from domain.deletions import Subject

        app = application()
        found = getattr(app.read_all, kind)(thing_id)
        name = plain(found.get("name") or found.get("title"))
        if found["deleted_at"] is not None:  # Else it is refused anyway.
            confirm(f"The {words} {name!r} of {found['owner']} cannot be brought back after that.", yes=yes)
        wanted = PurgeDeleted(subject=Subject(kind), subject_id=thing_id)
        with long_work("What is left of it goes when this is run again.") as work:
            bar = work.bar("purging")
            purged = app.retention.purge(wanted, lambda _, done: bar(done))
        counts = {str(what): count for what, count in purged.tally.items() if count}
        if as_json:
            print_json({"removed": counts, "behind": dict(purged.settled.away)})
        else:
            told = ", ".join(f"{shown(count)} {what.replace('_', ' ')}" for what, count in counts.items())
            say(f"Purged the {words} {name!r} of {found['owner']}: {told}.")
        for store, reason in purged.settled.away.items():
            complain(f"{store} has not followed yet: {reason} A server or worker goes on with it.")

    purge.__doc__ = f"""Remove a deleted {words} for good, now.

    {what_goes} It must have been deleted before. Asks first, for there is no way back. The server may be running.
    """
    example = f"parley {group} purge 01a1f8c7-5eac-731a-b386-f7f9f4be1e6f"
    return click.command("purge", cls=Explained, examples=[example], exits={1: "it is not deleted, or not there"})(
        purge
    )
