"""What every store must do that holds copies of what is in the database: forget, and show what is left."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Set
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from adapters.in_process.cache import InProcessCache
from adapters.in_process.rates import InProcessRateLimiter
from adapters.in_process.reply_log import InProcessReplyLog
from adapters.in_process.retention import MemoryCopies
from adapters.mongo.read_models import MongoReadModels
from adapters.mongo.retention import MongoCopies
from adapters.mongo.server import MongoServer
from adapters.redis.cache import RedisCache
from adapters.redis.rates import RedisRateLimiter
from adapters.redis.reply_log import RedisReplyLog
from adapters.redis.retention import RedisCopies
from adapters.redis.server import RedisServer
from adapters.rq.queue import RqQueue
from adapters.rq.retention import RqCopies
from application.ports.caching import Cache
from application.ports.projections import Model, Snapshot
from application.ports.retention import Copies, Kind, Purge
from application.ports.runtime import LogEntry, RateLimiter, ReplyLog
from application.retention.marks import Marks
from domain.errors import LeaseLost
from domain.rate_limits import Rate
from tests.builders import later
from tests.contracts.test_read_models import snapshot
from tests.servers import a_mongo_database, a_redis
from tests.waiting import eventually

MARKS = Marks(["a secret of this installation"])
_NOW = later(60 * 24 * 365 * 50)
"""After everything that a test does."""


def purge(kind: Kind, *ids: UUID) -> Purge:
    return Purge(1, _NOW, {kind: ids})


def nothing(kind: Kind, ids: Collection[UUID]) -> Set[UUID]:
    """What is in a database that is empty."""
    return set()


def all_of_it(kind: Kind, ids: Collection[UUID]) -> Set[UUID]:
    """What is in a database that holds everything."""
    return set(ids)


class CopiesContract(ABC):
    """`plant` puts something in, by the id that it has there."""

    kind: Kind

    @pytest.fixture
    @abstractmethod
    def copies(self) -> Copies: ...

    @abstractmethod
    def plant(self, id_: UUID) -> None: ...

    def test_what_is_left_of_what_was_purged_is_found(self, copies: Copies) -> None:
        left, kept = uuid4(), uuid4()
        self.plant(left)
        self.plant(kept)

        found = list(copies.remnants([purge(self.kind, left, uuid4())]))

        assert [str(left) in each.where for each in found] == [True]
        assert (found[0].store, found[0].why) == (copies.name, "was purged")

    def test_what_the_database_does_not_know_is_found(self, copies: Copies) -> None:
        lost, known = uuid4(), uuid4()
        self.plant(lost)
        self.plant(known)

        found = list(copies.orphans(lambda kind, ids: set(ids) & {known}))

        assert [str(lost) in each.where for each in found] == [True]
        assert list(copies.orphans(all_of_it)) == []

    def test_what_was_purged_is_forgotten_and_nothing_else(self, copies: Copies) -> None:
        gone, kept = uuid4(), uuid4()
        self.plant(gone)
        self.plant(kept)
        those = [purge(self.kind, gone)]

        assert sum(copies.forget(those).values()) == 1

        assert list(copies.remnants(those)) == []
        assert [str(kept) in each.where for each in copies.orphans(nothing)] == [True]

    def test_forgetting_twice_is_forgetting_once(self, copies: Copies) -> None:
        gone = uuid4()
        self.plant(gone)
        copies.forget([purge(self.kind, gone)])

        assert sum(copies.forget([purge(self.kind, gone, uuid4())]).values()) == 0

        assert list(copies.orphans(nothing)) == []

    def test_a_store_that_knows_nothing_has_nothing_left(self, copies: Copies) -> None:
        assert sum(copies.forget([purge(self.kind, uuid4())]).values()) == 0
        assert list(copies.remnants([purge(self.kind, uuid4())])) == []
        assert list(copies.remnants([])) == list(copies.orphans(nothing)) == []


class TestMongo(CopiesContract):
    kind = Kind.MESSAGES

    @pytest.fixture
    def server(self) -> Iterator[MongoServer]:
        with a_mongo_database() as url:
            server = MongoServer(url)
            yield server
            server.close()

    @pytest.fixture
    def copies(self, server: MongoServer) -> Copies:
        self.models = MongoReadModels(server)
        self.models.prepare()
        return MongoCopies(server)

    def plant(self, id_: UUID) -> None:
        self.models.save([message(id_)])

    @pytest.mark.parametrize("model", Model)
    def test_a_late_snapshot_brings_nothing_back(self, copies: Copies, model: Model) -> None:
        late = snapshot(model, id=uuid4(), version=7)
        self.models.save([replace(late, version=6)])
        copies.forget([purge(Kind(model.value), late.id)])

        self.models.save([late])

        assert list(self.models.of(model, [late.id])) == []
        assert not self.models.holds(model, late.id)
        assert list(self.models.ids_after(model, None, limit=9)) == []
        assert list(copies.orphans(nothing)) == []

    def test_a_tombstone_holds_nothing_of_the_purged(self, copies: Copies, server: MongoServer) -> None:
        gone = message(uuid4())
        self.models.save([gone])

        copies.forget([purge(Kind.MESSAGES, gone.id)])

        (stone,) = server.database["messages"].find()
        assert set(stone) == {"_id", "version", "shape", "owner", "hidden", "buried_at"}
        assert stone["owner"] == ""

    def test_a_document_that_has_no_id_of_ours_is_found(self, copies: Copies, server: MongoServer) -> None:
        server.database["rooms"].insert_one({"_id": "by hand"})

        assert [each.where for each in copies.orphans(all_of_it)] == ["rooms by hand"]


def message(id_: UUID) -> Snapshot:
    return snapshot(Model.MESSAGES, id=id_)


class LogsContract(CopiesContract):
    """Stores that hold reply logs, what is cached, and what is counted of principals."""

    kind = Kind.REPLIES
    log: ReplyLog
    cache: Cache
    rates: RateLimiter

    def plant(self, id_: UUID) -> None:
        self.log.open(id_, epoch=1, first_seq=0)
        self.log.append(id_, epoch=1, entry=LogEntry(0, "reply.delta", {"text": "Because."}))
        assert self.log.flush(5)

    def test_a_buried_log_takes_nothing_in_that_comes_late(self, copies: Copies) -> None:
        reply = uuid4()
        self.plant(reply)
        copies.forget([purge(Kind.REPLIES, reply)])

        with pytest.raises(LeaseLost):
            self.log.open(reply, epoch=2, first_seq=0)

        for seq, event in ((1, "reply.delta"), (2, "reply.completed")):
            try:
                self.log.append(reply, epoch=1, entry=LogEntry(seq, event, {"text": "late"}))
                self.log.flush(5)
            except LeaseLost:
                pass
        assert list(self.log.read(reply, after=-1)) == []
        assert list(copies.orphans(nothing)) == []

    def test_all_that_is_cached_is_forgotten_with_a_purge(self, copies: Copies) -> None:
        self.cache.put("answers", "key", b"what somebody was answered", 60)
        assert self.cache.claim("answers", "being made", "somebody", 60) == "somebody"

        copies.forget([purge(Kind.DOCUMENTS, uuid4())])

        assert self.cache.get("answers", "key") is None
        assert not self.cache.fulfil("answers", "being made", "somebody", b"late", 60)

    def test_what_is_cached_and_names_what_was_purged_is_found(self, copies: Copies) -> None:
        document = uuid4()
        self.cache.put("retrieval", "key", f'[{{"document_id":"{document}"}}]'.encode(), 60)
        self.cache.put("retrieval", "other", f'[{{"document_id":"{uuid4()}"}}]'.encode(), 60)

        found = list(copies.remnants([purge(Kind.DOCUMENTS, document)]))

        assert [each.where for each in found] == ["cached retrieval"]

    def test_what_is_counted_of_somebody_who_was_erased_is_found_and_forgotten(self, copies: Copies) -> None:
        erased = replace(purge(Kind.ROOMS), ids={}, mark=MARKS.of("user:alice"))
        rate = {"ask:user:alice": Rate(2, 3600), "ask:user:bob": Rate(2, 3600)}
        self.rates.spend(uuid4(), rate)
        assert [each.where for each in copies.remnants([erased])] == ["a rate limit"]

        assert copies.forget([erased]) == {"limits": 1}

        assert list(copies.remnants([erased])) == []
        left = self.rates.spend(uuid4(), rate)
        assert (left["ask:user:alice"].remaining, left["ask:user:bob"].remaining) == (1, 0)


class TestMemory(LogsContract):
    @pytest.fixture
    def copies(self) -> Copies:
        self.log, self.cache, self.rates = InProcessReplyLog(), InProcessCache(10_000_000), InProcessRateLimiter()
        return MemoryCopies(self.log, self.cache, self.rates, MARKS.all_of)


class TestRedis(LogsContract):
    @pytest.fixture
    def copies(self) -> Iterator[Copies]:
        with a_redis() as (url, prefix):
            server = RedisServer(url, prefix)
            self.log, self.cache, self.rates = RedisReplyLog(server), RedisCache(server), RedisRateLimiter(server)
            yield RedisCopies(server, MARKS.all_of)
            self.log.close()
            server.close()


class TestRq(CopiesContract):
    kind = Kind.REPLIES

    @pytest.fixture
    def copies(self) -> Iterator[Copies]:
        with a_redis() as (url, prefix):
            server = RedisServer(url, prefix)
            self.queue = RqQueue(server.client, prefix=prefix, name="replies", job_timeout=60)
            self.copies_ = RqCopies(server.client, prefix=prefix)
            yield self.copies_
            server.close()

    def plant(self, id_: UUID) -> None:
        self.queue.dispatch(id_)
        eventually(lambda: list(self.copies_.remnants([purge(Kind.REPLIES, id_)])))
