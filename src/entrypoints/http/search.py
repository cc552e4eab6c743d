"""`/search` and `/agents`: find a message, see who answers."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_smorest import Blueprint

from application.facade import Application
from entrypoints.http import schemas
from entrypoints.http.answers import data
from entrypoints.http.auth import principal


def search(app: Application) -> Blueprint:
    """Full-text search over one's own messages."""
    routes = Blueprint("search", __name__, url_prefix="/search", description="Find messages.")

    @routes.get("")
    @routes.arguments(schemas.SearchQuery, location="query")
    @routes.response(200, schemas.paged(schemas.HitOut))
    def search_messages(query: dict[str, Any]) -> Response:
        """Find the messages that hold every word, the last of which may be a beginning; best first."""
        return data(app.read.search(principal(), query["q"], schemas.page_of(query)))

    return routes


def agents(app: Application) -> Blueprint:
    """The agents of this installation."""
    routes = Blueprint("agents", __name__, url_prefix="/agents", description="Who answers.")

    @routes.get("")
    @routes.response(200, schemas.paged(schemas.AgentOut))
    def list_agents() -> Response:
        """List the agents; the first is the default."""
        items = [{"name": agent.name, "description": agent.description} for agent in app.agents.values()]
        return data({"items": items, "total": len(items), "limit": len(items), "offset": 0})

    return routes
