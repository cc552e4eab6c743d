"""Agents of a file and tools of plugins, from the start of a server on."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.parley_process import cli, running

_AGENTS = """
default = "support"

[agents.support]
description = "Answers customers."
instructions = "The secret word is xyzzy."
tools = ["current_time"]
"""


def _installed(folder: Path, code: str) -> Path:
    """A plugin as an installer leaves it; its folder goes into PYTHONPATH."""
    info = folder / "weather_tools-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: weather-tools\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[parley.tools]\nweather = weather_tools:WEATHER\n")
    (folder / "weather_tools.py").write_text(f"from application.ports.tools import Tool\n{code}\n")
    return folder


def test_who_answers_is_listed_without_what_they_are_told(data_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "agents.toml"
    path.write_text(_AGENTS)

    with running(data_dir, PARLEY_AGENTS_FILE=path) as parley:
        answer = httpx.get(f"{parley.url}/api/v1/agents")

    items = answer.json()["data"]["items"]
    assert items[0] == {"name": "support", "description": "Answers customers.", "default": True}
    assert [item["name"] for item in items if not item["default"]] == ["general", "project", "experience", "skills"]
    assert "xyzzy" not in answer.text


def test_every_mistake_in_the_file_is_named_before_anything_is_served(data_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "agents.toml"
    path.write_text(_AGENTS.replace('"current_time"', '"weather"') + "temperature = 3\n")

    failed = cli("serve", "--migrate", PARLEY_DATA_DIR=data_dir, PARLEY_AGENTS_FILE=path)

    assert failed.returncode == 2
    assert failed.stderr == (
        "Error: PARLEY_AGENTS_FILE: agents.toml, line 7: agents.support.tools names 'weather', which is no tool. "
        "There are: current_time, search_knowledge.\n"
        "agents.toml, line 8: agents.support.temperature must be between 0 and 2.\n"
    )


def test_a_file_that_there_is_not_is_named(data_dir: Path, tmp_path: Path) -> None:
    failed = cli("serve", "--migrate", PARLEY_DATA_DIR=data_dir, PARLEY_AGENTS_FILE=tmp_path / "no.toml")

    assert failed.returncode == 2
    assert failed.stderr == f"Error: PARLEY_AGENTS_FILE: there is no file {tmp_path / 'no.toml'}.\n"


def test_an_agent_may_use_the_tool_of_a_plugin(data_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "agents.toml"
    path.write_text(_AGENTS.replace('"current_time"', '"weather"'))
    plugin = _installed(
        tmp_path / "site",
        "WEATHER = Tool(name='weather', description='d', parameters={'type': 'object'}, run=lambda c, a: 'Rain.')",
    )

    with running(data_dir, PARLEY_AGENTS_FILE=path, PYTHONPATH=plugin) as parley:
        assert httpx.get(f"{parley.url}/api/v1/agents").json()["data"]["items"][0]["name"] == "support"


def test_a_plugin_that_cannot_be_used_is_named_before_anything_is_served(data_dir: Path, tmp_path: Path) -> None:
    plugin = _installed(tmp_path / "site", "WEATHER = Tool")

    failed = cli("serve", "--migrate", PARLEY_DATA_DIR=data_dir, PYTHONPATH=plugin)

    assert failed.returncode == 2
    assert failed.stderr.startswith("Error: The plugin 'weather' of the package weather-tools: it cannot be loaded: ")
