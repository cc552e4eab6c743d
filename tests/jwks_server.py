"""An identity provider: keys that sign tokens, and a real HTTP server that publishes them and counts who asks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import get_default_algorithms


class SigningKey:
    """A private key under an id."""

    def __init__(self, kid: str | None = None, algorithm: str = "RS256", *, bits: int = 2048) -> None:
        self.kid = kid
        self.algorithm = algorithm
        self._private: Any
        match algorithm:
            case "ES256":
                self._private = ec.generate_private_key(ec.SECP256R1())
            case "ES384":
                self._private = ec.generate_private_key(ec.SECP384R1())
            case "EdDSA":
                self._private = ed25519.Ed25519PrivateKey.generate()
            case _:
                self._private = rsa.generate_private_key(public_exponent=65537, key_size=bits)

    def token(self, claims: dict[str, Any], **header: Any) -> str:
        """A token with these claims; further headers win over the key's own, and None takes one away."""
        algorithm = header.pop("alg", self.algorithm)
        named = {"kid": self.kid} if self.kid is not None else {}
        given = {name: value for name, value in {**named, **header}.items() if value is not None}
        return jwt.encode(claims, self._private, algorithm, given)

    def published(self, **more: Any) -> dict[str, Any]:
        """The public key as a JWKS has it; None takes a member away."""
        jwk = get_default_algorithms()[self.algorithm].to_jwk(self._private.public_key(), as_dict=True)
        named = {"kid": self.kid} if self.kid is not None else {}
        return {name: value for name, value in {**jwk, "use": "sig", **named, **more}.items() if value is not None}

    @property
    def private_jwk(self) -> dict[str, Any]:
        return {**get_default_algorithms()[self.algorithm].to_jwk(self._private, as_dict=True), "kid": self.kid}

    @property
    def pem(self) -> str:
        encoded: bytes = self._private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return encoded.decode()


class JwksServer(ThreadingHTTPServer):
    """Publishes `keys`, until told otherwise."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.keys: list[dict[str, Any]] = []
        self.body: bytes | None = None
        """What is answered instead of the keys."""
        self.status = 200
        self.open = threading.Event()
        """Answers wait until it is set."""
        self.open.set()
        self.fetches = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/keys"

    def publish(self, *keys: SigningKey) -> None:
        self.keys = [key.published() for key in keys]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes is no error here."""


class _Handler(BaseHTTPRequestHandler):
    server: JwksServer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        server.fetches += 1
        server.open.wait(30)
        body = json.dumps({"keys": server.keys}).encode() if server.body is None else server.body
        self.send_response(server.status)
        if server.status == 302:
            self.send_header("Location", f"{server.url}/moved")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def jwks_server(*keys: SigningKey) -> Iterator[JwksServer]:
    server = JwksServer()
    server.publish(*keys)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.open.set()
        server.shutdown()
        server.server_close()
