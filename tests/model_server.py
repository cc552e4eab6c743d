"""A real HTTP server that speaks the Chat Completions wire and makes embeddings, and misbehaves when it is asked to.

What it does is written in the last message of the user's, whatever follows it:

    anything else                  streams `Echo: <the message>` word by word
    !stream words=50 delay=0.02    streams `word0 word1 …`, a word every `delay` seconds
    !silent after=3                streams 3 words, then says nothing until the client goes
    !mute                          takes the request and never answers
    !status code=429 times=2       refuses the first 2 requests of this very message, then echoes
    !cut after=3                   streams 3 words and drops the connection
    !error after=3                 streams 3 words and an error event
    !chunk {"choices": []}         streams a word, this chunk, a keep-alive and another word
    !garbage                       streams something that is no JSON
    !cite                          streams an answer that cites [1] and [2]
    !tool name=clock arguments={"timezone":"UTC"}
                                   asks for the tool; once there is a result, streams `Tool said: <the results>`
    !tool text=Wait. name=a arguments={} name=b
                                   says a word and asks for two tools at once
    !tool then=!silent name=a      does as another order of a single word says once there is a result
    !tools n=7 name=a              asks for the tool 7 times, as long as the request offers any, then says how often
    !calls {"deltas": [[{"index": 0, "function": {"name": "a"}}]], "reason": "stop"}
                                   streams just these deltas of tool calls, once; then like !tool
                                   (with "cut": true it drops the connection after them)

What `/v1/embeddings` does is written in the model's name: anything else makes vectors, see tests/vectors.py.

    embed-wrong-dimension          every second vector is half as long
    embed-too-few                  leaves out the last vector
    embed-not-a-number             a vector holds a text
    embed-nan                      a vector holds a number that is none
    embed-zeros                    a vector has no direction
    embed-floats                   refuses the encoding_format base64
    embed-401                      knows no such key
    embed-subwords                 makes vectors of the pieces of words
    embed-unordered                the last vector comes first, numbered as it should be
    embed-429-twice                refuses the first 2 requests for these very texts
    embed-500                      fails
    embed-garbage                  answers something that is no JSON
    embed-mute                     takes the request and never answers
"""

from __future__ import annotations

import json
import math
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

from tests.vectors import DIMENSION, packed, subword_vector, vector

MODEL = "test-model"


