"""Issue and verify HS256 tokens."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import jwt as pyjwt

from application.ports.runtime import Now
from domain.errors import TokenExpired, TokenInvalid
from domain.identity import Principal, PrincipalKind

_ISSUER = "parley"
_ALGORITHM = "HS256"
_LEEWAY = 10
"""Seconds by which clocks may differ."""


class JwtTokens:
    """See application.ports.runtime.Tokens.

    Tokens that Parley issues (visitors, and users by the CLI) carry `iss: parley` and are signed
    with its own secret. All others are the host product's, signed with `user_secret` (Parley's
    own where none is set), and speak for users only: `sub`, `exp`, and optionally `roles`.
    """

    def __init__(self, secret: str, user_secret: str | None, now: Now) -> None:
        self._secret = secret
        self._user_secret = user_secret or secret
        self._now = now
        # A client sends the same token again and again; what it proves does not change, only the time does.
        self._read = lru_cache(maxsize=4096)(self._verified)

    def issue(self, principal: Principal, lifetime: timedelta) -> tuple[str, datetime]:
        expires_at = self._now().replace(microsecond=0) + lifetime
        claims = {
            "iss": _ISSUER,
            "sub": principal.id,
            "kind": principal.kind.value,
            "roles": sorted(principal.roles),
            "iat": self._now(),
            "exp": expires_at,
        }
        return pyjwt.encode(claims, self._secret, _ALGORITHM), expires_at

    def verify(self, token: str) -> Principal:
        principal, expires_at = self._read(token)
        if self._now().timestamp() >= expires_at + _LEEWAY:
            raise TokenExpired("The token has expired. Get a new one.")
        return principal

    def _verified(self, token: str) -> tuple[Principal, float]:
        """Whom a token speaks for and when it expires (seconds since 1970), its signature checked."""
        try:
            ours = pyjwt.decode(token, options={"verify_signature": False}).get("iss") == _ISSUER
            claims = pyjwt.decode(
                token,
                self._secret if ours else self._user_secret,
                algorithms=[_ALGORITHM],
                leeway=_LEEWAY,
                options={"require": ["exp", "sub"], "verify_aud": False, "verify_exp": False},
            )
        except pyjwt.MissingRequiredClaimError as missing:
            raise TokenInvalid(f"The token lacks the claim {missing.claim!r}.") from None
        except pyjwt.InvalidTokenError:
            raise TokenInvalid("The token is malformed, or not signed by someone Parley trusts.") from None
        return _principal(claims, ours=ours), _expiry(claims)


def _principal(claims: dict[str, Any], *, ours: bool) -> Principal:
    subject, roles = claims["sub"], claims.get("roles", [])
    if not isinstance(subject, str) or not 1 <= len(subject) <= 200 or not subject.isprintable():
        raise TokenInvalid("The token's 'sub' must be a string of 1 to 200 printable characters.")
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise TokenInvalid("The token's 'roles' must be a list of strings.")
    if ours and claims.get("kind") not in set(PrincipalKind):
        raise TokenInvalid("The token's 'kind' must be 'user' or 'visitor'.")
    kind = PrincipalKind(claims["kind"]) if ours else PrincipalKind.USER
    return Principal(kind, subject, frozenset(roles))


def _expiry(claims: dict[str, Any]) -> float:
    expires_at = claims["exp"]
    if isinstance(expires_at, bool) or not isinstance(expires_at, (int, float)) or not math.isfinite(expires_at):
        raise TokenInvalid("The token's 'exp' must be a time, in seconds since 1970.")
    return float(expires_at)
