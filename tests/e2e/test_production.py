"""Two web processes and two workers over PostgreSQL, MongoDB and Redis, which stop, die and come back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.conftest import with_model
from tests.installation import Installation, installed, production
from tests.model_server import ModelServer
from tests.parley_process import WorkerProcess
from tests.waiting import eventually

_SLOW = "!stream words=300 delay=0.02"


@pytest.fixture
def installation(tmp_path: Path, model: ModelServer, migrated_postgres: str) -> Iterator[Installation]:
    with (
        production(migrated_postgres) as settings,
        installed(tmp_path / "data", **with_model(model), **settings) as installation,
    ):
        yield installation


def test_ask_here_watch_there_and_stop_from_elsewhere(installation: Installation) -> None:
    here, there = installation.web(), installation.web()
    installation.worker(), installation.worker()
    asking = here.visitor()
    conversation = asking.conversation()
    watching = installation.at(there, asking)

    replies = [asking.ask(asking.conversation(), _SLOW) for _ in range(4)]
    reply = asking.ask(conversation, _SLOW)
    stream = watching.events(reply)
    seen = [next(stream) for _ in range(8)]
    stopped = watching.data("POST", f"/replies/{reply}/cancel")
    seen += list(stream)

    assert stopped["status"] == "cancelled"
    assert [event.seq for event in seen] == list(range(len(seen)))
    assert seen[-1].event == "reply.cancelled"
    text = "".join(event.data.get("text", "") for event in seen)
    assert text == stopped["text"] == asking.messages(conversation)[-1]["content"]
    assert watching.messages(conversation) == asking.messages(conversation)
    for other in replies:
        assert asking.data("POST", f"/replies/{other}/cancel")["status"] == "cancelled"
    assert "No difference" in installation.verified()


def test_the_read_models_follow_sessions_branches_feedback_and_claims(installation: Installation) -> None:
    here = installation.web()
    installation.worker()
    visitor, user = here.visitor(), here.user("alice")
    room = visitor.room()
    session = visitor.data("POST", "/sessions", {"room_id": room})["id"]
    for question in ("One", "Two"):
        visitor.data("POST", f"/sessions/{session}/messages?wait=30", {"content": question})
    conversation = visitor.data("GET", f"/sessions/{session}")["conversation_id"]
    first, answer, *_ = visitor.messages(conversation)

    visitor.data("POST", f"/sessions/{session}/reset", {})
    visitor.data("PUT", f"/messages/{answer['id']}/feedback", {"rating": "up"})
    visitor.data("POST", f"/messages/{first['id']}/edit?wait=30", {"content": "Another one"})
    visitor.data("POST", f"/messages/{first['id']}/select")
    visitor.data("DELETE", f"/sessions/{session}/history", params={"scope": "memory"})
    visitor.data("POST", "/chat/", {"question": "In one call"})
    visitor.data("POST", "/chat/clear/")
    user.data("POST", "/visitors/claim", {"token": visitor.token})

    assert "No difference" in installation.verified()
    assert [message["content"] for message in user.messages(conversation)][:2] == ["One", "Echo: One"]


def test_reading_right_after_writing_shows_the_write_on_every_process(installation: Installation) -> None:
    here, there = installation.web(), installation.web("--workers", "2")
    installation.worker()
    mine = here.visitor()
    theirs = installation.at(there, mine)

    for number in range(20):
        room = mine.room(f"Room {number}")
        assert theirs.data("GET", f"/rooms/{room}")["name"] == f"Room {number}"
        conversation = theirs.conversation(room_id=room)
        assert mine.data("GET", f"/conversations/{conversation}")["room_id"] == room
        mine.answer(conversation, f"Question {number}")
        contents = [message["content"] for message in theirs.messages(conversation)]
        assert contents == [f"Question {number}", f"Echo: Question {number}"]
        assert theirs.data("GET", f"/rooms/{room}")["message_count"] == 2
        theirs.data("DELETE", f"/rooms/{room}")
        assert mine.error("GET", f"/conversations/{conversation}/messages")["status_code"] == 404
    assert mine.data("GET", "/rooms")["total"] == 0
    assert "No difference" in installation.verified()


def test_branches_are_the_same_on_every_process_also_when_a_worker_dies(installation: Installation) -> None:
    here, there = installation.web(), installation.web()
    worker = installation.worker()
    mine = here.visitor()
    theirs = installation.at(there, mine)
    room = mine.room()
    conversation = mine.conversation(room_id=room)
    for question in ("One", "Two", "Three"):
        mine.answer(conversation, question)
    messages = [message["id"] for message in mine.messages(conversation)]

    reply = mine.data("POST", f"/messages/{messages[2]}/edit", {"content": _SLOW})["reply"]["id"]
    stream = theirs.events(reply)
    for _ in range(10):
        next(stream)
    worker.kill()
    installation.worker()
    end = list(stream)[-1]

    assert theirs.messages(conversation) == mine.messages(conversation)
    assert theirs.messages(conversation)[-1] == end.data["message"]
    assert theirs.data("GET", f"/rooms/{room}")["message_count"] == 4
    assert theirs.data("POST", f"/messages/{messages[5]}/select")["message_count"] == 6
    assert [message["id"] for message in mine.messages(conversation)] == messages
    rated = theirs.data("PUT", f"/messages/{reply}/feedback", {"rating": "down"})
    assert [version["is_current"] for version in mine.data("GET", f"/messages/{messages[2]}/versions")["items"]] == [
        True,
        False,
    ]
    assert mine.reply(reply)["message"] == rated
    assert "No difference" in installation.verified()


def test_a_killed_worker_leaves_its_text_and_another_one_goes_on(installation: Installation) -> None:
    web = installation.web()
    first, second = installation.worker(), installation.worker()
    visitor = web.visitor()
    conversations = [visitor.conversation() for _ in range(6)]
    replies = [visitor.ask(conversation, _SLOW) for conversation in conversations]
    streams = [visitor.events(reply) for reply in replies]
    for stream in streams:
        for _ in range(10):
            next(stream)

    first.kill()

    ends = [list(stream)[-1] for stream in streams]
    statuses = {end.event for end in ends}
    assert statuses <= {"reply.completed", "reply.interrupted"}, installation.output
    for conversation, end in zip(conversations, ends, strict=True):
        assert visitor.messages(conversation)[-1] == end.data["message"]
        assert end.data["message"]["content"].startswith("word0 word1 ")
    assert visitor.answer(conversations[0], "Still there?")["status"] == "completed"
    second.kill()
    third = installation.worker()
    assert visitor.answer(conversations[0], "And now?")["status"] == "completed"
    assert third.pid != second.pid
    assert "No difference" in installation.verified()


def test_a_killed_web_process_loses_nothing_and_the_watcher_goes_on_elsewhere(installation: Installation) -> None:
    dying, living = installation.web(), installation.web()
    installation.worker()
    visitor = dying.visitor()
    conversation = visitor.conversation()
    reply = visitor.ask(conversation, "!stream words=100 delay=0.02")
    stream = visitor.events(reply)
    seen = [next(stream) for _ in range(10)]

    dying.kill()
    stream.close()  # type: ignore[attr-defined] # a generator
    elsewhere = installation.at(living, visitor)
    seen += list(elsewhere.events(reply, after=seen[-1].seq))

    assert [event.seq for event in seen] == list(range(len(seen)))
    assert seen[-1].event == "reply.completed"
    assert elsewhere.messages(conversation)[-1]["content"] == "".join(event.data.get("text", "") for event in seen)


def test_a_web_process_that_is_told_to_stop_ends_its_streams_for_them_to_go_on(installation: Installation) -> None:
    stopping, staying = installation.web("--workers", "2"), installation.web()
    installation.worker()
    visitor = stopping.visitor()
    reply = visitor.ask(visitor.conversation(), "!stream words=150 delay=0.02")
    stream = visitor.events(reply)
    seen = [next(stream) for _ in range(10)]

    assert stopping.terminate() == 0
    seen += list(stream)  # It ends cleanly, without a terminal event.

    assert seen[-1].event == "reply.delta"
    seen += list(installation.at(staying, visitor).events(reply, after=seen[-1].seq))
    assert [event.seq for event in seen] == list(range(len(seen)))
    assert seen[-1].event == "reply.completed"
    assert not stopping.faults


def test_a_reload_breaks_no_stream_that_cannot_go_on(installation: Installation) -> None:
    web = installation.web("--workers", "2")
    installation.worker()
    visitor = web.visitor()
    reply = visitor.ask(visitor.conversation(), "!stream words=150 delay=0.02")
    stream = visitor.events(reply)
    seen = [next(stream) for _ in range(10)]
    before = set(web.workers())

    os.kill(web.pid, signal.SIGHUP)
    seen += list(stream)
    while seen[-1].event == "reply.delta":  # It may be the other old process that takes it up first.
        with suppress(httpx.ReadError):  # Or drops it before an answer, as it ends; clients connect again.
            seen += list(visitor.events(reply, after=seen[-1].seq))

    assert [event.seq for event in seen] == list(range(len(seen)))
    assert seen[-1].event == "reply.completed"
    eventually(lambda: len(web.workers()) == 2 and not before & set(web.workers()))
    assert visitor.answer(visitor.conversation(), "Hello")["status"] == "completed"


def test_a_worker_that_is_told_to_stop_lets_short_replies_end_and_hands_over_the_rest(
    installation: Installation,
) -> None:
    web = installation.web()
    worker = installation.worker()
    visitor = web.visitor()
    short = visitor.events(visitor.ask(visitor.conversation(), "!stream words=40 delay=0.02"))
    long = visitor.events(visitor.ask(visitor.conversation(), "!stream words=1000 delay=0.02"))
    silent_reply = visitor.ask(visitor.conversation(), f"!mute {visitor.token[-12:]}")
    silent = visitor.events(silent_reply)
    for stream in (short, long, silent):
        next(stream)

    code = worker.terminate()

    assert code == 0, worker.output
    assert list(short)[-1].event == "reply.completed"
    assert list(long)[-1].event == "reply.interrupted"
    assert not worker.faults
    assert eventually(lambda: visitor.reply(silent_reply)["status"] == "queued")
    installation.worker()
    assert next(silent).data["attempt"] == 2


def test_what_was_asked_while_no_worker_ran_is_answered_when_one_comes(installation: Installation) -> None:
    web = installation.web()
    visitor = web.visitor()
    conversation = visitor.conversation()
    reply = visitor.ask(conversation, "Is anybody there?")

    installation.worker()

    assert list(visitor.events(reply))[-1].event == "reply.completed"


def test_many_replies_at_once_in_one_worker(installation: Installation) -> None:
    web = installation.web()
    installation.worker(PARLEY_CONCURRENCY=60)
    visitor = web.visitor()

    replies = [visitor.ask(visitor.conversation(), "!stream words=60 delay=0.03") for _ in range(60)]

    started = eventually(lambda: all(visitor.reply(reply)["status"] != "queued" for reply in replies), within=10)
    assert started
    for reply in replies:
        assert list(visitor.events(reply))[-1].event == "reply.completed"
    assert "No difference" in installation.verified()


def test_more_web_processes_without_redis_are_refused(tmp_path: Path) -> None:
    from tests.parley_process import cli

    failed = cli("serve", "--migrate", "--workers", "2", PARLEY_DATA_DIR=tmp_path)

    assert failed.returncode == 2
    assert failed.stderr.startswith("Error: PARLEY_REDIS_URL: more than one web process needs Redis")


def test_a_worker_without_redis_is_refused(tmp_path: Path) -> None:
    worker = WorkerProcess(PARLEY_DATA_DIR=tmp_path)
    worker.launch()

    eventually(lambda: worker.ended)
    assert "PARLEY_REDIS_URL: without it" in eventually(lambda: worker.output)
