"""Responses and Conversations by the official `openai` package, over every kind of installation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import openai
import pytest

from tests.model_server import ModelServer
from tests.openai_client import assistant, bare, speaking, system, user
from tests.parley_process import Client, ParleyProcess
from tests.waiting import eventually

_SLOW = "!stream words=60 delay=0.05"
_WORDS = "".join(f"word{number} " for number in range(60))


@pytest.fixture
def client(visitor: Client) -> Iterator[openai.OpenAI]:
    with speaking(visitor, max_retries=0) as client:
        yield client


def history(visitor: Client, conversation: str) -> list[str]:
    return [message["content"] for message in visitor.messages(conversation, limit=100)]


def place(response: Any) -> str:
    """The conversation that a response is in."""
    return bare(response.conversation.id)


def deltas(events: list[Any]) -> str:
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def test_a_response_comes_whole_and_can_be_read_again(client: openai.OpenAI, visitor: Client) -> None:
    response = client.responses.create(
        model="skills", input="Hello", instructions="Be brief.", metadata={"mine": "yes"}
    )

    assert (response.status, response.output_text, response.model) == ("completed", "Echo: Hello", "skills")
    assert (response.instructions, response.metadata) == ("Be brief.", {"mine": "yes"})
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (7, 2, 9)
    assert client.responses.retrieve(response.id) == response
    assert client.responses.retrieve(bare(response.id)) == response
    assert history(visitor, place(response)) == ["Hello", "Echo: Hello"]


def test_the_events_of_a_response_come_in_openais_order(client: openai.OpenAI) -> None:
    events: list[Any] = list(client.responses.create(input=_SLOW, stream=True))

    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert set(kinds[4:-4]) == {"response.output_text.delta"}
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert deltas(events) == events[-4].text == events[-1].response.output_text == _WORDS
    assert (events[0].response.status, events[0].response.output) == ("in_progress", [])
    assert client.responses.retrieve(events[0].response.id) == events[-1].response
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))
    placed = [event for event in events if event.type.startswith(("response.output_text", "response.content_part"))]
    assert {(event.item_id, event.output_index, event.content_index) for event in placed} == {
        (events[-1].response.output[0].id, 0, 0)
    }


def test_the_package_puts_a_stream_together(client: openai.OpenAI) -> None:
    with client.responses.stream(model="general", input="Hello") as stream:
        assert stream.get_final_response().output_text == "Echo: Hello"


def test_instructions_reach_the_model_for_one_answer(client: openai.OpenAI, model: ModelServer) -> None:
    first, second = f"First {uuid4().hex}", f"Second {uuid4().hex}"

    before = client.responses.create(input=[system("Be kind."), user(first)], instructions="Be brief.")
    after = client.responses.create(input=second, previous_response_id=before.id)

    prompt = model.asked(first)[0]["messages"][0]["content"]
    assert prompt.startswith("You are a helpful assistant.")
    assert prompt.endswith("Be brief.\n\nBe kind.")
    assert "Be brief." not in str(model.asked(second))
    assert after.instructions is None


def test_a_response_in_the_background_is_polled(client: openai.OpenAI, visitor: Client) -> None:
    response = client.responses.create(input=_SLOW, background=True)

    assert (response.status, response.background, response.output) == ("queued", True, [])
    finished = eventually(lambda: _finished(client, response.id))
    assert (finished.status, finished.output_text, finished.background) == ("completed", _WORDS, True)


def _finished(client: openai.OpenAI, response_id: str) -> Any:
    response = client.responses.retrieve(response_id)
    return response if response.status not in ("queued", "in_progress") else None


def test_who_leaves_a_stream_can_come_back_to_it_in_mid_answer(client: openai.OpenAI) -> None:
    events: list[Any] = []
    with client.responses.create(input=_SLOW, background=True, stream=True) as stream:
        for event in stream:
            events.append(event)
            if len(deltas(events)) > 100:
                break
    response_id = events[0].response.id
    assert events[0].response.status == "queued"

    rest = list(client.responses.retrieve(response_id, stream=True, starting_after=events[-1].sequence_number))

    numbers = [event.sequence_number for event in events + rest]
    assert numbers == sorted(set(numbers))
    assert deltas(events + rest) == _WORDS
    assert rest[-1].type == "response.completed"


def test_a_finished_response_is_told_the_same_from_any_event_on(client: openai.OpenAI) -> None:
    live: list[Any] = list(client.responses.create(input="One two three four", stream=True))
    response_id = live[0].response.id

    again = list(client.responses.retrieve(response_id, stream=True))

    assert again == live
    for seen in range(len(live)):
        after = live[seen].sequence_number
        assert list(client.responses.retrieve(response_id, stream=True, starting_after=after)) == live[seen + 1 :]


def test_a_stream_that_is_put_together_later_is_whole(client: openai.OpenAI) -> None:
    response = client.responses.create(input=_SLOW, background=True)

    with client.responses.stream(response_id=response.id) as stream:
        assert stream.get_final_response().output_text == _WORDS


def test_a_response_is_cancelled_and_keeps_its_text(client: openai.OpenAI) -> None:
    with client.responses.create(input="!stream words=2000 delay=0.02", stream=True) as stream:
        events: list[Any] = []
        for event in stream:
            events.append(event)
            if len(deltas(events)) > 100:
                break
        cancelled = client.responses.cancel(events[0].response.id)
        events.extend(stream)

    assert cancelled.status == "cancelled"
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.status == "cancelled"
    assert cancelled.output_text == deltas(events) == client.responses.retrieve(cancelled.id).output_text
    assert client.responses.cancel(cancelled.id).status == "cancelled"


def test_a_response_goes_on_without_its_client(client: openai.OpenAI, visitor: Client) -> None:
    with pytest.raises(openai.APITimeoutError):
        client.responses.create(input=_SLOW, timeout=1)

    [conversation] = [each["id"] for each in visitor.data("GET", "/conversations")["items"]]
    assert eventually(lambda: history(visitor, conversation)[1:] == [_WORDS])


def test_the_packages_own_retries_do_not_ask_twice(visitor: Client, model: ModelServer) -> None:
    question = f"!stream words=30 delay=0.1 {uuid4().hex}"

    with speaking(visitor, timeout=1, max_retries=9) as client:
        response = client.responses.create(input=question)

    assert response.output_text.endswith("word29 ")
    assert len(model.asked(question)) == 1


def test_a_failure_ends_a_stream_and_is_told_of_later(client: openai.OpenAI) -> None:
    *_, last = client.responses.create(input="!cut after=3", stream=True)

    assert last.type == "response.failed"
    failed = client.responses.retrieve(last.response.id)
    assert (failed.status, failed.output_text) == ("failed", "word0 word1 word2 ")
    assert failed.error is not None
    assert (failed.error.code, failed.output[0].to_dict()["status"]) == ("server_error", "incomplete")
    assert client.responses.create(input="!cut after=3").status == "failed"


class TestPlaces:
    def test_a_response_follows_another_one(self, client: openai.OpenAI, visitor: Client, model: ModelServer) -> None:
        question = f"And? {uuid4().hex}"
        first = client.responses.create(input="Hello")
        second = client.responses.create(input=question, previous_response_id=first.id)

        assert (place(second), second.previous_response_id) == (place(first), first.id)
        said = [message["content"] for message in model.asked(question)[0]["messages"] if message["role"] != "system"]
        assert said == ["Hello", "Echo: Hello", question]

    def test_another_one_after_the_same_begins_a_branch(self, client: openai.OpenAI, visitor: Client) -> None:
        first = client.responses.create(input="Hello")
        left = client.responses.create(input=[user("Well"), user("This")], previous_response_id=first.id)
        client.responses.create(input="More", previous_response_id=left.id)

        client.responses.create(input="That", previous_response_id=first.id)

        assert history(visitor, place(first)) == ["Hello", "Echo: Hello", "That", "Echo: That"]
        assert client.responses.retrieve(left.id).output_text == "Echo: This"
        going_on = client.responses.create(input="Even more", previous_response_id=left.id)
        assert place(going_on) == place(first)

    def test_a_response_is_asked_in_a_conversation(self, client: openai.OpenAI, visitor: Client) -> None:
        conversation = client.conversations.create(metadata={"mine": "yes"})
        for named in (conversation.id, {"id": conversation.id}, bare(conversation.id)):
            response = client.responses.create(input="Hello", conversation=named)  # type: ignore[arg-type] # a bare id

            assert place(response) == bare(conversation.id)
        assert len(history(visitor, bare(conversation.id))) == 6

    def test_a_talk_that_is_sent_whole_goes_on_where_it_is_known_from(
        self, client: openai.OpenAI, visitor: Client
    ) -> None:
        first = client.responses.create(input="Hello")
        talk: Any = [user("Hello"), *first.output, user("And?")]

        assert place(client.responses.create(input=talk)) == place(first)
        assert place(client.responses.create(input="Hello")) != place(first)

    def test_messages_are_named_instead_of_sent_again(self, client: openai.OpenAI, visitor: Client) -> None:
        first = client.responses.create(input="Hello")
        named: Any = [user("Hello"), {"type": "item_reference", "id": first.output[0].id}, user("And?")]

        follow = client.responses.create(input=named)

        assert place(follow) == place(first)
        assert history(visitor, place(first)) == ["Hello", "Echo: Hello", "And?", "Echo: And?"]
        bare_name: Any = {"id": first.output[0].id}
        elsewhere = client.responses.create(input=[bare_name, user("And?")])
        assert history(visitor, place(elsewhere)) == ["Echo: Hello", "And?", "Echo: And?"]

    def test_a_message_that_is_not_there_or_not_ones_own_cannot_be_named(
        self, client: openai.OpenAI, parley: ParleyProcess
    ) -> None:
        mine = client.responses.create(input="Mine").output[0].id
        theirs: Any = {"type": "item_reference", "id": mine}

        with speaking(parley.visitor(), max_retries=0) as other:
            with pytest.raises(openai.PermissionDeniedError):
                other.responses.create(input=[theirs, user("And?")])
            for unknown in ("msg_" + uuid4().hex, "rs_68af4030baa48193b0b43b4c2a176a1a", "", "x" * 1000):
                stray: Any = {"type": "item_reference", "id": unknown}
                with pytest.raises(openai.NotFoundError, match="item"):
                    other.responses.create(input=[stray, user("And?")])
            nameless: list[Any] = [{"type": "item_reference"}, {"type": "item_reference", "id": 7}]
            for malformed in nameless:
                with pytest.raises(openai.BadRequestError) as refused:
                    other.responses.create(input=[malformed, user("And?")])
                assert refused.value.param == "input[0].id"

    def test_a_talk_of_chat_completions_goes_on_as_a_response(self, client: openai.OpenAI) -> None:
        completion = client.chat.completions.create(model="general", messages=[user("Hello")])

        response = client.responses.create(input=[user("Hello"), assistant("Echo: Hello"), user("And?")])

        assert response.conversation is not None
        assert completion.to_dict()["metadata"] == {"conversation_id": response.conversation.id}

    def test_what_was_sent_is_listed(self, client: openai.OpenAI) -> None:
        response = client.responses.create(input=[user("One"), assistant("Two"), user("Three")])
        follow = client.responses.create(input="Four", previous_response_id=response.id)

        sent = [item.to_dict() for item in client.responses.input_items.list(response.id, order="asc")]
        assert [(item["role"], item["content"][0]["text"]) for item in sent] == [  # type: ignore[index]
            ("user", "One"),
            ("assistant", "Two"),
            ("user", "Three"),
        ]
        pages = client.responses.input_items.list(response.id, limit=1)
        assert [item.id for item in pages] == [item["id"] for item in reversed(sent)]
        assert len(client.responses.input_items.list(follow.id).data) == 1

    def test_what_was_asked_natively_is_a_response_too(self, client: openai.OpenAI, visitor: Client) -> None:
        conversation = visitor.conversation()
        reply = visitor.answer(conversation, "Natively")

        response = client.responses.retrieve(f"resp_{UUID(reply['id']).hex}")

        assert (response.output_text, place(response), response.metadata) == ("Echo: Natively", conversation, {})
        follow = client.responses.create(input="And?", previous_response_id=response.id)
        assert history(visitor, conversation)[2:] == ["And?", follow.output_text]

    def test_a_reply_in_the_making_keeps_others_out(self, client: openai.OpenAI) -> None:
        response = client.responses.create(input="!silent after=1", background=True)

        with pytest.raises(openai.ConflictError) as refused:
            client.responses.create(input="Hello", previous_response_id=response.id)

        assert refused.value.code == "reply_in_progress"
        assert refused.value.response.headers["x-should-retry"] == "false"
        client.responses.cancel(response.id)

    def test_a_response_of_somebody_else_is_forbidden(self, client: openai.OpenAI, parley: ParleyProcess) -> None:
        response = client.responses.create(input="Hello")
        with speaking(parley.visitor()) as stranger:
            for forbidden in (
                lambda: stranger.responses.retrieve(response.id),
                lambda: stranger.responses.cancel(response.id),
                lambda: stranger.responses.input_items.list(response.id),
                lambda: stranger.responses.create(input="Mine", previous_response_id=response.id),
                lambda: stranger.responses.create(input="Mine", conversation=f"conv_{UUID(place(response)).hex}"),
                lambda: stranger.conversations.retrieve(f"conv_{UUID(place(response)).hex}"),
                lambda: stranger.conversations.items.list(place(response)),
            ):
                with pytest.raises(openai.PermissionDeniedError):
                    forbidden()


class TestConversations:
    def test_a_conversation_is_made_read_changed_and_deleted(self, client: openai.OpenAI, visitor: Client) -> None:
        conversation = client.conversations.create(metadata={"mine": "yes"})

        assert client.conversations.retrieve(conversation.id) == conversation
        assert client.conversations.update(conversation.id, metadata={"mine": "no"}).metadata == {"mine": "no"}
        assert visitor.data("GET", f"/conversations/{bare(conversation.id)}")["metadata"] == {"mine": "no"}
        deleted = client.conversations.delete(conversation.id)
        assert (deleted.id, deleted.deleted) == (conversation.id, True)
        with pytest.raises(openai.NotFoundError):
            client.conversations.retrieve(conversation.id)
        visitor.data("POST", f"/conversations/{bare(conversation.id)}/restore")
        assert client.conversations.retrieve(conversation.id).id == conversation.id

    def test_items_are_added_and_listed_in_pages(self, client: openai.OpenAI, visitor: Client) -> None:
        began: Any = [user("One"), assistant("Two")]
        conversation = client.conversations.create(items=began)
        more: Any = [{"type": "message", "role": "developer", "content": "Three"}, user("Four")]
        added = client.conversations.items.create(conversation.id, items=more)

        listed = [item.to_dict() for item in client.conversations.items.list(conversation.id, limit=1)]

        assert [item["id"] for item in listed[:2]] == [item.id for item in reversed(added.data)]
        assert [item["role"] for item in listed] == ["user", "system", "assistant", "user"]
        upwards = client.conversations.items.list(conversation.id, order="asc", limit=3)
        assert [item.id for item in upwards] == [item["id"] for item in reversed(listed)]
        assert history(visitor, bare(conversation.id)) == ["One", "Two", "Three", "Four"]
        found = client.conversations.items.retrieve(str(listed[0]["id"]), conversation_id=conversation.id)
        assert found.to_dict() == listed[0]

    def test_what_was_asked_natively_is_listed_and_what_is_asked_here_follows_it(
        self, client: openai.OpenAI, visitor: Client, model: ModelServer
    ) -> None:
        native = visitor.conversation(metadata={"deep": {"er": 1}})
        reply = visitor.answer(native, "Natively")
        conversation = client.conversations.retrieve(native)

        assert conversation.metadata == {"deep": {"er": 1}}
        answer, question = [item.to_dict() for item in client.conversations.items.list(conversation.id)]
        assert (answer["id"], question["role"]) == (f"msg_{UUID(reply['id']).hex}", "user")

    def test_nothing_is_begun_with_items_that_are_no_good(self, client: openai.OpenAI, visitor: Client) -> None:
        with pytest.raises(openai.BadRequestError) as refused:
            client.conversations.create(items=[user("One"), user(" ")])

        assert refused.value.param == "items[1].content"
        assert visitor.data("GET", "/conversations")["total"] == 0

    def test_items_of_another_conversation_are_not_found(self, client: openai.OpenAI) -> None:
        here, there = (client.conversations.create(items=[user("One")]) for _ in range(2))
        [item] = client.conversations.items.list(there.id).data

        with pytest.raises(openai.NotFoundError):
            client.conversations.items.retrieve(str(item.id), conversation_id=here.id)
        with pytest.raises(openai.NotFoundError):
            client.conversations.items.list(here.id, after=str(item.id))

    def test_a_message_goes_with_its_conversation_only(self, client: openai.OpenAI) -> None:
        conversation = client.conversations.create(items=[user("One")])
        [item] = client.conversations.items.list(conversation.id).data

        with pytest.raises(openai.APIStatusError, match="go with their conversation") as refused:
            client.conversations.items.delete(str(item.id), conversation_id=conversation.id)

        assert refused.value.status_code == 405

    def test_a_conversation_is_made_once_for_a_key(self, client: openai.OpenAI, visitor: Client) -> None:
        key = {"Idempotency-Key": uuid4().hex}

        first, second = (client.conversations.create(extra_headers=key) for _ in range(2))

        assert first == second
        assert visitor.data("GET", "/conversations")["total"] == 1


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"store": False}, "store"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"text": {"format": {"type": "json_object"}}}, "text"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"extra_body": {"unknown": 1}}, "unknown"),
        ({"conversation": "conv_1", "previous_response_id": "resp_1"}, "previous_response_id"),
        ({"input": []}, "input"),
        ({"input": " "}, "input[0].content"),
        ({"input": [user("One"), {"role": "user", "content": [{"type": "input_image"}]}]}, "input[1].content[0].type"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "4"}]}, "input[0].type"),
        ({"input": [assistant("I was first.")]}, "input"),
        ({"metadata": {"long": "x" * 11_000}}, "metadata"),
    ],
)
def test_what_would_mean_something_else_is_refused_by_name(
    client: openai.OpenAI, visitor: Client, options: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(**({"input": "Hello"} | options))

    assert refused.value.param == param
    assert visitor.data("GET", "/conversations")["total"] == 0


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/responses/resp_1", None, 404),
        ("GET", f"/responses/{UUID(int=7)}", None, 404),
        ("GET", "/responses/%ff", None, 404),
        ("GET", "/responses/resp_1?stream=maybe", None, 400),
        ("GET", "/responses/resp_1?starting_after=-1", None, 400),
        ("POST", "/responses/resp_1/cancel", None, 404),
        ("POST", "/responses", {"input": {"a": 1}}, 400),
        ("POST", "/responses", {"input": "x", "previous_response_id": "resp_1"}, 404),
        ("POST", "/responses", {"input": "x", "previous_response_id": 1}, 400),
        ("POST", "/responses", {"input": "x", "conversation": []}, 400),
        ("POST", "/responses", {"input": "x", "conversation": {"id": "\ud800"}}, 404),
        ("POST", "/responses", {"input": "x", "model": "\ud800"}, 404),
        ("POST", "/responses", {"input": "x", "instructions": "\x00"}, 400),
        ("GET", "/conversations/conv_1", None, 404),
        ("GET", "/conversations/conv_1/items?limit=0", None, 400),
        ("POST", "/conversations", {"items": "x"}, 400),
        ("POST", "/conversations", {"items": [user("x")] * 21}, 400),
        ("POST", "/conversations", {"metadata": {"a": "\ud800"}}, 400),
        ("POST", "/conversations/conv_1", {"metadata": []}, 400),
    ],
)
def test_odd_requests_are_refused(
    visitor: Client, method: str, path: str, body: dict[str, Any] | None, status: int
) -> None:
    url = str(visitor.http.base_url).replace("/api/v1/", "/v1")
    headers = {"Authorization": f"Bearer {visitor.token}", "Content-Type": "application/json"}
    content = json.dumps(body) if body is not None else None

    refused = httpx.request(method, f"{url}{path}", content=content, headers=headers)

    assert refused.status_code == status, refused.text
    assert set(refused.json()["error"]) == {"message", "type", "param", "code"}
