"""Other wires: what clients call their conversations, and what was asked in which."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

NAMED = sa.text("external_id IS NOT NULL")


def upgrade() -> None:
    op.add_column("conversations", sa.Column("external_id", sa.String(length=200)))
    op.create_index(
        "uq_conversations_external_id",
        "conversations",
        ["owner", "external_id"],
        unique=True,
        sqlite_where=NAMED,
        postgresql_where=NAMED,
    )
    op.create_table(
        "transcripts",
        sa.Column("owner", sa.String(length=220), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("reply_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name="fk_transcripts_conversation_id_conversations",
            deferrable=True,
            initially="DEFERRED",
        ),
        sa.PrimaryKeyConstraint("owner", "digest", name="pk_transcripts"),
    )
    op.create_index("ix_transcripts_conversation_id", "transcripts", ["conversation_id"])


def downgrade() -> None:
    op.drop_table("transcripts")
    op.drop_index("uq_conversations_external_id", "conversations")
    op.drop_column("conversations", "external_id")
