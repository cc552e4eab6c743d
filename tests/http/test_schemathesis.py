"""schemathesis asks all that the OpenAPI document allows, and much that it does not; nothing may contradict it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.conftest import with_model
from tests.model_server import ModelServer
from tests.parley_process import Client, running

_HERE = Path(__file__).parent

_EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "5"))
"""Requests that are made up for each operation, beside those for its bounds and those that follow from others."""

_SETTINGS = {"PARLEY_LIMIT_ROOMS": 10_000, "PARLEY_LIMIT_LIVE_REPLIES": 1_000, "PARLEY_LIMIT_PROJECTS": 10_000}

_CONFIGURATION = """\
max-stream-events = 20
request-timeout = 45
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 414, 415, 422, 428, 429, "5xx"]
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", 401, 403, 404, 409, 414, 429, "5xx"]
[generation]
allow-x00 = false
database = "none"
"""


def some_of_each(client: Client) -> dict[str, list[str]]:
    """Ids of things to ask for, by the parameter that takes them."""
    things: dict[str, list[str]] = {}
    for number in range(4):
        room = client.room()
        conversation = client.conversation(room_id=room)
        reply = client.answer(conversation, "Hello")["id"]
        project = client.data("POST", "/projects", {"name": f"Project {number}"})["id"]
        made = {
            "room_id": [room],
            "conversation_id": [conversation],
            "reply_id": [reply],
            "message_id": [message["id"] for message in client.messages(conversation)],
            "session_id": [client.data("POST", "/sessions", {"fresh": True, "room_id": room})["id"]],
            "project_id": [project],
            "document_id": [client.data("POST", "/documents", {"project_id": project, "text": "# Text"})["id"]],
            "analysis_id": [client.data("POST", "/job-analyses", {"text": "Requirements: Zig"})["id"]],
        }
        for name, ids in made.items():
            things.setdefault(name, []).extend(ids)
    return things


def test_no_request_is_answered_otherwise_than_documented(
    model: ModelServer, tmp_path: Path, record_property: Any
) -> None:
    (tmp_path / "schemathesis.toml").write_text(_CONFIGURATION)
    with running(tmp_path / "data", **with_model(model, **_SETTINGS)) as parley:
        admin = parley.user("admin", "admin")
        environment = os.environ | {
            "PARLEY_THINGS": json.dumps(some_of_each(admin)),
            "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
            "PYTHONPATH": str(_HERE),
        }
        found = subprocess.run(
            [
                *(Path(sys.executable).with_name("schemathesis"), "run", f"{parley.url}/openapi.json"),
                *("--header", f"Authorization: Bearer {admin.token}", "--checks", "all", "--seed", "1"),
                *("--max-examples", str(_EXAMPLES), "--continue-on-failure", "--no-color", "--warnings", "off"),
            ],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    assert found.returncode == 0, found.stdout[-20_000:] + found.stderr
    told = re.search(r"Tested: (\d+)(?s:.*)\n  (\d+) generated", found.stdout)
    assert told is not None, found.stdout
    record_property("fuzzed", f"{int(told[2]):,} cases over {told[1]} operations, none failed")
    assert int(told[2]) > 1_000
