"""Issue Parley's own tokens, and verify these and the host product's."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Protocol

import jwt as pyjwt

from adapters.jwt.keys import BY_PUBLIC_KEY, BY_SECRET, KeySet, kid_of, own_keys, shared_keys
from application.ports.runtime import Now, VerifiedToken
from domain.errors import TokenExpired, TokenInvalid
from domain.identity import SYSTEM, Principal, PrincipalKind

ISSUER = "parley"
"""The `iss` of the tokens that Parley issues, and of no others."""

_ALGORITHM = "HS256"

_LONGEST = 8192
"""Characters of a token."""

_LAST_MOMENT = datetime(9999, 12, 31, tzinfo=UTC).timestamp()

_SIGNATURE = pyjwt.PyJWS()


class PublicKeys(Protocol):
    """Where the host product's public keys come from."""

    def current(self) -> KeySet:
        """The keys to verify with now; raises KeysUnavailable."""
        ...

    def newer(self, lacking: KeySet) -> KeySet:
        """The keys after another look, because these lack one; the same if there is nothing to look at."""
        ...


@dataclass(frozen=True, slots=True)
class FixedKeys:
    """Public keys that are known for good."""

    keys: KeySet

    def current(self) -> KeySet:
        return self.keys

    def newer(self, lacking: KeySet) -> KeySet:
        return lacking


@dataclass(frozen=True, slots=True, kw_only=True)
class HostProduct:
    """What makes a token the host product's.

    It is signed with one of `secrets` (HS256) or of `keys`; with Parley's own where neither is given.
    `issuer` and `audience` must be its `iss` and (among) its `aud`, unless None. `roles_claim` names the
    claim of the roles; dots lead into objects (`realm_access.roles`).
    """

    secrets: Sequence[str] = ()
    keys: PublicKeys | None = None
    issuer: str | None = None
    audience: str | None = None
    roles_claim: str = "roles"


@dataclass(frozen=True, slots=True)
class _Claimed:
    """What a token says of itself, by which its key is found; nothing of it is proved."""

    algorithm: str
    kid: str | None
    ours: bool


class _KeyUnknown(TokenInvalid):
    """No key fits; a newer one may."""


class JwtTokens:
    """See application.ports.runtime.Tokens.

    Tokens that Parley issues (visitors, and users by the CLI) carry `iss: parley`, are signed with the
    first of its own `secrets` and good with any of them. All others are the host product's and speak
    for users only: `sub`, `exp`, and optionally roles. `leeway` is the seconds by which clocks may differ.

    The algorithm that a token names decides which keys are looked at, and a key knows the algorithms
    it is good for: no public key is ever taken for a secret.
    """

    def __init__(self, secrets: Sequence[str], host: HostProduct, now: Now, leeway: float = 10) -> None:
        self._signing = secrets[0]
        self._own = own_keys(secrets)
        self._shared = shared_keys(host.secrets or (() if host.keys else secrets))
        self._host = host
        self._public = host.keys or FixedKeys(KeySet())
        self._now = now
        self._leeway = leeway
        # A client sends the same token again and again; what it proves does not change, only the time does, and
        # the keys: with other keys it is verified anew.
        self._verified = lru_cache(maxsize=4096)(self._verify)

    def issue(self, principal: Principal, lifetime: timedelta) -> tuple[str, datetime]:
        _require_somebody(principal)
        expires_at = self._now().replace(microsecond=0) + lifetime
        claims = {
            "iss": ISSUER,
            "sub": principal.id,
            "kind": principal.kind.value,
            "roles": sorted(principal.roles),
            "iat": self._now(),
            "exp": expires_at,
        }
        return pyjwt.encode(claims, self._signing, _ALGORITHM, {"kid": kid_of(self._signing)}), expires_at

    def verify(self, token: str) -> VerifiedToken:
        if len(token) > _LONGEST:
            raise TokenInvalid(f"The token is longer than {_LONGEST} characters.")
        claimed = _claimed(token)
        keys = self._keys_for(claimed)
        try:
            verified = self._verified(token, claimed, keys)
        except _KeyUnknown:
            if claimed.ours or claimed.algorithm in BY_SECRET:
                raise
            verified = self._verified(token, claimed, self._public.newer(keys))
        if self._now().timestamp() >= verified.expires_at.timestamp() + self._leeway:
            raise TokenExpired("The token has expired. Get a new one.")
        return verified

    def _keys_for(self, claimed: _Claimed) -> KeySet:
        if claimed.ours:
            return self._own
        if claimed.algorithm in BY_SECRET:
            return self._shared
        return self._public.current()

    def _verify(self, token: str, claimed: _Claimed, keys: KeySet) -> VerifiedToken:
        """Everything but the expiry."""
        claims = _signed_claims(token, claimed, keys)
        for required in ("sub", "exp"):
            if claims.get(required) is None:
                raise TokenInvalid(f"The token lacks the claim {required!r}.")
        self._check_times(claims)
        expires_at = datetime.fromtimestamp(_time(claims, "exp"), UTC)
        if claimed.ours:
            return VerifiedToken(_require_somebody(_principal_of_ours(claims)), expires_at)
        self._check_for_whom(claims)
        roles = _roles(_at(claims, self._host.roles_claim), self._host.roles_claim)
        user = Principal(PrincipalKind.USER, _subject(claims), roles)
        return VerifiedToken(_require_somebody(user), expires_at)

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        latest = self._now().timestamp() + self._leeway
        if claims.get("nbf") is not None and _time(claims, "nbf") > latest:
            raise TokenInvalid("The token is not yet valid.")
        if claims.get("iat") is not None and _time(claims, "iat") > latest:
            raise TokenInvalid("The token was issued in the future. Do the clocks agree?")

    def _check_for_whom(self, claims: Mapping[str, Any]) -> None:
        if self._host.issuer is not None and claims.get("iss") != self._host.issuer:
            raise TokenInvalid("The token's issuer ('iss') is not the one that Parley trusts.")
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if self._host.audience is not None and self._host.audience not in audiences:
            raise TokenInvalid("The token's audience ('aud') is not Parley: it was issued for something else.")


