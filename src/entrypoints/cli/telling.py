"""What commands about everybody's things share: whose, and how they are listed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from domain.identity import Principal

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def owner_option(default: str | None = None) -> Callable[[Any], Any]:
    """`--owner`; without a default, of all owners."""
    of_all = "" if default else "Only this owner's. "
    told = f'{of_all}"system" is Parley itself, a user is user:<id>.'
    return click.option("--owner", default=default, show_default=default is not None, help=told)


def principal_of(owner: str) -> Principal:
    """Who an owner is, with an operator's rights."""
    from domain.identity import ADMIN, SYSTEM, Principal, PrincipalKind

    kind, _, name = owner.partition(":")
    if owner in ("system", SYSTEM.key):
        return SYSTEM
    if kind != PrincipalKind.USER or not 1 <= len(name) <= 200:
        raise click.BadParameter('must be "system" or user:<id>', param_hint="--owner")
    return Principal(PrincipalKind.USER, name, frozenset({ADMIN}))


def print_json(value: Any) -> None:
    """For programs."""
    import orjson

    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], total: int) -> None:
    """For people."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False)  # What users called their things is no markup.
    if not console.is_terminal:
        console.width = 240
    console.print(table)
    console.print(f"{len(rows)} of {total}")
