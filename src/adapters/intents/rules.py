"""Intents by what messages are usually worded like, in English and the basics of German, Spanish and French."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from pathlib import Path
from typing import Any

from application.ports.intents import Intent, IntentName

METHOD = "rules"

_LOOKED_AT = 2_000
"""Characters of a message that are looked at, from its beginning."""

_CERTAIN, _CLEAR, _MIXED, _LIKELY, _GUESSED = 0.95, 0.8, 0.65, 0.55, 0.3

_AT_THE_END = r"[\s!.?,:;)(-]*"

_SPELT = str.maketrans({"’": "'", "¿": "", "¡": ""})

_FILE = Path(__file__).with_name("wordings.toml")

_OWN = {
    "project": IntentName.ABOUT_PROJECT,
    "experience": IntentName.ABOUT_EXPERIENCE,
    "skills": IntentName.ABOUT_SKILLS,
}
"""What a question is about that is put to one of the built-in agents."""


class RuleIntents:
    """See application.ports.intents.IntentClassifier."""

    def __init__(self) -> None:
        wordings: dict[str, Any] = tomllib.loads(_FILE.read_text(encoding="utf-8"))
        greeting, thanks = wordings["greeting"], wordings["thanks"]
        self._whole = (
            (IntentName.GREETING, re.compile(rf"(?:{greeting}){_AT_THE_END}")),
            (IntentName.THANKS, re.compile(rf"(?:{thanks}){_AT_THE_END}")),
        )
        self._opening = re.compile(rf"(?:{greeting}|{thanks})[\s!.,:;-]{{1,10}}(?=\S)")
        self._question = re.compile("|".join(wordings["question"]))
        self._worded = [
            (IntentName(each["name"]), re.compile("|".join(each["worded"]).replace("{polite}", wordings["polite"])))
            for each in wordings["intent"]
        ]

    def classify(self, question: str, agent: str) -> Intent:
        said = _folded(question)
        for name, pattern in self._whole:
            if pattern.fullmatch(said):
                return Intent(name, _CERTAIN, METHOD)
        opening = self._opening.match(said)
        return self._told(said[opening.end() :] if opening is not None else said, agent)

    def _told(self, said: str, agent: str) -> Intent:
        matching = list(dict.fromkeys(name for name, pattern in self._worded if pattern.search(said)))
        own = _OWN.get(agent)
        if matching:
            # A question about several things is about what this agent is there for.
            is_own = own in matching and matching[0] in _OWN.values()
            meant = own if own is not None and is_own else matching[0]
            return Intent(meant, _CLEAR if len(matching) == 1 else _MIXED, METHOD)
        if self._question.search(said):
            return Intent(own or IntentName.QUESTION, _LIKELY, METHOD)
        return Intent(IntentName.OTHER, _GUESSED, METHOD)


def _folded(text: str) -> str:
    """In small letters, without accents, with single spaces; "ß" as "ss"."""
    decomposed = unicodedata.normalize("NFKD", text[:_LOOKED_AT].casefold().translate(_SPELT))
    return " ".join("".join(sign for sign in decomposed if not unicodedata.combining(sign)).split())
