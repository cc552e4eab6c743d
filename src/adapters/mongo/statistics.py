"""What is counted in the read models: aggregations, none of which brings single things here.

They do with what MongoDB 5.0 can: percentiles are found by counting up, for there is no operator for them yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pymongo
from pymongo import DESCENDING

from adapters.mongo.server import MongoServer
from application.ports.persistence import Document
from application.ports.projections import Model
from application.ports.statistics import (
    BUSIEST,
    COST_UNIT,
    DEAREST,
    MOST,
    ConversationCounts,
    Distinct,
    FeedbackCounts,
    Rated,
    ReplyCounts,
    RoomCounts,
    Said,
    Scope,
    Spread,
    Started,
    Written,
)
from domain.messages import Role

_PATIENCE = 20.0
"""Seconds that an aggregation may take: it is not somebody's page of history."""

_QUESTION = {"document.role": Role.USER.value}
_IN_ROOM = {"room_id": {"$ne": None}}
_NUMBER = {"number": {"$sum": 1}}
_UP_TO_HERE = {"documents": ["unbounded", "current"]}
_OF_ALL = {"documents": ["unbounded", "unbounded"]}


def _day(time: str) -> Document:
    """The day of a time, which is stored as a text in UTC."""
    return {"$substrBytes": [time, 0, 10]}


class MongoHistoryStatistics:
    """See application.ports.statistics.HistoryStatistics."""

    def __init__(self, server: MongoServer) -> None:
        self._server = server

    def conversations(self, scope: Scope) -> ConversationCounts:
        in_room = {"$ne": ["$room_id", None]}
        shown = _within(scope) | {"hidden": False}
        said = self._shown_messages(scope)
        return ConversationCounts(
            started=[
                Started(**found["_id"], number=found["number"])
                for found in self._grouped(
                    Model.CONVERSATIONS,
                    shown,
                    {"day": _day("$created_at"), "agent": "$document.agent", "in_room": in_room},
                )
            ],
            said=[
                Said(**found["_id"], number=found["number"])
                for found in self._grouped(
                    Model.MESSAGES,
                    said,
                    {
                        "day": _day("$created_at"),
                        "role": "$document.role",
                        "agent": {"$ifNull": ["$document.agent", None]},
                    },
                )
            ],
            active=self._distinct(said | _QUESTION, "$conversation_id"),
        )

    def rooms(self, scope: Scope) -> RoomCounts:
        shown = _owned(scope) | {"hidden": False}
        said = self._shown_messages(scope) | _IN_ROOM
        held = self._aggregated(
            Model.ROOMS,
            {"$match": shown},
            {
                "$group": {
                    "_id": None,
                    "rooms": {"$sum": 1},
                    "conversations": {"$sum": "$document.conversation_count"},
                    "messages": {"$sum": "$document.message_count"},
                }
            },
            {"$project": {"_id": False}},
        )
        opened = self._grouped(Model.ROOMS, _within(scope) | {"hidden": False}, _day("$created_at"))
        return RoomCounts(
            **(held[0] if held else {"rooms": 0, "conversations": 0, "messages": 0}),
            opened={found["_id"]: found["number"] for found in opened},
            active=self._distinct(said | _QUESTION, "$room_id"),
            busiest=self._busiest(said),
        )

    def replies(self, scope: Scope) -> ReplyCounts:
        those = _within(scope) | {"document.role": Role.ASSISTANT.value}
        told = "$document.metadata"
        apart = {
            "day": _day("$created_at"),
            "status": "$document.status",
            "agent": {"$ifNull": ["$document.agent", None]},
            "model": _text(f"{told}.model"),
            "currency": _text(f"{told}.cost.currency"),
        }
        fallback = _flag(f"{told}.fallback")
        sums = {
            "replies": 1,
            "fallback": {"$cond": [fallback, 1, 0]},
            "offline": {"$cond": [{"$and": [_flag(f"{told}.offline"), {"$not": fallback}]}, 1, 0]},
            "cached": {"$cond": [_flag(f"{told}.cached"), 1, 0]},
            "estimated": {"$cond": [_flag(f"{told}.usage.estimated"), 1, 0]},
            "tool_calls": {"$cond": [{"$isArray": "$document.tool_calls"}, {"$size": "$document.tool_calls"}, 0]},
            "input_tokens": _whole(f"{told}.usage.input_tokens"),
            "output_tokens": _whole(f"{told}.usage.output_tokens"),
            "cost": _cost(f"{told}.cost.amount"),
        }
        group = {"_id": apart} | {name: {"$sum": each} for name, each in sums.items()}
        written = self._aggregated(Model.MESSAGES, {"$match": those}, {"$group": group})
        return ReplyCounts(
            written=[Written(**found.pop("_id"), **found) for found in written],
            time_to_first_token=self._spread(those, f"{told}.time_to_first_token_ms"),
            response_time=self._spread(those, f"{told}.response_time_ms"),
        )

    def feedback(self, scope: Scope) -> FeedbackCounts:
        given_at = "document.feedback.given_at"
        given = _owned(scope) | self._not_in_deleted(scope) | {given_at: _days(scope)}
        rated = self._grouped(
            Model.MESSAGES,
            given,
            {
                "day": _day(f"${given_at}"),
                "rating": "$document.feedback.rating",
                "agent": {"$ifNull": ["$document.agent", None]},
            },
        )
        comments = self._aggregated(
            Model.MESSAGES,
            {"$match": given | {"document.feedback.comment": {"$ne": None}}},
            {"$sort": {given_at: DESCENDING, "_id": DESCENDING}},
            {"$limit": BUSIEST},
            {
                "$project": {
                    "_id": False,
                    "message_id": "$_id",
                    "conversation_id": "$conversation_id",
                    "agent": "$document.agent",
                    "rating": "$document.feedback.rating",
                    "comment": "$document.feedback.comment",
                    "given_at": f"${given_at}",
                }
            },
        )
        return FeedbackCounts(
            rated=[Rated(**found["_id"], number=found["number"]) for found in rated], comments=comments
        )

    def _shown_messages(self, scope: Scope) -> Document:
        return _within(scope) | {"hidden": False} | self._not_in_deleted(scope)

    def _not_in_deleted(self, scope: Scope) -> Document:
        """What keeps out messages of deleted conversations, which are not marked themselves."""
        deleted = self._aggregated(
            Model.CONVERSATIONS, {"$match": _owned(scope) | {"hidden": True}}, {"$project": {"_id": True}}
        )
        ids = [conversation["_id"] for conversation in deleted]
        return {"conversation_id": {"$nin": ids}} if ids else {}

    def _busiest(self, said: Document) -> Sequence[Document]:
        return self._aggregated(
            Model.MESSAGES,
            {"$match": said},
            {"$group": {"_id": {"room": "$room_id", "conversation": "$conversation_id"}, "messages": {"$sum": 1}}},
            {"$group": {"_id": "$_id.room", "conversations": {"$sum": 1}, "messages": {"$sum": "$messages"}}},
            {"$sort": {"messages": DESCENDING, "_id": 1}},
            {"$limit": BUSIEST},
            {"$lookup": {"from": Model.ROOMS.value, "localField": "_id", "foreignField": "_id", "as": "room"}},
            {"$unwind": "$room"},
            {
                "$project": {
                    "_id": False,
                    "id": "$_id",
                    "owner": "$room.owner",
                    "name": "$room.document.name",
                    "conversations": True,
                    "messages": True,
                }
            },
        )

    def _distinct(self, those: Document, what: str) -> Distinct:
        """How many different things messages stand in."""
        each = {"$group": {"_id": {"day": _day("$created_at"), "thing": what}}}
        by_day = self._aggregated(Model.MESSAGES, {"$match": those}, each, {"$group": {"_id": "$_id.day"} | _NUMBER})
        in_all = self._aggregated(Model.MESSAGES, {"$match": those}, {"$group": {"_id": what}}, {"$count": "number"})
        return Distinct(
            by_day={found["_id"]: found["number"] for found in by_day}, in_all=in_all[0]["number"] if in_all else 0
        )

    def _spread(self, those: Document, path: str) -> Spread:
        """Percentiles by nearest rank: the smallest value that so many in a hundred do not exceed."""
        found = self._aggregated(
            Model.MESSAGES,
            {"$match": those},
            {"$group": {"_id": _whole(path, otherwise=None)} | _NUMBER},
            {"$match": {"_id": {"$ne": None}}},
            {
                "$setWindowFields": {
                    "sortBy": {"_id": 1},
                    "output": {
                        "upto": {"$sum": "$number", "window": _UP_TO_HERE},
                        "all": {"$sum": "$number", "window": _OF_ALL},
                    },
                }
            },
            {
                "$group": {
                    "_id": None,
                    "number": {"$sum": "$number"},
                    "total": {"$sum": {"$multiply": ["$_id", "$number"]}},
                    "p50": _percentile(50),
                    "p95": _percentile(95),
                }
            },
            {"$project": {"_id": False}},
        )
        return Spread(**found[0]) if found else Spread()

    def _grouped(self, model: Model, those: Document, by: Document) -> Sequence[Document]:
        return self._aggregated(model, {"$match": those}, {"$group": {"_id": by} | _NUMBER})

    def _aggregated(self, model: Model, *stages: Document) -> list[Document]:
        with pymongo.timeout(_PATIENCE), self._server.translated():
            return list(self._server.database[model.value].aggregate(list(stages)))


