"""What every read store must do for the projections that write it."""

from __future__ import annotations

import dataclasses
import itertools
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any
from uuid import UUID, uuid4

import pytest
from pymongo.errors import ConfigurationError, OperationFailure

from adapters.mongo import server as server_module
from adapters.mongo.read_models import SHAPE, MongoReadModels
from adapters.mongo.reader import MongoReader
from adapters.mongo.server import MongoAccessRefused, MongoMisconfigured, MongoServer, MongoTooOld, MongoUnreachable
from application.ports.persistence import Document
from application.ports.projections import Model, ReadModels, ReadModelsUnavailable, Snapshot
from application.ports.queries import MessagePage, Page
from domain.errors import NotFound
from domain.identity import Principal
from tests.builders import ALICE
from tests.contracts.test_reader import ODD_METADATA, plain
from tests.fakes.read_models import MemoryReadModels
from tests.servers import MongoServer as OwnServer
from tests.servers import a_mongo_database
from tests.waiting import eventually

THINGS = {model: uuid4() for model in Model}


def snapshot(model: Model = Model.ROOMS, version: int = 1, **given: Any) -> Snapshot:
    """One thing of a model at some version."""
    id_ = given.pop("id", THINGS[model])
    document = {
        "id": str(id_),
        "name": f"version {version}",
        "position": 1,
        "content": "Why not?",
        "metadata": ODD_METADATA,
        "message_count": 2,
    }
    keys: Mapping[Model, Document] = {
        Model.ROOMS: {"name_key": f"version {version}", "created_at": "2026-01-01T00:00:00+00:00", "deleted_at": None},
        Model.CONVERSATIONS: {"room_id": None, "title_key": "", "message_count": 2},
        Model.MESSAGES: {"conversation_id": str(THINGS[Model.CONVERSATIONS]), "room_id": None, "position": 1},
    }
    whole = Snapshot(
        model=model, id=id_, version=version, owner=ALICE.key, hidden=False, document=document, keys=keys[model]
    )
    return dataclasses.replace(whole, **given)


def message(position: int) -> Snapshot:
    """One of many in the conversation of THINGS."""
    one = snapshot(Model.MESSAGES, id=uuid4())
    return dataclasses.replace(
        one, document=one.document | {"position": position}, keys=one.keys | {"position": position}
    )


