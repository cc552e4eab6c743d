"""What tells skills and intents: rules, or a model with rules behind it."""

from __future__ import annotations

from adapters.intents.model import ModelIntents
from adapters.intents.rules import RuleIntents
from adapters.skills.model import ModelSkills
from adapters.skills.rules import RuleSkills
from adapters.skills.vocabulary import vocabulary
from application.ports.intents import IntentClassifier
from application.ports.language import LanguageModel
from application.ports.skills import SkillExtractor
from application.short_answers import ShortAnswers
from entrypoints.settings import Settings


def skills(settings: Settings, model: LanguageModel) -> SkillExtractor:
    rules = RuleSkills(vocabulary())
    if settings.skills == "rules" or not settings.has_model:
        return rules
    return ModelSkills(ShortAnswers(model), rules, vocabulary())


def intents(settings: Settings, model: LanguageModel) -> IntentClassifier | None:
    if settings.intents == "off":
        return None
    rules = RuleIntents()
    if settings.intents == "rules" or not settings.has_model:
        return rules
    return ModelIntents(ShortAnswers(model), rules)
