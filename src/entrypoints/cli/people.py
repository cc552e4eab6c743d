"""`parley visitors`, `parley sessions` and `parley token`: who comes, their sittings, and what proves who they are."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from uuid import UUID

import click

from entrypoints.cli.asking import Text, as_json_option, key_of, owner_option, page_of, page_options
from entrypoints.cli.explaining import Group
from entrypoints.cli.opening import application, container
from entrypoints.cli.telling import plain, print_facts, print_json, print_page, say

if TYPE_CHECKING:
    from application.ports.runtime import Tokens
    from domain.identity import Principal


@click.group(cls=Group)
def visitors() -> None:
    """Visitors, whom nobody knows by name."""


@visitors.command("list", examples=["parley visitors list --limit 10", "parley visitors list --claimed --json"])
@click.option("--claimed/--unclaimed", default=None, help="Only those who have signed in since, or have not.")
@page_options()
@as_json_option
def list_visitors(claimed: bool | None, limit: int, offset: int, as_json: bool) -> None:
    """List visitors, the newest first."""
    found = application().read_all.visitors(claimed=claimed, page=page_of(limit, offset))
    columns = {
        "id": lambda visitor: visitor["id"],
        "came": lambda visitor: visitor["created_at"],
        "signed in as": lambda visitor: visitor["claimed_by"],
        "signed in": lambda visitor: visitor["claimed_at"],
    }
    print_page(found, columns, as_json=as_json)


@visitors.command("show", examples=["parley visitors show 01a1f8c7-9c32-7b55-b1d6-6eaf4c8d3071"])
@click.argument("visitor_id", type=click.UUID)
@as_json_option
def show_visitor(visitor_id: UUID, as_json: bool) -> None:
    """Say what is known about a visitor, and how much they have, the deleted included.

    What a visitor had who has signed in since is the user's: `parley rooms list --owner user:<id>`.
    """
    found = application().read_all.visitor(visitor_id)
    if as_json:
        print_json(found)
    else:
        print_facts(found)


@click.group(cls=Group)
def sessions() -> None:
    """Sittings of all principals."""


@sessions.command("list", examples=["parley sessions list --open", "parley sessions list --owner user:alice --json"])
@owner_option()
@click.option("--open/--over", "is_open", default=None, help="Only those that go on, or that are over.")
@page_options()
@as_json_option
def list_sessions(owner: Principal | None, is_open: bool | None, limit: int, offset: int, as_json: bool) -> None:
    """List sessions, the newest first."""
    found = application().read_all.sessions(owner=key_of(owner), is_open=is_open, page=page_of(limit, offset))
    columns = {
        "id": lambda session: session["id"],
        "owner": lambda session: session["owner"],
        "status": lambda session: session["status"],
        "begun": lambda session: session["created_at"],
        "active": lambda session: session["active_at"],
        "rating": lambda session: session["rating"],
    }
    print_page(found, columns, as_json=as_json)


@sessions.command("show", examples=["parley sessions show 01a1f8c7-ad43-7a66-82e7-7fb05d9e4182"])
@click.argument("session_id", type=click.UUID)
@as_json_option
def show_session(session_id: UUID, as_json: bool) -> None:
    """Say what is known about a session."""
    found = application().read_all.session(session_id)
    if as_json:
        print_json(found)
    else:
        print_facts(found)


@sessions.command("close", examples=["parley sessions close 01a1f8c7-ad43-7a66-82e7-7fb05d9e4182"])
@click.argument("session_id", type=click.UUID)
@as_json_option
def close_session(session_id: UUID, as_json: bool) -> None:
    """Close a session; closing it twice is closing it once.

    Its history stays, and its principal can open another one. The server may be running.
    """
    from application.sessions.commands import InSession
    from domain.identity import SYSTEM

    app = application()
    session = app.sessions.close(InSession(principal=SYSTEM, session_id=session_id))
    if as_json:
        print_json(app.read_all.session(session_id))
    else:
        say(f"The session of {session.owner} is closed ({session.close_reason}).")


@click.group(cls=Group)
def token() -> None:
    """Tokens, which prove who asks."""


@token.command(
    "issue", examples=["parley token issue --user alice --hours 8", "parley token issue --user me --role admin"]
)
@click.option("--user", required=True, type=Text(200), help="The user's id in your product.")
@click.option("--role", "roles", multiple=True, type=Text(200), help='A role, such as "admin"; may be repeated.')
@click.option(
    "--hours", default=24, show_default=True, type=click.IntRange(1, 24 * 3650), help="For how long it is good."
)
@as_json_option
def issue_token(user: str, roles: tuple[str, ...], hours: int, as_json: bool) -> None:
    """Print a token that speaks for a user.

    Whoever has it is that user until it expires: it cannot be called back, short of another secret.
    """
    from datetime import timedelta

    from domain.identity import Principal, PrincipalKind

    kind, _, name = user.partition(":")
    if kind == PrincipalKind.USER and name:
        raise click.BadParameter(f"a token is issued by the id alone: --user {plain(name)}", param_hint="--user")
    if kind == PrincipalKind.VISITOR and name:
        raise click.BadParameter("a visitor is no user: tokens are issued to users alone.", param_hint="--user")
    principal = Principal(PrincipalKind.USER, user, frozenset(roles))
    text, expires_at = _tokens().issue(principal, timedelta(hours=hours))
    if as_json:
        print_json({"token": text, "principal": principal.key, "roles": sorted(roles), "expires_at": expires_at})
    else:
        say(text)


@token.command(
    "show",
    examples=["parley token show < token.txt", "parley token issue --user alice | parley token show --json"],
    exits={1: "the token is not good: malformed, expired, or signed with another key"},
)
@as_json_option
def show_token(as_json: bool) -> None:
    """Say for whom a token speaks, in which roles, and until when.

    Reads it from standard input (on a terminal it is asked for, and not shown), so that it is in no history of
    commands and no list of processes.
    """
    if sys.stdin.isatty():
        given = click.prompt("Token", hide_input=True, err=True)
    else:
        given = sys.stdin.buffer.read(20_000).decode(errors="replace")
    found = _tokens().verify(given.strip())
    roles = sorted(found.principal.roles)
    facts = {"principal": found.principal.key, "roles": roles, "expires_at": found.expires_at}
    if as_json:
        print_json(facts)
    else:
        print_facts(facts | {"roles": ", ".join(roles) or "none"})


def _tokens() -> Tokens:
    from entrypoints.settings import SettingError

    installation = container(checked=False)
    settings = installation.settings()
    if not settings.secret_key:
        raise SettingError(
            f"PARLEY_SECRET_KEY: is not set, and there is no secret in {settings.data_dir} yet. Run: parley migrate"
        )
    return installation.tokens()
