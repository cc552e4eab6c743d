"""The schema goes forward and back, step by step, and ends where the tables say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory

from adapters.sql.engine import Database
from adapters.sql.schema import Schema, SchemaMismatch
from adapters.sql.unit_of_work import SqlUnitOfWork
from tests.builders import a_conversation, answered


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'parley.db'}")
    yield database
    database.dispose()


def tables(database: Database) -> set[str]:
    with database.reading() as connection:
        return set(connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars())


def test_every_step_goes_up_down_and_up_again(database: Database) -> None:
    schema = Schema(database)
    revisions = [script.revision for script in ScriptDirectory.from_config(schema._config).walk_revisions()][::-1]

    for before, revision in zip(["base", *revisions], revisions, strict=False):
        schema.upgrade(revision)
        after = tables(database)
        schema.downgrade(before)
        schema.upgrade(revision)

        assert tables(database) == after
        assert schema.current() == revision


def test_all_the_way_down_leaves_nothing(database: Database) -> None:
    schema = Schema(database)
    schema.upgrade()

    schema.downgrade("base")

    assert tables(database) <= {"alembic_version", "sqlite_sequence"}


def test_the_migrations_end_where_the_tables_say(database: Database) -> None:
    schema = Schema(database)
    schema.upgrade()

    command.check(schema._config)


def test_upgrading_twice_changes_nothing(database: Database) -> None:
    schema = Schema(database)
    schema.upgrade()
    schema.upgrade()

    schema.require_current()


def test_a_database_of_another_revision_is_refused(database: Database) -> None:
    schema = Schema(database)
    with pytest.raises(SchemaMismatch, match="Run: parley migrate"):
        schema.require_current()

    schema.upgrade()
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'future'")
        connection.commit()

    for use in (schema.require_current, schema.upgrade):
        with pytest.raises(SchemaMismatch, match="written by a newer one"):
            use()


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = Schema(database)
    broken = ScriptDirectory.from_config(schema._config)
    monkeypatch.setattr(broken.get_revision("0001").module, "FULL_TEXT", ("CREATE NONSENSE",))
    monkeypatch.setattr(ScriptDirectory, "from_config", classmethod(lambda *_: broken))

    with pytest.raises(Exception, match="NONSENSE"):
        schema.upgrade()

    assert tables(database) <= {"alembic_version"}


def test_the_full_text_index_follows_its_messages(database: Database) -> None:
    Schema(database).upgrade()
    conversation = a_conversation()
    question, reply, answer = answered(conversation, "Where do pelicans sleep?", "On the water.")
    with SqlUnitOfWork(database) as work:
        work.conversations.add(conversation)
        work.messages.add(question)
        work.messages.add(answer)
        work.replies.add(reply)
        work.commit()
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE messages SET content = 'On land.' WHERE role = 'assistant'")
        connection.exec_driver_sql("DELETE FROM messages WHERE role = 'user'")
        connection.commit()

    def hits(word: str) -> int:
        with database.reading() as connection:
            found = connection.exec_driver_sql("SELECT count(*) FROM messages_fts WHERE messages_fts MATCH ?", (word,))
            return int(found.scalar_one())

    assert [hits(word) for word in ("pelicans", "water", "land")] == [0, 0, 1]
