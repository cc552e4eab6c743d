"""`purge`, which every kind of thing that is deleted softly has."""

from __future__ import annotations

from uuid import UUID

import click

from entrypoints.cli.asking import as_json_option, confirm, yes_option
from entrypoints.cli.deleting import named
from entrypoints.cli.explaining import Explained
from entrypoints.cli.opening import application
from entrypoints.cli.telling import complain, counted, long_work, print_json, say


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
        if found["deleted_at"] is not None:  # Else it is refused anyway.
            confirm(f"The {named(kind, found)} cannot be brought back after that.", yes=yes)
        wanted = PurgeDeleted(subject=Subject(kind), subject_id=thing_id)
        with long_work("What is left of it goes when this is run again.") as work:
            bar = work.bar("purging")
            purged = app.retention.purge(wanted, lambda _, done: bar(done))
        counts = {str(what): count for what, count in purged.tally.items() if count}
        if as_json:
            print_json({"removed": counts, "behind": dict(purged.settled.away)})
        else:
            say(f"Purged the {named(kind, found)}: {counted(counts)}.")
        for store, reason in purged.settled.away.items():
            complain(f"{store} has not followed yet: {reason} A server or worker goes on with it.")

    purge.__doc__ = f"""Remove a deleted {words} for good, now.

    {what_goes} It must have been deleted before. Asks first, for there is no way back. The server may be running.
    """
    example = f"parley {group} purge 01a1f8c7-5eac-731a-b386-f7f9f4be1e6f"
    return click.command("purge", cls=Explained, examples=[example], exits={1: "it is not deleted, or not there"})(
        purge
    )
