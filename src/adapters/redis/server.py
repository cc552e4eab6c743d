"""The Redis server: its clients' settings, and one place where its failures become the application's."""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from redis import ConnectionPool, Redis, RedisError, exceptions
from redis.backoff import NoBackoff
from redis.connection import BlockingConnectionPool, ConnectionInterface
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from adapters.redis.slow import TimedRedis
from adapters.redis.subscriptions import Subscriptions
from adapters.redis.wire import Wire
from application.ports.runtime import Misconfigured
from application.telemetry import Observe
from domain.errors import Unavailable

_SETTINGS: dict[str, Any] = {
    "client_name": "parley",
    "protocol": 3,
    "socket_connect_timeout": 1.0,
    "socket_timeout": 3.0,
    "health_check_interval": 30,
    # The pool finds out about idle connections that were closed; anything else is for the caller to try again.
    "retry": Retry(NoBackoff(), 0),
    # They are for Redis Enterprise, cost a round trip, and keep the pool from finding out.
    "maint_notifications_config": MaintNotificationsConfig(enabled=False),
}
"""What the URL leaves open."""

_POOL = 50
_OLDEST = (6, 2)
"""The first version whose scripts, streams and RESP3 do what the adapters here ask of them."""

_REST = 1.0
"""Seconds for which calls fail at once after one that reached nobody."""


class RedisUnavailable(Unavailable):
    """Redis does not answer, or cannot do what it is asked for at the moment; waiting may help."""

    slug = "redis_unavailable"


class RedisMisconfigured(Misconfigured):
    """Waiting does not help: the URL or the server has to be another."""


class RedisAccessRefused(RedisMisconfigured):
    """The server does not take the name and password, or they do not allow enough."""


class RedisTooOld(RedisMisconfigured):
    """The server is older than what Parley needs."""


class RedisServer:
    """A server at a redis://, rediss:// or unix:// URL; nothing is connected before the first call.

    Every key and channel begins with `prefix`. Messages never hold the password. What `client` is asked that takes
    longer than `slow` seconds is logged (0: nothing), and `observe` is told of all that it is asked. Raises
    RedisMisconfigured for what is no URL of Redis's.
    """

    def __init__(self, url: str, prefix: str = "parley:", *, slow: float = 0.0, observe: Observe | None = None) -> None:
        self.prefix = prefix
        self._url = url
        try:
            self._unconnected()
            self._clients = [self._client(_SETTINGS["socket_timeout"], slow, observe)]
        except (TypeError, ValueError, RedisError):
            # Its own words are left out: they can quote parts of a password that was not escaped.
            raise RedisMisconfigured(
                "This is no URL of a Redis server. It should be like redis://:password@host:6379/0 (rediss: with "
                "TLS, unix:///path for a socket), with the password percent-encoded."
            ) from None
        self.name = _name(self.client.connection_pool.connection_kwargs)
        self.subscriptions = Subscriptions(self.wire)
        self._failure: Unavailable | None = None
        self._rests_until = 0.0

    @property
    def client(self) -> Redis:
        """A client that all may share, with a pool of at most 50 connections. It raises redis-py's errors."""
        return self._clients[0]

    def blocking_client(self, timeout: float) -> Redis:
        """A client with a pool of its own, whose commands may take so many seconds."""
        client = self._client(timeout)
        self._clients.append(client)
        return client

    def wire(self) -> Wire:
        """A new connection; raises one of wire.BROKEN."""
        return Wire(self._unconnected())

    @contextmanager
    def reaching(self, unavailable: type[Unavailable] | None = None) -> Iterator[None]:
        """Turn redis-py's errors into `unavailable`, or what fits best of RedisUnavailable and RedisMisconfigured.

        While nobody can be reached, most calls fail at once instead of each waiting out a time-out.
        """
        now = time.monotonic()
        if self._failure is not None:
            if now < self._rests_until:
                raise (unavailable or type(self._failure))(self._failure.message)
            self._rests_until = now + _REST  # This call finds out for the others.
        try:
            yield
        except RedisError as error:
            failure = self._explained(error)
            if isinstance(error, exceptions.ConnectionError | exceptions.TimeoutError):
                self._failure, self._rests_until = failure, time.monotonic() + _REST
            raise (unavailable or type(failure))(failure.message) from error
        self._failure = None

    def ping(self) -> str:
        """One line on the server; raises RedisUnavailable or RedisMisconfigured."""
        return f"Redis {self._version()}, {self.name}"

    def require(self) -> None:
        """Raise RedisUnavailable, RedisAccessRefused or RedisTooOld unless the server can be worked with."""
        version = self._version()
        if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
            raise self._too_old(version)
        with self.reaching():
            mode = self.client.info("server").get("redis_mode")
        if mode == "cluster":
            raise RedisMisconfigured(f"Redis at {self.name} is a cluster, in which RQ's queue cannot be kept.")

    def close(self) -> None:
        """Close every connection."""
        self.subscriptions.close()
        for client in self._clients:
            client.close()

    def _unconnected(self) -> ConnectionInterface:
        return ConnectionPool.from_url(self._url, **_SETTINGS).make_connection()

    def _client(self, timeout: float, slow: float = 0.0, observe: Observe | None = None) -> Redis:
        settings = _SETTINGS | {"socket_timeout": timeout}
        pool = BlockingConnectionPool.from_url(self._url, max_connections=_POOL, timeout=timeout, **settings)
        if not slow and observe is None:
            return Redis.from_pool(pool)
        client = cast(TimedRedis, TimedRedis.from_pool(pool))
        client.slow, client.observe = slow or math.inf, observe
        return client

    def _version(self) -> str:
        with self.reaching():
            return str(self.client.info("server")["redis_version"])

    def _explained(self, error: RedisError) -> Unavailable:
        match error:
            case exceptions.AuthenticationError() | exceptions.AuthorizationError() | exceptions.NoPermissionError():
                return RedisAccessRefused(f"Redis at {self.name} refuses access: {error}")
            case exceptions.ResponseError() if "unknown command" in str(error).lower():  # HELLO has come with 6.0.
                return self._too_old("older than 6.0")
            case exceptions.ResponseError() if "DB index" in str(error):
                return RedisMisconfigured(f"Redis at {self.name} has no such database: {error}")
            case exceptions.ConnectionError(__context__=ssl.SSLCertVerificationError()):
                return RedisMisconfigured(f"Redis at {self.name} cannot be trusted: {error}")
            case exceptions.ConnectionError() | exceptions.TimeoutError():
                return RedisUnavailable(f"Redis at {self.name} does not answer: {error}")
            case _:
                return RedisUnavailable(f"Redis at {self.name} failed: {error}")

    def _too_old(self, version: str) -> RedisTooOld:
        oldest = ".".join(map(str, _OLDEST))
        return RedisTooOld(f"Redis at {self.name} is too old: Parley needs {oldest}, and this is {version}.")


def _name(settings: dict[str, Any]) -> str:
    """Where the server is, without the password."""
    if path := settings.get("path"):
        return str(path)
    return f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}/{settings.get('db', 0)}"
