"""What a URL chooses. Drivers are imported in here because an installation without them need not load them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from adapters.in_process.cache import InProcessCache
from adapters.in_process.queue import InProcessQueue, InProcessSignals
from adapters.in_process.rates import InProcessRateLimiter
from adapters.in_process.reply_log import InProcessReplyLog
from adapters.in_process.runtime import now
from adapters.in_process.topics import InProcessTopics
from adapters.sql.clock import DatabaseClock
from adapters.sql.engine import Database
from adapters.sql.history_statistics import SqlHistoryStatistics
from adapters.sql.reader import SqlReader
from application.caching import Caches
from application.counting import CountEvents
from application.facade import ReadModelTools
from application.ports.caching import Cache
from application.ports.knowledge import Embedder
from application.ports.projections import Outbox, ReadModels, Snapshots
from application.ports.queries import Reader
from application.ports.runtime import Misconfigured, Now, Queue, RateLimiter, ReplyLog, Signals, Topics
from application.ports.statistics import HistoryStatistics
from application.projections import Projector, RebuildProjections, VerifyProjections
from application.rates import RateLimits
from application.reading import DegradingReader
from application.relay import Relay, WakeWorkers
from application.sessions.telling import TellSockets
from application.statistics.reading import DegradingStatistics
from application.telemetry import Observe
from domain.agents import Agents
from entrypoints.settings import SettingError, Settings

if TYPE_CHECKING:
    from adapters.mongo.server import MongoServer
    from adapters.redis.server import RedisServer


_LONGEST_JOB = 6 * 3600.0
"""Seconds after which a worker gives a job up that should long have ended."""


def breathe() -> None:
    """Wait a little for what others do."""
    time.sleep(0.2)


def give_way() -> None:
    """Let the other greenlets have their turn, if any are ready."""
    time.sleep(0)


def clock(database: Database) -> Now:
    """More than one machine can share a database that locks rows, and have to agree on the time."""
    return DatabaseClock(database) if database.locks_rows else now


def mongo(settings: Settings, observe: Observe | None = None) -> MongoServer | None:
    if settings.mongo_url is None:
        return None
    from adapters.mongo.server import MongoServer

    try:
        return MongoServer(settings.mongo_url, slow=settings.slow_query, observe=observe)
    except Misconfigured as wrong:
        raise SettingError(f"PARLEY_MONGO_URL: {wrong.message}") from None


def read_models(mongo: MongoServer | None) -> ReadModels | None:
    if mongo is None:
        return None
    from adapters.mongo.read_models import MongoReadModels

    return MongoReadModels(mongo)


def reader(
    mongo: MongoServer | None,
    models: ReadModels | None,
    sql: SqlReader,
    snapshots: Snapshots,
    outbox: Outbox,
    signals: Signals,
    clock: Now,
) -> Reader:
    if mongo is None or models is None:
        return sql
    from adapters.mongo.reader import MongoReader

    projector = Projector(snapshots, models)
    return DegradingReader(MongoReader(mongo, sql.reply), sql, models, projector, outbox, signals, clock)


def history_statistics(mongo: MongoServer | None, reader: Reader, database: Database) -> HistoryStatistics:
    sql = SqlHistoryStatistics(database)
    if mongo is None or not isinstance(reader, DegradingReader):
        return sql
    from adapters.mongo.statistics import MongoHistoryStatistics

    return DegradingStatistics(MongoHistoryStatistics(mongo), sql, reader.check)


def relay(
    outbox: Outbox, queue: Queue, jobs_queue: Queue, reader: Reader, topics: Topics, counting: CountEvents
) -> Relay:
    """What is counted is counted once, so first. Then workers are woken, who have more to do than a projection; the
    sweeper makes up for what is lost.

    Sockets are told last: they look up what they are told of.
    """
    waking = WakeWorkers({"ReplyQueued": queue, "JobQueued": jobs_queue})
    telling = TellSockets(topics)
    if isinstance(reader, DegradingReader):
        return Relay(outbox, [counting, waking, reader.project_at_once, telling], [reader.project])
    return Relay(outbox, [counting, waking, telling])


def read_model_tools(snapshots: Snapshots, models: ReadModels | None) -> ReadModelTools | None:
    if models is None:
        return None
    return ReadModelTools(
        models,
        snapshots,
        RebuildProjections(snapshots, models),
        VerifyProjections(snapshots, models, pause=lambda: time.sleep(0.5)),
    )


def redis(settings: Settings, observe: Observe | None = None) -> RedisServer | None:
    if settings.redis_url is None:
        return None
    from adapters.redis.server import RedisServer

    try:
        return RedisServer(settings.redis_url, settings.redis_prefix, slow=settings.slow_query, observe=observe)
    except Misconfigured as wrong:
        raise SettingError(f"PARLEY_REDIS_URL: {wrong.message}") from None


def queue(settings: Settings, redis: RedisServer | None, agents: Agents) -> Queue:
    if redis is None:
        return InProcessQueue(settings.concurrency)
    from adapters.rq.queue import RqQueue

    longest = max(settings.reply_timeout, *(agent.limits.timeout or 0.0 for agent in agents.values()))
    # By then it should long have ended by itself, and its fallback too.
    return RqQueue(redis.client, prefix=settings.redis_prefix, name="replies", job_timeout=2 * longest + 60)


def jobs_queue(settings: Settings, redis: RedisServer | None) -> Queue:
    if redis is None:
        return InProcessQueue(settings.jobs_concurrency)
    from adapters.rq.queue import RqQueue

    return RqQueue(redis.client, prefix=settings.redis_prefix, name="jobs", job_timeout=_LONGEST_JOB)


def worker(settings: Settings, redis: RedisServer | None, queue: Queue) -> Any:
    """Whatever performs what `queue` dispatches, see entrypoints.background.Worker."""
    if redis is None:
        return queue
    from adapters.rq.worker import RqWorker

    prefix, concurrency = settings.redis_prefix, settings.concurrency
    return RqWorker(redis.blocking_client, prefix=prefix, name="replies", concurrency=concurrency)


def jobs_worker(settings: Settings, redis: RedisServer | None, jobs_queue: Queue) -> Any:
    if redis is None:
        return jobs_queue
    from adapters.rq.worker import RqWorker

    prefix, concurrency = settings.redis_prefix, settings.jobs_concurrency
    return RqWorker(redis.blocking_client, prefix=prefix, name="jobs", concurrency=concurrency)


def reply_log(settings: Settings, redis: RedisServer | None) -> ReplyLog:
    if redis is None:
        return InProcessReplyLog(settings.log_keep)
    from adapters.redis.reply_log import RedisReplyLog

    return RedisReplyLog(redis, keep=settings.log_keep)


def signals(redis: RedisServer | None) -> Signals:
    if redis is None:
        return InProcessSignals()
    from adapters.redis.signals import RedisSignals

    return RedisSignals(redis)


def topics(redis: RedisServer | None) -> Topics:
    if redis is None:
        return InProcessTopics()
    from adapters.redis.topics import RedisTopics

    return RedisTopics(redis)


def rate_limiter(redis: RedisServer | None) -> RateLimiter:
    if redis is None:
        return InProcessRateLimiter()
    from adapters.redis.rates import RedisRateLimiter

    return RedisRateLimiter(redis)


def cache(settings: Settings, redis: RedisServer | None) -> Cache:
    if redis is None:
        return InProcessCache(settings.cache_bytes)
    from adapters.redis.cache import RedisCache

    return RedisCache(redis)


def parts(
    pings: dict[str, Callable[[], str]],
    mongo: MongoServer | None,
    redis: RedisServer | None,
    reader: Reader,
    queue: Any,
    rates: RateLimits,
    caches: Caches,
    embedder: Embedder | None,
) -> dict[str, Callable[[], str]]:
    if embedder is not None:
        pings["embeddings"] = embedder.ping
    if mongo is not None:
        pings["mongo"] = mongo.ping
    if isinstance(reader, DegradingReader):
        pings["read models"] = reader.check
    if redis is not None:
        pings["redis"] = redis.ping
        pings["workers"] = queue.ping
        pings["rate limits"] = rates.check
    pings["cache"] = caches.check
    return pings


def requirements(database: Any, mongo: MongoServer | None, redis: RedisServer | None) -> dict[str, Callable[[], None]]:
    """By setting: raises Misconfigured when the server can never do, Unavailable while it does not answer."""
    required: dict[str, Callable[[], None]] = {"PARLEY_DATABASE_URL": database.require}
    if mongo is not None:
        required["PARLEY_MONGO_URL"] = mongo.require
    if redis is not None:
        required["PARLEY_REDIS_URL"] = redis.require
    return required
