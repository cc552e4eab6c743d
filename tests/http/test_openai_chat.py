"""Models and Chat Completions by the official `openai` package, over every kind of installation."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import openai
import pytest

from tests.conftest import with_model
from tests.model_server import ModelServer
from tests.openai_client import assistant, bare, speaking, system, user
from tests.parley_process import Client, ParleyProcess, running
from tests.waiting import eventually

_HI = "Hi"


@pytest.fixture
def client(visitor: Client) -> Iterator[openai.OpenAI]:
    with speaking(visitor, max_retries=0) as client:
        yield client


def complete(client: openai.OpenAI, *messages: Any, **options: Any) -> Any:
    return client.chat.completions.create(model="general", messages=list(messages), **options)


def said(client: openai.OpenAI, *messages: Any, **options: Any) -> str:
    """The answer's text."""
    return str(complete(client, *messages, **options).choices[0].message.content)


def place(completion: Any) -> str:
    """The conversation that an answer is in."""
    return bare(completion.metadata["conversation_id"])


def history(visitor: Client, conversation: str) -> list[str]:
    return [message["content"] for message in visitor.messages(conversation, limit=100)]


def conversations(visitor: Client) -> list[str]:
    return [each["id"] for each in visitor.data("GET", "/conversations")["items"]]


def told(model: ModelServer, question: str) -> list[str]:
    """What the model was last told with a question, besides the instructions."""
    messages = model.asked(question)[-1]["messages"]
    return [message["content"] for message in messages if message["role"] != "system"]


class TestModels:
    def test_agents_are_the_models(self, client: openai.OpenAI, visitor: Client) -> None:
        agents = [agent["name"] for agent in visitor.data("GET", "/agents")["items"]]

        assert agents == [model.id for model in client.models.list()]
        assert client.models.retrieve("skills").owned_by == "parley"

    def test_an_unknown_model_is_not_found(self, client: openai.OpenAI) -> None:
        with pytest.raises(openai.NotFoundError) as refused:
            client.models.retrieve("gpt-9")

        assert refused.value.code == "model_not_found"


class TestAnswers:
    def test_an_answer_comes_whole(self, client: openai.OpenAI) -> None:
        completion = complete(client, user(" Hello you "))

        [choice] = completion.choices
        assert (choice.message.content, choice.finish_reason) == ("Echo: Hello you", "stop")
        assert (completion.model, completion.object) == ("general", "chat.completion")
        usage = completion.usage
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (7, 3, 10)

    def test_an_answer_comes_in_chunks(self, client: openai.OpenAI) -> None:
        chunks = list(complete(client, user("!stream words=30 delay=0.01"), stream=True))

        deltas = [chunk.choices[0].delta for chunk in chunks]
        assert (deltas[0].role, deltas[0].content) == ("assistant", "")
        assert "".join(delta.content or "" for delta in deltas) == "".join(f"word{number} " for number in range(30))
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]
        assert len(deltas) > 4
        assert {chunk.id for chunk in chunks} == {chunks[0].id}
        assert [chunk.usage for chunk in chunks if chunk.usage] == []

    def test_a_stream_ends_with_the_usage_if_that_is_asked_for(self, client: openai.OpenAI) -> None:
        *chunks, last = complete(client, user("Hello"), stream=True, stream_options={"include_usage": True})

        assert (last.choices, last.usage.total_tokens) == ([], 9)
        assert all(chunk.choices for chunk in chunks)

    def test_the_package_puts_a_stream_together(self, client: openai.OpenAI) -> None:
        with client.chat.completions.stream(model="general", messages=[user("Hello")]) as stream:
            assert stream.until_done().get_final_completion().choices[0].message.content == "Echo: Hello"

    def test_text_comes_in_parts_too(self, client: openai.OpenAI) -> None:
        parts = [{"type": "text", "text": "One "}, {"type": "text", "text": "two"}]

        assert said(client, user(parts)) == "Echo: One two"

    def test_what_an_agent_has_settled_is_accepted_and_has_no_effect(
        self, client: openai.OpenAI, model: ModelServer
    ) -> None:
        question = f"Settled {uuid4().hex}"

        said(client, user(question), temperature=0.7, max_tokens=5, top_p=0.5, seed=1, tools=[], n=1)

        assert {"temperature", "max_tokens", "top_p", "seed"}.isdisjoint(model.asked(question)[0])

    def test_what_is_asked_here_is_in_the_history_of_all_wires(self, client: openai.OpenAI, visitor: Client) -> None:
        completion = complete(client, user("Hello"))

        question, answer = visitor.messages(place(completion))
        assert (question["content"], question["metadata"].get("instructions")) == ("Hello", None)
        assert (answer["id"], answer["content"]) == (bare(completion.id), "Echo: Hello")
        assert visitor.data("GET", f"/conversations/{place(completion)}")["title"] == "Hello"


