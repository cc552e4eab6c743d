"""Rooms and conversations over HTTP: what the chat-room seed asks for."""

from __future__ import annotations

from tests.parley_process import Client, ParleyProcess
from tests.waiting import eventually


def test_a_room_is_opened_with_name_and_metadata(visitor: Client) -> None:
    answer = visitor.call("POST", "/rooms", {"name": "  Plans  ", "metadata": {"tags": ["a", "ü"], "n": 1}})

    room = answer.json()["data"]
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/api/v1/rooms/{room['id']}"
    assert room["name"] == "Plans"
    assert room["metadata"] == {"tags": ["a", "ü"], "n": 1}
    assert room == visitor.data("GET", f"/rooms/{room['id']}")


def test_a_room_is_renamed_and_keeps_what_is_not_mentioned(visitor: Client) -> None:
    room = visitor.data("POST", "/rooms", {"name": "Old", "metadata": {"keep": True}})

    changed = visitor.data("PATCH", f"/rooms/{room['id']}", {"name": "New"})

    assert (changed["name"], changed["metadata"]) == ("New", {"keep": True})
    assert changed["version"] == room["version"] + 1


def test_rooms_are_listed_by_their_latest_activity_with_the_last_message(visitor: Client) -> None:
    quiet, busy = visitor.room("Quiet"), visitor.room("Busy")
    visitor.room("Empty")
    visitor.answer(visitor.conversation(room_id=quiet), "Whisper")
    visitor.answer(visitor.conversation(room_id=busy), "First")
    visitor.answer(visitor.conversation(room_id=busy), "Shout")

    rooms = visitor.data("GET", "/rooms")["items"]

    assert [room["name"] for room in rooms] == ["Busy", "Quiet", "Empty"]
    assert (rooms[0]["conversation_count"], rooms[0]["message_count"]) == (2, 4)
    assert rooms[0]["last_message"]["preview"] == "Echo: Shout"
    assert rooms[2]["last_message"] is None


def test_rooms_are_sorted_and_paged(visitor: Client) -> None:
    for name in ("b", "C", "a", "d"):
        visitor.room(name)

    page = visitor.data("GET", "/rooms", params={"sort_by": "name", "order": "asc", "limit": 2, "offset": 1})

    assert [room["name"] for room in page["items"]] == ["b", "C"]
    assert (page["total"], page["limit"], page["offset"]) == (4, 2, 1)


def test_one_has_fifty_rooms_at_most_and_deleting_one_makes_place(visitor: Client) -> None:
    rooms = [visitor.room(f"Room {number}") for number in range(50)]

    error = visitor.error("POST", "/rooms", {"name": "One more"})
    visitor.data("DELETE", f"/rooms/{rooms[0]}")
    visitor.room("In its place")
    no_way_back = visitor.error("POST", f"/rooms/{rooms[0]}/restore")

    assert (error["error_code"], error["status_code"]) == ("room_limit_reached", 409)
    assert no_way_back["error_code"] == "room_limit_reached"


def test_conversations_are_listed_by_room_or_all_together(visitor: Client) -> None:
    room = visitor.room()
    inside, outside = visitor.conversation(room_id=room, title="In"), visitor.conversation(title="Out")

    everything = visitor.data("GET", "/conversations")
    of_room = visitor.data("GET", "/conversations", params={"room_id": room})

    assert {item["id"] for item in everything["items"]} == {inside, outside}
    assert [item["id"] for item in of_room["items"]] == [inside]


def test_a_conversation_takes_another_title_agent_and_metadata(visitor: Client) -> None:
    conversation = visitor.conversation()

    changed = visitor.data(
        "PATCH", f"/conversations/{conversation}", {"title": "T", "agent": "project", "metadata": {"a": 1}}
    )

    assert (changed["title"], changed["agent"], changed["metadata"]) == ("T", "project", {"a": 1})
    assert changed == visitor.data("GET", f"/conversations/{conversation}")


def test_the_history_of_a_room_holds_all_its_conversations_by_time(visitor: Client) -> None:
    room = visitor.room()
    first, second = visitor.conversation(room_id=room), visitor.conversation(room_id=room)
    visitor.answer(first, "One")
    visitor.answer(second, "Two")
    visitor.answer(first, "Three")

    history = visitor.data("GET", f"/rooms/{room}/history", params={"limit": 4, "offset": 1})

    assert [item["content"] for item in history["items"]] == ["Echo: One", "Two", "Echo: Two", "Three"]
    assert history["total"] == 6


def test_history_pages_by_position_and_by_offset(visitor: Client) -> None:
    conversation = visitor.conversation()
    for number in range(5):
        visitor.answer(conversation, f"Question {number}")

    def positions(**query: object) -> list[int]:
        return [message["position"] for message in visitor.messages(conversation, **query)]

    assert positions(limit=3) == [8, 9, 10]
    assert positions(limit=3, before=8) == [5, 6, 7]
    assert positions(limit=3, after=2) == [3, 4, 5]
    assert positions(limit=5, after=2, before=5) == [3, 4]
    assert positions(limit=3, offset=0) == [1, 2, 3]
    assert positions(limit=3, order="desc") == [10, 9, 8]
    assert positions(limit=3, order="desc", before=8) == [7, 6, 5]
    assert positions(limit=3, order="desc", offset=8) == [2, 1]
    assert positions(limit=3, before=1) == []
    assert positions(after=10) == []


