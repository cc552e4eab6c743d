"""WebSockets on several servers of several processes: what dies, stops or comes in masses disturbs nobody else."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.chat_socket import ChatSocket, Frame, chatting
from tests.conftest import with_model
from tests.installation import Installation, installed, production
from tests.model_server import ModelServer
from tests.parley_process import TERMINAL
from tests.servers import RedisServer, missing_programs
from tests.waiting import eventually

_SLOW = "!stream words=200 delay=0.02"
_SLOW_ANSWER = "".join(f"word{number} " for number in range(200))

Install = Callable[..., Installation]


@pytest.fixture
def install(tmp_path: Path, model: ModelServer, migrated_postgres: str) -> Iterator[Install]:
    """Makes an installation with these settings, on servers that all tests share."""
    with ExitStack() as ending:

        def install(**settings: object) -> Installation:
            servers = ending.enter_context(production(migrated_postgres))
            return ending.enter_context(installed(tmp_path / "data", **(with_model(model) | servers | settings)))

        yield install


@pytest.fixture
def installation(install: Install) -> Installation:
    """Two servers of two processes each, and two workers."""
    installation = install()
    for _ in range(2):
        installation.web("--workers", "2")
    for _ in range(2):
        installation.worker()
    return installation


class TestOneSession:
    def test_its_sockets_on_all_processes_see_the_same(self, installation: Installation) -> None:
        here, there = installation.webs
        visitor = here.visitor()
        elsewhere = installation.at(there, visitor)
        with ExitStack() as stack:
            sockets = [stack.enter_context(chatting(client)) for client in (visitor, elsewhere) * 4]
            session = sockets[0].ask("session_init", "session_ready")["session"]["id"]
            for socket in sockets[1:]:
                assert socket.ask("session_init", "session_ready", session_id=session)["session"]["id"] == session
            hear_each_other(sockets)

            accepted = sockets[1].ask("message", "accepted", content="!stream words=40 delay=0.02")
            reply = accepted["reply"]["id"]
            events = [socket.events(reply) for socket in sockets]
            told = [frame for socket in sockets for frame in socket.seen if frame["type"] == "message"]
            sockets[2].send("session_close")
            closed = [socket.expect("session_closed") for socket in sockets]

        assert len(told) == 7
        assert all((frame["message"], frame["reply_id"]) == (accepted["message"], reply) for frame in told)
        assert [event["seq"] for event in events[0]] == list(range(len(events[0])))
        assert events[0][-1]["type"] == "reply.completed"
        assert all(other == events[0] for other in events)
        assert {frame["reason"] for frame in closed} == {"closed"}

    def test_a_question_over_http_at_one_server_is_told_at_the_other(self, installation: Installation) -> None:
        here, there = installation.webs
        visitor = here.visitor()
        conversation = visitor.conversation()
        with chatting(installation.at(there, visitor)) as socket:
            socket.ask("session_init", "session_ready", conversation_id=conversation)

            for number in range(5):
                reply = visitor.ask(conversation, f"Question {number}")
                assert socket.expect("message")["message"]["content"] == f"Question {number}"
                assert socket.events(reply)[-1]["message"]["content"] == f"Echo: Question {number}"


class TestCrashes:
    def test_a_killed_worker_leaves_no_socket_without_an_end(self, installation: Installation) -> None:
        here, there = installation.webs
        clients = [web.visitor() for web in (here, there) * 3]
        with ExitStack() as stack:
            sockets = [stack.enter_context(chatting(client)) for client in clients]
            replies = [begun(socket, _SLOW) for socket in sockets]

            installation.workers[0].kill()

            ends = [socket.events(reply, timeout=40)[-1] for socket, reply in zip(sockets, replies, strict=True)]
            for socket, client, end in zip(sockets, clients, ends, strict=True):
                assert end["type"] in ("reply.completed", "reply.interrupted"), installation.output
                assert end["message"] == client.messages(end["message"]["conversation_id"])[-1]
                assert end["message"]["content"].startswith("word0 word1 ")
                assert in_order(socket, end["reply_id"])
                assert socket.events(asked(socket, "Still there?"))[-1]["message"]["content"] == "Echo: Still there?"

    def test_a_killed_server_is_left_for_another_where_the_reply_goes_on(self, installation: Installation) -> None:
        dying, living = installation.webs
        visitor = dying.visitor()
        with chatting(visitor) as socket:
            reply = begun(socket, _SLOW, key="asked once")
            dying.kill()
            dropped(socket)

        with chatting(installation.at(living, visitor)) as back:
            ready = resumed(back, socket, reply)
            again = back.ask("message", "accepted", content=_SLOW, key="asked once")
            end = back.events(reply)[-1]

        assert (ready["live_reply_id"], again["reply"]["id"]) == (reply, reply)
        assert end["type"] == "reply.completed"
        assert len(ready["history"]) == 1
        assert whole(socket, back, reply) == end["message"]["content"]

    @pytest.mark.skipif(bool(missing_programs(RedisServer)), reason=missing_programs(RedisServer))
    def test_redis_may_restart_under_the_sockets(self, install: Install) -> None:
        with RedisServer() as redis:
            installation = install(PARLEY_REDIS_URL=redis.url)
            here, there = installation.web("--workers", "2"), installation.web("--workers", "2")
            installation.worker()
            visitor = here.visitor()
            with chatting(visitor) as one, chatting(installation.at(there, visitor)) as other:
                session = one.ask("session_init", "session_ready")["session"]["id"]
                other.ask("session_init", "session_ready", session_id=session)
                reply = begun(one, _SLOW, session=session)
                other.expect("reply.delta")

                redis.restart()

                for socket in (one, other):
                    end = socket.events(reply, timeout=40)[-1]
                    numbers = [event["seq"] for event in events_of(socket, reply)]
                    assert end["type"] == "reply.completed"
                    assert end["message"]["content"] == visitor.reply(reply)["text"] == _SLOW_ANSWER
                    assert numbers == sorted(set(numbers))
                hear_each_other([one, other])
                again = one.ask("message", "accepted", content="Do you hear me?")
                assert other.expect("message")["message"] == again["message"]
                assert other.events(again["reply"]["id"]) == one.events(again["reply"]["id"])


class TestStopping:
    def test_a_server_that_stops_sends_its_sockets_to_the_others(self, installation: Installation) -> None:
        stopping, staying = installation.webs
        clients = [stopping.visitor() for _ in range(6)]
        with ExitStack() as stack:
            sockets = [stack.enter_context(chatting(client)) for client in clients]
            replies = [begun(socket, _SLOW) for socket in sockets]

            os.kill(stopping.pid, signal.SIGTERM)
            ends = [socket.closed() for socket in sockets]

            eventually(lambda: stopping.ended, within=15)
            for client, socket, reply in zip(clients, sockets, replies, strict=True):
                with chatting(installation.at(staying, client)) as back:
                    resumed(back, socket, reply)
                    end = back.events(reply)[-1]
                assert end["type"] == "reply.completed"
                assert whole(socket, back, reply) == end["message"]["content"]
        assert {code for code, _ in ends} == {1012}
        assert "Traceback" not in stopping.output, stopping.output

    def test_a_reload_closes_sockets_for_them_to_come_back_at_once(self, installation: Installation) -> None:
        web, _ = installation.webs
        before = set(web.workers())
        visitor = web.visitor()
        with chatting(visitor) as socket:
            reply = begun(socket, _SLOW)

            os.kill(web.pid, signal.SIGHUP)
            code, _ = socket.closed()

            with chatting(visitor) as back:
                resumed(back, socket, reply)
                end = back.events(reply)[-1]
        assert code == 1012
        assert end["type"] == "reply.completed"
        assert whole(socket, back, reply) == end["message"]["content"]
        eventually(lambda: len(web.workers()) == 2 and not before & set(web.workers()))
        assert "Traceback" not in web.output, web.output


def asked(socket: ChatSocket, content: str, **members: object) -> str:
    """Ask on a socket that has a session; the reply's id."""
    reply_id: str = socket.ask("message", "accepted", content=content, **members)["reply"]["id"]
    return reply_id


