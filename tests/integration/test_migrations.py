"""The schema goes forward and back, step by step, and ends where the tables say."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, select, text

from adapters.sql.engine import Database, open_database
from adapters.sql.reader import SqlReader
from adapters.sql.schema import Schema, SchemaMismatch
from adapters.sql.tables import messages
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.ports.queries import Page
from tests.builders import ALICE, NOW, a_conversation, answered
from tests.parley_process import cli
from tests.servers import a_postgres_database


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with (
        a_postgres_database()
        if request.param == "postgresql"
        else nullcontext(f"sqlite:///{tmp_path / 'parley.db'}") as url
    ):
        database = open_database(url)
        yield database
        database.dispose()


def tables(database: Database) -> set[str]:
    return set(inspect(database.engine).get_table_names())


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
    monkeypatch.setattr(broken.get_revision("0002").module, "FULL_TEXT", ("CREATE NONSENSE",))
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
        total = SqlReader(database).search(ALICE, word, Page())["total"]
        assert isinstance(total, int)
        return total

    assert [hits(word) for word in ("pelicans", "water", "land")] == [0, 0, 1]


def test_whoever_migrates_at_the_same_time_takes_turns(database: Database, tmp_path: Path) -> None:
    url = database.url.render_as_string(hide_password=False)
    with ThreadPoolExecutor() as pool:
        settings = {"PARLEY_DATABASE_URL": url, "PARLEY_DATA_DIR": tmp_path}
        migrating = [pool.submit(cli, "migrate", **settings) for _ in range(3)]

    assert [(done.result().returncode, done.result().stderr) for done in migrating] == [(0, "")] * 3
    Schema(database).require_current()


def test_versions_from_before_there_were_branches_know_what_they_answer(database: Database) -> None:
    schema = Schema(database)
    schema.upgrade("0002")
    rows = [("a", 1, 1, None), ("b", 2, 1, "c"), ("c", 2, 2, None), ("d", 3, 1, None)]
    ids = {name: f"{number:032x}" for number, name in enumerate("abcd", start=1)}
    with database.writing() as connection:
        connection.execute(
            text(
                "INSERT INTO conversations (id, owner, title, agent, metadata, next_position, message_count,"
                " last_activity_at, created_at, updated_at, version)"
                " VALUES (:id, 'user:a', '', 'general', '{}', 5, 3, :now, :now, :now, 1)"
            ),
            {"id": "f" * 32, "now": NOW.replace(tzinfo=None).isoformat(" ")},
        )
        for name, position, version, superseded_by in rows:
            connection.execute(
                text(
                    "INSERT INTO messages (id, conversation_id, owner, position, version, role, content, status,"
                    " sources, metadata, created_at, superseded_by)"
                    " VALUES (:id, :of, 'user:a', :position, :version, 'user', '', 'completed', '[]', '{}', :now, :by)"
                ),
                {
                    "id": ids[name],
                    "of": "f" * 32,
                    "position": position,
                    "version": version,
                    "now": NOW.replace(tzinfo=None).isoformat(" "),
                    "by": ids[superseded_by] if superseded_by else None,
                },
            )
        connection.commit()

    schema.upgrade()

    with database.reading() as connection:
        parents = {
            row.id.hex: row.parent_id.hex if row.parent_id else None
            for row in connection.execute(select(messages.c.id, messages.c.parent_id))
        }
        counted = connection.execute(select(messages.c.alternatives).order_by(messages.c.id)).scalars().all()
    names = {key: name for name, key in ids.items()}
    assert {names[key]: names.get(parent or "") for key, parent in parents.items()} == {
        "a": None,
        "b": "a",
        "c": "a",
        "d": None,  # It follows what is current before it.
    }
    assert counted == [0, 1, 1, 0]
