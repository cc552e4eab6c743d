"""Queries from the read models, and from the write tables while those cannot be relied on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from application.ports.persistence import Document
from application.ports.projections import Model, Outbox, ReadModels, ReadModelsUnavailable, RecordedEvent
from application.ports.queries import MessagePage, Page, Reader
from application.ports.runtime import Now, Signals
from application.projections import Projector
from domain.errors import NotFound
from domain.identity import Principal

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_NOT_LOOKED = "not looked at yet"

_MISSING = UUID(int=0x7265_6164_206D_6F64_656C_73)
"""The signal by which processes tell each other that the read models miss something ("read models" in ASCII)."""

_BEHIND = timedelta(seconds=5)
"""Age of an undelivered event from which on the read models count as stale."""


@dataclass(slots=True)
class _Trust:
    """Why the read models are not relied on (None: they are), and since when."""

    doubt: str | None = _NOT_LOOKED
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class DegradingReader:
    """Asks `preferred`; falls back to `fallback` when that does not answer, is incomplete or lags behind.

    It comes back by itself: `look` is called every second, and trusts the read models again when they
    answer and hold everything that was committed before the doubt arose. A process whose projection
    fails tells the others: so whatever was acknowledged, anywhere, is what a query shows.
    """

    preferred: Reader
    fallback: Reader
    models: ReadModels
    projector: Projector
    outbox: Outbox
    signals: Signals
    now: Now
    _trust: _Trust = field(default_factory=_Trust, repr=False)

    def listen(self) -> AbstractContextManager[None]:
        """Hear, while the context is open, of what other processes could not project."""
        return self.signals.listen(_MISSING, lambda: self._doubt("Another process could not bring them up to date."))

    def look(self) -> None:
        """See whether the read models can be relied on; raises StorageUnavailable when the database is away."""
        since = self._trust.since
        try:
            self.models.check()
        except ReadModelsUnavailable as failure:
            self._doubt(failure.message)
            return
        age = self.outbox.age()
        if age > _BEHIND:
            self._doubt(f"They are {age.total_seconds():.0f} seconds behind.")
        elif self._trust.doubt is not None and since == self._trust.since and not self._may_miss_something(age):
            log.info("queries are answered from the read models")
            self._trust.doubt = self._trust.since = None

    def check(self) -> str:
        """One line for whoever asks about this part; raises ReadModelsUnavailable while queries fall back."""
        if self._trust.doubt is not None:
            self.look()
        if self._trust.doubt is not None:
            raise ReadModelsUnavailable(f"Queries are answered from the write tables. {self._trust.doubt}")
        return "queries are answered from the read models"

    def project(self, events: Sequence[RecordedEvent]) -> None:
        """Subscribes to the relay: bring the read models up to date, or have nobody rely on them."""
        try:
            self.projector(events)
        except Exception as failure:
            self._doubt(f"They could not be brought up to date: {failure}")
            self.signals.announce(_MISSING)
            raise

    def project_at_once(self, events: Sequence[RecordedEvent]) -> None:
        """The same right after a commit, which is not held up while nobody relies on the read models anyway."""
        if self._trust.doubt == _NOT_LOOKED:
            self.look()
        if self._trust.doubt is not None:
            self.signals.announce(_MISSING)
            raise ReadModelsUnavailable(self._trust.doubt)
        self.project(events)

    def rooms(self, principal: Principal, page: Page) -> Document:
        return self._ask(lambda reader: reader.rooms(principal, page))

    def room(self, room_id: UUID, principal: Principal) -> Document:
        return self._ask(lambda reader: reader.room(room_id, principal))

    def room_history(self, room_id: UUID, principal: Principal, page: MessagePage) -> Document:
        return self._ask(lambda reader: reader.room_history(room_id, principal, page))

    def conversations(self, principal: Principal, room_id: UUID | None, page: Page) -> Document:
        return self._ask(lambda reader: reader.conversations(principal, room_id, page))

    def conversation(self, conversation_id: UUID, principal: Principal) -> Document:
        return self._ask(lambda reader: reader.conversation(conversation_id, principal))

    def conversation_called(self, external_id: str, principal: Principal) -> Document:
        return self._ask(lambda reader: reader.conversation_called(external_id, principal))

    def messages(self, conversation_id: UUID, principal: Principal, page: MessagePage) -> Document:
        return self._ask(lambda reader: reader.messages(conversation_id, principal, page))

    def versions(self, message_id: UUID, principal: Principal, page: Page) -> Document:
        return self._ask(lambda reader: reader.versions(message_id, principal, page))

    def reply(self, reply_id: UUID, principal: Principal) -> Document:
        """As the port says, and whoever sees here that it has ended finds its message in the history."""
        reply = self.fallback.reply(reply_id, principal)
        if reply["message"] is not None and self._trust.doubt is None:
            self._catch_up(reply)
        return reply

    def search(self, principal: Principal, query: str, page: Page) -> Document:
        return self._ask(lambda reader: reader.search(principal, query, page))

    def _ask(self, query: Callable[[Reader], Answer]) -> Answer:
        if self._trust.doubt is None:
            try:
                return query(self.preferred)
            except ReadModelsUnavailable as failure:
                self._doubt(failure.message)
            except NotFound:
                pass  # The write tables know for sure.
        return query(self.fallback)

    def _catch_up(self, reply: Document) -> None:
        """Between its commit and its projection an end is to be seen in the write tables only."""
        try:
            if not self.models.holds(Model.MESSAGES, reply["id"]):
                self.projector.project(conversations={reply["conversation_id"]}, messages={reply["id"]})
        except ReadModelsUnavailable as failure:
            self._doubt(failure.message)

    def _doubt(self, reason: str) -> None:
        if self._trust.doubt is None:
            log.warning("queries are answered from the write tables: %s", reason)
        self._trust.doubt = reason
        self._trust.since = self.now()

    def _may_miss_something(self, age: timedelta) -> bool:
        since = self._trust.since
        return since is not None and age > timedelta() and self.now() - age <= since
