"""Runs migrations on the database that Parley's settings name, or on the one that the caller gives."""

from alembic import context

from adapters.sql.engine import Database, open_database
from adapters.sql.knowledge_tables import map_knowledge
from adapters.sql.tables import map_entities, metadata


def database() -> Database:
    """The caller's database, or the settings' when Alembic was called by hand."""
    given: Database | None = context.config.attributes.get("database")
    if given is not None:
        return given
    from entrypoints.settings import Settings

    return open_database(Settings.from_environment().database_url)


def is_mapped(_object: object, name: str | None, kind: str, _reflected: bool, _compared: object) -> bool:
    """Whether comparing should look at it: full-text search has tables, a column and indexes that no entity maps to."""
    searched = {("index", "ix_messages_words"), ("index", "ix_passages_terms"), ("column", "terms")}
    return not ((name or "").startswith(("messages_fts", "passages_fts")) or (kind, name) in searched)


map_entities()
map_knowledge()
the_database = database()
with the_database.writing() as connection:
    the_database.while_migrating(connection)
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, include_object=is_mapped)
    context.run_migrations()
    connection.commit()
