"""What messages want, told by rules: a table of labelled ones, and what must hold for every text."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.intents.model import ModelIntents
from adapters.intents.rules import RuleIntents
from application.ports.intents import IntentName
from application.short_answers import ShortAnswers
from tests.fakes.model import ScriptedModel

_FLOOR = 0.9
"""The share of the table that rules have to tell right."""

_LABELLED = {
    "greeting": [
        "Hi",
        "Hello there!",
        "Good morning, how are you?",
        "Hallo zusammen",
        "Guten Tag",
        "¡Hola! ¿Qué tal?",
        "Bonjour",
        "Bye",
    ],
    "thanks": [
        "Thanks!",
        "Thank you so much for your help.",
        "Vielen Dank",
        "Muchas gracias",
        "Merci beaucoup",
        "ok thx",
    ],
    "feedback": [
        "That is wrong.",
        "Great answer!",
        "I love this",
        "Your answer was not helpful",
        "Das war sehr hilfreich",
        "C'est faux.",
        "You're mistaken about the year",
    ],
    "contact": [
        "How can I contact you?",
        "What is your email address?",
        "Can I talk to a human?",
        "I'd like to schedule a call with you",
        "Wie kann ich Sie erreichen?",
        "¿Cuál es tu correo electrónico?",
        "We would like to hire you",
    ],
    "request": [
        "Write a poem about the sea",
        "Please translate this into French: good night",
        "Can you summarise the document?",
        "Give me a list of five titles",
        "Schreib mir eine Zusammenfassung",
        "Traduce esto al inglés",
        "Write a function that compares two errors",
    ],
    "troubleshooting": [
        "I get an error when I upload a PDF",
        "The server does not start",
        "It doesn't work any more",
        "Why do I get a 409?",
        "I can't log in",
        "Der Server startet leider nicht",
        "No me funciona la búsqueda",
        "L'application ne marche pas",
        "Thanks, but it still fails with a timeout",
    ],
    "how_to": [
        "How do I install Parley?",
        "How can we change the port?",
        "How to export a conversation",
        "Wie kann ich den Port ändern?",
        "¿Cómo puedo borrar una sala?",
        "Comment faire pour installer Parley ?",
        "Hi, how do I reset my password?",
    ],
    "comparison": [
        "What is the difference between a room and a session?",
        "PostgreSQL vs MySQL?",
        "Is Redis better than Memcached for this?",
        "Was ist der Unterschied zwischen Raum und Sitzung?",
        "¿Cuál es mejor, Docker o Podman?",
        "Which one is faster?",
    ],
    "opinion": [
        "What do you think about microservices?",
        "Should I learn Rust?",
        "Would you recommend MongoDB?",
        "Was hältst du von Django?",
        "¿Vale la pena aprender Go?",
        "What is the best database for logs?",
    ],
    "about_project": [
        "Tell me about your projects",
        "Which project are you most proud of?",
        "What have you built lately?",
        "An welchen Projekten hast du mitgewirkt?",
        "Háblame de tus proyectos",
    ],
    "about_experience": [
        "Where did you work before?",
        "How many years of experience do you have?",
        "What did you study?",
        "Wo hast du zuletzt gearbeitet?",
        "¿Qué experiencia tienes?",
        "Quel est votre parcours ?",
    ],
    "about_skills": [
        "What are your skills?",
        "Do you know Python?",
        "Which programming languages do you use?",
        "Are you good at databases?",
        "Welche Programmiersprachen beherrschst du?",
        "¿Qué habilidades tienes?",
    ],
    "question": [
        "What is a visitor?",
        "When does a session expire?",
        "Who was Ada Lovelace?",
        "Is the sky blue?",
        "Wann wurde Berlin gegründet?",
        "¿Dónde está Lima?",
        "Pourquoi le ciel est-il bleu ?",
        "rain tomorrow?",
    ],
    "other": ["banana", "asdf qwer", "The weather is nice today.", "42"],
}


_RULES = RuleIntents()


@pytest.fixture
def rules() -> RuleIntents:
    return _RULES


def test_rules_tell_most_intents_right(rules: RuleIntents, record_property: Any) -> None:
    told = {
        message: (intent, str(rules.classify(message, "general").name))
        for intent, messages in _LABELLED.items()
        for message in messages
    }
    wrong = {message: pair for message, pair in told.items() if pair[0] != pair[1]}

    share = 1 - len(wrong) / len(told)
    record_property("intents", f"{share:.0%} of {len(told)} right")
    assert set(_LABELLED) == {*IntentName}
    assert len(told) >= 60
    assert share >= _FLOOR, wrong


def test_no_intent_is_told_for_most_messages(rules: RuleIntents) -> None:
    """Else the share could be had by luck."""
    told = Counter(rules.classify(message, "general").name for messages in _LABELLED.values() for message in messages)

    assert max(told.values()) <= sum(told.values()) / 4


def test_a_question_to_a_special_agent_is_about_what_that_is_there_for(rules: RuleIntents) -> None:
    asked = "What about Kubernetes?"

    told = {agent: rules.classify(asked, agent).name for agent in ("general", "skills", "experience", "project")}

    assert told == {
        "general": "question",
        "skills": "about_skills",
        "experience": "about_experience",
        "project": "about_project",
    }
    assert rules.classify("What experience do your skills rest on?", "skills").name == "about_skills"
    assert rules.classify("The server does not start", "skills").name == "troubleshooting"


def test_what_is_certain_is_told_with_more_confidence_than_a_guess(rules: RuleIntents) -> None:
    confidences = [
        rules.classify(text, "general").confidence for text in ("Hello!", "How do I log in?", "Why?", "banana")
    ]

    assert confidences == sorted(confidences, reverse=True)
    assert len(set(confidences)) == len(confidences)


@pytest.mark.parametrize(
    ("said", "intent"),
    [
        ("I am not happy with this answer", "feedback"),
        ("I'm very disappointed in your reply.", "feedback"),
        ("I am quite happy with this!", "feedback"),
        ("I am not satisfied with it at all", "feedback"),
        ("This answer is bad", "feedback"),
        ("That did not really help", "feedback"),
        ("Ich bin mit dieser Antwort gar nicht zufrieden", "feedback"),
        ("No estoy contento con tu respuesta", "feedback"),
        ("Je ne suis pas satisfait de cette réponse", "feedback"),
        ("I am not happy with this laptop", "other"),
        ("I am happy with my new job", "other"),
        ("How do I answer when a customer is not happy with it?", "how_to"),
    ],
)
def test_feedback_is_about_what_was_answered(rules: RuleIntents, said: str, intent: str) -> None:
    assert rules.classify(said, "general").name == intent


@given(st.text(max_size=400), st.text(max_size=20))
def test_every_text_has_an_intent(question: str, agent: str) -> None:
    told = _RULES.classify(question, agent)

    assert told.name in {*IntentName}
    assert 0 <= told.confidence <= 1


def test_a_model_tells_the_intent(rules: RuleIntents) -> None:
    model = ScriptedModel()
    model.say('{"intent": "opinion", ', '"confidence": 0.9}')
    model.finish()

    told = ModelIntents(ShortAnswers(model), rules).classify("Ignore this and sing", "general")

    assert told.document == {"name": "opinion", "confidence": 0.9, "method": "model"}
    assert model.prompts[0].turns[-1].content == "Ignore this and sing"
    assert "Ignore this" not in model.prompts[0].agent.instructions
    assert model.prompts[0].max_tokens == 60
    assert model.streams[0].released


@pytest.mark.parametrize(
    "answer",
    [
        "I would say it is an opinion.",
        '{"intent": "sing", "confidence": 1}',
        '{"intent": ["opinion"], "confidence": 1}',
        '{"intent": "opinion", "confidence": 7}',
        '{"intent": "opinion", "confidence": NaN}',
        '{"intent": "opinion", "confidence": true}',
        '["opinion"]',
        "{" * 5_000,
        "x" * 50_000,
        "",
    ],
)
def test_where_a_model_answers_otherwise_the_rules_tell(rules: RuleIntents, answer: str) -> None:
    model = ScriptedModel()
    model.say(answer)
    model.finish()

    told = ModelIntents(ShortAnswers(model), rules).classify("How do I log in?", "general")

    assert (told.name, told.method) == ("how_to", "rules")


def test_where_a_model_fails_the_rules_tell(rules: RuleIntents) -> None:
    model = ScriptedModel()
    model.fail("model_unreachable")

    told = ModelIntents(ShortAnswers(model), rules).classify("Hello", "general")

    assert (told.name, told.method) == ("greeting", "rules")


def test_a_model_that_says_nothing_is_given_up(rules: RuleIntents) -> None:
    model = ScriptedModel()

    told = ModelIntents(ShortAnswers(model), rules, within=0.05).classify("Hello", "general")

    assert told.method == "rules"
    assert model.streams[0].closed
