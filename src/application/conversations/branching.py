"""Edit a question, which begins a new branch; go to another version of a message, and with it to its branch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from application.conversations.posting import Asked, OnConflict, Posting, require_project
from application.documents import asked_document
from application.ports.persistence import Once, StartWork
from application.ports.runtime import Now
from domain.conversations import Conversation
from domain.identity import Principal
from domain.messages import NewQuestion


@dataclass(frozen=True, slots=True, kw_only=True)
class EditQuestion:
    """A principal says something else than it did, and wants a reply to that; see NewQuestion."""

    principal: Principal
    message_id: UUID
    content: str
    agent: str | None = None
    on_conflict: OnConflict = OnConflict.REJECT
    metadata: Mapping[str, object] = field(default_factory=dict)
    instructions: str | None = None
    once: Once | None = None

    @property
    def said(self) -> NewQuestion:
        """The question in its new version."""
        return NewQuestion(self.content, agent=self.agent, metadata=self.metadata, instructions=self.instructions)


@dataclass(frozen=True, slots=True)
class EditQuestionHandler:
    """The new version, its reply and what leaves the history for them, in one transaction.

    Raises NotFound, Forbidden, Invalid, Conflict `not_a_question` or `reply_in_progress`, or
    Limited `too_many_live_replies`.
    """

    start_work: StartWork
    posting: Posting

    def __call__(self, command: EditQuestion) -> Asked:
        return self.posting.interrupting(command.principal, command.on_conflict, lambda: self._post(command))

    def _post(self, command: EditQuestion) -> Asked:
        with self.start_work() as work:
            conversation_id = work.messages.conversation_of(command.message_id)
            conversation = work.conversations.get(conversation_id, for_=command.principal)
            require_project(work, conversation, command.principal)
            question = work.messages.get(command.message_id)
            asked = self.posting.edit(work, conversation, question, command.said)
            work.answers.keep(command.once, asked_document(*asked))
            work.commit()
        return asked


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectVersion:
    """The branch through a message shall be the one that the conversation goes on with."""

    principal: Principal
    message_id: UUID


@dataclass(frozen=True, slots=True)
class SelectVersionHandler:
    """Changes over to it; raises NotFound, Forbidden or Conflict `reply_in_progress`."""

    start_work: StartWork
    now: Now

    def __call__(self, command: SelectVersion) -> Conversation:
        with self.start_work() as work:
            conversation_id = work.messages.conversation_of(command.message_id)
            conversation = work.conversations.get(conversation_id, for_=command.principal)
            message = work.messages.get(command.message_id)
            conversation.select(work.messages.fork(message), work.messages.following(message), self.now())
            work.commit()
        return conversation