class TestInstructions:
    def test_a_system_prompt_is_added_to_the_agents_own(self, client: openai.OpenAI, model: ModelServer) -> None:
        question = f"Arr {uuid4().hex}"

        said(client, system("Speak like a pirate."), user(question), {"role": "developer", "content": "Be brief."})

        prompt = model.asked(question)[0]["messages"][0]
        assert prompt["role"] == "system"
        assert prompt["content"].startswith("You are a helpful assistant.")
        assert prompt["content"].endswith("Speak like a pirate.\n\nBe brief.")

    def test_it_is_no_message_of_the_history_and_holds_for_one_answer(
        self, client: openai.OpenAI, visitor: Client, model: ModelServer
    ) -> None:
        completion = complete(client, system("Speak like a pirate."), user("Hello"))
        question = f"Natively {uuid4().hex}"

        visitor.answer(place(completion), question)

        assert history(visitor, place(completion)) == ["Hello", "Echo: Hello", question, f"Echo: {question}"]
        assert "pirate" not in str(model.asked(question))

    def test_other_instructions_do_not_begin_another_conversation(
        self, client: openai.OpenAI, visitor: Client, model: ModelServer
    ) -> None:
        first = complete(client, system("It is noon."), user("Hello"))
        question = f"And now? {uuid4().hex}"

        second = complete(client, system("It is one."), user("Hello"), assistant("Echo: Hello"), user(question))

        assert place(first) == place(second)
        assert "It is one." in str(model.asked(question))
        assert "It is noon." not in str(model.asked(question))


