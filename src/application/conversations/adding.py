"""Add to a conversation what was said elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from application.conversations.posting import Posting
from application.ports.persistence import StartWork
from domain.errors import Invalid
from domain.identity import Principal
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
    posting: Posting

    def __call__(self, command: AddMessages) -> Sequence[Message]:
        if not 1 <= len(command.messages) <= AT_ONCE:
            raise Invalid({"messages": f"Must be 1 to {AT_ONCE} messages."})
        with self.start_work() as work:
            conversation = work.conversations.get(command.conversation_id, for_=command.principal)
            added = self.posting.add(work, conversation, command.messages)
            work.commit()
        return added
