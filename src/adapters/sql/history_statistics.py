"""What is counted of histories in the write tables: a few statements each, none of which brings single things here."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Subquery, and_, case, distinct, func, literal, select, union_all

from adapters.sql.activity import by_code_point, present
from adapters.sql.counting import NUMBER, by_day, day, distinct_in, owned, shown_messages, within
from adapters.sql.engine import Database
from adapters.sql.measurements import Measurements
from adapters.sql.tables import conversations, messages, rooms
from application.ports.statistics import (
    BUSIEST,
    ConversationCounts,
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

_question = messages.c.role == Role.USER


class SqlHistoryStatistics:
    """See application.ports.statistics.HistoryStatistics."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._measured = Measurements(database.engine.dialect.name)

    def conversations(self, scope: Scope) -> ConversationCounts:
        in_room = conversations.c.room_id.is_not(None).label("in_room")
        started = select(day(conversations), conversations.c.agent, in_room, NUMBER).where(
            present, within(scope, conversations)
        )
        told = shown_messages(scope, day(messages), messages.c.role, messages.c.agent, NUMBER)
        with self._database.reading() as connection:
            return ConversationCounts(
                started=[
                    Started(row.day, row.agent, bool(row.in_room), row.number)
                    for row in connection.execute(started.group_by("day", conversations.c.agent, "in_room"))
                ],
                said=[
                    Said(row.day, row.role.value, row.agent, row.number)
                    for row in connection.execute(told.group_by("day", messages.c.role, messages.c.agent))
                ],
                active=distinct_in(connection, scope, messages.c.conversation_id, _question),
            )

    def rooms(self, scope: Scope) -> RoomCounts:
        shown = and_(rooms.c.deletion_id.is_(None), owned(scope, rooms))
        held = select(NUMBER, func.coalesce(func.sum(conversations.c.message_count), 0).label("messages")).where(
            present, conversations.c.room_id.is_not(None), owned(scope, conversations)
        )
        opened = select(day(rooms), NUMBER).where(shown, within(scope, rooms))
        with self._database.reading() as connection:
            holding = connection.execute(held).one()
            return RoomCounts(
                rooms=connection.execute(select(func.count()).select_from(rooms).where(shown)).scalar_one(),
                conversations=holding.number,
                messages=int(holding.messages),
                opened=by_day(connection, opened),
                active=distinct_in(
                    connection, scope, conversations.c.room_id, _question & conversations.c.room_id.is_not(None)
                ),
                busiest=[
                    {
                        "id": str(row.id),
                        "owner": row.owner,
                        "name": row.name,
                        "conversations": row.conversations,
                        "messages": row.messages,
                    }
                    for row in connection.execute(_busiest(scope))
                ],
            )

    def replies(self, scope: Scope) -> ReplyCounts:
        those = and_(messages.c.role == Role.ASSISTANT, within(scope, messages))
        with self._database.reading() as connection:
            written = connection.execute(self._written(those)).all()
            spreads = {row.measure: row for row in connection.execute(self._spreads(those))}
        return ReplyCounts(
            written=[
                Written(row.day, row.status, row.agent, row.model, row.currency, *map(int, row[5:])) for row in written
            ],
            time_to_first_token=_spread(spreads.get("first")),
            response_time=_spread(spreads.get("whole")),
        )

    def feedback(self, scope: Scope) -> FeedbackCounts:
        given_at = messages.c.feedback["given_at"].as_string()
        given = (
            select(
                messages.c.id,
                messages.c.conversation_id,
                messages.c.agent,
                func.substr(given_at, 1, 10).label("day"),
                given_at.label("given_at"),
                messages.c.feedback["rating"].as_string().label("rating"),
                messages.c.feedback["comment"].as_string().label("comment"),
            )
            .join_from(messages, conversations)
            .where(messages.c.feedback.is_not(None), present, owned(scope, messages))
            .subquery()
        )
        within = given.c.day.between(scope.first.isoformat(), scope.last.isoformat())
        rated = select(given.c.day, given.c.rating, given.c.agent, NUMBER).where(within)
        comments = (
            select(given)
            .where(within, given.c.comment.is_not(None))
            .order_by(by_code_point(given.c.given_at).desc(), given.c.id.desc())
            .limit(BUSIEST)
        )
        with self._database.reading() as connection:
            return FeedbackCounts(
                rated=[
                    Rated(*row)
                    for row in connection.execute(rated.group_by(given.c.day, given.c.rating, given.c.agent))
                ],
                comments=[
                    {
                        "message_id": str(row.id),
                        "conversation_id": str(row.conversation_id),
                        "agent": row.agent,
                        "rating": row.rating,
                        "comment": row.comment,
                        "given_at": row.given_at,
                    }
                    for row in connection.execute(comments)
                ],
            )

    def _written(self, those: ColumnElement[bool]) -> Select[Any]:
        """Replies and what they took, by all that they can be told apart by. Each answer's JSON is read once."""
        measured = self._measured
        answers = measured.answers(those)
        facts = select(
            answers.c.day,
            answers.c.status,
            answers.c.agent,
            answers.c.tool_calls,
            measured.text("model").label("model"),
            measured.text("cost", "currency").label("currency"),
            measured.flag("fallback").label("fallback"),
            measured.flag("offline").label("offline"),
            measured.flag("cached").label("cached"),
            measured.flag("usage", "estimated").label("estimated"),
            measured.number("usage", "input_tokens").label("input_tokens"),
            measured.number("usage", "output_tokens").label("output_tokens"),
            measured.cost("cost", "amount").label("cost"),
        ).subquery()
        apart = (facts.c.day, facts.c.status, facts.c.agent, facts.c.model, facts.c.currency)
        sums = ("tool_calls", "input_tokens", "output_tokens", "cost")
        return select(
            *apart,
            func.count(),
            func.sum(facts.c.fallback),
            func.sum(facts.c.offline * (1 - facts.c.fallback)),
            func.sum(facts.c.cached),
            func.sum(facts.c.estimated),
            *(func.coalesce(func.sum(facts.c[name]), 0) for name in sums),
        ).group_by(*apart)

    def _spreads(self, those: ColumnElement[bool]) -> Select[Any]:
        """Percentiles by nearest rank: the smallest value that so many in a hundred do not exceed."""
        measured = {"first": "time_to_first_token_ms", "whole": "response_time_ms"}
        numbers = [self._measured.number(path).label(name) for name, path in measured.items()]
        facts = select(*numbers).select_from(self._measured.answers(those)).cte()
        each = union_all(
            *(select(literal(name).label("measure"), facts.c[name].label("value")) for name in measured)
        ).subquery()
        values = (
            select(each.c.measure, each.c.value, NUMBER)
            .where(each.c.value.is_not(None))
            .group_by(each.c.measure, each.c.value)
            .subquery()
        )
        ranked = select(
            values,
            func.sum(values.c.number).over(partition_by=values.c.measure, order_by=values.c.value).label("upto"),
            func.sum(values.c.number).over(partition_by=values.c.measure).label("all"),
        ).subquery()
        return select(
            ranked.c.measure,
            func.max(ranked.c.all).label("number"),
            func.sum(ranked.c.value * ranked.c.number).label("total"),
            _percentile(ranked, 50).label("p50"),
            _percentile(ranked, 95).label("p95"),
        ).group_by(ranked.c.measure)


def _busiest(scope: Scope) -> Select[Any]:
    room_id = conversations.c.room_id
    said = (
        shown_messages(
            scope,
            room_id,
            func.count().label("messages"),
            func.count(distinct(conversations.c.id)).label("conversations"),
        )
        .where(room_id.is_not(None))
        .group_by(room_id)
        .order_by(func.count().desc(), room_id)
        .limit(BUSIEST)
        .subquery()
    )
    return (
        select(rooms.c.id, rooms.c.owner, rooms.c.name, said.c.messages, said.c.conversations)
        .join(said, said.c.room_id == rooms.c.id)
        .order_by(said.c.messages.desc(), rooms.c.id)
    )


def _percentile(ranked: Subquery, percent: int) -> ColumnElement[int | None]:
    return func.min(case((ranked.c.upto * 100 >= ranked.c.all * percent, ranked.c.value)))


def _spread(found: Row[Any] | None) -> Spread:
    return Spread(found.number, int(found.total), found.p50, found.p95) if found is not None else Spread()