class TestTalks:
    def test_a_talk_goes_on_in_its_conversation(
        self, client: openai.OpenAI, visitor: Client, model: ModelServer
    ) -> None:
        talk = [user(_HI)]
        for question in ("One", "Two", f"Three {uuid4().hex}"):
            talk += [complete(client, *talk).choices[0].message, user(question)]

        last = complete(client, *talk)

        assert history(visitor, place(last))[:6] == [_HI, f"Echo: {_HI}", "One", "Echo: One", "Two", "Echo: Two"]
        assert conversations(visitor) == [place(last)]
        assert len(told(model, talk[-1]["content"])) == 7

    def test_the_same_beginning_begins_another_conversation(self, client: openai.OpenAI, visitor: Client) -> None:
        assert place(complete(client, user(_HI))) != place(complete(client, user(_HI)))
        assert len(conversations(visitor)) == 2

    def test_those_for_whom_a_client_speaks_each_go_on_in_their_own(self, client: openai.OpenAI) -> None:
        talk = [user(_HI), assistant(f"Echo: {_HI}"), user("And?")]
        began = {name: place(complete(client, user(_HI), user=name)) for name in ("ann", "ben")}

        assert began == {name: place(complete(client, *talk, user=name)) for name in ("ann", "ben")}
        assert began["ann"] != began["ben"]

    def test_those_who_began_alike_go_on_apart(self, client: openai.OpenAI, visitor: Client) -> None:
        began = [user(_HI), assistant(f"Echo: {_HI}")]
        for _ in range(3):
            complete(client, user(_HI))

        places = {place(complete(client, *began, user(f"I am {name}"))) for name in ("Ann", "Ben", "Cat")}

        assert places == set(conversations(visitor))
        assert all(len(history(visitor, conversation)) == 4 for conversation in places)

    def test_another_question_after_an_answer_begins_a_branch(self, client: openai.OpenAI, visitor: Client) -> None:
        began = [user(_HI), assistant(f"Echo: {_HI}")]
        conversation = place(complete(client, user(_HI)))
        complete(client, *began, user("This"))
        complete(client, *began, user("This"), assistant("Echo: This"), user("More"))

        forked = complete(client, *began, user("That"))

        assert place(forked) == conversation
        assert history(visitor, conversation) == [_HI, f"Echo: {_HI}", "That", "Echo: That"]
        question = visitor.messages(conversation)[2]["id"]
        versions = visitor.data("GET", f"/messages/{question}/versions")["items"]
        assert [(each["content"], each["is_current"]) for each in versions] == [("This", False), ("That", True)]

    def test_what_was_left_for_a_branch_is_gone_on_with(self, client: openai.OpenAI, visitor: Client) -> None:
        began = [user(_HI), assistant(f"Echo: {_HI}")]
        conversation = place(complete(client, user(_HI)))
        complete(client, *began, user("This"))
        complete(client, *began, user("That"))

        complete(client, *began, user("This"), assistant("Echo: This"), user("More"))

        assert history(visitor, conversation) == [_HI, f"Echo: {_HI}", "This", "Echo: This", "More", "Echo: More"]

    def test_the_same_once_more_is_another_version_of_the_answer(self, client: openai.OpenAI, visitor: Client) -> None:
        talk = [user(_HI), assistant(f"Echo: {_HI}"), user("Again")]
        conversation = place(complete(client, user(_HI)))
        first, second = complete(client, *talk), complete(client, *talk)

        assert history(visitor, conversation) == [_HI, f"Echo: {_HI}", "Again", "Echo: Again"]
        versions = visitor.data("GET", f"/messages/{bare(second.id)}/versions")["items"]
        assert [each["id"] for each in versions] == [bare(first.id), bare(second.id)]

    def test_the_same_by_another_agent_is_a_branch(self, client: openai.OpenAI, visitor: Client) -> None:
        talk: list[Any] = [user(_HI), assistant(f"Echo: {_HI}"), user("Again")]
        conversation = place(complete(client, user(_HI)))
        complete(client, *talk)

        completion = client.chat.completions.create(model="skills", messages=talk)

        assert completion.model == "skills"
        assert [message["agent"] for message in visitor.messages(conversation)] == [None, "general", None, "skills"]

    def test_the_same_at_the_same_time_is_answered_each(self, client: openai.OpenAI) -> None:
        talk = [user(_HI), assistant(f"Echo: {_HI}"), user("!stream words=5 delay=0.05")]
        complete(client, user(_HI))

        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: said(client, *talk), range(4)))

        assert answers == ["word0 word1 word2 word3 word4 "] * 4

    def test_a_talk_that_is_not_known_begins_a_conversation_with_all_of_it(
        self, client: openai.OpenAI, visitor: Client, model: ModelServer
    ) -> None:
        question = f"So? {uuid4().hex}"

        completion = complete(client, user("Elsewhere"), assistant("I said."), user("And"), user(question))

        assert history(visitor, place(completion)) == ["Elsewhere", "I said.", "And", question, f"Echo: {question}"]
        assert told(model, question) == ["Elsewhere", "I said.", "And", question]
        assert visitor.data("GET", f"/conversations/{place(completion)}")["title"] == "Elsewhere"

    def test_an_answer_that_the_client_has_changed_is_not_ours(self, client: openai.OpenAI, visitor: Client) -> None:
        first = complete(client, user(_HI))

        second = complete(client, user(_HI), assistant("What I would have liked"), user("Go on"))

        assert place(first) != place(second)
        assert history(visitor, place(second))[1] == "What I would have liked"

    def test_a_talk_whose_conversation_was_deleted_begins_anew(self, client: openai.OpenAI, visitor: Client) -> None:
        first = complete(client, user(_HI))
        visitor.data("DELETE", f"/conversations/{place(first)}")

        second = complete(client, user(_HI), assistant(f"Echo: {_HI}"), user("Still there?"))

        assert conversations(visitor) == [place(second)]

    def test_nobody_goes_on_with_the_talk_of_another_one(self, client: openai.OpenAI, parley: ParleyProcess) -> None:
        first = complete(client, user(_HI))
        other = parley.visitor()
        with speaking(other) as stranger:
            second = complete(stranger, user(_HI), assistant(f"Echo: {_HI}"), user("And?"))

        assert place(first) != place(second)
        assert conversations(other) == [place(second)]

    def test_a_conversation_can_be_named(self, client: openai.OpenAI, visitor: Client, model: ModelServer) -> None:
        conversation = visitor.conversation()
        visitor.answer(conversation, "Natively")
        question = f"By name {uuid4().hex}"
        talk = [user("Not known there"), assistant("Nor this"), user("First"), user(question)]

        for named in (conversation, f"conv_{UUID(conversation).hex}"):
            complete(client, *talk, metadata={"conversation_id": named, "mine": "yes"})

        assert history(visitor, conversation)[:5] == [
            "Natively",
            "Echo: Natively",
            "First",
            question,
            f"Echo: {question}",
        ]
        assert told(model, question)[:2] == ["Natively", "Echo: Natively"]
        assert visitor.messages(conversation)[3]["metadata"]["client"] == {"mine": "yes"}

    @pytest.mark.parametrize("named", [str(UUID(int=7)), "conv_7", ""])
    def test_a_conversation_that_is_not_there_is_not_found(self, client: openai.OpenAI, named: str) -> None:
        with pytest.raises(openai.NotFoundError) as refused:
            complete(client, user(_HI), metadata={"conversation_id": named})

        assert refused.value.code == "conversation_not_found"

    def test_a_conversation_of_somebody_else_is_forbidden(self, client: openai.OpenAI, parley: ParleyProcess) -> None:
        conversation = parley.visitor().conversation()

        with pytest.raises(openai.PermissionDeniedError):
            complete(client, user(_HI), metadata={"conversation_id": conversation})


