"""Ask a question, or ask for another version of the last answer: both leave a queued reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from application.conversations.posting import Asked, OnConflict, Posting, require_project
from application.documents import asked_document, regenerated_document
from application.ports.persistence import Once, StartWork
from domain.identity import Principal
from domain.messages import NewQuestion
from domain.replies import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class AskQuestion:
    """A principal says something and wants a reply; see NewQuestion for what it may come with."""

    principal: Principal
    conversation_id: UUID
    content: str
    agent: str | None = None
    on_conflict: OnConflict = OnConflict.REJECT
    metadata: Mapping[str, object] = field(default_factory=dict)
    instructions: str | None = None
    once: Once | None = None

    @property
    def said(self) -> NewQuestion:
        """The question."""
        return NewQuestion(self.content, agent=self.agent, metadata=self.metadata, instructions=self.instructions)


@dataclass(frozen=True, slots=True)
class AskQuestionHandler:
    """Question, reply and events in one transaction, whose events then wake a worker.

    Raises NotFound, Forbidden, Invalid, Conflict `reply_in_progress` or `project_gone`, or Limited
    `too_many_live_replies`.
    """

    start_work: StartWork
    posting: Posting

    def __call__(self, command: AskQuestion) -> Asked:
        return self.posting.interrupting(command.principal, command.on_conflict, lambda: self._post(command))

    def _post(self, command: AskQuestion) -> Asked:
        with self.start_work() as work:
            conversation = work.conversations.get(command.conversation_id, for_=command.principal)
            require_project(work, conversation, command.principal)
            asked = self.posting.ask(work, conversation, command.said)
            work.answers.keep(command.once, asked_document(*asked))
            work.commit()
        return asked


@dataclass(frozen=True, slots=True, kw_only=True)
class RegenerateReply:
    """The last answer of a conversation shall be written anew."""

    principal: Principal
    reply_id: UUID
    once: Once | None = None


@dataclass(frozen=True, slots=True)
class RegenerateReplyHandler:
    """Queues the new version.

    Raises NotFound, Forbidden, Conflict `not_last_answer` or `reply_in_progress`, or Limited `too_many_live_replies`.
    """

    start_work: StartWork
    posting: Posting

    def __call__(self, command: RegenerateReply) -> Reply:
        with self.start_work() as work:
            reply = work.replies.peek(command.reply_id, for_=command.principal)
            conversation = work.conversations.get(reply.conversation_id, for_=command.principal)
            conversation.require_no_live_reply()
            anew = self.posting.regenerate(work, conversation, reply)
            work.answers.keep(command.once, regenerated_document(anew))
            work.commit()
        return anew
