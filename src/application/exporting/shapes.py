"""What may be in an export that comes back: every member of every record, with its bounds."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as NoBase64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from application.ports.persistence import Document
from domain.deletions import Subject
from domain.errors import Invalid
from domain.job_analyses import AnalysisStatus
from domain.knowledge import Visibility, checked_key
from domain.limits import Limits
from domain.messages import Rating, Role
from domain.replies import LIVE, ReplyStatus
from domain.sessions import CloseReason

Shape = Callable[[object, str], Any]
"""Makes a value of JSON what Parley keeps; raises Invalid, naming the member that it is called by, if it is none."""

_OWNER = re.compile(r"(?:user|visitor):.{1,200}", re.DOTALL)
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")
_MOST = 2**31 - 1
_REQUIRED = object()

_SAID = 1024 * 1024
"""Bytes of JSON that sources, calls of tools or a job analysis' result may have."""


@dataclass(frozen=True, slots=True)
class _Member:
    """What a record may leave out is `otherwise` so."""

    shape: Shape
    otherwise: object = _REQUIRED


def shapes(limits: Limits) -> Mapping[str, Shape]:
    """By type, the shape of each record."""
    metadata = _Member(_json(limits), {})
    time = _Member(_time)
    maybe_time = _Member(_maybe(_time), None)
    maybe_id = _Member(_maybe(_id), None)
    maybe_agent = _Member(_maybe(_text(100)), None)
    error = _Member(_maybe(_object({"code": _Member(_text(200)), "message": _Member(_text(10_000))})), None)
    said = _json(replace(limits, metadata_bytes=_SAID))
    deletion = _Member(
        _maybe(
            _object(
                {
                    "id": _Member(_id),
                    "subject": _Member(_word(Subject)),
                    "subject_id": _Member(_id),
                    "conversation_count": _Member(_whole(0)),
                    "message_count": _Member(_whole(0)),
                    "document_count": _Member(_whole(0), 0),
                    "deleted_at": time,
                }
            )
        ),
        None,
    )
    owned = {"type": _Member(_anything), "id": _Member(_id), "owner": _Member(_owner)}
    dated = {"created_at": time, "updated_at": time}
    source = {
        "number": _Member(_whole(0)),
        "title": _Member(_text(1000)),
        "heading": _Member(_text(10_000)),
        "document": _Member(_text(1000)),
        "excerpt": _Member(_text(100_000)),
        "page": _Member(_maybe(_whole(0)), None),
    }
    call = {
        "id": _Member(_text(1000)),
        "name": _Member(_text(1000)),
        "arguments": _Member(_anything),
        "result": _Member(_text(_SAID)),
        "error": error,
        "truncated": _Member(_yes_or_no),
        "duration_ms": _Member(_whole(0)),
    }
    feedback = {
        "rating": _Member(_word(Rating)),
        "comment": _Member(_maybe(_text(limits.comment)), None),
        "given_at": _Member(_time_as_written),
    }
    reply = {
        "session_id": maybe_id,
        "project_id": maybe_id,
        "final_seq": _Member(_maybe(_whole(0)), None),
        "created_at": time,
        "started_at": maybe_time,
        "finished_at": maybe_time,
    }
    return {
        "visitor": _object(
            {
                "type": _Member(_anything),
                "id": _Member(_id),
                "created_at": time,
                "claimed_by": _Member(_maybe(_owner), None),
                "claimed_at": maybe_time,
            }
        ),
        "project": _object(
            {
                **owned,
                **dated,
                "key": _Member(_key),
                "name": _Member(_text(limits.project_name, 1)),
                "description": _Member(_text(limits.description), ""),
                "visibility": _Member(_word(Visibility)),
                "metadata": metadata,
                "deletion": deletion,
            }
        ),
        "document": _object(
            {
                **owned,
                **dated,
                "project_id": _Member(_id),
                "name": _Member(_text(limits.document_title, 1)),
                "title": _Member(_text(limits.document_title), ""),
                "media_type": _Member(_text(200)),
                "content": _Member(_base64),
                "metadata": metadata,
                "deletion": deletion,
            }
        ),
        "room": _object(
            {**owned, **dated, "name": _Member(_text(limits.room_name, 1)), "metadata": metadata, "deletion": deletion}
        ),
        "conversation": _object(
            {
                **owned,
                **dated,
                "room_id": maybe_id,
                "project_id": maybe_id,
                "external_id": _Member(_maybe(_text(200, 1)), None),
                "title": _Member(_text(limits.conversation_title), ""),
                "agent": _Member(_text(100, 1)),
                "metadata": metadata,
                "forgotten": _Member(_maybe(_forgotten), None),
                "last_activity_at": time,
                "deletion": deletion,
            }
        ),
        "message": _object(
            {
                "type": _Member(_anything),
                "id": _Member(_id),
                "conversation_id": _Member(_id),
                "position": _Member(_whole(1)),
                "version": _Member(_whole(1)),
                "parent_id": maybe_id,
                "superseded_by": maybe_id,
                "role": _Member(_word(Role)),
                "content": _Member(_text(limits.added_message)),
                "status": _Member(_final, "completed"),
                "agent": maybe_agent,
                "sources": _Member(_list(_object(source, others=True), said), []),
                "tool_calls": _Member(_maybe(_list(_object(call, others=True), said)), None),
                "error": error,
                "metadata": _Member(said, {}),
                "feedback": _Member(_maybe(_object(feedback)), None),
                "created_at": time,
                "reply": _Member(_maybe(_object(reply)), None),
            }
        ),
        "session": _object(
            {
                **owned,
                "binding": _Member(_text(60, 1)),
                "room_id": maybe_id,
                "conversation_id": maybe_id,
                "agent": maybe_agent,
                "context": metadata,
                "metadata": metadata,
                "rating": _Member(_maybe(_whole(1, 5)), None),
                "rating_comment": _Member(_maybe(_text(limits.comment)), None),
                "created_at": time,
                "active_at": time,
                "expires_at": time,
                "ends_at": time,
                "closed_at": maybe_time,
                "close_reason": _Member(_maybe(_word(CloseReason)), None),
            }
        ),
        "job_analysis": _object(
            {
                **owned,
                **dated,
                "title": _Member(_text(limits.document_title)),
                "text": _Member(_maybe(_text(limits.job_description)), None),
                "file": _Member(_maybe(_json(limits)), None),
                "project_id": maybe_id,
                "status": _Member(_word(AnalysisStatus)),
                "error": error,
                "score": _Member(_maybe(_whole(0, 100)), None),
                "matched": _Member(_whole(0)),
                "missing": _Member(_whole(0)),
                "result": _Member(_maybe(said), None),
                "finished_at": maybe_time,
                "deletion": deletion,
            }
        ),
        "end": _object({"type": _Member(_anything), "counts": _Member(_counts)}),
    }


