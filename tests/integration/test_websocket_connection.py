"""WebSockets as RFC 6455 has them, with peers that keep to it and peers that do not."""

from __future__ import annotations

import base64
import json
import logging
import os
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from entrypoints.websocket.connection import Bounds, Closed, Connection, converse
from tests import echo_server
from tests.parley_process import free_port
from tests.waiting import eventually

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

PATIENCE = 15.0


class Peer:
    """The client's end, which sends whatever it is told to."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        sock.settimeout(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, opcode: int, payload: bytes = b"", *, last: bool = True, masked: bool = True) -> None:
        self.socket.sendall(frame(opcode, payload, last=last, masked=masked))

    def close(self, code: int, reason: bytes = b"") -> None:
        self.send(CLOSE, struct.pack("!H", code) + reason)

    def receive(self) -> tuple[int, bytes]:
        """The opcode and payload of the next frame."""
        first, length = self._read(2)
        assert first & 0xF0 == 0x80, "every frame of the server's is whole, without extensions"
        if length == 126:
            (length,) = struct.unpack("!H", self._read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._read(8))
        return first & 0x0F, self._read(length)

    def closed_with(self) -> int:
        """The code of the next frame, which has to be a close frame."""
        opcode, payload = self.receive()
        assert opcode == CLOSE
        code: int = struct.unpack("!H", payload[:2])[0]
        return code

    def rest(self) -> bytes:
        """Everything until the server has closed the connection."""
        rest = b""
        with suppress(ConnectionResetError):
            while data := self.socket.recv(65536):
                rest += data
        return rest

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise EOFError(data)
            data += more
        return data


def frame(opcode: int, payload: bytes = b"", *, last: bool = True, masked: bool = True) -> bytes:
    """A frame as clients send it (section 5.2)."""
    head = bytes([opcode | (0x80 if last else 0)])
    mask_bit = 0x80 if masked else 0
    if len(payload) < 126:
        head += bytes([mask_bit | len(payload)])
    elif len(payload) < 2**16:
        head += struct.pack("!BH", mask_bit | 126, len(payload))
    else:
        head += struct.pack("!BQ", mask_bit | 127, len(payload))
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def head_of_a_frame(opcode: int, length: int) -> bytes:
    """The head alone of a frame that announces so many bytes."""
    return struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, length) + b"\0\0\0\0"


class Conversation:
    """Both ends of a connection, the server's run by a handler in a thread of its own."""

    def __init__(self, handler: Callable[[Connection], None], bounds: Bounds) -> None:
        ours, theirs = socket.socketpair()
        self.peer = Peer(theirs)
        self.connection = Connection(ours, bounds)
        self.closed: Closed | None = None
        self._ours = ours
        self._thread = threading.Thread(target=self._run, args=(handler,))
        self._thread.start()

    def end(self) -> Closed:
        """How the server's end has closed."""
        self._thread.join(PATIENCE)
        assert self.closed is not None
        return self.closed

    def drop(self) -> None:
        self.peer.socket.close()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _run(self, handler: Callable[[Connection], None]) -> None:
        self.closed = converse(self.connection, handler)
        self._ours.close()


@pytest.fixture
def talk() -> Iterator[Callable[..., Conversation]]:
    """Begins conversations: an echo, unless told otherwise."""
    with ExitStack() as stack:

        def begin(handler: Callable[[Connection], None] = echo_server.echo, **bounds: Any) -> Conversation:
            conversation = Conversation(handler, Bounds(**bounds))
            stack.callback(conversation.drop)
            return conversation

        yield begin


Talk = Callable[..., Conversation]


