"""Runs migrations on the database that Parley's settings name, or on the one that the caller gives."""

from alembic import context

from adapters.sql.engine import Database
from adapters.sql.tables import map_entities, metadata


def database() -> Database:
    """The caller's database, or the settings' when Alembic was called by hand."""
    given: Database | None = context.config.attributes.get("database")
    if given is not None:
        return given
    from entrypoints.settings import Settings

    return Database(Settings.from_environment().database_url)


def not_ours(_object: object, name: str | None, kind: str, _reflected: bool, _compared: object) -> bool:
    """Whether comparing should look at it: SQLite's full-text index keeps tables of its own."""
    return not (kind == "table" and (name or "").startswith("messages_fts"))


map_entities()
with database().writing() as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, include_object=not_ours)
    context.run_migrations()
    connection.commit()
