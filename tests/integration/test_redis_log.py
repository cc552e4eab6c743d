"""Reply logs in Redis while Redis loses them, stands still, dies and comes back."""

from __future__ import annotations

import gc
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from gevent import monkey

from adapters.redis.reply_log import RedisReplyLog, _Mirror
from adapters.redis.server import RedisAccessRefused, RedisMisconfigured, RedisServer, RedisTooOld, RedisUnavailable
from application.ports.runtime import LogEntry, LogLost, LogUnavailable, Misconfigured
from domain.errors import LeaseLost
from tests.servers import RedisServer as OwnServer
from tests.servers import missing_programs
from tests.waiting import eventually

pytestmark = pytest.mark.skipif(bool(missing_programs(OwnServer)), reason=missing_programs(OwnServer))

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shared() -> Iterator[OwnServer]:
    """For tests that leave it as it was, but for its data."""
    with OwnServer() as own:
        yield own


@pytest.fixture
def own() -> Iterator[OwnServer]:
    with OwnServer() as own:
        yield own


@pytest.fixture
def open_log() -> Iterator[Callable[..., RedisReplyLog]]:
    """Makes logs as each process has its own."""
    with ExitStack() as stack:

        def make(own: OwnServer, **options: Any) -> RedisReplyLog:
            server = stack.enter_context(closing(RedisServer(own.url)))
            return stack.enter_context(closing(RedisReplyLog(server, **options)))

        yield make


class Owner:
    """Writes a reply as application.replies.generating does: a log that is lost or was away is told everything anew."""

    def __init__(self, log: RedisReplyLog, reply: UUID, epoch: int = 1) -> None:
        self._log = log
        self._reply = reply
        self._epoch = epoch
        self._next = 0
        self.text = ""
        self.openings = 0
        self._open()

    def say(self, *words: str) -> None:
        for word in words:
            self.text += f"{word} "
            try:
                self._append("reply.delta", {"text": f"{word} "})
            except LogLost:
                self._open()

    def say_until(self, condition: Callable[[], object]) -> None:
        def said() -> object:
            self.say("and")
            return condition()

        eventually(said, within=30)

    def end(self) -> None:
        self._append("reply.completed", {"message": {"content": self.text}})

    def _open(self) -> None:
        def opened() -> bool:
            try:
                self._next = self._log.open(self._reply, epoch=self._epoch, first_seq=self._next)
            except LogUnavailable:
                return False
            return True

        eventually(opened, within=30)
        self.openings += 1
        self._append("reply.started", {})
        if self.text:
            self._append("reply.delta", {"text": self.text})

    def _append(self, event: str, data: dict[str, object]) -> None:
        self._log.append(self._reply, epoch=self._epoch, entry=LogEntry(self._next, event, data))
        self._next += 1


class Watcher(threading.Thread):
    """Follows a reply to its end, and comes back with its last number when Redis is away."""

    def __init__(self, log: RedisReplyLog, reply: UUID) -> None:
        super().__init__(daemon=True)
        self._log = log
        self._reply = reply
        self.numbers: list[int] = []
        self.text = ""
        self.final = ""
        self.start()

    @property
    def last(self) -> int:
        return self.numbers[-1] if self.numbers else -1

    def sees(self, word: str) -> None:
        eventually(lambda: word in self.text, within=30)

    def run(self) -> None:
        while True:
            try:
                with self._log.watching(self._reply):
                    while True:
                        for entry in self._log.read(self._reply, after=self.last):
                            self._take(entry)
                        if self.final:
                            return
                        self._log.wait(self._reply, after=self.last, timeout=20)
            except LogUnavailable:
                time.sleep(0.01)

    def _take(self, entry: LogEntry) -> None:
        self.numbers.append(entry.seq)
        if entry.event == "reply.started":
            self.text = ""
        elif entry.event == "reply.delta":
            self.text += entry.data["text"]
        else:
            self.final = entry.data["message"]["content"]

    def saw_it_all(self, owner: Owner) -> bool:
        self.join(30)
        assert self.numbers == sorted(set(self.numbers))
        assert self.text == self.final == owner.text
        return True


