"""Processes that really die: nothing acknowledged is lost, and nothing stays "being written"."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import httpx

from tests.conftest import with_model
from tests.model_server import ModelServer
from tests.parley_process import ParleyProcess, running
from tests.waiting import eventually

_SLOW = "!stream words=400 delay=0.02"


def test_a_killed_server_leaves_an_interrupted_reply_with_its_text(data_dir: Path, model: ModelServer) -> None:
    with running(data_dir, **with_model(model)) as parley:
        visitor = parley.visitor()
        conversation = visitor.conversation()
        reply = visitor.ask(conversation, _SLOW)
        checkpointed = eventually(lambda: visitor.reply(reply)["text"])

        parley.kill()
        parley.start()

        eventually(lambda: visitor.reply(reply)["message"])
        ended = visitor.reply(reply)
        assert ended["status"] == "interrupted"
        assert ended["error"]["code"] == "interrupted"
        assert ended["text"].startswith(checkpointed)
        assert visitor.messages(conversation)[-1]["content"] == ended["text"]
        assert visitor.messages(conversation)[-1]["status"] == "interrupted"
        assert visitor.answer(conversation, "Go on")["text"] == "Echo: Go on"


def test_an_edit_whose_server_is_killed_stands_with_what_was_said_and_one_can_go_back(
    data_dir: Path, model: ModelServer
) -> None:
    with running(data_dir, **with_model(model)) as parley:
        visitor = parley.visitor()
        conversation = visitor.conversation()
        for question in ("One", "Two"):
            visitor.answer(conversation, question)
        [question, *_, last] = (message["id"] for message in visitor.messages(conversation))
        reply = visitor.data("POST", f"/messages/{question}/edit", {"content": _SLOW})["reply"]["id"]
        checkpointed = eventually(lambda: visitor.reply(reply)["text"])

        parley.kill()
        parley.start()

        eventually(lambda: visitor.reply(reply)["message"])
        edited, answer = visitor.messages(conversation)
        assert (edited["content"], edited["alternatives"]) == (_SLOW, 1)
        assert (answer["id"], answer["status"]) == (reply, "interrupted")
        assert answer["content"].startswith(checkpointed)
        assert visitor.data("POST", f"/messages/{last}/select")["message_count"] == 4
        assert visitor.answer(conversation, "Three")["text"] == "Echo: Three"


def test_a_watcher_who_reconnects_after_the_kill_gets_one_terminal_event_and_then_204(
    data_dir: Path, model: ModelServer
) -> None:
    with running(data_dir, **with_model(model)) as parley:
        visitor = parley.visitor()
        conversation = visitor.conversation()
        reply = visitor.ask(conversation, _SLOW)
        seen = []
        stream = visitor.events(reply)
        for event in stream:
            seen.append(event)
            if len(seen) == 40:
                parley.kill()
                break
        stream.close()  # type: ignore[attr-defined] # a generator
        parley.start()

        after = list(visitor.events(reply, after=seen[-1].seq))

        assert [event.event for event in after] == ["reply.interrupted"]
        assert after[0].seq > seen[-1].seq
        assert after[0].data["message"] == visitor.messages(conversation)[-1]
        assert list(visitor.events(reply, after=after[0].seq)) == []


def test_the_text_of_a_killed_server_is_at_most_half_a_second_behind_what_was_seen(
    data_dir: Path, model: ModelServer
) -> None:
    with running(data_dir, **with_model(model)) as parley:
        visitor = parley.visitor()
        reply = visitor.ask(visitor.conversation(), "!stream words=400 delay=0.01")
        seen = ""
        for event in visitor.events(reply):
            seen += event.data.get("text", "")
            if seen.count("word") >= 150:
                parley.kill()
                break
        parley.start()

        kept = eventually(lambda: visitor.reply(reply)["message"])["content"]

        # 0.5 s are 50 words at this pace; the machine may be slow, but not twice as slow.
        assert seen.startswith(kept)
        assert kept.count("word") >= 150 - 2 * 50


def test_a_killed_worker_is_replaced_and_its_reply_interrupted_while_the_server_goes_on(
    data_dir: Path, model: ModelServer
) -> None:
    with running(data_dir, **with_model(model)) as parley:
        visitor = parley.visitor()
        conversation = visitor.conversation()
        reply = visitor.ask(conversation, _SLOW)
        eventually(lambda: visitor.reply(reply)["text"])

        os.kill(parley.worker_pid(), signal.SIGKILL)

        assert eventually(lambda: _status(visitor.http, reply, visitor.token)) == "interrupted"
        assert visitor.answer(conversation, "Still there?")["status"] == "completed"


def test_a_question_that_was_taken_but_not_begun_is_answered_after_the_restart(
    data_dir: Path, model: ModelServer
) -> None:
    with running(data_dir, **with_model(model)) as parley:
        visitor = parley.visitor()
        conversation = visitor.conversation()
        silent = visitor.ask(conversation, f"!mute {visitor.token[-12:]}")
        eventually(lambda: visitor.reply(silent)["status"] == "running")
        parley.kill()
        # The model answers this time: nothing had been emitted, so the reply is tried again.
        model.attempts.clear()
        parley.settings["OPENAI_BASE_URL"] = "http://127.0.0.1:9/v1"
        parley.start()

        events = list(visitor.events(silent))

        assert events[-1].event == "reply.completed"
        assert "cannot be reached" in events[-1].data["message"]["content"]
        assert [event.data["attempt"] for event in events if event.event == "reply.started"] == [2]


def test_a_server_that_is_told_to_stop_ends_its_streams_and_keeps_the_text(data_dir: Path, model: ModelServer) -> None:
    with running(data_dir, **with_model(model, PARLEY_SHUTDOWN_GRACE=0.3)) as parley:
        visitor = parley.visitor()
        conversation = visitor.conversation()
        reply = visitor.ask(conversation, _SLOW)
        stream = visitor.events(reply)
        first = [next(stream) for _ in range(5)]

        code = parley.terminate()
        rest = list(stream)
        parley.start()

        assert code == 0
        seen = "".join(event.data.get("text", "") for event in first + rest)
        message = visitor.messages(conversation)[-1]
        assert rest[-1].event == "reply.interrupted"
        assert message == rest[-1].data["message"]
        assert message["content"].startswith(seen)


def test_ctrl_c_ends_everything_at_once_and_keeps_the_text(data_dir: Path, model: ModelServer) -> None:
    with running(data_dir, **with_model(model, PARLEY_SHUTDOWN_GRACE=60)) as parley:
        visitor = parley.visitor()
        stream = visitor.events(visitor.ask(visitor.conversation(), _SLOW))
        for _ in range(5):
            next(stream)

        parley.interrupt()

        assert list(stream)[-1].event == "reply.interrupted"
        eventually(lambda: parley.ended)
        assert not parley.faults


def test_a_server_that_is_told_to_stop_does_not_wait_for_the_silent(data_dir: Path, model: ModelServer) -> None:
    with running(data_dir, **with_model(model, PARLEY_SHUTDOWN_GRACE=0.3)) as parley:
        visitor = parley.visitor()
        stream = visitor.events(visitor.ask(visitor.conversation(), "!mute at the end"))
        next(stream)
        answers: list[int] = []
        waiting = threading.Thread(target=lambda: answers.append(_waits(parley)))
        waiting.start()
        eventually(lambda: len(model.asked("!mute while waiting")) == 1)

        code = parley.terminate()
        waiting.join(20)

        assert code == 0
        assert list(stream) == []  # It ends cleanly, for the watcher to come back.
        assert answers == [408]
        assert not parley.faults


def test_a_server_that_is_told_to_stop_lets_short_replies_end(data_dir: Path, model: ModelServer) -> None:
    with running(data_dir, **with_model(model, PARLEY_SHUTDOWN_GRACE=10)) as parley:
        visitor = parley.visitor()
        reply = visitor.ask(visitor.conversation(), "!stream words=40 delay=0.03")
        stream = visitor.events(reply)
        next(stream)

        parley.terminate()

        assert list(stream)[-1].event == "reply.completed"


def _waits(parley: ParleyProcess) -> int:
    visitor = parley.visitor()
    path = f"/conversations/{visitor.conversation()}/messages?wait=30"
    status: int = visitor.call("POST", path, {"content": "!mute while waiting"}).status_code
    return status


def _status(http: httpx.Client, reply: str, token: str) -> str | None:
    """The final status, None while the worker is being replaced or the reply is live."""
    try:
        answer = http.get(f"/replies/{reply}", headers={"Authorization": f"Bearer {token}"})
    except httpx.TransportError:
        return None
    found = answer.json()["data"]
    return str(found["status"]) if found["message"] else None
