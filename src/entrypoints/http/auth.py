"""Who is asking: a bearer token, a user's cookie, or a visitor's. Every route needs one unless it is listed here."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from flask import Flask, Response, current_app, g, request

from application.facade import Application
from application.ports.runtime import VerifiedToken
from application.telemetry import bind
from domain.errors import Forbidden, Invalid, TokenExpired, TokenInvalid, Unauthenticated
from domain.identity import Principal, PrincipalKind
from entrypoints.settings import Settings

COOKIES = {PrincipalKind.USER: "parley_user", PrincipalKind.VISITOR: "parley_visitor"}
"""The cookie of each kind of principal. Whoever signs in stays a visitor beside, for when they sign out."""

SUBPROTOCOL = "parley"
"""What a WebSocket speaks. It is offered beside `bearer.<token>`, and is the only one to be answered with."""

PUBLIC = frozenset(
    {
        "visitors.welcome",
        "chat.chat",  # which make a visitor of whoever is not known
        "chat.chat_with_timeout",
        "ai_sdk.send_chat",  # just so
        "ai_sdk.read_chat",  # which show those nothing, who have no chats yet
        "ai_sdk.resume_chat",
        "identity.logout",
        "agents.list_agents",
        "health.healthz",
        "health.readyz",
        "health.health",
        "metrics.metrics",
        "page.index",
        "static",
        "reference.openapi_json",
        "reference.docs",
        "reference.redoc",
    }
)
"""The endpoints that nobody needs to be known for."""

_ONE_OF: list[dict[str, list[str]]] = [{"bearer": []}, {"userCookie": []}, {"visitorCookie": []}]

DOCUMENTED = {
    "security": _ONE_OF,
    "components": {
        "securitySchemes": {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "A user's token, of the host product's or of `parley token issue`, or a visitor's.",
            },
            "userCookie": {
                "type": "apiKey",
                "in": "cookie",
                "name": COOKIES[PrincipalKind.USER],
                "description": "Set by `POST /api/v1/login`.",
            },
            "visitorCookie": {
                "type": "apiKey",
                "in": "cookie",
                "name": COOKIES[PrincipalKind.VISITOR],
                "description": "Set by `POST /api/v1/visitors`.",
            },
        }
    },
}
"""For the specification; what is public needs none of them."""

OPTIONAL = [{}, *_ONE_OF]
"""The same for what takes a token, and needs none."""

SETS_COOKIE = {
    "Set-Cookie": {
        "description": "`parley_user` or `parley_visitor`: HttpOnly, SameSite=Lax, Secure over HTTPS.",
        "schema": {"type": "string"},
    }
}
"""The header of what sets or removes a cookie."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

_LONGEST_COOKIE = 4000
"""Characters of a token in a cookie; browsers drop cookies of more than 4096 with name and attributes."""


def install(app: Flask, application: Application, settings: Settings) -> None:
    """Authenticate every request to a route that is not public."""
    app.config["ALLOWED_ORIGINS"] = settings.allowed_origins
    app.config["COOKIE_SECURE"] = settings.cookie_secure

    @app.before_request
    def authenticate() -> None:
        if request.endpoint is None or request.endpoint in PUBLIC:
            return
        if not recognise(application):
            raise Unauthenticated("Send a bearer token, or get a visitor's cookie from POST /api/v1/visitors.")


def recognise(application: Application) -> bool:
    """Note who is asking, if anybody is known to be; raises what `verified` does."""
    known = verified(application)
    if known is not None:
        become(known)
    return known is not None


def become(known: VerifiedToken) -> None:
    """Note that it is they who are asking."""
    g.principal, g.expires_at = known.principal, known.expires_at
    bind(principal=known.principal.key)


def principal() -> Principal:
    """Who is asking."""
    asking: Principal = g.principal
    return asking


def expires_at() -> datetime:
    """When the token of whoever is asking ends."""
    end: datetime = g.expires_at
    return end


def identify(application: Application) -> Principal | None:
    """Who the request's token speaks for; see `verified`."""
    known = verified(application)
    return known.principal if known is not None else None


def verified(application: Application) -> VerifiedToken | None:
    """Who the request's token speaks for, and until when; None without a token.

    A bearer token is taken before the cookies, a user's cookie before a visitor's, and what is no good is
    refused, never passed over for the next. Raises TokenInvalid, TokenExpired, KeysUnavailable or Forbidden.

    A cookie comes along with whatever another site makes a browser send, so for unsafe methods, and for
    WebSockets, the request must come from an allowed page (see `refuse_other_sites`).
    """
    token = bearer()
    if token is not None:
        return application.tokens.verify(token)
    for kind in PrincipalKind.USER, PrincipalKind.VISITOR:
        if (cookie := request.cookies.get(COOKIES[kind])) is not None:
            if request.method not in _SAFE or _is_upgrade():
                refuse_other_sites()
            return _verified_cookie(application, COOKIES[kind], cookie)
    return None


