"""The wiring: which adapter stands behind which port. Nothing else in Parley imports an adapter."""

from __future__ import annotations

from pathlib import Path

from dependency_injector import containers, providers

from adapters.in_process.runtime import new_id
from adapters.parsing.parser import SafeParser
from adapters.pdf.printer import SubprocessPdfPrinter
from adapters.skills.vocabulary import vocabulary
from adapters.sql.ageing import SqlAgeing
from adapters.sql.backlog import SqlBacklogs
from adapters.sql.deleted import SqlDeletedReader
from adapters.sql.engine import open_database
from adapters.sql.exporting import SqlExportReader
from adapters.sql.idempotency import SqlIdempotencyKeys
from adapters.sql.job_analyses import SqlJobAnalysisReader
from adapters.sql.knowledge_operations import SqlOperatorReader
from adapters.sql.knowledge_reader import SqlKnowledgeReader
from adapters.sql.live_replies import SqlLiveReplies
from adapters.sql.outbox import SqlOutbox
from adapters.sql.passage_index import SqlPassageIndex
from adapters.sql.reader import SqlReader
from adapters.sql.retention import SqlPurges
from adapters.sql.schema import Schema
from adapters.sql.sessions import SqlSessionReader
from adapters.sql.snapshots import SqlSnapshots
from adapters.sql.statistics import SqlStatistics
from adapters.sql.unit_of_work import SqlUnitOfWork
from adapters.words import terms_of
from application.caching import Caches
from application.conversations.adding import AddMessagesHandler
from application.conversations.asking import AskQuestionHandler, RegenerateReplyHandler
from application.conversations.branching import EditQuestionHandler, SelectVersionHandler
from application.conversations.commands import (
    ChangeConversationHandler,
    DeleteConversationHandler,
    RestoreConversationHandler,
    StartConversationHandler,
)
from application.conversations.feedback import GiveFeedbackHandler, TakeFeedbackBackHandler
from application.conversations.posting import Posting
from application.conversations.transcripts import AbandonReplyHandler, AskTranscriptHandler
from application.counting import CountEvents
from application.exporting.exporting import ExportHandler
from application.exporting.importing import ImportHandler
from application.facade import (
    Application,
    ConversationCommands,
    DocumentCommands,
    Exports,
    JobAnalysisCommands,
    JobCommands,
    MessageCommands,
    ProjectCommands,
    ReplyCommands,
    RetentionCommands,
    RoomCommands,
    SessionCommands,
    VisitorCommands,
)
from application.idempotency import Idempotency
from application.job_analyses.analysing import AnalyseJob
from application.job_analyses.commands import (
    AnalyseJobDescriptionHandler,
    DeleteJobAnalysisHandler,
    RestoreJobAnalysisHandler,
)
from application.job_analyses.matching import SkillMatching
from application.jobs import RunJob, SweepJobs
from application.knowledge.documents import (
    AddDocumentHandler,
    ChangeDocumentHandler,
    DeleteDocumentHandler,
    ReingestDocumentHandler,
    ReplaceDocumentHandler,
    RestoreDocumentHandler,
)
from application.knowledge.ingesting import EmbedDocument, EmbedStale, Ingestion, ReadDocument
from application.knowledge.projects import (
    ChangeProjectHandler,
    DeleteProjectHandler,
    OpenProjectHandler,
    RestoreProjectHandler,
)
from application.knowledge.retrieval import Retrieval
from application.knowledge.seeding import SeedDocumentation
from application.knowledge.syncing import EnsureProjectHandler, PutDocumentHandler, WorkOffDocument
from application.rates import RateLimits
from application.replies.answering import Desk, Pace
from application.replies.answers import Answers
from application.replies.ending import CancelReplyHandler, ReplyEnding
from application.replies.generating import GenerateReply
from application.replies.upkeep import ReapReplies, SweepReplies
from application.replies.watching import ReplyWatcher
from application.retention.cleaning import CleanUpHandler
from application.retention.erasing import ErasePrincipalHandler
from application.retention.marks import TokensOfTheLiving
from application.retention.purging import PurgeHandler, Purging
from application.retention.settling import HearPurges, SettleAbandoned, SettlePurges
from application.retention.verifying import VerifyPurges
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
from application.statistics.reading import ReadStatisticsHandler
from application.telemetry import SILENT, Telemetry
from application.visitors.commands import ClaimVisitorHandler, WelcomeVisitorHandler
from domain.jobs import JobKind
from entrypoints.container import analyses, answering, identity, language, retention, servers
from entrypoints.settings import Settings

