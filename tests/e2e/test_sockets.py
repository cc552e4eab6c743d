"""WebSockets on several servers of several processes: what dies, stops or comes in masses disturbs nobody else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from select import POLLERR, poll
from socket import SO_RCVBUF, SOL_SOCKET, create_connection
from socket import socket as Socket  # noqa: N812 # `socket` is a chat's here
from threading import Barrier
from typing import Any

import httpx
import pytest
from redis import Redis
from websockets.exceptions import ConnectionClosed

from tests.chat_socket import ChatSocket, Frame, chatting
from tests.conftest import with_model
from tests.installation import Installation, installed, production
from tests.integration.test_websocket_connection import TEXT, frame, serving
from tests.model_server import ModelServer
from tests.parley_process import TERMINAL, Client, ParleyProcess
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
    """Two servers of two processes each, and two workers; to be maltreated."""
    return complete(install())


@pytest.fixture(scope="module")
def shared(
    model: ModelServer, migrated_postgres: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """The same for tests that maltreat sockets alone."""
    folder = tmp_path_factory.mktemp("shared")
    with production(migrated_postgres) as servers, installed(folder, **with_model(model), **servers) as installation:
        yield complete(installation)


def complete(installation: Installation) -> Installation:
    for _ in range(2):
        installation.web("--workers", "2")
    for _ in range(2):
        installation.worker()
    return installation


class TestOneSession:
    def test_its_sockets_on_all_processes_see_the_same(self, shared: Installation) -> None:
        here, there = shared.webs
        visitor = here.visitor()
        elsewhere = shared.at(there, visitor)
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

    def test_a_question_over_http_at_one_server_is_told_at_the_other(self, shared: Installation) -> None:
        here, there = shared.webs
        visitor = here.visitor()
        conversation = visitor.conversation()
        with chatting(shared.at(there, visitor)) as socket:
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

    @pytest.mark.skipif(bool(missing_programs(RedisServer)), reason=missing_programs(RedisServer))
    def test_what_was_asked_without_redis_is_told_as_soon_as_it_is_back(self, install: Install) -> None:
        with RedisServer() as redis:
            installation = install(PARLEY_REDIS_URL=redis.url)
            here, there = installation.web(), installation.web()
            installation.worker()
            visitor = here.visitor()
            conversation = visitor.conversation()
            with chatting(installation.at(there, visitor)) as socket:
                session = socket.ask("session_init", "session_ready", conversation_id=conversation)["session"]["id"]
                redis.stop()
                reply = visitor.ask(conversation, _SLOW)
                assert socket.ask("ping", "pong")

                redis.start()

                assert socket.expect("message")["reply_id"] == reply
                assert socket.events(reply, timeout=40)[-1]["type"] == "reply.completed"
                redis.stop()
                visitor.data("DELETE", f"/sessions/{session}")
                redis.start()
                assert socket.expect("session_closed")["reason"] == "closed"


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
        assert not stopping.faults

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
        assert not web.faults


class TestCrowds:
    """A process that may open 240 files takes 180 connections, and 135 of them as WebSockets."""

    @pytest.fixture
    def small(self, model: ModelServer, data_dir: Path) -> Iterator[ParleyProcess]:
        process = ParleyProcess(data_dir, **with_model(model, PARLEY_LIMIT_SOCKETS=1000))
        process.files = 240
        process.start()
        try:
            yield process
        finally:
            for client in process.clients:
                client.http.close()
            process.kill()

    def test_sockets_beyond_what_there_is_room_for_are_refused_and_others_are_served(
        self, small: ParleyProcess
    ) -> None:
        calm = small.visitor()
        with ExitStack() as stack:
            chat = stack.enter_context(chatting(calm))
            chat.ask("session_init", "session_ready")
            crowd = [upgraded(small, small.visitor()) for _ in range(4) for _ in range(50)]
            for raw, _ in crowd:
                stack.callback(raw.close)

            assert Counter(status for _, status in crowd) == {101: 134, 503: 66}
            assert chat.events(asked(chat, "Hello"))[-1]["message"]["content"] == "Echo: Hello"
            assert calm.answer(calm.conversation(), "And over HTTP?")["status"] == "completed"
            assert httpx.get(f"{small.url}/healthz").status_code == 200
        eventually(lambda: with_room(small, calm))

    def test_silent_connections_make_way(self, small: ParleyProcess) -> None:
        calm = small.visitor()
        with ExitStack() as stack:
            chat = stack.enter_context(chatting(calm))
            chat.ask("session_init", "session_ready")
            silent = [
                stack.enter_context(closing(create_connection(("127.0.0.1", small.port), 20))) for _ in range(600)
            ]

            assert calm.answer(calm.conversation(), "Anybody there?")["status"] == "completed"
            assert chat.events(asked(chat, "Hello"))[-1]["message"]["content"] == "Echo: Hello"
            assert httpx.get(f"{small.url}/healthz").status_code == 200
            assert silent[0].recv(1) == b""  # Who waited for longest went first,
            silent[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert silent[-1].recv(12) == b"HTTP/1.1 200"  # and who came last is served.

    def test_requests_that_never_come_whole_make_way(self, small: ParleyProcess) -> None:
        calm = small.visitor()
        head = f"POST /api/v1/conversations HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {calm.token}\r\n"
        bodies = ["Content-Length: 1000\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n3e8\r\n{", "X-Half: a hea"]
        with ExitStack() as stack:
            for number in range(600):
                slow = stack.enter_context(closing(create_connection(("127.0.0.1", small.port), 20)))
                slow.sendall((f"{head}Content-Type: application/json\r\n" + bodies[number % 3]).encode())

            assert calm.answer(calm.conversation(), "Anybody there?")["status"] == "completed"
            with chatting(calm) as chat:
                assert chat.ask("session_init", "session_ready")

    def test_crowds_that_come_and_go_leave_nothing(self, install: Install) -> None:
        installation = install(PARLEY_LIMIT_SOCKETS=1000)
        installation.worker()
        web = installation.web()
        visitor = web.visitor()
        (process,) = web.workers()

        def come_and_go(times: int) -> None:
            for _ in range(times):
                crowd = [upgraded(web, visitor) for _ in range(100)]
                for raw, status in crowd:
                    assert status == 101
                    raw.sendall(text(type="session_init"))
                for raw, _ in crowd:
                    told(raw, "session_ready")
                    raw.close()

        come_and_go(3)
        eventually(lambda: topics(installation) == 0)
        some = files(process), memory(process)
        come_and_go(9)
        eventually(lambda: topics(installation) == 0)

        eventually(lambda: files(process) < some[0] + 20)  # There may be some more connections to servers.
        assert memory(process) < some[1] + 900 * 15  # Each socket that was left behind would have some 26 KiB.
        assert visitor.answer(visitor.conversation(), "Hello")["status"] == "completed"


class TestUnruly:
    def test_who_does_not_read_is_cut_off_and_nobody_else_hears_less(self, shared: Installation) -> None:
        here, there = shared.webs
        visitor = here.visitor()
        with chatting(visitor) as asking, chatting(shared.at(there, visitor)) as watching, ExitStack() as stack:
            session = asking.ask("session_init", "session_ready")["session"]["id"]
            watching.ask("session_init", "session_ready", session_id=session)
            long = asked(asking, "!stream words=3000 delay=0")
            asking.events(long), watching.events(long)
            deaf, status = upgraded(here, visitor, room_for=4096)
            stack.callback(deaf.close)
            assert status == 101
            deaf.sendall(text(type="session_init", session_id=session) + 40 * text(type="resume", reply_id=long))

            reply = asked(asking, "!stream words=500 delay=0.02")
            ends = [socket.events(reply)[-1] for socket in (asking, watching)]

            for socket, end in zip((asking, watching), ends, strict=True):
                assert end["type"] == "reply.completed"
                assert in_order(socket, reply)
            eventually(lambda: is_reset(deaf))
            assert asking.events(asked(asking, "Hello"))[-1]["message"]["content"] == "Echo: Hello"

    def test_a_client_that_stands_still_is_given_up(self) -> None:
        """The system still takes what is sent to it, and nothing answers the pings."""
        with serving(ping=0.5) as server:
            client = subprocess.Popen(
                [sys.executable, "-c", _CLIENT, f"ws://127.0.0.1:{server.port}/echo"], stdout=subprocess.PIPE
            )
            assert client.stdout is not None
            with client, client.stdout:
                assert client.stdout.readline() == b"connected\n"
                before = server.files()

                client.send_signal(signal.SIGSTOP)

                eventually(lambda: server.count() == 0)
                eventually(lambda: server.files() < before)
                client.kill()

    def test_a_flood_on_every_process_ends_with_1008_and_disturbs_nobody(self, shared: Installation) -> None:
        with ExitStack() as stack:
            calm = [stack.enter_context(chatting(web.visitor())) for web in shared.webs * 2]
            floods = [upgraded(web, web.visitor())[0] for web in shared.webs * 4]
            for socket in calm:
                socket.ask("session_init", "session_ready")

            for raw in floods:
                stack.callback(raw.close)
                raw.sendall(300 * text(type="ping"))

            replies = [asked(socket, "Hello") for socket in calm]
            for socket, reply in zip(calm, replies, strict=True):
                assert socket.events(reply)[-1]["type"] == "reply.completed"
            for raw in floods:
                assert b"\x03\xf0Too many frames." in rest(raw)  # 1008


def test_ten_messages_a_minute_are_ten_on_all_sockets_of_all_processes(install: Install) -> None:
    installation = install(PARLEY_RATE_SOCKET_MESSAGE="10/minute", PARLEY_RATE_ASK_VISITOR="30/hour")
    for _ in range(2):
        installation.web("--workers", "2")
    visitor = installation.webs[0].visitor()
    together = Barrier(8)

    def talk(socket: ChatSocket) -> list[Frame]:
        answers = []
        together.wait()
        for number in range(5):
            socket.send("message", id=str(number), content=f"Message {number}", on_conflict="interrupt")
            while (answer := socket.receive()).get("id") != str(number):
                pass
            answers.append(answer)
        return answers

    with ExitStack() as stack:
        sockets = [
            stack.enter_context(chatting(installation.at(web, visitor))) for _ in range(4) for web in installation.webs
        ]
        for socket in sockets:
            conversation = visitor.conversation()
            socket.ask("session_init", "session_ready", conversation_id=conversation)
        with ThreadPoolExecutor(8) as pool:
            answers = [answer for answers in pool.map(talk, sockets) for answer in answers]

    accepted = [answer for answer in answers if answer["type"] == "accepted"]
    refused = Counter(answer["error_code"] for answer in answers if answer["type"] == "error")
    limited = [answer for answer in answers if answer.get("error_code") == "rate_limited"]
    assert len(accepted) == 10, refused
    assert all(0 < answer["retry_after"] <= 60 for answer in limited)


_CLIENT = """
import sys
from websockets.sync.client import connect
with connect(sys.argv[1]) as connection:
    print("connected", flush=True)
    connection.recv()
