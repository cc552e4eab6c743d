"""Which stores follow what is purged, and how whoever cleans up keeps out of the others' way."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gevent.monkey import is_module_patched

from adapters.in_process.cache import InProcessCache
from adapters.in_process.rates import InProcessRateLimiter
from adapters.in_process.reply_log import InProcessReplyLog
from adapters.in_process.retention import MemoryCopies
from adapters.sql.engine import Database
from adapters.sql.remnants import SqlRemnants
from adapters.sql.scrubbing import SqliteFiles
from adapters.sql.sqlite import SqliteDatabase
from application.ports.caching import Cache
from application.ports.retention import Copies, Store
from application.ports.runtime import OwnerLock, RateLimiter, ReplyLog
from application.retention.marks import Marks
from entrypoints.settings import Settings

if TYPE_CHECKING:
    from adapters.mongo.server import MongoServer
    from adapters.redis.server import RedisServer

_TURN = 0.03
"""Seconds: more than a write waits before it asks again for its turn (adapters.sql.sqlite)."""

_NEWS = 2.5
"""Seconds within which every process has looked who was erased."""


def marks(settings: Settings) -> Marks:
    return Marks([settings.secret_key, *settings.secret_key_fallbacks])


def shared(
    settings: Settings, database: Database, mongo: MongoServer | None, redis: RedisServer | None, marks: Marks
) -> Sequence[Copies]:
    """Those that all processes share."""
    stores: list[Copies] = []
    if isinstance(database, SqliteDatabase):
        stores.append(SqliteFiles(database, _beside))
    if mongo is not None:
        from adapters.mongo.retention import MongoCopies

        stores.append(MongoCopies(mongo))
    if redis is not None:
        from adapters.redis.retention import RedisCopies
        from adapters.rq.retention import RqCopies

        stores += [RedisCopies(redis, marks.all_of), RqCopies(redis.client, prefix=settings.redis_prefix)]
    return stores


def own(log: ReplyLog, cache: Cache, rates: RateLimiter, marks: Marks) -> Sequence[Copies]:
    """Those of this very process."""
    if (
        isinstance(log, InProcessReplyLog)
        and isinstance(cache, InProcessCache)
        and isinstance(rates, InProcessRateLimiter)
    ):
        return [MemoryCopies(log, cache, rates, marks.all_of)]
    return []


def all_stores(database: Database, shared: Sequence[Copies], marks: Marks) -> Sequence[Store]:
    return [SqlRemnants(database, marks.all_of), *shared]


def lock(database: Database) -> Callable[[], OwnerLock]:
    return database.cleanup_lock


def pause(database: Database) -> Callable[[], None]:
    """Where writes take turns, others have theirs between two steps."""
    return _nothing if database.locks_rows else lambda: time.sleep(_TURN)


def vacuum(database: Database) -> Callable[[], None]:
    """Has the database let go of the room that deleted rows took."""
    if isinstance(database, SqliteDatabase):
        return SqliteFiles(database, _beside).vacuum
    from adapters.sql.postgres import PostgresDatabase

    return database.vacuum if isinstance(database, PostgresDatabase) else _nothing


def wait_for_news() -> None:
    time.sleep(_NEWS)


def _beside(call: Callable[[], Any]) -> Any:
    """In a thread of the system's, where those of this process are greenlets."""
    if not is_module_patched("threading"):
        return call()
    import gevent

    return gevent.get_hub().threadpool.apply(call)


def _nothing() -> None:
    """Others need no turn."""