def begun(socket: ChatSocket, content: str, *, session: str | None = None, **members: object) -> str:
    """Ask, if need be in a session that is begun first, and see the first words of the reply, whose id this is."""
    if session is None:
        socket.ask("session_init", "session_ready")
    reply = asked(socket, content, **members)
    for _ in range(3):
        socket.expect("reply.delta")
    return reply


def resumed(back: ChatSocket, before: ChatSocket, reply: str) -> Frame:
    """Go on at another socket with the session and the reply of one before; what the server is ready with."""
    session = next(frame for frame in before.seen if frame["type"] == "session_ready")["session"]["id"]
    resume = {"reply_id": reply, "after": events_of(before, reply)[-1]["seq"]}
    return back.ask("session_init", "session_ready", session_id=session, resume=resume)


def dropped(socket: ChatSocket) -> None:
    """Take what still comes until the connection breaks."""
    with suppress(ConnectionClosed):
        while True:
            socket.receive()


def events_of(socket: ChatSocket, reply: str) -> list[Frame]:
    return [frame for frame in socket.seen if frame.get("reply_id") == reply and "seq" in frame]


def in_order(socket: ChatSocket, reply: str) -> bool:
    numbers = [event["seq"] for event in events_of(socket, reply)]
    return numbers == list(range(len(numbers)))


def whole(before: ChatSocket, after: ChatSocket, reply: str) -> str:
    """The text that two sockets have shown, one after the other; fails when it has a gap, a repeat or two ends."""
    events = events_of(before, reply) + events_of(after, reply)
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events if event["type"] in TERMINAL] == [events[-1]["type"]]
    return "".join(event["text"] for event in events if event["type"] == "reply.delta")


def hear_each_other(sockets: list[ChatSocket]) -> None:
    """Return when each has seen another type: a subscription takes its time."""
    states: dict[int, Any] = dict.fromkeys(range(len(sockets)), False)

    def heard(speaker: int) -> bool:
        states[speaker] = not states[speaker]
        sockets[speaker].send("typing", is_typing=states[speaker])
        for number, socket in enumerate(sockets):
            if number != speaker:
                try:
                    while socket.receive(timeout=1)["type"] != "typing":
                        pass
                except TimeoutError:
                    return False
        return True

    for speaker in range(len(sockets)):
        eventually(lambda speaker=speaker: heard(speaker))  # type: ignore[misc]