Logs = Callable[..., RedisReplyLog]


def test_a_log_that_is_flushed_in_mid_stream_is_told_anew(shared: OwnServer, open_log: Logs) -> None:
    writing, watching, reply = open_log(shared), open_log(shared), uuid4()
    owner = Owner(writing, reply)
    early = Watcher(watching, reply)
    owner.say("in", "the", "beginning")
    early.sees("beginning")

    watching._server.client.flushall()
    owner.say_until(lambda: owner.openings == 2)
    owner.say("afterwards")
    early.sees("afterwards")
    late = Watcher(watching, reply)
    owner.say("at", "last")
    owner.end()

    assert early.saw_it_all(owner)
    assert late.saw_it_all(owner)


def test_nothing_is_lost_while_redis_stands_still(
    own: OwnServer, open_log: Logs, caplog: pytest.LogCaptureFixture
) -> None:
    writing, watching, reply = open_log(own), open_log(own), uuid4()
    owner = Owner(writing, reply)
    watcher = Watcher(watching, reply)
    owner.say("before")
    watcher.sees("before")

    with caplog.at_level(logging.WARNING):
        own.pause()
        owner.say_until(lambda: "events wait for Redis" in caplog.text)  # so long that connections are given up
        assert not writing.flush(0.0)
        own.resume()
    owner.say("after")
    owner.end()

    assert watcher.saw_it_all(owner)
    assert owner.openings == 1
    assert watcher.numbers == list(range(len(watcher.numbers)))


def test_a_redis_that_dies_and_comes_back_empty_is_told_everything(own: OwnServer, open_log: Logs) -> None:
    writing, watching, reply = open_log(own), open_log(own), uuid4()
    owner = Owner(writing, reply)
    early = Watcher(watching, reply)
    owner.say("before")
    early.sees("before")

    own.kill()
    owner.say("meanwhile")
    own.start()
    owner.say_until(lambda: owner.openings == 2)
    late = Watcher(watching, reply)
    owner.say("after")
    owner.end()

    assert early.saw_it_all(owner)
    assert late.saw_it_all(owner)


def test_a_redis_that_comes_back_with_an_old_state_is_told_everything(own: OwnServer, open_log: Logs) -> None:
    writing, watching, reply = open_log(own), open_log(own), uuid4()
    owner = Owner(writing, reply)
    early = Watcher(watching, reply)
    owner.say("before")
    early.sees("before")
    watching._server.client.save()
    owner.say("then", "lost")
    early.sees("lost")

    own.kill()
    own.start()
    owner.say_until(lambda: owner.openings == 2)
    late = Watcher(watching, reply)
    owner.say("after")
    owner.end()

    assert early.saw_it_all(owner)
    assert late.saw_it_all(owner)


def test_who_takes_an_old_state_over_uses_no_number_again(own: OwnServer, open_log: Logs) -> None:
    log, reply = open_log(own), uuid4()
    owner = Owner(log, reply)
    owner.say("kept")
    assert log.flush(15)
    log._server.client.save()
    owner.say("lost")
    assert log.flush(15)
    own.kill()
    own.start()

    def taken_over() -> int | None:
        try:
            return log.open(reply, epoch=2, first_seq=1000)
        except LogUnavailable:
            return None

    assert eventually(taken_over) == 1000


def test_a_lost_connection_costs_watchers_nothing(shared: OwnServer, open_log: Logs) -> None:
    writing, watching, reply = open_log(shared), open_log(shared), uuid4()
    owner = Owner(writing, reply)
    watcher = Watcher(watching, reply)
    for word in ("one", "two", "three"):
        owner.say(word)
        watcher.sees(word)
        watching._server.client.client_kill_filter(_type="pubsub")
        owner.say(*(f"{word}-{number}" for number in range(300)))
    owner.end()

    assert watcher.saw_it_all(owner)
    assert owner.openings == 1


