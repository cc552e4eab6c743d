"""The table of contents: every command and query that Parley has, typed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from application.conversations.asking import AskQuestionHandler, RegenerateReplyHandler
from application.conversations.branching import EditQuestionHandler, SelectVersionHandler
from application.conversations.commands import (
    ChangeConversationHandler,
    DeleteConversationHandler,
    RestoreConversationHandler,
    StartConversationHandler,
)
from application.conversations.feedback import GiveFeedbackHandler, TakeFeedbackBackHandler
from application.idempotency import Idempotency
from application.ports.projections import Model, ReadModels, Snapshots
from application.ports.queries import Reader, SessionReader
from application.ports.runtime import Tokens, Topics
from application.projections import RebuildProjections, VerifyProjections
from application.rates import RateLimits
from application.relay import Relay
from application.replies.ending import CancelReplyHandler
from application.replies.generating import GenerateReply
from application.replies.upkeep import ReapReplies, SweepReplies
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
class ReplyCommands:
    """What can be done to replies; `generate` is a worker's, `sweep` and `reap` are anybody's who has the time."""

    generate: GenerateReply
    cancel: CancelReplyHandler
    regenerate: RegenerateReplyHandler
    watch: ReplyWatcher
    sweep: SweepReplies
    reap: ReapReplies


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
    read: Reader
    read_sessions: SessionReader
    read_models: ReadModelTools | None
    """None where queries are answered from the write tables."""
    relay: Relay
    tokens: Tokens
    topics: Topics
    rates: RateLimits
    idempotency: Idempotency
    agents: Agents
    parts: Mapping[str, Callable[[], str]]
    """What Parley stands on; each call says in a line what answers, or raises Unavailable."""
