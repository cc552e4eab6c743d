"""Where job analyses are kept, and what can be asked about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from application.ports.persistence import Document
from application.ports.queries import Page
from domain.identity import Principal
from domain.job_analyses import JobAnalysis


class JobAnalyses(Protocol):
    """The job analyses; every look-up locks what it finds until the transaction ends. Lock them before their jobs."""

    def add(self, analysis: JobAnalysis, content: bytes | None = None) -> None:
        """Keep it, with its file as long as that was not read."""
        ...

    def get(self, analysis_id: UUID, *, for_: Principal, deleted: bool | None = False) -> JobAnalysis:
        """The analysis, deleted or not as asked (None: either). Raises NotFound or Forbidden."""
        ...

    def count(self, owner: str) -> int:
        """How many undeleted ones `owner` has; keeps others from asking for more until the transaction ends."""
        ...

    def hand_over(self, owner: str, to: str) -> Sequence[UUID]:
        """Give all of an owner's, the deleted included, to another one, however many that has; which they are."""
        ...

    def content(self, analysis_id: UUID) -> bytes:
        """The file itself. Raises NotFound."""
        ...

    def forget_content(self, analysis_id: UUID) -> None:
        """Keep the file no longer, if there is one."""
        ...


class JobAnalysisReader(Protocol):
    """The queries about job analyses: the asker's own, nothing deleted."""

    def job_analyses(self, principal: Principal, page: Page) -> Document:
        """Without their texts and results. Sorted by created_at, title or score; no score is less than any."""
        ...

    def job_analysis(self, analysis_id: UUID, principal: Principal) -> Document:
        """With its text and its result. Raises NotFound or Forbidden."""
        ...
