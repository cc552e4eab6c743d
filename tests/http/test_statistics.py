"""`/api/v1/…/stats/`: what was counted, of one's own things and of everybody's."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from marshmallow import Schema

from entrypoints.http import statistics
from tests.conftest import with_model
from tests.http.test_openapi import fits
from tests.model_server import MODEL, ModelServer
from tests.parley_process import Client, ParleyProcess, running

OWN = ("conversations", "rooms", "replies", "feedback", "projects", "job-analyses")

SCHEMAS: dict[str, type[Schema]] = {
    "conversations": statistics.ConversationStatisticsOut,
    "rooms": statistics.RoomStatisticsOut,
    "replies": statistics.ReplyStatisticsOut,
    "feedback": statistics.FeedbackStatisticsOut,
    "projects": statistics.ProjectStatisticsOut,
    "job-analyses": statistics.JobAnalysisStatisticsOut,
    "visitors": statistics.VisitorStatisticsOut,
}


@pytest.fixture(scope="module")
def admin(parley: ParleyProcess) -> Client:
    return parley.user("statistician", "admin")


def stats(client: Client, subject: str, **query: object) -> dict[str, Any]:
    found: dict[str, Any] = client.data("GET", f"/{subject}/stats/", params=query)
    return found


def today_of(found: dict[str, Any]) -> dict[str, Any]:
    last: dict[str, Any] = found["by_day"][-1]
    return last


class TestOwn:
    def test_conversations(self, visitor: Client) -> None:
        room = visitor.room()
        first, second = visitor.conversation(room_id=room), visitor.conversation(agent="skills")
        visitor.conversation()
        deleted = visitor.conversation()
        for conversation, question in ((first, "One"), (first, "Two"), (second, "Three"), (deleted, "Four")):
            visitor.answer(conversation, question)
        visitor.data("DELETE", f"/conversations/{deleted}")

        found = stats(visitor, "conversations")

        assert found["totals"] == {
            "started": 3,
            "started_in_rooms": 1,
            "started_on_their_own": 2,
            "active": 2,
            "deleted": 1,
            "questions": 3,
            "answers": 3,
            "messages_per_conversation": 3.0,
        }
        assert found["by_agent"] == [
            {"agent": "general", "started": 2, "answers": 2},
            {"agent": "skills", "started": 1, "answers": 1},
        ]
        on_this_day = {"started": 3, "active": 2, "deleted": 1, "questions": 3, "answers": 3}
        assert today_of(found) == {"date": found["until"]} | on_this_day

    def test_what_is_not_on_the_current_branch_is_no_part_of_conversations(self, visitor: Client) -> None:
        conversation = visitor.conversation()
        answer = visitor.answer(conversation, "One")["id"]
        again = visitor.data("POST", f"/replies/{answer}/regenerate")["reply"]["id"]
        list(visitor.events(again))

        assert stats(visitor, "conversations")["totals"]["answers"] == 1
        assert stats(visitor, "replies")["totals"]["replies"] == 2

    def test_rooms(self, visitor: Client) -> None:
        quiet, busy, deleted = visitor.room("Quiet"), visitor.room("Busy"), visitor.room("Deleted")
        for room, questions in ((quiet, 0), (busy, 2), (busy, 1), (deleted, 1)):
            conversation = visitor.conversation(room_id=room)
            for number in range(questions):
                visitor.answer(conversation, f"Question {number}")
        visitor.data("DELETE", f"/rooms/{deleted}")

        found = stats(visitor, "rooms")

        assert found["totals"] == {
            "rooms": 2,
            "conversations": 3,
            "messages": 6,
            "conversations_per_room": 1.5,
            "messages_per_room": 3.0,
            "opened": 2,
            "active": 1,
            "deleted": 1,
        }
        assert found["busiest"] == [{"id": busy, "name": "Busy", "conversations": 2, "messages": 6}]
        assert today_of(found) == {"date": found["until"], "opened": 2, "active": 1, "deleted": 1}

    def test_replies(self, visitor: Client) -> None:
        conversation = visitor.conversation()
        questions = (uuid4().hex, "!stream words=3 delay=0", "!error after=2")  # Nobody has asked the first one.
        replies = [visitor.answer(conversation, question)["id"] for question in questions]
        stopped = visitor.ask(conversation, "!silent after=2", agent="skills")
        for event in visitor.events(stopped):
            if event.event == "reply.delta":
                visitor.data("POST", f"/replies/{stopped}/cancel")
        told = [visitor.reply(reply)["metadata"] for reply in (*replies, stopped)]
        usage = [each["usage"] for each in told if "usage" in each]
        visitor.data("DELETE", f"/conversations/{conversation}")

        found = stats(visitor, "replies")

        totals = found["totals"]
        ended = {name: totals[name] for name in ("completed", "failed", "cancelled", "timed_out", "interrupted")}
        assert ended == {"completed": 2, "failed": 1, "cancelled": 1, "timed_out": 0, "interrupted": 0}
        assert (totals["replies"], totals["fallback"], totals["offline"], totals["cached"]) == (4, 0, 0, 0)
        tokens = {name: sum(each[name] for each in usage) for name in ("input_tokens", "output_tokens")}
        assert {name: totals[name] for name in tokens} == tokens
        assert (totals["output_tokens"] >= 3, totals["cost"]) == (True, [])
        for measured in ("time_to_first_token_ms", "response_time_ms"):
            values = sorted(each[measured] for each in told if measured in each)
            middle = values[-(-len(values) // 2) - 1]
            mean = round(sum(values) / len(values), 1)
            assert totals[measured] == {"mean": mean, "p50": middle, "p95": values[-1]}
        assert [(each["agent"], each["replies"]) for each in found["by_agent"]] == [("general", 3), ("skills", 1)]
        assert [(each["model"], each["replies"]) for each in found["by_model"]] == [("test-model", 4)]
        assert today_of(found)["replies"] == 4

    def test_answers_of_the_fallback(self, visitor: Client) -> None:
        visitor.answer(visitor.conversation(), "!status code=400 times=99")

        totals = stats(visitor, "replies")["totals"]

        assert (totals["completed"], totals["fallback"], totals["offline"]) == (1, 1, 0)

    def test_feedback(self, visitor: Client) -> None:
        conversation, deleted = visitor.conversation(), visitor.conversation()
        good, bad, gone = (visitor.answer(each, "One")["id"] for each in (conversation, conversation, deleted))
        for answer, rating, comment in ((good, "up", "Clear."), (bad, "down", None), (gone, "down", "Gone")):
            visitor.data("PUT", f"/messages/{answer}/feedback", {"rating": rating, "comment": comment})
        visitor.data("DELETE", f"/conversations/{deleted}")

        found = stats(visitor, "feedback")

        assert found["totals"] == {"ratings": 2, "up": 1, "down": 1, "share_up": 0.5}
        assert found["by_agent"] == [{"agent": "general"} | found["totals"]]
        [comment] = found["comments"]
        assert (comment["message_id"], comment["conversation_id"]) == (good, conversation)
        assert (comment["rating"], comment["comment"]) == ("up", "Clear.")
        assert today_of(found) == {"date": found["until"]} | found["totals"]

    def test_nobody_elses_things_count(self, parley: ParleyProcess, visitor: Client) -> None:
        visitor.answer(visitor.conversation(room_id=visitor.room()), "One")
        other = parley.visitor()

        assert stats(other, "conversations")["totals"]["started"] == 0
        assert stats(other, "rooms")["totals"]["rooms"] == 0
        assert stats(other, "replies")["totals"]["replies"] == 0

    @pytest.mark.parametrize("subject", OWN)
    def test_who_has_nothing_gets_every_day_with_nothing(self, visitor: Client, subject: str) -> None:
        found = stats(visitor, subject, days=366)

        fits(SCHEMAS[subject], found)
        days = [date.fromisoformat(day.pop("date")) for day in found["by_day"]]
        assert days == [days[-1] - timedelta(days=number) for number in reversed(range(366))]
        assert (found["since"], found["until"]) == (days[0].isoformat(), days[-1].isoformat())
        assert abs(datetime.now(UTC).date() - days[-1]) <= timedelta(days=1)
        assert found["scope"] == "own"
        for numbers in (found["totals"], *found["by_day"]):
            assert [value for value in numbers.values() if value not in (0, None, [], NOT_MEASURED)] == []
        lists = {"by_agent", "by_model", "busiest", "comments", "most_cited", "missing_skills"}
        assert [found[name] for name in lists & found.keys() if found[name] != []] == []

    def test_thirty_days_is_the_default_and_one_the_least(self, visitor: Client) -> None:
        assert len(stats(visitor, "rooms")["by_day"]) == 30
        assert len(stats(visitor, "rooms", days=1)["by_day"]) == 1

    def test_what_was_counted_is_remembered_for_a_while(self, visitor: Client) -> None:
        before = stats(visitor, "rooms")
        visitor.room()

        assert stats(visitor, "rooms") == before
        assert stats(visitor, "rooms", days=29)["totals"]["rooms"] == 1


NOT_MEASURED = {"mean": None, "p50": None, "p95": None}


class TestEverybodys:
    """Admins' numbers hold what other tests did: differences count. What is cached is avoided by other days."""

    def test_an_admin_sees_what_all_did(self, parley: ParleyProcess, admin: Client) -> None:
        def totals(subject: str, days: int) -> dict[str, Any]:
            found = stats(admin, subject, days=days, scope="all")
            assert found["scope"] == "all"
            fits(SCHEMAS[subject], found)
            counted: dict[str, Any] = found["totals"]
            return counted

        before = {subject: totals(subject, 100) for subject in OWN}
        written = 0
        for visitor in (parley.visitor(), parley.visitor()):
            conversation = visitor.conversation(room_id=visitor.room())
            answer = visitor.answer(conversation, uuid4().hex)
            written += answer["metadata"]["usage"]["output_tokens"]
            visitor.data("PUT", f"/messages/{answer['id']}/feedback", {"rating": "down", "comment": "Two words?"})
        after = {subject: totals(subject, 101) for subject in OWN}

        def more(subject: str, *names: str) -> tuple[int, ...]:
            return tuple(after[subject][name] - before[subject][name] for name in names)

        assert more("conversations", "started", "active", "questions", "answers", "deleted") == (2, 2, 2, 2, 0)
        assert more("rooms", "rooms", "opened", "conversations", "messages") == (2, 2, 2, 4)
        assert more("replies", "replies", "completed", "output_tokens") == (2, 2, written)
        assert more("feedback", "ratings", "up", "down") == (2, 0, 2)

    def test_rooms_are_shown_by_id_and_owner_and_comments_without(self, parley: ParleyProcess, admin: Client) -> None:
        visitor = parley.visitor()
        conversation = visitor.conversation(room_id=visitor.room("A secret name"))
        answer = [visitor.answer(conversation, "One")["id"] for _ in range(12)][
            -1
        ]  # More than other tests' rooms have.
        visitor.data("PUT", f"/messages/{answer}/feedback", {"rating": "up", "comment": "Said last"})

        rooms = stats(admin, "rooms", scope="all", days=102)
        feedback = stats(admin, "feedback", scope="all", days=102)

        assert all(set(room) == {"id", "owner", "conversations", "messages"} for room in rooms["busiest"])
        assert any(room["owner"].startswith("visitor:") for room in rooms["busiest"])
        comment = feedback["comments"][0]
        assert (comment["comment"], comment["message_id"]) == ("Said last", answer)
        assert "owner" not in comment

    def test_visitors_are_counted(self, parley: ParleyProcess, admin: Client) -> None:
        before = stats(admin, "visitors", days=103)["totals"]
        asking, claimed, _ = (parley.visitor() for _ in range(3))
        conversation = asking.conversation()
        for question in ("One", "Two"):
            asking.answer(conversation, question)
        user = parley.user("claims-for-statistics")
        user.data("POST", "/visitors/claim", {"token": claimed.token})

        found = stats(admin, "visitors", days=104)

        fits(SCHEMAS["visitors"], found)
        assert {name: found["totals"][name] - before[name] for name in before} == {
            "new": 3,
            "active": 1,
            "claimed": 1,
            "questions": 2,
        }
        assert found["scope"] == "all"

    def test_an_admins_own_are_the_admins_only(self, parley: ParleyProcess) -> None:
        parley.visitor().room()
        admin = parley.user("admin-without-rooms", "admin")

        assert stats(admin, "rooms")["totals"]["rooms"] == 0

    @pytest.mark.parametrize("subject", OWN)
    def test_nobody_else_sees_them(self, parley: ParleyProcess, visitor: Client, subject: str) -> None:
        error = visitor.error("GET", f"/{subject}/stats/", params={"scope": "all"})

        assert (error["status_code"], error["error_code"]) == (403, "forbidden")

    def test_visitors_are_no_users_business(self, parley: ParleyProcess, visitor: Client) -> None:
        for client in (visitor, parley.user("curious")):
            for query in ({}, {"scope": "all"}):
                error = client.error("GET", "/visitors/stats/", params=query)
                assert (error["status_code"], error["error_code"]) == (403, "forbidden")


