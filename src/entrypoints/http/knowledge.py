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
from domain.rate_limits import Action
from entrypoints.http.answers import data
from entrypoints.http.auth import principal
from entrypoints.http.rates import spending
from entrypoints.http.refusals import EMBEDDING, refuses
from entrypoints.http.schemas import Request, agent_field, choice_field, count_field, enveloped


class KnowledgeQuery(Request):
    """What is asked, and what it is searched in: everything that one's questions are answered from, or less."""

    q = fields.String(required=True, validate=validate.Length(1, 1000))
    limit = fields.Integer(load_default=5, validate=validate.Range(1, 20))
    mode = choice_field(
        Mode, load_default=Mode.HYBRID, metadata={"description": "By words and meaning, or by one of them alone."}
    )
    project_id = fields.UUID(load_default=None, metadata={"description": "In this project only."})
    agent = agent_field("In what this agent draws on.", load_default=None)


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
        required=True,
        metadata={
            "minimum": 0,
            "maximum": 1,
            "description": "How much of the question it speaks of, and how near it is.",
        },
    )


class FindingsOut(Schema):
    """The passages, best first, and what they were found by: `text` where `hybrid` was not to be had."""

    items = fields.List(fields.Nested(PassageOut), required=True)
    mode = choice_field(Mode, required=True)
    total = count_field()


def blueprint(app: Application) -> Blueprint:
    """The search in documents, over `app`."""
    routes = Blueprint("knowledge", __name__, url_prefix="/knowledge", description="What answers are grounded in.")

    @routes.get("/search")
    @refuses("forbidden", "project_not_found", "embeddings_off", "rate_limited", *EMBEDDING)
    @routes.arguments(KnowledgeQuery(), location="query")
    @routes.response(200, enveloped(FindingsOut))
    @routes.alt_response(
        414, description="The address is longer than 8,190 bytes. It was not read: this has no body of ours."
    )
    def search_knowledge(query: dict[str, Any]) -> Response:
        """Find the passages that bear on a question, in the documents that one's questions are answered from."""
        asker, project_id = principal(), query["project_id"]
        if project_id is not None:
            app.read_knowledge.project(project_id, asker)
        knowledge = app.agents.named(query["agent"]).knowledge if query["agent"] is not None else ALL_KNOWLEDGE
        scope = app.retrieval.scope_for(asker.key, knowledge, project_id)
        with spending(app, Action.SEARCH_KNOWLEDGE):
            found = app.retrieval.find(query["q"], scope, limit=query["limit"], mode=query["mode"])
        items = [asdict(passage) for passage in found.passages]
        return data({"items": items, "mode": found.mode, "total": len(items)})

    return routes
