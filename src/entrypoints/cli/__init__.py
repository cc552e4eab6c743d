"""`parley`: serve, migrate, and what operators need. Every command imports what it needs when it runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

import click

from entrypoints.cli.knowledge import knowledge, projects
from entrypoints.cli.opening import application as _application
from entrypoints.cli.opening import container as _container

if TYPE_CHECKING:
    from application.caching import Caches
    from application.facade import ReadModelTools
    from application.projections import Advance

_REFUSED = 1
_MISCONFIGURED = 2
_AWAY = 3


def main() -> None:
    """The console script.

    Exits with 0, with 1 when something was refused or failed, with 2 for wrong usage or settings, and with
    3 when a server does not answer, where trying again later helps.
    """
    # Before anything else is imported, for what was imported before cannot be patched any more.
    if sys.argv[1:2] in (["serve"], ["worker"]):
        from gevent import monkey

        monkey.patch_all()
    from application.ports.runtime import Misconfigured
    from domain.errors import ParleyError, Unavailable
    from entrypoints.settings import SettingError

    try:
        parley(prog_name="parley")
    except SettingError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(_MISCONFIGURED)
    except Misconfigured as error:
        click.echo(f"Error: {error.message}", err=True)
        sys.exit(_MISCONFIGURED)
    except ParleyError as error:
        click.echo(f"Error: {error.message}", err=True)
        sys.exit(_AWAY if isinstance(error, Unavailable) else _REFUSED)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="parley")
def parley() -> None:
    """Parley, a self-hosted chat backend. Settings come from the environment: see docs/settings.md."""


parley.add_command(knowledge)
parley.add_command(projects)


@parley.command()
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 1000), help="Web processes.")
@click.option("--migrate", is_flag=True, help="Bring the database up to date first.")
def serve(workers: int, migrate: bool) -> None:
    """Serve the API and the chat page.

    Without PARLEY_REDIS_URL the one web process writes the replies too. With it, `parley worker` does.
    """
    from entrypoints.server import serve
    from entrypoints.settings import Settings

    serve(Settings.from_environment(), workers=workers, migrate=migrate)


@parley.command()
@click.option("--concurrency", type=click.IntRange(1, 10_000), help="Replies at once; else PARLEY_CONCURRENCY.")
def worker(concurrency: int | None) -> None:
    """Write replies. Needs PARLEY_REDIS_URL; run as many of these as you like, on any machines."""
    import dataclasses

    from entrypoints.settings import Settings
    from entrypoints.worker import work

    settings = Settings.from_environment()
    work(dataclasses.replace(settings, concurrency=concurrency or settings.concurrency))


@parley.command()
@click.option("--to", "revision", default="head", show_default=True, help="The revision to go forward to.")
@click.option("--down-to", help='The older revision to go back to ("base" empties the database).')
def migrate(revision: str, down_to: str | None) -> None:
    """Bring the database to the revision that this version needs, or to another one."""
    from entrypoints.starting import require_servers

    container = _container(checked=False, create=True)
    require_servers(container)
    schema = container.schema()
    if down_to is not None:
        schema.downgrade(down_to)
    else:
        schema.upgrade(revision)
    if schema.current() == schema.head:
        application = container.application()
        if application.read_models is not None:
            application.read_models.prepare()
        application.projects.seed()
    click.echo(f"The database is at revision {schema.current() or 'none'}.")


@parley.command()
def doctor() -> None:
    """Say which parts run and whether each answers; exits with 1 if one does not."""
    from rich.console import Console
    from rich.table import Table

    container = _container(checked=False)
    table = Table("part", "state", "what answers", box=None)
    healthy = True
    checks = {"schema": container.schema().require_current, **container.application().parts}
    for part, check in checks.items():
        try:
            answer, state = check() or "up to date", "[green]ok[/]"
        except Exception as failure:
            answer, state, healthy = str(failure), "[red]failed[/]", False
        table.add_row(part, state, str(answer))
    Console().print(table)
    if not healthy:
        sys.exit(_REFUSED)


@parley.group()
def token() -> None:
    """Tokens that speak for users."""


@token.command("issue")
@click.option("--user", required=True, help="The user's id in your product.")
@click.option("--role", "roles", multiple=True, help='A role, such as "admin"; may be repeated.')
@click.option("--hours", default=24, show_default=True, type=click.IntRange(1, 24 * 3650))
def issue_token(user: str, roles: tuple[str, ...], hours: int) -> None:
    """Print a token for a user."""
    from datetime import timedelta

    from domain.identity import Principal, PrincipalKind

    if not 1 <= len(user) <= 200:
        raise click.BadParameter("must be 1 to 200 characters long", param_hint="--user")
    principal = Principal(PrincipalKind.USER, user, frozenset(roles))
    text, _ = _container(checked=False).tokens().issue(principal, timedelta(hours=hours))
    click.echo(text)


@parley.group()
def rooms() -> None:
    """Rooms of all principals."""


@rooms.command("list")
@click.option("--owner", help="Only this principal's, for example user:alice or visitor:<id>.")
@click.option("--deleted", is_flag=True, help="The deleted ones instead.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@click.option("--offset", default=0, show_default=True, type=click.IntRange(0))
def list_rooms(owner: str | None, deleted: bool, limit: int, offset: int) -> None:
    """List rooms, the most recently active first."""
    from datetime import datetime

    from rich.console import Console
    from rich.table import Table

    from application.ports.queries import Page

    page = Page(limit=limit, offset=offset)
    found = _application().read.rooms_of(owner, deleted=deleted, page=page)
    columns = ["id", "owner", "name", "conversations", "messages", "deleted" if deleted else "last active"]
    table = Table(*columns, box=None)
    for room in found["items"]:
        when = datetime.fromisoformat(str(room["deleted_at"] if deleted else room["last_activity_at"]))
        counts = [str(room["conversation_count"]), str(room["message_count"])]
        table.add_row(str(room["id"]), room["owner"], room["name"], *counts, f"{when:%Y-%m-%d %H:%M}")
    console = Console()
    if not console.is_terminal:
        console.width = 240
    console.print(table)
    console.print(f"{len(found['items'])} of {found['total']}")


@rooms.command("restore")
@click.argument("room_id", type=click.UUID)
def restore_room(room_id: UUID) -> None:
    """Bring a deleted room back with what went with it."""
    from application.rooms.commands import RestoreRoom
    from domain.identity import SYSTEM

    room = _application().rooms.restore(RestoreRoom(principal=SYSTEM, room_id=room_id))
    click.echo(f"Restored the room {room.name!r} of {room.owner}.")


@parley.group()
def conversations() -> None:
    """Conversations of all principals."""


@conversations.command("restore")
@click.argument("conversation_id", type=click.UUID)
def restore_conversation(conversation_id: UUID) -> None:
    """Bring back a conversation that was deleted by itself."""
    from application.conversations.commands import RestoreConversation
    from domain.identity import SYSTEM

    command = RestoreConversation(principal=SYSTEM, conversation_id=conversation_id)
    conversation = _application().conversations.restore(command)
    click.echo(f"Restored the conversation {conversation.title!r} of {conversation.owner}.")


@parley.group()
def replies() -> None:
    """Replies in the making."""


@replies.command("reap")
def reap_replies() -> None:
    """End or requeue the replies whose process is gone; a running server does this by itself."""
    reaped = _application().replies.reap()
    for reply_id, status in reaped:
        click.echo(f"{reply_id} {status}")
    click.echo(f"{len(reaped)} reaped.")


@parley.group()
def projections() -> None:
    """The read models in MongoDB, made from the database."""


@projections.command("rebuild")
@click.option("--from-scratch", is_flag=True, help="Do not go on where an interrupted rebuild left off.")
def rebuild_projections(from_scratch: bool) -> None:
    """Write every document anew while the service goes on; can be interrupted and run again."""
    tools = _read_model_tools()
    with _progress(tools, "rebuilding") as advance:
        tools.rebuild(advance, from_scratch=from_scratch)
    click.echo("The read models hold everything.")


@projections.command("verify")
@click.option("--show", default=20, show_default=True, type=click.IntRange(0), help="How many differences to list.")
def verify_projections(show: int) -> None:
    """Compare every document with the database; exits with 1 if any differs."""
    tools = _read_model_tools()
    with _progress(tools, "comparing") as advance:
        differences = tools.verify(advance)
    tools.models.check()
    for (model, thing), difference in list(differences.items())[:show]:
        click.echo(f"{model} {thing}: {difference}")
    if differences:
        click.echo(f"{len(differences)} documents differ. Run: parley projections rebuild --from-scratch", err=True)
        sys.exit(_REFUSED)
    click.echo("No difference.")


@parley.group()
def cache() -> None:
    """What is cached in Redis for all processes."""


@cache.command("stats")
def cache_stats() -> None:
    """Say what is cached, by region, and how often it was found."""
    from rich.console import Console
    from rich.table import Table

    caches = _caches()
    caches.check()
    report = caches.report()
    table = Table("region", "entries", "hits", "misses", "found", "kept for", box=None)
    for name, region in report["regions"].items():
        found = f"{region['hit_rate']:.1%}" if region["hit_rate"] is not None else "-"
        kept = f"{region['lifetime']:g} s" if region["lifetime"] else "off"
        table.add_row(name, str(region["entries"]), str(region["hits"]), str(region["misses"]), found, kept)
    Console().print(table)
    click.echo(f"{report['bytes']} bytes in {report['backend']}.")


@cache.command("clear")
@click.option("--region", help="Only this one, such as answers.")
@click.option("--pattern", help="Only what has such a key: * is any text, ? any one character.")
def clear_cache(region: str | None, pattern: str | None) -> None:
    """Forget what is cached: everything, a region, or what fits a pattern."""
    from application.caching import Region

    regions = [each.value for each in Region]
    if region is not None and region not in regions:
        raise click.BadParameter(f"must be one of {', '.join(regions)}", param_hint="--region")
    cleared = _caches().clear(Region(region) if region is not None else None, pattern)
    click.echo(f"{cleared} cleared.")


def _caches() -> Caches:
    from entrypoints.settings import SettingError

    container = _container(checked=False)
    if container.redis() is None:
        raise SettingError(
            "PARLEY_REDIS_URL: is not set, so the cache is in the server's own memory, where no command reaches it. "
            "An admin can ask the server: GET /api/v1/cache/stats/, POST /api/v1/cache/clear/."
        )
    return container.caches()


def _read_model_tools() -> ReadModelTools:
    from entrypoints.settings import SettingError

    tools = _application().read_models
    if tools is None:
        raise SettingError("PARLEY_MONGO_URL: is not set, so there are no read models.")
    return tools


@contextmanager
def _progress(tools: ReadModelTools, what: str) -> Iterator[Advance]:
    """A bar a read model on a terminal, nothing elsewhere."""
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from application.ports.projections import Model

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not sys.stderr.isatty()) as progress:
        bars = {model: progress.add_task(f"{what} {model}", total=tools.snapshots.count(model)) for model in Model}
        yield lambda model, done: progress.advance(bars[model], done)
