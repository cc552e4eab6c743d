"""Who is asking: a bearer token, or the visitor's cookie. Every route needs one unless it is listed here."""

from __future__ import annotations

from flask import Flask, Response, g, request

from application.facade import Application
from domain.errors import Forbidden, TokenInvalid, Unauthenticated
from domain.identity import Principal

COOKIE = "parley_visitor"

PUBLIC = frozenset(
    {
        "visitors.welcome",
        "agents.list_agents",
        "health.healthz",
        "health.readyz",
        "page.index",
        "static",
        "api-docs.openapi_json",
    }
)
"""The endpoints that nobody needs to be known for."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def install(app: Flask, application: Application) -> None:
    """Authenticate every request to a route that is not public."""

    @app.before_request
    def authenticate() -> None:
        if request.endpoint is None or request.endpoint in PUBLIC:
            return
        known = identify(application)
        if known is None:
            raise Unauthenticated("Send a bearer token, or get a visitor's cookie from POST /api/v1/visitors.")
        g.principal = known


def principal() -> Principal:
    """Who is asking."""
    asking: Principal = g.principal
    return asking


def identify(application: Application) -> Principal | None:
    """Who the request's token speaks for; None without a token. Raises TokenInvalid, TokenExpired or Forbidden.

    A cookie comes along with whatever another site makes a browser send, so for unsafe methods
    the request must come from a page of this very origin.
    """
    header = request.headers.get("Authorization")
    if header is not None:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise TokenInvalid("The Authorization header must be 'Bearer <token>'.")
        return application.tokens.verify(token.strip())
    cookie = request.cookies.get(COOKIE)
    if cookie is None:
        return None
    if request.method not in _SAFE:
        refuse_other_sites()
    return application.tokens.verify(cookie)


def refuse_other_sites() -> None:
    """Raise Forbidden when a browser says that the request was made by another origin's page."""
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.host:
        raise Forbidden("This request comes from another site.")


def remember(response: Response, token: str, seconds: int, *, secure: bool) -> Response:
    """Set the visitor's cookie."""
    response.set_cookie(COOKIE, token, max_age=seconds, httponly=True, samesite="Lax", secure=secure, path="/")
    return response
