"""Versions of messages over HTTP: edit and ask again, go back and forth between branches, say what one thinks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.model_server import ModelServer
from tests.parley_process import Client, ParleyProcess
from tests.waiting import eventually

_UNKNOWN = str(UUID(int=7))


def talk(visitor: Client, *questions: str, **body: object) -> tuple[str, list[str]]:
    """A conversation with these questions, each answered: its id, and the ids of its messages."""
    conversation = visitor.conversation(**body)
    for question in questions:
        visitor.answer(conversation, question)
    return conversation, [message["id"] for message in visitor.messages(conversation, limit=100)]


def edit(visitor: Client, question: str, content: str, **body: object) -> dict[str, Any]:
    """Edit a question and wait for the reply: `{message, reply}`."""
    edited: dict[str, Any] = visitor.data("POST", f"/messages/{question}/edit?wait=30", {"content": content, **body})
    return edited


def contents(visitor: Client, conversation: str) -> list[str]:
    return [message["content"] for message in visitor.messages(conversation, limit=100)]


def versions(visitor: Client, message: str) -> list[tuple[str, bool]]:
    page = visitor.data("GET", f"/messages/{message}/versions")
    assert page["total"] == len(page["items"])
    return [(version["content"], version["is_current"]) for version in page["items"]]


def select(visitor: Client, message: str) -> dict[str, Any]:
    selected: dict[str, Any] = visitor.data("POST", f"/messages/{message}/select")
    return selected


class TestEditing:
    def test_an_edited_question_is_answered_anew_in_its_place(self, visitor: Client) -> None:
        conversation, messages = talk(visitor, "One", "Two", "Three")

        answer = visitor.call("POST", f"/messages/{messages[2]}/edit", {"content": " Zwei "})

        edited = answer.json()["data"]
        assert answer.status_code == 202
        assert answer.headers["Location"] == f"/api/v1/replies/{edited['reply']['id']}"
        assert (edited["message"]["content"], edited["message"]["position"]) == ("Zwei", 3)
        assert edited["message"]["parent_id"] == messages[1]
        assert (edited["reply"]["status"], edited["reply"]["position"]) == ("queued", 4)
        list(visitor.events(edited["reply"]["id"]))
        assert contents(visitor, conversation) == ["One", "Echo: One", "Zwei", "Echo: Zwei"]

    def test_the_finished_reply_can_be_waited_for_or_streamed(self, visitor: Client) -> None:
        _, [question, _] = talk(visitor, "One")

        waited = edit(visitor, question, "Uno")
        streamed = visitor.call(
            "POST", f"/messages/{question}/edit", {"content": "Eins"}, headers={"Accept": "text/event-stream"}
        )
        slow = visitor.error("POST", f"/messages/{question}/edit?wait=1", {"content": "!silent after=1"})

        assert waited["reply"]["text"] == "Echo: Uno"
        assert streamed.headers["Content-Type"].startswith("text/event-stream")
        assert "event: reply.completed" in streamed.text
        assert (slow["status_code"], slow["error_code"]) == (408, "reply_timeout")
        assert slow["details"]["message"]["content"] == "!silent after=1"
        visitor.data("POST", f"/replies/{slow['details']['reply']['id']}/cancel")

    def test_the_model_sees_the_branch_it_answers_on_and_nothing_else(
        self, visitor: Client, model: ModelServer
    ) -> None:
        mark = uuid4().hex
        conversation, messages = talk(visitor, f"One {mark}", f"Two {mark}", f"Three {mark}")

        edit(visitor, messages[2], f"Zwei {mark}")
        visitor.answer(conversation, f"Drei {mark}")

        [request] = model.asked(f"Drei {mark}")
        said = [message["content"] for message in request["messages"] if message["role"] != "system"]
        assert said == [f"One {mark}", f"Echo: One {mark}", f"Zwei {mark}", f"Echo: Zwei {mark}", f"Drei {mark}"]

    def test_another_agent_can_answer(self, visitor: Client) -> None:
        _, [question, _] = talk(visitor, "One")

        assert edit(visitor, question, "Uno", agent="skills")["reply"]["agent"] == "skills"
        assert edit(visitor, question, "Eins")["reply"]["agent"] == "general"

    def test_the_first_question_of_a_long_conversation_is_edited(self, visitor: Client) -> None:
        room = visitor.room()
        conversation, messages = talk(visitor, *map(str, range(12)), room_id=room)

        edit(visitor, messages[0], "Begin again")

        assert contents(visitor, conversation) == ["Begin again", "Echo: Begin again"]
        assert visitor.data("GET", f"/conversations/{conversation}")["message_count"] == 2
        assert visitor.data("GET", f"/rooms/{room}")["message_count"] == 2
        assert visitor.data("GET", f"/rooms/{room}/history")["total"] == 2
        for number in range(3):
            visitor.answer(conversation, f"And {number}")
        assert len(visitor.messages(conversation)) == 8

    def test_an_edit_is_edited_and_so_is_the_question_that_it_replaced(self, visitor: Client) -> None:
        conversation, [question, _] = talk(visitor, "One")
        second = edit(visitor, question, "Two")["message"]["id"]
        edit(visitor, second, "Three")

        last = edit(visitor, question, "Four")

        assert contents(visitor, conversation) == ["Four", "Echo: Four"]
        assert versions(visitor, question) == [("One", False), ("Two", False), ("Three", False), ("Four", True)]
        assert last["message"]["version"] == 4
        assert visitor.messages(conversation)[0]["alternatives"] == 3

    def test_a_question_on_another_branch_is_edited_there(self, visitor: Client) -> None:
        conversation, messages = talk(visitor, "One", "Two")
        edit(visitor, messages[0], "Uno")

        edit(visitor, messages[2], "Zwei")

        assert contents(visitor, conversation) == ["One", "Echo: One", "Zwei", "Echo: Zwei"]

    def test_the_title_stays(self, visitor: Client) -> None:
        conversation, messages = talk(visitor, "Flamingo")

        edit(visitor, messages[0], "Heron")

        assert visitor.data("GET", f"/conversations/{conversation}")["title"] == "Flamingo"
        assert visitor.data("GET", f"/conversations/{conversation}")["last_message"]["preview"] == "Echo: Heron"

    def test_an_edit_whose_reply_fails_stands_and_can_be_tried_again(self, visitor: Client) -> None:
        conversation, [question, answer] = talk(visitor, "One")

        failed = edit(visitor, question, "!error after=2")["reply"]

        assert failed["status"] == "failed"
        assert contents(visitor, conversation) == ["!error after=2", "word0 word1 "]
        anew = visitor.data("POST", f"/replies/{failed['id']}/regenerate")["reply"]
        list(visitor.events(anew["id"]))
        assert [current for _, current in versions(visitor, failed["id"])] == [False, True]
        assert versions(visitor, answer) == [("Echo: One", False)]
        select(visitor, question)
        assert contents(visitor, conversation) == ["One", "Echo: One"]

    def test_a_retry_with_the_same_idempotency_key_is_the_same_edit(self, visitor: Client) -> None:
        conversation, [question, _] = talk(visitor, "One")
        key = {"Idempotency-Key": uuid4().hex}

        first = visitor.call("POST", f"/messages/{question}/edit?wait=30", {"content": "Uno"}, headers=key)
        again = visitor.call("POST", f"/messages/{question}/edit?wait=30", {"content": "Uno"}, headers=key)
        other = visitor.error("POST", f"/messages/{question}/edit", {"content": "Eins"}, headers=key)

        assert again.json()["data"] == first.json()["data"]
        assert again.headers["Idempotent-Replayed"] == "true"
        assert other["status_code"] == 422
        assert len(versions(visitor, question)) == 2
        assert contents(visitor, conversation) == ["Uno", "Echo: Uno"]


class TestWhileAReplyIsInTheMaking:
    def test_neither_edit_nor_selection_is_taken(self, visitor: Client) -> None:
        conversation, messages = talk(visitor, "One")
        reply = visitor.ask(conversation, "!silent after=1")

        refusals = [
            visitor.error("POST", f"/messages/{messages[0]}/edit", {"content": "Uno"}),
            visitor.error("POST", f"/messages/{messages[0]}/select"),
        ]

        for refusal in refusals:
            assert (refusal["status_code"], refusal["error_code"]) == (409, "reply_in_progress")
            assert refusal["details"]["reply_id"] == reply
        visitor.data("POST", f"/replies/{reply}/cancel")
        assert contents(visitor, conversation)[:3] == ["One", "Echo: One", "!silent after=1"]

    def test_an_edit_may_interrupt_it(self, visitor: Client) -> None:
        conversation, messages = talk(visitor, "One")
        reply = visitor.ask(conversation, "!silent after=2")
        eventually(lambda: visitor.reply(reply)["text"])

        edit(visitor, messages[0], "Uno", on_conflict="interrupt")

        assert visitor.reply(reply)["status"] == "cancelled"
        assert contents(visitor, conversation) == ["Uno", "Echo: Uno"]
        select(visitor, reply)
        assert contents(visitor, conversation) == ["One", "Echo: One", "!silent after=2", "word0 word1 "]

    def test_the_very_question_that_is_being_answered_can_be_edited(self, visitor: Client) -> None:
        conversation = visitor.conversation()
        reply = visitor.ask(conversation, "!silent after=2")
        eventually(lambda: visitor.reply(reply)["text"])
        [question] = visitor.messages(conversation)

        edit(visitor, question["id"], "Shorter, please", on_conflict="interrupt")

        assert contents(visitor, conversation) == ["Shorter, please", "Echo: Shorter, please"]
        assert versions(visitor, question["id"]) == [("!silent after=2", False), ("Shorter, please", True)]

    def test_an_edit_that_will_be_refused_interrupts_nothing(self, visitor: Client) -> None:
        conversation, messages = talk(visitor, "One")
        reply = visitor.ask(conversation, "!silent after=1")

        for message, content, code in (
            (messages[0], " ", "validation_failed"),
            (messages[1], "Not a question", "not_a_question"),
            (_UNKNOWN, "Nothing", "message_not_found"),
        ):
            body = {"content": content, "on_conflict": "interrupt"}
            assert visitor.error("POST", f"/messages/{message}/edit", body)["error_code"] == code

        assert visitor.reply(reply)["status"] in {"queued", "running"}
        visitor.data("POST", f"/replies/{reply}/cancel")

    def test_of_edits_at_once_one_is_taken(self, visitor: Client, parley: ParleyProcess) -> None:
        conversation, messages = talk(visitor, "One", "Two")

        def try_to(number: int) -> int:
            client = Client(parley.url, visitor.token)
            body = {"content": f"!stream words={20 + number} delay=0.02"}
            status = client.call("POST", f"/messages/{messages[0]}/edit", body).status_code
            client.http.close()
            return status

        with ThreadPoolExecutor(6) as pool:
            statuses = list(pool.map(try_to, range(6)))

        assert sorted(statuses) == [202, *[409] * 5]
        assert len(versions(visitor, messages[0])) == 2
        eventually(lambda: visitor.data("GET", f"/conversations/{conversation}")["live_reply_id"] is None)
        assert len(visitor.messages(conversation)) == 2

    def test_edits_that_interrupt_each_other_leave_one_branch(self, visitor: Client, parley: ParleyProcess) -> None:
        conversation, messages = talk(visitor, "One", "Two")

        def interrupt(number: int) -> str:
            client = Client(parley.url, visitor.token)
            body = {"content": f"Edit {number}", "on_conflict": "interrupt"}
            answer = client.call("POST", f"/messages/{messages[number % 2 * 2]}/edit", body)
            client.http.close()
            assert answer.status_code in {202, 409}, answer.text
            return str(answer.json()["data"]["reply"]["id"]) if answer.status_code == 202 else ""

        with ThreadPoolExecutor(4) as pool:
            replies = [reply for reply in pool.map(interrupt, range(4)) if reply]

        assert replies
        eventually(lambda: all(visitor.reply(reply)["message"] for reply in replies))
        history = visitor.messages(conversation)
        assert [message["position"] for message in history] == list(range(1, len(history) + 1))
        assert [message["parent_id"] for message in history] == [None, *(message["id"] for message in history[:-1])]
        assert visitor.data("GET", f"/conversations/{conversation}")["message_count"] == len(history)


class TestVersions:
    def test_answers_have_versions_too(self, visitor: Client) -> None:
        conversation, [question, answer] = talk(visitor, "One")
        anew = visitor.data("POST", f"/replies/{answer}/regenerate")["reply"]
        list(visitor.events(anew["id"]))

        page = visitor.data("GET", f"/messages/{answer}/versions")

        assert [version["id"] for version in page["items"]] == [answer, anew["id"]]
        assert [version["is_current"] for version in page["items"]] == [False, True]
        assert page == visitor.data("GET", f"/messages/{anew['id']}/versions")
        assert versions(visitor, question) == [("One", True)]
        assert [message["alternatives"] for message in visitor.messages(conversation)] == [0, 1]

    def test_an_older_answer_comes_back_and_the_conversation_goes_on_from_it(self, visitor: Client) -> None:
        conversation, [_, answer] = talk(visitor, "One")
        anew = visitor.data("POST", f"/replies/{answer}/regenerate")["reply"]["id"]
        list(visitor.events(anew))
        visitor.answer(conversation, "After the second")

        selected = select(visitor, answer)
        visitor.answer(conversation, "After the first")

        assert (selected["id"], selected["message_count"]) == (conversation, 2)
        assert contents(visitor, conversation)[2::2] == ["After the first"]
        select(visitor, anew)
        assert contents(visitor, conversation)[2::2] == ["After the second"]

    def test_one_goes_back_to_a_branch_and_asks_on(self, visitor: Client) -> None:
        room = visitor.room()
        conversation, messages = talk(visitor, "One", "Two", room_id=room)
        edited = edit(visitor, messages[0], "Uno")["message"]["id"]
        visitor.answer(conversation, "Due")

        selected = select(visitor, messages[0])

        assert selected == visitor.data("GET", f"/conversations/{conversation}")
        assert (selected["message_count"], selected["last_message"]["preview"]) == (4, "Echo: Two")
        visitor.answer(conversation, "Three")
        assert contents(visitor, conversation)[::2] == ["One", "Two", "Three"]
        assert visitor.data("GET", f"/rooms/{room}")["message_count"] == 6
        select(visitor, edited)
        assert contents(visitor, conversation)[::2] == ["Uno", "Due"]
        assert visitor.data("GET", f"/rooms/{room}")["message_count"] == 4

    def test_regenerating_goes_by_the_branch(self, visitor: Client) -> None:
        conversation, messages = talk(visitor, "One", "Two")
        edited = edit(visitor, messages[0], "Uno")["reply"]["id"]

        anew = visitor.data("POST", f"/replies/{edited}/regenerate")["reply"]
        list(visitor.events(anew["id"]))
        refused = visitor.error("POST", f"/replies/{messages[3]}/regenerate")

        assert (anew["position"], anew["version"]) == (2, 3)
        assert refused["error_code"] == "not_last_answer"
        assert versions(visitor, anew["id"]) == [("Echo: Uno", False), ("Echo: Uno", True)]
        assert versions(visitor, messages[1]) == [("Echo: One", False)]
        select(visitor, messages[1])
        assert contents(visitor, conversation) == ["One", "Echo: One", "Two", "Echo: Two"]

    def test_selecting_what_is_current_changes_nothing(self, visitor: Client) -> None:
        conversation, messages = talk(visitor, "One", "Two")
        before = visitor.data("GET", f"/conversations/{conversation}")

        assert select(visitor, messages[0]) == select(visitor, messages[3]) == before

    def test_search_finds_what_is_on_the_current_branch(self, visitor: Client) -> None:
        _, messages = talk(visitor, "Where do flamingos sleep?")
        edit(visitor, messages[0], "Where do herons sleep?")

        def found(word: str) -> int:
            total: int = visitor.data("GET", "/search", params={"q": word})["total"]
            return total

        assert (found("flamingos"), found("herons")) == (0, 2)
        select(visitor, messages[1])
        assert (found("flamingos"), found("herons")) == (2, 0)

    def test_what_is_deleted_comes_back_with_all_its_branches(self, visitor: Client) -> None:
        conversation, messages = talk(visitor, "One", "Two")
        edited = edit(visitor, messages[0], "Uno")["message"]["id"]

        deletion = visitor.data("DELETE", f"/conversations/{conversation}")
        gone = [
            visitor.error("GET", f"/messages/{edited}/versions"),
            visitor.error("POST", f"/messages/{edited}/edit", {"content": "Eins"}),
            visitor.error("POST", f"/messages/{messages[0]}/select"),
            visitor.error("PUT", f"/messages/{messages[1]}/feedback", {"rating": "up"}),
            visitor.error("DELETE", f"/messages/{messages[1]}/feedback"),
        ]
        visitor.data("POST", f"/conversations/{conversation}/restore")

        assert deletion["message_count"] == 2
        assert [error["status_code"] for error in gone] == [404] * 5
        assert versions(visitor, edited) == [("One", False), ("Uno", True)]
        select(visitor, messages[0])
        assert contents(visitor, conversation)[::2] == ["One", "Two"]


class TestFeedback:
    def test_an_answer_is_rated_and_shows_it(self, visitor: Client) -> None:
        conversation, [_, answer] = talk(visitor, "One")

        rated = visitor.data("PUT", f"/messages/{answer}/feedback", {"rating": "down", "comment": " Too short "})

        feedback = rated["feedback"]
        assert (feedback["rating"], feedback["comment"]) == ("down", "Too short")
        assert feedback["given_at"]
        assert visitor.messages(conversation)[1] == rated
        assert visitor.reply(answer)["message"] == rated

    def test_another_rating_replaces_it_and_it_can_be_taken_back(self, visitor: Client) -> None:
        conversation, [_, answer] = talk(visitor, "One")
        visitor.data("PUT", f"/messages/{answer}/feedback", {"rating": "down", "comment": "Hm"})

        other = visitor.data("PUT", f"/messages/{answer}/feedback", {"rating": "up"})
        taken_back = visitor.data("DELETE", f"/messages/{answer}/feedback")
        again = visitor.data("DELETE", f"/messages/{answer}/feedback")

        assert (other["feedback"]["rating"], other["feedback"]["comment"]) == ("up", None)
        assert taken_back["feedback"] is None
        assert again == taken_back == visitor.messages(conversation)[1]

    def test_an_old_version_and_an_answer_beside_a_live_reply_are_rated_as_well(self, visitor: Client) -> None:
        conversation, [_, answer] = talk(visitor, "One")
        anew = visitor.data("POST", f"/replies/{answer}/regenerate")["reply"]["id"]
        list(visitor.events(anew))
        reply = visitor.ask(conversation, "!silent after=1")

        for message in (answer, anew):
            visitor.data("PUT", f"/messages/{message}/feedback", {"rating": "up"})

        visitor.data("POST", f"/replies/{reply}/cancel")
        page = visitor.data("GET", f"/messages/{answer}/versions")
        assert [version["feedback"]["rating"] for version in page["items"]] == ["up", "up"]

    def test_questions_take_none(self, visitor: Client) -> None:
        _, [question, _] = talk(visitor, "One")

        for method, body in (("PUT", {"rating": "up"}), ("DELETE", None)):
            error = visitor.error(method, f"/messages/{question}/feedback", body)
            assert (error["status_code"], error["error_code"]) == (409, "not_an_answer")


class TestBadInput:
    @pytest.mark.parametrize(
        ("method", "path", "body", "field"),
        [
            ("GET", "/messages/abc/versions", None, "message_id"),
            ("POST", "/messages/abc/edit", {"content": "x"}, "message_id"),
            ("POST", "/messages/abc/select", None, "message_id"),
            ("PUT", "/messages/abc/feedback", {"rating": "up"}, "message_id"),
            ("DELETE", "/messages/abc/feedback", None, "message_id"),
            ("GET", "/messages/{}/versions?limit=0", None, "limit"),
            ("GET", "/messages/{}/versions?page=2", None, "page"),
            ("POST", "/messages/{}/edit", {}, "content"),
            ("POST", "/messages/{}/edit", {"content": "  "}, "content"),
            ("POST", "/messages/{}/edit", {"content": "x" * 5001}, "content"),
            ("POST", "/messages/{}/edit", {"content": "x", "agent": "nobody"}, "agent"),
            ("POST", "/messages/{}/edit", {"content": "x", "on_conflict": "maybe"}, "on_conflict"),
            ("POST", "/messages/{}/edit", {"content": "x", "title": "y"}, "title"),
            ("POST", "/messages/{}/edit?wait=31", {"content": "x"}, "wait"),
            ("PUT", "/messages/{}/feedback", {}, "rating"),
            ("PUT", "/messages/{}/feedback", {"rating": "sideways"}, "rating"),
            ("PUT", "/messages/{}/feedback", {"rating": "up", "comment": " "}, "comment"),
            ("PUT", "/messages/{}/feedback", {"rating": "up", "comment": "x" * 1001}, "comment"),
            ("PUT", "/messages/{}/feedback", {"rating": "up", "comment": "a\x00b"}, "comment"),
            ("PUT", "/messages/{}/feedback", {"rating": "up", "stars": 5}, "stars"),
        ],
    )
    def test_it_is_refused_naming_the_field(
        self, visitor: Client, method: str, path: str, body: Any, field: str
    ) -> None:
        conversation, [question, answer] = talk(visitor, "One")
        before = visitor.messages(conversation)

        error = visitor.error(method, path.format(answer if "feedback" in path else question), body)

        assert (error["status_code"], error["error_code"]) == (422, "validation_failed")
        assert list(error["details"]["fields"]) == [field]
        assert visitor.messages(conversation) == before

    def test_an_answer_is_no_question(self, visitor: Client) -> None:
        _, [_, answer] = talk(visitor, "One")

        error = visitor.error("POST", f"/messages/{answer}/edit", {"content": "x"})

        assert (error["status_code"], error["error_code"]) == (409, "not_a_question")

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("GET", "versions", None),
            ("POST", "edit", {"content": "x"}),
            ("POST", "select", None),
            ("PUT", "feedback", {"rating": "up"}),
            ("DELETE", "feedback", None),
        ],
    )
    def test_what_is_unknown_answers_404_and_what_is_somebody_elses_403(
        self, visitor: Client, parley: ParleyProcess, method: str, path: str, body: Any
    ) -> None:
        _, [question, answer] = talk(visitor, "One")
        message = answer if path == "feedback" else question

        unknown = visitor.error(method, f"/messages/{_UNKNOWN}/{path}", body)
        foreign = parley.visitor().error(method, f"/messages/{message}/{path}", body)

        assert (unknown["status_code"], unknown["error_code"]) == (404, "message_not_found")
        assert unknown["details"] == {"kind": "message", "id": _UNKNOWN}
        assert (foreign["status_code"], foreign["error_code"]) == (403, "forbidden")
