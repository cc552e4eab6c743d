"""The passages of documents, as they are written."""

from __future__ import annotations

import time
from array import array
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import and_, bindparam, delete, insert, select, text

from adapters.sql.knowledge_tables import passage_vectors, passages
from adapters.sql.repositories import Kept
from adapters.words import terms_of
from application.ports.parsing import WITHIN, Piece
from domain.knowledge import Document

AS_HEADING = "^"
"""Stands before a term that a passage's heading holds: in the index, that is another term."""

AS_PROJECT = "@"
"""Stands before the id of a passage's project: one more term, by which an index knows the scope."""

_AT_ONCE = 50
"""Passages that are written at a time. In between others have their turn, who share this process's one thread."""

_TURN = 0.001
"""Seconds: gevent looks for what has arrived when it waits, and after a sleep of 0 it need not."""

_MOST_TERMS = 10_000
"""Different terms of a passage: PostgreSQL's tsvector ends at 1 MB."""


class SqlPassages:
    """See application.ports.knowledge.Passages. On SQLite, a trigger takes deleted passages out of the index."""

    def __init__(self, kept: Kept) -> None:
        self._connection = kept.connection
        self._is_sqlite = kept.connection.dialect.name == "sqlite"

    def replace(self, document: Document, pieces: Sequence[Piece]) -> None:
        kept = self._vectors(document.id, {(piece.heading, piece.text) for piece in pieces})
        while self._connection.execute(_DELETE_SOME, {"document": document.id}).rowcount:
            time.sleep(_TURN)
        for first in range(0, len(pieces), _AT_ONCE):
            self._add(document, pieces[first : first + _AT_ONCE], first)
            time.sleep(_TURN)
        if kept:
            stored = ((number, kept.get((heading, content))) for number, heading, content in self._stored(document.id))
            self._give([(number, *vector) for number, vector in stored if vector is not None])

    def rename(self, document: Document) -> None:
        stored = self._stored(document.id)
        for first in range(0, len(stored), _AT_ONCE):
            index = []
            for number, heading, content in stored[first : first + _AT_ONCE]:
                terms = _terms(document, heading, content)
                index.append({"number": number, "terms": " ".join(terms) if self._is_sqlite else terms})
            self._connection.execute(_REINDEX_IN_SQLITE if self._is_sqlite else _REINDEX_IN_POSTGRES, index)
            time.sleep(_TURN)

    def texts(self, document_id: UUID) -> Sequence[str]:
        return [f"{heading}\n\n{content}" if heading else content for _, heading, content in self._stored(document_id)]

    def dimensions(self, document_id: UUID, space: str) -> Sequence[int | None]:
        return self._connection.execute(_DIMENSIONS, {"document": document_id, "space": space}).scalars().all()

    def embed(self, document_id: UUID, space: str, vectors: Sequence[Sequence[float] | None]) -> None:
        embedded = zip((number for number, _, _ in self._stored(document_id)), vectors, strict=True)
        self._give([(number, space, vector) for number, vector in embedded if vector is not None])

    def forget_vectors(self, document_id: UUID) -> None:
        numbers = [number for number, _, _ in self._stored(document_id)]
        for first in range(0, len(numbers), _AT_ONCE):
            those = passage_vectors.c.number.in_(numbers[first : first + _AT_ONCE])
            self._connection.execute(delete(passage_vectors).where(those))
            time.sleep(_TURN)

    def _give(self, embedded: Sequence[tuple[int, str, Sequence[float]]]) -> None:
        """Passages by their numbers, each with the space of its vector and that."""
        for first in range(0, len(embedded), _AT_ONCE):
            rows = [
                {
                    "number": number,
                    "space": space,
                    "dimension": len(vector),
                    # As text: the driver would look at each number of an array by itself.
                    "vector": vector if self._is_sqlite else f"{{{','.join(map(repr, vector))}}}",
                }
                for number, space, vector in embedded[first : first + _AT_ONCE]
            ]
            numbers = [row["number"] for row in rows]
            self._connection.execute(delete(passage_vectors).where(passage_vectors.c.number.in_(numbers)))
            self._connection.execute(insert(passage_vectors) if self._is_sqlite else _EMBED_IN_POSTGRES, rows)
            time.sleep(_TURN)

    def _add(self, document: Document, pieces: Sequence[Piece], first: int) -> None:
        rows = [
            {
                "document_id": document.id,
                "project_id": document.project_id,
                "place": place,
                "heading": piece.heading,
                "text": piece.text,
                "page": piece.page,
            }
            for place, piece in enumerate(pieces, first)
        ]
        terms = [_terms(document, piece.heading, piece.text) for piece in pieces]
        if self._is_sqlite:
            numbers = self._connection.execute(_INSERT, rows).scalars().all()
            index = [{"number": number, "terms": " ".join(those)} for number, those in zip(numbers, terms, strict=True)]
            self._connection.execute(_INDEX_IN_SQLITE, index)
        else:
            with_terms = [row | {"terms": those} for row, those in zip(rows, terms, strict=True)]
            self._connection.execute(_INSERT_IN_POSTGRES, with_terms)

    def _vectors(
        self, document_id: UUID, wanted: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], tuple[str, Sequence[float]]]:
        """By heading and text, the vectors of those passages that are wanted, each with its space."""
        stored = [(number, (heading, content)) for number, heading, content in self._stored(document_id)]
        places = {number: place for number, place in stored if place in wanted}
        numbers, found = list(places), {}
        for first in range(0, len(numbers), _AT_ONCE):
            rows = self._connection.execute(_VECTORS, {"numbers": numbers[first : first + _AT_ONCE]})
            for number, space, vector in rows:
                found[places[number]] = space, array("f", vector)  # Four bytes a number: there may be many.
            time.sleep(_TURN)
        return found

    def _stored(self, document_id: UUID) -> Sequence[Any]:
        return self._connection.execute(_STORED, {"document": document_id}).all()


