"""What all that is counted shares: whose it is, and on which day in UTC it came about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Label, Select, Table, and_, distinct, func, select, true
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from adapters.sql.activity import present
from adapters.sql.tables import conversations, messages
from application.ports.statistics import Day, Distinct, Scope

NUMBER = func.count().label("number")


class utc_day(GenericFunction[str]):  # noqa: N801 # a function of SQL
    """The day of a time, as `2026-11-21`."""

    inherit_cache = True


@compiles(utc_day)
def _(element: utc_day, compiler: SQLCompiler, **options: Any) -> str:
    return f"substr({compiler.process(element.clauses, **options)}, 1, 10)"


@compiles(utc_day, "postgresql")
def _(element: utc_day, compiler: SQLCompiler, **options: Any) -> str:
    return f"to_char({compiler.process(element.clauses, **options)} AT TIME ZONE 'UTC', 'YYYY-MM-DD')"


def day(table: Table, column: str = "created_at") -> Label[Day]:
    """The column `day`: when something came about, or what another column says."""
    return utc_day(table.c[column]).label("day")


def owned(scope: Scope, table: Table) -> ColumnElement[bool]:
    """Whether it is in the scope, whenever it came about."""
    return table.c.owner == scope.owner if scope.owner is not None else true()


def within(scope: Scope, table: Table, column: str = "created_at") -> ColumnElement[bool]:
    """Whether it is in the scope, and came about in its days."""
    return and_(table.c[column] >= scope.start, table.c[column] < scope.end, owned(scope, table))


def shown_messages(scope: Scope, *columns: ColumnElement[Any]) -> Select[Any]:
    """Of the messages that stand in histories."""
    return (
        select(*columns)
        .join_from(messages, conversations)
        .where(messages.c.superseded_by.is_(None), present, within(scope, messages))
    )


def distinct_in(connection: Connection, scope: Scope, what: ColumnElement[Any], where: ColumnElement[bool]) -> Distinct:
    """How many different things there are in such messages."""
    number = func.count(distinct(what)).label("number")
    return Distinct(
        by_day=by_day(connection, shown_messages(scope, day(messages), number).where(where)),
        in_all=connection.execute(shown_messages(scope, number).where(where)).scalar_one(),
    )


def by_day(connection: Connection, wanted: Select[*tuple[Any, ...]]) -> Mapping[Day, int]:
    """The `number` to each `day` of a statement that is not grouped yet."""
    return {row.day: row.number for row in connection.execute(wanted.group_by("day"))}
