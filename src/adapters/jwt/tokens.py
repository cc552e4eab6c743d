"""Issue and verify HS256 tokens."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import jwt as pyjwt

from application.ports.runtime import Now
from domain.errors import TokenExpired, TokenInvalid
from domain.identity import Principal, PrincipalKind

_ISSUER = "parley"
_ALGORITHM = "HS256"


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
        try:
            ours = pyjwt.decode(token, options={"verify_signature": False}).get("iss") == _ISSUER
            claims = pyjwt.decode(
                token,
                self._secret if ours else self._user_secret,
                algorithms=[_ALGORITHM],
                leeway=10,
                options={"require": ["exp", "sub"], "verify_aud": False},
            )
        except pyjwt.ExpiredSignatureError:
            raise TokenExpired("The token has expired. Get a new one.") from None
        except pyjwt.MissingRequiredClaimError as missing:
            raise TokenInvalid(f"The token lacks the claim {missing.claim!r}.") from None
        except pyjwt.InvalidTokenError:
            raise TokenInvalid("The token is malformed, or not signed by someone Parley trusts.") from None
        return _principal(claims, ours=ours)


def _principal(claims: dict[str, Any], *, ours: bool) -> Principal:
    subject, roles = claims["sub"], claims.get("roles", [])
    if not isinstance(subject, str) or not 1 <= len(subject) <= 200:
        raise TokenInvalid("The token's 'sub' must be a string of 1 to 200 characters.")
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise TokenInvalid("The token's 'roles' must be a list of strings.")
    kind = PrincipalKind(claims["kind"]) if ours else PrincipalKind.USER
    return Principal(kind, subject, frozenset(roles))
