"""Exports over HTTP: the same files as the command's, for whom they are, as they are written."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pypdf
import pytest

from tests.parley_process import Client, ParleyProcess
from tests.waiting import eventually


def export(client: Client, path: str, **query: str) -> bytes:
    answer = client.call("GET", f"{path}/export", params=query)
    assert answer.status_code == 200, answer.text
    return answer.content


def records(file: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.splitlines()]


@pytest.fixture
def talk(visitor: Client) -> tuple[str, str]:
    """A room and a conversation in it, with a question and two answers."""
    room = visitor.room("Plans")
    conversation = visitor.conversation(room_id=room, title="Über Häfen 港")
    visitor.answer(conversation, "Which harbour?")
    visitor.answer(conversation, "What of مرحبا and 日本?")
    return room, conversation


def test_a_conversation_is_written_as_json_lines(visitor: Client, talk: tuple[str, str]) -> None:
    _, conversation = talk

    answer = visitor.call("GET", f"/conversations/{conversation}/export")
    header, about, *messages, end = records(answer.content)

    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert (header["format"], header["version"]) == ("parley-export", 1)
    assert (header["of"], header["id"], header["branches"]) == ("conversation", conversation, "all")
    assert (about["id"], about["title"]) == (conversation, "Über Häfen 港")
    shown = visitor.messages(conversation, limit=100)
    assert [message["id"] for message in messages] == [message["id"] for message in shown]
    assert [message["content"] for message in messages] == [message["content"] for message in shown]
    assert end == {"type": "end", "counts": {"conversation": 1, "message": 4}}


def test_a_file_is_named_after_what_it_holds_in_every_script(visitor: Client, talk: tuple[str, str]) -> None:
    _, conversation = talk

    told = visitor.call("GET", f"/conversations/{conversation}/export", params={"format": "markdown"}).headers

    found = re.fullmatch(r"attachment; filename=\"([^\"]*)\"; filename\*=UTF-8''(\S+)", told["Content-Disposition"])
    assert found is not None, told["Content-Disposition"]
    assert found[1].isascii()
    assert found[1].endswith(".md")
    assert unquote(found[2]) == "Über Häfen 港.md"
    assert told["Content-Type"] == "text/markdown; charset=utf-8; variant=CommonMark"
    assert told["Cache-Control"] == "no-store, no-transform"


@pytest.mark.parametrize("title", ['a"b\\c/d', "../../etc/passwd", "line\nbreak\r\nX-Evil: 1", "…", " . ", "x" * 200])
def test_no_title_makes_a_name_that_is_more_than_a_name(visitor: Client, title: str) -> None:
    conversation = visitor.conversation(title=title) if title.strip() else visitor.conversation()

    told = visitor.call("GET", f"/conversations/{conversation}/export").headers

    name = unquote(told["Content-Disposition"].rpartition("UTF-8''")[2])
    assert not set(name) & set('/\\":\r\n')
    assert name.endswith(".jsonl")
    assert 6 < len(name) < 100
    assert "X-Evil" not in told


def test_markdown_is_for_people(visitor: Client, talk: tuple[str, str]) -> None:
    room, conversation = talk

    text = export(visitor, f"/rooms/{room}", format="markdown").decode()
    alone = export(visitor, f"/conversations/{conversation}", format="markdown").decode()

    assert text.index("\n# Plans\n") < text.index("\n## Über Häfen 港\n") < text.index("> Which harbour?\n")
    assert text.count("\n### User, ") == text.count("\n### general, ") == 2
    assert "\n# Über Häfen 港\n" in alone
    assert alone.count("\n## User, ") == alone.count("\n## general, ") == 2


def test_a_pdf_holds_what_was_said(visitor: Client, talk: tuple[str, str]) -> None:
    room, conversation = talk

    file = export(visitor, f"/conversations/{conversation}", format="pdf")
    of_room = export(visitor, f"/rooms/{room}", format="pdf")

    text = "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(file)).pages)
    assert "Which harbour?" in text
    assert "Über Häfen" in text
    assert "\N{WHITE SQUARE} stands for" in text
    assert "Plans" in pypdf.PdfReader(io.BytesIO(of_room)).pages[0].extract_text()


def test_the_current_branches_alone_can_be_had(visitor: Client) -> None:
    conversation = visitor.conversation()
    reply = visitor.answer(conversation, "One")
    again = visitor.data("POST", f"/replies/{reply['id']}/regenerate")["reply"]["id"]
    eventually(lambda: visitor.reply(again)["status"] == "completed")

    everything = records(export(visitor, f"/conversations/{conversation}"))
    current = records(export(visitor, f"/conversations/{conversation}", branches="current"))

    assert [record.get("id") for record in everything if record.get("type") == "message"][1:] == [reply["id"], again]
    assert [record.get("id") for record in current if record.get("type") == "message"][1:] == [again]


def test_all_that_one_has_is_in_one_file_and_nothing_of_anybody_else(parley: ParleyProcess) -> None:
    alice, bob = parley.visitor(), parley.visitor()
    mine = alice.conversation(title="Mine")
    room = alice.room("My room")
    theirs = bob.conversation(title="Theirs")
    gone = alice.conversation(title="Gone")
    alice.data("DELETE", f"/conversations/{gone}")
    alice.data("POST", "/sessions", {"room_id": room})

    file = export(alice, "")

    found = records(file)
    assert {record.get("id") for record in found} >= {mine, room}
    assert [record["type"] for record in found if "type" in record][-1] == "end"
    assert "session" in {record.get("type") for record in found}
    assert theirs.encode() not in file
    assert gone.encode() not in file


def test_what_cannot_be_exported_is_refused_before_anything_is_sent(parley: ParleyProcess) -> None:
    alice, bob = parley.visitor(), parley.visitor()
    conversation = alice.conversation()
    alice.data("DELETE", f"/conversations/{alice.conversation()}")
    unknown = "01a1ff8f-2190-7238-add8-b11359efc978"

    for query in ({"format": "docx"}, {"branches": "some"}, {"format": "pdf", "branches": "all"}, {"what": "1"}):
        error = alice.error("GET", f"/conversations/{conversation}/export", params=query)
        assert (error["status_code"], error["error_code"]) == (422, "validation_failed")
        assert set(error["details"]["fields"]) <= {"format", "branches", "what"}
    for format in ("json", "markdown", "pdf"):  # noqa: A001 # as the parameter is called
        path = f"/conversations/{conversation}/export"
        assert bob.error("GET", path, params={"format": format})["status_code"] == 403
        missing = alice.error("GET", f"/conversations/{unknown}/export", params={"format": format})
        assert missing["error_code"] == "conversation_not_found"
    assert alice.error("GET", "/rooms/nonsense/export")["status_code"] == 422


def test_who_goes_in_the_middle_leaves_nothing_behind(embedded: ParleyProcess) -> None:
    alice = embedded.visitor()
    conversation = alice.conversation()
    for _ in range(3):
        alice.answer(conversation, "word " * 900)

    def children() -> list[str]:
        return [
            name for pid in embedded.workers() for name in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]

    before = children()
    for format in ("json", "markdown", "pdf"):  # noqa: A001 # as the parameter is called
        headers = {"Authorization": f"Bearer {alice.token}"}
        path = f"/conversations/{conversation}/export?format={format}"
        with alice.http.stream("GET", path, headers=headers) as answer:
            assert answer.status_code == 200
            next(answer.iter_raw())
    eventually(lambda: children() == before)
    assert export(alice, f"/conversations/{conversation}", format="pdf").startswith(b"%PDF")
    assert '"exception"' not in embedded.output
    assert not embedded.faults