def test_what_a_replaced_owner_has_not_sent_yet_never_shows(shared: OwnServer, open_log: Logs) -> None:
    old, new, reply = open_log(shared, linger=1.0), open_log(shared), uuid4()
    gone = Owner(old, reply)
    eventually(lambda: new.read(reply, after=-1))
    gone.say("this", "lingers")
    watcher = Watcher(new, reply)

    owner = Owner(new, reply, epoch=2)
    owner.say("mine")
    assert old.flush(15)
    with pytest.raises(LeaseLost):
        eventually(lambda: gone.say("more"))
    owner.say("alone")
    owner.end()

    assert watcher.saw_it_all(owner)
    with pytest.raises(LeaseLost):
        gone.end()


def test_a_backlog_that_grows_too_large_is_given_up(own: OwnServer, open_log: Logs) -> None:
    writing, watching, reply = open_log(own, backlog=20_000), open_log(own), uuid4()
    owner = Owner(writing, reply)
    watcher = Watcher(watching, reply)
    owner.say("before")
    watcher.sees("before")
    own.kill()

    def appended_much() -> None:
        for _ in range(100):
            owner._append("reply.delta", {"text": "lost"})

    with pytest.raises(LogLost):
        eventually(appended_much)
    for _ in range(200):
        writing.append(uuid4(), epoch=1, entry=LogEntry(3, "reply.completed", {"message": "long " * 50}))
    assert writing._writer._size <= 20_000
    own.start()
    owner.say_until(lambda: owner.openings == 2)
    owner.end()

    assert watcher.saw_it_all(owner)


def test_the_memory_of_watching_is_bounded_and_freed(shared: OwnServer, open_log: Logs) -> None:
    writing, watching = open_log(shared), open_log(shared)
    replies = [uuid4() for _ in range(1000)]
    with ExitStack() as stack:
        for reply in replies:
            stack.enter_context(watching.watching(reply))
        owner = Owner(writing, replies[0])
        owner.say(*map(str, range(1000)))
        eventually(lambda: watching._mirrors[replies[0]].last_seq == 1000)

        assert len(watching._mirrors[replies[0]].above(-1)) <= 200
        assert len(watching.read(replies[0], after=-1)) == 1001

    subscriptions = watching._server.subscriptions
    assert watching._mirrors == {}
    assert subscriptions._channels == {}
    eventually(lambda: watching._server.client.pubsub_channels("parley:log:*") == [])
    eventually(lambda: not any(type(thing) is _Mirror for thing in gc.get_objects()))


def test_reading_without_redis_fails_soon_and_often(own: OwnServer, open_log: Logs) -> None:
    log, reply = open_log(own), uuid4()
    own.pause()  # the worst way to be away: whoever asks waits for the time-out
    began = time.monotonic()
    for _ in range(100):
        with pytest.raises(LogUnavailable):
            log.read(reply, after=-1)
        with pytest.raises(LogUnavailable):
            log.open(reply, epoch=1, first_seq=0)
    assert time.monotonic() - began < 60  # instead of 600 seconds
    with pytest.raises(LogUnavailable), log.watching(reply):
        pass
    own.resume()

    eventually(lambda: _works(log))


def test_watching_ends_for_the_time_that_redis_is_away(own: OwnServer, open_log: Logs) -> None:
    log, reply = open_log(own), uuid4()
    with log.watching(reply):
        assert list(log.read(reply, after=-1)) == []
        own.kill()
        with pytest.raises(LogUnavailable):
            eventually(lambda: log.read(reply, after=-1))
        log.wait(reply, after=-1, timeout=0.01)
        with pytest.raises(LogUnavailable):
            eventually(lambda: _watches(log, uuid4(), None))
        own.start()

        Owner(log, reply).end()
        eventually(lambda: _watches(log, reply, "reply.completed"))


