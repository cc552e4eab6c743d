"""What every embedder must do, and what it does when its server misbehaves."""

from __future__ import annotations

import math
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

from adapters.openai.embeddings import OpenAIEmbedder
from application.ports.knowledge import Embedder, EmbeddingError
from tests.fakes.embedder import FakeEmbedder
from tests.model_server import ModelServer


class EmbedderContract:
    @pytest.fixture
    def embedder(self) -> Embedder:
        raise NotImplementedError

    def test_each_text_gets_its_vector_in_order(self, embedder: Embedder) -> None:
        tides, storms, both = embedder.embed(["tides and moons", "storms and waves", "tides and moons and storms"])

        assert len(tides) == len(storms) == len(both)
        assert _cosine(both, tides) > _cosine(both, storms) > _cosine(tides, storms)

    def test_the_same_text_gets_the_same_vector(self, embedder: Embedder) -> None:
        once, again = embedder.embed(["Ebb und Flut, 潮汐"]), embedder.embed(["Ebb und Flut, 潮汐"])

        assert list(once[0]) == pytest.approx(list(again[0]))

    def test_no_texts_get_no_vectors(self, embedder: Embedder) -> None:
        assert list(embedder.embed([])) == []

    def test_many_texts_and_long_ones_are_embedded(self, embedder: Embedder) -> None:
        texts = [f"text number {number}" for number in range(150)] + ["long " * 50_000]

        vectors = embedder.embed(texts)

        assert len(vectors) == len(texts)
        assert _cosine(vectors[140], embedder.embed([texts[140]])[0]) == pytest.approx(1.0, abs=1e-4)

    def test_it_names_the_space_of_its_vectors(self, embedder: Embedder) -> None:
        assert 1 <= len(embedder.space) <= 200

    def test_it_says_what_embeds(self, embedder: Embedder) -> None:
        assert embedder.space in embedder.ping()


class TestOpenAI(EmbedderContract):
    @pytest.fixture
    def embedder(self, model: ModelServer) -> Iterator[Embedder]:
        with closing(_embedder(model)) as embedder:
            yield embedder

    def test_texts_are_sent_in_batches_and_cut(self, model: ModelServer) -> None:
        with closing(_embedder(model, "embed-batches")) as embedder:
            embedder.embed(["x" * 10_000] * 70)

        sent = [request["input"] for request in model.embeddings if request["model"] == "embed-batches"]
        assert sum(len(batch) for batch in sent) == 70
        assert all(len(batch) <= 64 and sum(map(len, batch)) <= 100_000 for batch in sent)
        assert {len(text) for batch in sent for text in batch} == {8_000}

    def test_a_dimension_is_asked_for_and_belongs_to_the_space(self, model: ModelServer) -> None:
        with closing(_embedder(model, dimensions=32)) as embedder:
            (vector,) = embedder.embed(["tides"])

        assert (len(vector), embedder.space) == (32, "test-embedding@32")

    def test_vectors_are_taken_in_the_order_that_they_say(self, model: ModelServer) -> None:
        texts = ["one", "two", "three"]
        with closing(_embedder(model, "embed-unordered")) as unordered, closing(_embedder(model)) as ordered:
            assert _lists(unordered.embed(texts)) == _lists(ordered.embed(texts))

    def test_a_server_that_knows_no_base64_is_asked_for_numbers(self, model: ModelServer) -> None:
        with closing(_embedder(model, "embed-floats")) as plain, closing(_embedder(model)) as packed:
            first = _lists(plain.embed(["tides"]))
            again = _lists(plain.embed(["tides"]))
            assert first == again == _lists(packed.embed(["tides"]))

        formats = [request["encoding_format"] for request in model.embeddings if request["model"] == "embed-floats"]
        assert formats == ["base64", "float", "float"]

    def test_a_server_that_is_busy_for_a_moment_is_asked_again(self, model: ModelServer) -> None:
        with closing(_embedder(model, "embed-429-twice", retries=2)) as embedder:
            assert len(embedder.embed(["busy for a moment"])) == 1

    @pytest.mark.parametrize(
        ("misdeed", "slug", "is_passing"),
        [
            ("wrong-dimension", "embeddings_unusable", False),
            ("too-few", "embeddings_unusable", False),
            ("not-a-number", "embeddings_unusable", False),
            ("nan", "embeddings_unusable", False),
            ("zeros", "embeddings_unusable", False),
            ("garbage", "embeddings_unusable", False),
            ("401", "embeddings_refused", True),
            ("500", "embeddings_failed", True),
            ("429-twice", "embeddings_overloaded", True),
            ("mute", "embeddings_unreachable", True),
        ],
    )
    def test_what_a_server_does_wrong_is_told(
        self, model: ModelServer, misdeed: str, slug: str, is_passing: bool
    ) -> None:
        texts = [f"{misdeed} {number}" for number in range(3)]
        with (
            closing(_embedder(model, f"embed-{misdeed}", timeout=0.5)) as embedder,
            pytest.raises(EmbeddingError) as told,
        ):
            embedder.embed(texts)

        assert (told.value.slug, told.value.is_passing) == (slug, is_passing)
        assert "embedding server" in told.value.message

    def test_another_dimension_than_asked_for_is_refused(self, model: ModelServer) -> None:
        with (
            closing(_embedder(model, "embed-wrong-dimension", dimensions=64)) as embedder,
            pytest.raises(EmbeddingError, match="asked for 64"),
        ):
            embedder.embed(["a", "b"])

    def test_a_server_that_is_not_there_is_unreachable(self) -> None:
        with socket.socket() as reserved:
            reserved.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{reserved.getsockname()[1]}/v1"
            with (
                closing(OpenAIEmbedder(api_key="k", base_url=url, model="m", retries=0, timeout=2.0)) as embedder,
                pytest.raises(EmbeddingError) as told,
            ):
                embedder.embed(["hello"])

        assert (told.value.slug, told.value.is_passing) == ("embeddings_unreachable", True)


def _embedder(
    model: ModelServer,
    name: str = "test-embedding",
    *,
    dimensions: int | None = None,
    retries: int = 0,
    timeout: float = 20.0,
) -> OpenAIEmbedder:
    return OpenAIEmbedder(
        api_key="test-key", base_url=model.url, model=name, dimensions=dimensions, retries=retries, timeout=timeout
    )


def _lists(vectors: Sequence[Sequence[float]]) -> list[list[float]]:
    return [list(vector) for vector in vectors]


def _cosine(first: Sequence[float], second: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(first, second, strict=True)) / math.hypot(*first) / math.hypot(*second)


class TestFake(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return FakeEmbedder(dimension=256)