def _object(members: Mapping[str, _Member], *, others: bool = False) -> Shape:
    """An object of these members, and of `others` as they are."""

    def shape(value: object, called: str) -> Document:
        if not isinstance(value, dict):
            raise Invalid({called: "Must be an object."})
        made: Document = {name: each for name, each in value.items() if name not in members} if others else {}
        for name in value:
            if name not in members and not others:
                raise Invalid({_within(called, name): "Is not known here."})
        for name, member in members.items():
            if name in value:
                made[name] = member.shape(value[name], _within(called, name))
            elif member.otherwise is _REQUIRED:
                raise Invalid({_within(called, name): "Is missing."})
            elif not others:
                made[name] = member.otherwise
        return made

    return shape


def _within(called: str, name: str) -> str:
    return f"{called}.{name}" if called else name


def _maybe(shape: Shape) -> Shape:
    return lambda value, called: None if value is None else shape(value, called)


def _list(shape: Shape, whole: Shape) -> Shape:
    def made(value: object, called: str) -> list[Any]:
        if not isinstance(value, list):
            raise Invalid({called: "Must be a list."})
        whole({"": value}, called)
        return [shape(each, f"{called}.{number}") for number, each in enumerate(value)]

    return made


def _json(limits: Limits) -> Shape:
    def shape(value: object, called: str) -> dict[str, object]:
        if not isinstance(value, dict):
            raise Invalid({called: "Must be an object."})
        return limits.metadata(value, called)

    return shape


