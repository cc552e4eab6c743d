"""What commands ask of whoever runs them: arguments and options that many share, and whether to go on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from application.ports.queries import Page
    from domain.identity import Principal

F = TypeVar("F", bound=Callable[..., Any])

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask; needed where there is no terminal to ask on.")
deleted_option = click.option("--deleted", is_flag=True, help="The deleted ones instead.")


class Text(click.ParamType[Any]):
    """A text of 1 to `longest` characters; bytes that are no text are refused."""

    name = "text"

    def __init__(self, longest: int = 1000) -> None:
        self.longest = longest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it is."""
        text = str(value)
        if not 1 <= len(text) <= self.longest:
            self.fail(f"must be 1 to {self.longest} characters long.", param, ctx)
        try:
            text.encode()
        except UnicodeEncodeError:  # Python stands surrogates for bytes that are no UTF-8.
            self.fail(f"{text.encode(errors='surrogateescape')!r} is not UTF-8.", param, ctx)
        return text


class PrincipalType(Text):
    """Somebody: `user:alice`, `visitor:<id>`, or `system` for Parley itself; a Principal without roles."""

    name = "principal"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Who that is."""
        from domain.identity import SYSTEM, Principal, PrincipalKind

        if isinstance(value, Principal):
            return value
        kind, _, name = super().convert(value, param, ctx).partition(":")
        if (kind, name) == ("system", ""):
            return Principal(SYSTEM.kind, SYSTEM.id)
        if kind not in list(PrincipalKind) or not 1 <= len(name) <= 200:
            self.fail(f'{value!r} is nobody: it must be user:<id>, visitor:<id> or "system".', param, ctx)
        return Principal(PrincipalKind(kind), name)


PRINCIPAL = PrincipalType()


def owner_option(default: str | None = None) -> Callable[[F], F]:
    """`--owner`, a Principal; without a default, everybody's are meant if it is not given (None)."""
    of_all = "" if default else "Only theirs: "
    told = f'{of_all}user:<id>, visitor:<id>, or "system" for Parley itself.'
    return click.option("--owner", type=PRINCIPAL, default=default, show_default=default is not None, help=told)


def key_of(owner: Principal | None) -> str | None:
    """Under what the things of an owner are kept; None for everybody's."""
    return owner.key if owner is not None else None


def page_options(*keys: str, limit: int = 50) -> Callable[[F], F]:
    """`--limit`, `--offset`, and with `keys` (the first is the default) `--sort` and `--ascending`.

    The command is given them as `limit`, `offset`, `sort_by` and `ascending`: see `page_of`.
    """

    def decorate(command: F) -> F:
        if keys:
            ascending = click.option("--ascending", is_flag=True, help="The least or oldest first.")
            sort = click.option(
                "--sort", "sort_by", type=click.Choice(keys), default=keys[0], show_default=True, help="What by."
            )
            command = sort(ascending(command))
        offset = click.option(
            "--offset", default=0, show_default=True, type=click.IntRange(0, 2**31), help="Pass over so many."
        )
        most = click.option(
            "--limit", default=limit, show_default=True, type=click.IntRange(1, 1000), help="At most so many."
        )
        return most(offset(command))

    return decorate


def page_of(limit: int, offset: int, sort_by: str = "created_at", ascending: bool = False) -> Page:
    """The part of a list that the options of `page_options` mean."""
    from application.ports.queries import Page

    return Page(limit=limit, offset=offset, sort_by=sort_by, descending=not ascending)


def confirm(question: str, *, yes: bool, typed: str | None = None) -> None:
    """Go on only if that is wanted: on a terminal it is asked, elsewhere `--yes` must have been given.

    With `typed`, what has to be typed is that and not just "y": for what takes much and cannot be undone.
    Raises UsageError (exit code 2) where nobody can be asked, ClickException (1) for a no, Abort for Ctrl-C.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(f"{question} There is no terminal to ask on: say --yes.")
    wanted = f'{question} Type "{typed}" to go on' if typed else f"{question} Go on? [y/N]"
    try:
        answer = click.prompt(wanted, default="", show_default=False, err=True, prompt_suffix=": ").strip()
    except click.Abort as end:
        if isinstance(end.__cause__ or end.__context__, EOFError):
            answer = ""  # Ctrl-D is a no.
        else:
            raise
    if answer != typed if typed else answer.lower() not in ("y", "yes"):
        raise click.ClickException("Nothing was done.")