class TestMessages:
    def test_a_message_arrives_whole_however_it_was_cut(self, talk: Talk) -> None:
        conversation = talk()
        text = "Grüße, 世界 🎉".encode()
        conversation.peer.send(TEXT, text[:3], last=False)  # in the middle of a character
        conversation.peer.send(CONTINUATION, text[3:9], last=False)
        conversation.peer.send(CONTINUATION, b"", last=False)
        conversation.peer.send(CONTINUATION, text[9:])

        assert conversation.peer.receive() == (TEXT, text)

    def test_a_ping_amid_the_fragments_is_answered_at_once(self, talk: Talk) -> None:
        conversation = talk()
        conversation.peer.send(BINARY, b"one ", last=False)
        conversation.peer.send(PING, b"there?")

        assert conversation.peer.receive() == (PONG, b"there?")

        conversation.peer.send(CONTINUATION, b"two")

        assert conversation.peer.receive() == (BINARY, b"one two")

    def test_frames_may_come_byte_by_byte_and_many_at_once(self, talk: Talk) -> None:
        conversation = talk()
        for byte in frame(TEXT, b"slowly"):
            conversation.peer.socket.sendall(bytes([byte]))

        assert conversation.peer.receive() == (TEXT, b"slowly")

        conversation.peer.socket.sendall(frame(TEXT, b"one") + frame(TEXT, b"two") + frame(TEXT, b"three"))

        assert [conversation.peer.receive()[1] for _ in range(3)] == [b"one", b"two", b"three"]

    def test_any_thread_may_send_and_no_message_breaks_another(self, talk: Talk) -> None:
        def chorus(connection: Connection) -> None:
            voices = [threading.Thread(target=connection.send, args=(letter * 300_000,)) for letter in "abcdefgh"]
            for voice in voices:
                voice.start()
            for voice in voices:
                voice.join()

        conversation = talk(chorus)

        heard = [conversation.peer.receive()[1] for _ in range(8)]

        assert sorted(heard) == [letter.encode() * 300_000 for letter in "abcdefgh"]
        assert conversation.peer.closed_with() == 1000


class TestRules:
    @pytest.mark.parametrize(
        "frames",
        [
            pytest.param(head_of_a_frame(TEXT, 10**12) + b"x" * 1001, id="a frame that goes on"),
            pytest.param(
                frame(TEXT, b"x" * 600, last=False) + frame(CONTINUATION, b"x" * 401, last=False), id="fragments"
            ),
            pytest.param(frame(TEXT, "世".encode() * 334), id="bytes, not characters"),
            pytest.param(frame(BINARY, b"x" * 1001), id="binary"),
        ],
    )
    def test_a_message_that_is_too_large_is_refused_before_it_is_whole(self, talk: Talk, frames: bytes) -> None:
        conversation = talk(message=1000)
        conversation.peer.socket.sendall(frames)

        assert conversation.peer.closed_with() == 1009
        assert conversation.peer.rest() == b""
        conversation.peer.socket.close()
        assert conversation.end().code == 1009

    def test_a_message_of_just_the_size_is_not(self, talk: Talk) -> None:
        conversation = talk(message=1000)
        conversation.peer.send(TEXT, b"x" * 500, last=False)
        conversation.peer.send(CONTINUATION, b"x" * 500)

        assert conversation.peer.receive() == (TEXT, b"x" * 1000)

    def test_text_that_is_not_utf_8_is_refused_at_the_first_wrong_byte(self, talk: Talk) -> None:
        conversation = talk()
        conversation.peer.send(TEXT, b"good", last=False)
        conversation.peer.send(CONTINUATION, b"\xed\xa0\x80", last=False)  # a lone surrogate

        assert conversation.peer.closed_with() == 1007

    @pytest.mark.parametrize(
        "frames",
        [
            pytest.param(frame(TEXT, b"in the open", masked=False), id="without a mask"),
            pytest.param(frame(TEXT | 0x40, b"compressed"), id="a reserved bit"),
            pytest.param(frame(3, b"?"), id="an unknown opcode"),
            pytest.param(frame(CONTINUATION, b"of what?"), id="a continuation of nothing"),
            pytest.param(frame(TEXT, b"one", last=False) + frame(TEXT, b"two"), id="a message in a message"),
            pytest.param(frame(PING, b"x" * 126), id="a long ping"),
            pytest.param(frame(PING, last=False), id="a ping in fragments"),
            pytest.param(frame(CLOSE, b"\x03"), id="half a code"),
            pytest.param(frame(CLOSE, struct.pack("!H", 1005)), id="a code that is never sent"),
            pytest.param(frame(CLOSE, struct.pack("!H", 999)), id="a code out of range"),
        ],
    )
    def test_what_breaks_the_protocol_ends_the_connection(self, talk: Talk, frames: bytes) -> None:
        conversation = talk()
        conversation.peer.socket.sendall(frames)

        assert conversation.peer.closed_with() == 1002
        assert conversation.peer.rest() == b""

    @pytest.mark.parametrize("opcode", [TEXT, PING, PONG])
    def test_frames_that_come_too_fast_end_the_connection(self, talk: Talk, opcode: int) -> None:
        conversation = talk(frames=0.001, burst=10)
        for _ in range(11):
            conversation.peer.send(opcode)

        answers = [conversation.peer.receive() for _ in range(0 if opcode == PONG else 10)]

        assert {answer[0] for answer in answers} <= {TEXT, PONG}
        assert conversation.peer.closed_with() == 1008


