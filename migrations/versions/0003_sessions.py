"""Sessions, branches of conversations, feedback, claimed visitors, idempotency keys."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

OPEN = sa.text("closed_at IS NULL")

# Up to now only the last answer of a conversation could have versions: what all of them answer is current. Every other
# message follows the one before it, and need not say so: on PostgreSQL it would have to be indexed anew for that.
VERSIONS = """
    UPDATE messages SET
        parent_id = (
            SELECT before.id FROM messages AS before
            WHERE before.conversation_id = messages.conversation_id
            AND before.position = messages.position - 1 AND before.superseded_by IS NULL
        ),
        alternatives = (
            SELECT count(*) - 1 FROM messages AS version
            WHERE version.conversation_id = messages.conversation_id AND version.position = messages.position
        )
    WHERE EXISTS (
        SELECT 1 FROM messages AS other
        WHERE other.conversation_id = messages.conversation_id AND other.position = messages.position
        AND other.id <> messages.id
    )
"""


def upgrade() -> None:
    op.add_column("visitors", sa.Column("claimed_by", sa.String(length=220)))
    op.add_column("visitors", sa.Column("claimed_at", sa.DateTime(timezone=True)))
    op.add_column("conversations", sa.Column("head_id", sa.Uuid()))
    op.add_column("conversations", sa.Column("reached", sa.Integer()))
    op.add_column("conversations", sa.Column("forgotten", sa.JSON(none_as_null=True)))
    op.add_column("messages", sa.Column("parent_id", sa.Uuid()))
    op.add_column("messages", sa.Column("alternatives", sa.Integer(), server_default="0", nullable=False))
    op.add_column("messages", sa.Column("feedback", sa.JSON(none_as_null=True)))
    op.add_column("replies", sa.Column("parent_id", sa.Uuid()))
    op.add_column("replies", sa.Column("session_id", sa.Uuid()))
    op.add_column("replies", sa.Column("window_from", sa.Integer()))
    op.execute(VERSIONS)
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.String(length=220), nullable=False),
        sa.Column("binding", sa.String(length=60), nullable=False),
        sa.Column("room_id", sa.Uuid()),
        sa.Column("conversation_id", sa.Uuid()),
        sa.Column("agent", sa.String(length=100)),
        sa.Column("context", sa.JSON(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("rating", sa.Integer()),
        sa.Column("rating_comment", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("active_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True)),
        sa.Column("close_reason", sa.String(length=20)),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("rating BETWEEN 1 AND 5", name="ck_sessions_rating_1_to_5"),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name="fk_sessions_conversation_id_conversations",
            deferrable=True,
            initially="DEFERRED",
        ),
        sa.ForeignKeyConstraint(
            ["room_id"], ["rooms.id"], name="fk_sessions_room_id_rooms", deferrable=True, initially="DEFERRED"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
    )
    op.create_index(
        "uq_sessions_one_open", "sessions", ["owner", "binding"], unique=True, sqlite_where=OPEN, postgresql_where=OPEN
    )
    op.create_index("ix_sessions_owner_created_at", "sessions", ["owner", "created_at"])
    op.create_index("ix_sessions_open_expiry", "sessions", ["expires_at"], sqlite_where=OPEN, postgresql_where=OPEN)
    op.create_table(
        "idempotency_keys",
        sa.Column("owner", sa.String(length=220), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("attempt", sa.Uuid(), nullable=False),
        sa.Column("answer", sa.JSON(none_as_null=True)),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("owner", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_expires_at", "idempotency_keys", ["expires_at"])


def downgrade() -> None:
    op.drop_table("idempotency_keys")
    op.drop_table("sessions")
    for table, columns in {
        "replies": ["window_from", "session_id", "parent_id"],
        "messages": ["feedback", "alternatives", "parent_id"],
        "conversations": ["forgotten", "reached", "head_id"],
        "visitors": ["claimed_at", "claimed_by"],
    }.items():
        for column in columns:
            op.drop_column(table, column)  # Not in a batch, which would make the table anew, and its triggers not.
