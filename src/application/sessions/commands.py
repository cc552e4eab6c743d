"""Open, keep, reset, rate and close sessions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from application.conversations.commands import DeleteConversation, DeleteConversationHandler
from application.documents import session_document
from application.ports.persistence import Document, Once, StartWork, UnitOfWork
from application.ports.runtime import NewId, Now
from application.replies.ending import CancelReply, CancelReplyHandler
from domain.agents import Agents
from domain.conversations import Conversation
from domain.errors import NotFound
from domain.identity import Principal
from domain.limits import Limits
from domain.sessions import CloseReason, Lifetime, Session, binding_to

_BATCH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSession:
    """A principal sits down: in a room, at a conversation, or with neither, at a thread of its own.

    Whoever has an open session there gets that one, unless it shall be a `fresh` one.
    """

    principal: Principal
    room_id: UUID | None = None
    conversation_id: UUID | None = None
    agent: str | None = None
    context: Mapping[str, object] = field(default_factory=dict)
    metadata: Mapping[str, object] = field(default_factory=dict)
    fresh: bool = False
    once: Once | None = None


@dataclass(frozen=True, slots=True)
class OpenSessionHandler:
    """Opens a session, or finds the open one: the session, and whether it is new.

    A new one goes on where the last one in the same place spoke, so a principal that comes back finds its thread.
    An open one takes the given context in. Raises Invalid, NotFound or Forbidden.
    """

    start_work: StartWork
    new_id: NewId
    now: Now
    agents: Agents
    limits: Limits
    lifetime: Lifetime

    def __call__(self, command: OpenSession) -> tuple[Session, bool]:
        binding = binding_to(room_id=command.room_id, conversation_id=command.conversation_id)
        if command.agent is not None:
            self.agents.named(command.agent)
        owner = command.principal.key
        with self.start_work() as work:
            unclosed = work.sessions.unclosed(owner)
            _require_place(work, command)
            session = next((each for each in unclosed if each.binding == binding), None)
            is_new = session is None or command.fresh or not session.is_open(self.now())
            if session is not None and not is_new:
                session.change_context(command.context, self.limits)
                session.touch(self.lifetime, self.now())
            else:
                if session is not None:
                    session.close(CloseReason.CLOSED, self.now())
                self._make_place([each for each in unclosed if each is not session])
                work.flush()  # The closed one makes way for the new one.
                last = session or work.sessions.latest(owner, binding)
                session = self._opened(command, binding, _where_to_go_on(work, command, last))
                work.sessions.add(session)
            work.answers.keep(command.once, {"is_new": is_new, **session_document(session, self.now())})
            work.commit()
        return session, is_new

    def _make_place(self, unclosed: list[Session]) -> None:
        """Close what has been quiet for longest, so that one more session may be open."""
        for session in unclosed[: max(0, len(unclosed) + 1 - self.limits.sessions)]:
            session.close(CloseReason.CROWDED_OUT, self.now())

    def _opened(self, command: OpenSession, binding: str, conversation_id: UUID | None) -> Session:
        return Session.open(
            id=self.new_id(),
            owner=command.principal.key,
            binding=binding,
            room_id=command.room_id,
            conversation_id=conversation_id,
            agent=command.agent,
            context=command.context,
            metadata=command.metadata,
            lifetime=self.lifetime,
            limits=self.limits,
            now=self.now(),
        )


def _require_place(work: UnitOfWork, command: OpenSession) -> None:
    if command.room_id is not None:
        work.rooms.get(command.room_id, for_=command.principal)
    if command.conversation_id is not None:
        work.conversations.get(command.conversation_id, for_=command.principal)


def _where_to_go_on(work: UnitOfWork, command: OpenSession, last: Session | None) -> UUID | None:
    if command.conversation_id is not None:
        return command.conversation_id
    spoken_in = conversation_of(work, last, command.principal) if last is not None else None
    if spoken_in is not None:
        return spoken_in.id
    return work.conversations.latest_in(command.room_id) if command.room_id is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class InSession:
    """A principal means one of its sessions: it gives a sign of life, or closes it."""

    principal: Principal
    session_id: UUID


@dataclass(frozen=True, slots=True)
class TouchSessionHandler:
    """Keeps a session from expiring; raises NotFound, Forbidden, Conflict `session_closed` or `session_expired`."""

    start_work: StartWork
    now: Now
    lifetime: Lifetime

    def __call__(self, command: InSession) -> Session:
        with self.start_work() as work:
            session = work.sessions.get(command.session_id, for_=command.principal)
            session.touch(self.lifetime, self.now())
            work.commit()
        return session


@dataclass(frozen=True, slots=True)
class CloseSessionHandler:
    """Closes a session; closing twice is closing once. Raises NotFound or Forbidden."""

    start_work: StartWork
    now: Now

    def __call__(self, command: InSession) -> Session:
        with self.start_work() as work:
            session = work.sessions.get(command.session_id, for_=command.principal)
            session.close(CloseReason.CLOSED, self.now())
            work.commit()
        return session


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeContext:
    """The frontend tells where its user is now, or what it knows of them; null takes a member away."""

    principal: Principal
    session_id: UUID
    context: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ChangeContextHandler:
    """Merges the context; raises NotFound, Forbidden, Invalid, Conflict `session_closed` or `session_expired`."""

    start_work: StartWork
    now: Now
    limits: Limits
    lifetime: Lifetime

    def __call__(self, command: ChangeContext) -> Session:
        with self.start_work() as work:
            session = work.sessions.get(command.session_id, for_=command.principal)
            session.touch(self.lifetime, self.now())
            session.change_context(command.context, self.limits)
            work.commit()
        return session


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSession:
    """A principal says how satisfying a session was, 1 to 5."""

    principal: Principal
    session_id: UUID
    rating: int
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class RateSessionHandler:
    """Rates a session, open or not; raises NotFound, Forbidden or Invalid."""

    start_work: StartWork
    limits: Limits

    def __call__(self, command: RateSession) -> Session:
        with self.start_work() as work:
            session = work.sessions.get(command.session_id, for_=command.principal)
            session.rate(command.rating, command.comment, self.limits)
            work.commit()
        return session


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetSession:
    """An agent, or all of them (None), shall no longer see what was said before."""

    principal: Principal
    session_id: UUID
    agent: str | None = None


@dataclass(frozen=True, slots=True)
class ResetSessionHandler:
    """Makes agents forget; the history stays. Raises NotFound, Forbidden, Invalid or Conflict when it is over."""

    start_work: StartWork
    now: Now
    agents: Agents
    lifetime: Lifetime

    def __call__(self, command: ResetSession) -> Session:
        with self.start_work() as work:
            session = work.sessions.get(command.session_id, for_=command.principal)
            session.touch(self.lifetime, self.now())
            conversation = conversation_of(work, session, command.principal)
            if conversation is not None:
                conversation.forget(command.agent, self.agents, self.now())
            elif command.agent is not None:
                self.agents.named(command.agent)
            work.commit()
        return session


@dataclass(frozen=True, slots=True)
class StopSessionHandler:
    """Stops the reply that is being written in a session: the reply as it is then, None when there is none.

    Raises NotFound or Forbidden. A session that is over can be stopped too.
    """

    start_work: StartWork
    cancel: CancelReplyHandler

    def __call__(self, command: InSession) -> Document | None:
        with self.start_work() as work:
            session = work.sessions.get(command.session_id, for_=command.principal)
            conversation = conversation_of(work, session, command.principal)
        if conversation is None or conversation.live_reply_id is None:
            return None
        return self.cancel(CancelReply(principal=command.principal, reply_id=conversation.live_reply_id))


class Scope(StrEnum):
    """What is cleared of a session's history: what the agents remember, what is stored, or both."""

    MEMORY = "memory"
    STORED = "stored"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearHistory:
    """A session shall begin anew."""

    principal: Principal
    session_id: UUID
    scope: Scope = Scope.ALL


