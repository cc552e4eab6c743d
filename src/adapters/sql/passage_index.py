"""The passages of documents, as they are found: by their terms and by their vectors."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence

import orjson
from sqlalchemy import TextClause, TextualSelect, Uuid, bindparam, func, select, text
from sqlalchemy.exc import ProgrammingError

from adapters.sql import vectors
from adapters.sql.engine import Database
from adapters.sql.knowledge_tables import as_blob, passage_vectors, passages
from adapters.sql.passages import AS_HEADING, AS_PROJECT
from application.ports.knowledge import Found, Scope

_FEW_PROJECTS = 16
"""Up to so many projects are looked up in the index itself; of more, the passages are picked afterwards."""

_LOOK_AGAIN = 60.0
"""Seconds until the database is asked again whether it has learnt to compare vectors."""

_UNKNOWN = {"42704", "42883"}
"""PostgreSQL's undefined_object and undefined_function."""


class SqlPassageIndex:
    """See application.ports.knowledge.PassageIndex. Vectors are compared one by one: what is found is exact."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_sqlite = database.engine.dialect.name == "sqlite"
        self._comparer: str | None = None
        self._looked_at = -_LOOK_AGAIN

    def matching(
        self, weights: Mapping[str, float], in_heading: Mapping[str, float], scope: Scope, *, limit: int
    ) -> Sequence[Found]:
        weighed = {**weights, **{AS_HEADING + term: weight for term, weight in in_heading.items()}}
        if not weighed or not scope.projects:
            return ()
        asked = {"asked": self._asked(weighed, scope), "projects": list(scope.projects), "limit": limit}
        with self._database.glancing() as connection:
            rows = connection.execute(_MATCHING_IN_SQLITE if self._is_sqlite else _MATCHING_IN_POSTGRES, asked)
            return [Found(**row) for row in rows.mappings()]

    def frequencies(self, terms: Collection[str], scope: Scope) -> tuple[Mapping[str, int], int]:
        if not scope.projects:
            return {}, 0
        asked = {"asked": self._asked(dict.fromkeys(terms, 0.0), scope), "projects": list(scope.projects)}
        with self._database.glancing() as connection:
            total: int = connection.execute(_TOTAL, {"projects": asked["projects"]}).scalar_one()
            if not terms or not total:
                return {}, total
            rows = connection.execute(_FREQUENCIES_IN_SQLITE if self._is_sqlite else _FREQUENCIES_IN_POSTGRES, asked)
            return {row.term: row.frequency for row in rows}, total

    @property
    def compares_vectors(self) -> bool:
        return self._compares_with() is not None

    def nearest(self, vector: Sequence[float], space: str, scope: Scope, *, limit: int) -> Sequence[Found]:
        if not scope.projects or self._compares_with() is None:
            return ()
        asked = {
            "vector": as_blob(vector) if self._is_sqlite else str(list(vector)),
            "dimension": len(vector),
            "space": space,
            "projects": list(scope.projects),
            "limit": limit,
        }
        try:
            with self._database.glancing() as connection:
                rows = connection.execute(_NEAREST_IN_SQLITE if self._is_sqlite else _NEAREST_IN_POSTGRES, asked)
                return [Found(**row) for row in rows.mappings()]
        except ProgrammingError as fault:
            if getattr(fault.orig, "sqlstate", None) not in _UNKNOWN:
                raise
            self._comparer = None  # Somebody has dropped the extension.
            return ()

    def ping(self) -> str:
        with self._database.glancing() as connection:
            count = connection.execute(select(func.count()).select_from(passages)).scalar_one()
            embedded = connection.execute(select(func.count()).select_from(passage_vectors)).scalar_one()
        comparer = self._compares_with()
        if comparer is None:
            return f"{count} passages, full text (this {self._database.engine.dialect.name} compares no vectors)"
        return f"{count} passages, full text; {embedded} with vectors, {comparer}"

    def _compares_with(self) -> str | None:
        """What compares vectors; where nothing does, that is asked again after a while."""
        if self._comparer is None and time.monotonic() >= self._looked_at + _LOOK_AGAIN:
            self._looked_at = time.monotonic()
            self._comparer = vectors.version(self._database)
        return self._comparer

    def _asked(self, weights: Mapping[str, float], scope: Scope) -> str:
        """The terms as rows of JSON, each with the engine's own query for it."""
        either, both, quoted = (" OR ", " AND ", _in_sqlite) if self._is_sqlite else (" | ", " & ", _in_postgres)
        those = ""
        if len(scope.projects) <= _FEW_PROJECTS:
            those = f"({either.join(quoted(AS_PROJECT + project.hex) for project in scope.projects)}){both}"
        rows = [{"term": term, "weight": weight, "query": those + quoted(term)} for term, weight in weights.items()]
        return orjson.dumps(rows).decode()


