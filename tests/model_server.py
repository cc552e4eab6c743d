"""A real HTTP server that speaks the Chat Completions wire, and misbehaves when it is asked to.

What it does is written in the last user message:

    anything else                  streams `Echo: <the message>` word by word
    !stream words=50 delay=0.02    streams `word0 word1 …`, a word every `delay` seconds
    !silent after=3                streams 3 words, then says nothing until the client goes
    !mute                          takes the request and never answers
    !status code=429 times=2       refuses the first 2 requests of this very message, then echoes
    !cut after=3                   streams 3 words and drops the connection
    !error after=3                 streams 3 words and an error event
    !chunk {"choices": []}         streams a word, this chunk, a keep-alive and another word
    !garbage                       streams something that is no JSON
"""

from __future__ import annotations

import json
import re
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "test-model"


class ModelServer(ThreadingHTTPServer):
    """Where it is, what it was asked, and which clients went before the end of their answer."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, Any]] = []
        self.abandoned: list[str] = []
        self.connections = 0
        self.attempts: Counter[str] = Counter()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes is what some tests are about."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def asked(self, content: str) -> list[dict[str, Any]]:
        """The requests whose last message is `content`."""
        return [request for request in self.requests if request["messages"][-1]["content"] == content]


@contextmanager
def model_server() -> Iterator[ModelServer]:
    server = ModelServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ModelServer

    def setup(self) -> None:
        self.server.connections += 1
        super().setup()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self._json(
                200, {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "x"}]}
            )
        else:
            self._json(404, {"error": {"message": "no such path"}})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(request)
        content = request["messages"][-1]["content"]
        self.server.attempts[content] += 1
        order, options = _order(content)
        try:
            self._answer(order, options, content)
        except (BrokenPipeError, ConnectionResetError):
            self.server.abandoned.append(content)
            self.close_connection = True

    def _answer(self, order: str, options: dict[str, float], content: str) -> None:
        after = int(options.get("after", 0))
        words = [f"word{number} " for number in range(int(options.get("words", after)))]
        match order:
            case "stream":
                self._begin()
                for word in words:
                    time.sleep(options.get("delay", 0.0))
                    self._abandoned_check()
                    self._delta(word)
                self._finish(len(words))
            case "silent":
                self._begin()
                for word in words:
                    self._delta(word)
                self._wait_for_client_to_go(content)
            case "mute":
                self._wait_for_client_to_go(content)
            case "status" if self.server.attempts[content] <= options.get("times", 10**9):
                self._json(int(options["code"]), {"error": {"message": "as you asked", "type": "test"}})
            case "cut":
                self._begin()
                for word in words:
                    self._delta(word)
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
            case "error":
                self._begin()
                for word in words:
                    self._delta(word)
                self._data({"error": {"message": "overheated", "type": "server_error"}})
                self._chunk(b"")
            case "chunk":
                self._begin()
                self._delta("before ")
                self._chunk(b"event: ping\r\ndata: " + content.removeprefix("!chunk ").encode() + b"\r\n\r\n")
                self._chunk(b": keep-alive\n\ndata:\n\n")
                self._delta("after")
                self._finish(2)
            case "garbage":
                self._begin()
                self._chunk(b"data: {not json\n\n")
                self._chunk(b"")
            case _:
                self._begin()
                parts = re.findall(r"\S+\s*", f"Echo: {content}")
                for part in parts:
                    self._delta(part)
                self._finish(len(parts))

    def _begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._data(_chunk({"role": "assistant", "content": ""}))

    def _delta(self, text: str) -> None:
        self._data(_chunk({"content": text}))

    def _finish(self, tokens: int) -> None:
        self._data(_chunk({}, finish_reason="stop"))
        self._data({**_chunk({}), "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": tokens}})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _data(self, payload: dict[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(payload).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def _json(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _abandoned_check(self) -> None:
        readable, _, _ = select.select([self.connection], [], [], 0)
        if readable and not self.connection.recv(1, socket.MSG_PEEK):
            raise BrokenPipeError

    def _wait_for_client_to_go(self, content: str) -> None:
        with suppress(OSError):
            self.connection.recv(1)
        self.server.abandoned.append(content)
        self.close_connection = True


def _order(content: str) -> tuple[str, dict[str, float]]:
    match = re.match(r"!(\w+)", content)
    if match is None:
        return "", {}
    return match[1], {name: float(value) for name, value in re.findall(r"(\w+)=([\d.]+)", content)}


def _chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": MODEL,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }
