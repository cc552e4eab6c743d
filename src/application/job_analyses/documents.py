"""The documents of job analyses: what commands answer with and what queries read."""

from __future__ import annotations

from application.ports.persistence import Document
from domain.job_analyses import AnalysisStatus, JobAnalysis


def listed_document(analysis: JobAnalysis, *, done: int = 0, total: int = 0) -> Document:
    """An analysis without its text and its result; so many of its job's steps are behind it."""
    return {
        "id": analysis.id,
        "title": analysis.title,
        "file": analysis.file,
        "project_id": analysis.project_id,
        "status": analysis.status,
        "progress": {"done": done, "total": total} if analysis.status is AnalysisStatus.QUEUED else None,
        "error": analysis.error,
        "score": analysis.score,
        "matched": analysis.matched,
        "missing": analysis.missing,
        "created_at": analysis.created_at,
        "updated_at": analysis.updated_at,
        "finished_at": analysis.finished_at,
        "version": analysis.version,
    }


def analysis_document(analysis: JobAnalysis, *, done: int = 0, total: int = 0) -> Document:
    """All of an analysis."""
    return {**listed_document(analysis, done=done, total=total), "text": analysis.text, "result": analysis.result}