"""


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


def upgraded(web: ParleyProcess, client: Client, *, room_for: int | None = None) -> tuple[Socket, int]:
    """A bare socket after an upgrade request, and the answer's status; `room_for` so many unread bytes or so."""
    raw = Socket()
    raw.settimeout(60)
    if room_for is not None:
        raw.setsockopt(SOL_SOCKET, SO_RCVBUF, room_for)
    raw.connect(("127.0.0.1", web.port))
    raw.sendall(
        b"GET /ws/chat/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Authorization: Bearer " + client.token.encode() + b"\r\n\r\n"
    )
    return raw, int(raw.recv(12).split()[1])


def text(**members: object) -> bytes:
    """A client's frame."""
    return frame(TEXT, json.dumps(members).encode())


def told(raw: Socket, kind: str) -> None:
    """Read until a frame of a type has begun."""
    seen = b""
    while f'"type":"{kind}"'.encode() not in seen:
        more = raw.recv(65536)
        assert more, seen
        seen += more


def rest(raw: Socket) -> bytes:
    """All that comes until the connection has ended."""
    seen = b""
    with suppress(ConnectionResetError):
        while more := raw.recv(65536):
            seen += more
    return seen


def is_reset(raw: Socket) -> bool:
    """Whether the server has cut the connection off, without reading anything from it."""
    watching = poll()
    watching.register(raw, 0)  # Errors are always told of.
    return any(event & POLLERR for _, event in watching.poll(0))


def with_room(web: ParleyProcess, client: Client) -> bool:
    raw, status = upgraded(web, client)
    raw.close()
    return status == 101


def files(process: int) -> int:
    """How many files it has open."""
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


def memory(process: int) -> int:
    """How many kilobytes are its own."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def topics(installation: Installation) -> int:
    """How many are subscribed to."""
    with Redis.from_url(str(installation.settings["PARLEY_REDIS_URL"])) as redis:
        return len(redis.pubsub_channels(f"{installation.settings['PARLEY_REDIS_PREFIX']}topic:*"))


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
