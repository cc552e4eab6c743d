"""`parley cleanup`, `parley erase` and `parley scheduler`: what goes for good, when, and the proof of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from entrypoints.cli.asking import PRINCIPAL, as_json_option, confirm, yes_option
from entrypoints.cli.explaining import Explained
from entrypoints.cli.opening import application
from entrypoints.cli.telling import complain, long_work, print_json, print_table, say

if TYPE_CHECKING:
    from application.facade import Application
    from application.retention.cleaning import Cleaned
    from application.retention.erasing import Erased
    from application.retention.settling import Settled
    from domain.identity import Principal

_SHOWN = 50
"""Findings that are listed for people; programs are given all."""


@click.command(
    cls=Explained,
    examples=[
        "parley cleanup --dry-run",
        "parley cleanup --yes",
        "parley cleanup --verify",
        "parley cleanup --verify --json",
    ],
    exits={1: "something was found by --verify, or is left for the next time, or another process is cleaning up"},
)
@click.option("--dry-run", is_flag=True, help="Only say what there is to do.")
@click.option("--verify", is_flag=True, help="Only look whether anything is left of what was purged, in any store.")
@click.option("--vacuum", is_flag=True, help="Then have the database let go of the room of what was deleted.")
@yes_option
@as_json_option
def cleanup(dry_run: bool, verify: bool, vacuum: bool, yes: bool, as_json: bool) -> None:
    """Delete what nobody uses any more, and purge what was deleted long ago.

    Rooms without a sign of life are deleted, so that they can be restored; sessions that have expired are closed; what
    was deleted long ago is removed for good, from every store; and so is what is only old: closed sessions, ended jobs,
    expired idempotency keys, visitors who have nothing. How long each is kept are settings, PARLEY_RETENTION_ROOMS and
    so on. The server may be running. It can be interrupted, and goes on when it is run again.
    """
    if dry_run + verify > 1:
        raise click.UsageError("--dry-run and --verify are two different things: say one of them.")
    app = application()
    if verify:
        _verify(app, as_json=as_json)
        return
    from application.retention.cleaning import CleanUp

    if dry_run:
        _tell_cleaned(app.retention.clean_up(CleanUp(dry_run=True)), dry_run=True, as_json=as_json)
        return
    confirm("This deletes and purges what is past its time; see --dry-run.", yes=yes)
    with _progress() as advance:
        cleaned = app.retention.clean_up(CleanUp(), advance)
        if vacuum:
            app.retention.vacuum()
    _tell_cleaned(cleaned, dry_run=False, as_json=as_json)


@click.command(
    cls=Explained,
    examples=[
        "parley erase --principal user:alice --dry-run",
        "parley erase --principal user:alice",
        "parley erase --principal visitor:0192f5c8-6a3e-7000-8000-000000000000 --yes --json",
    ],
    exits={1: "something is left, because it came in the meantime, or a store has not followed yet"},
)
@click.option("--principal", "person", type=PRINCIPAL, required=True, help="Who: user:<id> or visitor:<id>.")
@click.option("--dry-run", is_flag=True, help="Only count what there is of theirs.")
@yes_option
@as_json_option
def erase(person: Principal, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove for good all that one person left, from every store.

    Rooms, conversations, messages, sessions, feedback, private projects and documents, job analyses, idempotency keys,
    limits, and whatever is cached; of a user, also what the visitor left who signed in as that user. Public projects
    stay, as the installation's own. A visitor's token is good no more. It cannot be undone. The server may be running.
    It can be interrupted, and goes on when it is run again.
    """
    from application.retention.erasing import ErasePrincipal

    app = application()
    foreseen = app.retention.erase(ErasePrincipal(principal=person, dry_run=True))
    if dry_run or not (yes or foreseen.tally or foreseen.adopted):
        _tell_erased(person, foreseen, dry_run=True, as_json=as_json)
        return
    number = sum(foreseen.tally.values())
    confirm(f"This removes {number:,} things of {person.key} for good.", yes=yes, typed=person.key)
    with _progress() as advance:
        erased = app.retention.erase(ErasePrincipal(principal=person), advance)
    _tell_erased(person, erased, dry_run=False, as_json=as_json)


