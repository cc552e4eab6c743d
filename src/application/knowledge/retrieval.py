"""Find the passages that bear on a question: by their words, by their meaning, or by both at once."""

from __future__ import annotations

import base64
import logging
import threading
import time
import unicodedata
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any
from uuid import UUID

from application.caching import Caches, Region, key_of
from application.knowledge import ranking
from application.knowledge.ranking import Ranked, TermsOf
from application.ports.knowledge import Embedder, EmbeddingError, Found, KnowledgeReader, PassageIndex, Projects, Scope
from application.ports.language import Passage
from domain.agents import KnowledgeScope
from domain.errors import Conflict

log = logging.getLogger(__name__)

_CANDIDATES = 50
"""Passages that are looked at, of those with the terms that tell most, and of the nearest."""

_QUIET = 60.0
"""Seconds between two lines in the log that say so."""


class Mode(StrEnum):
    """What passages are found by."""

    HYBRID = "hybrid"
    TEXT = "text"
    VECTOR = "vector"


@dataclass(frozen=True, slots=True)
class Findings:
    """The passages that bear on a question, the best first, and what they were really found by."""

    passages: Sequence[Passage]
    mode: Mode
    is_lessened: bool = False
    """Whether the embedder was away, so that there may be better ones."""


@dataclass(slots=True)
class _State:
    """What changes: until when the embedder counts as away and why, and when that was last logged."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    away_until: float = 0.0
    failure: EmbeddingError | None = None
    logged_at: float | None = None


@dataclass(frozen=True)
class Retrieval:
    """Searches the passages of a scope; what was found is remembered until something else could be.

    Without an `embedder` passages are found by their words alone, and likewise while it is away or slow: it gives up
    by itself after some seconds, and is left alone for `pause` seconds then. A passage whose vector's similarity is
    below `floor` (0 to 1; what is right depends on the model) does not bear on the question.
    """

    index: PassageIndex
    knowledge: KnowledgeReader
    embedder: Embedder | None
    caches: Caches
    terms_of: TermsOf
    floor: float = 0.3
    pause: float = 5.0
    _state: _State = field(default_factory=_State, repr=False)

    def scope_for(self, owner: str, knowledge: KnowledgeScope, project_id: UUID | None) -> Scope:
        """See `scope_for`."""
        return scope_for(self.knowledge, owner, knowledge, project_id)

    def search(self, question: str, scope: Scope, *, limit: int, mode: Mode = Mode.HYBRID) -> Sequence[Passage]:
        """The passages that bear on `question`, best first; none when nothing does. See `find`."""
        return self.find(question, scope, limit=limit, mode=mode).passages

    def find(self, question: str, scope: Scope, *, limit: int, mode: Mode = Mode.HYBRID) -> Findings:
        """The passages, and what they were found by: HYBRID falls back to TEXT, also where no vectors can be compared.

        VECTOR raises Conflict `embeddings_off` where there are no vectors, and EmbeddingError while none can be made.
        """
        question = unicodedata.normalize("NFC", " ".join(question.split()))
        embedder = self.embedder if mode is not Mode.TEXT and self.index.compares_vectors else None
        if embedder is None:
            if mode is Mode.VECTOR:
                raise Conflict("embeddings_off", "There are no embeddings to search by here. Search by text.")
            mode = Mode.TEXT
        if not question or not scope.projects:
            return Findings((), mode)
        try:
            passages, is_compared = self._remembered(question, scope, limit, mode, embedder)
        except EmbeddingError:
            if mode is Mode.VECTOR:
                raise
            return Findings(self._remembered(question, scope, limit, Mode.TEXT, None)[0], Mode.TEXT, True)
        return Findings(passages, Mode.TEXT if mode is Mode.HYBRID and not is_compared else mode)

    def ping(self) -> str:
        """One line on what there is to search, and how."""
        if self.embedder is None:
            return f"{self.index.ping()}; no embedding model is configured"
        failure = self._state.failure
        note = f", which is away: {failure.message}" if failure is not None else ""
        return f"{self.index.ping()}; embedded by {self.embedder.space}{note}"

    @cached_property
    def _stop_terms(self) -> frozenset[str]:
        return ranking.stop_terms(self.terms_of)

    def _remembered(
        self, question: str, scope: Scope, limit: int, mode: Mode, embedder: Embedder | None
    ) -> tuple[Sequence[Passage], bool]:
        """The passages, and whether there was a vector to compare with the question's."""
        space = embedder.space if embedder is not None else None
        found = self.caches.remembered(
            Region.RETRIEVAL,
            f"{mode}:{key_of(scope.key, space, self.floor, limit, question)}",
            lambda: self._found(question, scope, limit, mode, embedder),
        )
        return [_passage(one) for one in found["passages"]], found["is_compared"]

    def _found(self, question: str, scope: Scope, limit: int, mode: Mode, embedder: Embedder | None) -> dict[str, Any]:
        """As it is cached."""
        terms = self.terms_of(question)
        telling = ranking.telling(terms, self._stop_terms)
        lists = []
        # The nearest first: while the embedder is away, everything else would be in vain.
        nearest = self._nearest(question, scope, embedder) if embedder is not None else ()
        asked = ranking.asked_for(terms, telling, *self.index.frequencies(telling, scope))
        if mode is not Mode.VECTOR:
            matching = self.index.matching(asked.weights, asked.in_heading, scope, limit=_CANDIDATES)
            lists.append(ranking.by_words(asked, matching, self.terms_of))
        if mode is not Mode.TEXT:
            lists.append(ranking.by_meaning(asked, nearest, self.terms_of, self.floor))
        ranked = lists[0] if len(lists) == 1 else ranking.fused(*lists)
        best = ranking.without_repeats(ranked, self.terms_of, limit=limit)
        return {"passages": [_kept(one) for one in best], "is_compared": bool(nearest)}

    def _nearest(self, question: str, scope: Scope, embedder: Embedder) -> Sequence[Found]:
        vector = self._vector_of(question, embedder)
        return self.index.nearest(vector, embedder.space, scope, limit=_CANDIDATES)

    def _vector_of(self, question: str, embedder: Embedder) -> Sequence[float]:
        """The question's vector. Raises EmbeddingError, at once while the embedder is away."""
        state = self._state
        if state.failure is not None and time.monotonic() < state.away_until:
            raise state.failure
        try:
            kept = self.caches.remembered(
                Region.EMBEDDINGS,
                f"{embedder.space}:{key_of(question)}",
                lambda: _packed(embedder.embed([question])[0]),
            )
        except EmbeddingError as failure:
            self._note(failure)
            raise
        state.failure = None
        return array("f", base64.b64decode(kept))

    def _note(self, failure: EmbeddingError) -> None:
        now, state = time.monotonic(), self._state
        with state.lock:
            state.failure, state.away_until = failure, now + self.pause
            is_news = state.logged_at is None or now >= state.logged_at + _QUIET
            if is_news:
                state.logged_at = now
        if is_news:
            log.warning("questions cannot be embedded, passages are found by their words alone: %s", failure.message)


def scope_for(
    known: KnowledgeReader | Projects, owner: str, knowledge: KnowledgeScope, project_id: UUID | None
) -> Scope:
    """What an owner's question to an agent of such knowledge is answered from, in one project or all."""
    if knowledge.is_empty:
        return Scope({})
    return known.scope(owner, project_id=project_id, keys=knowledge.projects)


def _packed(vector: Sequence[float]) -> str:
    return base64.b64encode(array("f", vector).tobytes()).decode()


def _kept(ranked: Ranked) -> dict[str, Any]:
    """As it is cached: see Passage."""
    found = ranked.found
    return {
        "document_id": found.document_id,
        "project_id": found.project_id,
        "document": found.document,
        "title": found.title or found.document,
        "heading": found.heading,
        "page": found.page,
        "text": found.text,
        "score": round(ranked.score, 6),
        "relevance": round(ranked.relevance, 4),
    }


def _passage(kept: dict[str, Any]) -> Passage:
    ids = {name: UUID(kept[name]) for name in ("document_id", "project_id")}
    return Passage(**{**kept, **ids})
