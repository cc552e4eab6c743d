"""Vectors of texts from an OpenAI-compatible server's `/embeddings`."""

from __future__ import annotations

import base64
import binascii
import math
import sys
import threading
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import httpcore2
import httpx2
import openai

from adapters.openai.connections import Call, abortable_client
from adapters.openai.spaces import space_of
from application.ports.knowledge import EmbeddingError

_CONNECTIONS = httpx2.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=30.0)

_AT_ONCE = 64
_CHARACTERS_AT_ONCE = 100_000
"""Texts, and characters of them, in one request."""

_LONGEST = 8_000
"""Characters of a text: about as many tokens as OpenAI's models read (8,191) where each character is one."""


class OpenAIEmbedder:
    """See application.ports.knowledge.Embedder.

    A request that fails in passing is tried again `retries` times; that is the SDK's doing. All tries of a request
    together end after `timeout` seconds for each, whatever the server does.
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str | None,
        model: str,
        dimensions: int | None = None,
        retries: int = 2,
        timeout: float = 60.0,
    ) -> None:
        self._model = model
        self._dimensions = dimensions
        self._longest_wait = timeout * (retries + 1)
        self._client = openai.OpenAI(
            api_key=api_key,
            base_url=base_url,
            max_retries=retries,
            timeout=httpx2.Timeout(timeout, connect=min(timeout, 5.0)),
            http_client=abortable_client(_CONNECTIONS),
        )
        # A quarter of the size, and quicker to read. Some servers know only the other one.
        self._format = "base64"

    @property
    def space(self) -> str:
        return space_of(self._model, self._dimensions)

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        vectors: list[Sequence[float]] = []
        for batch in _batches(texts):
            vectors += self._checked(self._ask(batch), len(batch))
        if len({len(vector) for vector in vectors}) > 1:
            raise _unusable("vectors of different dimensions")
        return vectors

    def ping(self) -> str:
        (vector,) = self.embed(["Parley"])
        return f"{self.space} at {self._client.base_url}, {len(vector)} dimensions"

    def close(self) -> None:
        """Close the connections that are kept."""
        self._client.close()

    def _ask(self, texts: Sequence[str]) -> object:
        try:
            return self._sent(texts)
        except openai.APIStatusError as refusal:
            if self._format != "base64" or "encoding_format" not in str(refusal):
                raise _translated(refusal) from refusal
        except (openai.OpenAIError, httpx2.HTTPError, httpcore2.NetworkError, OSError) as failure:
            raise _translated(failure) from failure
        except ValueError as misfit:
            raise _unusable("something that is no JSON") from misfit
        self._format = "float"
        return self._ask(texts)

    def _sent(self, texts: Sequence[str]) -> object:
        body: dict[str, Any] = {"model": self._model, "input": list(texts), "encoding_format": self._format}
        if self._dimensions is not None:
            body["dimensions"] = self._dimensions
        call = Call()
        watch = threading.Timer(self._longest_wait, call.abort)
        watch.daemon = True
        watch.start()
        try:
            with call:
                # The JSON as it comes: building typed objects of it costs more than checking it here.
                return self._client.post("/embeddings", cast_to=object, body=body)
        finally:
            watch.cancel()

    def _checked(self, answer: object, count: int) -> list[Sequence[float]]:
        """The vectors in the order of their texts. Raises EmbeddingError for what cannot be compared."""
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, list) or not all(isinstance(one, dict) for one in data):
            raise _unusable("something else than embeddings")
        if len(data) != count:
            raise _unusable(f"{len(data)} vectors for {count} texts")
        if sorted(places := [one.get("index", place) for place, one in enumerate(data)], key=str) != sorted(
            range(count), key=str
        ):
            raise _unusable("vectors of which nobody knows whose they are")
        vectors = dict(zip(places, (self._vector(one.get("embedding")) for one in data), strict=True))
        return [vectors[place] for place in range(count)]

    def _vector(self, given: object) -> Sequence[float]:
        try:
            vector = _unpacked(given) if isinstance(given, str) else array("f", _listed(given))
        except (TypeError, ValueError, OverflowError) as misfit:
            raise _unusable("vectors that hold no numbers") from misfit
        if self._dimensions is not None and len(vector) != self._dimensions:
            raise _unusable(f"vectors of {len(vector)} numbers, but was asked for {self._dimensions}")
        if not all(map(math.isfinite, vector)):
            raise _unusable("vectors that hold no numbers")
        if not any(vector):
            raise _unusable("vectors without a direction")
        return vector


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    room = _CHARACTERS_AT_ONCE
    for text in texts:
        cut = text[:_LONGEST]
        if batch and (len(batch) == _AT_ONCE or len(cut) > room):
            yield batch
            batch, room = [], _CHARACTERS_AT_ONCE
        batch.append(cut)
        room -= len(cut)
    if batch:
        yield batch


def _listed(given: object) -> list[float]:
    if not isinstance(given, list):
        raise TypeError("no list of numbers")
    return given


def _unpacked(given: str) -> array[float]:
    """Little-endian 32-bit floats in base64; raises ValueError."""
    try:
        vector = array("f", base64.b64decode(given, validate=True))
    except binascii.Error as misfit:
        raise ValueError(str(misfit)) from misfit
    if sys.byteorder == "big":
        vector.byteswap()
    return vector


def _unusable(what: str) -> EmbeddingError:
    return EmbeddingError("embeddings_unusable", f"The embedding server answered with {what}.", is_passing=False)


def _translated(failure: Exception) -> EmbeddingError:
    """The application's error for what the SDK or the connection raised, without the server's own details."""
    match failure:
        case openai.APITimeoutError() | httpx2.TimeoutException():
            return EmbeddingError(
                "embeddings_unreachable", "The embedding server did not answer in time.", is_passing=True
            )
        case openai.APIStatusError(status_code=429):
            return EmbeddingError(
                "embeddings_overloaded", "The embedding server takes no more requests at the moment.", is_passing=True
            )
        case openai.APIStatusError(status_code=status) if status >= 500 or status in (408, 409):
            return EmbeddingError(
                "embeddings_failed", f"The embedding server failed with status {status}.", is_passing=True
            )
        case openai.APIStatusError(status_code=status):
            return EmbeddingError(
                "embeddings_refused",
                f"The embedding server refused the request with status {status}.",
                # A wrong key or a missing model is the operator's to put right, and then all documents are to follow.
                is_passing=status in (401, 403, 404),
            )
        case _:
            return EmbeddingError("embeddings_unreachable", "The embedding server cannot be reached.", is_passing=True)
