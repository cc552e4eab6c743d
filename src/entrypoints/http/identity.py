"""`/login`, `/logout`, `/me`: a user's token as a cookie, and who is asking."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_smorest import Blueprint
from marshmallow import Schema, fields

from application.ports.runtime import VerifiedToken
from domain.errors import Unauthenticated
from domain.identity import PrincipalKind
from entrypoints.http import auth
from entrypoints.http.answers import data
from entrypoints.http.refusals import refuses
from entrypoints.http.schemas import choice_field, enveloped


class PrincipalOut(Schema):
    """Who is asking, and until when their token is good."""

    kind = choice_field(PrincipalKind, required=True)
    id = fields.String(required=True)
    roles = fields.List(fields.String(), required=True)
    expires_at = fields.DateTime(required=True)


def blueprint() -> Blueprint:
    """The routes of signing in and out."""
    routes = Blueprint("identity", __name__, url_prefix="", description="Who is asking.")

    @routes.post("/login")
    @refuses("forbidden", "validation_failed")
    @routes.doc(security=[{"bearer": []}])
    @routes.response(200, enveloped(PrincipalOut), headers=auth.SETS_COOKIE)
    def login() -> Response:
        """Keep the bearer token in a cookie that scripts cannot read, until the token ends."""
        auth.refuse_other_sites()  # They must not make somebody's browser act as somebody else.
        token = auth.bearer()
        if token is None:
            raise Unauthenticated("Send the token to keep as 'Authorization: Bearer <token>'.")
        return auth.remember(data(_asking()), token, VerifiedToken(auth.principal(), auth.expires_at()))

    @routes.post("/logout")
    @refuses("forbidden")
    @routes.response(204, headers=auth.SETS_COOKIE)
    def logout() -> Response:
        """Remove the user's cookie and the visitor's; the tokens in them stay good until they end."""
        auth.refuse_other_sites()
        return auth.forget(Response(status=204), *PrincipalKind)

    @routes.get("/me")
    @routes.doc(operationId="who_am_i")
    @routes.response(200, enveloped(PrincipalOut))
    def me() -> Response:
        """Who is asking."""
        return data(_asking())

    return routes


def _asking() -> dict[str, Any]:
    known = auth.principal()
    return {"kind": known.kind, "id": known.id, "roles": sorted(known.roles), "expires_at": auth.expires_at()}
