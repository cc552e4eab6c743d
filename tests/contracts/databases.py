"""The stores that everything written in SQL, or read from what SQL wrote, is tested on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.mongo.read_models import MongoReadModels
from adapters.mongo.server import MongoServer
from adapters.sql.engine import Database, open_database
from adapters.sql.schema import Schema
from adapters.sql.snapshots import SqlSnapshots
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.ports.persistence import StartWork
from application.ports.projections import Model
from application.projections import Projector
from tests.servers import a_mongo_database


class OnSqlite:
    """A database in a file of its own."""

    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        database = open_database(f"sqlite:///{tmp_path / 'parley.db'}")
        Schema(database).upgrade()
        yield database
        database.dispose()

    @pytest.fixture
    def start_work(self, database: Database) -> StartWork:
        return lambda: SqlUnitOfWork(database)


class OnPostgres:
    """A database of its own on the server."""

    @pytest.fixture
    def database(self, postgres_database: Database) -> Database:
        return postgres_database

    @pytest.fixture
    def start_work(self, database: Database) -> StartWork:
        return lambda: SqlUnitOfWork(database)


class OnMongo(OnSqlite):
    """What is written in SQL stands in the read models when it is committed."""

    @pytest.fixture(scope="class")
    @classmethod
    def prepared(cls) -> Iterator[MongoServer]:
        with a_mongo_database() as url:
            server = MongoServer(url)
            MongoReadModels(server).prepare()
            yield server
            server.close()

    @pytest.fixture
    def server(self, prepared: MongoServer) -> Iterator[MongoServer]:
        yield prepared
        for model in Model:
            prepared.database[model.value].delete_many({})

    @pytest.fixture
    def start_work(self, database: Database, server: MongoServer) -> StartWork:
        projector = Projector(SqlSnapshots(database), MongoReadModels(server))
        return lambda: SqlUnitOfWork(database, projector)
