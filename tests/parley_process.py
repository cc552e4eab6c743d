"""A real Parley: its own process group, data folder and port, driven over HTTP as a client would."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from adapters.in_process.runtime import now
from adapters.jwt.tokens import HostProduct, JwtTokens
from domain.identity import Principal, PrincipalKind
from tests.waiting import eventually

TERMINAL = {"reply.completed", "reply.cancelled", "reply.failed", "reply.timed_out", "reply.interrupted"}

_PATIENCE = 600
"""Seconds that a command may take: rebuilding a hundred thousand documents takes some."""

# Tests come as many visitors from one address, and do much in little time.
_RATES = ("ASK_VISITOR", "SOCKET_MESSAGE", "ROOMS_VISITOR", "VISITORS", "ANALYSES_VISITOR", "SEARCHES_VISITOR")
# They ask the same again and again, too, and most of them want the model's own answer each time.
COMMON: dict[str, object] = {"PARLEY_CACHE_ANSWERS": 0}
_SETTINGS = {"PARLEY_OFFLINE_PAUSE": 0} | {f"PARLEY_RATE_{rate}": "none" for rate in _RATES} | COMMON

PARLEY = str(Path(sys.executable).with_name("parley"))


def environment(**settings: object) -> dict[str, str]:
    """This process's environment with these settings and no others of Parley's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PARLEY_", "OPENAI_"))}
    return kept | {name: str(value) for name, value in settings.items()}