@click.command(cls=Explained, examples=["parley scheduler", "parley scheduler --every 3600"])
@click.option("--every", type=click.FloatRange(1, 31 * 24 * 3600), help="Seconds; else PARLEY_CLEANUP_EVERY.")
def scheduler(every: float | None) -> None:
    """Clean up regularly, until told to stop.

    Run it beside the server, once or more: one at a time cleans up. SIGTERM ends it after the step under way.
    """
    from entrypoints.scheduler import schedule
    from entrypoints.settings import Settings

    settings = Settings.from_environment()
    schedule(settings, every=every or settings.cleanup_every)


@contextmanager
def _progress() -> Iterator[Callable[[str, int], None]]:
    """A bar a kind, each of which comes with the first of its kind."""
    with long_work("Run the same command again to go on.") as work:
        bars: dict[str, Callable[[int], None]] = {}

        def advance(kind: str, done: int) -> None:
            if kind not in bars:
                bars[kind] = work.bar(kind.replace("_", " "))
            bars[kind](done)

        yield advance


def _verify(app: Application, *, as_json: bool) -> None:
    with _progress() as advance:
        found = list(app.retention.verify(advance))
    if as_json:
        findings = [{"store": each.store, "where": each.where, "why": each.why} for each in found]
        print_json({"clean": not found, "findings": findings})
    elif found:
        print_table(
            ["store", "where", "why"], [[each.store, each.where, each.why] for each in found[:_SHOWN]], len(found)
        )
    else:
        say("Nothing is left of what was purged, in any store.")
    if found:
        sys.exit(1)


def _tell_cleaned(cleaned: Cleaned, *, dry_run: bool, as_json: bool) -> None:
    done: dict[str, Mapping[str, int]] = {
        "closed": cleaned.closed,
        "deleted": cleaned.deleted,
        "purged": cleaned.purged,
        "removed": cleaned.removed,
    }
    report: dict[str, Any] = {"dry_run": dry_run, **{what: _plain(tally) for what, tally in done.items()}}
    _tell(report | _followed(cleaned.settled) | {"failed": cleaned.failed}, done, cleaned.settled, as_json=as_json)
    for thing, reason in cleaned.failed.items():
        complain(f"The {thing} is left for the next time: {reason}")
    if cleaned.failed or cleaned.settled.away:
        sys.exit(1)


def _tell_erased(person: Principal, erased: Erased, *, dry_run: bool, as_json: bool) -> None:
    removed, given = ("would go", "would be given") if dry_run else ("removed", "given")
    adopted = {"projects": erased.adopted}
    done: dict[str, Mapping[str, int]] = {removed: erased.tally, f"{given} to the installation": adopted}
    report = {
        "principal": person.key,
        "dry_run": dry_run,
        "principals": erased.principals,
        "removed": {} if dry_run else _plain(erased.tally),
        "found": _plain(erased.tally) if dry_run else {},
        "adopted": erased.adopted,
        "left": _plain(erased.left),
    }
    _tell(report | _followed(erased.settled), done, erased.settled, as_json=as_json)
    if erased.left:
        complain(f"{person.key} has made new things in the meantime: {_listed(erased.left)}. Run it again.")
    if erased.left or erased.settled.away:
        sys.exit(1)


def _tell(report: Mapping[str, Any], done: Mapping[str, Mapping[str, int]], settled: Settled, *, as_json: bool) -> None:
    if as_json:
        print_json(report)
    else:
        rows = [[what, kind.replace("_", " "), count] for what, tally in done.items() for kind, count in tally.items()]
        rows += [
            ["forgotten", f"{kind} in {store}", n]
            for store, tally in settled.forgotten.items()
            for kind, n in tally.items()
        ]
        rows = [row for row in rows if row[2]]
        if rows:
            print_table(["what", "of which kind", "how many"], rows)
        else:
            say("There is nothing to do.")
    for store, reason in settled.away.items():
        complain(f"{store} has not followed yet: {reason} A server or worker goes on with it, or the next clean-up.")


def _followed(settled: Settled) -> dict[str, Any]:
    return {
        "forgotten": {store: _plain(tally) for store, tally in settled.forgotten.items() if _plain(tally)},
        "behind": settled.away,
    }


def _plain(tally: Mapping[str, int]) -> dict[str, int]:
    return {str(kind): count for kind, count in tally.items() if count}


def _listed(tally: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in tally.items())
