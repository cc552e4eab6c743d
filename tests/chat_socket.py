"""A client of `/ws/chat/`, as a browser or an app would be."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.parley_process import TERMINAL, Client

Frame = dict[str, Any]


class ChatSocket:
    """Sends frames, and finds the one that it waits for among those that come."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.seen: list[Frame] = []

    def send(self, kind: str, **members: object) -> None:
        self.connection.send(json.dumps({"type": kind, **members}))

    def receive(self, timeout: float = 15) -> Frame:
        frame: Frame = json.loads(self.connection.recv(timeout=timeout))
        self.seen.append(frame)
        return frame

    def expect(self, *kinds: str) -> Frame:
        """The next frame of one of these types; others that come before it are passed over, but errors fail."""
        while True:
            frame = self.receive()
            if frame["type"] in kinds:
                return frame
            assert frame["type"] != "error", frame

    def ask(self, kind: str, answer: str, **members: object) -> Frame:
        """Send a frame and wait for its answer."""
        self.send(kind, **members)
        return self.expect(answer)

    def refused(self, kind: str, **members: object) -> Frame:
        """Send a frame that shall be refused; the error."""
        self.send(kind, **members)
        while (frame := self.receive())["type"] != "error":
            pass
        return frame

    def events(self, reply_id: str, timeout: float = 15) -> list[Frame]:
        """The events of a reply up to the terminal one; fails when nothing at all comes for some seconds."""
        events = []
        while True:
            frame = self.receive(timeout)
            if frame.get("reply_id") == reply_id and frame["type"].startswith("reply."):
                events.append(frame)
                if frame["type"] in TERMINAL:
                    return events

    def closed(self) -> tuple[int, str]:
        """Code and reason with which the server closes."""
        with pytest.raises(ConnectionClosed) as end:
            deque(iter(lambda: self.connection.recv(timeout=60), None), maxlen=0)
        assert end.value.rcvd is not None, "cut off without a close frame"
        return end.value.rcvd.code, end.value.rcvd.reason


@contextmanager
def chatting(client: Client, *, welcomed: bool = True, **options: Any) -> Iterator[ChatSocket]:
    """A socket with the client's token."""
    url = str(client.http.base_url).replace("http://", "ws://").replace("/api/v1/", "/ws/chat/")
    options.setdefault("additional_headers", {"Authorization": f"Bearer {client.token}"})
    with connect(url, compression=None, open_timeout=20, close_timeout=5, **options) as connection:
        socket = ChatSocket(connection)
        if welcomed:
            assert socket.receive()["type"] == "welcome"
        yield socket
