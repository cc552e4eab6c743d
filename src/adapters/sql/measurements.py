"""What stands on an answer about how it was made, read out of its JSON in each engine's own words.

Whatever a model's server has said may stand there: what is not of the kind looked for counts as not said.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, String, Subquery, TableValuedAlias, func, literal_column, select
from sqlalchemy.sql.elements import ColumnElement

from adapters.sql.counting import utc_day
from adapters.sql.knowledge_tables import job_analyses
from adapters.sql.tables import messages
from application.ports.statistics import COST_UNIT, DEAREST, MOST


class Measurements:
    """Columns for a select from `answers(…)`."""

    def __init__(self, dialect: str) -> None:
        self._is_sqlite = dialect == "sqlite"

    def answers(self, those: ColumnElement[bool]) -> Subquery:
        """Messages with `day`, `status`, `agent`, how many `tool_calls`, and what is told of them."""
        told = "messages.metadata"
        length = "json_array_length(messages.tool_calls)"
        if not self._is_sqlite:
            # PostgreSQL cannot look into JSON with a NUL in it, and would fail for all because of one.
            told = rf"CASE WHEN strpos({told}::text, '\u0000') = 0 THEN {told} END::jsonb"
            length = f"CASE WHEN json_typeof(messages.tool_calls) = 'array' THEN {length} END"
        return (
            select(
                utc_day(messages.c.created_at).label("day"),
                messages.c.status,
                messages.c.agent,
                func.coalesce(literal_column(length, BigInteger()), 0).label("tool_calls"),
                literal_column(told).label("told"),
            )
            .where(those)
            .offset(0)  # Else the engine puts the expressions in here in each place that they are used at.
            .subquery("answers")
        )

    def number(self, *path: str) -> ColumnElement[int]:
        """A whole number from 0 to MOST; what is behind its point is cut off."""
        value = self._value(*path)
        number = f"CAST({value} AS INTEGER)" if self._is_sqlite else f"trunc(({value})::numeric)::bigint"
        return self._between(path, MOST, number)

    def cost(self, *path: str) -> ColumnElement[int]:
        """An amount in parts of COST_UNIT."""
        value = self._value(*path)
        if self._is_sqlite:
            return self._between(path, DEAREST, f"CAST({value} * {COST_UNIT}.0 + 0.5 AS INTEGER)")
        return self._between(path, DEAREST, f"floor(({value})::float8 * {COST_UNIT}.0::float8 + 0.5)::bigint")

    def text(self, *path: str) -> ColumnElement[str]:
        """A text."""
        kind = "text" if self._is_sqlite else "string"
        return literal_column(f"CASE WHEN {self._kind(*path)} = '{kind}' THEN {self._value(*path)} END", String())

    def flag(self, *path: str) -> ColumnElement[int]:
        """1 if there is true, or an object; else 0."""
        kind = self._kind(*path)
        if self._is_sqlite:
            told = f"{kind} IN ('true', 'object')"
        else:
            told = f"({kind} = 'object' OR {self._value(*path)} = 'true')"
        return literal_column(f"CASE WHEN {told} THEN 1 ELSE 0 END", BigInteger())

    @property
    def sources(self) -> TableValuedAlias:
        """The passages that an answer cites, to be joined laterally; see `source`."""
        each = func.json_each if self._is_sqlite else func.json_array_elements
        return each(messages.c.sources).table_valued("value", name="source")

    def source(self, name: str) -> ColumnElement[str]:
        """What is said of such a passage."""
        return self._member("source", name)

    @property
    def skills(self) -> TableValuedAlias:
        """The skills that an analysed job asks for, to be joined laterally; see `skill`."""
        if self._is_sqlite:
            each = func.json_each(job_analyses.c.result, "$.skills")
        else:
            each = func.json_array_elements(job_analyses.c.result.op("->")(literal_column("'skills'")))
        return each.table_valued("value", name="skill")

    def skill(self, name: str) -> ColumnElement[str]:
        """What is said of such a skill."""
        return self._member("skill", name)

    def _member(self, table: str, name: str) -> ColumnElement[str]:
        told = f"json_extract({table}.value, '$.{name}')" if self._is_sqlite else f"({table}.value ->> '{name}')"
        return literal_column(told, String())

    def _between(self, path: tuple[str, ...], most: int, number: str) -> ColumnElement[int]:
        """`number`, made of what is at `path`, if that is a number from 0 to `most`."""
        value = self._value(*path)
        kinds, value = ("'integer', 'real'", value) if self._is_sqlite else ("'number'", f"({value})::numeric")
        bounded = f"CASE WHEN {value} BETWEEN 0 AND {most} THEN {number} END"
        # One in the other: only so is a text never taken for a number.
        return literal_column(f"CASE WHEN {self._kind(*path)} IN ({kinds}) THEN {bounded} END", BigInteger())

    def _value(self, *path: str) -> str:
        if self._is_sqlite:
            return f"json_extract(answers.told, '$.{'.'.join(path)}')"
        return f"(answers.told #>> '{{{','.join(path)}}}')"

    def _kind(self, *path: str) -> str:
        if self._is_sqlite:
            return f"json_type(answers.told, '$.{'.'.join(path)}')"
        return f"jsonb_typeof(answers.told #> '{{{','.join(path)}}}')"
