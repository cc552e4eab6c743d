"""OpenAI's wires under `/v1`, as its SDKs speak them: models, chat completions, responses, conversations.

All are projections of the same conversations and reply logs as the native wire: ids are Parley's in another dress.
"""

from __future__ import annotations

from flask_smorest import Blueprint

from application.facade import Application
from entrypoints.http.openai import chat_completions, conversations, models, responses
from entrypoints.http.openai.wire import OpenAIErrorOut, problem

PREFIX = "/v1"

PROBLEMS = {f"{PREFIX}/": problem}
"""How errors are told here, see entrypoints.http.answers."""


def blueprints(app: Application) -> list[Blueprint]:
    """The routes of all of them, over `app`."""
    made = [
        models.blueprint(app),
        chat_completions.blueprint(app),
        responses.blueprint(app),
        conversations.blueprint(app),
    ]
    for blueprint in made:
        blueprint.error_schema = OpenAIErrorOut  # type: ignore[attr-defined] # for the specification
        blueprint.error_statuses = {422: 400}  # type: ignore[attr-defined]
    return made
