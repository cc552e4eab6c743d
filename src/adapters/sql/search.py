"""Full-text search in the write tables, in each engine's own words."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import Select, column, func, literal_column, select, table
from sqlalchemy.sql.elements import ColumnElement

from adapters.sql.activity import present
from adapters.sql.tables import conversations, messages
from adapters.words import words_of

_fts = table("messages_fts", column("rowid"))


def statement_for(dialect: str, owner: str, query: str) -> Select[Any] | None:
    """The owner's messages that hold every word of `query`, the last of which may be a beginning.

    Columns are the message's, and `found_in`, `title` and `room_id` of its conversation. None when there
    is no word in the query.
    """
    words = words_of(query)
    if not words:
        return None
    found = select(
        messages, conversations.c.id.label("found_in"), conversations.c.title, conversations.c.room_id
    ).join_from(messages, conversations)
    if dialect == "sqlite":
        found = found.join(_fts, messages.c.number == _fts.c.rowid).where(_in_sqlite(owner, words))
    else:
        found = found.where(_in_postgres(owner, words))
    return found.where(messages.c.owner == owner, present, messages.c.superseded_by.is_(None))


def _in_sqlite(owner: str, words: list[str]) -> ColumnElement[bool]:
    """An FTS5 query (https://www.sqlite.org/fts5.html, section 3) in which the owner is one more word."""
    begins = "*" if len(words[-1]) > 1 else ""
    every = " ".join(f'"{word}"' for word in words)
    match = f"owner:{owner.encode().hex().upper()} AND content:({every}{begins})"
    return literal_column("messages_fts").op("MATCH", is_comparison=True)(match)


def _in_postgres(owner: str, words: list[str]) -> ColumnElement[bool]:
    """What the index of migration 0002 answers, in which the owner is one more word."""
    query: ColumnElement[Any] = func.to_tsquery("simple", f"owner{hashlib.md5(owner.encode()).hexdigest()}")  # noqa: S324
    for word in words:
        begins = ":*" if word is words[-1] and len(word) > 1 else ""
        inflected = func.to_tsquery(literal_column("'parley'::regconfig"), word)
        literally = func.to_tsquery(literal_column("'simple'::regconfig"), f"{word}{begins}")
        query = query.op("&&")(inflected.op("||")(literally))
    return func.parley_words(messages.c.owner, messages.c.content).op("@@", is_comparison=True)(query)
