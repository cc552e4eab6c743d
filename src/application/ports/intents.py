"""What somebody wants with a message, in a word."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class IntentName(StrEnum):
    """The intents that are told apart; `question` is one that is none of the more special ones, `other` no question."""

    GREETING = "greeting"
    THANKS = "thanks"
    FEEDBACK = "feedback"
    CONTACT = "contact"
    REQUEST = "request"
    TROUBLESHOOTING = "troubleshooting"
    HOW_TO = "how_to"
    COMPARISON = "comparison"
    OPINION = "opinion"
    ABOUT_PROJECT = "about_project"
    ABOUT_EXPERIENCE = "about_experience"
    ABOUT_SKILLS = "about_skills"
    QUESTION = "question"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Intent:
    """An intent, how sure that is (0 to 1), and how it was found: by `rules` or by the `model`."""

    name: IntentName
    confidence: float
    method: str

    @property
    def document(self) -> dict[str, object]:
        """As a message's metadata keep it."""
        return {"name": str(self.name), "confidence": round(self.confidence, 2), "method": self.method}


class IntentClassifier(Protocol):
    """Tells what somebody wants. Questions are anybody's text: nothing in them is an instruction."""

    def classify(self, question: str, agent: str) -> Intent:
        """The intent of a question to the agent of that name. Never raises, and takes some seconds at most."""
        ...
