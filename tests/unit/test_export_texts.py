"""Exports to be read: nothing that somebody wrote gets out of its place, and nothing is lost silently."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pypdf
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from adapters.pdf.pages import pages
from adapters.pdf.printer import SubprocessPdfPrinter
from application.exporting.markdown import closed, markdown, plain, quoted
from application.ports.exporting import PdfUnavailable, TooMuchForPdf
from tests.builders import NOW
from tests.waiting import eventually

_PIECES = st.sampled_from(
    [
        *("```", "````", "~~~", "```py", "   ```", "    ```", "> ```", "- ```", "  ```", "1. ~~~", "``` x ` y"),
        *("<!--", "-->", "<script>", "</script>", "<div>", "<pre>", "<![CDATA[", "<?php", "<!X", "a <b>"),
        *("text", "", "# Title", "- item", "  more", "> quote", "| a | b |", "|---|---|", "---", "\\", "[x]: y", "\t"),
        *("[a](", "*", "`", "&lt;", "    code"),
    ]
)


@settings(max_examples=1000, deadline=None)
@given(st.lists(_PIECES, max_size=8).map("\n".join))
@example("*\n   ```\n```")
def test_whatever_a_message_begins_ends_with_it(text: str) -> None:
    for kept in (closed(text), quoted(text)):
        tokens = MarkdownIt("commonmark").enable("table").parse(f"{kept}\n\n## Next\n")

        assert [token.type for token in tokens[-3:]] == ["heading_open", "inline", "heading_close"], kept
        assert (tokens[-2].content, tokens[-3].level) == ("Next", 0)


@given(st.lists(_PIECES, max_size=8).map("\n".join))
def test_a_messages_own_markdown_stays_as_it_is(text: str) -> None:
    kept = closed(text)

    assert kept.startswith(text) or kept == quoted(text)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_a_title_is_never_markup(text: str) -> None:
    tokens = MarkdownIt("commonmark").parseInline(plain(text))

    children = tokens[0].children or []
    assert {token.type for token in children} <= {"text", "text_special", "entity"}


_STRAINS = ["x" * 500, ("> " * 200 + "\n") * 60, "- " * 100 + "deep", "`" * 99, "\u200f\u202e", "ﷺ" * 9]


def a_message(role: str, content: str, **more: Any) -> dict[str, Any]:
    said = {
        "type": "message",
        "id": uuid4(),
        "role": role,
        "content": content,
        "agent": "general" if role == "assistant" else None,
        "status": "completed",
        "sources": [],
        "tool_calls": None,
        "error": None,
        "feedback": None,
        "created_at": NOW,
    }
    return said | more


def an_export(*messages: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"format": "parley-export", "version": 1, "name": "Harbours", "exported_at": NOW}
    yield {"type": "conversation", "title": "Harbours", "agent": "general", "created_at": NOW}
    yield from messages
    yield {"type": "end", "counts": {"conversation": 1, "message": len(messages)}}


def text_of(file: bytes) -> str:
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(file)).pages)


def printed(*messages: dict[str, Any]) -> str:
    lines = [json.loads(json.dumps(record, default=str)) for record in an_export(*messages)]
    return text_of(pages(lines, []))


def test_markdown_tells_all_that_is_known_of_an_answer() -> None:
    source = {"number": 1, "title": "Tide *tables*", "heading": "May", "document": "t.pdf", "page": 3, "excerpt": ""}
    answer = a_message(
        "assistant",
        "High at noon [1].",
        sources=[source],
        tool_calls=[{"name": "current_time", "error": None}],
        feedback={"rating": "up", "comment": "Right!"},
    )
    failed = a_message("assistant", "", status="failed", error={"code": "x", "message": "The model is away."})

    text = b"".join(markdown(an_export(a_message("user", "When?"), answer, failed))).decode()

    assert "## User, 2026-11-20 12:00 UTC\n\n> When?\n" in text
    assert "## general, 2026-11-20 12:00 UTC\n\nHigh at noon [1].\n" in text
    assert r"- \[1\] Tide \*tables\*, May, page 3" in text
    assert r"*Used the tool current\_time*" in text
    assert r"*Rated up: Right\!*" in text
    assert "*This answer was failed: The model is away.*" in text


def test_a_pdf_holds_the_markdown_as_it_is_read() -> None:
    answer = (
        "# Big\n\nSome **bold**, *slanted* and `code` [there](https://example.com).\n\n- one\n- two\n  1. deep\n\n"
        "> said\n\n```python\nprint('x')\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    )

    text = printed(a_message("user", "**Not** bold"), a_message("assistant", answer))

    for line in ("**Not** bold", "Big", "Some bold, slanted and code there.", "• one", "1. deep", "said", "print('x')"):
        assert line in text
    assert "a   |   b" in text


def test_characters_that_no_font_has_are_seen_to_be_missing() -> None:
    text = printed(a_message("user", "Genoa 港 and 🦤"), a_message("assistant", "`港`\n\n    港 = 1"))

    assert "Genoa □ and □" in text
    assert "□ stands for 4 characters" in text
    assert "U+6E2F" in text


def test_what_is_read_from_right_to_left_is_set_so() -> None:
    text = printed(a_message("user", "שלום עולם"), a_message("assistant", "مرحبا بالعالم"))

    assert "שלום" in text
    assert "مرحبا" in text
    assert "□" not in text


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.one_of(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=80),
            st.lists(_PIECES, max_size=6).map("\n".join),
            st.sampled_from(
                ["x" * 500, ("> " * 200 + "\n") * 60, "- " * 100 + "deep", "`" * 99, "\u200f\u202e", "ﷺ" * 9]
            ),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_nothing_that_somebody_writes_keeps_a_pdf_from_being_made(texts: list[str]) -> None:
    printed(*(a_message(role, text) for text in texts for role in ("user", "assistant")))


def test_a_long_pdf_has_numbered_pages() -> None:
    messages = [a_message("user", f"Line {number}", created_at=NOW + timedelta(seconds=number)) for number in range(99)]
    lines = [json.loads(json.dumps(record, default=str)) for record in an_export(*messages)]

    made = pypdf.PdfReader(io.BytesIO(pages(lines, [])))

    assert len(made.pages) > 2
    for number, page in enumerate(made.pages, 1):
        assert page.extract_text().strip().endswith(str(number))
    assert made.metadata is not None
    assert made.metadata.title == "Harbours"


def test_too_many_messages_are_refused_before_the_first_byte() -> None:
    messages = [a_message("user", "Hi") for _ in range(5)]

    with pytest.raises(TooMuchForPdf) as refused:
        next(SubprocessPdfPrinter([], 4)(an_export(*messages)))

    assert refused.value.details["limit"] == 4
    assert text_of(b"".join(SubprocessPdfPrinter([], 5)(an_export(*messages)))).count("Hi") == 5


def test_a_process_that_fails_is_told_of_and_makes_room(caplog: pytest.LogCaptureFixture) -> None:
    printer = SubprocessPdfPrinter([], 10, memory=64 * 1024**2, at_once=1, patience=0.1)

    for _ in range(2):
        with pytest.raises(PdfUnavailable):
            next(printer(an_export(a_message("user", "what nobody else may know"))))

    assert "what nobody" not in caplog.text


def test_no_more_are_made_at_a_time_than_there_is_room_for() -> None:
    printer = SubprocessPdfPrinter([], 10, at_once=1, patience=0.05)

    def meanwhile() -> Iterator[dict[str, Any]]:
        yield from an_export(a_message("user", "Hi"))
        with pytest.raises(PdfUnavailable, match="Too many PDFs"):
            next(printer(an_export()))

    first = printer(meanwhile())
    assert next(first).startswith(b"%PDF")
    # Who does not read on holds nobody up.
    assert next(printer(an_export())).startswith(b"%PDF")


def test_marks_in_thousands_on_one_letter_take_no_minutes() -> None:
    printer = SubprocessPdfPrinter([], 10, seconds=20)

    made = b"".join(printer(an_export(a_message("user", "Zalgo: a" + "\u0301\u0327" * 2_400 + " is here"))))

    assert "is here" in text_of(made)


def test_the_process_that_makes_a_pdf_ends_with_the_one_that_wants_it() -> None:
    wanting = (
        "import os, subprocess, sys\n"
        "command = [sys.executable, '-P', '-m', 'adapters.pdf.child']\n"
        "child = subprocess.Popen(command, stdin=0, start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "sys.stdin.close()\n"
        "child.wait()\n"
    )
    reads, writes = os.pipe()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(
        [sys.executable, "-c", wanting], stdin=reads, stdout=subprocess.PIPE, env=environment
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.write(
            writes,
            json.dumps({"fonts": [], "seconds": 60, "memory": 2 * 1024**3, "parent": parent.pid}).encode() + b"\n",
        )
        parent.kill()

    def has_ended() -> bool:
        state = Path(f"/proc/{child}/stat")  # Nobody may be there to take note of its end.
        return not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"

    eventually(has_ended)
    os.close(reads)
    os.close(writes)
