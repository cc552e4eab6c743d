"""OpenAI's wires on two web processes and two workers, which stop and die in mid-answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.conftest import with_model
from tests.installation import Installation, installed, production
from tests.model_server import ModelServer
from tests.openai_client import speaking, user

_SLOW = "!stream words=300 delay=0.02"


@pytest.fixture
def installation(tmp_path: Path, model: ModelServer, migrated_postgres: str) -> Iterator[Installation]:
    with (
        production(migrated_postgres) as settings,
        installed(tmp_path / "data", **with_model(model), **settings) as installation,
    ):
        yield installation


def begun(stream: Any, text: str = "word9 ") -> list[Any]:
    """The events of a response until it has said something."""
    events = []
    for event in stream:
        events.append(event)
        if event.type == "response.output_text.delta" and text in event.delta:
            break
    return events


def test_a_killed_worker_ends_streams_with_an_error_and_leaves_what_was_said(installation: Installation) -> None:
    web, worker = installation.web(), installation.worker()
    with speaking(web.visitor(), max_retries=0) as client:
        response: Any = iter(client.responses.create(input=_SLOW, stream=True))
        completion: Any = iter(client.chat.completions.create(model="general", messages=[user(_SLOW)], stream=True))
        events = begun(response)
        chunks = [next(completion) for _ in range(3)]
        worker.kill()
        installation.worker()  # Its reaper finds what is left.

        events += response
        with pytest.raises(openai.APIError) as broken:
            chunks.extend(completion)

        assert events[-1].type == "response.failed"
        assert (broken.value.code, chunks[-1].choices[0].finish_reason) == ("interrupted", None)
        kept = client.responses.retrieve(events[0].response.id)
        assert kept.status == "failed"
        assert kept.output_text.startswith("word0 word1 ")


def test_a_response_goes_on_at_another_process_when_its_own_stops(installation: Installation) -> None:
    here, there = installation.web(), installation.web()
    installation.worker()
    asking = here.visitor()
    with speaking(asking, max_retries=0) as first, speaking(installation.at(there, asking)) as second:
        response: Any = iter(first.responses.create(input=_SLOW, stream=True))
        completion: Any = first.chat.completions.create(model="general", messages=[user(_SLOW)], stream=True)
        events = begun(response)
        assert here.terminate() == 0

        events += response
        with pytest.raises(openai.APIError, match="This process ends"):
            list(completion)
        assert events[-1].type == "response.output_text.delta"
        events += second.responses.retrieve(
            events[0].response.id, stream=True, starting_after=events[-1].sequence_number
        )

    assert events[-1].type == "response.completed"
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert said == events[-1].response.output_text == "".join(f"word{number} " for number in range(300))
