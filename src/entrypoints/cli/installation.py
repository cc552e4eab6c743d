"""`parley migrate`, `doctor`, `status` and `settings`: the installation as a whole."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from entrypoints.cli.asking import as_json_option, confirm, yes_option
from entrypoints.cli.explaining import Explained
from entrypoints.cli.opening import application, container
from entrypoints.cli.telling import plain, print_json, print_table, reason, say, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from application.facade import Application
    from entrypoints.container import Container

_ON_THE_DATABASE = ("database", "knowledge", "agents", "read models")
"""Parts that would make a database that is not there, if they were asked."""


@click.command(
    cls=Explained,
    examples=["parley migrate", "parley migrate --down-to 0004 --yes"],
    exits={1: "there is no such revision, or a newer Parley wrote the database"},
)
@click.option("--to", "revision", default="head", show_default=True, help="The revision to go forward to.")
@click.option("--down-to", help='The older revision to go back to ("base" empties the database).')
@yes_option
@as_json_option
def migrate(revision: str, down_to: str | None, yes: bool, as_json: bool) -> None:
    """Bring the database up to date, or to another revision.

    Makes the data folder, its secret and the database where there are none yet, and the indexes in MongoDB; reads
    Parley's own documentation in where it is new. Each migration is a transaction: an interrupted one leaves the
    database as it was. Going back loses what the older revision has no place for, and asks first. Stop the server
    before that.
    """
    from entrypoints.starting import require_servers

    if down_to is not None:
        lost = "everything in it" if down_to == "base" else "what has no place in that one"
        confirm(f"Going back to revision {plain(down_to)} removes for good {lost}.", yes=yes)
    installation = container(checked=False, create=True)
    require_servers(installation)
    schema = installation.schema()
    if down_to is not None:
        schema.downgrade(down_to)
    else:
        schema.upgrade(revision)
    if schema.current() == schema.head:
        application = installation.application()
        if application.read_models is not None:
            application.read_models.prepare()
        application.projects.seed()
    if as_json:
        print_json({"revision": schema.current()})
    else:
        say(f"The database is at revision {schema.current() or 'none'}.")


@click.command(
    cls=Explained, examples=["parley doctor", "parley doctor --json"], exits={1: "a part does not do what it should"}
)
@as_json_option
def doctor(as_json: bool) -> None:
    """Say which parts run, and whether each answers.

    Asks the database and its schema, the model's server (and whether it has your model), the knowledge base, and as
    far as they are configured MongoDB, the read models, Redis, the workers and what is cached. Of an agents file it
    says which projects are named that are not there. Changes nothing.
    """
    installation = container(checked=False)
    found = [_examined(part, check) for part, check in _checks(installation).items()]
    healthy = all(part["ok"] for part in found)
    if as_json:
        print_json({"ok": healthy, "parts": found})
    else:
        told = [[part["part"], "ok" if part["ok"] else "failed", part["answer"]] for part in found]
        print_table(["part", "state", "what answers"], told, whole=True)
    if not healthy:
        sys.exit(1)


@click.command(cls=Explained, examples=["parley status", "parley status --json"])
@as_json_option
def status(as_json: bool) -> None:
    """Say what waits, and for how long.

    That is replies, jobs, and events that are not delivered yet.

    What waits for more than a few seconds beside a running server or worker should not: `parley doctor` says what
    does not answer. Replies whose process is gone are taken over after 15 seconds. Events wait in the outbox until
    every read model, worker and open page has been told of them.
    """
    from datetime import UTC, datetime

    app = application()
    waiting = app.read_all.waiting()
    if app.read_models is not None:
        waiting["read_models"] = _read_models(app)
    if as_json:
        print_json(waiting)
        return
    now = datetime.now(UTC)
    rows: list[list[object]] = []
    for what, counts in waiting.items():
        since = counts.pop("oldest", None)
        told = ", ".join(f"{shown(count)} {name.replace('_', ' ')}" for name, count in counts.items())
        rows.append([what.replace("_", " "), told, shown(now - since) if since else "-"])
    print_table(["what", "how many", "oldest"], rows)


@click.command(cls=Explained, examples=["parley settings", "parley settings --changed", "parley settings --json"])
@click.option("--changed", is_flag=True, help="Only those that are not as they would be by themselves.")
@as_json_option
def settings(changed: bool, as_json: bool) -> None:
    """Say what every setting is, and where it comes from.

    Secrets, and the passwords in URLs, are hidden. `environment` is a variable of this process, `file` the secret in
    the data folder, `default` what Parley takes otherwise. docs/settings.md says what each one means.
    """
    from entrypoints.cli.settings import effective

    found = [one for one in effective() if one["from"] != "default" or not changed]
    if as_json:
        print_json({"items": found, "total": len(found)})
    else:
        print_table(
            ["setting", "value", "from"], [[one["name"], one["value"], one["from"]] for one in found], whole=True
        )


def _checks(installation: Container) -> dict[str, Callable[[], str | None]]:
    schema = installation.schema()
    app = installation.application()
    parts: dict[str, Callable[[], Any]] = {"schema": schema.require_current, **app.parts}
    if installation.settings().agents_file is not None:
        parts["agents"] = lambda: _agents(app)
    if not installation.database().is_there:
        parts |= {part: schema.require_there for part in _ON_THE_DATABASE if part in parts}
    return parts


def _agents(app: Application) -> str:
    """How many there are, and which name projects that nobody has."""
    named = {agent.name: agent.knowledge.projects or frozenset() for agent in app.agents.values()}
    missing = frozenset[str]().union(*named.values())
    missing -= frozenset(app.read_all.project_keys(missing))
    notes = [f"{name} names {key}" for name, keys in named.items() for key in sorted(keys & missing)]
    return f"{len(named)} agents" + (f" (there is no such project: {', '.join(notes)})" if notes else "")


def _examined(part: str, check: Callable[[], str | None]) -> dict[str, Any]:
    try:
        return {"part": part, "ok": True, "answer": check() or "up to date"}
    except Exception as failure:  # Whatever is wrong with a part, the others are of interest too.
        return {"part": part, "ok": False, "answer": reason(failure)}


def _read_models(app: Any) -> dict[str, Any]:
    from application.ports.projections import ReadModelsUnavailable

    try:
        app.read_models.models.check()
    except ReadModelsUnavailable as away:
        return {"state": away.message}
    return {"state": "complete"}
