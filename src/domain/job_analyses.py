"""What a job asks for, and what of it the documents show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.deletions import Deletion
from domain.errors import Conflict, Invalid
from domain.events import Recorder
from domain.identity import Principal
from domain.limits import Limits

_NAMED = 3
"""How many missing skills a summary names."""


class Importance(StrEnum):
    """Whether a job cannot do without a skill; how much of the score it is."""

    REQUIRED = "required"
    PREFERRED = "preferred"

    @property
    def weight(self) -> int:
        """What is required counts double."""
        return 2 if self is Importance.REQUIRED else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiredSkill:
    """A skill that a job asks for. `kind` is the vocabulary's; `years` of experience as far as they are stated."""

    name: str
    kind: str
    importance: Importance
    years: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Where a skill stands: in a document, or, without one, in what a project says of itself."""

    project_id: UUID
    title: str
    excerpt: str
    heading: str = ""
    document_id: UUID | None = None
    document: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A skill and the evidence for it, none when it is missing."""

    skill: RequiredSkill
    evidence: Sequence[Evidence] = ()


@dataclass(frozen=True, slots=True)
class Findings:
    """What became of every skill that a job asks for."""

    all: Sequence[Finding]

    @property
    def score(self) -> int | None:
        """The weighted share of skills that there is evidence for, 0 to 100; None where no skill is asked for."""
        asked = sum(finding.skill.importance.weight for finding in self.all)
        shown = sum(finding.skill.importance.weight for finding in self.all if finding.evidence)
        return round(100 * shown / asked) if asked else None

    @property
    def summary(self) -> str:
        """The score's grounds in a line or two, for people."""
        if not self.all:
            return "No skill was found in the job description, so there is nothing to compare with the documents."
        shares = [
            f"{matched} of {found} {importance} skill{'s' if found != 1 else ''}"
            for importance, (found, matched) in self._shares().items()
            if found
        ]
        missing = [finding.skill.name for finding in self.by_weight() if not finding.evidence]
        return f"The documents show {' and '.join(shares)}.{_missing_line(missing)}"

    def result(self, method: str) -> dict[str, object]:
        """All of it as the API tells it; `method` is how the skills were found."""
        matched = sum(bool(finding.evidence) for finding in self.all)
        return {
            "skills": [
                {
                    "name": finding.skill.name,
                    "kind": finding.skill.kind,
                    "importance": str(finding.skill.importance),
                    "years": finding.skill.years,
                    "status": "matched" if finding.evidence else "missing",
                    "evidence": [_told(evidence) for evidence in finding.evidence],
                }
                for finding in self.by_weight()
            ],
            "matched": matched,
            "missing": len(self.all) - matched,
            "score": self.score,
            "grounds": {
                str(importance): {"found": found, "matched": shown}
                for importance, (found, shown) in self._shares().items()
            },
            "summary": self.summary,
            "method": method,
        }

    def by_weight(self) -> Sequence[Finding]:
        """The required first, otherwise in the order in which the job names them."""
        return sorted(self.all, key=lambda finding: -finding.skill.importance.weight)

    def _shares(self) -> Mapping[Importance, tuple[int, int]]:
        """How many there are of each importance, and how many of these are shown."""
        return {
            importance: (
                sum(finding.skill.importance is importance for finding in self.all),
                sum(finding.skill.importance is importance and bool(finding.evidence) for finding in self.all),
            )
            for importance in Importance
        }


class AnalysisStatus(StrEnum):
    """What has become of an analysis; while it is `queued` its job tells how far it is."""

    QUEUED = "queued"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(eq=False, kw_only=True)
