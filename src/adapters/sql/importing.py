"""What imports write beside entities: histories, row by row."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from uuid import UUID

from sqlalchemy import Table, insert, select, union

from adapters.sql import tables
from adapters.sql.exporting import TABLES
from adapters.sql.repositories import Kept
from adapters.sql.tables import deletions
from application.ports.exporting import Kind
from domain.identity import PrincipalKind
from domain.messages import Message
from domain.replies import Reply

_MESSAGE = [field.name for field in fields(Message)]
_REPLY = [field.name for field in fields(Reply)]


class SqlImports:
    """See application.ports.exporting.Imports."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def owners(self, kind: Kind, ids: Collection[UUID]) -> Mapping[UUID, str]:
        table = TABLES[kind]
        if kind is Kind.VISITOR:
            found = self._kept.connection.execute(select(table.c.id).where(table.c.id.in_(ids)))
            return {row.id: f"{PrincipalKind.VISITOR}:{row.id}" for row in found}
        found = self._kept.connection.execute(select(table.c.id, table.c.owner).where(table.c.id.in_(ids)))
        return {row.id: row.owner for row in found}

    def is_present(self, kind: Kind, thing: UUID) -> bool:
        table = TABLES[kind]
        wanted = select(table.c.id).where(table.c.id == thing, table.c.deletion_id.is_(None))
        return self._kept.connection.execute(wanted).first() is not None

    def deletion_subject(self, deletion_id: UUID) -> UUID | None:
        wanted = select(deletions.c.subject_id).where(deletions.c.id == deletion_id)
        found: UUID | None = self._kept.connection.execute(wanted).scalar_one_or_none()
        return found

    def taken_messages(self, ids: Collection[UUID]) -> Collection[UUID]:
        wanted = union(*(select(table.c.id).where(table.c.id.in_(ids)) for table in (tables.messages, tables.replies)))
        return set(self._kept.connection.execute(wanted).scalars())

    def add_messages(self, messages: Sequence[Message], replies: Sequence[Reply]) -> None:
        self._insert(tables.messages, _MESSAGE, messages)
        self._insert(tables.replies, _REPLY, replies)

    def _insert(self, table: Table, names: Sequence[str], those: Sequence[Message] | Sequence[Reply]) -> None:
        if those:
            rows = [{name: getattr(each, name) for name in names} for each in those]
            self._kept.connection.execute(insert(table), rows)