class ReadModelsContract:
    @pytest.fixture
    def models(self) -> ReadModels:
        raise NotImplementedError

    @pytest.mark.parametrize("model", Model)
    def test_what_is_saved_is_kept_as_it_is(self, models: ReadModels, model: Model) -> None:
        saved = [snapshot(model, id=uuid4(), hidden=hidden) for hidden in (False, True)]

        models.save(saved)

        kept = models.of(model, [uuid4(), *(one.id for one in saved)])
        assert sorted(saved, key=lambda one: one.id) == sorted(kept, key=lambda one: one.id)
        assert list(models.of(model, [])) == []

    def test_saving_twice_is_saving_once(self, models: ReadModels) -> None:
        for _ in range(2):
            models.save([snapshot(model) for model in Model])

        assert [snapshot(model) for model in Model] == kept_by(models)
        assert [len(models.ids_after(model, None, limit=9)) for model in Model] == [1, 1, 1]

    def test_nothing_is_a_thing_to_save_and_to_remove(self, models: ReadModels) -> None:
        models.save([])
        models.remove(Model.ROOMS, [])

        assert kept_by(models) == []

    @pytest.mark.parametrize("versions", list(itertools.permutations((1, 2, 3))))
    def test_the_newest_version_stays_whatever_the_order(self, models: ReadModels, versions: tuple[int, ...]) -> None:
        for version in versions:
            models.save([snapshot(model, version) for model in Model])

        assert [snapshot(model, 3) for model in Model] == kept_by(models)

    def test_several_versions_may_be_saved_together(self, models: ReadModels) -> None:
        models.save([snapshot(model, version) for version in (2, 3, 1) for model in Model])

        assert [snapshot(model, 3) for model in Model] == kept_by(models)

    def test_an_older_version_keeps_nothing_else_from_being_saved(self, models: ReadModels) -> None:
        others = [snapshot(id=uuid4()) for _ in range(4)]
        models.save([snapshot(version=2)])

        models.save([*others[:2], snapshot(version=1), *others[2:]])

        assert {one.id for one in others} < set(models.ids_after(Model.ROOMS, None, limit=9))
        assert [snapshot(version=2)] == kept_by(models)

    def test_things_are_hidden_and_come_back(self, models: ReadModels) -> None:
        for version, hidden in ((1, False), (2, True), (1, False)):
            models.save([snapshot(version=version, hidden=hidden)])
        assert [snapshot(version=2, hidden=True)] == kept_by(models)

        models.save([snapshot(version=3)])

        assert [snapshot(version=3)] == kept_by(models)

    def test_of_many_who_save_at_once_the_newest_wins(self, models: ReadModels) -> None:
        versions = list(range(1, 17))
        random.shuffle(versions)
        start, failures = threading.Barrier(len(versions)), []

        def save(version: int) -> None:
            start.wait()
            try:
                models.save([snapshot(model, version) for model in Model])
            except Exception as error:
                failures.append(error)

        for _ in range(5):
            run_together(save, versions)
            assert [snapshot(model, 16) for model in Model] == kept_by(models)
            for model in Model:
                models.remove(model, [THINGS[model]])
        assert failures == []

    def test_ids_come_in_their_order(self, models: ReadModels) -> None:
        ids = sorted(uuid4() for _ in range(5))
        models.save([snapshot(id=id_, hidden=id_ == ids[1]) for id_ in reversed(ids)])

        assert list(models.ids_after(Model.ROOMS, None, limit=2)) == ids[:2]
        assert list(models.ids_after(Model.ROOMS, ids[1], limit=2)) == ids[2:4]
        assert list(models.ids_after(Model.ROOMS, ids[3], limit=2)) == ids[4:]
        assert list(models.ids_after(Model.ROOMS, ids[4], limit=2)) == []
        assert list(models.ids_after(Model.ROOMS, UUID(int=0), limit=9)) == ids
        assert list(models.ids_after(Model.MESSAGES, None, limit=9)) == []

    def test_what_is_removed_is_gone_and_can_be_saved_anew(self, models: ReadModels) -> None:
        other = snapshot(id=uuid4())
        models.save([snapshot(version=5), snapshot(Model.MESSAGES), other])

        models.remove(Model.ROOMS, [THINGS[Model.ROOMS], uuid4()])

        assert [snapshot(Model.MESSAGES)] == kept_by(models)
        assert list(models.ids_after(Model.ROOMS, None, limit=9)) == [other.id]
        models.save([snapshot(version=1)])
        assert kept_by(models) == [snapshot(version=1), snapshot(Model.MESSAGES)]

    def test_preparing_again_changes_nothing(self, models: ReadModels) -> None:
        models.save([snapshot()])

        models.prepare()
        models.prepare()

        assert [snapshot()] == kept_by(models)

    def test_a_store_can_be_relied_on_once_it_was_completed(self, models: ReadModels) -> None:
        models.prepare()
        with pytest.raises(ReadModelsUnavailable, match="parley projections rebuild"):
            models.check()

        models.complete()
        models.complete()

        models.check()

    def test_progress_is_kept_until_the_end_of_a_rebuild(self, models: ReadModels) -> None:
        assert dict(models.progress) == {}

        for progress in ({"rooms": "finished"}, {"rooms": "finished", "messages": str(uuid4())}):
            models.note_progress(progress)
            assert dict(models.progress) == progress
        with pytest.raises(ReadModelsUnavailable):
            models.check()

        models.complete()
        assert dict(models.progress) == {}

    def test_a_complete_store_is_relied_on_while_it_is_rebuilt(self, models: ReadModels) -> None:
        models.complete()
        models.note_progress({"rooms": "finished"})

        models.check()


class TestMemoryReadModels(ReadModelsContract):
    @pytest.fixture
    def models(self) -> ReadModels:
        return MemoryReadModels()