class TestGoingAway:
    def test_who_leaves_a_stream_stops_the_answer(self, client: openai.OpenAI, visitor: Client) -> None:
        with complete(client, user("!stream words=2000 delay=0.05"), stream=True) as stream:
            first = next(iter(stream))
            next(iter(stream))

        assert eventually(lambda: visitor.reply(bare(first.id))["status"] == "cancelled", within=30)

    def test_who_does_not_wait_for_the_whole_answer_stops_it(self, client: openai.OpenAI, visitor: Client) -> None:
        with pytest.raises(openai.APITimeoutError):
            complete(client, user("!silent after=3"), timeout=1)

        [conversation] = conversations(visitor)
        eventually(lambda: len(visitor.messages(conversation)) == 2, within=30)
        assert visitor.messages(conversation)[1]["status"] == "cancelled"

    def test_who_stops_an_answer_goes_on_with_what_came_of_it(self, client: openai.OpenAI, visitor: Client) -> None:
        slow = user("!stream words=2000 delay=0.02")
        text = ""
        with complete(client, slow, stream=True) as stream:
            for chunk in stream:
                text += chunk.choices[0].delta.content or ""
                if len(text) > 100:
                    break

        going_on = complete(client, slow, assistant(text), user("Go on"))

        assert conversations(visitor) == [place(going_on)]
        _, answer, *more = visitor.messages(place(going_on))
        assert (answer["status"], answer["content"].startswith(text)) == ("cancelled", True)
        assert [message["content"] for message in more] == ["Go on", "Echo: Go on"]

    def test_who_sends_a_key_comes_back_for_the_answer(
        self, client: openai.OpenAI, visitor: Client, model: ModelServer
    ) -> None:
        question = f"!stream words=30 delay=0.1 {uuid4().hex}"
        options: dict[str, Any] = {"extra_headers": {"Idempotency-Key": uuid4().hex}}
        with pytest.raises(openai.APITimeoutError):
            complete(client, user(question), timeout=1, **options)

        answer = said(client, user(question), **options)

        assert answer.endswith("word29 ")
        assert len(model.asked(question)) == 1
        assert len(conversations(visitor)) == 1

    def test_the_packages_own_retries_do_not_ask_twice(self, visitor: Client, model: ModelServer) -> None:
        question = f"!stream words=30 delay=0.1 {uuid4().hex}"

        with speaking(visitor, timeout=1, max_retries=9) as client:
            answer = said(client, user(question))

        assert answer.endswith("word29 ")
        assert len(model.asked(question)) == 1
        [conversation] = conversations(visitor)
        assert len(visitor.messages(conversation)) == 2

    @pytest.mark.parametrize(
        "other", [{"messages": [system("You speak with Ben."), user("My balance?")]}, {"model": "skills"}]
    )
    def test_a_retry_does_not_get_what_others_were_answered(
        self, client: openai.OpenAI, visitor: Client, other: dict[str, Any]
    ) -> None:
        asked: dict[str, Any] = {"model": "general", "messages": [system("You speak with Ann."), user("My balance?")]}
        first = client.chat.completions.create(**asked)

        retries = {"X-Stainless-Retry-Count": "1"}
        again = client.chat.completions.create(**asked, extra_headers=retries)
        others = client.chat.completions.create(**asked | other, extra_headers=retries)

        assert again.id == first.id
        assert others.id != first.id
        assert place(others) != place(first)
        assert [message["status"] for message in visitor.messages(place(first))][1:] == ["completed"]