def test_deleting_a_room_and_restoring_it_bring_back_exactly_what_that_deletion_took(visitor: Client) -> None:
    room = visitor.room()
    kept, deleted_before = visitor.conversation(room_id=room), visitor.conversation(room_id=room)
    visitor.answer(kept, "Remember me")
    visitor.answer(deleted_before, "Gone already")
    visitor.data("DELETE", f"/conversations/{deleted_before}")
    before = visitor.data("GET", f"/rooms/{room}")

    deletion = visitor.data("DELETE", f"/rooms/{room}")
    gone = [visitor.error("GET", path)["status_code"] for path in (f"/rooms/{room}", f"/conversations/{kept}")]
    found_meanwhile = visitor.data("GET", "/search", params={"q": "remember"})["total"]
    restored = visitor.data("POST", f"/rooms/{room}/restore")

    assert (deletion["conversation_count"], deletion["message_count"]) == (1, 2)
    assert gone == [404, 404]
    assert found_meanwhile == 0
    assert restored["message_count"] == before["message_count"]
    assert [message["content"] for message in visitor.messages(kept)] == ["Remember me", "Echo: Remember me"]
    assert visitor.error("GET", f"/conversations/{deleted_before}")["status_code"] == 404
    assert visitor.data("POST", f"/conversations/{deleted_before}/restore")["id"] == deleted_before
    assert len(visitor.messages(deleted_before)) == 2


def test_what_is_not_deleted_cannot_be_restored(visitor: Client) -> None:
    room = visitor.room()
    visitor.data("DELETE", f"/rooms/{room}")
    visitor.data("POST", f"/rooms/{room}/restore")

    error = visitor.error("POST", f"/rooms/{room}/restore")

    assert (error["error_code"], error["status_code"]) == ("not_deleted", 409)


def test_a_conversation_cannot_come_back_without_its_room(visitor: Client) -> None:
    room = visitor.room()
    with_room, before_room = visitor.conversation(room_id=room), visitor.conversation(room_id=room)
    visitor.data("DELETE", f"/conversations/{before_room}")
    visitor.data("DELETE", f"/rooms/{room}")

    errors = [visitor.error("POST", f"/conversations/{lost}/restore") for lost in (with_room, before_room)]

    assert [error["error_code"] for error in errors] == ["room_deleted", "room_deleted"]
    assert errors[0]["details"]["room_id"] == room


def test_deleting_stops_the_reply_in_the_making_and_restoring_shows_its_text(visitor: Client) -> None:
    room = visitor.room()
    conversation = visitor.conversation(room_id=room)
    reply = visitor.ask(conversation, "!silent after=2")
    eventually(lambda: visitor.reply(reply)["text"])

    deletion = visitor.data("DELETE", f"/rooms/{room}")
    visitor.data("POST", f"/rooms/{room}/restore")

    assert deletion["message_count"] == 2
    ended = eventually(lambda: visitor.reply(reply)["message"])
    assert (ended["status"], ended["content"]) == ("cancelled", "word0 word1 ")


def test_search_finds_ones_own_messages_with_their_hits_marked(visitor: Client, parley: ParleyProcess) -> None:
    conversation = visitor.conversation(title="Sea")
    visitor.answer(conversation, "Why are <b>tides</b> twice a day?")
    stranger = parley.visitor()

    hits = visitor.data("GET", "/search", params={"q": "twice tid"})

    assert hits["total"] == 2
    assert {hit["message"]["role"] for hit in hits["items"]} == {"user", "assistant"}
    assert hits["items"][0]["conversation"]["title"] == "Sea"
    assert "&lt;b&gt;<mark>tides</mark>&lt;/b&gt; <mark>twice</mark>" in hits["items"][0]["snippet"]
    assert stranger.data("GET", "/search", params={"q": "tides"})["total"] == 0


def test_search_finds_other_forms_of_a_word(visitor: Client) -> None:
    visitor.answer(visitor.conversation(), "Streaming replies")

    assert visitor.data("GET", "/search", params={"q": "stream reply"})["total"] == 2


def test_search_takes_any_text_as_words(visitor: Client) -> None:
    for query in ('"', "a AND", "NEAR(", "*", "col:x", "ümläut", "x" * 200):
        assert visitor.data("GET", "/search", params={"q": query})["total"] == 0


def test_a_superseded_answer_is_not_found(visitor: Client) -> None:
    conversation = visitor.conversation()
    first = visitor.answer(conversation, "Flamingo")
    second = visitor.data("POST", f"/replies/{first['id']}/regenerate")["reply"]
    list(visitor.events(second["id"]))

    hits = visitor.data("GET", "/search", params={"q": "flamingo"})["items"]

    assert {hit["message"]["id"] for hit in hits} == {second["id"], visitor.messages(conversation)[0]["id"]}
