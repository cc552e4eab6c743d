"""A Parley of several processes over real PostgreSQL, MongoDB and Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.parley_process import COMMON, Client, ParleyProcess, Process, WorkerProcess, cli
from tests.servers import a_mongo_database, a_postgres_database, a_redis
from tests.waiting import eventually

SECRET = "a secret that every process of the installation shares"


@contextmanager
def production(template: str | None = None) -> Iterator[dict[str, object]]:
    """The settings of an installation on the session's servers, apart from all others'."""
    with a_postgres_database(template) as postgres, a_mongo_database() as mongo, a_redis() as (redis, prefix):
        yield {
            "PARLEY_DATABASE_URL": postgres,
            "PARLEY_MONGO_URL": mongo,
            "PARLEY_REDIS_URL": redis,
            "PARLEY_REDIS_PREFIX": prefix,
            "PARLEY_SECRET_KEY": SECRET,
        }


class Installation:
    """Web and worker processes with the same settings."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        self.settings = {"PARLEY_DATA_DIR": folder, "PARLEY_SHUTDOWN_GRACE": 2} | COMMON | settings
        self.webs: list[ParleyProcess] = []
        self.workers: list[WorkerProcess] = []

    def web(self, *arguments: str, **settings: object) -> ParleyProcess:
        """One web server more."""
        web = ParleyProcess(self.folder, *arguments, **(self.settings | settings))
        self.webs.append(web)
        web.start()
        return web

    def worker(self, **settings: object) -> WorkerProcess:
        """One worker more."""
        worker = WorkerProcess(**(self.settings | settings))
        self.workers.append(worker)
        worker.start()
        return worker

    def at(self, web: ParleyProcess, client: Client) -> Client:
        """The same principal, asking another web process."""
        other = Client(web.url, client.token)
        web.clients.append(other)
        return other

    def verified(self) -> str:
        """What `parley projections verify` says, once everything was delivered."""

        def verify() -> str | None:
            done = cli("projections", "verify", **self.settings)
            return done.stdout if done.returncode == 0 else None

        return eventually(verify, within=40)

    @property
    def output(self) -> str:
        """What the processes said, for the message of a test that fails."""
        processes: list[Process] = [*self.webs, *self.workers]
        return "\n".join(f"--- {process.arguments}\n{process.output[-6000:]}" for process in processes)


@contextmanager
def installed(folder: Path, **settings: object) -> Iterator[Installation]:
    """An installation whose processes end with the context."""
    installation = Installation(folder, **settings)
    with ExitStack() as ending:
        try:
            yield installation
        finally:
            for web in installation.webs:
                for client in web.clients:
                    ending.callback(client.http.close)
            for process in [*installation.webs, *installation.workers]:
                if not process.ended:
                    ending.callback(process.kill)
