"""Say what one thinks of an answer, and take it back."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from application.ports.persistence import StartWork
from application.ports.runtime import Now
from domain.identity import Principal
from domain.limits import Limits
from domain.messages import Message, Rating


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveFeedback:
    """A principal rates an answer, in place of an earlier rating."""

    principal: Principal
    message_id: UUID
    rating: Rating
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class GiveFeedbackHandler:
    """Keeps it with the answer, of whatever branch; raises NotFound, Forbidden, Invalid or Conflict `not_an_answer`."""

    start_work: StartWork
    now: Now
    limits: Limits

    def __call__(self, command: GiveFeedback) -> Message:
        with self.start_work() as work:
            conversation_id = work.messages.conversation_of(command.message_id)
            conversation = work.conversations.get(conversation_id, for_=command.principal)
            answer = work.messages.get(command.message_id)
            conversation.give_feedback(answer, command.rating, command.comment, limits=self.limits, now=self.now())
            work.commit()
        return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeFeedbackBack:
    """A principal no longer wants to have rated an answer."""

    principal: Principal
    message_id: UUID


@dataclass(frozen=True, slots=True)
class TakeFeedbackBackHandler:
    """Forgets it, if there is any; raises NotFound, Forbidden or Conflict `not_an_answer`."""

    start_work: StartWork
    now: Now

    def __call__(self, command: TakeFeedbackBack) -> Message:
        with self.start_work() as work:
            conversation_id = work.messages.conversation_of(command.message_id)
            conversation = work.conversations.get(conversation_id, for_=command.principal)
            answer = work.messages.get(command.message_id)
            conversation.take_feedback_back(answer, self.now())
            work.commit()
        return answer
