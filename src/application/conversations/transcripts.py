"""Answer the last question of a talk that its client keeps and sends as a whole, where that talk is known from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from application.conversations.posting import Asked, OnConflict, Posting, require_project
from application.documents import asked_document
from application.ports.persistence import Once, StartWork, Transcript, UnitOfWork
from application.replies.ending import CancelReply, CancelReplyHandler
from domain.conversations import Conversation
from domain.errors import Forbidden, Invalid, NotFound
from domain.identity import Principal
from domain.messages import Message, NewMessage, NewQuestion, Role
from domain.replies import ReplyStatus

_CANDIDATES = 20
"""How many conversations that began alike are looked at: many people may have said the same behind one token."""

_RETRY = timedelta(minutes=15)
"""How long after a request another one can be its retry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskTranscript:
    """A principal sends questions and answers, the oldest first, and wants the last one, a question, answered.

    It is asked in `conversation_id`, or `after` a reply, if one of them is named; then all of `said` is new there.
    Else where the talk is known from, or in a new conversation. `speaker` tells apart those for whom the principal
    speaks. A retry wants the reply that was asked for with the same shortly before, if that comes to anything.
    See NewQuestion for `metadata` and `instructions`.
    """

    principal: Principal
    said: Sequence[NewMessage]
    agent: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    instructions: str | None = None
    speaker: str | None = None
    conversation_id: UUID | None = None
    after: UUID | None = None
    is_retry: bool = False
    once: Once | None = None

    @property
    def is_placed(self) -> bool:
        """Whether it says itself where it goes on."""
        return self.conversation_id is not None or self.after is not None

    @property
    def noted(self) -> Mapping[str, object]:
        """What its question keeps beside its text."""
        return {**self.metadata, "instructions": self.instructions} if self.instructions else self.metadata

    @property
    def question(self) -> NewQuestion:
        """The last of what is said, which is to be answered."""
        said = self.said[-1].content
        return NewQuestion(said, agent=self.agent, metadata=self.metadata, instructions=self.instructions)

    def digest(self, length: int) -> str:
        """Of the first so many messages; what one is instructed with, and by whom one is answered, may change."""
        said = [[message.role.value, message.content.strip()] for message in self.said[:length]]
        return hashlib.sha256(json.dumps([self.speaker, said]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class AskTranscriptHandler:
    """Asks it, in one transaction with whatever has to be done to its conversation before.

    - The same messages as were sent before: another version of that answer.
    - Messages that were sent before, the answer to them, and a question: that is asked after that answer. If something
      else was asked there already, a branch begins.
    - Whatever else: a new conversation, with all that was said before. Talks without an answer always begin one: many
      people may begin alike behind one token. So does what is sent while something else is answered there.

    Raises NotFound, Forbidden or Conflict `reply_in_progress` for what `is_placed`; Invalid, naming the message by its
    number from 0, Conflict `project_gone`, or Limited `too_many_live_replies`.
    """

    start_work: StartWork
    posting: Posting

    def __call__(self, command: AskTranscript) -> Asked:
        if not command.said or command.said[-1].role is not Role.USER:
            raise Invalid({"messages": "The last one must be a question of the user's."})
        # Who sends on what a reply has said so far has stopped listening to it.
        on_conflict = OnConflict.REJECT if command.is_placed else OnConflict.INTERRUPT
        return self.posting.interrupting(command.principal, on_conflict, lambda: self._post(command))

    def _post(self, command: AskTranscript) -> Asked:
        with self.start_work() as work:
            place = _Place(self.posting, work, command)
            asked = place.named() if command.is_placed else place.found() or place.begun()
            work.answers.keep(command.once, asked_document(*asked))
            work.commit()
        return asked


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one command goes on: one try, in one unit of work."""

    posting: Posting
    work: UnitOfWork
    command: AskTranscript

    def named(self) -> Asked:
        """Ask where the command says."""
        command = self.command
        if command.conversation_id is not None:
            conversation = self.work.conversations.get(command.conversation_id, for_=command.principal)
            require_project(self.work, conversation, command.principal)
            return self._ask(conversation, 0)
        return self._after(command.after) if command.after is not None else self.begun()

    def _after(self, reply_id: UUID) -> Asked:
        command = self.command
        reply = self.work.replies.peek(reply_id, for_=command.principal)
        conversation = self.work.conversations.get(reply.conversation_id, for_=command.principal)
        conversation.require_no_live_reply()
        require_project(self.work, conversation, command.principal)
        asked = self._go_on(conversation, reply.id, 0)
        if asked is None:
            raise Invalid({"messages": "Must be one question where the conversation has gone on after that reply."})
        return asked

    def found(self) -> Asked | None:
        """Ask where the talk is known from; None if it is not, or is no longer to be gone on with."""
        said, command = self.command.said, self.command
        answers = [number for number, message in enumerate(said) if message.role is Role.ASSISTANT]
        if not answers and not command.is_retry:
            return None
        for known in self._known(len(said)):
            is_recent = known.asked_at >= self.posting.now() - _RETRY
            is_same = command.is_retry and is_recent and self._is_same(known.reply_id)
            if is_same and (known.status.is_live or known.status is ReplyStatus.COMPLETED):
                return self._joined(known)
            conversation = self._found(known) if answers or is_same else None
            if conversation is None or conversation.live_reply_id is not None:
                continue
            if (asked := self._again(conversation, known.reply_id)) is not None:
                return self._noted(asked)
        return self._followed(answers[-1]) if answers else None

    def _followed(self, answer: int) -> Asked | None:
        """Ask after that answer, rather where nothing else was asked yet: others may have begun alike."""
        gone_on_with = []
        for known in self._known(answer):
            if not _is_answer(known, self.command.said[answer].content):
                continue
            if (conversation := self._found(known)) is None:
                continue
            if conversation.live_reply_id == known.reply_id:
                conversation.require_no_live_reply()
            if conversation.live_reply_id is not None:
                continue
            if conversation.head_id != known.reply_id:
                gone_on_with.append((conversation, known.reply_id))
            elif (asked := self._go_on(conversation, known.reply_id, answer + 1)) is not None:
                return self._noted(asked)
        for conversation, reply_id in gone_on_with:
            if (asked := self._go_on(conversation, reply_id, answer + 1)) is not None:
                return self._noted(asked)
        return None

    def begun(self) -> Asked:
        """Ask in a new conversation that holds what was said before."""
        conversation = self.posting.start(self.work, self.command.principal.key, self.command.agent)
        return self._noted(self._ask(conversation, 0))

    def _known(self, length: int) -> Sequence[Transcript]:
        digest = self.command.digest(length)
        return self.work.transcripts.asked(self.command.principal.key, digest, limit=_CANDIDATES)

    def _found(self, known: Transcript) -> Conversation | None:
        """The conversation, if it is still there."""
        try:
            conversation = self.work.conversations.get(known.conversation_id, for_=self.command.principal)
        except (NotFound, Forbidden):
            return None
        require_project(self.work, conversation, self.command.principal)
        return conversation

    def _joined(self, known: Transcript) -> Asked | None:
        reply = self.work.replies.peek(known.reply_id, for_=self.command.principal)
        if reply.parent_id is None:
            return None
        self.work.transcripts.ask_again(reply.id, asked_at=self.posting.now())
        return self.work.messages.get(reply.parent_id), reply

    def _is_same(self, reply_id: UUID) -> bool:
        """Whether a reply was asked for just so, with the same instructions and of the same agent."""
        reply = self.work.replies.peek(reply_id, for_=self.command.principal)
        if reply.parent_id is None or self.command.agent not in (None, reply.agent):
            return False
        return _noted(self.work.messages.get(reply.parent_id)) == self.command.noted

    def _again(self, conversation: Conversation, reply_id: UUID) -> Asked | None:
        """Have a question answered anew: another version of the answer, or a branch if more was said since."""
        work, command = self.work, self.command
        reply = work.replies.peek(reply_id, for_=command.principal)
        if reply.parent_id is None:
            return None
        question = work.messages.get(reply.parent_id)
        agent = self.posting.agents.named(command.agent if command.agent is not None else conversation.agent).name
        if conversation.head_id != reply_id or reply.agent != agent or _noted(question) != command.noted:
            return self._edit(conversation, question)
        return question, self.posting.regenerate(work, conversation, reply)

    def _go_on(self, conversation: Conversation, reply_id: UUID, start: int) -> Asked | None:
        """Say what is said from `start` on after a reply; None where a branch would begin with several messages."""
        work = self.work
        if conversation.head_id != reply_id:
            answer = work.messages.get(reply_id)
            following = work.messages.versions(conversation.id, answer.position + 1, answer.id)
            questions = [message for message in following if message.role is Role.USER]
            if questions and start == len(self.command.said) - 1:
                return self._edit(conversation, questions[-1])
            if not following:
                conversation.select(work.messages.fork(answer), (), self.posting.now())
        if conversation.head_id != reply_id:
            return None
        return self._ask(conversation, start)

    def _ask(self, conversation: Conversation, start: int) -> Asked:
        try:
            self.posting.add(self.work, conversation, self.command.said[start:-1])
        except Invalid as wrong:
            raise _counted_from(start, wrong) from None
        try:
            return self.posting.ask(self.work, conversation, self.command.question)
        except Invalid as wrong:
            raise self._of_the_question(wrong) from None

    def _edit(self, conversation: Conversation, question: Message) -> Asked:
        try:
            return self.posting.edit(self.work, conversation, question, self.command.question)
        except Invalid as wrong:
            raise self._of_the_question(wrong) from None

    def _noted(self, asked: Asked) -> Asked:
        """The same, which the next request with this talk goes on from."""
        command = self.command
        digest = command.digest(len(command.said))
        self.work.transcripts.add(command.principal.key, digest, asked[1], asked_at=self.posting.now())
        return asked

    def _of_the_question(self, wrong: Invalid) -> Invalid:
        return wrong.renamed({"content": f"messages.{len(self.command.said) - 1}.content"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AbandonReply:
    """Whoever asked has gone: a reply shall stop, unless somebody has asked for it after `since`."""

    principal: Principal
    reply_id: UUID
    since: datetime


@dataclass(frozen=True, slots=True)
class AbandonReplyHandler:
    """Cancels it, see CancelReplyHandler."""

    start_work: StartWork
    cancel: CancelReplyHandler

    def __call__(self, command: AbandonReply) -> None:
        with self.start_work() as work:
            asked_at = work.transcripts.asked_at(command.reply_id)
        if asked_at is None or asked_at <= command.since:
            self.cancel(CancelReply(principal=command.principal, reply_id=command.reply_id))


def _noted(question: Message) -> Mapping[str, object]:
    """What a question came with; what it was found to mean is ours."""
    return {name: value for name, value in question.metadata.items() if name != "intent"}


def _is_answer(known: Transcript, text: str) -> bool:
    """Whether a reply has said this. What was cut off on the way to its client may have come further here, or less."""
    said, told = known.text.strip(), text.strip()
    if known.status is ReplyStatus.COMPLETED:
        return said == told
    return bool(said) and (said.startswith(told) or told.startswith(said))


def _counted_from(start: int, wrong: Invalid) -> Invalid:
    def renumbered(name: str) -> str:
        kind, number, rest = name.split(".", 2)
        return f"{kind}.{int(number) + start}.{rest}"

    return Invalid({renumbered(name): problem for name, problem in wrong.fields.items()})
