"""Ask in a session: in the conversation where it speaks, or in a new one."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from application.conversations.posting import Asked, OnConflict, Posting, require_project
from application.documents import asked_document
from application.ports.persistence import Once, StartWork, UnitOfWork
from application.sessions.commands import conversation_of
from domain.conversations import Conversation
from domain.errors import NotFound
from domain.identity import Principal
from domain.messages import NewQuestion
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
    lifetime: Lifetime

    def __call__(self, command: AskInSession) -> Asked:
        if command.at_most is not None:
            self.posting.limits.text("content", command.content, command.at_most)
        return self.posting.interrupting(command.principal, command.on_conflict, lambda: self._post(command))

    def _post(self, command: AskInSession) -> Asked:
        with self.start_work() as work:
            session = work.sessions.get(command.session_id, for_=command.principal)
            session.touch(self.lifetime, self.posting.now())
            if command.project_id is not None:
                work.projects.look(command.project_id, for_=command.principal)
            spoken_in = conversation_of(work, session, command.principal)
            conversation = spoken_in or self._started(work, session, command.principal)
            if command.project_id is None:
                require_project(work, conversation, command.principal)
            said = NewQuestion(command.content, agent=command.agent if command.agent is not None else session.agent)
            asked = self.posting.ask(work, conversation, said, session_id=session.id, project_id=command.project_id)
            work.answers.keep(command.once, asked_document(*asked))
            work.commit()
        return asked

    def _started(self, work: UnitOfWork, session: Session, principal: Principal) -> Conversation:
        """A new conversation in the session's room, whose owner it then has, or on its own."""
        owner = session.owner
        if session.room_id is not None:
            owner = work.rooms.get(session.room_id, for_=principal).owner
        elif session.binding != OWN:
            raise NotFound("conversation", session.conversation_id)  # What it is bound to was deleted.
        conversation = self.posting.start(work, owner, session.agent, room_id=session.room_id)
        session.speak_in(conversation.id)
        return conversation
