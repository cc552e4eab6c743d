"""A connection that is spoken to in bulk, for what happens with every event of every reply."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

import hiredis
from redis import RedisError

BROKEN = (OSError, RedisError, hiredis.HiredisError)
"""What a wire raises when it is of no use any more."""

_NOTHING = object()


def packed(*words: bytes) -> bytes:
    """A command as it is sent."""
    command: bytes = hiredis.pack_command(words)  # type: ignore[arg-type] # it takes a tuple of any length
    return command


class Wire:
    """A connection to Redis in RESP3: commands go out packed, and replies come in as many as have arrived.

    redis-py connects, because it knows TLS, credentials and databases. But it handles each command and
    each reply alone, at 4 to 18 times the CPU.
    """

    def __init__(self, connection: Any) -> None:
        """Connect a connection of redis-py's; raises one of BROKEN, as `send` and `receive` do."""
        connection.connect()
        self._connection = connection
        self._socket: socket.socket = connection._sock  # noqa: SLF001
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)

    def send(self, commands: bytes) -> None:
        """Send packed commands. For one thread at a time, beside the one that receives."""
        self._socket.sendall(commands)

    def receive(self) -> list[Any]:
        """All replies that have arrived, at least one: bytes, numbers, lists, PushNotification, ReplyError.

        Raises TimeoutError when none has within the socket's time-out; the wire is still good then.
        """
        replies: list[Any] = []
        while not replies:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionResetError("Redis has closed the connection")
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _NOTHING:
                replies.append(reply)
        return replies

    def cut(self) -> None:
        """Make whoever receives find the connection closed."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; for the one that receives."""
        self._connection.disconnect()


def pause(failures: int) -> float:
    """Seconds to wait after so many failures in a row: a first one may have been that of an idle connection."""
    return 0.0 if failures < 2 else min(0.05 * 2 ** (failures - 2), 1.0)
