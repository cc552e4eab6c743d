"""What every way to look up what is under way must tell."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from adapters.sql.backlog import SqlBacklogs
from adapters.sql.engine import Database, open_database
from adapters.sql.schema import Schema
from application.ports.persistence import StartWork
from application.ports.telemetry import Backlogs, Waiting
from domain.jobs import JobKind
from tests.builders import NOW, a_conversation, a_job, answered, asked
from tests.contracts.databases import OnPostgres, OnSqlite


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def now() -> datetime:
    return after(30)


class BacklogsContract:
    @pytest.fixture
    def start_work(self) -> StartWork:
        raise NotImplementedError

    @pytest.fixture
    def backlogs(self) -> Backlogs:
        raise NotImplementedError

    def test_of_an_idle_installation_there_is_nothing_of_any_kind(self, backlogs: Backlogs) -> None:
        backlog = backlogs.look()

        assert (backlog.queued_replies, backlog.running_replies, backlog.outbox) == (Waiting(), Waiting(), Waiting())
        assert backlog.queued_jobs == backlog.running_jobs == {kind.value: Waiting() for kind in JobKind}

    def test_replies_count_while_they_live_and_the_oldest_tells_the_age(
        self, start_work: StartWork, backlogs: Backlogs
    ) -> None:
        with start_work() as work:
            for seconds in (0, 10, 20):
                conversation = a_conversation()
                question, reply = asked(conversation, now=after(seconds))
                if seconds == 20:
                    reply.claim(now())
                work.conversations.add(conversation)
                work.messages.add(question)
                work.replies.add(reply)
            ended = a_conversation()
            for thing in answered(ended):
                (work.replies if hasattr(thing, "epoch") else work.messages).add(thing)  # type: ignore[arg-type]
            work.conversations.add(ended)
            work.commit()

        backlog = backlogs.look()

        assert backlog.queued_replies == Waiting(2, 30.0)
        assert backlog.running_replies == Waiting(1, 10.0)

    def test_jobs_count_by_kind_once_they_are_due(self, start_work: StartWork, backlogs: Backlogs) -> None:
        with start_work() as work:
            running = a_job(JobKind.ANALYSE)
            running.claim(NOW)
            for job in (a_job(), a_job(now=after(20)), a_job(now=after(60)), running):
                work.jobs.add(job)
            work.commit()

        backlog = backlogs.look()

        assert backlog.queued_jobs["ingest"] == Waiting(2, 30.0)
        assert backlog.queued_jobs["analyse"] == Waiting()
        assert backlog.running_jobs["analyse"].count == 1

    def test_events_count_until_they_are_delivered(self, start_work: StartWork, backlogs: Backlogs) -> None:
        with start_work() as work:
            work.conversations.add(a_conversation())
            work.commit()

        assert backlogs.look().outbox.count == 1


class TestSqliteBacklogs(OnSqlite, BacklogsContract):
    @pytest.fixture
    def backlogs(self, database: Database) -> Backlogs:
        return SqlBacklogs(database, now)

    def test_nothing_is_looked_at_but_what_lives(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        database = open_database(f"sqlite:///{tmp_path}/another.db", slow=1e-9)
        Schema(database).upgrade()
        caplog.clear()

        SqlBacklogs(database, now).look()

        asked = [record.statement for record in caplog.records if record.name == "slow_query"]  # type: ignore[attr-defined]
        with database.reading() as connection:
            for table in ("replies", "jobs"):
                (statement,) = [each for each in asked if f"FROM {table} " in each]
                values = ("2026-01-01",) * statement.count("?")
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
                assert f"ix_{table}_live" in str(plan)
        database.dispose()


class TestPostgresBacklogs(OnPostgres, BacklogsContract):
    @pytest.fixture
    def backlogs(self, database: Database) -> Backlogs:
        return SqlBacklogs(database, now)