def cli(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run `parley` with settings."""
    return subprocess.run(
        [PARLEY, *arguments],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        stdin=subprocess.DEVNULL,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    """A `parley` command that goes on until it is stopped: to be started, killed and started again."""

    def __init__(self, *arguments: str, **settings: object) -> None:
        self.arguments = arguments
        self.settings = settings
        self.files: int | None = None  # that it may open, if not as many as we
        self.output = ""
        self._process: subprocess.Popen[str] | None = None

    def launch(self) -> None:
        """Start it, in a process group of its own."""
        limited = ["prlimit", f"--nofile={self.files}:{self.files}"] if self.files is not None else []
        self._process = subprocess.Popen(
            [*limited, PARLEY, *self.arguments],
            env=environment(**self.settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()

    def kill(self) -> None:
        """`kill -9` every process of the group at once, as a power cut would."""
        os.killpg(self.pid, signal.SIGKILL)
        self._started.wait(10)

    def terminate(self) -> int:
        """Ask it to stop, and wait until it has."""
        self._started.terminate()
        return self._started.wait(30)

    def interrupt(self) -> None:
        """Ctrl-C: the terminal sends SIGINT to every process of the group."""
        os.killpg(self.pid, signal.SIGINT)

    @property
    def ended(self) -> bool:
        return self._started.poll() is not None

    @property
    def faults(self) -> list[str]:
        """What it said of exceptions: lines of its log that hold one, and those that no log was there for."""
        return [line for line in self.output.splitlines() if '"exception"' in line or "Traceback" in line]

    @property
    def pid(self) -> int:
        """The first process of the group."""
        return self._started.pid

    @property
    def _started(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.output += line
        process.stdout.close()


class WorkerProcess(Process):
    """`parley worker`."""

    def __init__(self, **settings: object) -> None:
        super().__init__("worker", **settings)

    def start(self) -> None:
        """Start it, and wait until it takes replies."""
        self.launch()
        eventually(self._is_ready, within=30)

    def _is_ready(self) -> bool:
        assert not self.ended, f"the worker ended: {self.output}"
        return "Parley writes up to" in self.output


class ParleyProcess(Process):
    """`parley serve`, to be started, killed and started again on the same data."""

    def __init__(self, data_dir: Path, *arguments: str, **settings: object) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        settings = _SETTINGS | {"PARLEY_DATA_DIR": data_dir, "PARLEY_PORT": self.port} | settings
        super().__init__("serve", "--migrate", *arguments, **settings)
        self.clients: list[Client] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *, ready: bool = True) -> None:
        """Start it, and wait until it is ready to answer questions unless that is not expected."""
        self.launch()
        if ready:
            eventually(self._answers, within=30)

    def worker_pid(self) -> int:
        return self.workers()[0]

    def workers(self) -> list[int]:
        """The processes that the first one has started."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(child) for child in children]

    def visitor(self) -> Client:
        """A client with a new visitor's token."""
        client = self._client("")
        client.token = client.data("POST", "/visitors")["token"]
        client.http.cookies.clear()
        return client

    def user(self, name: str, *roles: str) -> Client:
        """A client with a token such as `parley token issue` prints for a user."""
        user = Principal(PrincipalKind.USER, name, frozenset(roles))
        token, _ = JwtTokens([self.secret], HostProduct(), now).issue(user, timedelta(hours=24))
        return self._client(token)

    @property
    def secret(self) -> str:
        """What the tokens of this installation are signed with."""
        kept = Path(self.data_dir, "secret_key")
        return str(self.settings.get("PARLEY_SECRET_KEY") or kept.read_text().strip())

    def _client(self, token: str) -> Client:
        client = Client(self.url, token)
        self.clients.append(client)
        return client

    def _answers(self) -> bool:
        assert not self.ended, f"the server ended: {self.output}"
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def running(data_dir: Path, **settings: object) -> Iterator[ParleyProcess]:
    """A server for the length of the context."""
    process = ParleyProcess(data_dir, **settings)
    process.start()
    try:
        yield process
    finally:
        for client in process.clients:
            client.http.close()
        if not process.ended:
            process.kill()


@dataclass(frozen=True)
class Event:
    """A server-sent event."""

    seq: int
    event: str
    data: dict[str, Any]


class Client:
    """The HTTP API in the words of the tests. Paths are below /api/v1."""

    def __init__(self, url: str, token: str = "") -> None:
        self.http = httpx.Client(base_url=f"{url}/api/v1", timeout=40)
        self.token = token

    def call(self, method: str, path: str, body: object = None, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        headers |= options.pop("headers", {})
        return self.http.request(method, path, json=body, headers=headers, **options)

    def data(self, method: str, path: str, body: object = None, **options: Any) -> Any:
        """The answer's data; fails on an error."""
        answer = self.call(method, path, body, **options)
        assert answer.is_success, answer.text
        return answer.json()["data"]

    def error(self, method: str, path: str, body: object = None, **options: Any) -> dict[str, Any]:
        """The answer's error; fails when there is none."""
        answer = self.call(method, path, body, **options)
        assert answer.is_error, answer.text
        content = answer.json()
        assert content["data"] is None
        assert answer.status_code == content["error"]["status_code"]
        error: dict[str, Any] = content["error"]
        return error

    def room(self, name: str = "Room") -> str:
        return str(self.data("POST", "/rooms", {"name": name})["id"])

    def conversation(self, **body: object) -> str:
        return str(self.data("POST", "/conversations", body)["id"])

    def ask(self, conversation: str, content: str, **body: object) -> str:
        """Ask; the reply's id."""
        asked = self.data("POST", f"/conversations/{conversation}/messages", {"content": content, **body})
        return str(asked["reply"]["id"])

    def answer(self, conversation: str, content: str) -> dict[str, Any]:
        """Ask and wait for the finished reply."""
        path = f"/conversations/{conversation}/messages?wait=30"
        reply: dict[str, Any] = self.data("POST", path, {"content": content})["reply"]
        return reply

    def messages(self, conversation: str, **query: object) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.data("GET", f"/conversations/{conversation}/messages", params=query)["items"]
        return found

    def reply(self, reply_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.data("GET", f"/replies/{reply_id}")
        return found

    def events(self, reply_id: str, after: int | None = None) -> Iterator[Event]:
        """The events of a reply until the stream ends; closing the iterator drops the connection."""
        headers = {"Authorization": f"Bearer {self.token}"}
        if after is not None:
            headers["Last-Event-ID"] = str(after)
        with self.http.stream("GET", f"/replies/{reply_id}/events", headers=headers) as answer:
            if answer.status_code == 204:
                return
            assert answer.status_code == 200, answer.read()
            yield from parse_events(answer.iter_lines())


def parse_events(lines: Iterator[str]) -> Iterator[Event]:
    """Server-sent events as WHATWG HTML, section 9.2.6, reads them."""
    fields: dict[str, str] = {}
    for line in lines:
        if line == "":
            if "data" in fields:
                yield Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
