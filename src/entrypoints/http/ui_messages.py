"""Messages as the AI SDK has them: whole ones (`UIMessage`), and the stream of parts that makes one (version 1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from application.ports.persistence import Document
from application.ports.runtime import LogEntry

_MEDIA_TYPES = {
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "html": "text/html",
    "htm": "text/html",
    "md": "text/markdown",
    "markdown": "text/markdown",
}

_FINISH_REASONS = {None: "stop", "stop": "stop", "length": "length", "content_filter": "content-filter"}
"""In the words of the AI SDK; what it has no word for is `other`."""

_BROKEN_OFF = "The connection ended before the answer did. Load the chat again: the answer goes on, or has ended there."

Part = dict[str, Any]


def ui_message(message: Document) -> Document:
    """A message of the history. An answer's tools come before its text: where in the text they ran is not kept."""
    parts: list[Part] = [{"type": "text", "text": message["content"], "state": "done"}] if message["content"] else []
    if message["role"] == "assistant":
        tools = [_tool_part(call) for call in message["tool_calls"]]
        parts = [{"type": "step-start"}, *tools, *parts, *map(_source_part, message["sources"])]
    return {"id": message["id"], "role": message["role"], "metadata": _metadata(message), "parts": parts}


class UIMessageStream:
    """Tells one reply as a stream of parts, from its beginning.

    All of it is one step: the tools are Parley's own, which the SDK calls executed by the provider, and a step is
    what its client can be told to forget (`reset-step`) when a reply begins anew.
    """

    def __init__(self, reply: Document) -> None:
        self._reply = reply
        self._text = ""
        self._anew: str | None = None
        self._texts = 0
        self._is_open = False
        self._calls: set[str] = set()
        self._results: set[str] = set()
        self._has_sources = False
        self._has_ended = False

    def begin(self) -> bytes:
        """What comes first, before anything of the reply is known but its id."""
        reply = self._reply
        told = {name: reply[name] for name in ("conversation_id", "position", "version", "agent", "status")}
        start = {"type": "start", "messageId": reply["id"], "messageMetadata": told}
        return _written([start, {"type": "start-step"}])

    def tell(self, entries: Sequence[LogEntry]) -> bytes:
        """What the next events of the log come to."""
        return _written(part for entry in entries for part in self._parts(entry))

    def end(self) -> bytes:
        """What comes last. A stream that ended before the reply did would look to the client like a finished one."""
        broken_off = [] if self._has_ended else [*self._close(), {"type": "error", "errorText": _BROKEN_OFF}]
        return _written(broken_off) + b"data: [DONE]\n\n"

    def _parts(self, entry: LogEntry) -> Iterator[Part]:
        data = entry.data
        match entry.event:
            case "reply.started" if self._text:
                self._anew = ""  # As a rule the same is said again: the log was lost, and holds it all once more.
            case "reply.delta":
                yield from self._say(data["text"])
            case "reply.tool_call":
                yield from self._call(data)
            case "reply.tool_result":
                yield from self._result(data)
            case "reply.sources":
                yield from self._cite(data["sources"])
            case _ if entry.is_terminal:
                yield from self._finish(entry.event.removeprefix("reply."), data)

    def _forget(self) -> Iterator[Part]:
        self._text, self._is_open, self._has_sources = "", False, False
        self._calls.clear()
        self._results.clear()
        yield {"type": "reset-step"}

    def _say(self, text: str) -> Iterator[Part]:
        if self._anew is not None:
            self._anew += text
            if self._text.startswith(self._anew):
                return
            text, self._anew = self._anew, None
            if not text.startswith(self._text):
                yield from self._forget()
            text = text[len(self._text) :]
        self._text += text
        if not self._is_open:
            text = text.lstrip("\n") if self._texts else text  # A part stands by itself.
            self._texts += 1
            self._is_open = True
            yield {"type": "text-start", "id": f"text-{self._texts}"}
        yield {"type": "text-delta", "id": f"text-{self._texts}", "delta": text}

    def _close(self) -> Iterator[Part]:
        if self._is_open:
            self._is_open = False
            yield {"type": "text-end", "id": f"text-{self._texts}"}

    def _call(self, call: Mapping[str, Any]) -> Iterator[Part]:
        if call["id"] in self._calls:
            return
        self._calls.add(call["id"])
        yield from self._close()
        told = {"toolCallId": call["id"], "toolName": call["name"], "input": call["arguments"]}
        yield {"type": "tool-input-available", **told, "providerExecuted": True, "dynamic": True}

    def _result(self, call: Mapping[str, Any]) -> Iterator[Part]:
        if call["id"] not in self._calls or call["id"] in self._results:
            return  # A call that was not told of comes with the end.
        self._results.add(call["id"])
        told: Part = {"toolCallId": call["id"], "providerExecuted": True, "dynamic": True}
        if call["error"]:
            yield {"type": "tool-output-error", **told, "errorText": call["error"]["message"]}
        else:
            yield {"type": "tool-output-available", **told, "output": call["result"]}

    def _cite(self, sources: Sequence[Document]) -> Iterator[Part]:
        if sources and not self._has_sources:
            self._has_sources = True
            yield from self._close()
            yield from map(_source_part, sources)

    def _finish(self, status: str, data: Mapping[str, Any]) -> Iterator[Part]:
        message = data["message"]
        self._has_ended = True
        yield from self._complete(message)
        yield {"type": "message-metadata", "messageMetadata": _metadata(message)}
        if status == "completed":
            reason = _FINISH_REASONS.get(message["metadata"].get("finish_reason"), "other")
            yield {"type": "finish-step"}
            yield {"type": "finish", "finishReason": reason}
        elif status == "cancelled":
            yield {"type": "abort"}
        else:
            failure = data.get("error") or message["error"] or {"message": f"The answer is {status}."}
            yield {"type": "error", "errorText": failure["message"]}

    def _complete(self, message: Document) -> Iterator[Part]:
        """What of a finished message was not told: all of it when the log is gone, nothing as a rule."""
        text, self._anew = message["content"], None
        if not text.startswith(self._text):
            yield from self._forget()
        for call in message["tool_calls"]:
            yield from self._call(call)
            yield from self._result(call)
        if len(text) > len(self._text):
            yield from self._say(text[len(self._text) :])
        yield from self._close()
        yield from self._cite(message["sources"])


