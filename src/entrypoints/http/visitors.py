"""`/visitors`: become somebody without signing in."""

from __future__ import annotations

from flask import Response
from flask_smorest import Blueprint
from marshmallow import Schema, fields

from application.facade import Application
from domain.errors import Unauthenticated
from domain.identity import Principal
from entrypoints.http import auth
from entrypoints.http.answers import data
from entrypoints.http.schemas import enveloped
from entrypoints.settings import Settings


class VisitorOut(Schema):
    """A visitor and the token that speaks for them."""

    id = fields.String(required=True)
    kind = fields.String(required=True)
    token = fields.String(required=True)
    expires_at = fields.DateTime(required=True)


def blueprint(app: Application, settings: Settings) -> Blueprint:
    """The routes of visitors, over `app`."""
    routes = Blueprint("visitors", __name__, url_prefix="/visitors", description="Anonymous principals.")

    @routes.post("")
    @routes.response(201, enveloped(VisitorOut))
    @routes.alt_response(200, schema=enveloped(VisitorOut), description="Known already: a fresh token.")
    def welcome() -> Response:
        """Become a visitor; the token comes in the body and in a cookie that scripts cannot read."""
        auth.refuse_other_sites()  # They must not replace the visitor that somebody's browser is here.
        welcome = app.welcome_visitor(_known(app))
        body = {
            "id": welcome.visitor.id,
            "kind": welcome.visitor.kind,
            "token": welcome.token,
            "expires_at": welcome.expires_at,
        }
        lifetime = int(settings.visitor_lifetime.total_seconds())
        answer = data(body, 201 if welcome.is_new else 200)
        return auth.remember(answer, welcome.token, lifetime, secure=settings.cookie_secure)

    return routes


def _known(app: Application) -> Principal | None:
    try:
        return auth.identify(app)
    except Unauthenticated:
        return None  # A token that is no longer good is what one comes here to replace.
