"""Installations as exports see them: something to write them from, and to take them in to."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from operator import methodcaller
from pathlib import Path
from typing import Any
from uuid import UUID

from adapters.in_process.runtime import new_id
from adapters.pdf.printer import SubprocessPdfPrinter
from adapters.sql.engine import Database, open_database
from adapters.sql.exporting import SqlExportReader
from adapters.sql.retention import SqlPurges
from adapters.sql.schema import Schema
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.exporting.exporting import Branches, Export, Exported, ExportHandler, Format
from application.exporting.importing import Import, Imported, ImportHandler
from application.ports.exporting import Extent
from application.ports.persistence import StartWork
from application.retention.marks import Marks
from domain.agents import BUILT_IN
from domain.identity import SYSTEM, Principal
from domain.limits import Limits
from tests.builders import NOW
from tests.tree import Tree

MARKS = Marks(["what an installation knows the erased by"])

Records = list[dict[str, Any]]


@dataclass
class Exports:
    """The exports of one database."""

    database: Database
    limits: Limits = field(default_factory=Limits)
    turns: int = 0
    """How often others had their turn."""

    @property
    def start_work(self) -> StartWork:
        return lambda: SqlUnitOfWork(self.database)

    def chunks(self, extent: Extent, format: Format = Format.JSON, **query: Any) -> Iterator[bytes]:
        asker = query.pop("principal", SYSTEM)
        return self._write(Export(principal=asker, extent=extent, format=format, **query)).chunks

    def file(self, format: Format = Format.JSON, branches: Branches | None = None, **extent: Any) -> bytes:
        return b"".join(self.chunks(Extent(**extent), format, branches=branches))

    def records(self, **extent: Any) -> Records:
        """All but the first, which tells when it was written."""
        return [json.loads(line) for line in self.file(**extent).splitlines()[1:]]

    def name(self, format: Format = Format.JSON, **extent: Any) -> str:
        file = self._write(Export(principal=SYSTEM, extent=Extent(**extent), format=format))
        list(file.chunks)
        return file.name

    def take_in(
        self, file: bytes, *, owner: Principal | None = None, as_new: bool = False, dry_run: bool = False, **more: Any
    ) -> Imported:
        purges = SqlPurges(self.database)
        take_in = ImportHandler(self.start_work, new_id, lambda: NOW, BUILT_IN, self.limits, purges, MARKS)
        return take_in(Import(open_file=lambda: io.BytesIO(file), owner=owner, as_new=as_new, dry_run=dry_run, **more))

    def keep(self, tree: Tree) -> UUID:
        """Write what was said in memory; the conversation's id."""
        with self.start_work() as work:
            work.conversations.add(tree.conversation)
            for message in tree.messages.values():
                work.messages.add(message)
            for reply in tree.replies:
                work.replies.add(reply)
            work.commit()
        return tree.conversation.id

    def _write(self, export: Export) -> Exported:
        def give_way() -> None:
            self.turns += 1

        printer = SubprocessPdfPrinter([], 1000)
        return ExportHandler(SqlExportReader(self.database), printer, give_way, lambda: NOW)(export)


@contextmanager
def an_installation(folder: Path, name: str = "parley.db", **limits: int) -> Iterator[Exports]:
    """On SQLite, migrated and empty."""
    database = open_database(f"sqlite:///{folder / name}")
    Schema(database).upgrade()
    yield Exports(database, replace(Limits(), **limits))
    database.dispose()


def changed(file: bytes, line: int, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The file with one record changed, the first being 1."""
    lines = file.splitlines()
    record = json.loads(lines[line - 1])
    change(record)
    lines[line - 1] = json.dumps(record).encode()
    return b"\n".join(lines) + b"\n"


def without(file: bytes, line: int, *names: str) -> bytes:
    """The file with a record that lacks some members."""
    for name in names:
        file = changed(file, line, methodcaller("pop", name))
    return file


def of_type(records: Sequence[dict[str, Any]], kind: str) -> Records:
    return [record for record in records if record.get("type") == kind]