def test_what_answers_cost_is_added_up(model: ModelServer, tmp_path: Path) -> None:
    agents = tmp_path / "agents.toml"
    agents.write_text(f'[prices."{MODEL}"]\ninput = 1000.0\noutput = 2000.0\ncurrency = "EUR"\n')
    settings = with_model(model, PARLEY_AGENTS_FILE=agents, PARLEY_CACHE_ANSWERS=3600)
    question = f"What is {uuid4().hex}?"
    with running(tmp_path / "data", **settings) as process:
        visitor, other = process.visitor(), process.visitor()
        told = visitor.answer(visitor.conversation(), question)["metadata"]
        other.answer(other.conversation(), question)

        first, second = (stats(each, "replies")["totals"] for each in (visitor, other))

    tokens = told["usage"]
    amount = (tokens["input_tokens"] * 1000 + tokens["output_tokens"] * 2000) / 1_000_000
    assert first["cost"] == [{"currency": "EUR", "amount": pytest.approx(amount)}]
    assert (first["cached"], second["cached"]) == (0, 1)
    assert sum(cost["amount"] for cost in second["cost"]) == 0


@pytest.mark.parametrize("subject", [*OWN, "visitors"])
@pytest.mark.parametrize(
    ("field", "value"), [("days", "0"), ("days", "367"), ("days", "many"), ("scope", "mine"), ("weeks", "2")]
)
def test_what_is_asked_wrongly_is_named(admin: Client, subject: str, field: str, value: str) -> None:
    error = admin.error("GET", f"/{subject}/stats/", params={field: value})

    assert (error["status_code"], list(error["details"]["fields"])) == (422, [field])


def test_the_path_is_as_good_without_its_last_slash(visitor: Client) -> None:
    assert visitor.data("GET", "/rooms/stats")["totals"]["rooms"] == 0