class TestSilence:
    def test_who_does_not_answer_a_ping_is_given_up(self, talk: Talk) -> None:
        conversation = talk(ping=0.1)

        assert conversation.peer.receive() == (PING, b"")
        assert conversation.end().code == 1006

    def test_who_answers_may_be_silent_for_long(self, talk: Talk) -> None:
        conversation = talk(ping=0.2)
        for _ in range(5):
            assert conversation.peer.receive() == (PING, b"")
            conversation.peer.send(PONG)
        conversation.peer.send(TEXT, b"still here")

        assert conversation.peer.receive() == (TEXT, b"still here")

    def test_who_never_reads_is_cut_off_by_whoever_sends(self, talk: Talk) -> None:
        sent = threading.Event()

        def shout(connection: Connection) -> None:
            def speak() -> None:
                with suppress(Closed):
                    echo_server.flood(connection)
                sent.set()

            threading.Thread(target=speak).start()
            connection.receive()

        conversation = talk(shout, send=0.3)

        assert conversation.end().code == 1006
        assert sent.wait(PATIENCE)
        with pytest.raises(Closed):
            conversation.connection.send("anybody?")

    def test_a_message_that_is_not_out_in_time_is_too_late_even_if_some_of_it_is_read(self, talk: Talk) -> None:
        """A peer that takes a byte at a time must not hold a sender for as long as it likes."""
        conversation = talk(lambda connection: connection.send(b"x" * 100_000_000), send=0.5)
        while conversation.peer.socket.recv(1):
            pass

        assert conversation.end().code == 1006


class TestClosing:
    def test_a_close_frame_is_answered_with_its_code(self, talk: Talk) -> None:
        conversation = talk()
        conversation.peer.close(4321, b"enough")

        assert conversation.peer.receive() == (CLOSE, struct.pack("!H", 4321) + b"enough")
        assert conversation.peer.rest() == b""
        assert (conversation.end().code, conversation.end().reason) == (4321, "enough")

    def test_a_close_frame_without_a_code_is_answered_without_one(self, talk: Talk) -> None:
        conversation = talk()
        conversation.peer.send(CLOSE)

        assert conversation.peer.receive() == (CLOSE, b"")
        assert conversation.end().code == 1005

    def test_another_thread_closes_once_and_what_comes_after_is_dropped(self, talk: Talk) -> None:
        heard: list[str | bytes] = []

        def listen(connection: Connection) -> None:
            while True:
                heard.append(connection.receive())

        conversation = talk(listen)
        for code in (1012, 1000, 4000):
            conversation.connection.close(code)
        with pytest.raises(Closed) as refused:
            conversation.connection.send("one more")

        assert refused.value.code == 1012
        assert conversation.peer.closed_with() == 1012

        conversation.peer.send(TEXT, b"sent before I knew")
        conversation.peer.close(1012)

        assert conversation.peer.rest() == b""
        assert conversation.end().code == 1012
        assert heard == []

    def test_a_peer_that_does_not_answer_a_close_frame_is_let_go(self, talk: Talk) -> None:
        conversation = talk(close=0.3)
        conversation.connection.close()

        assert conversation.peer.closed_with() == 1000
        assert conversation.end().code == 1000

    def test_a_peer_that_talks_on_after_a_close_frame_is_let_go(self, talk: Talk) -> None:
        conversation = talk(close=0.3, frames=1e9)
        conversation.connection.close()
        with suppress(OSError):
            while True:
                conversation.peer.send(TEXT, b"and another thing")

        assert conversation.end().code == 1000

    def test_a_peer_that_never_reads_can_be_closed(self, talk: Talk) -> None:
        conversation = talk(echo_server.flood, close=0.3)
        conversation.connection.close(1012)

        assert conversation.end().code == 1012

    def test_a_peer_that_is_gone_has_closed_abnormally(self, talk: Talk) -> None:
        conversation = talk()
        conversation.peer.socket.close()

        assert conversation.end().code == 1006

    def test_a_handler_that_is_done_closes(self, talk: Talk) -> None:
        conversation = talk(lambda connection: connection.send("bye"))

        assert conversation.peer.receive() == (TEXT, b"bye")
        assert conversation.peer.closed_with() == 1000

    def test_a_handler_that_fails_closes_and_says_so_in_the_log(
        self, talk: Talk, caplog: pytest.LogCaptureFixture
    ) -> None:
        conversation = talk(echo_server.fail)
        conversation.peer.send(TEXT, b"go")

        assert conversation.peer.closed_with() == 1011
        conversation.peer.close(1011)
        assert conversation.end().code == 1011
        assert [record.exc_info is not None for record in caplog.records if record.levelno == logging.ERROR] == [True]
        assert "a defect" in caplog.text

    @pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000])
    def test_codes_that_may_not_be_sent_are_not(self, talk: Talk, code: int) -> None:
        conversation = talk()

        with pytest.raises(ValueError, match=str(code)):
            conversation.connection.close(code)

        assert conversation.connection.is_open

    def test_a_long_reason_is_cut_between_characters(self, talk: Talk) -> None:
        conversation = talk()
        conversation.connection.close(4000, "世" * 100)

        assert conversation.peer.receive() == (CLOSE, struct.pack("!H", 4000) + ("世" * 41).encode())


