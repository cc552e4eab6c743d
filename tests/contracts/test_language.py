"""What every language model, and every search for passages, must do."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import ClassVar

import pytest

from adapters.offline.documentation import Documentation
from adapters.offline.responder import OfflineResponder
from adapters.openai.model import OpenAIModel
from application.ports.language import Knowledge, LanguageModel, ModelError, ModelStream, Passage, Prompt, Turn
from domain.agents import BUILT_IN
from tests.fakes.model import ScriptedModel
from tests.model_server import MODEL, ModelServer
from tests.waiting import eventually

_PASSAGE = Passage(document="tides.md", title="Tides", heading="Twice a day", text="The moon pulls.", score=1.0)


def prompt(question: str = "Why are there tides?", passages: tuple[Passage, ...] = (_PASSAGE,)) -> Prompt:
    return Prompt(agent=BUILT_IN.default, turns=[Turn(role="user", content=question)], passages=passages)


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
        assert "[1] Tides › Twice a day\nThe moon pulls." in messages[1]["content"]

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

    def test_a_model_that_is_not_listed_is_noted(self, model: ModelServer) -> None:
        with closing(OpenAIModel(api_key="key", base_url=model.url, model="another", retries=0)) as other:
            assert "does not list another" in other.ping()


def _read_in_background(stream: ModelStream) -> Callable[[], bool]:
    reader = threading.Thread(target=lambda: list(stream), daemon=True)
    reader.start()
    return lambda: not reader.is_alive()


class KnowledgeContract:
    """The documents below say what a search must find."""

    documents: ClassVar = {
        "sea.md": "# The sea\n\nSalt water.\n\n## Tides twice a day\n\nThe moon pulls the ocean.\n\n"
        "## Storms\n\nWind raises waves.\n\n```\n# not a heading\n```\n",
        "land.md": "# The land\n\n## Mountains\n\nRock, raised by plates. " + "A long paragraph.\n\n" * 80,
    }

    @pytest.fixture
    def knowledge(self) -> Knowledge:
        raise NotImplementedError

    @pytest.mark.parametrize(
        ("question", "heading"),
        [
            ("Why are there tides?", "Tides twice a day"),
            ("what does the moon do", "Tides twice a day"),
            ("WAVES!", "Storms"),
            ("Tell me of mountains", "Mountains"),
        ],
    )
    def test_the_passage_that_bears_on_a_question_comes_first(
        self, knowledge: Knowledge, question: str, heading: str
    ) -> None:
        found = knowledge.search(question, limit=3)

        assert found[0].heading == heading

    @pytest.mark.parametrize("question", ["", "???", "the of and", "Write a poem about jazz", '"; DROP TABLE', "NOT *"])
    def test_nothing_is_found_where_nothing_bears_on_it(self, knowledge: Knowledge, question: str) -> None:
        assert list(knowledge.search(question, limit=3)) == []

    def test_no_more_is_found_than_asked_for_best_first(self, knowledge: Knowledge) -> None:
        found = knowledge.search("paragraph", limit=2)

        assert len(found) == 2
        assert found[0].score >= found[1].score

    def test_passages_are_short(self, knowledge: Knowledge) -> None:
        assert all(len(passage.text) <= 1000 for passage in knowledge.search("paragraph", limit=50))


class TestDocumentation(KnowledgeContract):
    @pytest.fixture
    def knowledge(self, tmp_path: Path) -> Iterator[Knowledge]:
        for name, text in self.documents.items():
            (tmp_path / name).write_text(text)
        documentation = Documentation(tmp_path, tmp_path / "missing.md")
        yield documentation
        documentation.close()
