"""`/v1/models`: the agents, which is what clients of this wire choose from."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate

from application.facade import Application
from entrypoints.http.openai.wire import agent_named, answer
from entrypoints.http.refusals import refuses


class ModelOut(Schema):
    """An agent. When it was created nobody knows."""

    id = fields.String(required=True)
    object = fields.String(required=True, validate=validate.Equal("model"))
    created = fields.Integer(required=True)
    owned_by = fields.String(required=True)


class ModelListOut(Schema):
    """The agents, the default one first."""

    object = fields.String(required=True, validate=validate.Equal("list"))
    data = fields.List(fields.Nested(ModelOut), required=True)


def blueprint(app: Application) -> Blueprint:
    """The routes of models, over `app`."""
    routes = Blueprint("models", __name__, url_prefix="/models", description="OpenAI's wire: the agents as models.")

    @routes.get("")
    @routes.response(200, ModelListOut())
    def list_models() -> Response:
        """List the models."""
        names = sorted(app.agents, key=lambda name: name != app.agents.default.name)
        return answer({"object": "list", "data": [_model(name) for name in names]})

    @routes.get("/<string:model>")
    @refuses("model_not_found")
    @routes.response(200, ModelOut())
    def get_model(model: str) -> Response:
        """Read a model."""
        return answer(_model(agent_named(app, model)))

    return routes


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "parley"}
