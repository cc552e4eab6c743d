"""What one process hears from Redis."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis

from adapters.redis.wire import BROKEN, Wire, packed, pause

log = logging.getLogger(__name__)

_AT_ONCE = 64
"""How many questions are under way at most: Redis cuts off a subscriber with too many answers waiting for it."""

_PATIENCE = 1.0
"""Seconds that somebody who publishes waits for the connection to be made."""

_PING = packed(b"PING")


class Channel:
    """One thing that is heard. The thread of the subscriptions calls the methods, which must return at once."""

    question = b""
    """A packed command, asked whenever a connection begins to hear the channel, right after subscribing."""

    def __init__(self, name: bytes) -> None:
        self.name = name

    def answered(self, answer: Any) -> None:
        """What the question found. Whatever it did not find is heard from now on."""

    def heard(self, payload: bytes) -> None:
        """Somebody published this."""

    def cut(self) -> None:
        """The connection is lost, and with it maybe what was published since. Another one is being made."""

    def away(self) -> None:
        """No connection could be made; it is tried again. May be called by any thread."""


class Subscriptions:
    """One connection and one thread, whatever the number of channels that a process hears.

    The thread begins with the first use. It makes a new connection when one is lost or silent, subscribes to
    every channel and asks its question anew.
    """

    def __init__(self, connect: Callable[[], Wire]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self._settled = threading.Event()  # there is a connection, or there was none to be had
        self._wire: Wire | None = None
        self._is_away = False
        self._failures = 0
        self._channels: dict[bytes, Channel] = {}
        self._unheard: deque[Channel] = deque()  # those that this connection has yet to subscribe to
        self._answers: deque[Callable[[Any], None]] = deque()  # who takes them, in order

    def add(self, channel: Channel) -> None:
        """Hear a channel from now on, or as soon as Redis answers."""
        with self._lock:
            self._channels[channel.name] = channel
            self._unheard.append(channel)
            self._subscribe()
            self._start()
            is_away = self._is_away
        if is_away:
            channel.away()

    def remove(self, channel: Channel) -> None:
        """Hear it no more."""
        with self._lock:
            if self._channels.get(channel.name) is channel:
                del self._channels[channel.name]
                self._send(packed(b"UNSUBSCRIBE", channel.name))

    def publish(self, name: bytes, payload: bytes) -> bool:
        """Say something on a channel without waiting for it to be heard; whether there was a connection for it."""
        with self._lock:
            self._start()
        self._settled.wait(_PATIENCE)
        with self._lock:
            return self._send(packed(b"PUBLISH", name, payload), _ignored)

    def close(self) -> None:
        """End the thread and its connection."""
        with self._lock:
            self._closed.set()
            if self._wire is not None:
                self._wire.cut()
        if self._thread is not None:
            self._thread.join()

    def _start(self) -> None:
        if self._thread is None and not self._closed.is_set():
            self._thread = threading.Thread(target=self._run, name="redis-subscriptions", daemon=True)
            self._thread.start()

    def _subscribe(self) -> None:
        while self._wire is not None and self._unheard and len(self._answers) < _AT_ONCE:
            channel = self._unheard.popleft()
            if self._channels.get(channel.name) is not channel:
                continue
            subscribe = packed(b"SUBSCRIBE", channel.name)
            if channel.question:
                self._send(subscribe + channel.question, channel.answered)
            else:
                self._send(subscribe)

    def _send(self, commands: bytes, answered: Callable[[Any], None] | None = None) -> bool:
        if self._wire is None:
            return False
        if answered is not None:
            self._answers.append(answered)
        try:
            self._wire.send(commands)
        except BROKEN:
            self._wire.cut()
            return False
        return True

    def _run(self) -> None:
        while not self._closed.wait(pause(self._failures)):
            try:
                wire = self._connect()
            except Exception as failure:
                self._find_away(failure)
                continue
            try:
                self._hear(wire)
            except BROKEN as failure:
                if not self._closed.is_set():
                    log.warning("nothing is heard from Redis: %s", failure)
            except Exception:
                log.exception("nothing is heard from Redis")
            finally:
                self._lose(wire)

    def _find_away(self, failure: Exception) -> None:
        self._failures += 1
        if not self._is_away:
            log.warning("nothing is heard from Redis: %s", failure)
        with self._lock:
            self._is_away = True
            channels = list(self._channels.values())
        self._settled.set()
        for channel in channels:
            channel.away()

    def _hear(self, wire: Wire) -> None:
        if self._is_away:
            log.info("Redis is heard again")
        with self._lock:
            self._wire = wire
            self._is_away = False
            self._unheard = deque(self._channels.values())
            self._subscribe()
        self._settled.set()
        is_silent = False
        while not self._closed.is_set():
            try:
                replies = wire.receive()
            except TimeoutError:
                if is_silent:
                    raise
                is_silent = True
                with self._lock:
                    self._send(_PING, _ignored)
                continue
            is_silent = False
            for reply in replies:
                self._take(reply)
            self._failures = 0
            if self._unheard:
                with self._lock:
                    self._subscribe()

    def _take(self, reply: Any) -> None:
        if isinstance(reply, hiredis.PushNotification):
            if reply[0] == b"message":
                channel = self._channels.get(reply[1])
                if channel is not None:
                    channel.heard(reply[2])
        elif isinstance(reply, hiredis.ReplyError):
            raise reply
        else:
            self._answers.popleft()(reply)

    def _lose(self, wire: Wire) -> None:
        with self._lock:
            self._wire = None
            self._settled.clear()
            self._answers.clear()
            self._failures += 1
            channels = list(self._channels.values())
        wire.close()
        for channel in channels:
            channel.cut()


def _ignored(answer: Any) -> None:
    pass