def _text(most: int, least: int = 0) -> Shape:
    def shape(value: object, called: str) -> str:
        if not isinstance(value, str):
            raise Invalid({called: "Must be a text."})
        if not least <= len(value) <= most:
            raise Invalid({called: f"Must be {least} to {most:,} characters long, but has {len(value):,}."})
        if _NO_TEXT.search(value):
            raise Invalid({called: "Must be valid Unicode text without the NUL character."})
        return value

    return shape


def _whole(least: int, most: int = _MOST) -> Shape:
    def shape(value: object, called: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise Invalid({called: f"Must be a whole number from {least} to {most}."})
        return value

    return shape


def _word(kind: type[StrEnum]) -> Shape:
    words = {word.value: word for word in kind}

    def shape(value: object, called: str) -> StrEnum:
        if not isinstance(value, str) or value not in words:
            raise Invalid({called: f"Must be one of {', '.join(words)}."})
        return words[value]

    return shape


def _final(value: object, called: str) -> str:
    final = [status.value for status in ReplyStatus if status not in LIVE]
    if value not in final:
        raise Invalid({called: f"Must be one of {', '.join(final)}."})
    return str(value)


def _id(value: object, called: str) -> UUID:
    try:
        return UUID(_text(36, 36)(value, called))
    except ValueError:
        raise Invalid({called: "Must be a UUID."}) from None


def _time(value: object, called: str) -> datetime:
    try:
        time = datetime.fromisoformat(_text(40, 1)(value, called))
        if time.tzinfo is None:
            raise Invalid({called: "Must say its zone, such as Z (RFC 3339)."})
        return time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid({called: "Must be a time (RFC 3339), in UTC in one of the years 1 to 9999."}) from None


def _time_as_written(value: object, called: str) -> str:
    _time(value, called)
    return str(value)


def _owner(value: object, called: str) -> str:
    owner: str = _text(220, 1)(value, called)
    if not _OWNER.fullmatch(owner):
        raise Invalid({called: "Must be user:<id> or visitor:<id>."})
    return owner


def _key(value: object, called: str) -> str:
    try:
        return checked_key(_text(60)(value, called))
    except Invalid as wrong:
        raise Invalid({called: next(iter(wrong.fields.values()))}) from None


def _yes_or_no(value: object, called: str) -> bool:
    if not isinstance(value, bool):
        raise Invalid({called: "Must be true or false."})
    return value


def _forgotten(value: object, called: str) -> dict[str, int]:
    if not isinstance(value, dict) or len(value) > 1000:
        raise Invalid({called: "Must be an object of up to 1,000 agents."})
    return {_text(100, 1)(agent, called): _whole(1)(first, f"{called}.{agent}") for agent, first in value.items()}


def _counts(value: object, called: str) -> dict[str, int]:
    if not isinstance(value, dict):
        raise Invalid({called: "Must be an object."})
    return {name: _whole(0)(count, f"{called}.{name}") for name, count in value.items()}


def _base64(value: object, called: str) -> bytes:
    if not isinstance(value, str):
        raise Invalid({called: "Must be a text."})
    try:
        return b64decode(value, validate=True)
    except (NoBase64, ValueError):
        raise Invalid({called: "Must be Base64 (RFC 4648, section 4)."}) from None


def _anything(value: object, called: str) -> object:
    return value