class TestMongoReadModels(ReadModelsContract):
    @pytest.fixture
    def server(self) -> Iterator[MongoServer]:
        with a_mongo_database() as url, closing(MongoServer(url)) as server:
            yield server

    @pytest.fixture
    def models(self, server: MongoServer) -> ReadModels:
        return MongoReadModels(server)

    def test_an_older_shape_is_replaced_whatever_its_version(self, models: ReadModels, server: MongoServer) -> None:
        models.save([snapshot(version=5)])
        in_shape(server, SHAPE - 1)

        models.save([snapshot(version=5)])

        assert server.database["rooms"].find_one({})["shape"] == SHAPE  # type: ignore[index]

    def test_a_newer_shape_is_never_replaced(self, models: ReadModels, server: MongoServer) -> None:
        models.save([snapshot(version=5)])
        in_shape(server, SHAPE + 1)
        before = server.database["rooms"].find_one({})

        models.save([snapshot(version=4)])
        models.save([snapshot(version=5)])

        assert before == server.database["rooms"].find_one({})

    def test_what_a_newer_version_does_not_know_yet_is_left_for_it(
        self, models: ReadModels, server: MongoServer
    ) -> None:
        models.save([snapshot(version=5)])
        in_shape(server, SHAPE + 1)
        before = server.database["rooms"].find_one({})

        with pytest.raises(ReadModelsUnavailable, match="newer version of Parley"):
            models.save([snapshot(version=6), snapshot(Model.MESSAGES)])

        assert before == server.database["rooms"].find_one({})

    def test_a_store_in_an_older_shape_wants_a_rebuild_from_the_beginning(
        self, models: ReadModels, server: MongoServer
    ) -> None:
        models.complete()
        models.note_progress({"rooms": "finished"})
        server.database["meta"].update_one({}, {"$set": {"complete": SHAPE - 1, "progress.shape": SHAPE - 1}})

        with pytest.raises(ReadModelsUnavailable, match=r"older version of Parley.*parley projections rebuild"):
            models.check()
        models.prepare()
        assert dict(models.progress) == {}
        models.complete()
        models.check()

    def test_a_store_in_a_newer_shape_is_left_alone(self, models: ReadModels, server: MongoServer) -> None:
        models.complete()
        server.database["meta"].update_one({}, {"$set": {"complete": SHAPE + 1}})

        for refused in (models.check, models.prepare, models.complete):
            with pytest.raises(ReadModelsUnavailable, match="newer version of Parley"):
                refused()

    def test_a_page_costs_the_same_at_any_depth(self, models: ReadModels, server: MongoServer) -> None:
        models.prepare()
        models.save([snapshot(Model.CONVERSATIONS), *(message(position) for position in range(1, 301))])
        reader, conversation = MongoReader(server, no_reply), THINGS[Model.CONVERSATIONS]
        database = server.database
        database.command({"profile": 2})

        for before, after in ((None, None), (290, None), (10, None), (None, 5), (None, 290)):
            page = reader.messages(conversation, ALICE, MessagePage(limit=5, before=before, after=after))
            assert len(page["items"]) == 5

        database.command({"profile": 0})
        seen = list(database["system.profile"].find({"ns": f"{database.name}.conversations", "op": "command"}))
        examined = [(one["docsExamined"], one["keysExamined"]) for one in seen]
        assert len(examined) == 5
        assert len(set(examined)) == 1
        assert max(examined[0]) < 10

    def test_a_server_that_is_away_is_an_error_at_once(self) -> None:
        with closing(MongoServer(f"mongodb://alice:secret@127.0.0.1:{closed_port()}/")) as server:
            models, reader = MongoReadModels(server), MongoReader(server, no_reply)
            things = {id_: model for model, id_ in THINGS.items()}
            calls: list[Callable[[], object]] = [
                models.check,
                models.prepare,
                models.complete,
                server.ping,
                server.require,
                lambda: models.progress,
                lambda: models.note_progress({}),
                lambda: models.save([snapshot()]),
                lambda: models.of(Model.ROOMS, things),
                lambda: models.remove(Model.ROOMS, things),
                lambda: models.ids_after(Model.ROOMS, None, limit=1),
                lambda: reader.rooms(ALICE, Page()),
                lambda: reader.room(uuid4(), ALICE),
                lambda: reader.room_history(uuid4(), ALICE, MessagePage()),
                lambda: reader.conversations(ALICE, None, Page()),
                lambda: reader.conversation(uuid4(), ALICE),
                lambda: reader.messages(uuid4(), ALICE, MessagePage()),
                lambda: reader.search(ALICE, "why", Page()),
            ]
            begin = time.monotonic()
            for call in calls * 5:
                with pytest.raises(MongoUnreachable, match=r"127\.0\.0\.1") as raised:
                    call()
                assert "secret" not in raised.value.message

        # Had each waited out its time-out, it would be a hundred seconds.
        assert time.monotonic() - begin < 50