class ModelServer(ThreadingHTTPServer):
    """Where it is, what it was asked, and which clients went before the end of their answer.

    `embeddings` are the requests for vectors, which have `dimension` numbers unless they ask for another one.
    """

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, Any]] = []
        self.abandoned: list[str] = []
        self.connections = 0
        self.attempts: Counter[str] = Counter()
        self.embeddings: list[dict[str, Any]] = []
        self.dimension = DIMENSION

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes is what some tests are about."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def asked(self, content: str) -> list[dict[str, Any]]:
        """The requests whose last message of the user's is `content`."""
        return [request for request in self.requests if _question(request)[0] == content]


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
        content = str(request.get("input"))
        try:
            if self.path == "/v1/embeddings":
                self.server.embeddings.append(request)
                self._embed(request, content)
                return
            self.server.requests.append(request)
            content, results = _question(request)
            self.server.attempts[content] += 1
            if content.startswith(("!tool", "!calls ")):
                self._use_tools(content, results, offered=bool(request.get("tools")))
            else:
                self._answer(*_order(content), content)
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
                self._drop()
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
            case "cite":
                self._say("So the first one says [1], and so does the second [2].")
            case _:
                self._say(f"Echo: {content}")

    def _use_tools(self, content: str, results: list[str], *, offered: bool) -> None:
        calls = [
            {"name": name, "arguments": arguments or "{}"}
            for name, arguments in re.findall(r" name=(\S+)(?: arguments=(.*?))?(?= name=|$)", content, re.DOTALL)
        ]
        if content.startswith("!tools "):
            _, options = _order(content)
            if offered and len(results) < options["n"]:
                self._call(calls)
            else:
                self._say(f"The tool ran {len(results)} times.")
        elif results:
            if then := re.search(r" then=(!\S+)", content):
                self._answer(*_order(then[1]), content)
            else:
                self._say(f"Tool said: {' | '.join(results)}")
        elif content.startswith("!calls "):
            script = json.loads(content.removeprefix("!calls "))
            self._begin()
            for delta in script["deltas"]:
                self._data(_chunk({"tool_calls": delta}))
            if script.get("cut"):
                self._drop()
            else:
                self._finish(1, script.get("reason", "tool_calls"))
        else:
            text = re.search(r" text=(\S+)", content)
            self._call(calls, text[1] if text else "")

    def _call(self, calls: list[dict[str, str]], text: str = "") -> None:
        """Ask for tools as OpenAI does: the name first, then the arguments in pieces."""
        made = len(self.server.requests)
        self._begin()
        if text:
            self._delta(text)
        for index, call in enumerate(calls):
            begun = {"name": call["name"], "arguments": ""}
            head = {"index": index, "id": f"call_{made}_{index}", "type": "function", "function": begun}
            self._data(_chunk({"tool_calls": [head]}))
            for piece in re.findall(r".{1,7}", call["arguments"], re.DOTALL):
                self._data(_chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}))
        self._finish(3, "tool_calls")

    def _embed(self, request: dict[str, Any], content: str) -> None:
        texts = [request["input"]] if isinstance(request["input"], str) else request["input"]
        dimension = request.get("dimensions", self.server.dimension)
        misdeed = request["model"].removeprefix("embed-")
        attempt = f"{request['model']} {content}"
        self.server.attempts[attempt] += 1
        make = subword_vector if request["model"] == "embed-subwords" else vector
        vectors: list[Any] = [make(text, dimension) for text in texts]
        data = [{"object": "embedding", "index": index, "embedding": made} for index, made in enumerate(vectors)]
        match misdeed:
            case "wrong-dimension":
                for one in data:
                    self.server.attempts["embed-wrong-dimension"] += 1
                    if self.server.attempts["embed-wrong-dimension"] % 2 == 0:
                        one["embedding"] = vectors[one["index"]][: dimension // 2]
            case "too-few":
                data.pop()
            case "not-a-number":
                data[0]["embedding"] = ["one", *vectors[0][1:]]
            case "nan":
                data[0]["embedding"] = [math.nan, *vectors[0][1:]]
            case "zeros":
                data[-1]["embedding"] = [0.0] * dimension
            case "floats" if request.get("encoding_format") == "base64":
                self._json(400, {"error": {"message": "encoding_format must be float", "type": "test"}})
                return
            case "401":
                self._json(401, {"error": {"message": "as you asked", "type": "test"}})
                return
            case "unordered":
                data.reverse()
            case "429-twice" if self.server.attempts[attempt] <= 2:
                self._json(429, {"error": {"message": "as you asked", "type": "test"}})
                return
            case "500":
                self._json(500, {"error": {"message": "as you asked", "type": "test"}})
                return
            case "garbage":
                self._body(200, b"{not json")
                return
            case "mute":
                self._wait_for_client_to_go(content)
                return
        if request.get("encoding_format") == "base64" and misdeed != "not-a-number":
            for one in data:
                one["embedding"] = packed(one["embedding"])
        tokens = sum(len(text.split()) for text in texts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        self._json(200, {"object": "list", "data": data, "model": request["model"], "usage": usage})

    def _drop(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def _say(self, text: str) -> None:
        parts = re.findall(r"\S+\s*", text)
        self._begin()
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

    def _finish(self, tokens: int, reason: str = "stop") -> None:
        self._data(_chunk({}, finish_reason=reason))
        self._data({**_chunk({}), "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": tokens}})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _data(self, payload: dict[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(payload).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def _json(self, status: int, body: dict[str, Any]) -> None:
        self._body(status, json.dumps(body).encode())

    def _body(self, status: int, data: bytes) -> None:
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


def _question(request: dict[str, Any]) -> tuple[str, list[str]]:
    """The last message of the user's, and the results of tools that follow it."""
    messages = request["messages"]
    asked = max((number for number, message in enumerate(messages) if message["role"] == "user"), default=-1)
    results = [message["content"] for message in messages[asked + 1 :] if message["role"] == "tool"]
    return messages[asked]["content"], results


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