def _terms(document: Document, heading: str, content: str) -> list[str]:
    """The different terms that a passage is found by: its own, its headings', and those of its document."""
    innermost = heading.rpartition(WITHIN)[2] or document.title
    whole = f"{document.title}\n{document.name}\n{heading}\n{content}"
    headed = [AS_HEADING + term for term in terms_of(innermost)]
    return list(dict.fromkeys([AS_PROJECT + document.project_id.hex, *headed, *terms_of(whole)]))[:_MOST_TERMS]


_STORED = (
    select(passages.c.number, passages.c.heading, passages.c.text)
    .where(passages.c.document_id == bindparam("document"))
    .order_by(passages.c.place)
)
_VECTORS = select(passage_vectors.c.number, passage_vectors.c.space, passage_vectors.c.vector).where(
    passage_vectors.c.number.in_(bindparam("numbers", expanding=True))
)
_DIMENSIONS = (
    select(passage_vectors.c.dimension)
    .select_from(passages)
    .outerjoin(
        passage_vectors,
        and_(passage_vectors.c.number == passages.c.number, passage_vectors.c.space == bindparam("space")),
    )
    .where(passages.c.document_id == bindparam("document"))
    .order_by(passages.c.place)
)
_DELETE_SOME = delete(passages).where(
    passages.c.number.in_(
        select(passages.c.number).where(passages.c.document_id == bindparam("document")).limit(_AT_ONCE)
    )
)
_INSERT = insert(passages).returning(passages.c.number, sort_by_parameter_order=True)
_INSERT_IN_POSTGRES = text("""
    INSERT INTO passages (document_id, project_id, place, heading, text, page, terms)
    VALUES (:document_id, :project_id, :place, :heading, :text, :page, array_to_tsvector(CAST(:terms AS text[])))
""")
_INDEX_IN_SQLITE = text("INSERT INTO passages_fts (rowid, terms) VALUES (:number, :terms)")
_REINDEX_IN_SQLITE = text("UPDATE passages_fts SET terms = :terms WHERE rowid = :number")
_REINDEX_IN_POSTGRES = text(
    "UPDATE passages SET terms = array_to_tsvector(CAST(:terms AS text[])) WHERE number = :number"
)
_EMBED_IN_POSTGRES = text("""
    INSERT INTO passage_vectors (number, space, dimension, vector)
    VALUES (:number, :space, :dimension, CAST(:vector AS real[]))
""")
