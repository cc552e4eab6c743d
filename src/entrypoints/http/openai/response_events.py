"""The events of a response, projected from the log of its reply.

Every event has the same number whoever tells it and whenever: that of the log's event that it stems from, times
`_ROOM`, plus its own place within that. So a client goes on behind any number, at any process. Numbers grow, with gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from application.ports.persistence import Document
from application.ports.runtime import LogEntry
from entrypoints.http.openai.items import citations, output_item, output_text
from entrypoints.http.openai.wire import Telling, dressed, event

_ROOM = 128
"""Events that one event of a log can stand for: 99 passages can be cited, and what opens and closes."""

_CREATED, _IN_PROGRESS, _ITEM_ADDED, _PART_ADDED, _DELTA, _ANNOTATION = range(6)

_TEXT_DONE, _PART_DONE, _ITEM_DONE, _END = range(_ROOM - 4, _ROOM)

_ENDS = {"completed": "response.completed", "incomplete": "response.incomplete", "cancelled": "response.incomplete"}
"""By the status of the response; there is no event for one that was cancelled. What is not here has failed."""


class ResponseEvents:
    """Tells a response from its beginning, except what its client has seen: all up to the number `seen`.

    What was lost of the log is made up for by the whole text in `response.output_text.done`.
    """

    def __init__(
        self, begun: Document, ended: Callable[[Document], Document], reply_id: object, *, seen: int = -1
    ) -> None:
        self._begun = begun
        self._ended = ended
        self._reply_id = reply_id
        self._item = dressed("msg", reply_id)
        self._seen = seen
        self._seen_place = seen % _ROOM if seen >= 0 else -1
        self._is_whole: bool | None = None
        self._telling = Telling()
        self._has_started = False
        self._has_text = False
        self._annotated = 0

    def render(self, batch: Sequence[LogEntry]) -> bytes:
        """What is to be told of some events of the log."""
        return b"".join(self._written(entry.seq, *told) for entry in batch for told in self._told(entry))

    def _written(self, seq: int, place: int, kind: str, members: dict[str, Any]) -> bytes:
        number = seq * _ROOM + place
        if number <= self._seen or (not self._is_whole and self._was_seen(place)):
            return b""
        return event({"type": kind, "sequence_number": number, **members}, kind)

    def _was_seen(self, place: int) -> bool:
        """Whether the client has seen it under a number that is lost; of text that is so once it has seen any."""
        return place <= min(self._seen_place, _ANNOTATION - 1) or _ANNOTATION <= place <= self._seen_place

    def _told(self, entry: LogEntry) -> Iterator[tuple[int, str, dict[str, Any]]]:
        if self._is_whole is None:
            self._is_whole = entry.seq <= self._seen // _ROOM or self._seen < 0
        if not self._has_started:
            self._has_started = True
            yield _CREATED, "response.created", {"response": self._begun}
            yield _IN_PROGRESS, "response.in_progress", {"response": self._begun | {"status": "in_progress"}}
        if entry.event == "reply.started":
            self._telling.restart()
        elif entry.event == "reply.delta":
            yield from self._said(self._telling.more(entry.data["text"]))
        elif entry.event == "reply.sources":
            yield from self._cited(entry.data["sources"])
        elif entry.is_terminal:
            yield from self._over(entry.data["message"])

    def _said(self, new: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
        if not new:
            return
        if not self._has_text:
            self._has_text = True
            begun = output_item(self._reply_id, "", "running", ())
            yield _ITEM_ADDED, "response.output_item.added", {"output_index": 0, "item": begun}
            yield _PART_ADDED, "response.content_part.added", self._in_part({"part": output_text("")})
        yield _DELTA, "response.output_text.delta", self._in_part({"delta": new, "logprobs": []})

    def _cited(self, sources: Sequence[Document]) -> Iterator[tuple[int, str, dict[str, Any]]]:
        for number, cited in enumerate(citations(self._telling.told, sources)):
            if number >= self._annotated and self._has_text:
                self._annotated = number + 1
                said = self._in_part({"annotation": cited, "annotation_index": number})
                yield _ANNOTATION + number, "response.output_text.annotation.added", said

    def _over(self, message: Document) -> Iterator[tuple[int, str, dict[str, Any]]]:
        response = self._ended(message)
        text = message["content"]
        yield from self._said(self._telling.end(text))
        yield from self._cited(message["sources"])
        if self._has_text:
            part = output_text(text, citations(text, message["sources"]))
            item = output_item(self._reply_id, text, message["status"], message["sources"])
            yield _TEXT_DONE, "response.output_text.done", self._in_part({"text": text, "logprobs": []})
            yield _PART_DONE, "response.content_part.done", self._in_part({"part": part})
            yield _ITEM_DONE, "response.output_item.done", {"output_index": 0, "item": item}
        yield _END, _ENDS.get(response["status"], "response.failed"), {"response": response}

    def _in_part(self, members: dict[str, Any]) -> dict[str, Any]:
        return {"item_id": self._item, "output_index": 0, "content_index": 0, **members}
