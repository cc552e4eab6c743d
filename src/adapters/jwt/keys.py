"""Keys that verify tokens: which algorithm each is good for decides whether it is even looked at."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import jwt as pyjwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from application.ports.runtime import Misconfigured

PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

BY_SECRET = frozenset({"HS256"})
BY_PUBLIC_KEY = frozenset({"RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA"})

_BY_RSA = frozenset({"RS256", "RS384", "RS512"})
_BY_CURVE = {"secp256r1": frozenset({"ES256"}), "secp384r1": frozenset({"ES384"})}
_BY_ED25519 = frozenset({"EdDSA"})

_RSA_BITS = range(2048, 8193)
"""RFC 7518, section 3.3, asks for 2048 at least; more than 8192 would cost too much to verify with."""

_MOST_KEYS = 50
"""Of one set. A token without a `kid` may be tried with each."""

_PEM_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----\n?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Key:
    """What verifies signatures by some algorithms, under an id if it has one."""

    id: str | None
    algorithms: frozenset[str]
    material: str | PublicKey


@dataclass(frozen=True, slots=True, eq=False)
class KeySet:
    """Keys that are trusted together. Another set is another object: what one has verified says nothing of the next."""

    keys: tuple[Key, ...] = ()

    def fitting(self, algorithm: str, kid: str | None) -> Sequence[Key]:
        """The keys that a token of this algorithm and `kid` may be signed with; without either id, all it can be."""
        return [
            key for key in self.keys if algorithm in key.algorithms and (key.id is None or kid is None or key.id == kid)
        ]


def own_keys(secrets: Iterable[str]) -> KeySet:
    """Parley's own secrets, each under the `kid` that tokens signed with it carry."""
    return KeySet(tuple(Key(kid_of(secret), BY_SECRET, secret) for secret in secrets))


def shared_keys(secrets: Iterable[str]) -> KeySet:
    """Secrets shared with the host product, whose `kid` may be anything."""
    return KeySet(tuple(Key(None, BY_SECRET, secret) for secret in secrets))


def kid_of(secret: str) -> str:
    """Tells Parley's secrets apart, and tells nothing else about them."""
    return hashlib.sha256(b"parley token key\0" + secret.encode()).hexdigest()[:12]


def keys_in(file: Path) -> KeySet:
    """The public keys of a PEM file, which may hold several, one after the other. Raises Misconfigured."""
    try:
        text = file.read_text(encoding="ascii")
    except OSError as error:
        raise Misconfigured(f"cannot be read: {error.strerror}.") from None
    except ValueError:
        text = ""
    keys = []
    for block in _PEM_BLOCK.finditer(text):
        if block[1] not in ("PUBLIC KEY", "RSA PUBLIC KEY"):
            raise Misconfigured(f"holds a {block[1].lower()}; only public keys belong there.")
        try:
            material = load_pem_public_key(block[0].encode())
        except (ValueError, UnsupportedAlgorithm):
            raise Misconfigured("holds a public key that cannot be read.") from None
        algorithms = _algorithms(material)
        if not algorithms or not isinstance(material, PublicKey):
            raise Misconfigured("holds a key that is neither RSA (2048 to 8192 bits), P-256, P-384 nor Ed25519.")
        keys.append(Key(None, algorithms, material))
    if not keys:
        raise Misconfigured("holds no public key in PEM ('-----BEGIN PUBLIC KEY-----').")
    return KeySet(tuple(keys[:_MOST_KEYS]))


def published(document: object) -> tuple[Key, ...]:
    """The keys of a JSON Web Key Set (RFC 7517) that can verify tokens; others are passed over, as it says to.

    Raises ValueError for what is no such set.
    """
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("it is no JSON Web Key Set")
    keys = (_published(entry) for entry in entries[:_MOST_KEYS] if isinstance(entry, dict))
    return tuple(key for key in keys if key is not None)


def _published(entry: Mapping[str, Any]) -> Key | None:
    kid, algorithm, uses = entry.get("kid"), entry.get("alg"), entry.get("key_ops", ["verify"])
    if entry.get("kty") not in ("RSA", "EC", "OKP") or "d" in entry:
        return None  # A secret or a private key that is published proves nothing.
    if entry.get("use", "sig") != "sig" or not isinstance(uses, list) or "verify" not in uses:
        return None
    if not isinstance(kid, str | None) or not isinstance(algorithm, str | None):
        return None
    try:
        material = pyjwt.PyJWK({name: value for name, value in entry.items() if name != "alg"}).key
    except (pyjwt.PyJWTError, ValueError, TypeError, UnsupportedAlgorithm):
        return None
    algorithms = _algorithms(material)
    if algorithm is not None:
        algorithms &= {algorithm}
    return Key(kid, algorithms, material) if algorithms else None


def _algorithms(material: object) -> frozenset[str]:
    """What a key is good for; nothing, if Parley does not trust it."""
    match material:
        case RSAPublicKey() if material.key_size in _RSA_BITS:
            return _BY_RSA
        case EllipticCurvePublicKey():
            return _BY_CURVE.get(material.curve.name, frozenset())
        case Ed25519PublicKey():
            return _BY_ED25519
    return frozenset()
