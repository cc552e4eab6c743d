"""The tables of knowledge, of background jobs and of job analyses, and how their entities map to them."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    JSON,
    REAL,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    TypeDecorator,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import configure_mappers
from sqlalchemy.types import TypeEngine

from adapters.sql.tables import Number, UtcDateTime, mappers, metadata, refers_to, words
from application.telemetry import traceparent
from domain.job_analyses import AnalysisStatus, JobAnalysis
from domain.jobs import LIVE, Job, JobKind, JobStatus
from domain.knowledge import Document, DocumentStatus, Project, Visibility


def as_blob(numbers: Sequence[float]) -> bytes:
    """A vector as SQLite keeps it."""
    floats = array("f", numbers)
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tobytes()


class Vector(TypeDecorator[Sequence[float]]):
    """An embedding: `real[]` on PostgreSQL, which pgvector can cast, little-endian 32-bit floats on SQLite."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """What the engine keeps it as."""
        return dialect.type_descriptor(ARRAY(REAL) if dialect.name == "postgresql" else LargeBinary())

    def process_bind_param(self, value: Sequence[float] | None, dialect: Dialect) -> Any:
        """The numbers as the engine takes them."""
        if value is None or dialect.name == "postgresql":
            return list(value) if value is not None else None
        return as_blob(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Sequence[float] | None:
        """The numbers as the engine gave them."""
        if value is None or dialect.name == "postgresql":
            return value  # type: ignore[no-any-return] # the driver's list of numbers
        floats = array("f")
        floats.frombytes(value)
        if sys.byteorder == "big":
            floats.byteswap()
        return floats


_PRESENT = text("deletion_id IS NULL")
_LIVE = text(f"status IN ({', '.join(repr(status.value) for status in sorted(LIVE))})")

projects = Table(
    "projects",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("owner", String(220), nullable=False),
    Column("key", String(60), nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("visibility", words(Visibility), nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("content_version", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("deletion_id", refers_to("deletions.id")),
    Column("version", Integer, nullable=False),
    Index("uq_projects_key", "owner", "key", unique=True, sqlite_where=_PRESENT, postgresql_where=_PRESENT),
    Index("ix_projects_visibility", "visibility", sqlite_where=_PRESENT, postgresql_where=_PRESENT),
)

documents = Table(
    "documents",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("project_id", refers_to("projects.id"), nullable=False),
    Column("owner", String(220), nullable=False),
    Column("name", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("media_type", String(200), nullable=False),
    Column("size", Integer, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("job_id", Uuid),
    Column("status", words(DocumentStatus), nullable=False),
    Column("error", JSON(none_as_null=True)),
    Column("characters", Integer, nullable=False),
    Column("passage_count", Integer, nullable=False),
    Column("ingested", String(64)),
    Column("embedded_with", String(200)),
    Column("refused_by", String(200)),
    Column("metadata", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("ingested_at", UtcDateTime),
    Column("deletion_id", refers_to("deletions.id")),
    Column("version", Integer, nullable=False),
    Index("uq_documents_name", "project_id", "name", unique=True, sqlite_where=_PRESENT, postgresql_where=_PRESENT),
    Index(None, "deletion_id"),
)

document_contents = Table(
    "document_contents",
    metadata,
    Column("document_id", refers_to("documents.id"), primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

passages = Table(
    "passages",
    metadata,
    # The document number that SQLite's full-text index refers to. On PostgreSQL there is a column `terms` beside these.
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("document_id", refers_to("documents.id"), nullable=False),
    Column("project_id", refers_to("projects.id"), nullable=False),
    Column("place", Integer, nullable=False),
    Column("heading", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("page", Integer),
    Index(None, "document_id", "place", unique=True),
    Index(None, "project_id"),
)

# Apart from their passages, whose terms would be indexed anew with every change of the row.
passage_vectors = Table(
    "passage_vectors",
    metadata,
    Column("number", ForeignKey("passages.number", ondelete="CASCADE"), primary_key=True),
    Column("space", String(200), nullable=False),
    Column("dimension", Integer, nullable=False),
    Column("vector", Vector, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", words(JobKind), nullable=False),
    Column("subject_id", Uuid, nullable=False),
    Column("owner", String(220), nullable=False),
    Column("status", words(JobStatus), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("retries", Integer, nullable=False),
    Column("lease_until", UtcDateTime),
    Column("due_at", UtcDateTime, nullable=False),
    Column("done", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("error", JSON(none_as_null=True)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("traceparent", String(55), default=traceparent),
    Index("ix_jobs_live", "due_at", sqlite_where=_LIVE, postgresql_where=_LIVE),
    Index(None, "subject_id"),
)

job_analyses = Table(
    "job_analyses",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("owner", String(220), nullable=False),
    Column("title", Text, nullable=False),
    Column("text", Text),
    Column("file", JSON(none_as_null=True)),
    Column("project_id", Uuid),
    Column("job_id", Uuid),
    Column("status", words(AnalysisStatus), nullable=False),
    Column("error", JSON(none_as_null=True)),
    Column("score", Integer),
    Column("matched", Integer, nullable=False),
    Column("missing", Integer, nullable=False),
    Column("result", JSON(none_as_null=True)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("deletion_id", refers_to("deletions.id")),
    Column("version", Integer, nullable=False),
    Index(None, "owner", "created_at"),
    Index(None, "created_at"),
    Index(None, "deletion_id"),
)

job_analysis_files = Table(
    "job_analysis_files",
    metadata,
    Column("analysis_id", refers_to("job_analyses.id"), primary_key=True),
    Column("content", LargeBinary, nullable=False),
)


def map_knowledge() -> None:
    """Map the domain's classes to the tables; calling it again changes nothing."""
    if any(mapper.class_ is Project for mapper in mappers.mappers):
        return
    mappers.map_imperatively(Project, projects, version_id_col=projects.c.version)
    mappers.map_imperatively(Document, documents, version_id_col=documents.c.version)
    mappers.map_imperatively(Job, jobs)
    mappers.map_imperatively(JobAnalysis, job_analyses, version_id_col=job_analyses.c.version)
    configure_mappers()
