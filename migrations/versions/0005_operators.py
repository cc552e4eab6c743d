"""Other wires: what clients call their conversations, and what was asked in which."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

NAMED = sa.text("external_id IS NOT NULL")
STANDING = sa.text("restored_at IS NULL")
DELETED = sa.text("deletion_id IS NOT NULL")
UNSETTLED = sa.text("settled_at IS NULL")
MARKED = sa.text("mark IS NOT NULL")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    for table in ("replies", "jobs"):
        op.add_column(table, sa.Column("traceparent", sa.String(length=55)))
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
        sa.Column("reply_id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name="fk_transcripts_conversation_id_conversations",
            deferrable=True,
            initially="DEFERRED",
        ),
        sa.PrimaryKeyConstraint("owner", "digest", "reply_id", name="pk_transcripts"),
    )
    op.create_index("ix_transcripts_conversation_id", "transcripts", ["conversation_id"])
    op.create_index("ix_transcripts_reply_id", "transcripts", ["reply_id"])
    op.add_column("deletions", sa.Column("purging_since", sa.DateTime(timezone=True)))
    op.create_index(
        "ix_deletions_standing", "deletions", ["deleted_at"], sqlite_where=STANDING, postgresql_where=STANDING
    )
    # What is removed is looked for by whoever may refer to it.
    op.create_index("ix_rooms_deleted", "rooms", ["deletion_id"], sqlite_where=DELETED, postgresql_where=DELETED)
    op.create_index("ix_replies_conversation_id", "replies", ["conversation_id"])
    op.create_index("ix_sessions_room_id", "sessions", ["room_id"])
    op.create_index("ix_sessions_conversation_id", "sessions", ["conversation_id"])
    op.create_table(
        "purges",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("ids", sa.JSON(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("mark", sa.String(length=64)),
        sa.Column("purged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("number", name="pk_purges"),
    )
    op.create_index("ix_purges_purged_at", "purges", ["purged_at"])
    op.create_index("ix_purges_unsettled", "purges", ["number"], sqlite_where=UNSETTLED, postgresql_where=UNSETTLED)
    op.create_index("ix_purges_marked", "purges", ["purged_at"], sqlite_where=MARKED, postgresql_where=MARKED)


def downgrade() -> None:
    op.drop_table("purges")
    op.drop_index("ix_sessions_conversation_id", "sessions")
    op.drop_index("ix_sessions_room_id", "sessions")
    op.drop_index("ix_replies_conversation_id", "replies")
    op.drop_index("ix_rooms_deleted", "rooms")
    op.drop_index("ix_deletions_standing", "deletions")
    op.drop_column("deletions", "purging_since")
    for table in ("replies", "jobs"):
        op.drop_column(table, "traceparent")
    op.drop_table("transcripts")
    op.drop_index("uq_conversations_external_id", "conversations")
    op.drop_column("conversations", "external_id")
