"""The documents of the API, made from entities: what commands answer with and what read models store.

An entity and a row of its table answer to the same names, so the SQL reader makes its documents here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from application.ports.persistence import Document
from domain.conversations import Conversation
from domain.deletions import Deletion, Subject
from domain.jobs import LIVE, Job, JobStatus
from domain.knowledge import Document as KnowledgeDocument
from domain.knowledge import DocumentStatus, Project
from domain.messages import Message
from domain.replies import Reply
from domain.rooms import Room
from domain.sessions import Session


def room_document(
    room: Room,
    *,
    conversation_count: int = 0,
    message_count: int = 0,
    last_message: dict[str, Any] | None = None,
    last_activity_at: datetime | None = None,
) -> Document:
    """A room with what its conversations add up to."""
    return {
        "id": room.id,
        "name": room.name,
        "metadata": room.metadata,
        "conversation_count": conversation_count,
        "message_count": message_count,
        "last_message": last_message,
        "last_activity_at": last_activity_at or room.created_at,
        "created_at": room.created_at,
        "updated_at": room.updated_at,
        "version": room.version,
    }


def conversation_document(conversation: Conversation) -> Document:
    """A conversation without its messages."""
    return {
        "id": conversation.id,
        "room_id": conversation.room_id,
        "title": conversation.title,
        "agent": conversation.agent,
        "project_id": conversation.project_id,
        "external_id": conversation.external_id,
        "metadata": conversation.metadata,
        "message_count": conversation.message_count,
        "last_message": conversation.last_message,
        "live_reply_id": conversation.live_reply_id,
        "last_activity_at": conversation.last_activity_at,
        "created_at": conversation.created_at,
        "updated_at": conversation.updated_at,
        "version": conversation.version,
    }


def message_document(message: Message) -> Document:
    """A message as it stands in the history."""
    return {
        "id": message.id,
        "conversation_id": message.conversation_id,
        "position": message.position,
        "version": message.version,
        "role": message.role,
        "content": message.content,
        "status": message.status,
        "agent": message.agent,
        "sources": message.sources,
        "tool_calls": message.tool_calls or [],
        "error": message.error,
        "metadata": message.metadata,
        "parent_id": message.parent_id,
        "alternatives": message.alternatives,
        "feedback": message.feedback,
        "created_at": message.created_at,
    }


def reply_document(reply: Reply) -> Document:
    """A reply; `text` is the last checkpoint while it runs, the whole text afterwards."""
    return {
        "id": reply.id,
        "conversation_id": reply.conversation_id,
        "position": reply.position,
        "version": reply.version,
        "agent": reply.agent,
        "project_id": reply.project_id,
        "status": reply.status,
        "text": reply.text,
        "sources": reply.sources,
        "tool_calls": reply.tool_calls or [],
        "error": reply.error,
        "metadata": reply.metadata,
        "cancel_requested": reply.cancel_requested_at is not None,
        "final_seq": reply.final_seq,
        "created_at": reply.created_at,
        "started_at": reply.started_at,
        "finished_at": reply.finished_at,
    }


def asked_document(question: Message, reply: Reply) -> Document:
    """A question as it was taken, and the reply that will answer it."""
    return {"message": message_document(question), "reply": reply_document(reply)}


def regenerated_document(reply: Reply) -> Document:
    """The reply that is to be another version of an answer."""
    return {"reply": reply_document(reply)}


def session_document(session: Session, now: datetime) -> Document:
    """A session as it stands at `now`: `open`, `closed` or `expired`."""
    if session.closed_at is not None:
        status = "expired" if session.close_reason == "expired" else "closed"
    else:
        status = "open" if now < session.expires_at else "expired"
    return {
        "id": session.id,
        "status": status,
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


def project_document(project: Project, asker: str, *, document_count: int = 0, passage_count: int = 0) -> Document:
    """A project and what its documents add up to, as `asker` sees it."""
    return {
        "id": project.id,
        "key": project.key,
        "name": project.name,
        "description": project.description,
        "visibility": project.visibility,
        "is_own": project.owner == asker,
        "metadata": project.metadata,
        "document_count": document_count,
        "passage_count": passage_count,
        "created_at": project.created_at,
        "updated_at": project.updated_at,
        "version": project.version,
    }


def document_of_project(document: KnowledgeDocument, job: Job | None, space: str | None = None) -> Document:
    """A document of a project, without its text; `job` is the one that reads it in or embeds it, if there is one.

    `space` is that of the vectors that questions have, None where they have none: `embedded` says whether these find
    it. It is `processing` while that runs for the first time, and has `progress` whenever it lives.
    """
    is_live = job is not None and job.status in LIVE
    is_begun = job is not None and job.status is JobStatus.RUNNING
    status: str = document.status
    return {
        "id": document.id,
        "project_id": document.project_id,
        "name": document.name,
        "title": document.title or document.name,
        "media_type": document.media_type,
        "size": document.size,
        "status": "processing" if is_begun and document.status is DocumentStatus.QUEUED else status,
        "progress": {"done": job.done, "total": job.total} if job is not None and is_live else None,
        "error": document.error,
        "characters": document.characters,
        "passage_count": document.passage_count,
        "embedded": space is not None and document.embedded_with == space,
        "metadata": document.metadata,
        "created_at": document.created_at,
        "updated_at": document.updated_at,
        "ingested_at": document.ingested_at,
        "version": document.version,
    }


def deletion_document(deletion: Deletion) -> Document:
    """What a deletion took."""
    return {
        "id": deletion.id,
        "subject": deletion.subject,
        "subject_id": deletion.subject_id,
        "conversation_count": deletion.conversation_count,
        "message_count": deletion.message_count,
        "document_count": deletion.document_count,
        "deleted_at": deletion.deleted_at,
    }


def restorable_document(
    deletion_id: UUID, subject: Subject, subject_id: UUID, deleted_at: datetime, *, kept: timedelta
) -> Document:
    """With what a thing was deleted, and from when on a clean-up removes it for good."""
    return {
        "id": deletion_id,
        "subject": subject,
        "subject_id": subject_id,
        "deleted_at": deleted_at,
        "restorable_until": deleted_at + kept,
    }


def page_document(items: Sequence[Document], *, total: int, limit: int, offset: int | None) -> Document:
    """A page of a list; one that was found by a cursor has no offset."""
    return {"items": list(items), "total": total, "limit": limit, "offset": offset}