def every_query(reader: MongoReader) -> None:
    """Each with nothing to find but what it looks through."""
    room, conversation = THINGS[Model.ROOMS], THINGS[Model.CONVERSATIONS]
    for descending, key in itertools.product((True, False), ("last_activity_at", "created_at", "name")):
        page = Page(limit=1, offset=1, sort_by=key, descending=descending)
        reader.rooms(ALICE, page)
    for descending, key in itertools.product((True, False), ("last_activity_at", "created_at", "title")):
        for room_id in (None, room):
            reader.conversations(ALICE, room_id, Page(limit=1, offset=1, sort_by=key, descending=descending))
    for descending in (True, False):
        reader.messages(conversation, ALICE, MessagePage(limit=1, descending=descending))
        reader.messages(conversation, ALICE, MessagePage(limit=1, after=1, before=9, descending=descending))
        reader.room_history(room, ALICE, MessagePage(descending=descending))
    for query in ("why", "why not", "w"):
        reader.search(ALICE, query, Page(limit=1))


def no_reply(reply_id: UUID, principal: Principal) -> Document:
    raise NotFound("reply", reply_id)


class TestMongoServer:
    @pytest.fixture
    def url(self) -> Iterator[str]:
        with a_mongo_database() as url:
            yield url

    @pytest.fixture(scope="class")
    @classmethod
    def guarded(cls) -> Iterator[OwnServer]:
        with OwnServer(auth=True) as own:
            yield own

    def test_it_says_what_it_is_and_where(self, url: str) -> None:
        with closing(MongoServer(url)) as server:
            line = server.ping()
            server.require()

        assert line.startswith("MongoDB ")
        assert f"/{server.database.name}" in line
        assert server.database.name in url

    def test_nothing_is_connected_before_the_first_call(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            with closing(MongoServer(f"mongodb://127.0.0.1:{listener.getsockname()[1]}/")) as server:
                MongoReadModels(server)
                MongoReader(server, no_reply)

                with pytest.raises(BlockingIOError):
                    listener.accept()

    def test_the_database_is_the_one_in_the_url(self) -> None:
        for path, name in (("", "parley"), ("/", "parley"), ("/talk", "talk"), ("/talk?appname=x", "talk")):
            with closing(MongoServer(f"mongodb://127.0.0.1{path}")) as server:
                assert server.database.name == name

    def test_the_url_decides_before_the_defaults(self) -> None:
        with closing(MongoServer("mongodb://127.0.0.1/?maxPoolSize=3&serverselectiontimeoutms=77")) as server:
            options = server.database.client.options

        assert (options.pool_options.max_pool_size, options.server_selection_timeout) == (3, 0.077)
        assert (options.pool_options.appname, options.pool_options.socket_timeout) == ("parley", 5.0)

    @pytest.mark.parametrize(
        "url",
        [
            "nonsense",
            "http://alice:secret@127.0.0.1/",
            "mongodb://",
            "mongodb://alice:s@secret@127.0.0.1/",
            "mongodb://alice:s/secret@127.0.0.1/x",
            "mongodb://alice:s?secret@127.0.0.1/x",
            "mongodb://alice:secret@127.0.0.1:99999/",
        ],
    )
    def test_what_is_no_url_is_a_wrong_setting(self, url: str) -> None:
        with pytest.raises(MongoMisconfigured, match="should be like mongodb://") as raised:
            MongoServer(url)

        assert "secret" not in raised.value.message
        assert raised.value.__cause__ is None

    @pytest.mark.parametrize("credentials", ["", "root:wrong-secret@", "nobody:wrong-secret@"])
    def test_wrong_credentials_are_a_wrong_setting(self, guarded: OwnServer, credentials: str) -> None:
        with closing(MongoServer(f"mongodb://{credentials}127.0.0.1:{guarded.port}/parley?authSource=admin")) as server:
            with pytest.raises(MongoAccessRefused, match="refuses access") as raised:
                server.require()
            with pytest.raises(MongoAccessRefused):
                MongoReadModels(server).check()

        assert f"127.0.0.1:{guarded.port}" in raised.value.message
        assert "secret" not in raised.value.message

    def test_the_password_is_not_told(self, guarded: OwnServer) -> None:
        with closing(MongoServer(guarded.url)) as server:
            server.require()
            line = server.ping()

        assert line == f"MongoDB {guarded.version}, 127.0.0.1:{guarded.port}/parley"

    def test_a_server_that_is_too_old_is_a_wrong_setting(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(server_module, "_OLDEST", (99, 1))
        with closing(MongoServer(url)) as server:
            with pytest.raises(MongoTooOld, match=r"older than 99\.1"):
                server.require()
            with pytest.raises(MongoTooOld), server.translated():
                raise ConfigurationError("Server at h:1 reports wire version 6, but this driver requires at least 8")

    def test_no_query_looks_through_a_whole_collection(self) -> None:
        with OwnServer() as own, closing(MongoServer(own.url)) as server:
            models = MongoReadModels(server)
            models.prepare()
            models.save([snapshot(model) for model in Model])
            server.database.command({"profile": 2})
            server.database.client.admin.command({"setParameter": 1, "notablescan": True})

            every_query(MongoReader(server, no_reply))

            sorting = server.database["system.profile"].find({"hasSortStage": True})
            # The matches of a search are sorted by time; every other order is an index's.
            assert {one["ns"].split(".")[1] for one in sorting} == {"messages"}
            with pytest.raises(OperationFailure, match="notablescan"):
                list(server.database["rooms"].find({"unknown": 1}))

    def test_it_comes_back_with_the_server(self) -> None:
        with OwnServer() as own, closing(MongoServer(own.url)) as server:
            models, reader = MongoReadModels(server), MongoReader(server, no_reply)
            models.save([snapshot()])
            models.complete()
            own.stop()
            with pytest.raises(MongoUnreachable):
                models.check()
            with pytest.raises(MongoUnreachable):
                reader.room(THINGS[Model.ROOMS], ALICE)

            own.start()

            assert eventually(lambda: answers(models))
            assert plain(reader.room(THINGS[Model.ROOMS], ALICE))["name"] == "version 1"

    def test_a_server_that_was_replaced_between_two_calls_is_not_noticed(self) -> None:
        with OwnServer() as own, closing(MongoServer(own.url)) as server:
            MongoReadModels(server).save([snapshot()])
            reader = MongoReader(server, no_reply)
            reader.room(THINGS[Model.ROOMS], ALICE)

            own.restart()

            assert reader.room(THINGS[Model.ROOMS], ALICE)["name"] == "version 1"

    def test_a_server_that_answers_too_late_is_unreachable(self) -> None:
        with OwnServer() as own, closing(MongoServer(f"{own.url}?socketTimeoutMS=300")) as server:
            server.require()
            own.pause()
            with pytest.raises(MongoUnreachable):
                MongoReadModels(server).check()
            own.resume()

            assert eventually(lambda: known(server, ALICE))


def answers(models: ReadModels) -> bool:
    try:
        models.check()
    except ReadModelsUnavailable:
        return False
    return True


def known(server: MongoServer, principal: Principal) -> bool:
    try:
        MongoReader(server, no_reply).room(uuid4(), principal)
    except ReadModelsUnavailable:
        return False
    except NotFound:
        return True
    raise AssertionError("there is no such room")


def kept_by(models: ReadModels) -> list[Snapshot]:
    """What is kept of THINGS, in the order of the models."""
    return [kept for model, id_ in THINGS.items() for kept in models.of(model, [id_])]


def in_shape(server: MongoServer, shape: int) -> None:
    """As if another version of Parley had written it."""
    server.database["rooms"].update_many({}, {"$set": {"shape": shape}})


def run_together(save: Any, versions: list[int]) -> None:
    threads = [threading.Thread(target=save, args=[version]) for version in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
