"""A thread of numbered messages with at most one reply in the making."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from domain.agents import Agents
from domain.deletions import Deletion
from domain.errors import Conflict, Invalid, Limited
from domain.events import (
    ConversationChanged,
    ConversationDeleted,
    ConversationRestored,
    ConversationStarted,
    HistoryChanged,
    MessageChanged,
    MessagePosted,
    MessageSuperseded,
    Recorder,
)
from domain.limits import Limits
from domain.messages import Fork, Message, NewMessage, NewQuestion, Rating, Role
from domain.replies import Reply

_PREVIEW = 140
_EXTERNAL_ID = 200
_TITLE_FROM_QUESTION = 60


@dataclass(eq=False, kw_only=True)
class Conversation(Recorder):
    """A thread of one owner, in a room or on its own.

    Its messages are a tree, of which one branch is current: the history, at the positions 1, 2, 3, …
    `head_id` is its last message, `last_message` that one's `{role, preview, created_at}`. `reached` is the highest
    position that another branch may have; None as long as there was but one. `live_reply_id` is the reply in the
    making: while there is one, no other question is taken and the branch stays. `forgotten` holds, by agent, the
    first position that it sees. With a `project_id` its answers are grounded in that project alone. `external_id` is
    what a client calls it that names its conversations itself; no other one of the owner's is called so.
    """

    id: UUID
    owner: str
    agent: str
    created_at: datetime
    updated_at: datetime
    last_activity_at: datetime
    room_id: UUID | None = None
    project_id: UUID | None = None
    external_id: str | None = None
    title: str = ""
    metadata: dict[str, object] = field(default_factory=dict)
    next_position: int = 1
    message_count: int = 0
    live_reply_id: UUID | None = None
    head_id: UUID | None = None
    reached: int | None = None
    forgotten: dict[str, int] | None = None
    last_message: dict[str, Any] | None = None
    deletion_id: UUID | None = None
    version: int = 1

    @classmethod
    def start(
        cls,
        *,
        id: UUID,
        owner: str,
        room_id: UUID | None,
        title: str | None,
        agent: str | None,
        metadata: Mapping[str, object],
        agents: Agents,
        limits: Limits,
        now: datetime,
        project_id: UUID | None = None,
        external_id: str | None = None,
    ) -> Conversation:
        """An empty conversation; without a title the first question will name it.

        In a room it belongs to the room's owner, also when an admin starts it.
        """
        conversation = cls(
            id=id,
            owner=owner,
            room_id=room_id,
            title=limits.text("title", title, limits.conversation_title) if title is not None else "",
            agent=agents.named(agent).name,
            project_id=project_id,
            external_id=limits.text("external_id", external_id, _EXTERNAL_ID) if external_id is not None else None,
            metadata=limits.metadata(metadata),
            created_at=now,
            updated_at=now,
            last_activity_at=now,
        )
        conversation.record(ConversationStarted(subject_id=id, at=now))
        return conversation

    def change(
        self,
        *,
        title: str | None,
        agent: str | None,
        metadata: Mapping[str, object] | None,
        agents: Agents,
        limits: Limits,
        now: datetime,
        project_id: UUID | Literal["unchanged"] | None = "unchanged",
    ) -> None:
        """Take a new title, agent, metadata (replaced as a whole) or project; None leaves all but the last as it is."""
        if title is not None:
            self.title = limits.text("title", title, limits.conversation_title)
        if agent is not None:
            self.agent = agents.named(agent).name
        if metadata is not None:
            self.metadata = limits.metadata(metadata)
        if project_id != "unchanged":
            self.project_id = project_id
        self.updated_at = now
        self.record(ConversationChanged(subject_id=self.id, at=now))

    def ask(
        self,
        said: NewQuestion,
        *,
        message_id: UUID,
        reply_id: UUID,
        live_replies: int,
        agents: Agents,
        limits: Limits,
        now: datetime,
        session_id: UUID | None = None,
        project_id: UUID | None = None,
        taken: tuple[int, int] = (0, 0),
    ) -> tuple[Message, Reply]:
        """Take a question and queue its reply at the position after it.

        `live_replies` counts the owner's replies in the making, everywhere; `taken` the messages that other
        branches have at the two positions, if the conversation `retraces` any. A `project_id` is this question's
        instead of the conversation's. Raises Invalid, Conflict `reply_in_progress`, or Limited
        `too_many_live_replies`.
        """
        text = limits.text("content", said.content, limits.message)
        noted = _noted(said, limits)
        answering = agents.named(said.agent if said.agent is not None else self.agent).name
        self.require_no_live_reply()
        _require_slot(live_replies, limits)
        if not self.title:
            self.title = _shortened(text, _TITLE_FROM_QUESTION)
        question = self._question(message_id, text, noted, self.next_position, taken[0], self.head_id, now)
        return question, self._queue_reply(
            reply_id,
            question.position + 1,
            taken[1] + 1,
            question.id,
            agent=answering,
            session_id=session_id,
            project_id=project_id or self.project_id,
            now=now,
        )

    def add(
        self, said: NewMessage, *, message_id: UUID, agents: Agents, limits: Limits, now: datetime, taken: int = 0
    ) -> Message:
        """Take a message that was said elsewhere, after the last one; nobody answers it.

        `taken` counts the messages that other branches have at its position. Raises Invalid, or Conflict
        `reply_in_progress`.
        """
        self.require_no_live_reply()
        if said.role is Role.TOOL:
            raise Invalid({"role": "Must be user, assistant or system: what tools said belongs to their answer."})
        text = limits.text("content", said.content, limits.added_message)
        is_answer = said.role is Role.ASSISTANT
        if not self.title and said.role is Role.USER:
            self.title = _shortened(text, _TITLE_FROM_QUESTION)
        message = Message(
            id=message_id,
            conversation_id=self.id,
            owner=self.owner,
            position=self.next_position,
            version=taken + 1,
            role=said.role,
            content=text,
            agent=agents.named(said.agent if said.agent is not None else self.agent).name if is_answer else None,
            metadata=limits.metadata(said.metadata),
            parent_id=self.head_id,
            created_at=said.created_at or now,
        )
        self.next_position += 1
        self._take(message, now)
        return message

    def edit(
        self,
        question: Message,
        said: NewQuestion,
        *,
        message_id: UUID,
        reply_id: UUID,
        fork: Fork,
        versions: Sequence[Message],
        taken: tuple[int, int],
        live_replies: int,
        agents: Agents,
        limits: Limits,
        now: datetime,
    ) -> tuple[Message, Reply]:
        """Take another version of a question, on whatever branch it is, and queue its reply: a new branch begins.

        What follows the question leaves the history and is kept. `fork` leads to the question, `versions` are
        those there are, itself included; `taken` counts the messages at its position and at the next one. Raises
        Invalid, Conflict `not_a_question` or `reply_in_progress`, or Limited `too_many_live_replies`.
        """
        text = limits.text("content", said.content, limits.message)
        noted = _noted(said, limits)
        answering = agents.named(said.agent if said.agent is not None else self.agent).name
        if question.role is not Role.USER:
            raise Conflict("not_a_question", "Only a question can be edited.")
        self.require_no_live_reply()
        _require_slot(live_replies, limits)
        entering = fork.path[:-1]
        self._branch_off(fork, entering, (entering[0].id if entering else message_id), now)
        edited = self._question(message_id, text, noted, question.position, taken[0], question.parent_id, now)
        for version in (*versions, edited):
            version.alternatives = len(versions)
        return edited, self._queue_reply(
            reply_id,
            edited.position + 1,
            taken[1] + 1,
            edited.id,
            agent=answering,
            session_id=None,
            project_id=self.project_id,
            now=now,
        )

    def select(self, fork: Fork, following: Sequence[Message], now: datetime) -> None:
        """Make the branch through a message the current one, to which `fork` leads.

        Of what is `following` it, on any branch, that comes back which was there last. Raises Conflict
        `reply_in_progress`. A message of the current branch changes nothing.
        """
        self.require_no_live_reply()
        if not fork.path:
            return
        entering = [*fork.path, *_last_seen(fork.path[-1], following)]
        self._branch_off(fork, entering, entering[0].id, now)
        head = entering[-1]
        self.next_position = head.position + 1
        self._end_with(head)

    def give_feedback(
        self, answer: Message, rating: Rating, comment: str | None, *, limits: Limits, now: datetime
    ) -> None:
        """Note what somebody thinks of an answer, in place of what was noted before.

        Raises Conflict `not_an_answer`, or Invalid for a comment that is empty or too long.
        """
        _require_answer(answer)
        said = limits.text("comment", comment, limits.comment) if comment is not None else None
        answer.feedback = {"rating": rating.value, "comment": said, "given_at": now.isoformat()}
        self._note_change(answer, now)

    def take_feedback_back(self, answer: Message, now: datetime) -> None:
        """Forget the feedback, if there is any; raises Conflict `not_an_answer`."""
        _require_answer(answer)
        if answer.feedback is not None:
            answer.feedback = None
            self._note_change(answer, now)

    def note_intent(self, question: Message, intent: dict[str, object], now: datetime) -> None:
        """Note on a question what kind of question it is."""
        question.metadata = {**question.metadata, "intent": intent}
        self._note_change(question, now)

    def regenerate(
        self,
        answer: Message,
        *,
        reply_id: UUID,
        versions: int,
        live_replies: int,
        limits: Limits,
        now: datetime,
        session_id: UUID | None = None,
        project_id: UUID | None = None,
    ) -> Reply:
        """Queue a new version of the last answer; the old one leaves the history and is kept.

        `versions` counts those there are. If the new one ends without a word, the old one comes back.
        Raises Conflict `not_last_answer` or `reply_in_progress`, or Limited `too_many_live_replies`.
        """
        if answer.role is not Role.ASSISTANT or answer.superseded_by or answer.position != self.next_position - 1:
            raise Conflict("not_last_answer", "Only the last answer of a conversation can be regenerated.")
        self.require_no_live_reply()
        _require_slot(live_replies, limits)
        answer.superseded_by = reply_id
        self.message_count -= 1
        self.record(MessageSuperseded(subject_id=self.id, at=now, message_id=answer.id, position=answer.position))
        return self._queue_reply(
            reply_id,
            answer.position,
            versions + 1,
            answer.parent_id,
            agent=answer.agent or self.agent,
            session_id=session_id,
            project_id=project_id,
            now=now,
        )

    def take_answer(self, reply: Reply, now: datetime, *, versions: Sequence[Message] = ()) -> Message:
        """The message that an ended reply leaves, at the position kept for it; its text may be empty.

        `versions` are the other answers to the same question. The one that gave way to it comes back when the
        reply has no text.
        """
        message = Message(
            id=reply.id,
            conversation_id=self.id,
            owner=self.owner,
            position=reply.position,
            version=reply.version,
            role=Role.ASSISTANT,
            content=reply.text,
            status=reply.status.value,
            agent=reply.agent,
            sources=reply.sources,
            tool_calls=reply.tool_calls,
            error=reply.error,
            metadata=reply.metadata,
            parent_id=reply.parent_id,
            alternatives=len(versions),
            created_at=now,
        )
        if self.live_reply_id == reply.id:
            self.live_reply_id = None
        for version in versions:
            version.alternatives = len(versions)
            self.record(MessageChanged(subject_id=self.id, at=now, message_id=version.id, position=version.position))
        instead_of = next((version for version in versions if version.superseded_by == reply.id), None)
        if instead_of is not None and not reply.text:
            message.superseded_by = instead_of.id
            instead_of.superseded_by = None
            self.record(MessageSuperseded(subject_id=self.id, at=now, message_id=message.id, position=message.position))
            self._take(instead_of, now)
        else:
            self._take(message, now)
        return message

    def require_no_live_reply(self) -> None:
        """Raise Conflict `reply_in_progress`, naming the reply, while there is one in the making."""
        if self.live_reply_id is not None:
            raise Conflict(
                "reply_in_progress",
                "A reply is being written in this conversation. Wait for it, or stop it.",
                reply_id=str(self.live_reply_id),
            )

    @property
    def retraces(self) -> bool:
        """Whether the next question goes where other branches have been."""
        return self.reached is not None and self.next_position <= self.reached

    def is_active(self, since: datetime) -> bool:
        """Whether there was a sign of life since then, or there is one at this moment."""
        return self.live_reply_id is not None or max(self.last_activity_at, self.updated_at) >= since

    def require_idle(self, since: datetime) -> None:
        """Raise Conflict `conversation_active` if there was a sign of life since then."""
        if self.is_active(since):
            raise Conflict("conversation_active", "Something has happened in this conversation in the meantime.")

    @property
    def final_message_count(self) -> int:
        """How many messages it holds once the reply in the making, if there is one, has ended."""
        return self.message_count + (self.live_reply_id is not None)

    def delete(self, deletion: Deletion) -> None:
        """Go out of sight with `deletion`, by itself or with its room."""
        self.deletion_id = deletion.id
        self.record(ConversationDeleted(subject_id=self.id, at=deletion.deleted_at))

    def restore(self, deletion: Deletion, now: datetime) -> None:
        """Come back; raises Conflict `not_deleted` when it was not `deletion` that took this conversation."""
        if self.deletion_id != deletion.id:
            raise Conflict("not_deleted", "This conversation is not deleted.")
        self.deletion_id = None
        self.updated_at = now
        self.record(ConversationRestored(subject_id=self.id, at=now))

    def forget(self, agent: str | None, agents: Agents, now: datetime) -> None:
        """Have an agent, or all of them (None), no longer see what has been said so far; the history stays.

        Raises Invalid for an agent that is not there.
        """
        names = [agents.named(agent).name] if agent is not None else list(agents)
        self.forgotten = {**(self.forgotten or {}), **dict.fromkeys(names, self.next_position)}
        self.updated_at = now
        self.record(ConversationChanged(subject_id=self.id, at=now))

    def seen_from(self, agent: str) -> int:
        """The first position that an agent sees."""
        return (self.forgotten or {}).get(agent, 1)

    def hold(self, head: Message | None, *, count: int, reached: int | None, now: datetime) -> None:
        """Be the conversation of messages that come with it from elsewhere, however many; see domain.histories.

        `head` is the last of the `count` messages of the current branch, `reached` as in the class.
        """
        self.message_count = count
        self.reached = reached
        if head is not None:
            self.next_position = head.position + 1
            self._end_with(head)
        self.record(ConversationStarted(subject_id=self.id, at=now))
        self.record(HistoryChanged(subject_id=self.id, at=now, from_position=1))

    def hand_over(self, owner: str, now: datetime, *, keep_external_id: bool = True) -> None:
        """Become somebody else's, with all its messages; without what a client calls it, if there is one so called."""
        self.owner = owner
        if not keep_external_id:
            self.external_id = None
        self.updated_at = now
        self.record(HistoryChanged(subject_id=self.id, at=now, from_position=1))

    def _question(
        self,
        message_id: UUID,
        text: str,
        noted: dict[str, Any],
        position: int,
        taken: int,
        parent_id: UUID | None,
        now: datetime,
    ) -> Message:
        question = Message(
            id=message_id,
            conversation_id=self.id,
            owner=self.owner,
            position=position,
            version=taken + 1,
            role=Role.USER,
            content=text,
            metadata=noted,
            parent_id=parent_id,
            created_at=now,
        )
        self.next_position = position + 2
        self._take(question, now)
        return question

    def _branch_off(self, fork: Fork, entering: Sequence[Message], by: UUID, now: datetime) -> None:
        """Leave the current branch for another one, which begins with the message `by`."""
        self.reached = max(self.reached or 0, self.next_position - 1)
        for message in fork.leaving:
            message.superseded_by = by
        for message in entering:
            message.superseded_by = None
        self.message_count += len(entering) - len(fork.leaving)
        if self.forgotten is not None:
            # Beyond the fork other things were said than those that an agent was to forget.
            self.forgotten = {agent: min(first, fork.position) for agent, first in self.forgotten.items()}
        self.record(HistoryChanged(subject_id=self.id, at=now, from_position=fork.position))

    def _queue_reply(
        self,
        reply_id: UUID,
        position: int,
        version: int,
        parent_id: UUID | None,
        *,
        agent: str,
        session_id: UUID | None,
        project_id: UUID | None,
        now: datetime,
    ) -> Reply:
        self.live_reply_id = reply_id
        return Reply.queue(
            id=reply_id,
            conversation_id=self.id,
            owner=self.owner,
            position=position,
            version=version,
            parent_id=parent_id,
            agent=agent,
            session_id=session_id,
            project_id=project_id,
            # What is answered is seen in any case.
            window_from=min(self.seen_from(agent), position - 1),
            now=now,
        )

    def _take(self, message: Message, now: datetime) -> None:
        self.message_count += 1
        self.last_activity_at = now
        self._end_with(message)
        self.record(MessagePosted(subject_id=self.id, at=now, message_id=message.id, position=message.position))

    def _end_with(self, message: Message) -> None:
        self.head_id = message.id
        self.last_message = {
            "role": message.role.value,
            "preview": _shortened(message.content, _PREVIEW),
            "created_at": message.created_at.isoformat(),
        }

    def _note_change(self, message: Message, now: datetime) -> None:
        self.updated_at = now  # A message only changes together with its conversation.
        self.record(MessageChanged(subject_id=self.id, at=now, message_id=message.id, position=message.position))


