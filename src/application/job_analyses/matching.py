"""Compare the skills that a job asks for with what there is to find: documents, and what projects say of themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from application.knowledge.ranking import TermsOf
from application.ports.knowledge import Found, KnowledgeReader, PassageIndex, Scope
from application.ports.persistence import Document
from application.ports.queries import Page
from application.ports.skills import SkillSpotter
from domain.identity import Principal
from domain.job_analyses import Evidence, Finding, RequiredSkill

_MOST = 3
"""Pieces of evidence for a skill."""

_LOOKED_AT = 50
"""Passages that are looked at for a skill, of those that hold most of its rare terms."""

_EXCERPT = 240
"""Characters of an excerpt."""

_MOST_NAMES = 500
"""Skills that projects name; beyond, they are not looked for."""

_LONGEST_NAME = 60

_PAGE = 100


@dataclass(frozen=True, slots=True)
class AboutProject:
    """What a project says of itself."""

    id: UUID
    name: str
    description: str
    skills: Sequence[str]
    """What its metadata lists as `skills`."""

    @property
    def text(self) -> str:
        """All of it, a skill each line."""
        return "\n".join((self.name, self.description, *self.skills))


@dataclass(frozen=True, slots=True)
class SkillMatching:
    """Finds where a skill really stands: that something is related to it does not count."""

    index: PassageIndex
    knowledge: KnowledgeReader
    spotter: SkillSpotter
    terms_of: TermsOf

    def projects(self, asker: Principal, scope: Scope) -> Sequence[AboutProject]:
        """Those of a scope, as the asker sees them, in the order of their ids."""
        found = (_about(each) for each in self._visible(asker) if each["id"] in scope.projects)
        return sorted(found, key=lambda project: project.id)

    def match(self, skill: RequiredSkill, scope: Scope, projects: Sequence[AboutProject]) -> Finding:
        """A skill with the evidence for it, from as many documents as there are, up to three."""
        evidence = [*self._in_passages(skill.name, scope)]
        if len(evidence) < _MOST:
            evidence += self._in_projects(skill.name, projects)
        return Finding(skill, evidence[:_MOST])

    def _in_passages(self, skill: str, scope: Scope) -> Sequence[Evidence]:
        first: dict[UUID, Evidence] = {}
        further: list[Evidence] = []
        weights = self._weights(skill, scope)
        for passage in self.index.matching(weights, weights, scope, limit=_LOOKED_AT):
            text = f"{passage.text}\n{passage.heading}\n{passage.title}"
            place = self.spotter.spot(text, {skill}).get(skill)
            if place is None:
                continue
            evidence = _evidence(passage, place)
            if first.setdefault(passage.document_id, evidence) is not evidence:
                further.append(evidence)
            if len(first) == _MOST:
                break
        return [*first.values(), *further][:_MOST]

    def _in_projects(self, skill: str, projects: Sequence[AboutProject]) -> Iterator[Evidence]:
        for project in projects:
            place = self.spotter.spot(project.text, {skill}).get(skill)
            if place is not None:
                yield Evidence(project_id=project.id, title=project.name, excerpt=_excerpt(project.text, place))

    def _weights(self, skill: str, scope: Scope) -> Mapping[str, float]:
        """The terms of a skill's spellings: the rarer, the more telling."""
        terms = {term for spelling in self.spotter.spellings(skill) for term in self.terms_of(spelling)}
        frequencies, total = self.index.frequencies(terms, scope)
        return {term: math.log(1 + total / (frequency + 0.5)) for term, frequency in frequencies.items()}

    def _visible(self, asker: Principal) -> Iterator[Document]:
        offset, total = 0, 1
        while offset < total:
            page = Page(limit=_PAGE, offset=offset, sort_by="created_at", descending=False)
            found = self.knowledge.projects(asker, page, visible=True)
            yield from found["items"]
            offset, total = offset + _PAGE, found["total"]


def skills_of(projects: Sequence[AboutProject]) -> Sequence[str]:
    """The skills that projects name, each once."""
    return sorted({skill for project in projects for skill in project.skills})[:_MOST_NAMES]


def _about(project: Document) -> AboutProject:
    listed = project["metadata"].get("skills")
    names = listed if isinstance(listed, list) else ()
    skills = [" ".join(name.split()) for name in names if isinstance(name, str)]
    return AboutProject(
        project["id"],
        project["name"],
        project["description"],
        [name for name in skills if 2 <= len(name) <= _LONGEST_NAME],
    )


def _evidence(passage: Found, place: range) -> Evidence:
    return Evidence(
        project_id=passage.project_id,
        document_id=passage.document_id,
        document=passage.document,
        title=passage.title or passage.document,
        heading=passage.heading,
        excerpt=_excerpt(passage.text, place if place.stop <= len(passage.text) else range(0)),
    )


def _excerpt(text: str, place: range) -> str:
    """The words around a place, with "…" where text was left out."""
    begin = max(0, min(place.start - _EXCERPT // 3, len(text) - _EXCERPT))
    end = min(len(text), begin + _EXCERPT)
    shown = text[begin:end]
    if begin and not text[begin - 1].isspace():
        shown = shown.partition(" ")[2] or shown
    if end < len(text) and not text[end].isspace():
        shown = shown.rpartition(" ")[0] or shown
    return f"{'…' if begin else ''}{' '.join(shown.split())}{'…' if end < len(text) else ''}"