_PROJECT = Path(__file__).resolve().parents[3]


class Container(containers.DeclarativeContainer):
    """One installation's object graph: everything is made once, on first use."""

    settings = providers.Dependency(instance_of=Settings)
    telemetry = providers.Dependency(instance_of=Telemetry, default=SILENT)
    ids = providers.Object(new_id)
    toolbox = providers.Singleton(answering.toolbox)
    agents_file = providers.Singleton(answering.agents_file, settings, toolbox)
    agents = agents_file.provided.agents
    prices = agents_file.provided.prices
    limits = settings.provided.limits

    # Persistence
    database = providers.Singleton(
        open_database,
        settings.provided.database_url,
        pool=settings.provided.database_pool,
        slow=settings.provided.slow_query,
        observe=telemetry.provided.observe_statements,
    )
    clock = providers.Singleton(servers.clock, database)
    mongo = providers.Singleton(servers.mongo, settings, telemetry.provided.observe_statements)
    schema = providers.Singleton(Schema, database)
    outbox = providers.Singleton(SqlOutbox, database)
    snapshots = providers.Singleton(SqlSnapshots, database)
    read_models = providers.Singleton(servers.read_models, mongo)
    sql_reader = providers.Singleton(SqlReader, database)
    live_replies = providers.Singleton(SqlLiveReplies, database)
    session_reader = providers.Singleton(SqlSessionReader, database, clock)
    embedding_space = providers.Singleton(language.embedding_space, settings)
    knowledge_reader = providers.Singleton(SqlKnowledgeReader, database, embedding_space)
    idempotency = providers.Singleton(
        Idempotency, providers.Singleton(SqlIdempotencyKeys, database), clock, settings.provided.idempotency_lifetime
    )

    # Runtime
    redis = providers.Singleton(servers.redis, settings, telemetry.provided.observe_statements)
    queue = providers.Singleton(servers.queue, settings, redis, agents)
    worker = providers.Singleton(servers.worker, settings, redis, queue)
    jobs_queue = providers.Singleton(servers.jobs_queue, settings, redis)
    jobs_worker = providers.Singleton(servers.jobs_worker, settings, redis, jobs_queue)
    reply_log = providers.Singleton(servers.reply_log, settings, redis)
    signals = providers.Singleton(servers.signals, redis)
    topics = providers.Singleton(servers.topics, redis)
    rate_limiter = providers.Singleton(servers.rate_limiter, redis)
    rates = providers.Singleton(RateLimits, settings.provided.rates, rate_limiter, ids, telemetry)
    cache = providers.Singleton(servers.cache, settings, redis)
    caches = providers.Singleton(Caches, cache, settings.provided.cache_lifetimes, ids, telemetry)
    reader = providers.Singleton(servers.reader, mongo, read_models, sql_reader, snapshots, outbox, signals, clock)
    counting = providers.Singleton(CountEvents, telemetry.provided.metrics, toolbox.provided.names)
    relay = providers.Singleton(servers.relay, outbox, queue, jobs_queue, reader, topics, counting)
    start_work = providers.Factory(SqlUnitOfWork, database, relay.provided.committed).provider
    requirements = providers.Factory(servers.requirements, database, mongo, redis)

    # Retention
    purges = providers.Singleton(SqlPurges, database)
    marks = providers.Singleton(retention.marks, settings)
    shared_stores = providers.Singleton(retention.shared, settings, database, mongo, redis, marks)
    settle = providers.Singleton(SettlePurges, purges, shared_stores, clock)
    cleanup_lock = providers.Callable(retention.lock, database)
    tokens = providers.Singleton(
        TokensOfTheLiving,
        providers.Singleton(identity.tokens, settings, clock),
        purges,
        marks,
        clock,
        settings.provided.visitor_lifetime,
    )

    # Language
    model = providers.Singleton(language.model, settings, telemetry, agents)
    fallback = providers.Singleton(language.fallback, settings)
    passage_index = providers.Singleton(SqlPassageIndex, database)
    retrieval = providers.Singleton(
        Retrieval,
        passage_index,
        knowledge_reader,
        providers.Singleton(language.embedder, settings, hurried=True),
        caches,
        providers.Object(terms_of),
        settings.provided.embedding_floor,
    )

    intents = providers.Singleton(analyses.intents, settings, model)
    skills = providers.Singleton(analyses.skills, settings, model)
    matching = providers.Singleton(
        SkillMatching, passage_index, knowledge_reader, providers.Callable(vocabulary), providers.Object(terms_of)
    )

    # Use cases
    embedder = providers.Singleton(language.embedder, settings)
    parser = providers.Singleton(SafeParser)
    ingestion = providers.Singleton(Ingestion, ids, clock, limits, embedder)
    run_job = providers.Singleton(
        RunJob,
        start_work,
        providers.Dict(
            {
                JobKind.INGEST: providers.Factory(ReadDocument, start_work, parser, ingestion),
                JobKind.EMBED: providers.Factory(EmbedDocument, start_work, embedder, clock),
                JobKind.ANALYSE: providers.Factory(
                    AnalyseJob, start_work, parser, skills, matching, caches, clock, limits
                ),
            }
        ),
        clock,
        telemetry,
    )
    watch = providers.Singleton(ReplyWatcher, reply_log, reader)
    ending = providers.Singleton(ReplyEnding, start_work, reply_log, clock)
    cancel = providers.Singleton(CancelReplyHandler, start_work, signals, watch, ending, clock)
    posting = providers.Singleton(Posting, cancel, ids, clock, agents, limits)
    delete_conversation = providers.Singleton(DeleteConversationHandler, start_work, signals, ids, clock)
    lifetime = settings.provided.session_lifetime
    delete_room = providers.Singleton(DeleteRoomHandler, start_work, signals, ids, clock)
    delete_project = providers.Singleton(DeleteProjectHandler, start_work, ids, clock)
    delete_job_analysis = providers.Singleton(DeleteJobAnalysisHandler, start_work, ids, clock)
    close_expired = providers.Singleton(CloseExpiredSessions, start_work, clock)
    purging = providers.Singleton(
        Purging,
        start_work,
        purges,
        signals,
        ending,
        clock,
        settings.provided.idempotency_lifetime,
        providers.Callable(retention.pause, database),
    )
    reset_session = providers.Singleton(ResetSessionHandler, start_work, clock, agents, lifetime)
    pace = providers.Factory(Pace, timeout=settings.provided.reply_timeout, idle_timeout=settings.provided.idle_timeout)
    answers = providers.Singleton(
        Answers, caches, reply_log, settings.provided.model, providers.Callable(answering.answer_settings, settings)
    )
    desk = providers.Factory(
        Desk,
        start_work,
        reply_log,
        signals,
        ending,
        model,
        fallback,
        retrieval,
        answers,
        toolbox,
        intents,
        agents,
        prices,
        clock,
        pace,
        limits,
        telemetry,
    )
    generate = providers.Singleton(GenerateReply, desk, live_replies)
    open_project = providers.Singleton(OpenProjectHandler, start_work, ids, clock, limits)
    add_document = providers.Singleton(AddDocumentHandler, start_work, ids, clock, limits)
    replace_document = providers.Singleton(ReplaceDocumentHandler, start_work, ids, clock, limits)
    application = providers.Singleton(
        Application,
        rooms=providers.Factory(
            RoomCommands,
            open=providers.Factory(OpenRoomHandler, start_work, ids, clock, limits),
            change=providers.Factory(ChangeRoomHandler, start_work, clock, limits),
            delete=delete_room,
            restore=providers.Factory(RestoreRoomHandler, start_work, clock, limits),
        ),
        conversations=providers.Factory(
            ConversationCommands,
            start=providers.Factory(StartConversationHandler, start_work, posting),
            change=providers.Factory(ChangeConversationHandler, start_work, clock, agents, limits),
            delete=delete_conversation,
            restore=providers.Factory(RestoreConversationHandler, start_work, clock),
            ask=providers.Factory(AskQuestionHandler, start_work, posting),
            ask_transcript=providers.Factory(AskTranscriptHandler, start_work, posting),
            add_messages=providers.Factory(AddMessagesHandler, start_work, posting),
        ),
        messages=providers.Factory(
            MessageCommands,
            edit=providers.Factory(EditQuestionHandler, start_work, posting),
            select=providers.Factory(SelectVersionHandler, start_work, clock),
            give_feedback=providers.Factory(GiveFeedbackHandler, start_work, clock, limits),
            take_feedback_back=providers.Factory(TakeFeedbackBackHandler, start_work, clock),
        ),
        replies=providers.Factory(
            ReplyCommands,
            generate=generate,
            cancel=cancel,
            abandon=providers.Factory(AbandonReplyHandler, start_work, cancel),
            regenerate=providers.Factory(RegenerateReplyHandler, start_work, posting),
            watch=watch,
            sweep=providers.Factory(SweepReplies, live_replies, queue, clock),
            reap=providers.Factory(ReapReplies, live_replies, ending, generate.provided.writes, clock),
        ),
        sessions=providers.Factory(
            SessionCommands,
            open=providers.Factory(OpenSessionHandler, start_work, ids, clock, agents, limits, lifetime),
            ask=providers.Factory(AskInSessionHandler, start_work, posting, lifetime),
            touch=providers.Factory(TouchSessionHandler, start_work, clock, lifetime),
            change_context=providers.Factory(ChangeContextHandler, start_work, clock, limits, lifetime),
            reset=reset_session,
            stop=providers.Factory(StopSessionHandler, start_work, cancel),
            clear=providers.Factory(ClearHistoryHandler, start_work, reset_session, delete_conversation),
            rate=providers.Factory(RateSessionHandler, start_work, limits),
            close=providers.Factory(CloseSessionHandler, start_work, clock),
            close_expired=close_expired,
        ),
        visitors=providers.Factory(
            VisitorCommands,
            welcome=providers.Factory(
                WelcomeVisitorHandler, start_work, tokens, ids, clock, settings.provided.visitor_lifetime
            ),
            claim=providers.Factory(ClaimVisitorHandler, start_work, clock, limits),
        ),
        projects=providers.Factory(
            ProjectCommands,
            open=open_project,
            change=providers.Factory(ChangeProjectHandler, start_work, clock, limits),
            delete=delete_project,
            restore=providers.Factory(RestoreProjectHandler, start_work, ids, clock, limits),
            ensure=providers.Factory(EnsureProjectHandler, start_work, open_project),
            seed=providers.Factory(
                SeedDocumentation,
                providers.Factory(SqlUnitOfWork, database).provider,  # Nobody to be told is there yet.
                parser,
                ingestion,
                _PROJECT / "docs",
            ),
        ),
        documents=providers.Factory(
            DocumentCommands,
            add=add_document,
            put=providers.Factory(PutDocumentHandler, start_work, add_document, replace_document),
            work_off=providers.Factory(WorkOffDocument, start_work, run_job, servers.breathe),
            replace=replace_document,
            change=providers.Factory(ChangeDocumentHandler, start_work, clock, limits),
            delete=providers.Factory(DeleteDocumentHandler, start_work, ids, clock),
            restore=providers.Factory(RestoreDocumentHandler, start_work, ids, clock, limits),
            reingest=providers.Factory(ReingestDocumentHandler, start_work, ids, clock),
            embed_stale=providers.Singleton(EmbedStale, start_work, embedder, ids, clock, caches),
        ),
        jobs=providers.Factory(
            JobCommands, run=run_job, sweep=providers.Factory(SweepJobs, start_work, jobs_queue, clock)
        ),
        job_analyses=providers.Factory(
            JobAnalysisCommands,
            analyse=providers.Factory(AnalyseJobDescriptionHandler, start_work, ids, clock, limits),
            delete=delete_job_analysis,
            restore=providers.Factory(RestoreJobAnalysisHandler, start_work, ids, clock, limits),
        ),
        retention=providers.Factory(
            RetentionCommands,
            clean_up=providers.Factory(
                CleanUpHandler,
                providers.Factory(SqlAgeing, database),
                purges,
                purging,
                settle,
                delete_room,
                delete_conversation,
                close_expired,
                reply_log,
                read_models,
                cleanup_lock,
                settings.provided.retention,
                settings.provided.visitor_lifetime,
                clock,
            ),
            purge=providers.Factory(PurgeHandler, purging, settle),
            erase=providers.Factory(
                ErasePrincipalHandler,
                start_work,
                purges,
                purging,
                settle,
                delete_room,
                delete_conversation,
                delete_project,
                delete_job_analysis,
                marks,
                retention.wait_for_news,
                clock,
            ),
            verify=providers.Factory(
                VerifyPurges, purges, providers.Factory(retention.all_stores, database, shared_stores, marks), clock
            ),
            settle=providers.Factory(SettleAbandoned, settle, cleanup_lock),
            hear=providers.Factory(
                HearPurges, purges, providers.Factory(retention.own, reply_log, cache, rate_limiter, marks), clock
            ),
            erased=tokens,
            vacuum=providers.Callable(retention.vacuum, database),
        ),
        exports=providers.Factory(
            Exports,
            write=providers.Factory(
                ExportHandler,
                providers.Factory(SqlExportReader, database),
                providers.Singleton(
                    SubprocessPdfPrinter, settings.provided.export_fonts, settings.provided.export_pdf_messages
                ),
                servers.give_way,
                clock,
            ),
            take_in=providers.Factory(ImportHandler, start_work, ids, clock, agents, limits, purges, marks),
        ),
        read=reader,
        read_sessions=session_reader,
        read_knowledge=knowledge_reader,
        read_job_analyses=providers.Factory(SqlJobAnalysisReader, database),
        read_deleted=providers.Factory(SqlDeletedReader, database, settings.provided.retention),
        read_all=providers.Factory(SqlOperatorReader, database, clock, embedding_space),
        retrieval=retrieval,
        statistics=providers.Factory(
            ReadStatisticsHandler,
            providers.Factory(servers.history_statistics, mongo, reader, database),
            providers.Factory(SqlStatistics, database),
            caches,
            clock,
        ),
        relay=relay,
        tokens=tokens,
        topics=topics,
        rates=rates,
        caches=caches,
        idempotency=idempotency,
        telemetry=telemetry,
        backlogs=providers.Factory(SqlBacklogs, database, clock),
        agents=agents,
        read_models=providers.Factory(servers.read_model_tools, snapshots, read_models),
        parts=providers.Factory(
            servers.parts,
            providers.Dict(
                database=database.provided.ping, model=model.provided.ping, knowledge=retrieval.provided.ping
            ),
            mongo,
            redis,
            reader,
            queue,
            rates,
            caches,
            embedder,
        ),
    )


def close(container: Container) -> None:
    """Close every connection, and end the threads of the drivers: before a fork, or at the end."""
    container.database().dispose()
    for server in (container.mongo(), container.redis()):
        if server is not None:
            server.close()
