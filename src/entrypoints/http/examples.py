"""What requests and answers look like: one example for each schema of the OpenAPI document, by its name in there."""

from __future__ import annotations

from typing import Any

from entrypoints.http import client_examples
from entrypoints.http.refusals import REFUSALS

Json = dict[str, Any]

_NAMES = ("room", "conversation", "question", "reply", "session", "project", "document", "analysis", "deletion")
_IDS = {name: f"018f3a1e-7c42-7d2b-9a55-3f0c8b1e6d{number:02x}" for number, name in enumerate(_NAMES, 0x10)}
_REQUEST = "018f3a1e-7c42-7d2b-9a55-3f0c8b1e6d90"
_VISITOR = "018f3a1e-7c42-7d2b-9a55-3f0c8b1e6d91"

_BEFORE = "2026-03-02T09:12:31.481000Z"
_NOW = "2026-03-02T09:12:33.902000Z"
_LATER = "2026-03-02T09:42:33.902000Z"
_MUCH_LATER = "2026-03-03T09:12:31.481000Z"

_QUESTION = "How long may I return what I bought?"
_ANSWER = "You may return it within 30 days [1]."

_LAST_MESSAGE = {"role": "assistant", "preview": _ANSWER, "created_at": _NOW}

_SOURCE = {
    "number": 1,
    "title": "Returns",
    "heading": "Returns › How long",
    "document": "returns.md",
    "document_id": _IDS["document"],
    "project_id": _IDS["project"],
    "page": None,
    "excerpt": "What was bought may be returned within 30 days.",
    "relevance": 0.92,
}

_TOOL_RESULT = {
    "id": "call_1",
    "name": "search_knowledge",
    "result": "[1] Returns: What was bought may be returned within 30 days.",
    "error": None,
    "truncated": False,
    "duration_ms": 12,
}

_TOOL_ARGUMENTS = {"query": "return period"}

_MEASURED = {
    "model": "gpt-4.1-mini",
    "usage": {"input_tokens": 412, "output_tokens": 14},
    "response_time_ms": 1840,
    "time_to_first_token_ms": 410,
    "chunks_used": 1,
    "confidence": 0.87,
}

_ASKED = {
    "id": _IDS["question"],
    "conversation_id": _IDS["conversation"],
    "position": 1,
    "version": 1,
    "role": "user",
    "content": _QUESTION,
    "status": "completed",
    "agent": None,
    "sources": [],
    "tool_calls": [],
    "error": None,
    "metadata": {},
    "parent_id": None,
    "alternatives": 0,
    "feedback": None,
    "created_at": _BEFORE,
}

_FEEDBACK = {"rating": "up", "comment": "Just what I needed.", "given_at": _LATER}

_ANSWERED = _ASKED | {
    "id": _IDS["reply"],
    "position": 2,
    "role": "assistant",
    "content": _ANSWER,
    "agent": "general",
    "sources": [_SOURCE],
    "tool_calls": [_TOOL_RESULT | {"arguments": _TOOL_ARGUMENTS}],
    "metadata": _MEASURED,
    "parent_id": _IDS["question"],
    "feedback": _FEEDBACK,
    "created_at": _NOW,
}

_QUEUED = {
    "id": _IDS["reply"],
    "conversation_id": _IDS["conversation"],
    "position": 2,
    "version": 1,
    "agent": "general",
    "project_id": None,
    "status": "queued",
    "text": "",
    "sources": [],
    "tool_calls": [],
    "error": None,
    "metadata": {},
    "cancel_requested": False,
    "final_seq": None,
    "created_at": _BEFORE,
    "started_at": None,
    "finished_at": None,
}

_REPLY = _QUEUED | {
    "status": "completed",
    "text": _ANSWER,
    "sources": [_SOURCE],
    "tool_calls": _ANSWERED["tool_calls"],
    "metadata": _MEASURED,
    "final_seq": 9,
    "started_at": _BEFORE,
    "finished_at": _NOW,
    "message": _ANSWERED,
}

