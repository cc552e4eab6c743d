"""A visitor who signs in takes along what they made before."""

from __future__ import annotations

import uuid

import httpx

from tests.parley_process import Client, ParleyProcess
from tests.waiting import eventually


def new_user(parley: ParleyProcess) -> Client:
    return parley.user(f"user-{uuid.uuid4()}")


def test_a_user_takes_over_all_that_their_visitor_has(parley: ParleyProcess) -> None:
    visitor, user = parley.visitor(), new_user(parley)
    room = visitor.room("Before")
    inside, alone = visitor.conversation(room_id=room), visitor.conversation()
    reply = visitor.answer(inside, "Where do pelicans sleep?")["id"]
    visitor.answer(alone, "And storks?")

    claimed = user.data("POST", "/visitors/claim", {"token": visitor.token})

    assert claimed == {"rooms": 1, "conversations": 2}
    assert [each["id"] for each in user.data("GET", "/rooms")["items"]] == [room]
    assert {each["id"] for each in user.data("GET", "/conversations")["items"]} == {inside, alone}
    assert len(user.messages(inside)) == 2
    assert user.reply(reply)["status"] == "completed"
    assert user.data("GET", "/search", params={"q": "pelicans"})["total"] == 2
    assert user.data("GET", f"/rooms/{room}/history")["total"] == 2
    assert user.answer(inside, "Go on")["text"] == "Echo: Go on"


def test_nothing_is_left_for_the_visitor(parley: ParleyProcess) -> None:
    visitor, user = parley.visitor(), new_user(parley)
    room = visitor.room()
    conversation = visitor.conversation(room_id=room)
    visitor.answer(conversation, "Mine?")

    user.data("POST", "/visitors/claim", {"token": visitor.token})

    assert visitor.data("GET", "/rooms")["total"] == visitor.data("GET", "/conversations")["total"] == 0
    assert visitor.data("GET", "/search", params={"q": "mine"})["total"] == 0
    for path in (f"/rooms/{room}", f"/conversations/{conversation}", f"/conversations/{conversation}/messages"):
        assert visitor.call("GET", path).status_code == 403
    assert user.data("POST", "/visitors/claim", {"token": visitor.token}) == {"rooms": 0, "conversations": 0}


def test_the_visitor_is_known_by_its_cookie_which_is_removed(parley: ParleyProcess) -> None:
    user = new_user(parley)
    with httpx.Client(base_url=f"{parley.url}/api/v1") as browser:
        browser.post("/visitors")
        room = browser.post("/rooms", json={"name": "By cookie"}).json()["data"]["id"]

        claimed = browser.post("/visitors/claim", json={}, headers={"Authorization": f"Bearer {user.token}"})

        assert claimed.json()["data"]["rooms"] == 1
        assert "parley_visitor" not in browser.cookies
    assert user.data("GET", f"/rooms/{room}")["name"] == "By cookie"


def test_what_is_deleted_comes_along_and_can_be_restored(parley: ParleyProcess) -> None:
    visitor, user = parley.visitor(), new_user(parley)
    room = visitor.room()
    conversation = visitor.conversation(room_id=room)
    visitor.answer(conversation, "Mine?")
    visitor.data("DELETE", f"/rooms/{room}")

    claimed = user.data("POST", "/visitors/claim", {"token": visitor.token})
    user.data("POST", f"/rooms/{room}/restore")

    assert claimed == {"rooms": 0, "conversations": 0}
    assert len(user.messages(conversation)) == 2


def test_two_conversations_of_one_user_are_never_called_the_same(parley: ParleyProcess) -> None:
    visitor, user = parley.visitor(), new_user(parley)
    mine = user.conversation(external_id="chat")
    theirs, other = visitor.conversation(external_id="chat"), visitor.conversation(external_id="other")
    refused = visitor.error("POST", "/conversations", {"external_id": "chat"})

    user.data("POST", "/visitors/claim", {"token": visitor.token})

    assert (refused["error_code"], refused["details"]["conversation_id"]) == ("external_id_taken", theirs)
    names = {one: user.data("GET", f"/conversations/{one}")["external_id"] for one in (mine, theirs, other)}
    assert names == {mine: "chat", theirs: None, other: "other"}


