"""Whose tokens count."""

from __future__ import annotations

from secrets import token_urlsafe

from adapters.jwt.jwks import JwksKeys
from adapters.jwt.keys import keys_in
from adapters.jwt.tokens import FixedKeys, HostProduct, JwtTokens, PublicKeys
from application.ports.runtime import Misconfigured, Now
from entrypoints.settings import SettingError, Settings


def tokens(settings: Settings, clock: Now) -> JwtTokens:
    host = HostProduct(
        secrets=[settings.jwt_secret, *settings.jwt_secret_fallbacks] if settings.jwt_secret else [],
        keys=_public_keys(settings),
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        roles_claim=settings.jwt_roles_claim,
    )
    # A command of an installation that has no secret yet gets one that no token was ever signed with.
    secrets = [settings.secret_key or token_urlsafe(48), *settings.secret_key_fallbacks]
    return JwtTokens(secrets, host, clock, settings.jwt_leeway)


def _public_keys(settings: Settings) -> PublicKeys | None:
    if settings.jwt_jwks_url is not None:
        return JwksKeys(settings.jwt_jwks_url)
    if settings.jwt_public_key_file is None:
        return None
    try:
        return FixedKeys(keys_in(settings.jwt_public_key_file))
    except Misconfigured as wrong:
        raise SettingError(f"PARLEY_JWT_PUBLIC_KEY_FILE: {wrong.message}") from None
