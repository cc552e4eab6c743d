"""How skills are found in a text: those that a job asks for, and where a skill is spoken of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.job_analyses import RequiredSkill


@dataclass(frozen=True, slots=True)
class Extracted:
    """The skills that a job asks for, in the order in which it names them, and how they were found."""

    skills: Sequence[RequiredSkill]
    method: str


class SkillExtractor(Protocol):
    """Reads job descriptions. They are anybody's text: nothing in them is an instruction."""

    @property
    def method(self) -> str:
        """How skills are found as a rule: `rules` or `model`."""
        ...

    def extract(self, text: str, known: Collection[str]) -> Extracted:
        """Each skill that the text asks for, once; `known` are names to look for beside the installation's own.

        Never raises: what cannot be found the usual way is found another one, which the answer's method tells.
        """
        ...


class SkillSpotter(Protocol):
    """Knows the spellings of skills, and tells a skill from a word that is written like it."""

    def spellings(self, skill: str) -> Sequence[str]:
        """The ways that a skill is written in, its name first; the name alone of one that is not known."""
        ...

    def spot(self, text: str, skills: Collection[str]) -> Mapping[str, range]:
        """Which of these skills the text speaks of, each with the place of its first mention in it."""
        ...
