"""Domain objects with what a test does not care about filled in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from application.conversations.posting import Posting
from domain.agents import BUILT_IN
from domain.conversations import Conversation
from domain.deletions import Deletion, Subject
from domain.identity import Principal, PrincipalKind
from domain.job_analyses import JobAnalysis
from domain.jobs import Job, JobKind
from domain.knowledge import Document, Project, Visibility
from domain.limits import Limits
from domain.messages import Message, NewQuestion
from domain.replies import Outcome, Reply, ReplyStatus
from domain.rooms import Room
from domain.sessions import OWN, Lifetime, Session

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ALICE = Principal(PrincipalKind.USER, "alice")
BOB = Principal(PrincipalKind.USER, "bob")
ADMIN = Principal(PrincipalKind.USER, "root", frozenset({"admin"}))


def later(minutes: float = 1) -> datetime:
    return NOW + timedelta(minutes=minutes)


def a_room(owner: Principal = ALICE, name: str = "Room", **given: Any) -> Room:
    options: dict[str, Any] = {"metadata": {}, "rooms_so_far": 0, "limits": Limits(), "now": NOW, "id": uuid4()} | given
    return Room.open(owner=owner, name=name, **options)


def a_session(owner: Principal = ALICE, binding: str = OWN, **given: Any) -> Session:
    defaults: dict[str, Any] = {
        "id": uuid4(),
        "room_id": None,
        "conversation_id": None,
        "agent": None,
        "context": {},
        "metadata": {},
        "lifetime": Lifetime(),
        "limits": Limits(),
        "now": NOW,
    }
    return Session.open(owner=owner.key, binding=binding, **(defaults | given))


def a_conversation(owner: Principal = ALICE, **given: Any) -> Conversation:
    defaults: dict[str, Any] = {
        "id": uuid4(),
        "room_id": None,
        "title": None,
        "agent": None,
        "metadata": {},
        "agents": BUILT_IN,
        "limits": Limits(),
        "now": NOW,
    }
    return Conversation.start(owner=owner.key, **(defaults | given))


def a_posting(now: datetime = NOW, limits: Limits | None = None) -> Posting:
    cancel: Any = None  # Nothing is to be interrupted.
    return Posting(cancel, uuid4, lambda: now, BUILT_IN, limits or Limits())


def asked(conversation: Conversation, content: str = "Why?", **given: Any) -> tuple[Message, Reply]:
    """`given` is for Conversation.ask, or for the question."""
    said = {name: given.pop(name) for name in ("agent", "metadata", "instructions") if name in given}
    defaults: dict[str, Any] = {
        "message_id": uuid4(),
        "reply_id": uuid4(),
        "live_replies": 0,
        "agents": BUILT_IN,
        "limits": Limits(),
        "now": NOW,
    }
    return conversation.ask(NewQuestion(content, **said), **(defaults | given))


def answered(
    conversation: Conversation, content: str = "Why?", text: str = "Because.", **given: Any
) -> tuple[Message, Reply, Message]:
    question, reply = asked(conversation, content, **given)
    reply.claim(NOW)
    reply.end(completed(text), epoch=reply.epoch, final_seq=3, now=NOW)
    return question, reply, conversation.take_answer(reply, NOW)


def completed(text: str = "Because.") -> Outcome:
    return Outcome(status=ReplyStatus.COMPLETED, text=text)


def a_project(owner: Principal = ALICE, name: str = "Project", **given: Any) -> Project:
    options: dict[str, Any] = {
        "id": uuid4(),
        "key": None,
        "description": "",
        "visibility": Visibility.PRIVATE,
        "metadata": {},
        "projects_so_far": 0,
        "limits": Limits(),
        "now": NOW,
    }
    return Project.open(owner=owner, name=name, **(options | given))


def a_document(project: Project, name: str = "notes.md", **given: Any) -> Document:
    options: dict[str, Any] = {
        "id": uuid4(),
        "title": None,
        "media_type": "text/markdown",
        "size": 10,
        "fingerprint": "f" * 64,
        "metadata": {},
        "documents_so_far": 0,
        "limits": Limits(),
        "now": NOW,
    }
    return Document.add(project=project, name=name, **(options | given))


def a_job(kind: JobKind = JobKind.INGEST, **given: Any) -> Job:
    options: dict[str, Any] = {"id": uuid4(), "subject_id": uuid4(), "owner": ALICE.key, "now": NOW}
    return Job.queue(kind=kind, **(options | given))


def a_job_analysis(text: str = "Requirements: Zig", owner: Principal = ALICE, **given: Any) -> JobAnalysis:
    options: dict[str, Any] = {
        "id": uuid4(),
        "title": None,
        "project_id": None,
        "analyses_so_far": 0,
        "limits": Limits(),
        "now": NOW,
    }
    return JobAnalysis.of_text(text, owner=owner, **(options | given))


def a_deletion(subject: Subject, subject_id: UUID, at: datetime = NOW) -> Deletion:
    return Deletion(
        id=uuid4(),
        owner=ALICE.key,
        subject=subject,
        subject_id=subject_id,
        conversation_count=1,
        message_count=0,
        deleted_at=at,
    )
