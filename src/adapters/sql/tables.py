"""The tables, and how the entities map to them. `migrations/` holds how they came to be."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.orm import configure_mappers, registry

from application.telemetry import traceparent
from domain.conversations import Conversation
from domain.deletions import Deletion, Subject
from domain.messages import Message, Role
from domain.replies import LIVE, Reply, ReplyStatus
from domain.rooms import Room
from domain.sessions import CloseReason, Session

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time, also on engines that forget the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times: they would be read as some other zone's."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a naive time: {value!r}")
        return value.astimezone(UTC).replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Put the zone back."""
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


Number = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit key that SQLite can count up by itself (only INTEGER can be its rowid)."""


def words(kind: type[Any], length: int = 20) -> Enum:
    """An enumeration as its words: a new word needs no change of the type."""
    return Enum(
        kind, native_enum=False, create_constraint=False, length=length, values_callable=lambda k: [e.value for e in k]
    )


def refers_to(column: str) -> ForeignKey:
    """A reference that is checked at the commit: the order in which a transaction writes its rows is free."""
    return ForeignKey(column, deferrable=True, initially="DEFERRED")


_LIVE = text(f"status IN ({', '.join(repr(status.value) for status in sorted(LIVE))})")

_OPEN = text("closed_at IS NULL")

_NAMED = text("external_id IS NOT NULL")

_STANDING = text("restored_at IS NULL")

_DELETED = text("deletion_id IS NOT NULL")

_UNSETTLED = text("settled_at IS NULL")

_MARKED = text("mark IS NOT NULL")

visitors = Table(
    "visitors",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("claimed_by", String(220)),
    Column("claimed_at", UtcDateTime),
)

deletions = Table(
    "deletions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("owner", String(220), nullable=False),
    Column("subject", words(Subject), nullable=False),
    Column("subject_id", Uuid, nullable=False),
    Column("conversation_count", Integer, nullable=False),
    Column("message_count", Integer, nullable=False),
    Column("document_count", Integer, nullable=False, server_default="0"),
    Column("deleted_at", UtcDateTime, nullable=False),
    Column("restored_at", UtcDateTime),
    Column("purging_since", UtcDateTime),
    Index(None, "subject_id"),
    Index("ix_deletions_standing", "deleted_at", sqlite_where=_STANDING, postgresql_where=_STANDING),
)

rooms = Table(
    "rooms",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("owner", String(220), nullable=False),
    Column("name", Text, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("deletion_id", refers_to("deletions.id")),
    Column("version", Integer, nullable=False),
    Index(None, "owner", "deletion_id"),
    Index("ix_rooms_deleted", "deletion_id", sqlite_where=_DELETED, postgresql_where=_DELETED),
)

conversations = Table(
    "conversations",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("owner", String(220), nullable=False),
    Column("room_id", refers_to("rooms.id")),
    Column("title", Text, nullable=False),
    Column("agent", String(100), nullable=False),
    Column("project_id", Uuid),
    Column("external_id", String(200)),
    Column("metadata", JSON, nullable=False),
    Column("next_position", Integer, nullable=False),
    Column("message_count", Integer, nullable=False),
    Column("live_reply_id", Uuid),
    Column("head_id", Uuid),
    Column("reached", Integer),
    Column("forgotten", JSON(none_as_null=True)),
    Column("last_message", JSON(none_as_null=True)),
    Column("last_activity_at", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("deletion_id", refers_to("deletions.id")),
    Column("version", Integer, nullable=False),
    Index(None, "owner", "last_activity_at"),
    Index(None, "room_id", "last_activity_at"),
    Index(None, "deletion_id"),
    Index(
        "uq_conversations_external_id",
        "owner",
        "external_id",
        unique=True,
        sqlite_where=_NAMED,
        postgresql_where=_NAMED,
    ),
)

messages = Table(
    "messages",
    metadata,
    # The document number that the full-text index refers to; everything else refers to the id.
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("id", Uuid, nullable=False),
    Column("conversation_id", refers_to("conversations.id"), nullable=False),
    Column("owner", String(220), nullable=False),
    Column("position", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("role", words(Role), nullable=False),
    Column("content", Text, nullable=False),
    Column("status", String(20), nullable=False),
    Column("agent", String(100)),
    Column("sources", JSON, nullable=False),
    Column("tool_calls", JSON(none_as_null=True)),
    Column("error", JSON(none_as_null=True)),
    Column("metadata", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("superseded_by", Uuid),
    Column("parent_id", Uuid),
    Column("alternatives", Integer, nullable=False, server_default="0"),
    Column("feedback", JSON(none_as_null=True)),
    UniqueConstraint("id"),
    UniqueConstraint("conversation_id", "position", "version"),
    Index(None, "superseded_by"),
    Index(None, "owner", "created_at"),
    CheckConstraint("position >= 1", name="position_from_1"),
)

replies = Table(
    "replies",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("conversation_id", refers_to("conversations.id"), nullable=False),
    Column("owner", String(220), nullable=False),
    Column("position", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("agent", String(100), nullable=False),
    Column("parent_id", Uuid),
    Column("session_id", Uuid),
    Column("window_from", Integer),
    Column("project_id", Uuid),
    Column("status", words(ReplyStatus), nullable=False),
    Column("text", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("lease_until", UtcDateTime),
    Column("cancel_requested_at", UtcDateTime),
    Column("seq_ceiling", Integer, nullable=False),
    Column("final_seq", Integer),
    Column("error", JSON(none_as_null=True)),
    Column("sources", JSON, nullable=False),
    Column("tool_calls", JSON(none_as_null=True)),
    Column("metadata", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("traceparent", String(55), default=traceparent),
    Index(None, "conversation_id"),
    Index("uq_replies_one_live", "conversation_id", unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE),
    Index("ix_replies_live_owner", "owner", sqlite_where=_LIVE, postgresql_where=_LIVE),
    Index("ix_replies_live_status", "status", "created_at", sqlite_where=_LIVE, postgresql_where=_LIVE),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("owner", String(220), nullable=False),
    Column("binding", String(60), nullable=False),
    Column("room_id", refers_to("rooms.id")),
    Column("conversation_id", refers_to("conversations.id")),
    Column("agent", String(100)),
    Column("context", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("rating", Integer),
    Column("rating_comment", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("active_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False),
    Column("closed_at", UtcDateTime),
    Column("close_reason", words(CloseReason)),
    Column("version", Integer, nullable=False),
    CheckConstraint("rating BETWEEN 1 AND 5", name="rating_1_to_5"),
    Index("uq_sessions_one_open", "owner", "binding", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
    Index(None, "owner", "created_at"),
    Index(None, "room_id"),
    Index(None, "conversation_id"),
    Index("ix_sessions_open_expiry", "expires_at", sqlite_where=_OPEN, postgresql_where=_OPEN),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("owner", String(220), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("attempt", Uuid, nullable=False),
    Column("answer", JSON(none_as_null=True)),
    Column("locked_until", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
)

transcripts = Table(
    "transcripts",
    metadata,
    Column("owner", String(220), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("reply_id", Uuid, primary_key=True, index=True),
    Column("conversation_id", refers_to("conversations.id"), nullable=False, index=True),
    Column("asked_at", UtcDateTime, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("name", String(100), nullable=False),
    Column("subject_id", Uuid, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("recorded_at", UtcDateTime, index=True),
    Column("due_at", UtcDateTime),  # later than a few seconds after that, once it was refused
)

# What was removed for good, so that every other store forgets it too, and that this can be proved. It holds ids and
# counts, and no personal data: a person is a keyed hash.
purges = Table(
    "purges",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("ids", JSON, nullable=False),
    Column("counts", JSON, nullable=False),
    Column("mark", String(64)),
    Column("purged_at", UtcDateTime, nullable=False, index=True),
    Column("settled_at", UtcDateTime),
    Index("ix_purges_unsettled", "number", sqlite_where=_UNSETTLED, postgresql_where=_UNSETTLED),
    Index("ix_purges_marked", "purged_at", sqlite_where=_MARKED, postgresql_where=_MARKED),
)

mappers = registry(metadata=metadata)


def map_entities() -> None:
    """Map the domain's classes to the tables; calling it again changes nothing."""
    if mappers.mappers:
        return
    mappers.map_imperatively(Room, rooms, version_id_col=rooms.c.version)
    mappers.map_imperatively(Conversation, conversations, version_id_col=conversations.c.version)
    mappers.map_imperatively(Message, messages, primary_key=[messages.c.id], exclude_properties=["number"])
    mappers.map_imperatively(Reply, replies)
    mappers.map_imperatively(Deletion, deletions)
    mappers.map_imperatively(Session, sessions, version_id_col=sessions.c.version)
    configure_mappers()
