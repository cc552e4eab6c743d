"""What a question wants is noted on its message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import with_model
from tests.model_server import ModelServer
from tests.parley_process import Client, running


def intent_of(client: Client, question: str, **body: object) -> Any:
    """The intent that is noted on a question, once it was answered."""
    conversation = client.conversation(**body)
    client.answer(conversation, question)
    asked, answer = client.messages(conversation)
    assert "intent" not in answer["metadata"]
    return asked["metadata"].get("intent")


@pytest.mark.parametrize(
    ("question", "agent", "name"),
    [
        ("Hello!", "general", "greeting"),
        ("How do I change the port?", "general", "how_to"),
        ("Wer war Ada Lovelace?", "general", "question"),
        ("What about Kubernetes?", "skills", "about_skills"),
    ],
)
def test_an_answered_question_has_its_intent(visitor: Client, question: str, agent: str, name: str) -> None:
    intent = intent_of(visitor, question, agent=agent)

    assert (intent["name"], intent["method"]) == (name, "rules")
    assert 0 < intent["confidence"] <= 1


def test_a_model_tells_the_intent(tmp_path: Path, model: ModelServer) -> None:
    """The test model repeats what it is asked: the JSON in it, or what is none."""
    with running(tmp_path, **with_model(model, PARLEY_INTENTS="model")) as parley:
        visitor = parley.visitor()
        by_model = intent_of(visitor, 'Is that so? {"intent": "opinion", "confidence": 0.7}')
        by_rules = intent_of(visitor, "Hello!")

    assert by_model == {"name": "opinion", "confidence": 0.7, "method": "model"}
    assert (by_rules["name"], by_rules["method"]) == ("greeting", "rules")


def test_intents_can_be_left_out(tmp_path: Path, model: ModelServer) -> None:
    with running(tmp_path, **with_model(model, PARLEY_INTENTS="off")) as parley:
        assert intent_of(parley.visitor(), "Hello!") is None
