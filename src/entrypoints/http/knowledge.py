"""`/knowledge/search`: the passages that an answer to a question would be grounded in."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Response
from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate

from application.facade import Application
from application.knowledge.retrieval import Mode
from domain.agents import ALL_KNOWLEDGE
from entrypoints.http.answers import data
from entrypoints.http.auth import principal
from entrypoints.http.schemas import Request, enveloped


class KnowledgeQuery(Request):
    """What is asked, and what it is searched in: everything that one's questions are answered from, or less."""

    q = fields.String(required=True, validate=validate.Length(1, 1000))
    limit = fields.Integer(load_default=5, validate=validate.Range(1, 20))
    mode = fields.Enum(Mode, by_value=True, load_default=Mode.HYBRID)
    project_id = fields.UUID(load_default=None, metadata={"description": "In this project only."})
    agent = fields.String(load_default=None, metadata={"description": "In what this agent draws on."})


class PassageOut(Schema):
    """A passage that bears on the question."""

    document_id = fields.UUID(required=True)
    project_id = fields.UUID(required=True)
    document = fields.String(required=True, metadata={"description": "The name of its file."})
    title = fields.String(required=True)
    heading = fields.String(
        required=True, metadata={"description": "The headings that it stands under, with › between."}
    )
    page = fields.Integer(required=True, allow_none=True)
    text = fields.String(required=True)
    score = fields.Float(required=True, metadata={"description": "Comparable within this answer only."})
    relevance = fields.Float(
        required=True, metadata={"description": "0 to 1: how much of the question it speaks of, and how near it is."}
    )


class FindingsOut(Schema):
    """The passages, best first, and what they were found by: `text` where `hybrid` was not to be had."""

    items = fields.List(fields.Nested(PassageOut), required=True)
    mode = fields.String(required=True)
    total = fields.Integer(required=True)


def blueprint(app: Application) -> Blueprint:
    """The search in documents, over `app`."""
    routes = Blueprint("knowledge", __name__, url_prefix="/knowledge", description="What answers are grounded in.")

    @routes.get("/search")
    @routes.arguments(KnowledgeQuery(), location="query")
    @routes.response(200, enveloped(FindingsOut))
    @routes.alt_response(409, description="`embeddings_off`: the mode is vector, and there are no vectors.")
    def search_knowledge(query: dict[str, Any]) -> Response:
        """Find the passages that bear on a question, in the documents that one's questions are answered from."""
        asker, project_id = principal(), query["project_id"]
        if project_id is not None:
            app.read_knowledge.project(project_id, asker)
        knowledge = app.agents.named(query["agent"]).knowledge if query["agent"] is not None else ALL_KNOWLEDGE
        scope = app.retrieval.scope_for(asker.key, knowledge, project_id)
        found = app.retrieval.find(query["q"], scope, limit=query["limit"], mode=query["mode"])
        items = [asdict(passage) for passage in found.passages]
        return data({"items": items, "mode": found.mode, "total": len(items)})

    return routes
