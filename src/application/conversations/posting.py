"""What every way to say something does to its conversation, in a unit of work of the caller's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TypeVar
from uuid import UUID

from application.ports.persistence import UnitOfWork
from application.ports.runtime import NewId, Now
from application.replies.ending import CancelReply, CancelReplyHandler
from domain.agents import Agents
from domain.conversations import Conversation
from domain.errors import Conflict, Forbidden, Invalid, NotFound
from domain.identity import Principal
from domain.limits import Limits
from domain.messages import Message, NewMessage, NewQuestion
from domain.replies import Reply

Asked = tuple[Message, Reply]
"""A question, and the reply that was queued for it."""

Posted = TypeVar("Posted")

_INTERRUPTS = 3
"""How many replies one question stops at most: others may be asking, and interrupting, at the same time."""

_NOTHING: Mapping[str, object] = MappingProxyType({})


class OnConflict(StrEnum):
    """What to do about a reply in the making: refuse the question, or stop the reply and keep its text."""

    REJECT = "reject"
    INTERRUPT = "interrupt"


@dataclass(frozen=True, slots=True)
class Posting:
    """Begins conversations, and asks, edits and adds in them; what it leaves is for the caller to commit.

    Raises what the methods of Conversation do that it calls.
    """

    cancel: CancelReplyHandler
    new_id: NewId
    now: Now
    agents: Agents
    limits: Limits

    def interrupting(self, principal: Principal, on_conflict: OnConflict, post: Callable[[], Posted]) -> Posted:
        """What `post` returns, after the reply was stopped that was in its way, if that is wished.

        `post` is one transaction, and is tried anew then. Raises what it raises.
        """
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

    def start(
        self,
        work: UnitOfWork,
        owner: str,
        agent: str | None,
        *,
        room_id: UUID | None = None,
        title: str | None = None,
        metadata: Mapping[str, object] = _NOTHING,
        project_id: UUID | None = None,
        external_id: str | None = None,
    ) -> Conversation:
        """Begin a conversation."""
        conversation = Conversation.start(
            id=self.new_id(),
            owner=owner,
            room_id=room_id,
            title=title,
            agent=agent,
            metadata=metadata,
            agents=self.agents,
            limits=self.limits,
            now=self.now(),
            project_id=project_id,
            external_id=external_id,
        )
        work.conversations.add(conversation)
        return conversation

    def ask(
        self,
        work: UnitOfWork,
        conversation: Conversation,
        said: NewQuestion,
        *,
        session_id: UUID | None = None,
        project_id: UUID | None = None,
    ) -> Asked:
        """Ask a question after the last message."""
        question, reply = conversation.ask(
            said,
            message_id=self.new_id(),
            reply_id=self.new_id(),
            live_replies=work.replies.count_live(conversation.owner),
            agents=self.agents,
            limits=self.limits,
            now=self.now(),
            session_id=session_id,
            project_id=project_id,
            taken=taken_ahead(work, conversation),
        )
        return _kept(work, question, reply)

    def edit(self, work: UnitOfWork, conversation: Conversation, question: Message, said: NewQuestion) -> Asked:
        """Ask another question in the place of one."""
        edited, reply = conversation.edit(
            question,
            said,
            message_id=self.new_id(),
            reply_id=self.new_id(),
            fork=work.messages.fork(question),
            versions=work.messages.versions(conversation.id, question.position, question.parent_id),
            taken=_taken_at(work, conversation, question.position),
            live_replies=work.replies.count_live(conversation.owner),
            agents=self.agents,
            limits=self.limits,
            now=self.now(),
        )
        return _kept(work, edited, reply)

    def regenerate(self, work: UnitOfWork, conversation: Conversation, reply: Reply) -> Reply:
        """Have the question of an ended reply answered anew, as it was asked."""
        anew = conversation.regenerate(
            work.messages.get(reply.id),
            reply_id=self.new_id(),
            versions=work.messages.count_at(conversation.id, reply.position),
            live_replies=work.replies.count_live(conversation.owner),
            limits=self.limits,
            now=self.now(),
            session_id=reply.session_id,
            project_id=reply.project_id,
        )
        work.replies.add(anew)
        return anew

    def add(self, work: UnitOfWork, conversation: Conversation, messages: Sequence[NewMessage]) -> Sequence[Message]:
        """Add what was said elsewhere; Invalid names the message by its number from 0."""
        now = self.now()
        added = []
        for number, said in enumerate(messages):
            try:
                message = conversation.add(
                    said,
                    message_id=self.new_id(),
                    agents=self.agents,
                    limits=self.limits,
                    now=now,
                    taken=taken_ahead(work, conversation)[0],
                )
            except Invalid as wrong:
                raise Invalid({f"messages.{number}.{name}": what for name, what in wrong.fields.items()}) from None
            work.messages.add(message)
            added.append(message)
        return added


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
    return _taken_at(work, conversation, conversation.next_position) if conversation.retraces else (0, 0)


def _taken_at(work: UnitOfWork, conversation: Conversation, position: int) -> tuple[int, int]:
    """How many messages there are at a position, and at the next one."""
    return work.messages.count_at(conversation.id, position), work.messages.count_at(conversation.id, position + 1)


def _kept(work: UnitOfWork, question: Message, reply: Reply) -> Asked:
    work.messages.add(question)
    work.replies.add(reply)
    return question, reply
