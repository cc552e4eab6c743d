"""An export as Markdown, for people: the current branches, each message in its own Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from application.ports.persistence import Document
from domain.messages import Role

_FENCE = re.compile(r"( {0,3})(`{3,}(?=[^`]*$)|~{3,})")
_WITHIN = re.compile(r"\s*(?:[-+*]|\d+[.)]|>)[ \t]+.*(?:```|~~~|<)")
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&])")


def markdown(found: Iterator[Document]) -> Iterator[bytes]:
    """The export, a message or so at a time; the conversations of a room that is exported stand below its heading."""
    level = "#"
    for record in found:
        match record.get("type"):
            case None:
                level = "##" if record.get("of") == "room" else "#"
                text = f"<!-- Exported from Parley {told(record['exported_at'])} -->\n\n"
            case "room":
                text = f"# {plain(record['name'])}\n\nRoom, opened {told(record['created_at'])}.\n\n"
            case "conversation":
                text = _conversation(record, level)
            case "message":
                text = _message(record, f"{level}#")
            case "end":
                text = _end(record)
            case _:
                continue
        yield text.encode()


def closed(text: str) -> str:
    """Markdown after which anything can follow: no code or HTML that was begun in it goes on.

    What cannot be told without a whole parser is quoted, for whatever is begun in a quote ends with it.
    """
    fence: tuple[str, int] | None = None
    for line in text.splitlines():
        if fence is not None:
            marker, indent = fence
            if indent and line.strip() and not line.startswith(" " * indent):
                return quoted(text)  # It may have been a list's, and may have ended with that.
            ended = re.fullmatch(r" {0,3}(`{3,}|~{3,})[ \t]*", line)
            if ended is not None and ended[1].startswith(marker):
                fence = None
        elif begun := _FENCE.match(line):
            fence = (begun[2], len(begun[1]))
        elif line.lstrip().startswith("<") or _WITHIN.match(line):
            return quoted(text)
    if fence is None:
        return text
    marker, indent = fence
    return quoted(text) if indent else f"{text}\n{marker}"


def quoted(text: str) -> str:
    """As a quote."""
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def plain(text: str) -> str:
    """A text in a line, in which nothing is markup."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def told(time: datetime | None) -> str:
    """A time, for people."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if time is not None else "at an unknown time"


def speaker(message: Document) -> str:
    """Who says a message."""
    named: str = message["agent"] or str(message["role"]).capitalize()
    return named


def source_line(source: dict[str, Any]) -> str:
    """Where a passage stands, in words."""
    where = [source.get("title") or source.get("document") or "", source.get("heading") or ""]
    if source.get("page"):
        where.append(f"page {source['page']}")
    return ", ".join(part for part in where if part)


def remarks(message: Document) -> Iterator[str]:
    """What is to be said about a message beside its text, a line each."""
    if message["status"] != "completed":
        error = message["error"] or {}
        reason = f": {error['message']}" if error.get("message") else ""
        yield f"This answer was {message['status'].replace('_', ' ')}{reason}"
    for call in message["tool_calls"] or ():
        failed = " (it failed)" if call.get("error") else ""
        yield f"Used the tool {call.get('name', '')}{failed}"
    if feedback := message["feedback"]:
        comment = f": {feedback['comment']}" if feedback.get("comment") else ""
        yield f"Rated {feedback.get('rating', '')}{comment}"


def _end(record: Document) -> str:
    counts = record["counts"]
    return f"<!-- {counts.get('conversation', 0)} conversations, {counts.get('message', 0)} messages -->\n"


def _conversation(record: Document, level: str) -> str:
    title = plain(record["title"]) or "Conversation"
    return f"{level} {title}\n\nWith {plain(record['agent'])}, started {told(record['created_at'])}.\n\n"


def _message(message: Document, level: str) -> str:
    text = message["content"].strip("\n")
    is_answer = message["role"] == Role.ASSISTANT
    parts = [f"{level} {plain(speaker(message))}, {told(message['created_at'])}"]
    parts.append(closed(text) if is_answer else quoted(text))
    if message["sources"]:
        lines = (f"- \\[{source.get('number', '')}\\] {plain(source_line(source))}" for source in message["sources"])
        parts.append("Sources:\n\n" + "\n".join(lines))
    parts += [f"*{plain(remark)}*" for remark in remarks(message)]
    return "\n\n".join(part for part in parts if part) + "\n\n"
