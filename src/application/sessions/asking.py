"""Ask in a session: in the conversation where it speaks, or in a new one."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from application.conversations.asking import OnConflict, Posting, require_project, taken_ahead
from application.documents import asked_document
from application.ports.persistence import Once, StartWork, UnitOfWork
from application.ports.runtime import NewId, Now
from application.sessions.commands import conversation_of
from domain.agents import Agents
from domain.conversations import Conversation
from domain.errors import NotFound
from domain.identity import Principal
from domain.limits import Limits
from domain.messages import Message
from domain.replies import Reply
from domain.sessions import OWN, Lifetime, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class AskInSession:
    """A principal says something in a session; `at_most` bounds its length where the wire wants it shorter."""

    principal: Principal
    session_id: UUID
    content: str
    agent: str | None = None
    project_id: UUID | None = None
    on_conflict: OnConflict = OnConflict.REJECT
    at_most: int | None = None
    once: Once | None = None


@dataclass(frozen=True, slots=True)
class AskInSessionHandler:
    """Takes the question as any other, and gives the session a sign of life; its context reaches the agent.

    Raises NotFound, Forbidden, Invalid, Conflict `reply_in_progress`, `session_closed` or `session_expired`, or
    Limited `too_many_live_replies`.
    """

    start_work: StartWork
    posting: Posting
    new_id: NewId
    now: Now
    agents: Agents
    limits: Limits
    lifetime: Lifetime

    def __call__(self, command: AskInSession) -> tuple[Message, Reply]:
        if command.at_most is not None:
            self.limits.text("content", command.content, command.at_most)
        return self.posting(command.principal, command.on_conflict, lambda: self._post(command))

    def _post(self, command: AskInSession) -> tuple[Message, Reply]:
        with self.start_work() as work:
            session = work.sessions.get(command.session_id, for_=command.principal)
            session.touch(self.lifetime, self.now())
            if command.project_id is not None:
                work.projects.look(command.project_id, for_=command.principal)
            spoken_in = conversation_of(work, session, command.principal)
            conversation = spoken_in or self._started(work, session, command.principal)
            if command.project_id is None:
                require_project(work, conversation, command.principal)
            question, reply = conversation.ask(
                command.content,
                message_id=self.new_id(),
                reply_id=self.new_id(),
                agent=command.agent if command.agent is not None else session.agent,
                live_replies=work.replies.count_live(conversation.owner),
                agents=self.agents,
                limits=self.limits,
                now=self.now(),
                session_id=session.id,
                project_id=command.project_id,
                taken=taken_ahead(work, conversation),
            )
            work.messages.add(question)
            work.replies.add(reply)
            work.answers.keep(command.once, asked_document(question, reply))
            work.commit()
        return question, reply

    def _started(self, work: UnitOfWork, session: Session, principal: Principal) -> Conversation:
        """A new conversation in the session's room, whose owner it then has, or on its own."""
        owner = session.owner
        if session.room_id is not None:
            owner = work.rooms.get(session.room_id, for_=principal).owner
        elif session.binding != OWN:
            raise NotFound("conversation", session.conversation_id)  # What it is bound to was deleted.
        conversation = Conversation.start(
            id=self.new_id(),
            owner=owner,
            room_id=session.room_id,
            title=None,
            agent=session.agent,
            metadata={},
            agents=self.agents,
            limits=self.limits,
            now=self.now(),
        )
        work.conversations.add(conversation)
        session.speak_in(conversation.id)
        return conversation