def _metadata(message: Document) -> Document:
    """What a page may want to show beside a message; the names are those of Parley's own API."""
    told = ["conversation_id", "position", "version", "alternatives", "created_at"]
    if message["role"] != "assistant":
        return {name: message[name] for name in told}
    told += ["agent", "status", "error", "feedback"]
    return {**{name: message[name] for name in told}, **message["metadata"]}


def _tool_part(call: Document) -> Part:
    part = {"type": "dynamic-tool", "toolName": call["name"], "toolCallId": call["id"], "input": call["arguments"]}
    if call["error"]:
        outcome = {"state": "output-error", "errorText": call["error"]["message"]}
    else:
        outcome = {"state": "output-available", "output": call["result"]}
    return {**part, **outcome, "providerExecuted": True}


def _source_part(source: Document) -> Part:
    """A passage; its `sourceId` is the number that the text cites it by, as in `[1]`."""
    name = source["document"]
    part: Part = {"type": "source-url", "sourceId": str(source["number"]), "title": source["title"]}
    if name.startswith(("https://", "http://")):
        part["url"] = name
    else:
        _, _, suffix = name.rpartition(".")
        media_type = _MEDIA_TYPES.get(suffix.lower(), "text/plain")
        part |= {"type": "source-document", "mediaType": media_type, "filename": name}
    part["providerMetadata"] = {"parley": {name: value for name, value in source.items() if value is not None}}
    return part


def _written(parts: Iterator[Part] | Sequence[Part]) -> bytes:
    return b"".join(b"data: %b\n\n" % orjson.dumps(part) for part in parts)