def test_a_reply_that_is_being_written_goes_on_with_its_new_owner(parley: ParleyProcess) -> None:
    visitor, user = parley.visitor(), new_user(parley)
    conversation = visitor.conversation()
    reply = visitor.ask(conversation, "!stream words=30 delay=0.05")
    eventually(lambda: visitor.reply(reply)["text"])

    user.data("POST", "/visitors/claim", {"token": visitor.token})

    assert [event.event for event in user.events(reply)][-1] == "reply.completed"
    assert [message["content"][:7] for message in user.messages(conversation)] == ["!stream", "word0 w"]
    assert user.data("GET", f"/conversations/{conversation}")["live_reply_id"] is None


def test_the_visitors_thread_goes_on_in_the_users_own_session(parley: ParleyProcess) -> None:
    visitor, user = parley.visitor(), new_user(parley)
    visitor.data("POST", "/chat/", {"question": "Before"})

    user.data("POST", "/visitors/claim", {"token": visitor.token})
    user.data("POST", "/chat/", {"question": "After"})

    history = user.data("GET", "/chat/history/")["items"]
    assert [message["content"] for message in history] == ["Before", "Echo: Before", "After", "Echo: After"]
    assert visitor.data("GET", "/chat/history/")["items"] == []


def test_a_users_own_thread_stays_where_it_is_when_they_have_one_already(parley: ParleyProcess) -> None:
    user = new_user(parley)
    user.data("POST", "/chat/", {"question": "Mine"})
    visitor = parley.visitor()
    visitor.data("POST", "/chat/", {"question": "The visitor's"})

    user.data("POST", "/visitors/claim", {"token": visitor.token})
    user.data("POST", "/chat/", {"question": "Mine too"})

    history = user.data("GET", "/chat/history/")["items"]
    assert [message["content"] for message in history] == ["Mine", "Echo: Mine", "Mine too", "Echo: Mine too"]
    assert user.data("GET", "/conversations")["total"] == 2


def test_the_cookie_of_another_visitor_stays(parley: ParleyProcess) -> None:
    user, visitor = new_user(parley), parley.visitor()
    with httpx.Client(base_url=f"{parley.url}/api/v1") as browser:
        browser.post("/visitors")
        as_user = {"Authorization": f"Bearer {user.token}"}

        browser.post("/visitors/claim", json={"token": visitor.token}, headers=as_user)

        assert "parley_visitor" in browser.cookies


def test_more_rooms_than_one_may_have_are_not_taken(parley: ParleyProcess) -> None:
    visitor, user = parley.visitor(), new_user(parley)
    for client, count in ((user, 49), (visitor, 2)):
        for number in range(count):
            client.room(f"Room {number}")

    error = user.error("POST", "/visitors/claim", {"token": visitor.token})
    user.data("DELETE", f"/rooms/{user.data('GET', '/rooms')['items'][0]['id']}")

    assert (error["status_code"], error["error_code"]) == (409, "room_limit_reached")
    assert visitor.data("GET", "/rooms")["total"] == 2
    assert user.data("POST", "/visitors/claim", {"token": visitor.token})["rooms"] == 2


def test_who_may_claim_whom(parley: ParleyProcess) -> None:
    visitor, user, other = parley.visitor(), new_user(parley), new_user(parley)

    nobody = user.error("POST", "/visitors/claim", {})
    by_a_visitor = parley.visitor().error("POST", "/visitors/claim", {"token": visitor.token})
    of_a_user = user.error("POST", "/visitors/claim", {"token": other.token})
    tampered = user.error("POST", "/visitors/claim", {"token": visitor.token[:-4] + "AAAA"})

    assert (nobody["status_code"], list(nobody["details"]["fields"])) == (422, ["token"])
    assert (by_a_visitor["status_code"], of_a_user["status_code"]) == (403, 403)
    assert tampered["status_code"] == 401