_VISITOR_OUT = {
    "id": _VISITOR,
    "kind": "visitor",
    "token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ2aXNpdG9yIn0.kq2Zr1c",
    "expires_at": "2026-04-01T09:12:31Z",
}

_TIMES = {"created_at": _BEFORE, "updated_at": _NOW, "version": 2}

_DOCUMENT = {
    "id": _IDS["document"],
    "project_id": _IDS["project"],
    "name": "returns.md",
    "title": "Returns",
    "media_type": "text/markdown",
    "size": 1834,
    "status": "ready",
    "progress": None,
    "error": None,
    "characters": 1802,
    "passage_count": 4,
    "embedded": True,
    "metadata": {},
    "ingested_at": _NOW,
    **_TIMES,
}

_ANALYSIS_ITEM = {
    "id": _IDS["analysis"],
    "title": "Backend engineer",
    "file": None,
    "project_id": None,
    "status": "completed",
    "progress": None,
    "error": None,
    "score": 67,
    "matched": 1,
    "missing": 1,
    "finished_at": _NOW,
    **_TIMES,
}

_EVIDENCE = {
    "project_id": _IDS["project"],
    "document_id": _IDS["document"],
    "document": "cv.md",
    "title": "Curriculum vitae",
    "heading": "Work",
    "excerpt": "Five years of PostgreSQL.",
}

_SKILL = {"kind": "database", "importance": "required", "years": 3}

_ANALYSIS = _ANALYSIS_ITEM | {
    "text": "Requirements: three years of PostgreSQL. Nice to have: Zig.",
    "result": {
        "skills": [
            {"name": "PostgreSQL", "status": "matched", "evidence": [_EVIDENCE], **_SKILL},
            {
                "name": "Zig",
                "kind": "language",
                "importance": "preferred",
                "years": None,
                "status": "missing",
                "evidence": [],
            },
        ],
        "matched": 1,
        "missing": 1,
        "score": 67,
        "grounds": {"required": {"found": 1, "matched": 1}, "preferred": {"found": 1, "matched": 0}},
        "summary": "The documents show 1 of 1 required skill and 0 of 1 preferred skill. Missing: Zig.",
        "method": "rules",
        "cached": False,
    },
}

_REPLIES = {
    "replies": 40,
    "completed": 36,
    "cancelled": 2,
    "failed": 1,
    "timed_out": 1,
    "interrupted": 0,
    "fallback": 1,
    "offline": 0,
    "cached": 5,
    "estimated": 0,
    "tool_calls": 12,
    "input_tokens": 16480,
    "output_tokens": 5120,
    "cost": [{"currency": "USD", "amount": 0.0148}],
}

_RATINGS = {"ratings": 8, "up": 7, "down": 1, "share_up": 0.875}
_STARTED = {"started": 12, "active": 15, "deleted": 1, "questions": 40, "answers": 39}
_OPENED = {"opened": 3, "active": 5, "deleted": 0}
_CAME = {"new": 20, "active": 14, "claimed": 3, "questions": 31}
_ANALYSED = {"requested": 6, "queued": 1, "completed": 4, "failed": 1, "mean_score": 58.5}


def _statistics(totals: Json, day: Json, **others: object) -> Json:
    counted = {"scope": "own", "since": "2026-03-02", "until": "2026-03-02", "computed_at": _NOW, "totals": totals}
    return counted | {"by_day": [{"date": "2026-03-02", **day}]} | others


