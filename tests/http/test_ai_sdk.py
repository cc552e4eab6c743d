"""The AI SDK's wire, request by request; tests/browser/test_use_chat.py has the SDK itself make them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.model_server import ModelServer
from tests.parley_process import Client, ParleyProcess
from tests.waiting import eventually

_LONG = "!stream words=400 delay=0.02"

_numbers = count(1)


def said(text: str, id: str | None = None) -> dict[str, Any]:
    """What the SDK makes of a text, called as nothing else is."""
    return {"id": id or f"u{next(_numbers)}", "role": "user", "parts": [{"type": "text", "text": text}]}


class Chat:
    """A chat as a page of the AI SDK's has it: with each request it sends all that it shows."""

    def __init__(self, client: Client, id: str | None = None) -> None:
        self.client = client
        self.id = id or f"chat-{uuid4().hex[:12]}"
        self.messages: list[dict[str, Any]] = []

    def send(self, message: dict[str, Any], **body: Any) -> list[dict[str, Any]]:
        """Ask; the parts of the answer, which is then shown."""
        return self._shown([*self.messages, message], body)

    def edit(self, id: str, text: str, **body: Any) -> list[dict[str, Any]]:
        kept = self.messages[: [each["id"] for each in self.messages].index(id)]
        return self._shown([*kept, said(text, id)], {"messageId": id, **body})

    def regenerate(self, **body: Any) -> list[dict[str, Any]]:
        """What the SDK does: all that follows the last message of the user's is cut off."""
        last = max(number for number, each in enumerate(self.messages) if each["role"] == "user")
        return self._shown(self.messages[: last + 1], {"trigger": "regenerate-message", **body})

    def reload(self) -> dict[str, Any]:
        chat: dict[str, Any] = self.get().json()
        self.messages = chat["messages"]
        return chat

    def get(self, path: str = "", **options: Any) -> httpx.Response:
        return self.client.call("GET", f"{self.url}/{self.id}{path}", **options)

    def post(self, body: object, **options: Any) -> httpx.Response:
        return self.client.call("POST", self.url, body, **options)

    @contextmanager
    def open(self, message: dict[str, Any], **body: Any) -> Iterator[Iterator[dict[str, Any]]]:
        """Ask, and read the answer while it comes."""
        wanted = {"id": self.id, "messages": [*self.messages, message], "trigger": "submit-message", **body}
        headers = {"Authorization": f"Bearer {self.client.token}"}
        with self.client.http.stream("POST", self.url, json=wanted, headers=headers) as answer:
            assert answer.status_code == 200, answer.read()
            self.messages.append(message)
            yield parts_of(answer.iter_lines())

    @property
    def url(self) -> str:
        return str(self.client.http.base_url.copy_with(path="/api/chat"))

    def _shown(self, messages: list[dict[str, Any]], body: dict[str, Any]) -> list[dict[str, Any]]:
        self.messages = messages
        answer = self.post({"id": self.id, "messages": messages, "trigger": "submit-message", **body})
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
        parts = list(parts_of(iter(answer.text.splitlines())))
        self.messages = [
            *messages,
            {"id": parts[0]["messageId"], "role": "assistant", "parts": [{"type": "text", "text": text(parts)}]},
        ]
        return parts


