"""How replies end: by their owner, by a cancel, or by whoever fences out an owner that is gone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from application.documents import message_document
from application.ports.intents import Intent
from application.ports.persistence import Document, StartWork
from application.ports.runtime import LogEntry, LogUnavailable, Now, ReplyLog, Signals
from application.replies.watching import ReplyWatcher, WatchReply, terminal_entry
from domain.errors import LeaseLost
from domain.identity import SYSTEM, Principal
from domain.messages import Message
from domain.replies import Outcome, Reply, ReplyStatus

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReplyEnding:
    """Ends replies: one transaction for reply, message and conversation, and only then the terminal event.

    So whoever has seen the end finds it in the history.
    """

    start_work: StartWork
    log: ReplyLog
    now: Now

    def end(
        self, ending: Reply, outcome: Outcome, *, epoch: int, final_seq: int, intent: Intent | None = None
    ) -> Message:
        """End the reply, of which a copy is given, as the owner of `epoch`; raises LeaseLost when that is over.

        The `intent` is noted on the question.
        """
        reply_id = ending.id
        with self.start_work() as work:
            conversation = work.conversations.get(ending.conversation_id, for_=SYSTEM, deleted=None)
            reply = work.replies.get(reply_id, for_=SYSTEM)
            if (reply.is_live, reply.epoch, reply.final_seq) == (False, epoch, final_seq):
                # An earlier try was committed, though that was not known: what is left is to say so.
                return self._tell(work.messages.get(reply_id), epoch=epoch, seq=final_seq)
            reply.end(outcome, epoch=epoch, final_seq=final_seq, now=self.now())
            versions: Sequence[Message] = ()
            if reply.version > 1:
                versions = work.messages.versions(conversation.id, reply.position, reply.parent_id)
            message = conversation.take_answer(reply, self.now(), versions=versions)
            work.messages.add(message)
            if intent is not None and reply.parent_id is not None:
                conversation.note_intent(work.messages.get(reply.parent_id), intent.document, self.now())
            work.commit()
        _log(message)
        return self._tell(message, epoch=epoch, seq=final_seq)

    def _tell(self, message: Message, *, epoch: int, seq: int) -> Message:
        entry = terminal_entry(seq, message.status, message_document(message), message.error)
        self.log.append(message.id, epoch=epoch, entry=entry)
        return message

    def take_over(self, reply_id: UUID, *, if_: Callable[[Reply, datetime], bool]) -> ReplyStatus | None:
        """Shut out the owner of a live reply that meets a condition, then requeue or end it; its new status.

        None when the condition does not hold (any more). If the caller dies half-way, its own lease
        runs out and the next reaper does it again.
        """
        with self.start_work() as work:
            reply = work.replies.get(reply_id, for_=SYSTEM)
            if not reply.is_live or not if_(reply, self.now()):
                return None
            reply.fence(self.now())
            work.commit()
        next_seq, logged = self._take_log_over(reply)
        emitted = max(reply.text, said(logged), key=len)
        if reply.can_be_tried_again(emitted, acted=any(entry.event == "reply.tool_call" for entry in logged)):
            with self.start_work() as work:
                work.replies.get(reply_id, for_=SYSTEM).requeue(epoch=reply.epoch, now=self.now())
                work.commit()
            return ReplyStatus.QUEUED
        outcome = reply.abandoned_outcome(emitted, tool_calls=called(logged))
        self.end(reply, outcome, epoch=reply.epoch, final_seq=next_seq)
        return outcome.status

    def _take_log_over(self, reply: Reply) -> tuple[int, Sequence[LogEntry]]:
        """The number that the log goes on with, and what is in it; without the log, what is safe."""
        try:
            next_seq = self.log.open(reply.id, epoch=reply.epoch, first_seq=reply.seq_ceiling)
            return next_seq, self.log.read(reply.id, after=-1)
        except LogUnavailable:
            return reply.seq_ceiling, ()


def _log(message: Message) -> None:
    """A line on how a reply has ended; the reaper's would not be bound to its ids otherwise."""
    is_well = message.status in (ReplyStatus.COMPLETED, ReplyStatus.CANCELLED)
    told = {"reply_id": str(message.id), "conversation_id": str(message.conversation_id)}
    if message.error is not None:
        told["error_code"] = message.error["code"]
    log.log(logging.INFO if is_well else logging.WARNING, "reply %s: %s", message.id, message.status, extra=told)


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelReply:
    """A reply shall stop. With `insist`, an owner that does not confirm within two seconds is fenced out."""

    principal: Principal
    reply_id: UUID
    insist: bool = False


@dataclass(frozen=True, slots=True)
class CancelReplyHandler:
    """Writes the durable request, wakes the owner and waits for its word; what it returns may still be live.

    Cancelling twice, or after the end, changes nothing. Raises NotFound, also for the reply of a
    deleted conversation (which is being cancelled already), or Forbidden.
    """

    start_work: StartWork
    signals: Signals
    watcher: ReplyWatcher
    ending: ReplyEnding
    now: Now
    patience: float = 2.0

    def __call__(self, command: CancelReply) -> Document:
        with self.start_work() as work:
            conversation_id = work.replies.peek(command.reply_id, for_=command.principal).conversation_id
            work.conversations.get(conversation_id, for_=command.principal)
            reply = work.replies.get(command.reply_id, for_=command.principal)
            was_live = reply.is_live
            reply.request_cancel(self.now())
            work.commit()
        if was_live:
            self._stop(reply, command)
        return self.watcher.reader.reply(command.reply_id, command.principal)

    def _stop(self, reply: Reply, command: CancelReply) -> None:
        try:
            if reply.status is ReplyStatus.QUEUED and self.ending.take_over(reply.id, if_=_still_queued):
                return
            self.signals.announce(reply.id)
            watching = WatchReply(principal=command.principal, reply_id=reply.id)
            if not self.watcher.sees_end(watching, within=self.patience) and command.insist:
                self.ending.take_over(reply.id, if_=_always)
        except LeaseLost:
            pass  # Somebody else ended it at the same moment, which is all that was asked for.


def said(entries: Sequence[LogEntry]) -> str:
    """The text that a log's last attempt has emitted."""
    text = ""
    for entry in entries:
        if entry.event == "reply.started":
            text = ""
        elif entry.event == "reply.delta":
            text += entry.data["text"]
    return text


def called(entries: Sequence[LogEntry]) -> list[Document]:
    """The tool calls of a log's last attempt of which the result is known, as messages keep them."""
    arguments: dict[str, object] = {}
    calls: list[Document] = []
    for entry in entries:
        if entry.event == "reply.started":
            arguments, calls = {}, []
        elif entry.event == "reply.tool_call":
            arguments[entry.data["id"]] = entry.data["arguments"]
        elif entry.event == "reply.tool_result":
            calls.append({**entry.data, "arguments": arguments.get(entry.data["id"])})
    return calls


def _always(reply: Reply, now: datetime) -> bool:
    return True


def _still_queued(reply: Reply, now: datetime) -> bool:
    return reply.status is ReplyStatus.QUEUED
