"""The table of contents: every command and query that Parley has, typed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

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
from application.conversations.transcripts import AbandonReplyHandler, AskTranscriptHandler
from application.exporting.exporting import ExportHandler
from application.exporting.importing import ImportHandler
from application.idempotency import Idempotency
from application.job_analyses.commands import (
    AnalyseJobDescriptionHandler,
    DeleteJobAnalysisHandler,
    RestoreJobAnalysisHandler,
)
from application.jobs import RunJob, SweepJobs
from application.knowledge.documents import (
    AddDocumentHandler,
    ChangeDocumentHandler,
    DeleteDocumentHandler,
    ReingestDocumentHandler,
    ReplaceDocumentHandler,
    RestoreDocumentHandler,
)
from application.knowledge.ingesting import EmbedStale
from application.knowledge.projects import (
    ChangeProjectHandler,
    DeleteProjectHandler,
    OpenProjectHandler,
    RestoreProjectHandler,
)
from application.knowledge.retrieval import Retrieval
from application.knowledge.seeding import SeedDocumentation
from application.knowledge.syncing import EnsureProjectHandler, PutDocumentHandler, WorkOffDocument
from application.ports.deleted import DeletedReader
from application.ports.job_analyses import JobAnalysisReader
from application.ports.knowledge import KnowledgeReader
from application.ports.operations import OperatorReader
from application.ports.projections import Model, ReadModels, Snapshots
from application.ports.queries import Reader, SessionReader
from application.ports.runtime import Tokens, Topics
from application.ports.telemetry import Backlogs
from application.projections import RebuildProjections, VerifyProjections
from application.rates import RateLimits
from application.relay import Relay
from application.replies.ending import CancelReplyHandler
from application.replies.generating import GenerateReply
from application.replies.upkeep import ReapReplies, SweepReplies
from application.replies.watching import ReplyWatcher
from application.retention.cleaning import CleanUpHandler
from application.retention.erasing import ErasePrincipalHandler
from application.retention.marks import TokensOfTheLiving
from application.retention.purging import PurgeHandler
from application.retention.settling import HearPurges, SettleAbandoned
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
from application.telemetry import Telemetry
from application.visitors.commands import ClaimVisitorHandler, WelcomeVisitorHandler
from domain.agents import Agents


@dataclass(frozen=True, slots=True)
class RoomCommands:
    """What can be done to rooms."""

    open: OpenRoomHandler
    change: ChangeRoomHandler
    delete: DeleteRoomHandler
    restore: RestoreRoomHandler


@dataclass(frozen=True, slots=True)
class ConversationCommands:
    """What can be done to conversations."""

    start: StartConversationHandler
    change: ChangeConversationHandler
    delete: DeleteConversationHandler
    restore: RestoreConversationHandler
    ask: AskQuestionHandler
    ask_transcript: AskTranscriptHandler
    add_messages: AddMessagesHandler


@dataclass(frozen=True, slots=True)
class MessageCommands:
    """What can be done to messages."""

    edit: EditQuestionHandler
    select: SelectVersionHandler
    give_feedback: GiveFeedbackHandler
    take_feedback_back: TakeFeedbackBackHandler


@dataclass(frozen=True, slots=True)
class SessionCommands:
    """What can be done to sessions; `close_expired` is anybody's who has the time."""

    open: OpenSessionHandler
    ask: AskInSessionHandler
    touch: TouchSessionHandler
    change_context: ChangeContextHandler
    reset: ResetSessionHandler
    stop: StopSessionHandler
    clear: ClearHistoryHandler
    rate: RateSessionHandler
    close: CloseSessionHandler
    close_expired: CloseExpiredSessions


@dataclass(frozen=True, slots=True)
class VisitorCommands:
    """What can be done about visitors."""

    welcome: WelcomeVisitorHandler
    claim: ClaimVisitorHandler


