"""`/visitors`: become somebody without signing in."""

from __future__ import annotations

from typing import Any

from flask import Response, after_this_request, request
from flask_smorest import Blueprint
from marshmallow import Schema, fields

from application.facade import Application
from application.ports.persistence import Document
from application.ports.runtime import VerifiedToken
from application.visitors.commands import ClaimVisitor, Welcome
from domain.errors import Invalid
from domain.identity import PrincipalKind
from domain.rate_limits import Action
from entrypoints.http import auth
from entrypoints.http.answers import data
from entrypoints.http.rates import spending
from entrypoints.http.refusals import refuses
from entrypoints.http.schemas import Request, choice_field, count_field, enveloped


class VisitorOut(Schema):
    """A visitor and the token that speaks for them."""

    id = fields.String(required=True)
    kind = choice_field(PrincipalKind, required=True)
    token = fields.String(required=True, metadata={"description": "For `Authorization: Bearer …`."})
    expires_at = fields.DateTime(required=True)


class ClaimBody(Request):
    """Which visitor one was."""

    token = fields.String(load_default=None, allow_none=True)


class ClaimedOut(Schema):
    """How much has changed hands; what was deleted, and can be restored, comes along uncounted."""

    rooms = count_field()
    conversations = count_field()


def blueprint(app: Application) -> Blueprint:
    """The routes of visitors, over `app`."""
    routes = Blueprint("visitors", __name__, url_prefix="/visitors", description="Anonymous principals.")

    @routes.post("")
    @refuses("forbidden", "rate_limited", "keys_unavailable")
    @routes.doc(operationId="welcome_visitor")
    @routes.response(201, enveloped(VisitorOut), headers=auth.SETS_COOKIE)
    @routes.alt_response(
        200, schema=enveloped(VisitorOut), headers=auth.SETS_COOKIE, description="Known already: a fresh token."
    )
    def welcome() -> Response:
        """Become a visitor; the token comes in the body and in a cookie that scripts cannot read."""
        auth.refuse_other_sites()  # They must not replace the visitor that somebody's browser is here.
        known = auth.known_visitor(app)
        welcome = app.visitors.welcome(known) if known is not None else welcomed(app)
        return remembered(data(shown(welcome), 201 if welcome.is_new else 200), welcome)

    @routes.post("/claim")
    @refuses("room_limit_reached")
    @routes.doc(operationId="claim_visitor")
    @routes.arguments(ClaimBody())
    @routes.response(200, enveloped(ClaimedOut), headers=auth.SETS_COOKIE)
    def claim(body: dict[str, Any]) -> Response:
        """Take over, as a signed-in user, all that the visitor has whom one was before.

        The visitor is told by its `token`, or by its cookie, which is removed.
        """
        auth.refuse_other_sites()
        by_cookie = auth.known_visitor(app)
        visitor = app.tokens.verify(body["token"]).principal if body["token"] is not None else by_cookie
        if visitor is None:
            raise Invalid({"token": "Send the visitor's token, or come with its cookie."})
        claimed = app.visitors.claim(ClaimVisitor(principal=auth.principal(), visitor=visitor))
        answer = data({"rooms": claimed.rooms, "conversations": claimed.conversations})
        return auth.forget(answer, PrincipalKind.VISITOR) if visitor == by_cookie else answer

    return routes


def welcomed(app: Application) -> Welcome:
    """A new visitor; they are counted by the address that they come from."""
    with spending(app, Action.WELCOME_VISITOR, address=request.remote_addr or "unknown"):
        return app.visitors.welcome()


def introduced(app: Application) -> Welcome | None:
    """Make whoever is not known a visitor, whom a cookie remembers; None for those who are known.

    Raises Forbidden for other sites' pages, or what counts visitors.
    """
    if auth.recognise(app):
        return None
    auth.refuse_other_sites()
    welcome = welcomed(app)
    auth.become(VerifiedToken(welcome.visitor, welcome.expires_at))
    after_this_request(lambda answer: remembered(answer, welcome))
    return welcome


def shown(welcome: Welcome) -> Document:
    """A visitor with its token."""
    return {
        "id": welcome.visitor.id,
        "kind": welcome.visitor.kind,
        "token": welcome.token,
        "expires_at": welcome.expires_at,
    }


def remembered(answer: Response, welcome: Welcome) -> Response:
    """The answer with the visitor's cookie."""
    return auth.remember(answer, welcome.token, VerifiedToken(welcome.visitor, welcome.expires_at))
