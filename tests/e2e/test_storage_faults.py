"""A database that is locked, gone or full: said so, waited for, and nothing lost."""

from __future__ import annotations

import resource
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import with_model
from tests.model_server import ModelServer
from tests.parley_process import ParleyProcess, running
from tests.waiting import eventually


@contextmanager
def somebody_else_writing(data_dir: Path) -> Iterator[None]:
    """Another process's write transaction that does not come to its end."""
    with closing(sqlite3.connect(data_dir / "parley.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_a_foreign_write_lock_keeps_writes_waiting_and_nothing_else(data_dir: Path, model: ModelServer) -> None:
    with running(data_dir, **with_model(model)) as parley:
        visitor = parley.visitor()
        conversation = visitor.conversation()
        reply = visitor.ask(conversation, "!stream words=60 delay=0.02")
        stream = visitor.events(reply)
        next(stream)
        refused: list[dict[str, Any]] = []
        writer = parley.visitor()
        writing = threading.Thread(target=lambda: refused.append(writer.error("POST", "/rooms", {"name": "x"})))

        with somebody_else_writing(data_dir):
            writing.start()
            for _ in range(5):
                assert httpx.get(f"{parley.url}/healthz").status_code == 200
                assert visitor.call("GET", f"/conversations/{conversation}").status_code == 200
            answered_meanwhile = not refused  # SQLite's own waiting would have kept them until the write gave up.
            writing.join(30)

        assert answered_meanwhile
        assert (refused[0]["status_code"], refused[0]["error_code"]) == (503, "storage_unavailable")
        last = list(stream)[-1]
        assert last.event == "reply.completed", (last, parley.output)
        assert visitor.messages(conversation)[-1]["content"].endswith("word59 ")


def test_a_short_foreign_write_is_waited_for(data_dir: Path, model: ModelServer) -> None:
    with running(data_dir, **with_model(model)) as parley:
        visitor = parley.visitor()
        opened: list[int] = []
        opening = threading.Thread(
            target=lambda: opened.append(visitor.call("POST", "/rooms", {"name": "x"}).status_code)
        )

        with somebody_else_writing(data_dir):
            opening.start()
            httpx.get(f"{parley.url}/healthz")
        opening.join(20)

        assert opened == [201]


def test_a_database_that_is_locked_at_the_start_is_waited_for(data_dir: Path, model: ModelServer) -> None:
    with running(data_dir, **with_model(model)) as parley:
        visitor = parley.visitor()
        conversation = visitor.conversation()
        parley.kill()
        with somebody_else_writing(data_dir):
            parley.start(ready=False)
            eventually(lambda: _is(parley, "/healthz", 200))
        eventually(lambda: _is(parley, "/readyz", 200))

        assert visitor.answer(conversation, "Are you there?")["status"] == "completed"


def test_a_database_file_that_was_removed_makes_the_server_unready(data_dir: Path) -> None:
    with running(data_dir) as parley:
        (data_dir / "parley.db").unlink()

        answer = httpx.get(f"{parley.url}/readyz")

        assert answer.status_code == 503
        assert "was removed or replaced" in answer.json()["error"]["error_message"]


def test_a_full_disk_is_said_so_and_nothing_acknowledged_is_lost(data_dir: Path, model: ModelServer) -> None:
    with running(data_dir, **with_model(model)) as parley:
        visitor = parley.visitor()
        conversation = visitor.conversation()
        running_reply = visitor.ask(conversation, "!stream words=100 delay=0.02")
        eventually(lambda: visitor.reply(running_reply)["text"])
        worker = parley.worker_pid()
        limits = resource.prlimit(worker, resource.RLIMIT_FSIZE)

        resource.prlimit(worker, resource.RLIMIT_FSIZE, (1, limits[1]))  # No file can grow, as on a full disk.
        refused = eventually(lambda: visitor.call("POST", "/rooms", {"name": "x"}))
        assert visitor.call("GET", f"/conversations/{conversation}").status_code == 200
        resource.prlimit(worker, resource.RLIMIT_FSIZE, limits)

        assert (refused.status_code, refused.json()["error"]["error_code"]) == (503, "storage_unavailable")
        ended = eventually(lambda: visitor.reply(running_reply)["message"])
        assert (ended["status"], ended["content"].count("word")) == ("completed", 100)
        assert visitor.call("POST", "/rooms", {"name": "x"}).status_code == 201


def _is(parley: ParleyProcess, path: str, status: int) -> bool:
    try:
        return httpx.get(f"{parley.url}{path}").status_code == status
    except httpx.TransportError:
        return False
