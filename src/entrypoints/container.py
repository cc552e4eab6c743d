"""The wiring: which adapter stands behind which port. Nothing else in Parley imports an adapter."""

from __future__ import annotations

from pathlib import Path

from dependency_injector import containers, providers

from adapters.in_process.queue import InProcessCancellations, InProcessQueue
from adapters.in_process.reply_log import InProcessReplyLog
from adapters.in_process.runtime import new_id, now
from adapters.jwt.tokens import JwtTokens
from adapters.offline.documentation import Documentation
from adapters.offline.responder import MODEL_AWAY, OfflineResponder
from adapters.sql.engine import Database
from adapters.sql.live_replies import SqlLiveReplies
from adapters.sql.outbox import SqlOutbox
from adapters.sql.reader import SqlReader
from adapters.sql.schema import Schema
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.conversations.asking import AskQuestionHandler, RegenerateReplyHandler
from application.conversations.commands import (
    ChangeConversationHandler,
    DeleteConversationHandler,
    RestoreConversationHandler,
    StartConversationHandler,
)
from application.facade import Application, ConversationCommands, ReplyCommands, RoomCommands
from application.ports.language import LanguageModel
from application.relay import Relay
from application.replies.ending import CancelReplyHandler, ReplyEnding
from application.replies.generating import GenerateReply, Pace
from application.replies.upkeep import ReapReplies, SweepReplies
from application.replies.watching import ReplyWatcher
from application.rooms.commands import ChangeRoomHandler, DeleteRoomHandler, OpenRoomHandler, RestoreRoomHandler
from application.visitors.commands import WelcomeVisitorHandler
from domain.agents import BUILT_IN
from entrypoints.settings import Settings

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


class Container(containers.DeclarativeContainer):
    """One installation's object graph: everything is made once, on first use."""

    settings = providers.Dependency(instance_of=Settings)
    clock = providers.Object(now)
    ids = providers.Object(new_id)
    agents = providers.Object(BUILT_IN)
    limits = settings.provided.limits

    # Persistence
    database = providers.Singleton(Database, settings.provided.database_url)
    schema = providers.Singleton(Schema, database)
    start_work = providers.Factory(SqlUnitOfWork, database).provider
    reader = providers.Singleton(SqlReader, database)
    live_replies = providers.Singleton(SqlLiveReplies, database)
    relay = providers.Singleton(Relay, providers.Singleton(SqlOutbox, database))

    # Runtime
    queue = providers.Singleton(InProcessQueue, settings.provided.concurrency)
    reply_log = providers.Singleton(InProcessReplyLog, settings.provided.log_keep)
    cancellations = providers.Singleton(InProcessCancellations)
    tokens = providers.Singleton(JwtTokens, settings.provided.secret_key, settings.provided.jwt_secret, clock)

    # Language
    model = providers.Singleton(_model, settings)
    fallback = providers.Singleton(_fallback, settings)
    knowledge = providers.Singleton(Documentation, _PROJECT / "docs")

    # Use cases
    watch = providers.Singleton(ReplyWatcher, reply_log, reader)
    ending = providers.Singleton(ReplyEnding, start_work, reply_log, clock)
    cancel = providers.Singleton(CancelReplyHandler, start_work, cancellations, watch, ending, clock)
    generate = providers.Singleton(
        GenerateReply,
        start_work,
        live_replies,
        reply_log,
        cancellations,
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
            delete=providers.Factory(DeleteRoomHandler, start_work, cancellations, ids, clock),
            restore=providers.Factory(RestoreRoomHandler, start_work, clock, limits),
        ),
        conversations=providers.Factory(
            ConversationCommands,
            start=providers.Factory(StartConversationHandler, start_work, ids, clock, agents, limits),
            change=providers.Factory(ChangeConversationHandler, start_work, clock, agents, limits),
            delete=providers.Factory(DeleteConversationHandler, start_work, cancellations, ids, clock),
            restore=providers.Factory(RestoreConversationHandler, start_work, clock),
            ask=providers.Factory(AskQuestionHandler, start_work, queue, cancel, ids, clock, agents, limits),
        ),
        replies=providers.Factory(
            ReplyCommands,
            generate=generate,
            cancel=cancel,
            regenerate=providers.Factory(RegenerateReplyHandler, start_work, queue, ids, clock, limits),
            watch=watch,
            sweep=providers.Factory(SweepReplies, live_replies, queue, clock),
            reap=providers.Factory(ReapReplies, live_replies, ending, queue, generate.provided.writes, clock),
        ),
        welcome_visitor=providers.Factory(
            WelcomeVisitorHandler, start_work, tokens, ids, clock, settings.provided.visitor_lifetime
        ),
        read=reader,
        relay=relay,
        tokens=tokens,
        agents=agents,
        parts=providers.Dict(
            database=database.provided.ping, model=model.provided.ping, knowledge=knowledge.provided.ping
        ),
    )
