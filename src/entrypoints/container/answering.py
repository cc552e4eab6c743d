"""Who answers, and with which tools: the built-in ones and plugins, the built-in agents and those of the file."""

from __future__ import annotations

from importlib.metadata import version

from adapters.toml.agents import AgentsFile, read_agents_file
from adapters.tools.current_time import CURRENT_TIME
from adapters.tools.plugins import plugin_tools
from adapters.tools.schemas import compile_schema
from application.ports.runtime import Misconfigured
from application.tools import SEARCH_KNOWLEDGE, Toolbox
from domain.agents import BUILT_IN
from entrypoints.settings import SettingError, Settings


def toolbox() -> Toolbox:
    plugins = plugin_tools({SEARCH_KNOWLEDGE.name, CURRENT_TIME.name}, compile_schema)
    return Toolbox([CURRENT_TIME, *plugins], compile_schema)


def agents_file(settings: Settings, toolbox: Toolbox) -> AgentsFile:
    if settings.agents_file is None:
        return AgentsFile(BUILT_IN, {})
    try:
        return read_agents_file(settings.agents_file, toolbox.names)
    except Misconfigured as wrong:
        raise SettingError(f"PARLEY_AGENTS_FILE: {wrong.message}") from None


def answer_settings(settings: Settings) -> dict[str, object]:
    """What shapes every agent's answers: an answer that was given under other settings is not given again."""
    return {
        "version": version("parley"),
        "server": settings.openai_base_url,
        "embeddings": [*settings.embedding_server[:1], settings.embedding_model, settings.embedding_dimensions],
        "floor": settings.embedding_floor,
        "passages": settings.limits.passages,
        "passage_tokens": settings.limits.passage_tokens,
    }
