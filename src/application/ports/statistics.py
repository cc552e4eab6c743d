"""What is counted: of histories where they are read, of everything else where it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple, Protocol

from application.ports.persistence import Document

Day = str
"""A day in UTC, as `2026-11-21`."""

BUSIEST = 10
"""How many rooms, comments or documents a list of the first ones holds."""

MOST = 2**31 - 1
"""The largest measurement that is believed; what a model's server says beyond that counts as not said."""

DEAREST = 1_000_000
"""The highest cost of one reply that is believed, in its currency."""

COST_UNIT = 1_000_000_000
"""Parts of a currency's unit in which costs are added up, so that every store comes to the same sum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose things (None: everybody's), and which days in UTC, from `first` to `last`."""

    owner: str | None
    first: date
    last: date

    @property
    def start(self) -> datetime:
        """The moment that the first day begins at."""
        return datetime.combine(self.first, time(), UTC)

    @property
    def end(self) -> datetime:
        """The moment that the last day is over at."""
        return datetime.combine(self.last, time(), UTC) + timedelta(days=1)

    @property
    def days(self) -> Sequence[Day]:
        """Every one, in order."""
        count = (self.last - self.first).days + 1
        return [(self.first + timedelta(days=number)).isoformat() for number in range(count)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Distinct:
    """How many things there are to each day, and in all days: less than the sum where a thing stands in several."""

    by_day: Mapping[Day, int]
    in_all: int


class Started(NamedTuple):
    """So many conversations were started on a day."""

    day: Day
    agent: str
    in_room: bool
    number: int


class Said(NamedTuple):
    """So many messages were said on a day; a question's agent is None."""

    day: Day
    role: str
    agent: str | None
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationCounts:
    """Conversations that are not deleted; `active` are those in which something was asked."""

    started: Sequence[Started]
    said: Sequence[Said]
    active: Distinct


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomCounts:
    """Rooms that are not deleted: what there is by now, and what happened in the period.

    `busiest` are the rooms in which most was said in it: `{id, owner, name, conversations, messages}`.
    """

    rooms: int
    conversations: int
    messages: int
    opened: Mapping[Day, int]
    active: Distinct
    busiest: Sequence[Document]


class Written(NamedTuple):
    """So many replies ended on a day, and what they took. `cost` is in parts of `currency`, see COST_UNIT.

    `fallback` are those that the fallback wrote, `offline` those of an installation without a model, `estimated`
    those whose tokens the model's server did not tell.
    """

    day: Day
    status: str
    agent: str | None
    model: str | None
    currency: str | None
    replies: int
    fallback: int
    offline: int
    cached: int
    estimated: int
    tool_calls: int
    input_tokens: int
    output_tokens: int
    cost: int


class Spread(NamedTuple):
    """How measurements in milliseconds are spread: how many there are, their sum, percentiles by nearest rank."""

    number: int = 0
    total: int = 0
    p50: int | None = None
    p95: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyCounts:
    """Every reply that ended in the period: on whatever branch, and of deleted conversations too."""

    written: Sequence[Written]
    time_to_first_token: Spread = field(default_factory=Spread)
    response_time: Spread = field(default_factory=Spread)


class Rated(NamedTuple):
    """So many answers were given a rating on a day."""

    day: Day
    rating: str
    agent: str | None
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackCounts:
    """What was thought of answers, on whatever branch of a conversation that is not deleted.

    `comments` are the newest: `{message_id, conversation_id, agent, rating, comment, given_at}`.
    """

    rated: Sequence[Rated]
    comments: Sequence[Document]


class HistoryStatistics(Protocol):
    """What is counted of histories. Raises StorageUnavailable when the store does not answer."""

    def conversations(self, scope: Scope) -> ConversationCounts:
        """Messages count on the current branch only."""
        ...

    def rooms(self, scope: Scope) -> RoomCounts:
        """Messages count on the current branch only."""
        ...

    def replies(self, scope: Scope) -> ReplyCounts: ...

    def feedback(self, scope: Scope) -> FeedbackCounts: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionCounts:
    """What was deleted in the period and not restored since."""

    rooms: Mapping[Day, int]
    conversations: Mapping[Day, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitorCounts:
    """Visitors who came, who asked something and who signed in; what they asked until then."""

    new: Mapping[Day, int]
    claimed: Mapping[Day, int]
    questions: Mapping[Day, int]
    active: Distinct


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectCounts:
    """Projects and documents that are not deleted: what there is by now, and what was added in the period.

    `cited` are the documents that most answers of the period cite, on the current branch of conversations that are
    not deleted: `{document_id, document, title, answers}`.
    """

    projects: int
    documents: Mapping[str, int]
    """By status."""
    passages: int
    size: int
    """Of all documents together, in bytes."""
    opened: Mapping[Day, int]
    added: Mapping[Day, int]
    cited: Sequence[Document]


class Analysed(NamedTuple):
    """So many analyses were asked for on a day; of these, so many are `scored`, with these scores and skills in all."""

    day: Day
    status: str
    number: int
    scored: int
    score: int
    matched: int
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAnalysisCounts:
    """Job analyses that were asked for in the period and are not deleted.

    `skills` are those that were missing most often: `{name, analyses, missing}`, in how many they were asked for
    and missing.
    """

    analysed: Sequence[Analysed]
    skills: Sequence[Document]


class Statistics(Protocol):
    """What is counted of all but histories. Raises StorageUnavailable when the store does not answer."""

    def deletions(self, scope: Scope) -> DeletionCounts: ...

    def visitors(self, scope: Scope) -> VisitorCounts:
        """For everybody's scope."""
        ...

    def projects(self, scope: Scope) -> ProjectCounts: ...

    def job_analyses(self, scope: Scope) -> JobAnalysisCounts: ...
