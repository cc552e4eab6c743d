"""What one reply rests on: the passages that were found for it, numbered as the answer cites them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from application.knowledge.retrieval import Findings, Retrieval
from application.ports.knowledge import Scope
from application.ports.language import Carried, Passage
from application.ports.persistence import Document
from application.ports.tools import ToolContext
from application.replies.citing import cited
from application.replies.following_up import in_context
from application.replies.prompting import fenced, tokens_in

_MOST = 99
"""Passages of one reply: what is cited has two digits at most."""

_UNCITED = 0.5
"""How much of its confidence an answer keeps that was given passages and cites none."""


@dataclass(slots=True)
class Grounding:
    """Finds passages in a scope, for the prompt and for the model's own searches, and remembers their numbers.

    Nothing that a model writes widens the `scope`: it is the asker's. No more than `tokens` worth of passages is
    handed out at a time, the best first.
    """

    retrieval: Retrieval
    scope: Scope
    tokens: int
    passages: list[Passage] = field(default_factory=list)
    is_lessened: bool = False
    """Whether a search did without vectors that there are."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def gather(self, question: str, *, limit: int, earlier: Sequence[str] = ()) -> Sequence[Passage]:
        """What the prompt holds of the documents; those found are numbered from 1.

        The `earlier` questions of the conversation, the latest first, tell what a follow-up is about.
        """
        if not limit or not self.scope.projects:
            return ()
        return [
            passage
            for _, passage in self._numbered(in_context(self.retrieval, question, earlier, self.scope, limit=limit))
        ]

    def search(self, context: ToolContext, arguments: Mapping[str, object]) -> object:
        """The tool `search_knowledge`, see application.tools."""
        limit = arguments.get("limit", 4)
        limit = limit if isinstance(limit, int) else 4
        found = self._numbered(self.retrieval.find(str(arguments["query"]), self.scope, limit=limit))
        if not found:
            return "Nothing in the documents bears on this."
        return fenced(found)

    def sources(self, text: str) -> list[Document]:
        """The passages that `text` cites as [1], [2], …, with their numbers."""
        return [source_document(number, self.passages[number - 1]) for number in cited(text, len(self.passages))]

    def confidence(self, text: str) -> float:
        """How well the passages bear on what was asked, 0 to 1: as well as the best that `text` cites.

        Half of that of the best one found for this very question when none is cited, 0 when none was found. It says
        nothing of whether the model has understood them.
        """
        if numbers := cited(text, len(self.passages)):
            return round(max(self.passages[number - 1].relevance for number in numbers), 2)
        fresh = (passage.relevance for passage in self.passages if not isinstance(passage, Carried))
        return round(_UNCITED * max(fresh, default=0.0), 2)

    def _numbered(self, findings: Findings) -> list[tuple[int, Passage]]:
        self.is_lessened = self.is_lessened or findings.is_lessened
        found = within(findings.passages, self.tokens)
        numbered = []
        with self._lock:  # A model may search for several things at once.
            known = {(passage.document_id, passage.text): number for number, passage in enumerate(self.passages, 1)}
            for passage in found:
                number = known.get((passage.document_id, passage.text))
                if number is None and len(self.passages) < _MOST:
                    self.passages.append(passage)
                    number = len(self.passages)
                if number is not None:
                    numbered.append((number, passage))
        return numbered


def within(passages: Sequence[Passage], tokens: int) -> list[Passage]:
    """The first ones that have `tokens` together; at least one, if there is any."""
    taken: list[Passage] = []
    for passage in passages:
        tokens -= tokens_in(f"{passage.title} › {passage.heading}\n{passage.text}")
        if tokens < 0 and taken:
            break
        taken.append(passage)
    return taken


def source_document(number: int, passage: Passage) -> Document:
    """A passage as messages keep it, and watchers see it."""
    return {
        "number": number,
        "title": passage.title,
        "heading": passage.heading,
        "document": passage.document,
        "document_id": str(passage.document_id),
        "project_id": str(passage.project_id),
        "page": passage.page,
        "excerpt": passage.text,
        "relevance": round(passage.relevance, 2),
    }
