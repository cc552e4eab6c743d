"""The wiring: which adapter stands behind which port. Nothing else in Parley imports an adapter."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dependency_injector import containers, providers

from adapters.in_process.queue import InProcessQueue, InProcessSignals
from adapters.in_process.rates import InProcessRateLimiter
from adapters.in_process.reply_log import InProcessReplyLog
from adapters.in_process.runtime import new_id, now
from adapters.in_process.topics import InProcessTopics
from adapters.jwt.jwks import JwksKeys
from adapters.jwt.keys import keys_in
from adapters.jwt.tokens import FixedKeys, HostProduct, JwtTokens, PublicKeys
from adapters.offline.documentation import Documentation
from adapters.offline.responder import MODEL_AWAY, OfflineResponder
from adapters.sql.clock import DatabaseClock
from adapters.sql.engine import Database, open_database
from adapters.sql.idempotency import SqlIdempotencyKeys
from adapters.sql.live_replies import SqlLiveReplies
from adapters.sql.outbox import SqlOutbox
from adapters.sql.reader import SqlReader
from adapters.sql.schema import Schema
from adapters.sql.sessions import SqlSessionReader
from adapters.sql.snapshots import SqlSnapshots
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.conversations.asking import AskQuestionHandler, Posting, RegenerateReplyHandler
from application.conversations.branching import EditQuestionHandler, SelectVersionHandler
from application.conversations.commands import (
    ChangeConversationHandler,
    DeleteConversationHandler,
    RestoreConversationHandler,
    StartConversationHandler,
)
from application.conversations.feedback import GiveFeedbackHandler, TakeFeedbackBackHandler
from application.facade import (
    Application,
    ConversationCommands,
    MessageCommands,
    ReadModelTools,
    ReplyCommands,
    RoomCommands,
    SessionCommands,
    VisitorCommands,
)
from application.idempotency import Idempotency
from application.ports.language import LanguageModel
from application.ports.projections import Outbox, ReadModels, Snapshots
from application.ports.queries import Reader
from application.ports.runtime import Misconfigured, Now, RateLimiter, ReplyLog, ReplyQueue, Signals, Topics
from application.projections import Projector, RebuildProjections, VerifyProjections
from application.rates import RateLimits
from application.reading import DegradingReader
from application.relay import Relay
from application.replies.ending import CancelReplyHandler, ReplyEnding
from application.replies.generating import GenerateReply, Pace
from application.replies.upkeep import ReapReplies, SweepReplies, WakeWorkers
from application.replies.watching import ReplyWatcher
from application.rooms.commands import ChangeRoomHandler, DeleteRoomHandler, OpenRoomHandler, RestoreRoomHandler
from application.sessions.asking import AskInSessionHandler
from application.sessions.commands import (
    ChangeContextHandler,
    ClearHistoryHandler,
    CloseExpiredSessions,
    CloseSessionHandler,
    OpenSessionHandler,
    RateSessionHandler,
    ResetSessionHandler,
    StopSessionHandler,
    TouchSessionHandler,
)
from application.sessions.telling import TellSockets
from application.visitors.commands import ClaimVisitorHandler, WelcomeVisitorHandler
from domain.agents import BUILT_IN
from entrypoints.settings import SettingError, Settings

if TYPE_CHECKING:
    from adapters.mongo.server import MongoServer
    from adapters.redis.server import RedisServer

_PROJECT = Path(__file__).resolve().parents[2]


def _model(settings: Settings) -> LanguageModel:
    if not settings.has_model:
        return OfflineResponder(pause=settings.offline_pause)
    # Imported here because the SDK takes half a second, which an installation without a model need not wait for.
    from adapters.openai.model import OpenAIModel

    return OpenAIModel(
        # Servers of one's own often want no key, and the SDK insists on one.
        api_key=settings.openai_api_key or "none",
        base_url=settings.openai_base_url,
        model=settings.model,
        retries=settings.model_retries,
        idle_timeout=settings.idle_timeout,
    )


def _fallback(settings: Settings) -> LanguageModel | None:
    if not settings.has_model or not settings.fallback:
        return None
    return OfflineResponder(preface=MODEL_AWAY, pause=settings.offline_pause)


def _tokens(settings: Settings, clock: Now) -> JwtTokens:
    host = HostProduct(
        secrets=[settings.jwt_secret, *settings.jwt_secret_fallbacks] if settings.jwt_secret else [],
        keys=_public_keys(settings),
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        roles_claim=settings.jwt_roles_claim,
    )
    secrets = [settings.secret_key, *settings.secret_key_fallbacks]
    return JwtTokens(secrets, host, clock, settings.jwt_leeway)


def _public_keys(settings: Settings) -> PublicKeys | None:
    if settings.jwt_jwks_url is not None:
        return JwksKeys(settings.jwt_jwks_url)
    if settings.jwt_public_key_file is None:
        return None
    try:
        return FixedKeys(keys_in(settings.jwt_public_key_file))
    except Misconfigured as wrong:
        raise SettingError(f"PARLEY_JWT_PUBLIC_KEY_FILE: {wrong.message}") from None


# What a URL chooses. Drivers are imported here because an installation without them need not load them.


def _clock(database: Database) -> Now:
    """More than one machine can share a database that locks rows, and have to agree on the time."""
    return DatabaseClock(database) if database.locks_rows else now


def _mongo(settings: Settings) -> MongoServer | None:
    if settings.mongo_url is None:
        return None
    from adapters.mongo.server import MongoServer

    try:
        return MongoServer(settings.mongo_url)
    except Misconfigured as wrong:
        raise SettingError(f"PARLEY_MONGO_URL: {wrong.message}") from None


def _read_models(mongo: MongoServer | None) -> ReadModels | None:
    if mongo is None:
        return None
    from adapters.mongo.read_models import MongoReadModels

    return MongoReadModels(mongo)


def _reader(
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


def _relay(outbox: Outbox, queue: ReplyQueue, reader: Reader, topics: Topics) -> Relay:
    """Workers are woken first: they have more to do than a projection. The sweeper makes up for what is lost.

    Sockets are told last: they look up what they are told of.
    """
    waking, telling = WakeWorkers(queue), TellSockets(topics)
    if isinstance(reader, DegradingReader):
        return Relay(outbox, [waking, reader.project_at_once, telling], [reader.project])
    return Relay(outbox, [waking, telling])


def _read_model_tools(snapshots: Snapshots, models: ReadModels | None) -> ReadModelTools | None:
    if models is None:
        return None
    return ReadModelTools(
        models,
        snapshots,
        RebuildProjections(snapshots, models),
        VerifyProjections(snapshots, models, pause=lambda: time.sleep(0.5)),
    )


def _redis(settings: Settings) -> RedisServer | None:
    if settings.redis_url is None:
        return None
    from adapters.redis.server import RedisServer

    try:
        return RedisServer(settings.redis_url, settings.redis_prefix)
    except Misconfigured as wrong:
        raise SettingError(f"PARLEY_REDIS_URL: {wrong.message}") from None


def _queue(settings: Settings, redis: RedisServer | None) -> ReplyQueue:
    if redis is None:
        return InProcessQueue(settings.concurrency)
    from adapters.rq.queue import RqQueue

    return RqQueue(redis.client, prefix=settings.redis_prefix, job_timeout=settings.job_timeout)


def _worker(settings: Settings, redis: RedisServer | None, queue: ReplyQueue) -> Any:
    """Whatever performs what `queue` dispatches, see entrypoints.background.Worker."""
    if redis is None:
        return queue
    from adapters.rq.worker import RqWorker

    return RqWorker(redis.blocking_client, prefix=settings.redis_prefix, concurrency=settings.concurrency)


def _reply_log(settings: Settings, redis: RedisServer | None) -> ReplyLog:
    if redis is None:
        return InProcessReplyLog(settings.log_keep)
    from adapters.redis.reply_log import RedisReplyLog

    return RedisReplyLog(redis, keep=settings.log_keep)


def _signals(redis: RedisServer | None) -> Signals:
    if redis is None:
        return InProcessSignals()
    from adapters.redis.signals import RedisSignals

    return RedisSignals(redis)


def _topics(redis: RedisServer | None) -> Topics:
    if redis is None:
        return InProcessTopics()
    from adapters.redis.topics import RedisTopics

    return RedisTopics(redis)


def _rate_limiter(redis: RedisServer | None) -> RateLimiter:
    if redis is None:
        return InProcessRateLimiter()
    from adapters.redis.rates import RedisRateLimiter

    return RedisRateLimiter(redis)


def _parts(
    pings: dict[str, Callable[[], str]],
    mongo: MongoServer | None,
    redis: RedisServer | None,
    reader: Reader,
    queue: Any,
    rates: RateLimits,
) -> dict[str, Callable[[], str]]:
    if mongo is not None:
        pings["mongo"] = mongo.ping
    if isinstance(reader, DegradingReader):
        pings["read models"] = reader.check
    if redis is not None:
        pings["redis"] = redis.ping
        pings["workers"] = queue.ping
        pings["rate limits"] = rates.check
    return pings


def _requirements(database: Any, mongo: MongoServer | None, redis: RedisServer | None) -> dict[str, Callable[[], None]]:
    """By setting: raises Misconfigured when the server can never do, Unavailable while it does not answer."""
    required: dict[str, Callable[[], None]] = {"PARLEY_DATABASE_URL": database.require}
    if mongo is not None:
        required["PARLEY_MONGO_URL"] = mongo.require
    if redis is not None:
        required["PARLEY_REDIS_URL"] = redis.require
    return required


class Container(containers.DeclarativeContainer):
    """One installation's object graph: everything is made once, on first use."""

    settings = providers.Dependency(instance_of=Settings)
    ids = providers.Object(new_id)
    agents = providers.Object(BUILT_IN)
    limits = settings.provided.limits

    # Persistence
    database = providers.Singleton(open_database, settings.provided.database_url, pool=settings.provided.database_pool)
    clock = providers.Singleton(_clock, database)
    mongo = providers.Singleton(_mongo, settings)
    schema = providers.Singleton(Schema, database)
    outbox = providers.Singleton(SqlOutbox, database)
    snapshots = providers.Singleton(SqlSnapshots, database)
    read_models = providers.Singleton(_read_models, mongo)
    sql_reader = providers.Singleton(SqlReader, database)
    live_replies = providers.Singleton(SqlLiveReplies, database)
    session_reader = providers.Singleton(SqlSessionReader, database, clock)
    idempotency = providers.Singleton(
        Idempotency, providers.Singleton(SqlIdempotencyKeys, database), clock, settings.provided.idempotency_lifetime
    )

    # Runtime
    redis = providers.Singleton(_redis, settings)
    queue = providers.Singleton(_queue, settings, redis)
    worker = providers.Singleton(_worker, settings, redis, queue)
    reply_log = providers.Singleton(_reply_log, settings, redis)
    signals = providers.Singleton(_signals, redis)
    topics = providers.Singleton(_topics, redis)
    rates = providers.Singleton(RateLimits, settings.provided.rates, providers.Singleton(_rate_limiter, redis), ids)
    reader = providers.Singleton(_reader, mongo, read_models, sql_reader, snapshots, outbox, signals, clock)
    relay = providers.Singleton(_relay, outbox, queue, reader, topics)
    start_work = providers.Factory(SqlUnitOfWork, database, relay.provided.committed).provider
    requirements = providers.Factory(_requirements, database, mongo, redis)
    tokens = providers.Singleton(_tokens, settings, clock)

    # Language
    model = providers.Singleton(_model, settings)
    fallback = providers.Singleton(_fallback, settings)
    knowledge = providers.Singleton(Documentation, _PROJECT / "docs")

    # Use cases
    watch = providers.Singleton(ReplyWatcher, reply_log, reader)
    ending = providers.Singleton(ReplyEnding, start_work, reply_log, clock)
    cancel = providers.Singleton(CancelReplyHandler, start_work, signals, watch, ending, clock)
    posting = providers.Singleton(Posting, cancel)
    delete_conversation = providers.Singleton(DeleteConversationHandler, start_work, signals, ids, clock)
    lifetime = settings.provided.session_lifetime
    reset_session = providers.Singleton(ResetSessionHandler, start_work, clock, agents, lifetime)
    generate = providers.Singleton(
        GenerateReply,
        start_work,
        live_replies,
        reply_log,
        signals,
        ending,
        model,
        fallback,
        knowledge,
        agents,
        clock,
        pace=providers.Factory(
            Pace, timeout=settings.provided.reply_timeout, idle_timeout=settings.provided.idle_timeout
        ),
        history=limits.history,
    )
    application = providers.Singleton(
        Application,
        rooms=providers.Factory(
            RoomCommands,
            open=providers.Factory(OpenRoomHandler, start_work, ids, clock, limits),
            change=providers.Factory(ChangeRoomHandler, start_work, clock, limits),
            delete=providers.Factory(DeleteRoomHandler, start_work, signals, ids, clock),
            restore=providers.Factory(RestoreRoomHandler, start_work, clock, limits),
        ),
        conversations=providers.Factory(
            ConversationCommands,
            start=providers.Factory(StartConversationHandler, start_work, ids, clock, agents, limits),
            change=providers.Factory(ChangeConversationHandler, start_work, clock, agents, limits),
            delete=delete_conversation,
            restore=providers.Factory(RestoreConversationHandler, start_work, clock),
            ask=providers.Factory(AskQuestionHandler, start_work, posting, ids, clock, agents, limits),
        ),
        messages=providers.Factory(
            MessageCommands,
            edit=providers.Factory(EditQuestionHandler, start_work, posting, ids, clock, agents, limits),
            select=providers.Factory(SelectVersionHandler, start_work, clock),
            give_feedback=providers.Factory(GiveFeedbackHandler, start_work, clock, limits),
            take_feedback_back=providers.Factory(TakeFeedbackBackHandler, start_work, clock),
        ),
        replies=providers.Factory(
            ReplyCommands,
            generate=generate,
            cancel=cancel,
            regenerate=providers.Factory(RegenerateReplyHandler, start_work, ids, clock, limits),
            watch=watch,
            sweep=providers.Factory(SweepReplies, live_replies, queue, clock),
            reap=providers.Factory(ReapReplies, live_replies, ending, generate.provided.writes, clock),
        ),
        sessions=providers.Factory(
            SessionCommands,
            open=providers.Factory(OpenSessionHandler, start_work, ids, clock, agents, limits, lifetime),
            ask=providers.Factory(AskInSessionHandler, start_work, posting, ids, clock, agents, limits, lifetime),
            touch=providers.Factory(TouchSessionHandler, start_work, clock, lifetime),
            change_context=providers.Factory(ChangeContextHandler, start_work, clock, limits, lifetime),
            reset=reset_session,
            stop=providers.Factory(StopSessionHandler, start_work, cancel),
            clear=providers.Factory(ClearHistoryHandler, start_work, reset_session, delete_conversation),
            rate=providers.Factory(RateSessionHandler, start_work, limits),
            close=providers.Factory(CloseSessionHandler, start_work, clock),
            close_expired=providers.Factory(CloseExpiredSessions, start_work, clock),
        ),
        visitors=providers.Factory(
            VisitorCommands,
            welcome=providers.Factory(
                WelcomeVisitorHandler, start_work, tokens, ids, clock, settings.provided.visitor_lifetime
            ),
            claim=providers.Factory(ClaimVisitorHandler, start_work, clock, limits),
        ),
        read=reader,
        read_sessions=session_reader,
        relay=relay,
        tokens=tokens,
        topics=topics,
        rates=rates,
        idempotency=idempotency,
        agents=agents,
        read_models=providers.Factory(_read_model_tools, snapshots, read_models),
        parts=providers.Factory(
            _parts,
            providers.Dict(
                database=database.provided.ping, model=model.provided.ping, knowledge=knowledge.provided.ping
            ),
            mongo,
            redis,
            reader,
            queue,
            rates,
        ),
    )


def close(container: Container) -> None:
    """Close every connection, and end the threads of the drivers: before a fork, or at the end."""
    container.database().dispose()
    for server in (container.mongo(), container.redis()):
        if server is not None:
            server.close()
