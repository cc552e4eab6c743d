"""`/search` and `/agents`: find a message, see who answers."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate

from application.facade import Application
from entrypoints.http.answers import data
from entrypoints.http.auth import principal
from entrypoints.http.schemas import ListQuery, MessageOut, page_of, paged


class SearchQuery(ListQuery):
    """What to look for in one's own messages."""

    q = fields.String(
        required=True, validate=validate.Length(1, 200), metadata={"description": "Words; the last may be a beginning."}
    )


class FoundConversation(Schema):
    """Where a message was found."""

    id = fields.UUID(required=True)
    title = fields.String(required=True)
    room_id = fields.UUID(required=True, allow_none=True)


class HitOut(Schema):
    """A message that was found; the snippet is escaped HTML with its hits in <mark>."""

    message = fields.Nested(MessageOut, required=True)
    conversation = fields.Nested(FoundConversation, required=True)
    snippet = fields.String(required=True)


class AgentOut(Schema):
    """Somebody who answers."""

    name = fields.String(required=True)
    description = fields.String(required=True)
    default = fields.Boolean(required=True)


def search(app: Application) -> Blueprint:
    """Full-text search over one's own messages."""
    routes = Blueprint("search", __name__, url_prefix="/search", description="Find messages.")

    @routes.get("")
    @routes.arguments(SearchQuery(), location="query")
    @routes.response(200, paged(HitOut))
    def search_messages(query: dict[str, Any]) -> Response:
        """Find the messages that hold every word, the last of which may be a beginning; best first."""
        return data(app.read.search(principal(), query["q"], page_of(query)))

    return routes


def agents(app: Application) -> Blueprint:
    """The agents of this installation."""
    routes = Blueprint("agents", __name__, url_prefix="/agents", description="Who answers.")

    @routes.get("")
    @routes.response(200, paged(AgentOut))
    def list_agents() -> Response:
        """List the agents; the first is the default."""
        items = [
            {"name": agent.name, "description": agent.description, "default": agent is app.agents.default}
            for agent in app.agents.values()
        ]
        return data({"items": items, "total": len(items), "limit": len(items), "offset": 0})

    return routes