class JobAnalysis(Recorder):
    """A job description of one principal's, and what came of comparing it with what there is to find.

    `text` is None until the `file` `{name, media_type, size}` that it came in has been read; the file is not kept
    after that. With a `project_id` it was compared with that project alone. `error` is `{code, message}`. The result
    is Findings.result with `cached`, whether an earlier analysis had come to it; `score` and the counts are its own.
    """

    id: UUID
    owner: str
    title: str
    created_at: datetime
    updated_at: datetime
    text: str | None = None
    file: dict[str, object] | None = None
    project_id: UUID | None = None
    job_id: UUID | None = None
    status: AnalysisStatus = AnalysisStatus.QUEUED
    error: dict[str, str] | None = None
    score: int | None = None
    matched: int = 0
    missing: int = 0
    result: dict[str, object] | None = field(default=None, repr=False)
    finished_at: datetime | None = None
    deletion_id: UUID | None = None
    version: int = 1

    @classmethod
    def of_text(
        cls,
        text: str,
        *,
        id: UUID,
        owner: Principal,
        title: str | None,
        project_id: UUID | None,
        analyses_so_far: int,
        limits: Limits,
        now: datetime,
    ) -> JobAnalysis:
        """One of a text, called as its first line without a `title`.

        Raises Invalid or Conflict `job_analysis_limit_reached`.
        """
        text = limits.text("text", text, limits.job_description)
        called = limits.text("title", title, limits.document_title) if title is not None else _first_line(text, limits)
        analysis = cls(
            id=id, owner=owner.key, title=called, text=text, project_id=project_id, created_at=now, updated_at=now
        )
        analysis.require_place(analyses_so_far, limits)
        return analysis

    @classmethod
    def of_file(
        cls,
        *,
        name: str,
        media_type: str,
        size: int,
        id: UUID,
        owner: Principal,
        title: str | None,
        project_id: UUID | None,
        analyses_so_far: int,
        limits: Limits,
        now: datetime,
    ) -> JobAnalysis:
        """One of a file of so many bytes, called as that without a `title`; raises as `of_text`."""
        name = limits.text("file", name, limits.document_title)
        if not 0 < size <= limits.document_bytes:
            raise Invalid({"file": f"Must have 1 to {limits.document_bytes:,} bytes, but has {size:,}."})
        analysis = cls(
            id=id,
            owner=owner.key,
            title=limits.text("title", title, limits.document_title) if title is not None else name,
            file={"name": name, "media_type": media_type, "size": size},
            project_id=project_id,
            created_at=now,
            updated_at=now,
        )
        analysis.require_place(analyses_so_far, limits)
        return analysis

    def require_place(self, analyses_so_far: int, limits: Limits) -> None:
        """Raise Conflict `job_analysis_limit_reached` when the owner, without it, has `limits.job_analyses`."""
        if analyses_so_far >= limits.job_analyses:
            raise Conflict(
                "job_analysis_limit_reached",
                f"You have {analyses_so_far} job analyses, and {limits.job_analyses} is the most one can have. "
                "Delete one first.",
                limit=limits.job_analyses,
            )

    @property
    def is_pending(self) -> bool:
        """Whether it still waits for its result."""
        return self.status is AnalysisStatus.QUEUED and self.deletion_id is None

    def wait_for(self, job_id: UUID, now: datetime) -> None:
        """Be analysed by a job."""
        self.job_id = job_id
        self.updated_at = now

    def complete(self, text: str, findings: Mapping[str, object], *, cached: bool, now: datetime) -> None:
        """Take what Findings.result says about `text`, which its file held if it came in one."""
        score, matched, missing = (findings[name] for name in ("score", "matched", "missing"))
        self.text = text
        self.score = score if isinstance(score, int) else None
        self.matched = matched if isinstance(matched, int) else 0
        self.missing = missing if isinstance(missing, int) else 0
        self.result = {**findings, "cached": cached}
        self._end(AnalysisStatus.COMPLETED, None, now)

    def fail(self, code: str, message: str, now: datetime) -> None:
        """Note why there is no result, and will be none."""
        self._end(AnalysisStatus.FAILED, {"code": code, "message": message}, now)

    def delete(self, deletion: Deletion) -> None:
        """Go out of sight with `deletion`."""
        self.deletion_id = deletion.id

    def restore(self, deletion: Deletion, now: datetime) -> None:
        """Come back; raises Conflict `not_deleted` when it was not `deletion` that took it."""
        if self.deletion_id != deletion.id:
            raise Conflict("not_deleted", "This job analysis is not deleted.")
        self.deletion_id = None
        self.updated_at = now

    def _end(self, status: AnalysisStatus, error: dict[str, str] | None, now: datetime) -> None:
        self.status = status
        self.error = error
        self.finished_at = now
        self.updated_at = now


def _first_line(text: str, limits: Limits) -> str:
    """What a text begins with, without the signs that Markdown puts before a heading."""
    first = text.splitlines()[0].strip("#*_ \t") or text.split(maxsplit=1)[0]
    return first if len(first) <= limits.document_title else f"{first[: limits.document_title - 1].rstrip()}…"


def _missing_line(names: Sequence[str]) -> str:
    if not names:
        return ""
    others = len(names) - _NAMED
    listed = ", ".join(names[:_NAMED])
    return f" Missing: {listed}, and {others} more." if others > 0 else f" Missing: {listed}."


def _told(evidence: Evidence) -> dict[str, object]:
    return {
        name: str(value) if isinstance(value, UUID) else value  # The result is kept as JSON.
        for name, value in asdict(evidence).items()
    }
