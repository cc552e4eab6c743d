"""`parley projections`: the read models in MongoDB, made from the database."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from entrypoints.cli.asking import as_json_option
from entrypoints.cli.explaining import Group
from entrypoints.cli.opening import application
from entrypoints.cli.telling import complain, long_work, print_facts, print_json, say, shown

if TYPE_CHECKING:
    from application.facade import Application, ReadModelTools
    from application.projections import Advance


@click.group(cls=Group)
def projections() -> None:
    """The read models in MongoDB, made from the database.

    Needs PARLEY_MONGO_URL. The service goes on meanwhile.
    """


@projections.command("status", examples=["parley projections status"], exits={1: "queries cannot rely on them"})
@as_json_option
def projections_status(as_json: bool) -> None:
    """Say whether queries rely on the read models, and how far behind they may be.

    `lag` is how long the oldest event has been waiting in the outbox; `rebuild` what an interrupted rebuild has left
    to go on from.
    """
    from application.ports.projections import Model, ReadModelsUnavailable

    app = application()
    tools = _tools(app)
    try:
        tools.models.check()
        state, progress = None, dict(tools.models.progress)
    except ReadModelsUnavailable as away:
        state, progress = away.message, {}
    lag = app.relay.outbox.age()
    counts = {str(model): tools.snapshots.count(model) for model in Model}
    if as_json:
        report = {"ok": state is None, "state": state or "complete", "lag_seconds": lag.total_seconds()}
        print_json(report | {"rebuild": progress, "things": counts})
    else:
        held = ", ".join(f"{shown(count)} {model}" for model, count in counts.items())
        print_facts({"state": state or "complete", "lag": lag, "rebuild": progress or None, "to be held": held})
    if state is not None:
        sys.exit(1)


@projections.command("rebuild", examples=["parley projections rebuild", "parley projections rebuild --from-scratch"])
@click.option("--from-scratch", is_flag=True, help="Do not go on where an interrupted rebuild left off.")
@as_json_option
def rebuild_projections(from_scratch: bool, as_json: bool) -> None:
    """Write every document anew while the service goes on.

    For a database that held something before PARLEY_MONGO_URL was set, and when `verify` has found differences. Can
    be interrupted: the next one goes on where it left off.
    """
    tools = _tools(application())
    with _progress(tools, "rebuilding", "parley projections rebuild goes on from here.") as advance:
        tools.rebuild(advance, from_scratch=from_scratch)
    if as_json:
        print_json({"ok": True, "state": "complete"})
    else:
        say("The read models hold everything.")


@projections.command(
    "verify",
    examples=["parley projections verify", "parley projections verify --show 100 --json"],
    exits={1: "some documents differ"},
)
@click.option("--show", default=20, show_default=True, type=click.IntRange(0), help="How many differences to list.")
@as_json_option
def verify_projections(show: int, as_json: bool) -> None:
    """Compare every document with the database.

    Lists what is missing, different or surplus. What changes meanwhile is looked at again before it counts.
    """
    tools = _tools(application())
    with _progress(tools, "comparing", "Nothing was changed.") as advance:
        differences = tools.verify(advance)
    tools.models.check()
    some = [{"model": m, "id": thing, "difference": how} for (m, thing), how in list(differences.items())[:show]]
    if as_json:
        print_json({"total": len(differences), "differences": some})
    else:
        for one in some:
            say(f"{one['model']} {one['id']}: {one['difference']}")
    if differences:
        complain(f"{len(differences)} documents differ. Run: parley projections rebuild --from-scratch")
        sys.exit(1)
    if not as_json:
        say("No difference.")


def _tools(app: Application) -> ReadModelTools:
    from entrypoints.settings import SettingError

    if app.read_models is None:
        raise SettingError("PARLEY_MONGO_URL: is not set, so there are no read models.")
    return app.read_models


@contextmanager
def _progress(tools: ReadModelTools, what: str, go_on: str) -> Iterator[Advance]:
    """A bar a read model."""
    from application.ports.projections import Model

    with long_work(go_on) as work:
        bars = {model: work.bar(f"{what} {model}", tools.snapshots.count(model)) for model in Model}
        yield lambda model, done: bars[model](done)