@lru_cache(maxsize=1024)
def _claimed(token: str) -> _Claimed:
    """Read a token without trusting it. Raises TokenInvalid for what cannot become a token of anybody's."""
    try:
        unproved = _SIGNATURE.decode_complete(token, options={"verify_signature": False})
        claims = json.loads(unproved["payload"])
    except (pyjwt.PyJWTError, ValueError, RecursionError):
        raise _malformed() from None
    header = unproved["header"]
    if not isinstance(claims, dict) or "crit" in header or "b64" in header:
        raise _malformed()  # Parley knows none of the extensions that a token may insist on.
    algorithm = header.get("alg")
    if algorithm not in (*BY_SECRET, *BY_PUBLIC_KEY):
        raise TokenInvalid("The token is signed by an algorithm that Parley does not accept, or not at all.")
    return _Claimed(algorithm, header.get("kid"), ours=claims.get("iss") == ISSUER)


def _signed_claims(token: str, claimed: _Claimed, keys: KeySet) -> dict[str, Any]:
    fitting = keys.fitting(claimed.algorithm, claimed.kid)
    for key in fitting:
        try:
            proved = _SIGNATURE.decode_complete(token, key.material, [claimed.algorithm])
        except pyjwt.InvalidSignatureError:
            continue
        except pyjwt.PyJWTError:
            raise _malformed() from None
        claims: dict[str, Any] = json.loads(proved["payload"])
        return claims
    if not fitting or claimed.kid is None:
        raise _KeyUnknown("The token is not signed with a key that Parley knows.")
    raise TokenInvalid("The token's signature is wrong.")


def _malformed() -> TokenInvalid:
    return TokenInvalid("The token is malformed.")


def _principal_of_ours(claims: Mapping[str, Any]) -> Principal:
    if claims.get("kind") not in set(PrincipalKind):
        raise TokenInvalid("The token's 'kind' must be 'user' or 'visitor'.")
    return Principal(PrincipalKind(claims["kind"]), _subject(claims), _roles(claims.get("roles"), "roles"))


def _subject(claims: Mapping[str, Any]) -> str:
    subject = claims["sub"]
    if not isinstance(subject, str) or not 1 <= len(subject) <= 200 or not subject.isprintable():
        raise TokenInvalid("The token's 'sub' must be a string of 1 to 200 printable characters.")
    return subject


def _require_somebody(principal: Principal) -> Principal:
    """The same; raises TokenInvalid for Parley itself, whose projects answer everybody."""
    if principal.key == SYSTEM.key:
        raise TokenInvalid(f"The token's 'sub' must not be {SYSTEM.id!r}: that is Parley itself.")
    return principal


def _at(claims: Mapping[str, Any], path: str) -> object:
    """The claim of this very name, which may have dots of its own (a URL), or else where the dots lead."""
    if path in claims:
        return claims[path]
    found: object = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _roles(given: object, claim: str) -> frozenset[str]:
    roles = given.split() if isinstance(given, str) else given if given is not None else []
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise TokenInvalid(f"The token's {claim!r} must be a list of strings, or one string with spaces between them.")
    return frozenset(roles)


def _time(claims: Mapping[str, Any], name: str) -> float:
    given = claims[name]
    sound = isinstance(given, int | float) and not isinstance(given, bool)
    if not sound or not 0 <= given <= _LAST_MOMENT or not math.isfinite(given):
        raise TokenInvalid(f"The token's {name!r} must be a time, in seconds since 1970.")
    return float(given)
