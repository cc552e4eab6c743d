"""Knowledge: projects, documents, passages, background jobs; what conversations and replies know of them."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

PRESENT = sa.text("deletion_id IS NULL")
LIVE = sa.text("status IN ('queued', 'running')")

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# pgvector casts real[]: the tables are the same where it is not installed.
VECTOR = sa.LargeBinary().with_variant(postgresql.ARRAY(sa.REAL()), "postgresql")

# Terms are made by Parley, that of the passage's project among them: the tokenizer only parts them at spaces.
PASSAGES_FTS = (
    """
    CREATE VIRTUAL TABLE passages_fts USING fts5(terms, detail = none, tokenize = "ascii tokenchars '_.+#^@'")
    """,
    """
    CREATE TRIGGER passages_fts_delete AFTER DELETE ON passages BEGIN
        DELETE FROM passages_fts WHERE rowid = old.number;
    END
    """,
)


def refers_to(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [f"{target}.id"], name=f"fk_{table}_{column}_{target}", deferrable=True, initially="DEFERRED"
    )


def upgrade() -> None:
    op.add_column("deletions", sa.Column("document_count", sa.Integer(), server_default="0", nullable=False))
    op.add_column("conversations", sa.Column("project_id", sa.Uuid()))
    op.add_column("messages", sa.Column("tool_calls", sa.JSON(none_as_null=True)))
    op.create_index("ix_messages_owner_created_at", "messages", ["owner", "created_at"])
    op.add_column("replies", sa.Column("project_id", sa.Uuid()))
    op.add_column("replies", sa.Column("tool_calls", sa.JSON(none_as_null=True)))
    op.create_table(
        "projects",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.String(length=220), nullable=False),
        sa.Column("key", sa.String(length=60), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("visibility", sa.String(length=20), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("content_version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deletion_id", sa.Uuid()),
        sa.Column("version", sa.Integer(), nullable=False),
        refers_to("projects", "deletion_id", "deletions"),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
    )
    op.create_index(
        "uq_projects_key", "projects", ["owner", "key"], unique=True, sqlite_where=PRESENT, postgresql_where=PRESENT
    )
    op.create_index(
        "ix_projects_visibility", "projects", ["visibility"], sqlite_where=PRESENT, postgresql_where=PRESENT
    )
    op.create_table(
        "documents",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.String(length=220), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("media_type", sa.String(length=200), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.Uuid()),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True)),
        sa.Column("characters", sa.Integer(), nullable=False),
        sa.Column("passage_count", sa.Integer(), nullable=False),
        sa.Column("ingested", sa.String(length=64)),
        sa.Column("embedded_with", sa.String(length=200)),
        sa.Column("refused_by", sa.String(length=200)),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ingested_at", sa.DateTime(timezone=True)),
        sa.Column("deletion_id", sa.Uuid()),
        sa.Column("version", sa.Integer(), nullable=False),
        refers_to("documents", "project_id", "projects"),
        refers_to("documents", "deletion_id", "deletions"),
        sa.PrimaryKeyConstraint("id", name="pk_documents"),
    )
    op.create_index(
        "uq_documents_name",
        "documents",
        ["project_id", "name"],
        unique=True,
        sqlite_where=PRESENT,
        postgresql_where=PRESENT,
    )
    op.create_index("ix_documents_deletion_id", "documents", ["deletion_id"])
    op.create_table(
        "document_contents",
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        refers_to("document_contents", "document_id", "documents"),
        sa.PrimaryKeyConstraint("document_id", name="pk_document_contents"),
    )
    op.create_table(
        "passages",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("heading", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("page", sa.Integer()),
        refers_to("passages", "document_id", "documents"),
        refers_to("passages", "project_id", "projects"),
        sa.PrimaryKeyConstraint("number", name="pk_passages"),
    )
    op.create_index("ix_passages_document_id_place", "passages", ["document_id", "place"], unique=True)
    op.create_index("ix_passages_project_id", "passages", ["project_id"])
    op.create_table(
        "passage_vectors",
        sa.Column("number", NUMBER, autoincrement=False, nullable=False),
        sa.Column("space", sa.String(length=200), nullable=False),
        sa.Column("dimension", sa.Integer(), nullable=False),
        sa.Column("vector", VECTOR, nullable=False),
        sa.ForeignKeyConstraint(
            ["number"], ["passages.number"], name="fk_passage_vectors_number_passages", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("number", name="pk_passage_vectors"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE passages ADD COLUMN terms tsvector NOT NULL")
        # A list of pending entries would be walked by every search until the next vacuum.
        op.execute("CREATE INDEX ix_passages_terms ON passages USING gin (terms) WITH (fastupdate = off)")
        # Floats cannot be compressed.
        op.execute("ALTER TABLE passage_vectors ALTER COLUMN vector SET STORAGE EXTERNAL")
    else:
        for statement in PASSAGES_FTS:
            op.execute(statement)
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.String(length=220), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("retries", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_live", "jobs", ["due_at"], sqlite_where=LIVE, postgresql_where=LIVE)
    op.create_index("ix_jobs_subject_id", "jobs", ["subject_id"])
    op.create_table(
        "job_analyses",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.String(length=220), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("text", sa.Text()),
        sa.Column("file", sa.JSON(none_as_null=True)),
        sa.Column("project_id", sa.Uuid()),
        sa.Column("job_id", sa.Uuid()),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True)),
        sa.Column("score", sa.Integer()),
        sa.Column("matched", sa.Integer(), nullable=False),
        sa.Column("missing", sa.Integer(), nullable=False),
        sa.Column("result", sa.JSON(none_as_null=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("deletion_id", sa.Uuid()),
        sa.Column("version", sa.Integer(), nullable=False),
        refers_to("job_analyses", "deletion_id", "deletions"),
        sa.PrimaryKeyConstraint("id", name="pk_job_analyses"),
    )
    op.create_index("ix_job_analyses_owner_created_at", "job_analyses", ["owner", "created_at"])
    op.create_index("ix_job_analyses_created_at", "job_analyses", ["created_at"])
    op.create_index("ix_job_analyses_deletion_id", "job_analyses", ["deletion_id"])
    op.create_table(
        "job_analysis_files",
        sa.Column("analysis_id", sa.Uuid(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        refers_to("job_analysis_files", "analysis_id", "job_analyses"),
        sa.PrimaryKeyConstraint("analysis_id", name="pk_job_analysis_files"),
    )


def downgrade() -> None:
    op.drop_index("ix_messages_owner_created_at", "messages")
    op.drop_table("job_analysis_files")
    op.drop_table("job_analyses")
    op.drop_table("jobs")
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE passages_fts")
    for table in ("passage_vectors", "passages", "document_contents", "documents", "projects"):
        op.drop_table(table)
    for table, columns in {
        "replies": ["tool_calls", "project_id"],
        "messages": ["tool_calls"],
        "conversations": ["project_id"],
        "deletions": ["document_count"],
    }.items():
        for column in columns:
            op.drop_column(table, column)  # Not in a batch, which would make the table anew, and its triggers not.
