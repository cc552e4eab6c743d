"""The public keys that an identity provider publishes at a URL (JWKS, RFC 7517)."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.request import HTTPRedirectHandler, Request, build_opener

from adapters.jwt.keys import KeySet, published
from application.ports.runtime import KeysUnavailable

log = logging.getLogger(__name__)

_FRESH = 300.0
"""Seconds after which keys are fetched anew."""

_PAUSE = 10.0
"""Seconds between two fetches, whatever tokens ask for."""

_PAUSE_AFTER_FAILURE = 3.0

_TIMEOUT = 5.0
"""Seconds that a fetch may take."""

_LARGEST = 512 * 1024
"""Bytes of a set of keys."""


class JwksKeys:
    """Fetched when they are first needed, and again when they are five minutes old or lack a key that a token names.

    However many ask, one fetch is under way at a time, on a thread of its own. While the server is
    away the keys known last hold, and nobody waits for it; withdrawn keys are gone with the next fetch.
    """

    def __init__(self, url: str, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._elapsed = elapsed
        self._lock = threading.Lock()
        self._keys: KeySet | None = None
        self._fetched_at = -_FRESH
        self._next_fetch = 0.0
        self._under_way: threading.Event | None = None
        self._failing = False

    def current(self) -> KeySet:
        """The keys to verify with now. Raises KeysUnavailable when none could ever be fetched."""
        with self._lock:
            if self._keys is not None and self._elapsed() < self._fetched_at + _FRESH:
                return self._keys
            fetch = self._fetch_in_time()
            good_enough = self._keys is not None and self._failing
        if fetch is not None and not good_enough:
            fetch.wait(_TIMEOUT)
        if self._keys is None:
            raise self._unavailable()
        return self._keys

    def newer(self, lacking: KeySet) -> KeySet:
        """The keys after another look at the server, or the same if it was looked at seconds ago.

        Raises KeysUnavailable when the server is away: the key may be one that it has.
        """
        with self._lock:
            if self._keys is not None and self._keys is not lacking:
                return self._keys
            fetch = self._fetch_in_time()
        if fetch is not None:
            fetch.wait(_TIMEOUT)
        if self._keys is None or self._failing:
            raise self._unavailable()
        return self._keys

    def _fetch_in_time(self) -> threading.Event | None:
        """The fetch that is under way, begun now if it is time for one; None if it is not."""
        if self._under_way is None and self._elapsed() >= self._next_fetch:
            self._under_way = threading.Event()
            threading.Thread(target=self._fetch, args=(self._under_way,), name="jwks", daemon=True).start()
        return self._under_way

    def _fetch(self, done: threading.Event) -> None:
        try:
            keys = published(_document_at(self._url))
        except Exception as error:  # Whatever is wrong with the answer, the server is as good as away.
            if not self._failing:
                log.warning("PARLEY_JWT_JWKS_URL: the keys cannot be fetched: %s", error)
            with self._lock:
                self._failing = True
                self._next_fetch = self._elapsed() + _PAUSE_AFTER_FAILURE
        else:
            if self._failing:
                log.info("PARLEY_JWT_JWKS_URL: the keys can be fetched again")
            with self._lock:
                if self._keys is None or self._keys.keys != keys:
                    self._keys = KeySet(keys)
                self._failing = False
                self._fetched_at = self._elapsed()
                self._next_fetch = self._fetched_at + _PAUSE
        finally:
            with self._lock:
                self._under_way = None
            done.set()

    def _unavailable(self) -> KeysUnavailable:
        return KeysUnavailable("The keys that tokens are signed with cannot be fetched at the moment.")


class _Straight(HTTPRedirectHandler):
    """Follows no redirect: it could lead anywhere, and the keys decide who is let in."""

    def redirect_request(self, *_: Any) -> None:
        """Not followed: the answer counts as an error."""


def _document_at(url: str) -> object:
    """What the URL answers with, read as JSON."""
    deadline = time.monotonic() + _TIMEOUT
    request = Request(url, headers={"Accept": "application/json", "User-Agent": "parley"})  # noqa: S310 # see settings
    body = b""
    with build_opener(_Straight).open(request, timeout=_TIMEOUT) as answer:
        while piece := answer.read1(_LARGEST):
            body += piece
            if len(body) > _LARGEST:
                raise ValueError(f"the answer is larger than {_LARGEST} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError(f"the answer takes longer than {_TIMEOUT:.0f} seconds")
    return json.loads(body)
