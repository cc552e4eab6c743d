"""The MongoDB server: its client's settings, and one place where its failures become the application's."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from bson.errors import BSONError
from pymongo import MongoClient
from pymongo.errors import ConfigurationError, ConnectionFailure, OperationFailure, PyMongoError, WaitQueueTimeoutError

from adapters.mongo.slow import TimedCommands
from application.ports.projections import ReadModelsUnavailable
from application.ports.runtime import Misconfigured
from application.telemetry import Observe

_SETTINGS: dict[str, Any] = {
    "appname": "parley",
    # What was projected is forgotten in the outbox, so it must not be forgotten by a server that is killed.
    "journal": True,
    "serverSelectionTimeoutMS": 1_000,
    "connectTimeoutMS": 1_000,
    "socketTimeoutMS": 5_000,
    "waitQueueTimeoutMS": 1_000,
    "maxPoolSize": 20,
    "tz_aware": True,
}
"""What the URL leaves open."""

_OLDEST = (5, 0)
"""The first version whose documents may hold names that begin with "$"."""

_REST = 1.0
"""Seconds for which calls fail at once after one that reached nobody."""

_REFUSALS = frozenset({13, 18, 334, 8000})
"""Unauthorized, AuthenticationFailed, MechanismUnavailable, AtlasError (mongo/base/error_codes.yml)."""


class MongoUnreachable(ReadModelsUnavailable):
    """Nobody answers there; waiting may help."""


class MongoMisconfigured(ReadModelsUnavailable, Misconfigured):
    """Waiting does not help: the URL or the server has to be another."""


class MongoAccessRefused(MongoMisconfigured):
    """The server does not take the name and password, or they do not allow enough."""


class MongoTooOld(MongoMisconfigured):
    """The server is older than what Parley needs."""


class MongoServer:
    """A database of a server; nothing is connected before the first call.

    The database is the one in the URL's path, else "parley". Messages never hold the password.
    Commands that take longer than `slow` seconds are logged (0: none); `observe` is told of all. Raises
    MongoMisconfigured for what is no URL of MongoDB's.
    """

    def __init__(self, url: str, *, slow: float = 0.0, observe: Observe | None = None) -> None:
        # The driver's own words are left out: they can quote parts of a password that was not escaped.
        wrong = MongoMisconfigured(
            "This is no URL of a MongoDB database. It should be like mongodb://name:password@host:27017/parley, "
            "with the name and password percent-encoded."
        )
        if not url.startswith(("mongodb://", "mongodb+srv://")):
            raise wrong
        try:
            given = {name.lower() for name, _ in parse_qsl(urlsplit(url).query)}
            settings = {name: value for name, value in _SETTINGS.items() if name.lower() not in given}
            if slow or observe is not None:
                settings["event_listeners"] = [TimedCommands(slow, observe)]
            self._client: MongoClient[dict[str, Any]] = MongoClient(url, connect=False, **settings)
            self.database = self._client.get_default_database("parley")
        except (PyMongoError, ValueError):
            raise wrong from None
        self._rests_until = 0.0
        self._kept_away: tuple[type[ReadModelsUnavailable], str] = (MongoUnreachable, "")

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the driver's failures into ReadModelsUnavailable, MongoUnreachable and MongoMisconfigured among them.

        While the server is away, most calls fail at once instead of each waiting out a time-out.
        """
        if time.monotonic() < self._rests_until:
            kind, message = self._kept_away
            raise kind(message)
        try:
            yield
        except BSONError as failure:
            raise ReadModelsUnavailable(f"A document cannot be kept in MongoDB: {failure}") from failure
        except PyMongoError as failure:
            raise self._translation(failure) from failure

    def ping(self) -> str:
        """One line on the server. Raises ReadModelsUnavailable."""
        return f"MongoDB {self._version()}, {self._address}"

    def require(self) -> None:
        """Raise MongoUnreachable, MongoAccessRefused or MongoTooOld unless the server can be worked with."""
        version = self._version()
        if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
            raise self._too_old(version)
        with self.translated():  # Anybody may ask for the version.
            self.database.list_collection_names()

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def _version(self) -> str:
        with self.translated():
            return str(self._client.server_info()["version"])

    @property
    def _address(self) -> str:
        known = sorted(self._client.topology_description.server_descriptions())
        hosts = ",".join(f"{host}:{port}" if port else host for host, port in known)
        return f"{hosts or 'its SRV record'}/{self.database.name}"

    def _translation(self, failure: PyMongoError) -> ReadModelsUnavailable:
        match failure:
            case WaitQueueTimeoutError():  # The server is not away: others may go on.
                return ReadModelsUnavailable("Too many queries wait for a connection to MongoDB.")
            case ConnectionFailure():
                reason = self._what_keeps_away(failure)
                self._kept_away = type(reason), reason.message
                self._rests_until = time.monotonic() + _REST
                return reason
            case OperationFailure(code=code) if code in _REFUSALS:
                return MongoAccessRefused(f"MongoDB at {self._address} refuses access: {_reason(failure)}")
            case ConfigurationError() if "wire version" in str(failure):  # The driver itself takes no server so old.
                return self._too_old(_reason(failure))
            case ConfigurationError():  # What an SRV record's resolution ends with.
                return MongoUnreachable(f"MongoDB at {self._address} cannot be found: {_reason(failure)}")
            case _:
                return ReadModelsUnavailable(f"MongoDB at {self._address} failed: {_reason(failure)}")

    def _what_keeps_away(self, failure: ConnectionFailure) -> ReadModelsUnavailable:
        for known in self._client.topology_description.server_descriptions().values():
            if isinstance(known.error, OperationFailure):  # The driver waits for a server that refused it before.
                return self._translation(known.error)
        return MongoUnreachable(f"MongoDB at {self._address} cannot be reached: {_reason(failure)}")

    def _too_old(self, version: str) -> MongoTooOld:
        oldest = ".".join(map(str, _OLDEST))
        return MongoTooOld(f"MongoDB at {self._address} is older than {oldest}, which Parley needs: {version}")


def _reason(failure: PyMongoError) -> str:
    """The driver's own words without what it adds for debugging."""
    return re.split(r" \(configured timeouts|, full error|, Timeout:", str(failure), maxsplit=1)[0]
