"""What operators see of everybody's things, and do to them, beside a running server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.commands import Commands, commands
from tests.parley_process import Client, ParleyProcess
from tests.waiting import eventually

HOSTILE = "Name\x1b[31m\x07\n‮evil\x9b2J"
"""What would paint a terminal red, ring its bell, end the line, turn what follows round and clear the screen."""


@pytest.fixture(scope="module")
def command() -> Iterator[Commands]:
    with commands() as run:
        yield run


class Operator:
    """Runs commands beside a server."""

    def __init__(self, command: Commands, parley: ParleyProcess) -> None:
        self._command = command
        self._settings = parley.settings

    def says(self, *arguments: str, status: int = 0) -> str:
        done = self._command(*arguments, **self._settings)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout if status == 0 else done.stderr

    def shows(self, *arguments: str) -> Any:
        return json.loads(self.says(*arguments, "--json"))


@pytest.fixture
def operator(command: Commands, parley: ParleyProcess) -> Operator:
    return Operator(command, parley)


def test_a_room_is_shown_deleted_and_restored(operator: Operator, visitor: Client) -> None:
    room = visitor.room("Plans")
    talk = visitor.conversation(room_id=room, title="Which way?")
    visitor.answer(talk, "Hello")

    shown = operator.shows("rooms", "show", room)
    table = operator.says("rooms", "show", room)
    deleted = operator.says("rooms", "delete", room)
    gone = operator.shows("rooms", "show", room)
    refused = operator.says("rooms", "delete", room, status=1)
    operator.says("rooms", "restore", room)

    assert (shown["name"], shown["message_count"], shown["deletion"]) == ("Plans", 2, None)
    assert [(one["id"], one["title"]) for one in shown["conversations"]] == [(talk, "Which way?")]
    assert re.search(r"^name +Plans$", table, re.MULTILINE)
    assert re.search(rf"^{talk} +Which way\? +2 ", table, re.MULTILINE)
    assert re.fullmatch(r"Deleted the room 'Plans' of visitor:\S+: 1 conversation, 2 messages\.\n", deleted)
    assert gone["deletion"]["subject"] == "room"
    assert re.fullmatch(
        r"Error: The room 'Plans' of visitor:\S+ is deleted already, since \d{4}-\d\d-\d\d \d\d:\d\d\.\n", refused
    )
    assert visitor.data("GET", f"/rooms/{room}")["message_count"] == 2


def test_a_conversation_is_shown_with_its_history_deleted_or_not(operator: Operator, visitor: Client) -> None:
    talk = visitor.conversation(title="Talk")
    reply = visitor.answer(talk, "First\nquestion")
    visitor.data("POST", f"/replies/{reply['id']}/regenerate")
    eventually(lambda: visitor.data("GET", f"/conversations/{talk}")["live_reply_id"] is None or None)

    deleted = operator.says("conversations", "delete", talk)
    shown = operator.shows("conversations", "show", talk)
    listed = operator.shows("conversations", "list", "--deleted", "--owner", shown["owner"])
    history = operator.shows("conversations", "messages", talk)
    everything = operator.shows("conversations", "messages", talk, "--all-branches")
    printed = operator.says("conversations", "messages", talk, "--all-branches")
    first = operator.shows("conversations", "messages", talk, "--after", "0", "--limit", "1")
    operator.says("conversations", "restore", talk)

    assert re.fullmatch(r"Deleted the conversation 'Talk' of visitor:\S+: 2 messages\.\n", deleted)
    assert (shown["all_message_count"], shown["deletion"]["subject"]) == (3, "conversation")
    assert shown["messages"][0]["preview"] == "First question"
    assert [one["id"] for one in listed["items"]] == [talk]
    assert [(message["position"], message["is_current"]) for message in history["items"]] == [(1, True), (2, True)]
    assert [message["is_current"] for message in everything["items"]] == [True, False, True]
    assert [message["content"] for message in first["items"]] == ["First\nquestion"]
    assert "#1 user" in printed
    assert "\nFirst\nquestion\n" in printed
    assert printed.count("(put aside)") == 1
    assert visitor.data("GET", f"/conversations/{talk}")["title"] == "Talk"


def test_what_others_have_written_reaches_no_terminal_raw(operator: Operator, visitor: Client) -> None:
    room = visitor.room(HOSTILE)
    talk = visitor.conversation(room_id=room, title=HOSTILE)
    visitor.answer(talk, HOSTILE)

    told = [
        operator.says("rooms", "list", "--limit", "1000"),
        operator.says("rooms", "list", "--limit", "1000", "--json"),
        operator.says("rooms", "show", room),
        operator.says("conversations", "show", talk),
        operator.says("conversations", "messages", talk),
        operator.says("conversations", "messages", talk, "--json"),
        operator.says("rooms", "delete", room),
        operator.says("rooms", "restore", room),
    ]

    for text in told:
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f‪-‮]", text)
    assert r"Name\x1b[31m\x07\n" in told[0]
    assert json.loads(told[1])["items"][0]["name"] == json.loads(told[1])["items"][0]["name"].strip()
    assert HOSTILE in [message["content"] for message in json.loads(told[5])["items"]]


def test_a_reply_is_listed_and_stopped(operator: Operator, visitor: Client) -> None:
    talk = visitor.conversation()
    reply = visitor.ask(talk, "!silent after=3")
    eventually(lambda: visitor.reply(reply)["status"] == "running")

    live = operator.shows("replies", "list", "--live", "--conversation", talk)
    table = operator.says("replies", "list", "--live")
    stopped = operator.says("replies", "cancel", reply)
    eventually(lambda: visitor.reply(reply)["status"] == "cancelled")
    shown = operator.shows("replies", "show", reply)
    again = operator.says("replies", "cancel", reply)
    told = operator.shows("replies", "cancel", reply)
    ended = operator.shows("replies", "list", "--status", "cancelled", "--conversation", talk)

    assert [(one["id"], one["status"]) for one in live["items"]] == [(reply, "running")]
    assert "text" not in live["items"][0]
    assert re.search(rf"^{reply} +visitor:\S+ +general +running ", table, re.MULTILINE)
    assert stopped in (f"{reply} cancelled\n", f"{reply} running; it is being stopped.\n")
    assert (shown["status"], shown["cancel_requested"]) == ("cancelled", True)
    assert again == f"{reply} cancelled\n"
    assert (told["id"], told["status"]) == (reply, "cancelled")
    assert [one["id"] for one in ended["items"]] == [reply]


def test_a_session_is_listed_and_closed(operator: Operator, visitor: Client) -> None:
    session = visitor.data("POST", "/sessions", {"context": {"page": "Prices"}})["id"]

    shown = operator.shows("sessions", "show", session)
    before = operator.shows("sessions", "list", "--open", "--owner", shown["owner"])
    closed = operator.says("sessions", "close", session)
    twice = operator.says("sessions", "close", session)
    told = operator.shows("sessions", "close", session)
    after = operator.shows("sessions", "list", "--over", "--owner", shown["owner"])

    assert (shown["status"], shown["context"]) == ("open", {"page": "Prices"})
    assert [one["id"] for one in before["items"]] == [one["id"] for one in after["items"]] == [session]
    assert (told["id"], told["status"], told["close_reason"]) == (session, "closed", "closed")
    assert closed == twice == f"The session of {shown['owner']} is closed (closed).\n"
    assert visitor.data("GET", f"/sessions/{session}")["status"] == "closed"


def test_a_visitor_is_shown_with_what_it_has(operator: Operator, visitor: Client, parley: ParleyProcess) -> None:
    owner = operator.shows("rooms", "show", visitor.room())["owner"]
    visitor_id = owner.removeprefix("visitor:")

    listed = operator.shows("visitors", "list", "--unclaimed", "--limit", "1000")
    shown = operator.shows("visitors", "show", visitor_id)

    assert visitor_id in [one["id"] for one in listed["items"]]
    assert (shown["owner"], shown["rooms"], shown["conversations"], shown["claimed_by"]) == (owner, 1, 0, None)


def test_a_project_and_its_documents_are_shown_deleted_and_restored(operator: Operator, parley: ParleyProcess) -> None:
    alice = parley.user("alice-of-the-things")
    project = alice.data("POST", "/projects", {"name": "Harbours"})["id"]
    body = {"project_id": project, "name": "depth.md", "text": "# Depth\n\nTwelve metres."}
    document = alice.data("POST", "/documents", body)["id"]
    eventually(lambda: alice.data("GET", f"/documents/{document}")["status"] == "ready")

    jobs = operator.shows("jobs", "list", "--owner", "user:alice-of-the-things", "--kind", "ingest")
    job = operator.shows("jobs", "show", jobs["items"][0]["id"])
    hers = ("--project", project, "--owner", "user:alice-of-the-things")
    found = operator.shows("knowledge", "search", "What is the depth?", *hers)
    searched = operator.says("knowledge", "search", "How deep?", "--project", project, "--owner", "system", status=1)
    deleted = operator.says("projects", "delete", project)
    listed = operator.shows("projects", "list", "--deleted", "--owner", "user:alice-of-the-things")
    gone = operator.shows("documents", "show", document)
    refused = operator.says("documents", "restore", document, status=1)
    operator.says("projects", "restore", project)
    dropped = operator.says("documents", "delete", document)
    restored = operator.says("documents", "restore", document)
    again = operator.says("documents", "reingest", document)

    assert (job["status"], job["subject_id"], job["error"]) == ("completed", document, None)
    assert found["items"][0]["document"] == "depth.md"
    assert searched == "Error: This project belongs to somebody else.\n"
    assert deleted == "Deleted the project 'Harbours' of user:alice-of-the-things: 1 document.\n"
    assert [(one["id"], one["document_count"]) for one in listed["items"]] == [(project, 1)]
    assert (gone["deletion"]["subject"], gone["project"]) == ("project", "harbours")
    assert refused.startswith("Error: ")
    assert dropped == "Deleted the document 'depth.md' of user:alice-of-the-things.\n"
    assert restored == "Restored the document 'depth.md' of user:alice-of-the-things.\n"
    assert again == "depth.md: ready, 1 passages.\n"


def test_a_job_analysis_is_shown_deleted_and_restored(operator: Operator, parley: ParleyProcess) -> None:
    alice = parley.user("alice-of-the-jobs")
    analysis = alice.data("POST", "/job-analyses", {"text": "Requirements: Zig", "title": "Engineer"})["id"]
    eventually(lambda: alice.data("GET", f"/job-analyses/{analysis}")["status"] == "completed")

    shown = operator.shows("job-analyses", "show", analysis)
    deleted = operator.says("job-analyses", "delete", analysis)
    listed = operator.shows("job-analyses", "list", "--deleted", "--owner", "user:alice-of-the-jobs")
    restored = operator.says("job-analyses", "restore", analysis)

    assert (shown["title"], shown["owner"], shown["deletion"]) == ("Engineer", "user:alice-of-the-jobs", None)
    assert "text" not in shown
    assert deleted == "Deleted the job analysis 'Engineer' of user:alice-of-the-jobs.\n"
    assert [one["id"] for one in listed["items"]] == [analysis]
    assert restored == "Restored the job analysis 'Engineer' of user:alice-of-the-jobs.\n"


def test_what_is_changed_is_told_to_programs(operator: Operator, visitor: Client, parley: ParleyProcess) -> None:
    alice = parley.user("alice-of-the-changes")
    room = visitor.room("Plans")
    talk = visitor.conversation(room_id=room, title="Which way?")
    visitor.answer(talk, "Hello")
    project = alice.data("POST", "/projects", {"name": "Quays"})["id"]
    document = alice.data("POST", "/documents", {"project_id": project, "name": "a.md", "text": "# Quay\n\nLong."})[
        "id"
    ]
    analysis = alice.data("POST", "/job-analyses", {"text": "Requirements: Zig", "title": "Engineer"})["id"]
    eventually(lambda: alice.data("GET", f"/documents/{document}")["status"] == "ready")
    eventually(lambda: alice.data("GET", f"/job-analyses/{analysis}")["status"] == "completed")

    again = operator.shows("documents", "reingest", document)
    assert (again["id"], again["status"], again["owner"]) == (document, "ready", "user:alice-of-the-changes")
    for kind, group, thing in (
        ("conversation", "conversations", talk),
        ("room", "rooms", room),
        ("document", "documents", document),
        ("project", "projects", project),
        ("job_analysis", "job-analyses", analysis),
    ):
        deleted = operator.shows(group, "delete", thing)
        refused = operator.says(group, "delete", thing, status=1)
        restored = operator.shows(group, "restore", thing)

        assert (deleted["subject"], deleted["subject_id"]) == (kind, thing)
        assert deleted["owner"] == restored["owner"]
        assert f"The {kind.replace('_', ' ')} " in refused
        assert " is deleted already, since " in refused
        assert (restored["id"], restored["deleted_at"]) == (thing, None)
    operator.shows("rooms", "delete", room)
    with_it = operator.says("conversations", "delete", talk, status=1)
    assert " is deleted already with its room, since " in with_it


def test_what_is_purged_is_gone(operator: Operator, visitor: Client) -> None:
    room = visitor.room("Old plans")
    visitor.answer(visitor.conversation(room_id=room), "Hello")

    early = operator.says("rooms", "purge", room, "--yes", status=1)
    operator.says("rooms", "delete", room)
    unasked = operator.says("rooms", "purge", room, status=2)
    purged = operator.says("rooms", "purge", room, "--yes")
    gone = operator.says("rooms", "show", room, status=1)

    assert early.startswith("Error: ")
    assert "'Old plans'" in unasked
    assert "--yes" in unasked
    assert re.match(r"Purged the room 'Old plans' of visitor:\S+: .*2 messages.*, 1 deletion", purged)
    assert gone == f"Error: There is no room {room}.\n"
    assert visitor.error("GET", f"/rooms/{room}")["error_code"] == "room_not_found"


def test_what_waits_is_told(operator: Operator, visitor: Client) -> None:
    reply = visitor.ask(visitor.conversation(), "!silent after=3")
    eventually(lambda: visitor.reply(reply)["status"] == "running")

    waiting = operator.shows("status")
    table = operator.says("status")
    visitor.data("POST", f"/replies/{reply}/cancel")

    assert waiting["running_replies"]["running"] >= 1
    assert waiting["running_replies"]["oldest"] is not None
    assert re.search(r"^running replies +\d+ running, 0 abandoned +", table, re.MULTILINE)


def test_a_token_says_for_whom_it_speaks(operator: Operator, parley: ParleyProcess) -> None:
    issued = operator.shows("token", "issue", "--user", "me", "--role", "admin", "--hours", "2")

    assert (issued["principal"], issued["roles"]) == ("user:me", ["admin"])
    assert parley._client(issued["token"]).data("GET", "/rooms")["total"] == 0


def test_read_models_and_caches_are_told_of_where_there_are_any(operator: Operator, parley: ParleyProcess) -> None:
    if "PARLEY_MONGO_URL" not in parley.settings:
        for arguments in (("projections", "status"), ("cache", "stats"), ("cache", "clear")):
            assert operator.says(*arguments, status=2).startswith("Error: PARLEY_")
        return

    state = operator.shows("projections", "status")
    verified = operator.shows("projections", "verify")
    cleared = operator.shows("cache", "clear", "--region", "statistics")
    cached = operator.shows("cache", "stats")

    assert (state["ok"], state["rebuild"]) == (True, {})
    assert set(state["things"]) == {"rooms", "conversations", "messages"}
    assert verified == {"total": 0, "differences": []}
    assert cleared["cleared"] >= 0
    assert cached["regions"]["statistics"]["entries"] == 0