@dataclass(frozen=True, slots=True)
class ProjectCommands:
    """What can be done to projects; `seed` is for whoever brings an installation up to date."""

    open: OpenProjectHandler
    change: ChangeProjectHandler
    delete: DeleteProjectHandler
    restore: RestoreProjectHandler
    ensure: EnsureProjectHandler
    seed: SeedDocumentation


@dataclass(frozen=True, slots=True)
class DocumentCommands:
    """What can be done to documents; `work_off` is for who waits for it, `embed_stale` for who has the time."""

    add: AddDocumentHandler
    put: PutDocumentHandler
    work_off: WorkOffDocument
    replace: ReplaceDocumentHandler
    change: ChangeDocumentHandler
    delete: DeleteDocumentHandler
    restore: RestoreDocumentHandler
    reingest: ReingestDocumentHandler
    embed_stale: EmbedStale


@dataclass(frozen=True, slots=True)
class JobCommands:
    """What is done about background jobs: `run` is a worker's, `sweep` is anybody's who has the time."""

    run: RunJob
    sweep: SweepJobs


@dataclass(frozen=True, slots=True)
class ReplyCommands:
    """What can be done to replies; `generate` is a worker's, `sweep` and `reap` are anybody's who has the time."""

    generate: GenerateReply
    cancel: CancelReplyHandler
    abandon: AbandonReplyHandler
    regenerate: RegenerateReplyHandler
    watch: ReplyWatcher
    sweep: SweepReplies
    reap: ReapReplies


@dataclass(frozen=True, slots=True)
class JobAnalysisCommands:
    """What can be done to job analyses."""

    analyse: AnalyseJobDescriptionHandler
    delete: DeleteJobAnalysisHandler
    restore: RestoreJobAnalysisHandler


@dataclass(frozen=True, slots=True)
class RetentionCommands:
    """What is removed for good; `settle` is for whoever has the time, `hear` and `erased.look` for every process."""

    clean_up: CleanUpHandler
    purge: PurgeHandler
    erase: ErasePrincipalHandler
    verify: VerifyPurges
    settle: SettleAbandoned
    hear: HearPurges
    erased: TokensOfTheLiving
    vacuum: Callable[[], None]
    """Has the database let go of the room that deleted rows took; may take long."""


@dataclass(frozen=True, slots=True)
class Exports:
    """What is written to files, and taken in from them."""

    write: ExportHandler
    take_in: ImportHandler


@dataclass(frozen=True, slots=True)
class ReadModelTools:
    """What operators do to the read models."""

    models: ReadModels
    snapshots: Snapshots
    rebuild: RebuildProjections
    verify: VerifyProjections

    def prepare(self) -> None:
        """Make the indexes; where nothing was ever written there is nothing to rebuild."""
        self.models.prepare()
        if not any(self.snapshots.count(model) for model in Model):
            self.models.complete()


@dataclass(frozen=True, slots=True)
class Application:
    """All that an entrypoint is given. Queries without a policy of their own are the reader's methods."""

    rooms: RoomCommands
    conversations: ConversationCommands
    messages: MessageCommands
    replies: ReplyCommands
    sessions: SessionCommands
    visitors: VisitorCommands
    projects: ProjectCommands
    documents: DocumentCommands
    jobs: JobCommands
    job_analyses: JobAnalysisCommands
    exports: Exports
    retention: RetentionCommands
    read: Reader
    read_sessions: SessionReader
    read_knowledge: KnowledgeReader
    read_job_analyses: JobAnalysisReader
    read_deleted: DeletedReader
    read_all: OperatorReader
    retrieval: Retrieval
    statistics: ReadStatisticsHandler
    read_models: ReadModelTools | None
    """None where queries are answered from the write tables."""
    relay: Relay
    tokens: Tokens
    topics: Topics
    rates: RateLimits
    caches: Caches
    idempotency: Idempotency
    telemetry: Telemetry
    backlogs: Backlogs
    agents: Agents
    parts: Mapping[str, Callable[[], str]]
    """What Parley stands on; each call says in a line what answers, or raises Unavailable."""