def _last_seen(message: Message, following: Sequence[Message]) -> Iterator[Message]:
    """Those that were on the current branch when `message` was last on it.

    What gave way to another version of itself was not, nor what leads on from there.
    """
    after: defaultdict[UUID | None, dict[UUID, Message]] = defaultdict(dict)
    for each in following:
        after[each.parent_id][each.id] = each
    while versions := after.get(message.id):
        message = max(versions.values(), key=lambda each: (each.superseded_by not in versions, each.version))
        yield message


def _noted(said: NewQuestion, limits: Limits) -> dict[str, Any]:
    noted: dict[str, Any] = limits.metadata(said.metadata)
    if said.instructions is not None:
        noted["instructions"] = limits.text("instructions", said.instructions, limits.added_message)
    return noted


def _require_answer(message: Message) -> None:
    if message.role is not Role.ASSISTANT:
        raise Conflict("not_an_answer", "Only an answer takes feedback.")


def _require_slot(live_replies: int, limits: Limits) -> None:
    if live_replies >= limits.live_replies:
        raise Limited(
            "too_many_live_replies",
            f"{live_replies} replies are being written for you, and {limits.live_replies} is the most at a time.",
            retry_after=5,
            limit=limits.live_replies,
        )


def _shortened(text: str, length: int) -> str:
    """The beginning of `text` on one line, cut between words where that is possible."""
    line = " ".join(text[: length * 4].split())
    if len(line) <= length:
        return line
    words, _, _ = line[:length].rpartition(" ")
    return (words if len(words) > length // 2 else line[: length - 1]) + "…"