def test_events_wait_for_a_redis_that_starts_later(open_log: Logs) -> None:
    reply = uuid4()
    with closing(OwnServer()) as own:
        log = open_log(own)
        log.append(reply, epoch=1, entry=LogEntry(7, "reply.completed", {"message": {}}))
        assert not log.flush(0.1)
        own.start()

        assert log.flush(15)
        eventually(lambda: _watches(log, reply, "reply.completed"))


@pytest.mark.skipif(monkey.is_module_patched("socket"), reason="this is the inner one")
def test_all_of_it_works_with_greenlets_too() -> None:
    """As in production, where gevent's patches come before anything else."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "gevent.monkey", "--module", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-k", "edis", "tests/contracts/test_reply_log.py", "tests/contracts/test_signals.py", __file__),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout + done.stderr


class TestServer:
    def test_it_says_what_it_is_and_not_the_password(self) -> None:
        with OwnServer(password="secret") as own, closing(RedisServer(own.url)) as server:
            server.require()

            assert server.ping() == f"Redis {own.version}, 127.0.0.1:{own.port}/0"

    def test_nobody_there(self) -> None:
        with closing(OwnServer()) as own, closing(RedisServer(own.url)) as server:
            for _ in range(2):
                with pytest.raises(RedisUnavailable, match=f"127.0.0.1:{own.port}/0 does not answer"):
                    server.require()

    @pytest.mark.parametrize("credentials", ["", ":wrong%2Fone@", "nobody:wrong%2Fone@"])
    def test_wrong_credentials(self, credentials: str) -> None:
        with OwnServer(password="secret") as own:
            url = f"redis://{credentials}127.0.0.1:{own.port}/0"
            with closing(RedisServer(url)) as server:
                for _ in range(2):
                    with pytest.raises(RedisAccessRefused, match="refuses access") as refused:
                        server.require()
                    assert "wrong" not in refused.value.message

    def test_no_such_database(self, shared: OwnServer) -> None:
        with (
            closing(RedisServer(f"redis://127.0.0.1:{shared.port}/99")) as server,
            pytest.raises(RedisMisconfigured, match="no such database"),
        ):
            server.require()

    @pytest.mark.parametrize(
        ("greeting", "version"),
        [(b"-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n", "older than 6.0"), (None, "6.0.9")],
    )
    def test_too_old(self, greeting: bytes | None, version: str) -> None:
        info = b"redis_version:6.0.9\r\n"
        known = {
            b"PING": b"+PONG\r\n",
            b"HELLO": greeting or b"%1\r\n$5\r\nproto\r\n:3\r\n",
            b"INFO": b"$%d\r\n%b\r\n" % (len(info), info),
        }
        with (
            _speaking(known) as port,
            closing(RedisServer(f"redis://127.0.0.1:{port}/0")) as server,
            pytest.raises(RedisTooOld, match=f"needs 6.2, and this is {version}"),
        ):
            server.require()

    @pytest.mark.parametrize(
        "url",
        ["http://host/0", "redis://:hun/ter2@host:6379/0", "redis://host:port/0", "redis://host:6379/0?name=hunter2"],
    )
    def test_no_url_of_redis(self, url: str) -> None:
        with pytest.raises(Misconfigured, match="no URL of a Redis server") as refused:
            RedisServer(url)
        assert "hun" not in refused.value.message
        assert refused.value.__cause__ is None


def _works(log: RedisReplyLog) -> bool:
    try:
        return log.open(uuid4(), epoch=1, first_seq=5) == 5
    except LogUnavailable:
        return False


def _watches(log: RedisReplyLog, reply: UUID, event: str | None) -> bool:
    with log.watching(reply):
        entries = log.read(reply, after=-1)
        return bool(entries) and entries[-1].event == event


class _speaking:  # noqa: N801 - it is used like a function
    """A port where one sentence is said to each command."""

    def __init__(self, known: dict[bytes, bytes]) -> None:
        self._known = known

    def __enter__(self) -> int:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        port: int = self._socket.getsockname()[1]
        return port

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with client:
                while command := client.recv(4096):
                    client.sendall(self._known.get(command.split(b"\r\n")[2], b"+OK\r\n"))