def _owned(scope: Scope) -> Document:
    return {"owner": scope.owner} if scope.owner is not None else {}


def _within(scope: Scope) -> Document:
    return _owned(scope) | {"created_at": _days(scope)}


def _days(scope: Scope) -> Document:
    """As the texts are that times are stored as."""
    return {"$gte": scope.first.isoformat(), "$lt": (scope.last + timedelta(days=1)).isoformat()}


def _percentile(percent: int) -> Document:
    reached = {"$gte": [{"$multiply": ["$upto", 100]}, {"$multiply": ["$all", percent]}]}
    return {"$min": {"$cond": [reached, "$_id", None]}}  # $min passes over null.


# What a model's server has said may be anything: what is not of the kind looked for counts as not said.


def _whole(path: str, *, otherwise: int | None = 0) -> Document:
    return {"$cond": [_between(path, MOST), {"$toLong": {"$trunc": path}}, otherwise]}


def _cost(path: str) -> Document:
    parts = {"$floor": {"$add": [{"$multiply": [{"$toDouble": path}, float(COST_UNIT)]}, 0.5]}}
    return {"$cond": [_between(path, DEAREST), {"$toLong": parts}, 0]}


def _between(path: str, most: int) -> Document:
    return {"$and": [{"$isNumber": path}, {"$gte": [path, 0]}, {"$lte": [path, most]}]}


def _text(path: str) -> Document:
    return {"$cond": [{"$eq": [{"$type": path}, "string"]}, path, None]}


def _flag(path: str) -> Document:
    return {"$or": [{"$eq": [path, True]}, {"$eq": [{"$type": path}, "object"]}]}
