"""The database's schema over time: where it stands, and how to bring it to where the code is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import inspect

import adapters.sql.knowledge_tables  # noqa: F401 # Its tables are in the metadata, too.
from adapters.sql import vectors
from adapters.sql.engine import Database, translated
from adapters.sql.tables import metadata
from domain.errors import Category, Invalid, ParleyError

_PROJECT = Path(__file__).resolve().parents[3]


class SchemaMismatch(ParleyError):
    """The database is older or newer than the code, or lacks a part; the message says what to do."""

    slug = "schema_mismatch"
    category = Category.UNAVAILABLE


class Schema:
    """The migrations in `migrations/`, applied to one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._config = Config(toml_file=_PROJECT / "pyproject.toml")
        self._config.set_main_option("script_location", str(_PROJECT / "migrations"))
        self._config.attributes["database"] = database
        self._scripts = ScriptDirectory.from_config(self._config)

    @property
    def head(self) -> str:
        """The revision that the code needs."""
        return self._scripts.get_current_head() or "none"

    def current(self) -> str | None:
        """The revision that the database has, None for an empty one."""
        with translated(), self._database.engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()

    def upgrade(self, revision: str = "head") -> None:
        """Bring the database forward; an interrupted migration leaves it as it was.

        Raises SchemaMismatch, or Invalid for a revision that there is not.
        """
        self._refuse_newer()
        if self.current() != (self.head if revision == "head" else revision):  # Else not even the lock is needed.
            with translated(), _revision_named(revision):
                command.upgrade(self._config, revision)
        vectors.offer(self._database)

    def downgrade(self, revision: str) -> None:
        """Take the database back to an older revision ("base" is empty, "-1" the one before)."""
        self._refuse_newer()
        with translated(), _revision_named(revision):
            command.downgrade(self._config, revision)

    def require_there(self) -> None:
        """Raise SchemaMismatch where there is no database at all; nothing is made by asking."""
        if not self._database.is_there:
            raise SchemaMismatch(f"There is no database {self._database.name} yet. Run: parley migrate")

    def require_current(self) -> None:
        """Raise SchemaMismatch unless the database is just what the code needs, and has all that its revision has."""
        self.require_there()
        self._refuse_newer()
        current = self.current()
        if current != self.head:
            raise SchemaMismatch(
                f"The database is at revision {current or 'none'}, this version of Parley needs {self.head}. "
                "Run: parley migrate"
            )
        if missing := self._missing():
            raise SchemaMismatch(
                f"The database is not as its revision says: it has no {', '.join(missing)}. Restore a backup."
            )

    def _missing(self) -> list[str]:
        """The tables and columns that the code needs and the database lacks."""
        needed = metadata.tables
        with translated(), self._database.engine.connect() as connection:
            columns = inspect(connection).get_multi_columns(filter_names=list(needed))
        present = {table: {column["name"] for column in found} for (_, table), found in columns.items()}
        return [
            *(f"table {name}" for name in sorted(needed.keys() - present.keys())),
            *(
                f"column {name}.{column.name}"
                for name in sorted(present)
                for column in needed[name].columns
                if column.name not in present[name]
            ),
        ]

    def _refuse_newer(self) -> None:
        current = self.current()
        if current is None:
            return
        try:
            self._scripts.get_revision(current)
        except CommandError:
            raise SchemaMismatch(
                f"The database is at revision {current}, which this version of Parley does not know: "
                "it was written by a newer one. Run that version, or restore a backup."
            ) from None


@contextmanager
def _revision_named(revision: str) -> Iterator[None]:
    try:
        yield
    except CommandError:
        raise Invalid({"revision": f"There is no revision {revision!r} to go to from here."}) from None
