"""Ask a question, or ask for another version of the last answer: both leave a queued reply."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from application.documents import asked_document, regenerated_document
from application.ports.persistence import Once, StartWork, UnitOfWork
from application.ports.runtime import NewId, Now
from application.replies.ending import CancelReply, CancelReplyHandler
from domain.agents import Agents
from domain.conversations import Conversation
from domain.errors import Conflict, Forbidden, NotFound
from domain.identity import Principal
from domain.limits import Limits
from domain.messages import Message
from domain.replies import Reply

Posted = TypeVar("Posted")

_INTERRUPTS = 3
"""How many replies one question stops at most: others may be asking, and interrupting, at the same time."""


class OnConflict(StrEnum):
    """What to do about a reply in the making: refuse the question, or stop the reply and keep its text."""

    REJECT = "reject"
    INTERRUPT = "interrupt"


@dataclass(frozen=True, slots=True)
class Posting:
    """Posts what needs a conversation without a reply in the making, stopping the one there is if that is wished."""

    cancel: CancelReplyHandler

    def __call__(self, principal: Principal, on_conflict: OnConflict, post: Callable[[], Posted]) -> Posted:
        """What `post` returns; raises what it raises."""
        interrupts = _INTERRUPTS if on_conflict is OnConflict.INTERRUPT else 0
        while True:
            try:
                return post()
            except Conflict as conflict:
                if conflict.slug != "reply_in_progress" or not interrupts:
                    raise
                interrupts -= 1
                live = UUID(str(conflict.details["reply_id"]))
            self.cancel(CancelReply(principal=principal, reply_id=live, insist=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class AskQuestion:
    """A principal says something and wants a reply, from the conversation's agent or another one.

    See Conversation.ask for `metadata` and `instructions`.
    """

    principal: Principal
    conversation_id: UUID
    content: str
    agent: str | None = None
    on_conflict: OnConflict = OnConflict.REJECT
    metadata: Mapping[str, object] = field(default_factory=dict)
    instructions: str | None = None
    once: Once | None = None


@dataclass(frozen=True, slots=True)
class AskQuestionHandler:
    """Question, reply and events in one transaction, whose events then wake a worker.

    Raises NotFound, Forbidden, Invalid, Conflict `reply_in_progress` or `project_gone`, or Limited
    `too_many_live_replies`.
    """

    start_work: StartWork
    posting: Posting
    new_id: NewId
    now: Now
    agents: Agents
    limits: Limits

    def __call__(self, command: AskQuestion) -> tuple[Message, Reply]:
        return self.posting(command.principal, command.on_conflict, lambda: self._post(command))

    def _post(self, command: AskQuestion) -> tuple[Message, Reply]:
        with self.start_work() as work:
            conversation = work.conversations.get(command.conversation_id, for_=command.principal)
            require_project(work, conversation, command.principal)
            question, reply = conversation.ask(
                command.content,
                message_id=self.new_id(),
                reply_id=self.new_id(),
                agent=command.agent,
                metadata=command.metadata,
                instructions=command.instructions,
                live_replies=work.replies.count_live(conversation.owner),
                agents=self.agents,
                limits=self.limits,
                now=self.now(),
                taken=taken_ahead(work, conversation),
            )
            work.messages.add(question)
            work.replies.add(reply)
            work.answers.keep(command.once, asked_document(question, reply))
            work.commit()
        return question, reply


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
    new_id: NewId
    now: Now
    limits: Limits

    def __call__(self, command: RegenerateReply) -> Reply:
        with self.start_work() as work:
            reply = work.replies.peek(command.reply_id, for_=command.principal)
            conversation = work.conversations.get(reply.conversation_id, for_=command.principal)
            conversation.require_no_live_reply()
            answer = work.messages.get(command.reply_id)
            anew = conversation.regenerate(
                answer,
                reply_id=self.new_id(),
                versions=work.messages.count_at(conversation.id, answer.position),
                live_replies=work.replies.count_live(conversation.owner),
                limits=self.limits,
                now=self.now(),
                session_id=reply.session_id,
                project_id=reply.project_id,
            )
            work.replies.add(anew)
            work.answers.keep(command.once, regenerated_document(anew))
            work.commit()
        return anew


def require_project(work: UnitOfWork, conversation: Conversation, principal: Principal) -> None:
    """Raise Conflict `project_gone` when the project that the conversation is about was deleted or made private.

    Answers grounded in nothing would look like those that are grounded in it.
    """
    if conversation.project_id is None:
        return
    try:
        work.projects.look(conversation.project_id, for_=principal)
    except (NotFound, Forbidden) as gone:
        if isinstance(gone, Forbidden) and principal.key != conversation.owner:
            return  # An admin asks in somebody else's conversation, about what that one may see.
        raise Conflict(
            "project_gone",
            "The project that this conversation is about was deleted, or is private by now. Give the conversation "
            "another project, or none (null).",
            project_id=str(conversation.project_id),
        ) from None


def taken_ahead(work: UnitOfWork, conversation: Conversation) -> tuple[int, int]:
    """How many messages other branches have where the next question and its answer go: only those are counted."""
    return taken_at(work, conversation, conversation.next_position) if conversation.retraces else (0, 0)


def taken_at(work: UnitOfWork, conversation: Conversation, position: int) -> tuple[int, int]:
    """How many messages there are at a position, and at the next one."""
    return work.messages.count_at(conversation.id, position), work.messages.count_at(conversation.id, position + 1)
