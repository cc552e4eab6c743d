"""`/cache`: what is cached, and away with it. For admins."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_smorest import Blueprint
from marshmallow import Schema, fields

from application.caching import Region
from application.facade import Application
from domain.errors import Forbidden
from entrypoints.http.answers import data
from entrypoints.http.auth import principal
from entrypoints.http.refusals import refuses
from entrypoints.http.schemas import Request, choice_field, count_field, enveloped


class RegionOut(Schema):
    """A region of the cache; what is not known while the cache is away is null."""

    entries = count_field(allow_none=True)
    hits = count_field(allow_none=True)
    misses = count_field(allow_none=True)
    hit_rate = fields.Float(required=True, allow_none=True, metadata={"description": "Null before the first look-up."})
    lifetime = fields.Float(required=True, metadata={"description": "Seconds; 0: it is not cached."})


class CacheOut(Schema):
    """What is cached."""

    regions = fields.Dict(keys=fields.String(), values=fields.Nested(RegionOut), required=True)
    bytes = count_field(allow_none=True)
    backend = fields.String(required=True)
    available = fields.Boolean(required=True)


class ClearBody(Request):
    """What to forget: of a region, or all; keys that match the pattern (`*` any text, `?` one character), or all."""

    region = choice_field(Region, load_default=None, allow_none=True)
    pattern = fields.String(
        load_default=None,
        allow_none=True,
        metadata={
            "minLength": 1,
            "maxLength": 200,
            "description": "Of printable characters: `*` any text, `?` any one.",
        },
    )


class ForgottenOut(Schema):
    """How many entries were forgotten, and of what."""

    cleared = count_field()
    region = choice_field(Region, required=True, allow_none=True)
    pattern = fields.String(required=True, allow_none=True)


def blueprint(app: Application) -> Blueprint:
    """The routes of the cache, over `app`."""
    routes = Blueprint("cache", __name__, url_prefix="/cache", description="What is cached; for admins.")

    @routes.get("/stats/")
    @refuses("forbidden")
    @routes.response(200, enveloped(CacheOut))
    def cache_stats() -> Response:
        """See what is cached, and how often it is found."""
        _require_admin()
        return data(app.caches.report())

    @routes.post("/clear/")
    @refuses("cache_unavailable")
    @routes.arguments(ClearBody())
    @routes.response(200, enveloped(ForgottenOut))
    def clear_cache(body: dict[str, Any]) -> Response:
        """Forget what is cached: everything, a region, or the keys that match a pattern."""
        _require_admin()
        return data({"cleared": app.caches.clear(body["region"], body["pattern"]), **body})

    return routes


def _require_admin() -> None:
    if not principal().is_admin:
        raise Forbidden("The cache is for admins.")