EXAMPLES: dict[str, Any] = {
    "Visitor": _VISITOR_OUT,
    "ClaimBody": {"token": _VISITOR_OUT["token"]},
    "Claimed": {"rooms": 1, "conversations": 4},
    "Principal": {"kind": "user", "id": "alice", "roles": [], "expires_at": _MUCH_LATER},
    "RoomBody": {"name": "Support", "metadata": {"colour": "green"}},
    "RoomChanges": {"name": "Customer support"},
    "Room": {
        "id": _IDS["room"],
        "name": "Support",
        "metadata": {"colour": "green"},
        "conversation_count": 1,
        "message_count": 2,
        "last_message": _LAST_MESSAGE,
        "last_activity_at": _NOW,
        **_TIMES,
    },
    "Deletion": {
        "id": _IDS["deletion"],
        "subject": "room",
        "subject_id": _IDS["room"],
        "conversation_count": 1,
        "message_count": 2,
        "document_count": 0,
        "deleted_at": _LATER,
    },
    "ConversationBody": {"room_id": _IDS["room"], "title": "Returns", "agent": "general"},
    "ConversationChanges": {"title": "Returns and refunds"},
    "Conversation": {
        "id": _IDS["conversation"],
        "room_id": _IDS["room"],
        "title": "Returns",
        "agent": "general",
        "project_id": None,
        "external_id": None,
        "metadata": {},
        "message_count": 2,
        "last_message": _LAST_MESSAGE,
        "live_reply_id": None,
        "last_activity_at": _NOW,
        **_TIMES,
    },
    "QuestionBody": {"content": _QUESTION},
    "Asked": {"message": _ASKED, "reply": _QUEUED},
    "Message": _ANSWERED,
    "Version": _ANSWERED | {"is_current": True},
    "FeedbackBody": {"rating": "up", "comment": "Just what I needed."},
    "Reply": _REPLY,
    "Regenerated": {"reply": _QUEUED | {"version": 2}},
    "SessionBody": {"room_id": _IDS["room"], "context": {"page": "/orders/1234"}},
    "ContextBody": {"context": {"page": "/returns"}},
    "ResetBody": {"agent": "general"},
    "RatingBody": {"rating": 5, "comment": "That was quick."},
    "Session": {
        "id": _IDS["session"],
        "status": "open",
        "room_id": _IDS["room"],
        "conversation_id": _IDS["conversation"],
        "agent": None,
        "context": {"page": "/orders/1234"},
        "metadata": {},
        "rating": None,
        "rating_comment": None,
        "created_at": _BEFORE,
        "active_at": _NOW,
        "expires_at": _LATER,
        "ends_at": _MUCH_LATER,
        "closed_at": None,
        "close_reason": None,
    },
    "Stopped": {"reply": _REPLY | {"status": "cancelled", "cancel_requested": True}},
    "Cleared": {"cleared": 2, "conversation_id": _IDS["conversation"]},
    "ChatBody": {"question": _QUESTION, "context_type": "general"},
    "TimedChatBody": {"question": _QUESTION, "timeout": 10},
    "Chat": {
        "question": _QUESTION,
        "answer": _ANSWER,
        "status": "completed",
        "context_type": "general",
        "project_id": None,
        "conversation_id": _IDS["conversation"],
        "message_id": _IDS["question"],
        "reply_id": _IDS["reply"],
        "sources": [_SOURCE],
        "confidence": 0.87,
        "tokens_used": 426,
        "chunks_used": 1,
        "cached": False,
        "response_time_ms": 1840,
        "error": None,
        "visitor": _VISITOR_OUT,
    },
    "ProjectBody": {"name": "Shop", "description": "How the shop works."},
    "ProjectChanges": {"description": "How the shop works, and what it sells."},
    "Project": {
        "id": _IDS["project"],
        "key": "shop",
        "name": "Shop",
        "description": "How the shop works.",
        "visibility": "private",
        "is_own": True,
        "metadata": {},
        "document_count": 1,
        "passage_count": 4,
        **_TIMES,
    },
    "DocumentBody": {
        "project_id": _IDS["project"],
        "name": "returns.md",
        "text": "# Returns\n\nWhat was bought may be returned within 30 days.",
        "media_type": "text/markdown",
    },
    "DocumentForm": {"project_id": _IDS["project"], "file": "(the file)", "title": "Returns"},
    "DocumentChanges": {"title": "Returns and refunds"},
    "UploadBody": {"text": "# Returns\n\nWithin 60 days.", "media_type": "text/markdown"},
    "UploadForm": {"file": "(the file)"},
    "Document": _DOCUMENT,
    "Hit": {
        "message": _ANSWERED,
        "conversation": {"id": _IDS["conversation"], "title": "Returns", "room_id": _IDS["room"]},
        "snippet": "You may <mark>return</mark> it within 30 days [1].",
    },
    "Agent": {"name": "general", "description": "Answers whatever is asked.", "default": True},
    "Findings": {
        "items": [
            {
                "document_id": _IDS["document"],
                "project_id": _IDS["project"],
                "document": "returns.md",
                "title": "Returns",
                "heading": "Returns › How long",
                "page": None,
                "text": "What was bought may be returned within 30 days.",
                "score": 0.031,
                "relevance": 0.92,
            }
        ],
        "mode": "hybrid",
        "total": 1,
    },
    "JobAnalysisBody": {"title": "Backend engineer", "text": _ANALYSIS["text"]},
    "JobAnalysisForm": {"file": "(the file)", "title": "Backend engineer"},
    "JobAnalysis": _ANALYSIS,
    "JobAnalysisItem": _ANALYSIS_ITEM,
    "Cache": {
        "regions": {"answers": {"entries": 12, "hits": 30, "misses": 10, "hit_rate": 0.75, "lifetime": 3600.0}},
        "bytes": 48213,
        "backend": "Redis",
        "available": True,
    },
    "ClearBody": {"region": "answers"},
    "Forgotten": {"cleared": 12, "region": "answers", "pattern": None},
    "ConversationStatistics": _statistics(
        _STARTED | {"started_in_rooms": 8, "started_on_their_own": 4, "messages_per_conversation": 5.27},
        _STARTED,
        by_agent=[{"agent": "general", "started": 12, "answers": 39}],
    ),
    "RoomStatistics": _statistics(
        _OPENED
        | {
            "rooms": 9,
            "conversations": 31,
            "messages": 214,
            "conversations_per_room": 3.44,
            "messages_per_room": 23.78,
        },
        _OPENED,
        busiest=[{"id": _IDS["room"], "name": "Support", "conversations": 4, "messages": 36}],
    ),
    "ReplyStatistics": _statistics(
        _REPLIES
        | {
            "time_to_first_token_ms": {"mean": 512.4, "p50": 430, "p95": 1210},
            "response_time_ms": {"mean": 2210.8, "p50": 1840, "p95": 5130},
        },
        _REPLIES,
        by_model=[{"model": "gpt-4.1-mini", **_REPLIES}],
        by_agent=[{"agent": "general", **_REPLIES}],
    ),
    "FeedbackStatistics": _statistics(
        _RATINGS,
        _RATINGS,
        by_agent=[{"agent": "general", **_RATINGS}],
        comments=[
            {"message_id": _IDS["reply"], "conversation_id": _IDS["conversation"], "agent": "general", **_FEEDBACK}
        ],
    ),
    "VisitorStatistics": _statistics(_CAME, _CAME) | {"scope": "all"},
    "ProjectStatistics": _statistics(
        {"projects": 2, "documents": 14, "queued": 1, "ready": 12, "failed": 1, "passages": 310, "bytes": 182044}
        | {"opened": 1, "added": 5},
        {"opened": 1, "added": 5},
        most_cited=[{"document_id": _IDS["document"], "document": "returns.md", "title": "Returns", "answers": 9}],
    ),
    "JobAnalysisStatistics": _statistics(
        _ANALYSED | {"skills_matched": 21, "skills_missing": 9},
        _ANALYSED,
        missing_skills=[{"name": "Zig", "analyses": 3, "missing": 3}],
    ),
    "Alive": {"status": "ok"},
    "Ready": {"status": "ok", "database": "SQLite", "worker": "0 replies"},
    "Health": {
        "status": "ok",
        "parts": {"database": {"status": "ok", "latency_ms": 0.4}, "model": {"status": "ok", "latency_ms": 12.8}},
    },
    "UIChatBody": {
        "id": "c7Vq2mXb9LrT4sKd",
        "messages": [{"id": "m1", "role": "user", "parts": [{"type": "text", "text": _QUESTION}]}],
        "trigger": "submit-message",
    },
    "UIChat": {
        "id": "c7Vq2mXb9LrT4sKd",
        "conversation_id": _IDS["conversation"],
        "title": _QUESTION,
        "live": False,
        "total": 1,
        "messages": [
            {
                "id": _IDS["question"],
                "role": "user",
                "metadata": {"conversation_id": _IDS["conversation"], "position": 1, "version": 1, "alternatives": 0},
                "parts": [{"type": "text", "text": _QUESTION, "state": "done"}],
            }
        ],
    },
    "ReplyStartedEvent": {"seq": 0, "reply_id": _IDS["reply"], "agent": "general", "attempt": 1},
    "ReplyDeltaEvent": {"seq": 1, "text": "You may return"},
    "ReplyToolCallEvent": {"seq": 2, "id": "call_1", "name": "search_knowledge", "arguments": _TOOL_ARGUMENTS},
    "ReplyToolResultEvent": {"seq": 3, **_TOOL_RESULT},
    "ReplySourcesEvent": {"seq": 8, "sources": [_SOURCE]},
    "ReplyEndedEvent": {"seq": 9, "message": _ANSWERED},
}
"""By the schema's name."""