def bearer() -> str | None:
    """The token in the `Authorization` header, or in the subprotocols that a WebSocket offers.

    A browser's WebSocket cannot send headers, but can offer `parley, bearer.<token>`. Raises TokenInvalid.
    """
    header = request.headers.get("Authorization")
    if header is not None:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise TokenInvalid("The Authorization header must be 'Bearer <token>'.")
        return token.strip()
    if _is_upgrade():
        for offered in request.headers.get("Sec-WebSocket-Protocol", "").split(","):
            kind, dot, token = offered.strip().partition(".")
            if dot and kind.lower() == "bearer":
                return token
    return None


def subprotocol() -> str | None:
    """What a WebSocket is answered to speak, if it offered that; never the token that it offered beside it."""
    offered = request.headers.get("Sec-WebSocket-Protocol", "").split(",")
    return SUBPROTOCOL if SUBPROTOCOL in (name.strip() for name in offered) else None


def known_visitor(application: Application) -> Principal | None:
    """The visitor that the caller is already, whoever is signed in; None if there is none any more."""
    for told in bearer, partial(request.cookies.get, COOKIES[PrincipalKind.VISITOR]):
        with suppress(Unauthenticated):  # What is no longer good is what one comes to POST /visitors to replace.
            token = told()
            known = application.tokens.verify(token).principal if token is not None else None
            if known is not None and known.kind is PrincipalKind.VISITOR:
                return known
    return None


def refuse_other_sites() -> None:
    """Raise Forbidden when a browser says that another site's page makes this request.

    Allowed are the pages of this very host and those of PARLEY_ALLOWED_ORIGINS. Browsers say where a
    request comes from in `Origin` (RFC 6454), with all unsafe methods and every WebSocket; where there is
    none, `Sec-Fetch-Site` may tell. Who sends neither is no browser, and has no other site's pages.

    To be called before whatever a cookie may be used for, or that sets one; and before a WebSocket is
    accepted, whoever asks for it: no browser's same-origin policy protects those.
    """
    origin = request.headers.get("Origin")
    if origin is not None:
        # A proxy that terminates TLS may not say so, but on this host pages over TLS are always ours.
        allowed = origin in (f"{request.scheme}://{request.host}", f"https://{request.host}")
        allowed = allowed or origin in current_app.config["ALLOWED_ORIGINS"]
    else:
        allowed = request.headers.get("Sec-Fetch-Site", "none") in ("same-origin", "none")
    if not allowed:
        raise Forbidden("This request comes from another site.")


def remember(response: Response, token: str, known: VerifiedToken) -> Response:
    """Set the cookie of the token's kind, which ends with the token. Raises Invalid if browsers would drop it."""
    if len(token) > _LONGEST_COOKIE:
        raise Invalid({"Authorization": f"The token is longer than a cookie can be ({_LONGEST_COOKIE} characters)."})
    seconds = int((known.expires_at - datetime.now(UTC)).total_seconds())
    _set_cookie(response, known.principal.kind, token, max(0, seconds))
    return response


def forget(response: Response, *kinds: PrincipalKind) -> Response:
    """Remove the cookies of these kinds."""
    for kind in kinds:
        _set_cookie(response, kind, "", 0)
    return response


def _set_cookie(response: Response, kind: PrincipalKind, value: str, seconds: int) -> None:
    secure = current_app.config["COOKIE_SECURE"]
    response.set_cookie(
        COOKIES[kind],
        value,
        max_age=seconds,
        httponly=True,
        samesite="Lax",
        secure=request.is_secure if secure is None else secure,
        path="/",
    )


def _verified_cookie(application: Application, name: str, token: str) -> VerifiedToken:
    try:
        return application.tokens.verify(token)
    except (TokenInvalid, TokenExpired) as stale:
        remedy = "Sign in again, or sign out with POST /api/v1/logout."
        if name == COOKIES[PrincipalKind.VISITOR]:
            remedy = "Get a new one with POST /api/v1/visitors."
        raise type(stale)(f"The cookie {name} is stale. {stale.message} {remedy}", cookie=name) from None


def _is_upgrade() -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"