class Server:
    """tests.echo_server as a process."""

    def __init__(self, **bounds: float) -> None:
        self.port = free_port()
        self._process = subprocess.Popen(
            echo_server.command(self.port, bounds),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.output = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        eventually(self._answers, within=30)

    def request(
        self, path: str = "/echo", headers: Mapping[str, str | None] | None = None, body: bytes = b""
    ) -> httpx.Response:
        """A handshake over HTTP, with some headers changed or, if None, left out."""
        wanted: dict[str, str | None] = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        }
        sent = {name: value for name, value in (wanted | dict(headers or {})).items() if value is not None}
        url = f"http://127.0.0.1:{self.port}{path}"
        return httpx.request("GET", url, headers=sent, content=body, timeout=PATIENCE)

    def connect(self, path: str = "/echo") -> ClientConnection:
        return connect(f"ws://127.0.0.1:{self.port}{path}")

    def peer(self, path: str = "/echo", with_the_request: bytes = b"") -> Peer:
        """A client on a bare socket, after the upgrade."""
        peer = Peer(socket.create_connection(("127.0.0.1", self.port)))
        peer.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n".encode()
            + with_the_request
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += peer.socket.recv(1)
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
        assert b"permessage-deflate" not in head
        return peer

    def count(self) -> int:
        """How many WebSockets the server says it has."""
        count: int = httpx.get(f"http://127.0.0.1:{self.port}/count", timeout=PATIENCE).json()["data"]
        return count

    def files(self) -> int:
        """How many files the process that serves has open."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return len(list(Path(f"/proc/{children[0]}/fd").iterdir()))

    def terminate(self) -> None:
        """Ask it to stop, and return at once."""
        self._process.terminate()

    def ended(self) -> int:
        """Wait until it has, and how."""
        code = self._process.wait(30)
        self._reader.join()
        return code

    def close(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self.ended()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output += line
        self._process.stdout.close()

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.output
        with suppress(httpx.TransportError):
            return self.count() == 0
        return False


@contextmanager
def serving(**bounds: float) -> Iterator[Server]:
    with closing(Server(**bounds)) as server:
        yield server


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    """For tests that leave no socket open."""
    with serving(ping=0.5, send=1.0, close=1.0, frames=1000, burst=1000) as server:
        yield server


class TestUpgrade:
    def test_a_client_talks_and_leaves(self, shared: Server) -> None:
        with shared.connect() as client:
            client.send("Grüße")
            client.send(b"\x00\xff")

            assert (client.recv(), client.recv()) == ("Grüße", b"\x00\xff")

        assert client.close_code == 1000

    def test_frames_that_come_with_the_request_are_not_lost(self, shared: Server) -> None:
        with shared.peer(with_the_request=frame(TEXT, b"first") + frame(TEXT, b"second")) as peer:
            assert peer.receive() == (TEXT, b"first")
            assert peer.receive() == (TEXT, b"second")

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"Upgrade": None, "Connection": None}, 426),
            ({"Upgrade": "h2c"}, 426),
            ({"Connection": "keep-alive"}, 400),
            ({"Sec-WebSocket-Version": "8"}, 426),
            ({"Sec-WebSocket-Version": None}, 426),
            ({"Sec-WebSocket-Key": None}, 400),
            ({"Sec-WebSocket-Key": "c2hvcnQ="}, 400),
            ({"Sec-WebSocket-Key": "not base64 at all!!!!!!!"}, 400),
        ],
        ids=lambda value: json.dumps(value) if isinstance(value, dict) else str(value),
    )
    def test_a_bad_handshake_is_answered_in_http(
        self, shared: Server, headers: dict[str, str | None], status: int
    ) -> None:
        refused = shared.request(headers=headers)

        assert refused.status_code == status
        assert refused.json()["error"]["error_code"] == "bad_handshake"
        if status == 426:
            assert refused.headers["Sec-WebSocket-Version"] == "13"

    def test_a_handshake_has_no_body(self, shared: Server) -> None:
        assert shared.request(body=b"hello").status_code == 400

    def test_after_a_handler_fails_there_is_no_http_in_the_socket(self, shared: Server) -> None:
        with shared.peer("/fail", frame(TEXT, b"go")) as peer:
            assert peer.closed_with() == 1011
            peer.close(1011)
            assert peer.rest() == b""

        eventually(lambda: "ZeroDivisionError: a defect" in shared.output)

    def test_a_thread_beside_the_handler_may_close(self, shared: Server) -> None:
        with shared.connect("/leave") as client:
            client.send("because")
            with pytest.raises(ConnectionClosed) as closed:
                client.recv()

        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, "because")

    @pytest.mark.parametrize("path", ["/echo", "/flood"])
    def test_a_client_that_falls_silent_or_never_reads_is_let_go(self, shared: Server, path: str) -> None:
        """Its machine lost power, or its page hangs: nothing arrives, not even a FIN."""
        with shared.peer(path):
            eventually(lambda: shared.count() == 1)
            eventually(lambda: shared.count() == 0)

    def test_sockets_leave_nothing_open(self, shared: Server) -> None:
        eventually(lambda: shared.count() == 0)
        before = shared.files()
        for ending in range(30):
            with shared.peer() as peer:
                match ending % 3:
                    case 0:
                        peer.close(1000)
                        peer.rest()
                    case 1:  # Its machine resets what it does not know any more.
                        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    case _:
                        peer.send(TEXT, masked=False)

        eventually(lambda: shared.count() == 0)
        eventually(lambda: shared.files() <= before)


class TestBoundsOfAProcess:
    def test_more_sockets_than_there_may_be_are_refused_and_http_goes_on(self) -> None:
        with serving(capacity=5, each=3) as server, ExitStack() as stack:
            open_ones = [stack.enter_context(server.connect("/echo?owner=ann")) for _ in range(3)]
            too_many_for_one = server.request("/echo?owner=ann")

            assert too_many_for_one.status_code == 429
            assert too_many_for_one.json()["error"]["error_code"] == "too_many_sockets"
            assert int(too_many_for_one.headers["Retry-After"]) > 0

            open_ones += [stack.enter_context(server.connect("/echo?owner=bob")) for _ in range(2)]
            too_many_at_all = server.request("/echo?owner=cy")

            assert too_many_at_all.status_code == 503
            assert too_many_at_all.json()["error"]["error_code"] == "no_socket_free"
            assert int(too_many_at_all.headers["Retry-After"]) > 0
            assert server.count() == 5
            for client in open_ones:
                client.send("still")
                assert client.recv() == "still"

            open_ones[0].close()
            eventually(lambda: server.count() == 4)
            stack.enter_context(server.connect("/echo?owner=cy"))

    def test_a_refused_handshake_takes_no_place(self) -> None:
        with serving(capacity=1, each=1) as server:
            for _ in range(3):
                assert server.request(headers={"Sec-WebSocket-Key": None}).status_code == 400
            with server.connect() as client, pytest.raises(InvalidStatus):
                server.connect()

            assert client.close_code == 1000

    def test_a_server_that_stops_sends_everybody_elsewhere(self) -> None:
        with serving(close=1.0) as server, ExitStack() as stack:
            clients = [stack.enter_context(server.connect()) for _ in range(20)]
            stack.enter_context(server.peer("/flood"))
            silent = stack.enter_context(server.peer())
            eventually(lambda: server.count() == 22)

            server.terminate()
            for client in clients:
                with pytest.raises(ConnectionClosed) as closed:
                    client.recv(PATIENCE)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1012

            assert silent.closed_with() == 1012
            assert server.ended() == 0