class TestFailures:
    def test_an_answer_that_breaks_off_is_an_error(self, client: openai.OpenAI) -> None:
        with pytest.raises(openai.InternalServerError) as failed:
            complete(client, user("!cut after=3"))

        assert (failed.value.status_code, failed.value.code) == (502, "model_broke_off")
        assert failed.value.response.headers["x-should-retry"] == "false"

    def test_a_stream_that_breaks_off_is_an_error(self, client: openai.OpenAI) -> None:
        stream = complete(client, user("!cut after=3"), stream=True)

        with pytest.raises(openai.APIError, match="broke off") as failed:
            list(stream)

        assert failed.value.code == "model_broke_off"

    def test_an_answer_that_somebody_stops_ends_as_far_as_it_came(self, client: openai.OpenAI, visitor: Client) -> None:
        stream = iter(complete(client, user("!stream words=2000 delay=0.02"), stream=True))
        first = next(stream)
        next(stream)
        stopped = visitor.data("POST", f"/replies/{bare(first.id)}/cancel")

        *_, last = stream

        assert stopped["status"] == "cancelled"
        assert last.choices[0].finish_reason == "stop"

    def test_one_question_at_a_time_and_no_retry_would_help(self, visitor: Client) -> None:
        conversation = visitor.conversation()
        reply = visitor.ask(conversation, "!silent after=1")

        with speaking(visitor) as client, pytest.raises(openai.ConflictError) as refused:
            complete(client, user(_HI), metadata={"conversation_id": conversation})

        assert refused.value.code == "reply_in_progress"
        assert refused.value.response.request.headers["x-stainless-retry-count"] == "0"
        visitor.data("POST", f"/replies/{reply}/cancel")

    @pytest.mark.parametrize(
        ("options", "param"),
        [
            ({"n": 2}, "n"),
            ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
            ({"tool_choice": "required"}, "tool_choice"),
            ({"response_format": {"type": "json_object"}}, "response_format"),
            ({"modalities": ["text", "audio"]}, "modalities"),
            ({"stop": ["."]}, "stop"),
            ({"logprobs": True}, "logprobs"),
            ({"extra_body": {"temprature": 1}}, "temprature"),
            ({"extra_body": {"stream": "yes"}}, "stream"),
            ({"messages": []}, "messages"),
            ({"messages": [assistant("I was first.")]}, "messages"),
            ({"messages": [user(_HI), assistant("And"), user("")]}, "messages[2].content"),
            ({"messages": [system("Be."), user("x" * 5001)]}, "messages[1].content"),
            ({"messages": [user([{"type": "image_url", "image_url": {"url": "x"}}])]}, "messages[0].content[0].type"),
            ({"messages": [{"role": "tool", "content": "4", "tool_call_id": "c"}]}, "messages[0].role"),
            ({"messages": [system("x" * 100_001), user(_HI)]}, "instructions"),
        ],
    )
    def test_what_would_mean_something_else_is_refused_by_name(
        self, client: openai.OpenAI, visitor: Client, options: dict[str, Any], param: str
    ) -> None:
        body: dict[str, Any] = {"model": "general", "messages": [user(_HI)]} | options

        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(**body)

        assert (refused.value.param, refused.value.type) == (param, "invalid_request_error")
        assert conversations(visitor) == []

    def test_without_a_token_nobody_is_answered(self, parley: ParleyProcess) -> None:
        with (
            openai.OpenAI(base_url=f"{parley.url}/v1", api_key="sk-wrong", max_retries=0) as client,
            pytest.raises(openai.AuthenticationError) as refused,
        ):
            complete(client, user(_HI))

        assert (refused.value.type, refused.value.code) == ("authentication_error", "token_invalid")

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/v1/", 404),
            ("GET", "/v1/nothing", 404),
            ("GET", "/v1/chat/completions", 405),
            ("POST", "/v1/models", 405),
            ("DELETE", "/v1/responses/resp_1", 405),
            ("GET", "/v1/models", 401),
        ],
    )
    def test_errors_have_openais_shape_at_every_path(
        self, parley: ParleyProcess, method: str, path: str, status: int
    ) -> None:
        refused = httpx.request(method, f"{parley.url}{path}")

        assert refused.status_code == status
        assert set(refused.json()["error"]) == {"message", "type", "param", "code"}

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b'"x"',
            b"{}",
            b'{"model": 1}',
            b'{"model": "general"}',
            b"[" * 5000,
            b'{"model": "\\ud800", "messages": [{"role": "user", "content": "x"}]}',
            b'{"model": "general", "messages": [{"role": "user", "content": "\\ud800"}]}',
            b'{"model": "general", "messages": [{"role": "user", "content": "\\u0000"}]}',
            b'{"model": "general", "messages": [{"role": "user"}]}',
            b'{"model": "general", "messages": {"0": 1}}',
            b'{"model": "general", "messages": [null]}',
            b'{"model": "general", "messages": [[]], "stream": true}',
            b'{"model": "general", "messages": [{"role": ["user"], "content": "x"}]}',
            b'{"model": "general", "messages": [{"role": "user", "content": [{"type": ["text"]}]}]}',
            b'{"model": "general", "messages": [{"role": "user", "content": "x"}], "metadata": {"a": 1}}',
            b'{"model": "general", "messages": [{"role": "user", "content": "x"}], "metadata": {"a": "\\ud800"}}',
            b'{"model": "general", "messages": [{"role": "user", "content": "x"}], "metadata": {"conversation_id": 1}}',
            b'{"model": "general", "messages": [{"role": "user", "content": "x"}], "\\ud800": 1}',
            b'{"model": "general", "messages": [{"role": "user", "content": "x"}], "n": 1e999}',
            b'{"model": "general", "messages": [{"role": "user", "content": "x"}], "stream_options": []}',
        ],
    )
    def test_odd_bodies_are_refused(self, visitor: Client, body: bytes) -> None:
        url = str(visitor.http.base_url).replace("/api/v1/", "/v1/chat/completions")
        headers = {"Authorization": f"Bearer {visitor.token}", "Content-Type": "application/json"}

        refused = httpx.post(url, content=body, headers=headers)

        assert refused.status_code in (400, 404), refused.text
        assert refused.json()["error"]["message"]

    def test_who_asks_too_often_is_told_when_to_come_back(self, model: ModelServer, tmp_path: Path) -> None:
        settings = with_model(model, PARLEY_RATE_ASK_VISITOR="1/hour")
        with running(tmp_path, **settings) as parley, speaking(parley.visitor(), max_retries=0) as client:
            complete(client, user(_HI))

            with pytest.raises(openai.RateLimitError) as refused:
                complete(client, user(_HI))

        assert (refused.value.type, refused.value.code) == ("rate_limit_error", "rate_limited")
        assert int(refused.value.response.headers["Retry-After"]) > 0
