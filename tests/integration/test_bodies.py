"""The body of an answer is the same whether the HTTP library reads it or we do, however it comes in pieces."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise

import httpcore2
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.openai.connections import abortable_client, body_of

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@contextmanager
def answering(*answers: list[bytes]) -> Iterator[str]:
    """A server that takes one connection, and sends the pieces of an answer for each request on it, then hangs up."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for pieces in answers:
                    request = b""
                    while b"\r\n\r\n" not in request:
                        request += connection.recv(65536)
                    for piece in pieces:
                        connection.sendall(piece)

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        serving.join(10)


def read(url: str, times: int = 1) -> list[bytes]:
    bodies = []
    with abortable_client(httpx2.Limits()) as client:
        for _ in range(times):
            with client.stream("GET", url) as response:
                bodies.append(b"".join(body_of(response)))
    return bodies


def chunked(*chunks: bytes, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    body = b"".join(b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    return body + b"0\r\n" + trailer + b"\r\n"


@settings(max_examples=60, deadline=None)
@given(
    chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    cuts=st.lists(st.integers(1, 200), max_size=8),
    extension=st.sampled_from([b"", b";name=value"]),
    trailer=st.sampled_from([b"", b"Expires: never\r\n", b"A: 1\r\nB: 2\r\n"]),
)
def test_chunks_are_put_together_however_they_are_cut(
    chunks: list[bytes], cuts: list[int], extension: bytes, trailer: bytes
) -> None:
    answer = _CHUNKED + chunked(*chunks, extension=extension, trailer=trailer)
    places = sorted({min(cut, len(answer)) for cut in cuts} | {0, len(answer)})
    pieces = [answer[begin:end] for begin, end in pairwise(places)]

    with answering(pieces, [answer]) as url:
        assert read(url, times=2) == [b"".join(chunks)] * 2  # The second on the same connection.


def test_bodies_of_other_kinds_are_left_to_the_library() -> None:
    packed = gzip.compress(b"packed")
    answers = [
        [_HEAD + b"Content-Length: 5\r\n\r\n", b"whole"],
        [_HEAD + b"Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n" + chunked(packed[:9], packed[9:])],
        [b"HTTP/1.1 100 Continue\r\n\r\n", _CHUNKED + chunked(b"after ", b"another head")],
    ]

    with answering(*answers) as url:
        assert read(url, times=3) == [b"whole", b"packed", b"after another head"]


@pytest.mark.parametrize("broken", [b"5\r\nbro", b"5\r\nwhole\r\n", b"no size\r\n", b"5\r\nwhole\r\n0\r\n"])
def test_a_body_that_breaks_off_is_not_taken_for_a_whole_one(broken: bytes) -> None:
    with (
        answering([_CHUNKED + broken]) as url,
        abortable_client(httpx2.Limits()) as client,
        client.stream("GET", url) as response,
        pytest.raises((httpcore2.RemoteProtocolError, httpx2.RemoteProtocolError)),
    ):
        b"".join(body_of(response))
