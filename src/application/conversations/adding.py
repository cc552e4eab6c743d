"""Add to a conversation what was said elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from application.ports.persistence import StartWork, UnitOfWork
from application.ports.runtime import NewId, Now
from domain.agents import Agents
from domain.conversations import Conversation
from domain.errors import Invalid
from domain.identity import Principal
from domain.limits import Limits
from domain.messages import Message, NewMessage

AT_ONCE = 500
"""How many messages one command adds at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMessages:
    """A conversation shall go on with these, the oldest first; nobody answers them."""

    principal: Principal
    conversation_id: UUID
    messages: Sequence[NewMessage]


@dataclass(frozen=True, slots=True)
class AddMessagesHandler:
    """Adds all of them, in one transaction, after the last message of the current branch.

    Raises NotFound, Forbidden, Conflict `reply_in_progress`, or Invalid, naming the message by its number from 0.
    """

    start_work: StartWork
    new_id: NewId
    now: Now
    agents: Agents
    limits: Limits

    def __call__(self, command: AddMessages) -> Sequence[Message]:
        if not 1 <= len(command.messages) <= AT_ONCE:
            raise Invalid({"messages": f"Must be 1 to {AT_ONCE} messages."})
        with self.start_work() as work:
            conversation = work.conversations.get(command.conversation_id, for_=command.principal)
            added = add_all(work, conversation, command.messages, self.new_id, self.agents, self.limits, self.now())
            work.commit()
        return added


def add_all(
    work: UnitOfWork,
    conversation: Conversation,
    messages: Sequence[NewMessage],
    new_id: NewId,
    agents: Agents,
    limits: Limits,
    now: datetime,
) -> Sequence[Message]:
    """Add them in this unit of work; raises what AddMessagesHandler does."""
    added = []
    for number, said in enumerate(messages):
        try:
            message = conversation.add(
                said,
                message_id=new_id(),
                agents=agents,
                limits=limits,
                now=now,
                taken=work.messages.count_at(conversation.id, conversation.next_position)
                if conversation.retraces
                else 0,
            )
        except Invalid as wrong:
            raise Invalid({f"messages.{number}.{name}": what for name, what in wrong.fields.items()}) from None
        work.messages.add(message)
        added.append(message)
    return added
