"""The work itself: read a job description, find what it asks for, and compare that with what there is to find."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from application.caching import Caches, Region, key_of
from application.job_analyses.matching import SkillMatching, skills_of
from application.jobs import JobFailed, Progress, Write
from application.knowledge.seeding import KEY as DOCUMENTATION
from application.ports.knowledge import Scope
from application.ports.parsing import WITHIN, DocumentParser, ParsedDocument
from application.ports.persistence import StartWork, UnitOfWork
from application.ports.runtime import Now
from application.ports.skills import SkillExtractor
from domain.errors import NotFound, Unavailable
from domain.identity import SYSTEM, Principal, PrincipalKind
from domain.job_analyses import Findings, JobAnalysis
from domain.jobs import Job
from domain.limits import Limits

_TRIES = 5
"""How often a file is tried that cannot be read at the moment: it may be its own doing."""


@dataclass(frozen=True, slots=True)
class AnalyseJob:
    """Handles JobKind.ANALYSE, see application.jobs.JobHandler.

    The same text compared with the same knowledge comes to the same, whoever asks, so that is remembered: the key
    holds the text, the scope with its content's versions, and what else the result depends on.
    """

    start_work: StartWork
    parser: DocumentParser
    extractor: SkillExtractor
    matching: SkillMatching
    caches: Caches
    now: Now
    limits: Limits

    def __call__(self, job: Job, progress: Progress) -> Write:
        with self.start_work() as work:
            analysis = work.job_analyses.get(job.subject_id, for_=SYSTEM)
            text = analysis.text
            content = work.job_analyses.content(analysis.id) if text is None else b""
        if text is None:
            text = self._read(analysis, content, job.retries)
        result, cached = self._compared(analysis, text, progress)

        def write(work: UnitOfWork) -> None:
            found = _waiting(work, job)
            if found is not None:
                found.complete(text, result, cached=cached, now=self.now())
                work.job_analyses.forget_content(found.id)

        return write

    def give_up(self, work: UnitOfWork, job: Job, code: str, message: str) -> None:
        found = _waiting(work, job)
        if found is not None:
            found.fail(code, message, self.now())
            work.job_analyses.forget_content(found.id)

    def _read(self, analysis: JobAnalysis, content: bytes, retries: int) -> str:
        """What the file says. Raises DocumentUnreadable, JobFailed, or Unavailable while it cannot be read."""
        file = analysis.file or {}
        try:
            parsed = self.parser.parse(content, name=str(file["name"]), media_type=str(file["media_type"]))
        except Unavailable as away:
            if retries < _TRIES:
                raise
            raise JobFailed("document_unreadable", f"It was tried several times. {away.message}") from away
        text = _plain(parsed)
        most = self.limits.job_description
        if len(text) > most:
            raise JobFailed(
                "job_description_too_long",
                f"The file holds {len(text):,} characters of text, and {most:,} is the most.",
            )
        return text

    def _compared(self, analysis: JobAnalysis, text: str, progress: Progress) -> tuple[dict[str, object], bool]:
        """See Findings.result, and whether it was remembered."""
        asker = _principal(analysis.owner)
        scope = self._scope(analysis)
        projects = self.matching.projects(asker, scope)
        key = key_of(
            hashlib.sha256(text.encode()).hexdigest(),
            scope.key,
            [[project.name, project.description, *project.skills] for project in projects],
        )
        key = f"{self.extractor.method}:{key}"
        known = self.caches.get(Region.ANALYSES, key)
        if isinstance(known, dict):
            return known, True
        extracted = self.extractor.extract(text, skills_of(projects))
        findings = []
        for number, skill in enumerate(extracted.skills):
            progress.advance(number, len(extracted.skills))
            findings.append(self.matching.match(skill, scope, projects))
        result = Findings(findings).result(extracted.method)
        if extracted.method == self.extractor.method:  # Else the next one may come to more.
            self.caches.put(Region.ANALYSES, key, result)
        return result, False

    def _scope(self, analysis: JobAnalysis) -> Scope:
        """What the owner may see; the documentation of Parley is nobody's experience, unless it is asked about."""
        knowledge = self.matching.knowledge
        scope = knowledge.scope(analysis.owner, project_id=analysis.project_id, keys=None)
        if analysis.project_id is not None:
            return scope
        documentation = knowledge.scope(SYSTEM.key, project_id=None, keys={DOCUMENTATION}).projects
        return Scope({project: version for project, version in scope.projects.items() if project not in documentation})


def _plain(parsed: ParsedDocument) -> str:
    """The text of a document with its headings, each where it begins."""
    parts: list[str] = []
    heading = ""
    for piece in parsed.pieces:
        if piece.heading and piece.heading != heading:
            parts.append(f"## {piece.heading.rsplit(WITHIN, 1)[-1]}")
        heading = piece.heading
        parts.append(piece.text)
    return "\n\n".join(parts)


def _waiting(work: UnitOfWork, job: Job) -> JobAnalysis | None:
    """The analysis, if it waits for this very job; it may be gone, or wait for another one that came later."""
    try:
        analysis = work.job_analyses.get(job.subject_id, for_=SYSTEM)
    except NotFound:
        return None
    return analysis if analysis.job_id == job.id else None


def _principal(key: str) -> Principal:
    kind, _, name = key.partition(":")
    return Principal(PrincipalKind(kind), name)
