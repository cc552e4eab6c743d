"""`/projects`: open, list, read, change, delete, restore."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from flask import Response
from flask_smorest import Blueprint
from marshmallow import Schema, fields, validate

from application.documents import deletion_document, project_document
from application.facade import Application
from application.knowledge.projects import ChangeProject, DeleteProject, OpenProject, RestoreProject
from domain.knowledge import Visibility
from entrypoints.http.answers import data
from entrypoints.http.auth import principal
from entrypoints.http.once import creating, idempotent
from entrypoints.http.refusals import refuses
from entrypoints.http.schemas import (
    LOCATION,
    DeletionOut,
    ListQuery,
    Request,
    choice_field,
    count_field,
    deleted_field,
    deletion_field,
    enveloped,
    metadata_field,
    order_field,
    page_of,
    paged,
    text_field,
)

_KEY = {"minLength": 1, "maxLength": 60, "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"}


class ProjectListQuery(ListQuery):
    """Which page of the projects, in which order: one's own, or all that are visible to one."""

    visible = fields.Boolean(load_default=False, metadata={"description": "The public ones too."})
    sort_by = fields.String(load_default="updated_at", validate=validate.OneOf(["updated_at", "created_at", "name"]))
    order = order_field("desc")
    deleted = deleted_field()


class ProjectBody(Request):
    """A new project; without a key its name makes one."""

    name = text_field(100, required=True)
    key = fields.String(load_default=None, allow_none=True, metadata=_KEY)
    description = fields.String(load_default="", metadata={"maxLength": 2000})
    visibility = choice_field(Visibility, load_default=Visibility.PRIVATE)
    metadata = metadata_field()


class ProjectChanges(Request):
    """What to change of a project."""

    name = text_field(100)
    key = fields.String(metadata=_KEY)
    description = fields.String(metadata={"maxLength": 2000})
    visibility = choice_field(Visibility)
    metadata = metadata_field()


class ProjectOut(Schema):
    """A project and what its documents add up to."""

    id = fields.UUID(required=True)
    key = fields.String(required=True)
    name = fields.String(required=True)
    description = fields.String(required=True)
    visibility = choice_field(Visibility, required=True)
    is_own = fields.Boolean(required=True)
    metadata = fields.Dict(required=True)
    document_count = count_field()
    passage_count = count_field()
    created_at = fields.DateTime(required=True)
    updated_at = fields.DateTime(required=True)
    version = fields.Integer(required=True, metadata={"minimum": 1})
    deletion = deletion_field()


def blueprint(app: Application) -> Blueprint:
    """The routes of projects, over `app`."""
    routes = Blueprint("projects", __name__, url_prefix="/projects", description="What answers are grounded in.")

    @routes.post("")
    @refuses("project_exists", "project_limit_reached")
    @idempotent(routes)
    @routes.arguments(ProjectBody())
    @routes.response(201, enveloped(ProjectOut), headers=LOCATION)
    def open_project(body: dict[str, Any]) -> Response:
        """Open a project."""
        project = OpenProject(principal=principal(), **body)
        opened = creating(
            app, lambda once: project_document(app.projects.open(replace(project, once=once)), principal().key)
        )
        return data(opened, 201, {"Location": f"/api/v1/projects/{opened['id']}"})

    @routes.get("")
    @routes.arguments(ProjectListQuery(), location="query")
    @routes.response(200, paged(ProjectOut))
    def list_projects(query: dict[str, Any]) -> Response:
        """List one's projects; with `visible`, the public ones too."""
        if query["deleted"]:
            return data(app.read_deleted.projects(principal(), page_of(query)))
        return data(app.read_knowledge.projects(principal(), page_of(query), visible=query["visible"]))

    @routes.get("/<id:project_id>")
    @routes.response(200, enveloped(ProjectOut))
    def get_project(project_id: UUID) -> Response:
        """Read a project, one's own or a public one."""
        return data(app.read_knowledge.project(project_id, principal()))

    @routes.patch("/<id:project_id>")
    @refuses("project_exists")
    @routes.arguments(ProjectChanges())
    @routes.response(200, enveloped(ProjectOut))
    def change_project(body: dict[str, Any], project_id: UUID) -> Response:
        """Change a project; only admins make one public."""
        app.projects.change(ChangeProject(principal=principal(), project_id=project_id, **body))
        return data(app.read_knowledge.project(project_id, principal()))

    @routes.delete("/<id:project_id>")
    @routes.response(200, enveloped(DeletionOut))
    def delete_project(project_id: UUID) -> Response:
        """Delete a project with its documents; it can be restored."""
        deletion = app.projects.delete(DeleteProject(principal=principal(), project_id=project_id))
        return data(deletion_document(deletion))

    @routes.post("/<id:project_id>/restore")
    @refuses("not_deleted", "being_purged", "project_exists", "project_limit_reached")
    @routes.response(200, enveloped(ProjectOut))
    def restore_project(project_id: UUID) -> Response:
        """Bring a deleted project back with what went with it."""
        app.projects.restore(RestoreProject(principal=principal(), project_id=project_id))
        return data(app.read_knowledge.project(project_id, principal()))

    return routes
