"""Statistics of one principal's things, or of the installation's, remembered for some minutes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TypeVar

from application.caching import Caches, Region
from application.ports.persistence import Document
from application.ports.projections import ReadModelsUnavailable
from application.ports.runtime import Now
from application.ports.statistics import (
    ConversationCounts,
    FeedbackCounts,
    HistoryStatistics,
    ReplyCounts,
    RoomCounts,
    Scope,
    Statistics,
)
from application.statistics.documents import (
    of_conversations,
    of_feedback,
    of_job_analyses,
    of_projects,
    of_replies,
    of_rooms,
    of_visitors,
)
from domain.errors import Forbidden
from domain.identity import Principal

log = logging.getLogger(__name__)

Counts = TypeVar("Counts")


class Subject(StrEnum):
    """What there are statistics of."""

    CONVERSATIONS = "conversations"
    ROOMS = "rooms"
    REPLIES = "replies"
    FEEDBACK = "feedback"
    VISITORS = "visitors"
    PROJECTS = "projects"
    JOB_ANALYSES = "job-analyses"


_SOONER = {Subject.CONVERSATIONS: 300.0, Subject.JOB_ANALYSES: 300.0}
"""Seconds for which these are kept, as the seed on caching has it; others for as long as their region says."""

_OF_THE_INSTALLATION = {Subject.VISITORS}
"""What nobody has statistics of their own of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadStatistics:
    """The statistics of the last so many `days` (1 to 366, in UTC, today included): one's own, or `everybody`'s."""

    principal: Principal
    subject: Subject
    days: int = 30
    everybody: bool = False


@dataclass(frozen=True, slots=True)
class ReadStatisticsHandler:
    """Counts, or remembers for some minutes what was counted: `computed_at` tells when.

    Histories are counted where they are read, everything else in the write tables. Raises Forbidden unless it is
    an admin who asks for everybody's, or for visitors'.
    """

    histories: HistoryStatistics
    statistics: Statistics
    caches: Caches
    now: Now

    def __call__(self, query: ReadStatistics) -> Document:
        """`{scope, since, until, computed_at, totals, by_day}` and what the subject has beside; see docs/api.md."""
        everybody = query.everybody or query.subject in _OF_THE_INSTALLATION
        if everybody and not query.principal.is_admin:
            raise Forbidden(f"Only an admin may see everybody's {query.subject}.", kind="statistics")
        today = self.now().date()
        owner = None if everybody else query.principal.key
        scope = Scope(owner=owner, first=today - timedelta(days=query.days - 1), last=today)
        key = f"{query.subject}:{query.days}:{today}:{owner or 'everybody'}"
        lifetime = _SOONER.get(query.subject)
        return self.caches.remembered(
            Region.STATISTICS, key, lambda: self._computed(query.subject, scope), lifetime=lifetime
        )

    def _computed(self, subject: Subject, scope: Scope) -> Document:
        return {
            "scope": "own" if scope.owner is not None else "all",
            "since": scope.first.isoformat(),
            "until": scope.last.isoformat(),
            "computed_at": self.now(),
        } | self._counted(subject, scope)

    def _counted(self, subject: Subject, scope: Scope) -> Document:
        match subject:
            case Subject.CONVERSATIONS:
                deleted = self.statistics.deletions(scope)
                return of_conversations(scope, self.histories.conversations(scope), deleted)
            case Subject.ROOMS:
                return of_rooms(scope, self.histories.rooms(scope), self.statistics.deletions(scope))
            case Subject.REPLIES:
                return of_replies(scope, self.histories.replies(scope))
            case Subject.FEEDBACK:
                return of_feedback(scope, self.histories.feedback(scope))
            case Subject.VISITORS:
                return of_visitors(scope, self.statistics.visitors(scope))
            case Subject.PROJECTS:
                return of_projects(scope, self.statistics.projects(scope))
            case Subject.JOB_ANALYSES:
                return of_job_analyses(scope, self.statistics.job_analyses(scope))


@dataclass(frozen=True, slots=True)
class DegradingStatistics:
    """Asks `preferred`; falls back to `fallback` when that fails, or while its read models cannot be relied on.

    `check` raises ReadModelsUnavailable for as long as they cannot. That an aggregation fails, which may be for its
    size, says nothing of the queries that ask for single things: they go on as before.
    """

    preferred: HistoryStatistics
    fallback: HistoryStatistics
    check: Callable[[], object]

    def conversations(self, scope: Scope) -> ConversationCounts:
        """See HistoryStatistics."""
        return self._ask(lambda statistics: statistics.conversations(scope))

    def rooms(self, scope: Scope) -> RoomCounts:
        """See HistoryStatistics."""
        return self._ask(lambda statistics: statistics.rooms(scope))

    def replies(self, scope: Scope) -> ReplyCounts:
        """See HistoryStatistics."""
        return self._ask(lambda statistics: statistics.replies(scope))

    def feedback(self, scope: Scope) -> FeedbackCounts:
        """See HistoryStatistics."""
        return self._ask(lambda statistics: statistics.feedback(scope))

    def _ask(self, query: Callable[[HistoryStatistics], Counts]) -> Counts:
        try:
            self.check()
            return query(self.preferred)
        except ReadModelsUnavailable as away:
            log.info("statistics are counted in the write tables: %s", away.message)
        return query(self.fallback)