# Terms hold no quotes. If one ever does, it is to be a sign like others.
def _in_sqlite(term: str) -> str:
    return '"{}"'.format(term.replace('"', '""'))


def _in_postgres(term: str) -> str:
    return "'{}'".format(term.replace("\\", "\\\\").replace("'", "''"))


def _within_scope(statement: str) -> TextClause:
    return text(statement).bindparams(bindparam("projects", expanding=True, type_=Uuid()))


def _finding(found: str) -> TextualSelect:
    """The passages that `found` numbers, in the order of its `nth`."""
    return _within_scope(f"""
        WITH found AS ({found})
        SELECT p.number, p.document_id, p.project_id, d.name AS document, d.title, p.heading, p.text, p.page,
            found.similarity
        FROM found JOIN passages p ON p.number = found.number JOIN documents d ON d.id = p.document_id
        ORDER BY found.nth, p.number
    """).columns(document_id=Uuid(), project_id=Uuid())  # noqa: S608 # our own words


# What was asked for, and the passages that hold it.
_HELD_IN_SQLITE = """
    SELECT asked.term, asked.weight, p.number, p.document_id, p.project_id
    FROM (
        SELECT json_extract(value, '$.term') AS term, json_extract(value, '$.weight') AS weight,
            json_extract(value, '$.query') AS query
        FROM json_each(:asked)
    ) AS asked
    CROSS JOIN passages_fts ON passages_fts MATCH asked.query
    CROSS JOIN passages p ON p.number = passages_fts.rowid
"""
# OFFSET has the terms looked up before all else, also in tables that PostgreSQL knows no statistics of yet.
_HELD_IN_POSTGRES = """
    SELECT asked.term, asked.weight, p.number, p.document_id, p.project_id
    FROM jsonb_to_recordset(CAST(:asked AS jsonb)) AS asked (term text, weight float8, query text)
    JOIN passages p ON p.terms @@ CAST(asked.query AS tsquery)
    OFFSET 0
"""

_TOTAL = _within_scope(
    "SELECT coalesce(sum(passage_count), 0) FROM documents WHERE project_id IN :projects AND deletion_id IS NULL"
)


def _frequencies(held: str) -> TextClause:
    return _within_scope(f"""
        SELECT held.term, count(*) AS frequency FROM ({held}) AS held JOIN documents d ON d.id = held.document_id
        WHERE held.project_id IN :projects AND d.deletion_id IS NULL GROUP BY held.term
    """)  # noqa: S608 # our own words


def _matching(held: str) -> TextualSelect:
    return _finding(f"""
        SELECT held.number, -round(CAST(sum(held.weight) AS numeric), 6) AS nth, NULL AS similarity
        FROM ({held}) AS held JOIN documents d ON d.id = held.document_id
        WHERE held.project_id IN :projects AND d.deletion_id IS NULL
        GROUP BY held.number ORDER BY nth, held.number LIMIT :limit
    """)  # noqa: S608 # our own words


def _nearest(distance: str) -> TextualSelect:
    return _finding(f"""
        SELECT near.number, near.distance AS nth, 1 - near.distance AS similarity FROM (
            SELECT p.number, {distance} AS distance
            FROM passages p
            JOIN documents d ON d.id = p.document_id
            JOIN passage_vectors v ON v.number = p.number
            WHERE v.space = :space AND v.dimension = :dimension
                AND p.project_id IN :projects AND d.deletion_id IS NULL
            ORDER BY distance, p.number LIMIT :limit
        ) AS near
    """)  # noqa: S608 # our own words


_FREQUENCIES_IN_SQLITE, _FREQUENCIES_IN_POSTGRES = _frequencies(_HELD_IN_SQLITE), _frequencies(_HELD_IN_POSTGRES)
_MATCHING_IN_SQLITE, _MATCHING_IN_POSTGRES = _matching(_HELD_IN_SQLITE), _matching(_HELD_IN_POSTGRES)
_NEAREST_IN_SQLITE = _nearest("vec_distance_cosine(v.vector, :vector)")
_NEAREST_IN_POSTGRES = _nearest("CAST(v.vector AS vector) <=> CAST(:vector AS vector)")
