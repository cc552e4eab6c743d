"""The messages of a conversation in memory, as the tree that they are: what repositories are held against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from domain.agents import BUILT_IN
from domain.conversations import Conversation
from domain.limits import Limits
from domain.messages import Fork, Message, NewQuestion
from domain.replies import Reply
from tests.builders import NOW, a_conversation, asked, completed


@dataclass
class Tree:
    """Talks in a conversation and keeps every message; answers what application.ports.persistence.Messages does."""

    conversation: Conversation = field(default_factory=a_conversation)
    messages: dict[UUID, Message] = field(default_factory=dict)
    replies: list[Reply] = field(default_factory=list)

    # What is asked of a repository

    def count_at(self, position: int) -> int:
        return sum(message.position == position for message in self.messages.values())

    def versions(self, position: int, parent_id: UUID | None) -> Sequence[Message]:
        found = (
            message
            for message in self.messages.values()
            if (message.position, message.parent_id) == (position, parent_id)
        )
        return sorted(found, key=lambda message: message.version)

    def fork(self, message: Message) -> Fork:
        path = list(self._back_to_the_current_branch(message))[::-1]
        position = (path[0] if path else message).position
        return Fork(path, [each for each in self.branch if each.position >= position])

    def following(self, message: Message) -> Sequence[Message]:
        found = [each for each in self.messages.values() if message in self._before(each)]
        return sorted(found, key=lambda each: each.position)

    # What happens

    def ask(self, content: str = "Why?", answer: str = "Because.") -> Message:
        """A question with its answer; the question."""
        ahead = self._taken(self.conversation.next_position) if self.conversation.retraces else (0, 0)
        question, reply = asked(self.conversation, content, taken=ahead)
        self.messages[question.id] = question
        self.end(reply, answer)
        return question

    def edit(self, question: Message, content: str = "How?", answer: str = "So.") -> Message:
        """Another version of a question with its answer; that version."""
        edited, reply = self.edit_only(question, content)
        self.end(reply, answer)
        return edited

    def edit_only(
        self, question: Message, content: str = "How?", *, agent: str | None = None, **given: object
    ) -> tuple[Message, Reply]:
        options: dict[str, object] = {"live_replies": 0, "limits": Limits(), "now": NOW} | given
        edited, reply = self.conversation.edit(
            question,
            NewQuestion(content, agent=agent),
            message_id=uuid4(),
            reply_id=uuid4(),
            fork=self.fork(question),
            versions=self.versions(question.position, question.parent_id),
            taken=self._taken(question.position),
            agents=BUILT_IN,
            **options,  # type: ignore[arg-type] # as given
        )
        self.messages[edited.id] = edited
        return edited, reply

    def regenerate(self, answer: str = "Because of that.") -> Message:
        """Another version of the last answer; the message that is left of it."""
        reply = self.conversation.regenerate(
            self.branch[-1],
            reply_id=uuid4(),
            versions=self.count_at(self.branch[-1].position),
            live_replies=0,
            limits=Limits(),
            now=NOW,
        )
        return self.end(reply, answer)

    def select(self, message: Message) -> None:
        self.conversation.select(self.fork(message), self.following(message), NOW)

    def end(self, reply: Reply, text: str) -> Message:
        reply.claim(NOW)
        reply.end(completed(text), epoch=reply.epoch, final_seq=1, now=NOW)
        message = self.conversation.take_answer(
            reply, NOW, versions=self.versions(reply.position, reply.parent_id) if reply.version > 1 else ()
        )
        self.messages[message.id] = message
        self.replies.append(reply)
        return message

    # What can be seen

    @property
    def branch(self) -> Sequence[Message]:
        """The current one."""
        found = (message for message in self.messages.values() if message.superseded_by is None)
        return sorted(found, key=lambda message: message.position)

    @property
    def contents(self) -> list[str]:
        return [message.content for message in self.branch]

    def _taken(self, position: int) -> tuple[int, int]:
        return self.count_at(position), self.count_at(position + 1)

    def _before(self, message: Message) -> Iterator[Message]:
        while message.parent_id is not None:
            message = self.messages[message.parent_id]
            yield message

    def _back_to_the_current_branch(self, message: Message) -> Iterator[Message]:
        for each in (message, *self._before(message)):
            if each.superseded_by is None:
                return
            yield each