@dataclass(frozen=True, slots=True)
class Cleared:
    """How many messages were cleared, and the conversation that was deleted for it, if one was."""

    messages: int = 0
    conversation_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class ClearHistoryHandler:
    """Clears a session's history.

    What is stored is deleted softly, with its conversation, which can be restored; the next question begins
    another one. Raises NotFound or Forbidden, or Conflict when what agents remember of a session that is over is to
    be cleared, and nothing else.
    """

    start_work: StartWork
    reset: Callable[[ResetSession], Session]
    delete: DeleteConversationHandler

    def __call__(self, command: ClearHistory) -> Cleared:
        with self.start_work() as work:
            session = work.sessions.get(command.session_id, for_=command.principal)
            conversation = conversation_of(work, session, command.principal)
        if conversation is None:
            return Cleared()
        if command.scope is Scope.MEMORY:
            self.reset(ResetSession(principal=command.principal, session_id=command.session_id))
            return Cleared(conversation.message_count)
        try:
            deletion = self.delete(DeleteConversation(principal=command.principal, conversation_id=conversation.id))
        except NotFound:
            return Cleared()  # Somebody else has deleted it at this very moment.
        return Cleared(deletion.message_count, conversation.id)


@dataclass(frozen=True, slots=True)
class CloseExpiredSessions:
    """Closes sessions that have expired; run it every minute or so."""

    start_work: StartWork
    now: Now

    def __call__(self) -> int:
        """How many were closed."""
        closed = 0
        while True:
            with self.start_work() as work:
                expired = work.sessions.expired(self.now(), limit=_BATCH)
                for session in expired:
                    session.close(CloseReason.EXPIRED, self.now())
                work.commit()
            closed += len(expired)
            if len(expired) < _BATCH:
                return closed


def conversation_of(work: UnitOfWork, session: Session, principal: Principal) -> Conversation | None:
    """Where the session speaks; None before its first question, and when that conversation was deleted.

    Raises Forbidden when it is not the principal's (any more): who was an admin may still have sessions with others.
    """
    if session.conversation_id is None:
        return None
    try:
        return work.conversations.get(session.conversation_id, for_=principal)
    except NotFound:
        return None
