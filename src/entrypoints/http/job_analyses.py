"""`/job-analyses`: ask for one with a text or a file, list, read, delete, restore."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from flask import Response
from flask_smorest import Blueprint
from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from application.documents import deletion_document
from application.facade import Application
from application.job_analyses.commands import AnalyseJobDescription, DeleteJobAnalysis, File, RestoreJobAnalysis
from application.job_analyses.documents import analysis_document
from domain.job_analyses import AnalysisStatus, Importance
from domain.rate_limits import Action
from entrypoints.http.answers import data
from entrypoints.http.auth import principal
from entrypoints.http.documents import ProgressOut
from entrypoints.http.once import creating, idempotent
from entrypoints.http.refusals import refuses
from entrypoints.http.schemas import (
    LOCATION,
    DeletionOut,
    FailureOut,
    ListQuery,
    choice_field,
    count_field,
    deleted_field,
    deletion_field,
    enveloped,
    order_field,
    page_of,
    paged,
    text_field,
)
from entrypoints.http.uploads import UploadBody, takes_file

_UNNAMED = "job description"


class JobAnalysisListQuery(ListQuery):
    """Which page of the job analyses, in which order."""

    sort_by = fields.String(load_default="created_at", validate=validate.OneOf(["created_at", "title", "score"]))
    order = order_field("desc")
    deleted = deleted_field()


class JobAnalysisBody(UploadBody):
    """A job description: a text, or a file (PDF, DOCX, HTML, Markdown or text). Loads to a `description`."""

    of_files = UploadBody.of_files | {"media_type"}

    text = text_field(20_000)
    title = text_field(200)
    project_id = fields.UUID(metadata={"description": "Compare with this project only."})

    @validates_schema
    def check_media_type(self, body: dict[str, Any], **_: Any) -> None:
        """Refuse one for a text, which is what it is."""
        if "text" in body and "media_type" in body:
            raise ValidationError("Goes with a file only.", "media_type")

    @post_load
    def read(self, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        """The text, or the file with what it is called."""
        if "text" in body:
            text: str = body.pop("text")
            return {"description": text} | body
        name = (body["file"].filename or "").replace("\\", "/").rpartition("/")[2] or _UNNAMED
        loaded: dict[str, Any] = super().read(body)
        file = File(name=name, media_type=loaded.pop("media_type"), content=loaded.pop("content"))
        return {"description": file} | loaded


class JobFileOut(Schema):
    """The file that a job description came in."""

    name = fields.String(required=True)
    media_type = fields.String(required=True)
    size = count_field()


class JobAnalysisItemOut(Schema):
    """A job analysis as it is listed."""

    id = fields.UUID(required=True)
    title = fields.String(required=True)
    file = fields.Nested(JobFileOut, required=True, allow_none=True)
    project_id = fields.UUID(required=True, allow_none=True)
    status = choice_field(AnalysisStatus, required=True)
    progress = fields.Nested(ProgressOut, required=True, allow_none=True)
    error = fields.Nested(FailureOut, required=True, allow_none=True)
    score = fields.Integer(required=True, allow_none=True, metadata={"minimum": 0, "maximum": 100})
    matched = count_field()
    missing = count_field()
    created_at = fields.DateTime(required=True)
    updated_at = fields.DateTime(required=True)
    finished_at = fields.DateTime(required=True, allow_none=True)
    version = fields.Integer(required=True, metadata={"minimum": 1})
    deletion = deletion_field()


class EvidenceOut(Schema):
    """Where a skill stands: in a document or, without one, in what a project says of itself."""

    project_id = fields.UUID(required=True)
    document_id = fields.UUID(required=True, allow_none=True)
    document = fields.String(required=True, allow_none=True)
    title = fields.String(required=True)
    heading = fields.String(required=True)
    excerpt = fields.String(required=True)


class JobSkillOut(Schema):
    """A skill that the job asks for."""

    name = fields.String(required=True)
    kind = fields.String(required=True)
    importance = choice_field(Importance, required=True)
    years = count_field(allow_none=True)
    status = fields.String(required=True, validate=validate.OneOf(["matched", "missing"]))
    evidence = fields.List(fields.Nested(EvidenceOut), required=True)


class ShareOut(Schema):
    """How many skills there are, and how many of them there is evidence for."""

    found = count_field()
    matched = count_field()


class GroundsOut(Schema):
    """What the score comes from; what is required counts double."""

    required = fields.Nested(ShareOut, required=True)
    preferred = fields.Nested(ShareOut, required=True)


class JobResultOut(Schema):
    """What came of the comparison."""

    skills = fields.List(fields.Nested(JobSkillOut), required=True)
    matched = count_field()
    missing = count_field()
    score = fields.Integer(required=True, allow_none=True, metadata={"minimum": 0, "maximum": 100})
    grounds = fields.Nested(GroundsOut, required=True)
    summary = fields.String(required=True)
    method = fields.String(required=True, validate=validate.OneOf(["rules", "model"]))
    cached = fields.Boolean(required=True)


class JobAnalysisOut(JobAnalysisItemOut):
    """A job analysis; its text is null until its file has been read, its result until there is one."""

    text = fields.String(required=True, allow_none=True)
    result = fields.Nested(JobResultOut, required=True, allow_none=True)


def blueprint(app: Application) -> Blueprint:
    """The routes of job analyses, over `app`."""
    routes = Blueprint(
        "job_analyses", __name__, url_prefix="/job-analyses", description="Job descriptions against the knowledge."
    )

    @routes.post("")
    @refuses("forbidden", "project_not_found", "job_analysis_limit_reached", "rate_limited")
    @idempotent(routes)
    @takes_file(routes, JobAnalysisBody())
    @routes.response(202, enveloped(JobAnalysisOut), headers=LOCATION)
    def analyse_job(body: dict[str, Any]) -> Response:
        """Compare a job description with the documents that answer one's questions; that goes on afterwards."""
        asked = AnalyseJobDescription(principal=principal(), **body)
        analysis = creating(
            app, lambda once: analysis_document(app.job_analyses.analyse(replace(asked, once=once))), Action.ANALYSE_JOB
        )
        return data(analysis, 202, {"Location": f"/api/v1/job-analyses/{analysis['id']}"})

    @routes.get("")
    @routes.arguments(JobAnalysisListQuery(), location="query")
    @routes.response(200, paged(JobAnalysisItemOut))
    def list_job_analyses(query: dict[str, Any]) -> Response:
        """List one's job analyses, without their texts and results."""
        if query["deleted"]:
            return data(app.read_deleted.job_analyses(principal(), page_of(query)))
        return data(app.read_job_analyses.job_analyses(principal(), page_of(query)))

    @routes.get("/<id:analysis_id>")
    @routes.response(200, enveloped(JobAnalysisOut))
    def get_job_analysis(analysis_id: UUID) -> Response:
        """Read a job analysis, or how far it is."""
        return data(app.read_job_analyses.job_analysis(analysis_id, principal()))

    @routes.delete("/<id:analysis_id>")
    @routes.response(200, enveloped(DeletionOut))
    def delete_job_analysis(analysis_id: UUID) -> Response:
        """Delete a job analysis; it can be restored."""
        deletion = app.job_analyses.delete(DeleteJobAnalysis(principal=principal(), analysis_id=analysis_id))
        return data(deletion_document(deletion))

    @routes.post("/<id:analysis_id>/restore")
    @refuses("not_deleted", "being_purged", "job_analysis_limit_reached")
    @routes.response(200, enveloped(JobAnalysisOut))
    def restore_job_analysis(analysis_id: UUID) -> Response:
        """Bring a deleted job analysis back."""
        app.job_analyses.restore(RestoreJobAnalysis(principal=principal(), analysis_id=analysis_id))
        return data(app.read_job_analyses.job_analysis(analysis_id, principal()))

    return routes