def parts_of(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line == "data: [DONE]":
            return
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def text(parts: list[dict[str, Any]]) -> str:
    return "".join(part.get("delta", "") for part in parts)


@pytest.fixture
def chat(visitor: Client) -> Chat:
    return Chat(visitor)


def natively(chat: Chat) -> list[tuple[str, str]]:
    """The history as every other wire shows it."""
    conversation = chat.get().json()["conversation_id"]
    return [(message["role"], message["content"]) for message in chat.client.messages(conversation)]


def test_an_answer_streams_as_the_sdk_wants_it(chat: Chat) -> None:
    parts = chat.send(said("Hello there"))

    assert [part["type"] for part in parts if part["type"] != "text-delta"] == [
        *("start", "start-step", "text-start", "text-end", "message-metadata", "finish-step", "finish")
    ]
    assert text(parts) == "Echo: Hello there"
    assert parts[-3]["messageMetadata"]["usage"] == {"input_tokens": 7, "output_tokens": 3}
    assert parts[-1]["finishReason"] == "stop"


def test_what_is_asked_here_is_in_the_history_of_all_wires_and_the_reverse(chat: Chat) -> None:
    parts = chat.send(said("Here"))
    conversation = chat.get().json()["conversation_id"]
    reply = chat.client.answer(conversation, "There")

    assert chat.client.data("GET", f"/conversations/{conversation}")["external_id"] == chat.id
    assert [message["id"] for message in chat.client.messages(conversation)][1] == parts[0]["messageId"]
    assert [message["id"] for message in chat.reload()["messages"]][3] == reply["id"]
    assert natively(chat) == [
        ("user", "Here"),
        ("assistant", "Echo: Here"),
        ("user", "There"),
        ("assistant", "Echo: There"),
    ]


def test_a_conversation_of_ones_own_is_a_chat_by_its_id(visitor: Client) -> None:
    conversation = visitor.conversation()
    chat = Chat(visitor, conversation)

    chat.send(said("In there"))

    assert [message["content"] for message in visitor.messages(conversation)] == ["In there", "Echo: In there"]


def test_somebody_elses_conversation_is_none_of_ones_chats(visitor: Client, parley: ParleyProcess) -> None:
    theirs = visitor.conversation()
    visitor.answer(theirs, "A secret")
    chat = Chat(parley.visitor(), theirs)

    empty = chat.get().json()
    chat.send(said("Mine"))

    assert empty["messages"] == []
    assert chat.get("/stream").status_code == 204
    assert natively(chat) == [("user", "Mine"), ("assistant", "Echo: Mine")]
    assert [message["content"] for message in visitor.messages(theirs)] == ["A secret", "Echo: A secret"]


def test_whoever_is_not_known_becomes_a_visitor_by_asking(parley: ParleyProcess) -> None:
    with httpx.Client(base_url=parley.url, timeout=30) as browser:
        before = browser.get("/api/chat/first").json()
        nothing = browser.get("/api/chat/first/stream")
        answer = browser.post("/api/chat", json={"id": "first", "messages": [said("Hello")]})

        assert (before["messages"], before["live"], nothing.status_code) == ([], False, 204)
        assert "parley_visitor" in answer.cookies
        assert len(browser.get("/api/chat/first").json()["messages"]) == 2


def test_the_same_question_with_the_same_id_is_asked_once(chat: Chat) -> None:
    question = said("Once")

    first = chat.send(question)
    chat.messages = []
    again = chat.send(question)

    assert (again[0]["messageId"], text(again)) == (first[0]["messageId"], "Echo: Once")
    assert natively(chat) == [("user", "Once"), ("assistant", "Echo: Once")]


def test_the_same_text_with_another_id_is_another_question(chat: Chat) -> None:
    chat.send(said("Twice"))
    chat.send(said("Twice"))

    assert len(natively(chat)) == 4


def test_pages_that_name_their_messages_alike_may_say_other_things(chat: Chat) -> None:
    chat.send(said("One", "u1"))
    chat.messages = []
    chat.send(said("Two", "u1"))

    assert [content for _, content in natively(chat)] == ["One", "Echo: One", "Two", "Echo: Two"]


def test_only_the_last_message_is_taken(chat: Chat) -> None:
    chat.messages = [
        said("Never said"),
        {"id": "a", "role": "assistant", "parts": [{"type": "text", "text": "Made up"}]},
    ]

    chat.send(said("This"))

    assert natively(chat) == [("user", "This"), ("assistant", "Echo: This")]


def test_a_question_is_edited_under_the_clients_name(chat: Chat) -> None:
    first, second = said("One"), said("Two")
    chat.send(first)
    chat.send(second)

    chat.edit(first["id"], "Uno")
    chat.send(said("Due"))

    assert [content for _, content in natively(chat)] == ["Uno", "Echo: Uno", "Due", "Echo: Due"]


def test_an_edited_question_is_edited_again_and_back(chat: Chat) -> None:
    question = said("A")
    chat.send(question)

    answers = [text(chat.edit(question["id"], each)) for each in ("B", "C", "B", "A")]

    assert answers == ["Echo: B", "Echo: C", "Echo: B", "Echo: A"]
    assert natively(chat) == [("user", "A"), ("assistant", "Echo: A")]
    assert chat.get().json()["messages"][0]["metadata"]["alternatives"] == 4


def test_after_a_reload_questions_are_edited_by_parleys_ids(chat: Chat) -> None:
    chat.send(said("One"))
    chat.send(said("Two"))
    chat.reload()
    second = chat.messages[2]["id"]

    chat.edit(second, "Due")
    chat.edit(second, "Zwei")

    assert [content for _, content in natively(chat)] == ["One", "Echo: One", "Zwei", "Echo: Zwei"]


def test_another_tab_edits_a_question_that_has_left_the_history(chat: Chat) -> None:
    chat.send(said("One"))
    chat.send(said("Two"))
    chat.reload()
    tab = Chat(chat.client, chat.id)
    tab.reload()
    chat.edit(chat.messages[0]["id"], "Uno")

    tab.edit(tab.messages[2]["id"], "Due")

    assert [content for _, content in natively(chat)] == ["One", "Echo: One", "Due", "Echo: Due"]


def test_an_edit_that_is_sent_once_more_is_made_once(chat: Chat) -> None:
    question = said("One")
    chat.send(question)

    first = chat.edit(question["id"], "Uno")
    again = chat.edit(question["id"], "Uno")

    assert again[0]["messageId"] == first[0]["messageId"]
    assert chat.get().json()["messages"][0]["metadata"]["alternatives"] == 1


def test_a_question_that_failed_is_asked_again_by_an_edit_that_changes_nothing(chat: Chat) -> None:
    question = said("!cut after=1")
    chat.send(question)

    again = chat.edit(question["id"], "!cut after=1")

    assert chat.get().json()["messages"][0]["metadata"]["alternatives"] == 1
    assert again[-1]["type"] == "error"


def test_the_last_answer_is_written_anew(chat: Chat, model: ModelServer) -> None:
    question = f"Again {uuid4()}"
    first = chat.send(said(question))

    second = chat.regenerate()
    third = chat.regenerate(messageId=second[0]["messageId"])

    assert len({parts[0]["messageId"] for parts in (first, second, third)}) == 3
    assert len(model.asked(question)) == 3
    assert natively(chat) == [("user", question), ("assistant", f"Echo: {question}")]


def test_an_earlier_answer_is_written_anew_on_a_branch_of_its_own(chat: Chat) -> None:
    chat.send(said("One"))
    chat.send(said("Two"))
    chat.messages = chat.messages[:2]

    parts = chat.regenerate()

    assert text(parts) == "Echo: One"
    assert natively(chat) == [("user", "One"), ("assistant", "Echo: One")]


def test_an_answer_is_written_anew_by_another_agent(chat: Chat) -> None:
    chat.send(said("Who?"))

    parts = chat.regenerate(agent="skills")

    assert parts[0]["messageMetadata"]["agent"] == "skills"
    assert natively(chat) == [("user", "Who?"), ("assistant", "Echo: Who?")]


def test_regenerating_what_was_never_asked_asks_it(chat: Chat) -> None:
    chat.messages = [said("Refused before")]

    chat.regenerate()

    assert natively(chat) == [("user", "Refused before"), ("assistant", "Echo: Refused before")]


def test_regenerating_what_is_being_answered_shows_that_answer(chat: Chat) -> None:
    with chat.open(said(_LONG)) as parts:
        begun = next(parts)["messageId"]
        with chat.open(chat.messages[0], trigger="regenerate-message", messages=chat.messages[:1]) as joined:
            assert next(joined)["messageId"] == begun
        assert stopped(chat)


def test_a_question_while_an_answer_is_written_is_refused_in_plain_words(chat: Chat) -> None:
    with chat.open(said(_LONG)):
        body = {"id": chat.id, "messages": [said("Me too")]}
        refused = chat.post(body)
        for_programs = chat.post(body, headers={"Accept": "application/json"})
        assert stopped(chat)

    assert (refused.status_code, refused.headers["Content-Type"]) == (409, "text/plain; charset=utf-8")
    assert refused.text.startswith("A reply is being written in this conversation.")
    assert for_programs.json()["error"]["error_code"] == "reply_in_progress"


def test_what_was_refused_is_asked_at_the_end_when_it_is_tried_again(chat: Chat) -> None:
    with chat.open(said(_LONG)):
        assert stopped(chat)
    tab = Chat(chat.client, chat.id)
    tab.messages = [*chat.messages, said("Refused")]
    chat.send(said("In between"))

    tab.regenerate()

    assert [content for role, content in natively(chat) if role == "user"] == [_LONG, "In between", "Refused"]


def test_a_stopped_answer_keeps_its_text_and_ends_with_abort(chat: Chat) -> None:
    with chat.open(said(_LONG)) as parts:
        seen = [next(parts) for _ in range(4)]
        assert stopped(chat)
        seen += parts

    assert [part["type"] for part in seen[-3:]] == ["text-end", "message-metadata", "abort"]
    assert seen[-2]["messageMetadata"]["status"] == "cancelled"
    assert chat.get().json()["messages"][1]["parts"][1]["text"] == text(seen)


def test_stopping_where_nothing_is_written_does_nothing(chat: Chat) -> None:
    assert chat.client.call("POST", f"{chat.url}/{chat.id}/stop").status_code == 204
    chat.send(said("Hello"))
    assert chat.client.call("POST", f"{chat.url}/{chat.id}/stop").status_code == 204


def test_a_failed_answer_ends_with_an_error_and_keeps_its_text(chat: Chat) -> None:
    parts = chat.send(said("!cut after=3"))

    assert parts[-1] == {"type": "error", "errorText": "The connection to the model broke off."}
    message = chat.get().json()["messages"][1]
    assert message["parts"][1]["text"] == text(parts)
    assert message["metadata"]["status"] == "failed"


def test_an_answer_is_resumed_from_its_beginning(chat: Chat) -> None:
    with chat.open(said(_LONG)) as parts:
        begun = [next(parts) for _ in range(6)]
    reloaded = chat.reload()
    with chat.client.http.stream(
        "GET", f"{chat.url}/{chat.id}/stream", headers={"Authorization": f"Bearer {chat.client.token}"}
    ) as answer:
        resumed = parts_of(answer.iter_lines())
        first = next(resumed)
        assert stopped(chat)
        whole = [first, *resumed]

    assert (reloaded["live"], [message["role"] for message in reloaded["messages"]]) == (True, ["user"])
    assert first["messageId"] == begun[0]["messageId"]
    assert text(whole).startswith(text(begun))
    assert text(whole).startswith("word0 word1 ")


def test_an_answer_that_has_ended_is_resumed_by_those_only_who_want_it(chat: Chat) -> None:
    parts = chat.send(said("Hello"))

    assert chat.get("/stream").status_code == 204
    replayed = list(parts_of(iter(chat.get("/stream", params={"ended": "true"}).text.splitlines())))
    assert (replayed[0]["messageId"], text(replayed)) == (parts[0]["messageId"], "Echo: Hello")
    assert replayed[-1]["type"] == "finish"


def test_a_chat_begins_in_a_room_with_an_agent(visitor: Client) -> None:
    chat = Chat(visitor)
    room = visitor.room()

    chat.send(said("Hello"), room_id=room, agent="skills", theme="dark")

    conversation = visitor.data("GET", f"/conversations/{chat.get().json()['conversation_id']}")
    assert (conversation["room_id"], conversation["agent"]) == (room, "skills")


def test_a_long_chat_is_read_in_pages(chat: Chat) -> None:
    for question in ("One", "Two", "Three"):
        chat.send(said(question))

    newest = chat.get(params={"limit": 2}).json()
    older = chat.get(params={"before": newest["messages"][0]["metadata"]["position"], "limit": 2}).json()

    assert newest["total"] == 6
    assert [message["parts"][-1]["text"] for message in older["messages"]] == ["Two", "Echo: Two"]


def test_a_deleted_chat_is_not_begun_anew_behind_its_owners_back(chat: Chat) -> None:
    chat.send(said("Hello"))
    conversation = chat.get().json()["conversation_id"]
    chat.client.data("DELETE", f"/conversations/{conversation}")

    refused = chat.post({"id": chat.id, "messages": [said("Again")]})

    assert refused.status_code == 404
    chat.client.data("POST", f"/conversations/{conversation}/restore")
    assert len(natively(chat)) == 2


def test_a_request_may_be_as_large_as_a_long_chat(chat: Chat) -> None:
    chat.messages = [said("x" * 1000) for _ in range(1500)]
    chat.send(said("Hello"))

    chat.messages = [said("x" * 100_000) for _ in range(50)]
    refused = chat.post({"id": chat.id, "messages": chat.messages})

    assert len(natively(chat)) == 2
    assert (refused.status_code, refused.text) == (413, "The body is larger than 4 MiB.")


_MALFORMED = [
    ({"messages": [said("x")]}, "id: "),
    ({"id": "", "messages": [said("x")]}, "id: "),
    ({"id": "x" * 201, "messages": [said("x")]}, "id: "),
    ({"id": "a/b", "messages": [said("x")]}, "id: "),
    ({"id": "..", "messages": [said("x")]}, "id: "),
    ({"id": "nul\x00", "messages": [said("x")]}, "id: "),
    ({"id": "\ud800", "messages": [said("x")]}, "id: "),
    ({"id": "c"}, "messages: "),
    ({"id": "c", "messages": []}, "messages: "),
    ({"id": "c", "messages": ["x"]}, "messages.0: "),
    ({"id": "c", "messages": [{"role": "assistant", "parts": []}]}, "messages.0.role: "),
    ({"id": "c", "messages": [said("x"), {"role": "tool", "parts": []}]}, "messages.1.role: "),
    ({"id": "c", "messages": [{}]}, "messages.0.role: "),
    ({"id": "c", "messages": [{"role": "user"}]}, "messages.0.parts: "),
    ({"id": "c", "messages": [{"role": "user", "parts": "x"}]}, "messages.0.parts: "),
    ({"id": "c", "messages": [{"role": "user", "parts": [1, None, {"type": "text"}]}]}, "messages.0.parts: "),
    (
        {"id": "c", "messages": [{"role": "user", "parts": [{"type": "file", "url": "data:,x"}]}]},
        "messages.0.parts.0: ",
    ),
    ({"id": "c", "messages": [said("x" * 5001)]}, "messages.0.parts: "),
    ({"id": "c", "messages": [said("nul\x00")]}, "messages.0.parts: "),
    ({"id": "c", "messages": [{**said("x"), "id": 7}]}, "messages.0.id: "),
    ({"id": "c", "messages": [said("x", "y" * 201)]}, "messages.0.id: "),
    ({"id": "c", "messages": [said("x")], "trigger": "resume-stream"}, "trigger: "),
    ({"id": "c", "messages": [said("x")], "messageId": 7}, "messageId: "),
    ({"id": "c", "messages": [said("x")], "agent": "nobody"}, "agent: "),
    ({"id": "c", "messages": [said("x")], "room_id": "no"}, "room_id: "),
]


def test_what_is_malformed_is_refused_by_name(visitor: Client, parley: ParleyProcess) -> None:
    for body, named in _MALFORMED:
        content = json.dumps(body)
        headers = {"Authorization": f"Bearer {visitor.token}", "Content-Type": "application/json"}
        refused = visitor.http.post(f"{parley.url}/api/chat", content=content, headers=headers)

        assert (refused.status_code, refused.text[: len(named)]) == (422, named), (content[:200], refused.text)
    assert visitor.data("GET", "/conversations")["items"] == []


def test_odd_ids_in_paths_are_nobodys_chats(chat: Chat) -> None:
    for path, status in (("%00", 422), ("x" * 201, 422), ("%F0%9F%A6%86", 200), ("a%20b", 200), ("018f", 200)):
        assert chat.client.call("GET", f"{chat.url}/{path}").status_code == status, path
        assert chat.client.call("GET", f"{chat.url}/{path}/stream").status_code == {200: 204}.get(status, status), path


def stopped(chat: Chat) -> bool:
    """Stop the answer and see it ended."""
    answer = chat.client.call("POST", f"{chat.url}/{chat.id}/stop")
    assert answer.status_code in (202, 204), answer.text
    return bool(eventually(lambda: not chat.get().json()["live"]))
