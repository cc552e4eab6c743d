"""Follow a reply by the numbers of its log, from anywhere, as often as one likes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from application.ports.persistence import Document, StorageUnavailable
from application.ports.queries import Reader
from application.ports.runtime import LogEntry, LogUnavailable, ReplyLog
from domain.errors import NotFound
from domain.identity import Principal
from domain.replies import ReplyStatus

_LOOK_AGAIN = 5.0
"""Seconds without an event after which the stored reply is consulted: its log may have been lost."""

_AWAY = 1.0
"""Seconds between two looks at the stored reply while its log is away."""


def terminal_entry(seq: int, status: str, message: Document, error: dict[str, str] | None) -> LogEntry:
    """The one event that ends a log."""
    return LogEntry(seq, f"reply.{status}", {"message": message, "error": error} if error else {"message": message})


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchReply:
    """A principal wants the events numbered above `after`; -1 is all of them."""

    principal: Principal
    reply_id: UUID
    after: int = -1


@dataclass(frozen=True, slots=True)
class ReplyWatcher:
    """Reads logs as they grow; when a log is gone, tells the end from the stored message in one event."""

    log: ReplyLog
    reader: Reader
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when this process is about to end: every wait returns and every watch ends, to go on elsewhere."""

    def __call__(self, query: WatchReply, *, known: Document | None = None) -> Iterator[Sequence[LogEntry]] | None:
        """The entries in order up to the terminal one, as they come; an empty batch every few seconds without any.

        None instead of an iterator when the watcher has seen the end already. Raises NotFound or
        Forbidden before anything is yielded. `known` is the reply where the principal has just made it.
        """
        reply = known or self.reader.reply(query.reply_id, query.principal)
        final_seq = reply["final_seq"]
        if final_seq is not None and query.after >= final_seq:
            return None
        return self._follow(query, reply)

    def wait(self, query: WatchReply, *, within: float) -> Document:
        """The reply as it is once it has ended, or after `within` seconds."""
        reply = self.reader.reply(query.reply_id, query.principal)
        if _is_live(reply):
            self.sees_end(query, within=within)
            reply = self.reader.reply(query.reply_id, query.principal)
        return reply

    def sees_end(self, query: WatchReply, *, within: float) -> bool:
        """Whether the reply ends within so many seconds. Raises NotFound when its conversation is deleted meanwhile."""
        deadline = time.monotonic() + within
        after = -1
        while not self.stopping.is_set():
            try:
                with self.log.watching(query.reply_id):
                    while not self.stopping.is_set():
                        entries = self.log.read(query.reply_id, after=after)
                        if entries:
                            after = entries[-1].seq
                            if entries[-1].is_terminal:
                                return True
                        left = deadline - time.monotonic()
                        if left <= 0:
                            return False
                        self.log.wait(query.reply_id, after=after, timeout=min(_LOOK_AGAIN, left))
            except LogUnavailable:
                self.stopping.wait(min(_AWAY, max(0.0, deadline - time.monotonic())))
                if not _is_live(self.reader.reply(query.reply_id, query.principal)):
                    return True
                if time.monotonic() >= deadline:
                    return False
        return False

    def _follow(self, query: WatchReply, reply: Document) -> Iterator[Sequence[LogEntry]]:
        position = _Position(query.after)
        while not self.stopping.is_set():
            try:
                with self.log.watching(query.reply_id):
                    yield from self._follow_log(query, reply, position)
                return
            except LogUnavailable:
                # The reply goes on without its log, and its end is in the database.
                yield ()
                self.stopping.wait(_AWAY)
                looked = self._look(query, reply)
                if looked is None:
                    return
                reply = looked
                if not _is_live(reply):
                    yield [_snapshot(reply)]
                    return

    def _follow_log(self, query: WatchReply, reply: Document, position: _Position) -> Iterator[Sequence[LogEntry]]:
        while not self.stopping.is_set():
            entries = self.log.read(query.reply_id, after=position.after)
            if entries:
                yield entries
                position.after = entries[-1].seq
                if entries[-1].is_terminal:
                    return
            elif not _is_live(reply):
                yield [_snapshot(reply)]
                return
            asked_at = time.monotonic()
            self.log.wait(query.reply_id, after=position.after, timeout=_LOOK_AGAIN)
            if time.monotonic() >= asked_at + _LOOK_AGAIN:
                yield ()
                looked = self._look(query, reply)
                if looked is None:
                    return
                reply = looked

    def _look(self, query: WatchReply, reply: Document) -> Document | None:
        """The reply as it is now, or as it was when the database is away; None when its conversation was deleted."""
        try:
            return self.reader.reply(query.reply_id, query.principal)
        except NotFound:
            return None  # Whoever comes back is told so.
        except StorageUnavailable:
            return reply  # The log may still go on.


@dataclass(slots=True)
class _Position:
    """The number of the last event that a watcher was given."""

    after: int


def _is_live(reply: Document) -> bool:
    return ReplyStatus(reply["status"]).is_live


def _snapshot(reply: Document) -> LogEntry:
    return terminal_entry(reply["final_seq"], reply["status"], reply["message"], reply["error"])
