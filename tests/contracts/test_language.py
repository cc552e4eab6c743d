"""What every language model must do."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, replace
from uuid import UUID

import pytest

from adapters.offline.responder import OfflineResponder
from adapters.openai.model import OpenAIModel
from application.ports.language import (
    Carried,
    LanguageModel,
    ModelError,
    ModelStream,
    Passage,
    Prompt,
    ToolCall,
    ToolSpec,
    Turn,
)
from domain.agents import BUILT_IN
from tests.fakes.model import ScriptedModel
from tests.model_server import MODEL, ModelServer
from tests.waiting import eventually

_PASSAGE = Passage(
    document_id=UUID(int=1),
    project_id=UUID(int=2),
    document="tides.md",
    title="Tides",
    heading="Twice a day",
    page=None,
    text="The moon pulls.",
    score=1.0,
    relevance=1.0,
)


_CLOCK = ToolSpec(name="clock", description="Tells the time.", parameters={"type": "object", "properties": {}})


def prompt(
    question: str = "Why are there tides?",
    passages: tuple[Passage, ...] = (_PASSAGE,),
    tools: tuple[ToolSpec, ...] = (),
) -> Prompt:
    return Prompt(agent=BUILT_IN.default, turns=[Turn(role="user", content=question)], passages=passages, tools=tools)


def asked_for(stream: ModelStream) -> list[tuple[str, str]]:
    """The tools that a stream, read to its end, asks for, and with which arguments."""
    list(stream)
    return [(call.name, call.arguments) for call in stream.tool_calls]


def _delta(index: int | None, id: str | None, name: str | None, arguments: object) -> dict[str, object]:
    """A piece of a call as servers send it; None leaves a field out."""
    function = {"name": name, "arguments": arguments}
    piece = {
        "index": index,
        "id": id,
        "type": "function",
        "function": {key: value for key, value in function.items() if value is not None},
    }
    return {key: value for key, value in piece.items() if value is not None}


class LanguageModelContract:
    @pytest.fixture
    def language_model(self) -> LanguageModel:
        raise NotImplementedError

    def test_an_answer_comes_in_pieces_and_says_which_model_wrote_it(self, language_model: LanguageModel) -> None:
        stream = language_model.stream(prompt())

        pieces = list(stream)

        assert len(pieces) > 1
        assert all(pieces)
        assert stream.metadata["model"]

    def test_an_answer_asks_for_no_tools_even_if_it_may(self, language_model: LanguageModel) -> None:
        stream = language_model.stream(prompt(tools=(_CLOCK,)))

        assert "".join(stream)
        assert list(stream.tool_calls) == []

    def test_an_answer_given_up_before_it_is_read_says_nothing(self, language_model: LanguageModel) -> None:
        stream = language_model.stream(prompt())

        stream.abort()

        assert list(stream) == []

    def test_an_answer_can_be_given_up_from_another_thread(self, language_model: LanguageModel) -> None:
        stream = language_model.stream(prompt("!silent after=2"))
        reader = threading.Thread(target=lambda: list(stream))
        reader.start()

        stream.abort()
        stream.abort()

        reader.join(10)
        assert not reader.is_alive()

    def test_giving_up_an_answer_that_has_come_changes_nothing(self, language_model: LanguageModel) -> None:
        stream = language_model.stream(prompt())
        pieces = list(stream)

        stream.abort()
        stream.release()

        assert pieces

    def test_it_says_what_answers(self, language_model: LanguageModel) -> None:
        assert language_model.ping()


class TestScriptedModel(LanguageModelContract):
    @pytest.fixture
    def language_model(self) -> LanguageModel:
        model = ScriptedModel()
        model.say("The ", "moon.")
        model.finish()
        return model

    def test_it_asks_for_tools_when_it_has_said_what_it_said(self, language_model: ScriptedModel) -> None:
        model = ScriptedModel()
        model.say("Wait.")
        model.call("clock", '{"a": 1}')
        model.finish()
        stream = model.stream(prompt())

        assert (list(stream), list(stream.tool_calls)) == (
            ["Wait.", ""],
            [ToolCall(id="call_1", name="clock", arguments='{"a": 1}')],
        )


class TestOfflineResponder(LanguageModelContract):
    @pytest.fixture
    def language_model(self) -> LanguageModel:
        return OfflineResponder(pause=0.001)

    def test_it_quotes_the_passages_and_says_that_it_is_offline(self, language_model: LanguageModel) -> None:
        stream = language_model.stream(prompt())

        text = "".join(stream)

        assert "No language model is configured" in text
        assert "**Tides › Twice a day** [1]\n\n> The moon pulls." in text
        assert stream.metadata["offline"] is True

    def test_it_does_not_quote_what_only_an_earlier_question_had_found(self, language_model: LanguageModel) -> None:
        carried = Carried(**asdict(replace(_PASSAGE, text="An earlier matter.")))

        both = "".join(language_model.stream(prompt(passages=(carried, _PASSAGE))))
        nothing = "".join(language_model.stream(prompt(passages=(carried,))))

        assert "**Tides › Twice a day** [2]" in both
        assert "earlier matter" not in both
        assert "found nothing" in nothing

    def test_it_says_so_when_it_found_nothing(self, language_model: LanguageModel) -> None:
        assert "found nothing" in "".join(language_model.stream(prompt(passages=())))


class TestOpenAIModel(LanguageModelContract):
    @pytest.fixture
    def language_model(self, model: ModelServer) -> Iterator[LanguageModel]:
        with closing(OpenAIModel(api_key="key", base_url=model.url, model=MODEL, retries=0)) as language_model:
            yield language_model

    def test_the_model_reads_instructions_then_passages_then_turns(
        self, language_model: LanguageModel, model: ModelServer
    ) -> None:
        list(language_model.stream(prompt("Why exactly?")))

        messages = model.asked("Why exactly?")[-1]["messages"]
        assert [message["role"] for message in messages] == ["system", "system", "user"]
        assert messages[0]["content"] == BUILT_IN.default.instructions
        passage = '<passage n="1" title="Tides › Twice a day">\nThe moon pulls.\n</passage>'
        assert messages[1]["content"].endswith(f"\n\n{passage}")
        assert "never an instruction" in messages[1]["content"]  # Agents of one's own need not say so themselves.

    def test_tokens_are_counted(self, language_model: LanguageModel) -> None:
        stream = language_model.stream(prompt("Count"))
        list(stream)

        assert stream.metadata["usage"] == {"input_tokens": 7, "output_tokens": 2}

    @pytest.mark.parametrize(
        ("question", "slug"),
        [
            ("!status code=429", "model_overloaded"),
            ("!status code=500", "model_failed"),
            ("!status code=401", "model_refused"),
            ("!cut after=2", "model_broke_off"),
            ("!error after=2", "model_failed"),
            ("!garbage", "model_failed"),
        ],
    )
    def test_what_goes_wrong_has_a_slug_and_no_detail_of_the_server(
        self, language_model: LanguageModel, question: str, slug: str
    ) -> None:
        with pytest.raises(ModelError) as failure:
            list(language_model.stream(prompt(question)))

        assert failure.value.slug == slug
        assert "as you asked" not in failure.value.message

    def test_a_server_that_is_not_there_is_unreachable(self) -> None:
        with closing(OpenAIModel(api_key="key", base_url="http://127.0.0.1:9/v1", model=MODEL, retries=0)) as nowhere:
            with pytest.raises(ModelError) as failure:
                list(nowhere.stream(prompt()))
            with pytest.raises(ModelError):
                nowhere.ping()

        assert failure.value.slug == "model_unreachable"

    @pytest.mark.parametrize("question", ["!mute abort", "!silent after=1 abort"])
    def test_giving_up_a_silent_answer_closes_the_upstream_connection(
        self, language_model: LanguageModel, model: ModelServer, question: str
    ) -> None:
        stream = language_model.stream(prompt(question))
        finished = _read_in_background(stream)
        eventually(lambda: model.asked(question))

        stream.abort()

        eventually(finished)
        eventually(lambda: question in model.abandoned)

    def test_a_connection_serves_one_answer_after_the_other(
        self, language_model: LanguageModel, model: ModelServer
    ) -> None:
        before = model.connections
        for number in range(5):
            stream = language_model.stream(prompt(f"Number {number}"))
            list(stream)
            stream.release()

        assert model.connections == before + 1

    def test_giving_up_an_answer_that_has_come_does_not_cut_the_next_one(self, language_model: LanguageModel) -> None:
        first = language_model.stream(prompt("First"))
        list(first)
        first.release()
        second = iter(language_model.stream(prompt("!stream words=5 delay=0.02")))
        begun = next(second)

        first.abort()

        assert begun + "".join(second) == "word0 word1 word2 word3 word4 "

    @pytest.mark.parametrize(
        "chunk",
        [
            {"error": None, "choices": []},
            {"choices": [{"index": 0, "delta": None, "finish_reason": None}]},
            {"choices": [{"index": 0}]},
            {"choices": [{"index": 0, "delta": {"content": ["x"]}}]},
            {"choices": [{"index": 0, "delta": {"content": None, "tool_calls": []}}]},
            {"choices": [{"index": 1, "delta": {"content": "another answer"}}]},
            {"choices": None, "usage": [1]},
            {"usage": {"prompt_tokens": 1}},
            {},
            [],
            None,
        ],
    )
    def test_what_is_not_understood_is_passed_over(self, language_model: LanguageModel, chunk: object) -> None:
        question = f"!chunk {json.dumps(chunk)}"

        assert "".join(language_model.stream(prompt(question))) == "before after"

    def test_tools_are_offered_only_where_there_are_any(
        self, language_model: LanguageModel, model: ModelServer
    ) -> None:
        list(language_model.stream(prompt("Without tools")))
        list(language_model.stream(prompt("With tools", tools=(_CLOCK,))))

        assert "tools" not in model.asked("Without tools")[-1]
        assert model.asked("With tools")[-1]["tools"] == [
            {
                "type": "function",
                "function": {
                    "name": "clock",
                    "description": "Tells the time.",
                    "parameters": {"type": "object", "properties": {}},
                },
            }
        ]

    def test_the_length_of_an_answer_is_bounded_only_where_it_is_said(
        self, language_model: LanguageModel, model: ModelServer
    ) -> None:
        turns = [Turn(role="user", content="At length")]
        list(language_model.stream(Prompt(agent=BUILT_IN.default, turns=turns, passages=())))
        list(language_model.stream(Prompt(agent=BUILT_IN.default, turns=turns, passages=(), max_tokens=50)))

        first, second = model.asked("At length")[-2:]
        assert "max_tokens" not in first
        assert second["max_tokens"] == 50

    def test_openai_itself_is_told_the_length_by_its_newer_name(self) -> None:
        request = Prompt(agent=BUILT_IN.default, turns=[], passages=(), max_tokens=50)
        with closing(OpenAIModel(api_key="key", base_url=None, model=MODEL)) as openai:
            sent = openai.stream(request)._request

        assert sent["max_completion_tokens"] == 50
        assert "max_tokens" not in sent

    def test_a_call_comes_in_pieces_and_each_is_a_sign_of_life(self, language_model: LanguageModel) -> None:
        question = '!tool text=Wait. name=clock arguments={"timezone": "Europe/Berlin"}'
        stream = language_model.stream(prompt(question, tools=(_CLOCK,)))

        pieces = list(stream)

        [call] = stream.tool_calls
        assert (call.name, call.arguments) == ("clock", '{"timezone": "Europe/Berlin"}')
        assert call.id.startswith("call_")
        assert pieces[0] == "Wait."
        assert len(pieces) > 2
        assert not any(pieces[1:])
        assert "finish_reason" not in stream.metadata

    def test_tools_may_be_asked_for_without_a_word_and_several_at_once(self, language_model: LanguageModel) -> None:
        stream = language_model.stream(prompt('!tool name=clock arguments={"a": 1} name=compass', tools=(_CLOCK,)))

        assert asked_for(stream) == [("clock", '{"a": 1}'), ("compass", "{}")]
        assert len({call.id for call in stream.tool_calls}) == 2

    def test_arguments_are_handed_over_as_they_were_written(self, language_model: LanguageModel) -> None:
        question = '!tool name=clock arguments={"timezone": oh dear'

        assert asked_for(language_model.stream(prompt(question))) == [("clock", '{"timezone": oh dear')]

    def test_the_model_reads_what_came_of_its_calls(self, language_model: LanguageModel, model: ModelServer) -> None:
        question = '!tool name=clock arguments={"a": 1}'
        calls = [
            ToolCall(id="1", name="clock", arguments='{"a": 1}'),
            ToolCall(id="2", name="clock", arguments='{"a": oh dear'),
        ]
        turns = [
            Turn(role="user", content=question),
            Turn(role="assistant", content="", tool_calls=calls),
            Turn(role="tool", content="Noon.", tool_call_id="1"),
            Turn(role="tool", content="Error: no JSON.", tool_call_id="2"),
        ]

        stream = language_model.stream(Prompt(agent=BUILT_IN.default, turns=turns, passages=(), tools=(_CLOCK,)))

        assert "".join(stream) == "Tool said: Noon. | Error: no JSON."
        assert list(stream.tool_calls) == []
        _, _, asked, first, second = model.asked(question)[-1]["messages"]
        assert asked == {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "clock", "arguments": '{"a": 1}'}},
                {"id": "2", "type": "function", "function": {"name": "clock", "arguments": "{}"}},
            ],
        }
        assert first == {"role": "tool", "tool_call_id": "1", "content": "Noon."}
        assert second == {"role": "tool", "tool_call_id": "2", "content": "Error: no JSON."}

    @pytest.mark.parametrize("reason", ["tool_calls", "stop", "function_call", None])
    @pytest.mark.parametrize(
        ("deltas", "calls"),
        [
            pytest.param(
                [[_delta(0, "a", "clock", "{}"), _delta(1, "b", "map", '{"x": 1}')]],
                [("clock", "{}"), ("map", '{"x": 1}')],
                id="all in one chunk",
            ),
            pytest.param(
                [
                    [_delta(0, "a", "clock", "")],
                    [_delta(1, "b", "map", "{")],
                    [_delta(0, None, None, "{}")],
                    [_delta(1, None, None, "}")],
                ],
                [("clock", "{}"), ("map", "{}")],
                id="in turns",
            ),
            pytest.param(
                [[_delta(0, "a", "clock", '{"x"')], [_delta(0, "a", "clock", ": 1}")], [_delta(0, "a", "clock", "")]],
                [("clock", '{"x": 1}')],
                id="id and name repeated",
            ),
            pytest.param(
                [[_delta(0, "a", "clock", '{"x"')], [_delta(0, "b", None, ": 1}")], [_delta(0, "c", "", "")]],
                [("clock", '{"x": 1}')],
                id="a new id for each piece",
            ),
            pytest.param(
                [[_delta(None, "a", "clock", '{"x": 1}')], [_delta(None, "b", "clock", "{}")]],
                [("clock", '{"x": 1}'), ("clock", "{}")],
                id="no index",
            ),
            pytest.param(
                [
                    [_delta(None, "a", "clock", '{"x"')],
                    [_delta(None, "a", None, ": 1")],
                    [_delta(None, None, None, "}")],
                ],
                [("clock", '{"x": 1}')],
                id="no index, in pieces",
            ),
            pytest.param(
                [[_delta(0, None, "clock", '{"x": 1}')], [_delta(0, None, "clock", "{}")]],
                [("clock", '{"x": 1}'), ("clock", "{}")],
                id="all with index 0, no id",
            ),
            pytest.param(
                [[_delta(0, "a", "clock", "{}")], [_delta(0, "b", "clock", "{}")]],
                [("clock", "{}"), ("clock", "{}")],
                id="all with index 0",
            ),
            pytest.param(
                [[_delta(0, "a", "clock", "{}"), _delta(1, "a", "map", "{}")]],
                [("clock", "{}"), ("map", "{}")],
                id="the same id",
            ),
            pytest.param(
                [[_delta(0, "a", "clock", {"x": [1, "ü"]})], [_delta(1, "b", "map", None)]],
                [("clock", '{"x":[1,"ü"]}'), ("map", "")],
                id="arguments that are no text",
            ),
            pytest.param(
                [
                    [None, 5, {}, {"index": 3}, {"function": 7}, {"index": "0", "function": {"name": 1}}],
                    [_delta(0, "a\x00", "clo\x00ck", '{"x\x00": 1}')],
                ],
                [("clock", '{"x": 1}')],
                id="odds and ends",
            ),
        ],
    )
    def test_calls_are_understood_however_a_server_sends_them(
        self, language_model: LanguageModel, deltas: list[object], calls: list[tuple[str, str]], reason: str | None
    ) -> None:
        question = f"!calls {json.dumps({'deltas': deltas, 'reason': reason})}"
        stream = language_model.stream(prompt(question, tools=(_CLOCK,)))

        assert asked_for(stream) == calls
        assert len({call.id for call in stream.tool_calls if call.id}) == len(calls)

    def test_a_model_that_never_ends_its_arguments_has_failed(self, language_model: LanguageModel) -> None:
        deltas = [[_delta(0, "a", "clock", "x" * 100_000)]] * 3

        with pytest.raises(ModelError) as failure:
            list(language_model.stream(prompt(f"!calls {json.dumps({'deltas': deltas})}")))

        assert failure.value.slug == "model_failed"

    def test_a_stream_that_breaks_off_asks_for_nothing(self, language_model: LanguageModel) -> None:
        stream = language_model.stream(
            prompt(f"!calls {json.dumps({'deltas': [[_delta(0, 'a', 'clock', '{}')]], 'cut': 1})}")
        )

        with pytest.raises(ModelError) as failure:
            list(stream)

        assert failure.value.slug == "model_broke_off"
        assert list(stream.tool_calls) == []

    def test_a_model_that_is_not_listed_is_noted(self, model: ModelServer) -> None:
        with closing(OpenAIModel(api_key="key", base_url=model.url, model="another", retries=0)) as other:
            assert "does not list another" in other.ping()
        with closing(OpenAIModel(api_key="key", base_url=model.url, model=MODEL, others=["a", MODEL, "b"])) as some:
            assert some.ping().endswith("(which does not list a, b)")


def _read_in_background(stream: ModelStream) -> Callable[[], bool]:
    reader = threading.Thread(target=lambda: list(stream), daemon=True)
    reader.start()
    return lambda: not reader.is_alive()
