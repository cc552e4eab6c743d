"""An embedder that can be taken away, and that may refuse."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from application.ports.knowledge import EmbeddingError
from tests.vectors import vector


class FakeEmbedder:
    """See application.ports.knowledge.Embedder. `failure` is raised while it is set; `embedded` are the texts so far.

    `before` is called before each batch, to do something in the meantime.
    """

    def __init__(self, space: str = "fake", dimension: int = 8) -> None:
        self.space = space
        self.dimension = dimension
        self.failure: EmbeddingError | None = None
        self.embedded: list[str] = []
        self.before: Callable[[], object] = lambda: None

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        self.before()
        if self.failure is not None:
            raise self.failure
        self.embedded += texts
        return [vector(text, self.dimension) for text in texts]

    def ping(self) -> str:
        self.embed(["ping"])
        return self.space


AWAY = EmbeddingError("embeddings_unreachable", "The embedding model does not answer.", is_passing=True)
REFUSED = EmbeddingError("embeddings_refused", "The embedding model refuses this.", is_passing=False)
