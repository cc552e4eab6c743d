"""`/…/stats/`: what was counted, of one's own things or of everybody's."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate

from application.facade import Application
from application.statistics.reading import ReadStatistics, Subject
from domain.job_analyses import AnalysisStatus
from domain.knowledge import DocumentStatus
from domain.messages import Rating
from domain.replies import ReplyStatus
from entrypoints.http.answers import data
from entrypoints.http.auth import principal
from entrypoints.http.refusals import refuses
from entrypoints.http.schemas import Request, choice_field, count_field, enveloped


class StatisticsQuery(Request):
    """Whose things, and of how many days, in UTC and today included."""

    days = fields.Integer(
        load_default=30, validate=validate.Range(1, 366), metadata={"description": "The last so many, today included."}
    )
    scope = fields.String(
        load_default="own",
        validate=validate.OneOf(["own", "all"]),
        metadata={"description": "One's own things, or everybody's: for admins."},
    )


class InstallationQuery(StatisticsQuery):
    """The same where nobody has things of their own."""

    scope = fields.String(load_default="all", validate=validate.OneOf(["all"]))


def _mean() -> fields.Float:
    return fields.Float(required=True, allow_none=True)


def _each(schema: type[Schema]) -> fields.List[Any]:
    return fields.List(fields.Nested(schema), required=True)


def _schema(name: str, /, *numbers: str, base: type[Schema] = Schema, **others: fields.Field[Any]) -> type[Schema]:
    """Numbers, and whatever stands beside them."""
    return type(name, (base,), {number: count_field() for number in numbers} | others)


class _Day(Schema):
    date = fields.Date(required=True)


def _statistics(name: str, totals: type[Schema], by_day: type[Schema], **others: fields.Field[Any]) -> type[Schema]:
    """What all statistics have in common, and what these have beside it."""
    members: dict[str, Any] = {
        "scope": fields.String(required=True, validate=validate.OneOf(["own", "all"])),
        "since": fields.Date(required=True),
        "until": fields.Date(required=True),
        "computed_at": fields.DateTime(required=True),
        "totals": fields.Nested(totals, required=True),
        "by_day": _each(by_day),
    }
    return type(name, (Schema,), members | others)


_CONVERSATIONS = ("started", "active", "deleted", "questions", "answers")

ConversationStatisticsOut = _statistics(
    "ConversationStatisticsOut",
    _schema(
        "ConversationTotals",
        *_CONVERSATIONS,
        "started_in_rooms",
        "started_on_their_own",
        messages_per_conversation=_mean(),
    ),
    _schema("ConversationDay", *_CONVERSATIONS, base=_Day),
    by_agent=_each(_schema("ConversationAgent", "started", "answers", agent=fields.String(required=True))),
)

_ROOMS = ("opened", "active", "deleted")

RoomStatisticsOut = _statistics(
    "RoomStatisticsOut",
    _schema(
        "RoomTotals",
        *_ROOMS,
        "rooms",
        "conversations",
        "messages",
        conversations_per_room=_mean(),
        messages_per_room=_mean(),
    ),
    _schema("RoomDay", *_ROOMS, base=_Day),
    busiest=_each(
        _schema(
            "BusyRoom",
            "conversations",
            "messages",
            id=fields.UUID(required=True),
            name=fields.String(metadata={"description": "Of one's own rooms."}),
            owner=fields.String(metadata={"description": "Of everybody's rooms."}),
        )
    ),
)


class SpreadOut(Schema):
    """Milliseconds; percentiles by nearest rank, null where nothing was measured."""

    mean = _mean()
    p50 = fields.Integer(required=True, allow_none=True)
    p95 = fields.Integer(required=True, allow_none=True)


class CostOut(Schema):
    """What tokens cost in one currency."""

    currency = fields.String(required=True)
    amount = fields.Float(required=True)


def _replies(name: str, base: type[Schema] = Schema, **others: fields.Field[Any]) -> type[Schema]:
    outcomes = [status.value for status in ReplyStatus if not status.is_live]
    taken = ("fallback", "offline", "cached", "estimated", "tool_calls", "input_tokens", "output_tokens")
    return _schema(name, "replies", *outcomes, *taken, base=base, cost=_each(CostOut), **others)


ReplyStatisticsOut = _statistics(
    "ReplyStatisticsOut",
    _replies(
        "ReplyTotals",
        time_to_first_token_ms=fields.Nested(SpreadOut, required=True),
        response_time_ms=fields.Nested(SpreadOut, required=True),
    ),
    _replies("ReplyDay", _Day),
    by_model=_each(_replies("ReplyModel", model=fields.String(required=True, allow_none=True))),
    by_agent=_each(_replies("ReplyAgent", agent=fields.String(required=True, allow_none=True))),
)


class CommentOut(Schema):
    """What somebody said of an answer."""

    message_id = fields.UUID(required=True)
    conversation_id = fields.UUID(required=True)
    agent = fields.String(required=True, allow_none=True)
    rating = choice_field(Rating, required=True)
    comment = fields.String(required=True)
    given_at = fields.DateTime(required=True)


def _ratings(name: str, base: type[Schema] = Schema, **others: fields.Field[Any]) -> type[Schema]:
    return _schema(name, "ratings", "up", "down", base=base, share_up=_mean(), **others)


FeedbackStatisticsOut = _statistics(
    "FeedbackStatisticsOut",
    _ratings("FeedbackTotals"),
    _ratings("FeedbackDay", _Day),
    by_agent=_each(_ratings("FeedbackAgent", agent=fields.String(required=True, allow_none=True))),
    comments=_each(CommentOut),
)

_VISITORS = ("new", "active", "claimed", "questions")

VisitorStatisticsOut = _statistics(
    "VisitorStatisticsOut",
    _schema("VisitorTotals", *_VISITORS),
    _schema("VisitorDay", *_VISITORS, base=_Day),
    scope=fields.String(required=True, validate=validate.OneOf(["all"])),
)

ProjectStatisticsOut = _statistics(
    "ProjectStatisticsOut",
    _schema(
        "ProjectTotals",
        "projects",
        "documents",
        *(status.value for status in DocumentStatus),
        "passages",
        "bytes",
        "opened",
        "added",
    ),
    _schema("ProjectDay", "opened", "added", base=_Day),
    most_cited=_each(
        _schema(
            "CitedDocument",
            "answers",
            document_id=fields.UUID(required=True, allow_none=True),
            document=fields.String(required=True),
            title=fields.String(required=True),
        )
    ),
)


_ANALYSES = ("requested", *(status.value for status in AnalysisStatus))

JobAnalysisStatisticsOut = _statistics(
    "JobAnalysisStatisticsOut",
    _schema("JobAnalysisTotals", *_ANALYSES, "skills_matched", "skills_missing", mean_score=_mean()),
    _schema("JobAnalysisDay", *_ANALYSES, base=_Day, mean_score=_mean()),
    missing_skills=_each(_schema("MissingSkill", "analyses", "missing", name=fields.String(required=True))),
)


def blueprint(app: Application) -> Blueprint:
    """The routes of statistics, over `app`."""
    routes = Blueprint("statistics", __name__, url_prefix="", description="What was counted.")

    def read(subject: Subject, query: dict[str, Any]) -> Response:
        everybody = query["scope"] == "all"
        return data(
            app.statistics(
                ReadStatistics(principal=principal(), subject=subject, days=query["days"], everybody=everybody)
            )
        )

    @routes.get("/conversations/stats/")
    @refuses("forbidden")
    @routes.arguments(StatisticsQuery(), location="query")
    @routes.response(200, enveloped(ConversationStatisticsOut))
    def conversation_statistics(query: dict[str, Any]) -> Response:
        """How many conversations were started and active, what was asked and answered; remembered for 5 minutes."""
        return read(Subject.CONVERSATIONS, query)

    @routes.get("/rooms/stats/")
    @refuses("forbidden")
    @routes.arguments(StatisticsQuery(), location="query")
    @routes.response(200, enveloped(RoomStatisticsOut))
    def room_statistics(query: dict[str, Any]) -> Response:
        """How many rooms there are, what they hold, which are the busiest; remembered for 15 minutes."""
        return read(Subject.ROOMS, query)

    @routes.get("/replies/stats/")
    @refuses("forbidden")
    @routes.arguments(StatisticsQuery(), location="query")
    @routes.response(200, enveloped(ReplyStatisticsOut))
    def reply_statistics(query: dict[str, Any]) -> Response:
        """How replies ended, how long they took, tokens and cost; remembered for 15 minutes."""
        return read(Subject.REPLIES, query)

    @routes.get("/feedback/stats/")
    @refuses("forbidden")
    @routes.arguments(StatisticsQuery(), location="query")
    @routes.response(200, enveloped(FeedbackStatisticsOut))
    def feedback_statistics(query: dict[str, Any]) -> Response:
        """What was thought of answers, with the newest comments; remembered for 15 minutes."""
        return read(Subject.FEEDBACK, query)

    @routes.get("/visitors/stats/")
    @refuses("forbidden")
    @routes.arguments(InstallationQuery(), location="query")
    @routes.response(200, enveloped(VisitorStatisticsOut))
    def visitor_statistics(query: dict[str, Any]) -> Response:
        """How many visitors came, asked and signed in, for admins; remembered for 15 minutes."""
        return read(Subject.VISITORS, query)

    @routes.get("/projects/stats/")
    @refuses("forbidden")
    @routes.arguments(StatisticsQuery(), location="query")
    @routes.response(200, enveloped(ProjectStatisticsOut))
    def project_statistics(query: dict[str, Any]) -> Response:
        """How many projects and documents there are, and which are cited most; remembered for 15 minutes."""
        return read(Subject.PROJECTS, query)

    @routes.get("/job-analyses/stats/")
    @refuses("forbidden")
    @routes.arguments(StatisticsQuery(), location="query")
    @routes.response(200, enveloped(JobAnalysisStatisticsOut))
    def job_analysis_statistics(query: dict[str, Any]) -> Response:
        """How jobs were analysed, and which skills are missing most often; remembered for 5 minutes."""
        return read(Subject.JOB_ANALYSES, query)

    return routes
