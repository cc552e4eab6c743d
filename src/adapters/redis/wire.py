"""A connection that is spoken to in bulk, for what happens with every event of every reply."""

from __future__ import annotations

import socket
from typing import Any

import hiredis
from redis import RedisError
from redis.connection import AbstractConnection

BROKEN = (OSError, RedisError, hiredis.HiredisError)
"""What a wire raises when it is of no use any more."""

_NOTHING = object()


def packed(*words: bytes) -> bytes:
    """A command as it is sent."""
    command: bytes = hiredis.pack_command(words)  # type: ignore[arg-type] # it takes a tuple of any length
    return command


class Wire:
    """A connection to Redis in RESP3: commands go out packed, and replies come in as many as have arrived.

    redis-py connects, with its ways of TLS, credentials and databases. Its own way of sending and
    reading takes 5 to 20 times the CPU of this one, because it handles each command and reply alone.
    """

    def __init__(self, connection: AbstractConnection) -> None:
        """Connect; raises one of BROKEN, as every method does."""
        connection.connect()
        self._connection = connection
        self._socket: socket.socket = connection._sock  # type: ignore[attr-defined] # noqa: SLF001
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)

    def send(self, commands: bytes) -> None:
        """Send packed commands; by one thread at a time, which need not be the one that receives."""
        self._socket.sendall(commands)

    def receive(self) -> list[Any]:
        """Wait for replies, and return all that have arrived: bytes, numbers, lists, pushes, hiredis.ReplyError.

        Raises TimeoutError after the connection's time-out; one may go on receiving then.
        """
        replies: list[Any] = []
        while not replies:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionResetError("Redis closed the connection")
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _NOTHING:
                replies.append(reply)
        return replies

    def close(self) -> None:
        """Close the connection; whoever is receiving is told that it is closed."""
        self._connection.disconnect()
