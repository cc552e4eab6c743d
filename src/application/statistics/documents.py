"""The documents of statistics: what was counted, with every day, and what it adds up to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from application.ports.persistence import Document
from application.ports.statistics import (
    COST_UNIT,
    Analysed,
    ConversationCounts,
    Day,
    DeletionCounts,
    FeedbackCounts,
    JobAnalysisCounts,
    ProjectCounts,
    Rated,
    ReplyCounts,
    RoomCounts,
    Scope,
    Spread,
    VisitorCounts,
    Written,
)
from domain.job_analyses import AnalysisStatus
from domain.knowledge import DocumentStatus
from domain.messages import Rating, Role
from domain.replies import ReplyStatus

Cell = TypeVar("Cell")
Key = TypeVar("Key", bound=Hashable)


def of_conversations(scope: Scope, counts: ConversationCounts, deleted: DeletionCounts) -> Document:
    """Conversations, what was said in them, and by whom."""
    started = _summed((cell.day, cell.number) for cell in counts.started)
    questions = _summed((cell.day, cell.number) for cell in counts.said if cell.role == Role.USER)
    answers = _summed((cell.day, cell.number) for cell in counts.said if cell.role == Role.ASSISTANT)
    started_with = _summed((cell.agent, cell.number) for cell in counts.started)
    answered_by = _summed((cell.agent, cell.number) for cell in counts.said if cell.agent is not None)
    in_rooms = sum(cell.number for cell in counts.started if cell.in_room)
    said = sum(questions.values()) + sum(answers.values())
    agents = [
        {"agent": agent, "started": started_with.get(agent, 0), "answers": answered_by.get(agent, 0)}
        for agent in started_with.keys() | answered_by.keys()
    ]
    return {
        "totals": {
            "started": sum(started.values()),
            "started_in_rooms": in_rooms,
            "started_on_their_own": sum(started.values()) - in_rooms,
            "active": counts.active.in_all,
            "deleted": sum(deleted.conversations.values()),
            "questions": sum(questions.values()),
            "answers": sum(answers.values()),
            "messages_per_conversation": _ratio(said, counts.active.in_all, 2),
        },
        "by_day": _by_day(
            scope,
            started=started,
            active=counts.active.by_day,
            deleted=deleted.conversations,
            questions=questions,
            answers=answers,
        ),
        "by_agent": sorted(agents, key=lambda item: (-item["answers"], -item["started"], item["agent"])),
    }


def of_rooms(scope: Scope, counts: RoomCounts, deleted: DeletionCounts) -> Document:
    """Rooms, what they hold, and the busiest."""
    # Whose rooms they are an admin may know; what they called them is theirs.
    left_out = "owner" if scope.owner is not None else "name"
    return {
        "totals": {
            "rooms": counts.rooms,
            "conversations": counts.conversations,
            "messages": counts.messages,
            "conversations_per_room": _ratio(counts.conversations, counts.rooms, 2),
            "messages_per_room": _ratio(counts.messages, counts.rooms, 2),
            "opened": sum(counts.opened.values()),
            "active": counts.active.in_all,
            "deleted": sum(deleted.rooms.values()),
        },
        "by_day": _by_day(scope, opened=counts.opened, active=counts.active.by_day, deleted=deleted.rooms),
        "busiest": [{name: value for name, value in room.items() if name != left_out} for room in counts.busiest],
    }


def of_replies(scope: Scope, counts: ReplyCounts) -> Document:
    """How replies ended and what they took, by model and by agent too."""
    written = counts.written
    by_day = _apart(written, lambda cell: cell.day)
    return {
        "totals": _taken(written)
        | {
            "time_to_first_token_ms": _spread(counts.time_to_first_token),
            "response_time_ms": _spread(counts.response_time),
        },
        "by_day": [{"date": day} | _taken(by_day.get(day, ())) for day in scope.days],
        "by_model": _most_first(
            {"model": model} | _taken(cells) for model, cells in _apart(written, lambda cell: cell.model).items()
        ),
        "by_agent": _most_first(
            {"agent": agent} | _taken(cells) for agent, cells in _apart(written, lambda cell: cell.agent).items()
        ),
    }


def _taken(cells: Iterable[Written]) -> Document:
    """How replies ended, and what they took."""
    cells = list(cells)
    ended = _summed((cell.status, cell.replies) for cell in cells)
    cost = _summed((cell.currency, cell.cost) for cell in cells if cell.currency is not None)
    return {
        "replies": sum(cell.replies for cell in cells),
        **{status.value: ended.get(status.value, 0) for status in ReplyStatus if not status.is_live},
        "fallback": sum(cell.fallback for cell in cells),
        "offline": sum(cell.offline for cell in cells),
        "cached": sum(cell.cached for cell in cells),
        "estimated": sum(cell.estimated for cell in cells),
        "tool_calls": sum(cell.tool_calls for cell in cells),
        "input_tokens": sum(cell.input_tokens for cell in cells),
        "output_tokens": sum(cell.output_tokens for cell in cells),
        "cost": [{"currency": currency, "amount": cost[currency] / COST_UNIT} for currency in sorted(cost)],
    }


def _most_first(items: Iterable[Document]) -> list[Document]:
    return sorted(items, key=lambda item: (-item["replies"], item.get("model") or "", item.get("agent") or ""))


def _spread(spread: Spread) -> Document:
    return {"mean": _ratio(spread.total, spread.number, 1), "p50": spread.p50, "p95": spread.p95}


def of_feedback(scope: Scope, counts: FeedbackCounts) -> Document:
    """What was thought of answers, and the newest comments."""
    by_day = _apart(counts.rated, lambda cell: cell.day)
    by_agent = [
        {"agent": agent} | _rated(cells) for agent, cells in _apart(counts.rated, lambda cell: cell.agent).items()
    ]
    return {
        "totals": _rated(counts.rated),
        "by_day": [{"date": day} | _rated(by_day.get(day, ())) for day in scope.days],
        "by_agent": sorted(by_agent, key=lambda item: (-item["ratings"], item["agent"] or "")),
        "comments": counts.comments,
    }


def _rated(cells: Iterable[Rated]) -> Document:
    rated = _summed((cell.rating, cell.number) for cell in cells)
    up, down = rated.get(Rating.UP, 0), rated.get(Rating.DOWN, 0)
    return {"ratings": up + down, "up": up, "down": down, "share_up": _ratio(up, up + down, 4)}


def of_visitors(scope: Scope, counts: VisitorCounts) -> Document:
    """Visitors who came, asked and signed in."""
    return {
        "totals": {
            "new": sum(counts.new.values()),
            "active": counts.active.in_all,
            "claimed": sum(counts.claimed.values()),
            "questions": sum(counts.questions.values()),
        },
        "by_day": _by_day(
            scope, new=counts.new, active=counts.active.by_day, claimed=counts.claimed, questions=counts.questions
        ),
    }


def of_projects(scope: Scope, counts: ProjectCounts) -> Document:
    """Projects, their documents, and those cited most."""
    return {
        "totals": {
            "projects": counts.projects,
            "documents": sum(counts.documents.values()),
            **{status.value: counts.documents.get(status.value, 0) for status in DocumentStatus},
            "passages": counts.passages,
            "bytes": counts.size,
            "opened": sum(counts.opened.values()),
            "added": sum(counts.added.values()),
        },
        "by_day": _by_day(scope, opened=counts.opened, added=counts.added),
        "most_cited": counts.cited,
    }


def of_job_analyses(scope: Scope, counts: JobAnalysisCounts) -> Document:
    """How jobs were analysed, and what is missing most often."""
    by_day = _apart(counts.analysed, lambda cell: cell.day)
    matched, missing = sum(cell.matched for cell in counts.analysed), sum(cell.missing for cell in counts.analysed)
    return {
        "totals": _analysed(counts.analysed) | {"skills_matched": matched, "skills_missing": missing},
        "by_day": [{"date": day} | _analysed(by_day.get(day, ())) for day in scope.days],
        "missing_skills": [skill for skill in counts.skills if skill["missing"]],
    }


def _analysed(cells: Sequence[Analysed]) -> Document:
    status = _summed((cell.status, cell.number) for cell in cells)
    return {
        "requested": sum(cell.number for cell in cells),
        **{each.value: status.get(each.value, 0) for each in AnalysisStatus},
        "mean_score": _ratio(sum(cell.score for cell in cells), sum(cell.scored for cell in cells), 1),
    }


def _by_day(scope: Scope, **numbers: Mapping[Day, int]) -> list[Document]:
    """Every day, with 0 where there was nothing."""
    return [{"date": day} | {name: each.get(day, 0) for name, each in numbers.items()} for day in scope.days]


def _summed(numbers: Iterable[tuple[Key, int]]) -> dict[Key, int]:
    sums: defaultdict[Key, int] = defaultdict(int)
    for key, number in numbers:
        sums[key] += number
    return dict(sums)


def _apart(cells: Sequence[Cell], key: Callable[[Cell], Key]) -> dict[Key, list[Cell]]:
    groups: defaultdict[Key, list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[key(cell)].append(cell)
    return dict(groups)


def _ratio(part: int, whole: int, digits: int) -> float | None:
    """None of nothing."""
    return round(part / whole, digits) if whole else None