STREAM = f"""\
:ok
retry: 2000
id: 0
event: reply.started
data: {{"seq":0,"reply_id":"{_IDS["reply"]}","agent":"general","attempt":1}}

id: 1
event: reply.delta
data: {{"seq":1,"text":"{_ANSWER}"}}

"""
"""A stream of events."""

_DETAILS: dict[str, Json] = {
    "validation_failed": {"fields": {"name": ["Missing data for required field."]}},
    "reply_in_progress": {"reply_id": _IDS["reply"]},
    "room_deleted": {"room_id": _IDS["room"]},
    "reply_timeout": {"message": _ASKED, "reply": _QUEUED | {"status": "running", "text": "You may return"}},
    "rate_limited": {"action": "ask", "limit": 30, "window": 3600, "retry_after": 60},
}


def refusal(code: str) -> Json:
    """The answer to what is refused with this code."""
    return {
        "data": None,
        "error": {
            "error_code": code,
            "error_message": REFUSALS[code].meaning,
            "status_code": REFUSALS[code].status,
            "details": _DETAILS.get(code, {}),
            "request_id": _REQUEST,
        },
    }


class Examples:
    """Finds or makes the example of a schema of the document with these components."""

    def __init__(self, schemas: Json) -> None:
        self._schemas = schemas

    def of(self, schema: Json, path: str) -> Any:
        """The example for a body of an operation at this path; None where there is none."""
        if "$ref" not in schema and schema.get("format") != "binary":
            beginnings = (begin for begin in client_examples.STREAMS if path.startswith(begin))
            return client_examples.STREAMS.get(next(beginnings, ""), STREAM)
        if schema.get("format") == "binary":
            return "What was bought may be returned within 30 days."
        return self._made(schema)

    def _made(self, schema: Json) -> Any:
        name = schema.get("$ref", "").rpartition("/")[2]
        for examples in EXAMPLES, client_examples.EXAMPLES:
            if name in examples:
                return examples[name]
        members = self._schemas.get(name, {}).get("properties", {})
        if "items" in members:
            return {"items": [self._made(members["items"]["items"])], "total": 1, "limit": 20, "offset": 0}
        if name.endswith("Envelope"):
            return {"data": self._made(members["data"]), "error": None}
        return None
