"""Machines whose clocks differ agree on the time of their database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from adapters.sql.clock import DatabaseClock
from adapters.sql.engine import Database, open_database
from tests.parley_process import free_port


def test_the_time_is_the_databases(postgres_database: Database) -> None:
    clock = DatabaseClock(postgres_database)
    clock._ahead = timedelta(hours=1)  # As if this machine had been an hour behind, and was put right since.

    assert abs(clock() - datetime.now(UTC)) < timedelta(seconds=30)


def test_without_the_database_the_last_comparison_holds() -> None:
    away = open_database(f"postgresql://nobody@127.0.0.1:{free_port()}/parley")
    clock = DatabaseClock(away)
    clock._ahead = timedelta(hours=1)

    assert timedelta(minutes=59) < clock() - datetime.now(UTC) < timedelta(minutes=61)
    away.dispose()
