"""The records of an export, in JSON values. docs/export.md describes them; `reading.py` takes them in again.

An entity and a row of its table answer to the same names, so what reads the tables makes its records here.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from application.ports.persistence import Document
from domain.conversations import Conversation
from domain.deletions import Deletion
from domain.job_analyses import JobAnalysis
from domain.knowledge import Document as KnowledgeDocument
from domain.knowledge import Project
from domain.messages import Message
from domain.replies import Reply
from domain.rooms import Room
from domain.sessions import Session

FORMAT = "parley-export"
VERSION = 1
"""Raised when what an older Parley would take in wrongly is added."""


class Visitor(Protocol):
    """A visitor as it is kept."""

    id: UUID
    created_at: datetime
    claimed_by: str | None
    claimed_at: datetime | None


def header(**about: object) -> Document:
    """The first record: what this is, and `about` what."""
    return {"format": FORMAT, "version": VERSION, **about}


def end(counts: dict[str, int]) -> Document:
    """The last record, without which an export is not whole: how many there were of each type."""
    return {"type": "end", "counts": counts}


def visitor_record(visitor: Visitor) -> Document:
    """Who came without an account."""
    return {
        "type": "visitor",
        "id": visitor.id,
        "created_at": visitor.created_at,
        "claimed_by": visitor.claimed_by,
        "claimed_at": visitor.claimed_at,
    }


def room_record(room: Room, deletion: Deletion | None) -> Document:
    """A room, without its conversations."""
    return {
        "type": "room",
        "id": room.id,
        "owner": room.owner,
        "name": room.name,
        "metadata": room.metadata,
        "created_at": room.created_at,
        "updated_at": room.updated_at,
        "deletion": _deletion(deletion),
    }


def conversation_record(conversation: Conversation, deletion: Deletion | None) -> Document:
    """A conversation; its messages follow it."""
    return {
        "type": "conversation",
        "id": conversation.id,
        "owner": conversation.owner,
        "room_id": conversation.room_id,
        "project_id": conversation.project_id,
        "external_id": conversation.external_id,
        "title": conversation.title,
        "agent": conversation.agent,
        "metadata": conversation.metadata,
        "forgotten": conversation.forgotten,
        "last_activity_at": conversation.last_activity_at,
        "created_at": conversation.created_at,
        "updated_at": conversation.updated_at,
        "deletion": _deletion(deletion),
    }


def message_record(message: Message, reply: Reply | None) -> Document:
    """A message and, of an answer, what is known of its reply beside it."""
    return {
        "type": "message",
        "id": message.id,
        "conversation_id": message.conversation_id,
        "position": message.position,
        "version": message.version,
        "parent_id": message.parent_id,
        "superseded_by": message.superseded_by,
        "role": message.role,
        "content": message.content,
        "status": message.status,
        "agent": message.agent,
        "sources": message.sources,
        "tool_calls": message.tool_calls,
        "error": message.error,
        "metadata": message.metadata,
        "feedback": message.feedback,
        "created_at": message.created_at,
        "reply": _reply(reply),
    }


def session_record(session: Session) -> Document:
    """A session."""
    return {
        "type": "session",
        "id": session.id,
        "owner": session.owner,
        "binding": session.binding,
        "room_id": session.room_id,
        "conversation_id": session.conversation_id,
        "agent": session.agent,
        "context": session.context,
        "metadata": session.metadata,
        "rating": session.rating,
        "rating_comment": session.rating_comment,
        "created_at": session.created_at,
        "active_at": session.active_at,
        "expires_at": session.expires_at,
        "ends_at": session.ends_at,
        "closed_at": session.closed_at,
        "close_reason": session.close_reason,
    }


def project_record(project: Project, deletion: Deletion | None) -> Document:
    """A project, without its documents."""
    return {
        "type": "project",
        "id": project.id,
        "owner": project.owner,
        "key": project.key,
        "name": project.name,
        "description": project.description,
        "visibility": project.visibility,
        "metadata": project.metadata,
        "created_at": project.created_at,
        "updated_at": project.updated_at,
        "deletion": _deletion(deletion),
    }


def document_record(document: KnowledgeDocument, deletion: Deletion | None) -> Document:
    """Without its file; see `with_content`."""
    return {
        "type": "document",
        "id": document.id,
        "project_id": document.project_id,
        "owner": document.owner,
        "name": document.name,
        "title": document.title,
        "media_type": document.media_type,
        "metadata": document.metadata,
        "created_at": document.created_at,
        "updated_at": document.updated_at,
        "deletion": _deletion(deletion),
    }


def with_content(record: Document, content: bytes) -> Document:
    """The same with the file, in Base64 (RFC 4648, section 4)."""
    return record | {"content": b64encode(content).decode()}


def job_analysis_record(analysis: JobAnalysis, deletion: Deletion | None) -> Document:
    """A job analysis with its result."""
    return {
        "type": "job_analysis",
        "id": analysis.id,
        "owner": analysis.owner,
        "title": analysis.title,
        "text": analysis.text,
        "file": analysis.file,
        "project_id": analysis.project_id,
        "status": analysis.status,
        "error": analysis.error,
        "score": analysis.score,
        "matched": analysis.matched,
        "missing": analysis.missing,
        "result": analysis.result,
        "created_at": analysis.created_at,
        "updated_at": analysis.updated_at,
        "finished_at": analysis.finished_at,
        "deletion": _deletion(deletion),
    }


def _deletion(deletion: Deletion | None) -> dict[str, Any] | None:
    if deletion is None:
        return None
    return {
        "id": deletion.id,
        "subject": deletion.subject,
        "subject_id": deletion.subject_id,
        "conversation_count": deletion.conversation_count,
        "message_count": deletion.message_count,
        "document_count": deletion.document_count,
        "deleted_at": deletion.deleted_at,
    }


def _reply(reply: Reply | None) -> dict[str, Any] | None:
    """What is known of a reply beside its message."""
    if reply is None:
        return None
    return {
        "session_id": reply.session_id,
        "project_id": reply.project_id,
        "final_seq": reply.final_seq,
        "created_at": reply.created_at,
        "started_at": reply.started_at,
        "finished_at": reply.finished_at,
    }
