"""The Flask application: every blueprint over one Application."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar
from uuid import UUID

from flask import Blueprint, Flask, Request, Response, request
from flask_smorest import Api
from flask_smorest import Blueprint as ApiBlueprint
from marshmallow import Schema
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import BadRequest, UnsupportedMediaType
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter

from application.facade import Application
from application.monitoring import Monitor
from application.ports.runtime import NewId
from domain.errors import Invalid
from entrypoints.http import (
    ai_sdk,
    answers,
    auth,
    caches,
    chat,
    conversations,
    cors,
    documents,
    exports,
    health,
    identity,
    job_analyses,
    knowledge,
    messages,
    metrics,
    observing,
    once,
    openai,
    projects,
    rates,
    reference,
    replies,
    rooms,
    search,
    sessions,
    statistics,
    uploads,
    visitors,
)
from entrypoints.http.schemas import ErrorEnvelope
from entrypoints.http.specification import Specification, plugin
from entrypoints.settings import Settings
from entrypoints.websocket import route, sockets
from entrypoints.websocket.chat import ChatSockets

_WEB = Path(__file__).resolve().parents[1] / "web"

_SERVERS = frozenset({"mongo", "read models", "redis", "workers", "rate limits", "cache"})
"""The parts whose state `/readyz` tells; a model is asked by nobody but those who want an answer."""

_BODY_LIMIT = 1024 * 1024

_PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
)


def create_app(
    application: Application,
    settings: Settings,
    new_id: NewId,
    essential: health.Pings,
    open_sockets: sockets.Sockets,
    chats: ChatSockets,
    page: metrics.Page,
) -> Flask:
    """The HTTP entrypoint of `application`; without its `essential` parts it is alive, but not ready."""
    app = Flask(__name__, static_folder=_WEB / "static", static_url_path="/static/web")
    app.config.update(
        MAX_CONTENT_LENGTH=_BODY_LIMIT,
        API_TITLE="Parley",
        API_VERSION="v1",
        OPENAPI_VERSION="3.1.0",
        API_SPEC_OPTIONS=auth.DOCUMENTED,
        PROXIES=settings.proxies,
    )
    if settings.proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign] # as Flask says to
            app.wsgi_app, x_for=settings.proxies, x_proto=settings.proxies, x_host=settings.proxies
        )
    app.url_map.strict_slashes = False
    app.url_map.converters["id"] = _IdConverter
    Api.ERROR_SCHEMA = ErrorEnvelope
    Api.DEFAULT_ERROR_RESPONSE_NAME = None  # The specification names every one.
    api = Api(app, spec_kwargs={"marshmallow_plugin": plugin()})
    answers.install(app, new_id, openai.PROBLEMS)  # After the Api, whose error handlers give way to ours.
    observing.install(app, application.telemetry)
    cors.install(app, settings.allowed_origins)
    auth.install(app, application, settings)
    rates.install(app)
    once.install(app)
    sockets.install(app)
    uploads.install(app, settings.limits.document_bytes)
    _check_requests(app)
    api.register_converter(_IdConverter, lambda converter: {"type": "string", "format": "uuid"})
    for blueprint in (
        visitors.blueprint(application),
        identity.blueprint(),
        rooms.blueprint(application),
        sessions.blueprint(application),
        chat.blueprint(application, settings.limits, settings.reply_timeout),
        conversations.blueprint(application),
        exports.blueprint(application),
        projects.blueprint(application),
        documents.blueprint(application),
        messages.blueprint(application),
        replies.blueprint(application),
        search.search(application),
        search.agents(application),
        statistics.blueprint(application),
        job_analyses.blueprint(application),
        knowledge.blueprint(application),
        caches.blueprint(application),
    ):
        api.register_blueprint(blueprint, url_prefix=f"/api/v1{blueprint.url_prefix}")
    for blueprint in openai.blueprints(application):
        api.register_blueprint(blueprint, url_prefix=f"{openai.PREFIX}{blueprint.url_prefix}")
    api.register_blueprint(ai_sdk.blueprint(application, settings.limits), url_prefix="/api/chat")
    others = {part: ping for part, ping in application.parts.items() if part not in essential and part in _SERVERS}
    monitor = Monitor({**application.parts, **essential}, application.backlogs)
    app.register_blueprint(health.blueprint(application, essential, others, monitor))
    app.register_blueprint(metrics.blueprint(page, monitor.samples, settings.metrics_token))
    app.register_blueprint(route.blueprint(application, open_sockets, chats))
    app.register_blueprint(reference.blueprint(Specification(app, api)))
    app.register_blueprint(_page())
    return app


class _IdConverter(BaseConverter):
    """An id in a path. What is no UUID is refused by name in `_check_requests`, not passed over as another path.

    `stats` is another path: methods that it does not take are no methods of something called so.
    """

    regex = "(?!stats$)[^/]+"


class _Parser(FlaskParser):
    """Refuses unknown keys wherever they are, which webargs passes over in queries; and knows uploads."""

    __location_map__ = FlaskParser.__location_map__ | {uploads.LOCATION: "load_upload"}

    def load_upload(self, req: Request, schema: Schema) -> object:
        """A body that is a form or JSON."""
        return self.load_json(req, schema) if req.is_json else uploads.form(req)

    def load_json(self, req: Request, schema: Schema) -> object:
        """The body. JSON that is too deep, or has numbers too long, for Python is as malformed as any other."""
        try:
            return super().load_json(req, schema)
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"The body is not JSON that can be read: {error}") from error

    DEFAULT_UNKNOWN_BY_LOCATION: ClassVar[dict[str, str | None]] = {}  # type: ignore[misc] # as webargs says to


ApiBlueprint.ARGUMENTS_PARSER = _Parser()


def _check_requests(app: Flask) -> None:
    @app.before_request
    def check_ids() -> None:
        for name, value in (request.view_args or {}).items():
            if name.endswith("_id"):
                try:
                    request.view_args[name] = UUID(value)  # type: ignore[index] # there are some, as they are walked
                except ValueError:
                    raise Invalid({name: "Must be a UUID."}) from None

    @app.before_request
    def check_content_type() -> None:
        if request.endpoint is None:
            return  # There is nothing that would take it.
        has_body = request.content_length or request.headers.get("Transfer-Encoding")
        if request.method not in ("POST", "PATCH", "PUT") or not has_body or request.is_json:
            return
        if request.mimetype not in (allowed := uploads.content_types()):
            raise UnsupportedMediaType(f"Send the body as {' or as '.join(allowed)}.")


def _page() -> Blueprint:
    routes = Blueprint("page", __name__)

    @routes.get("/")
    def index() -> Response:
        """The chat page."""
        response = Response((_WEB / "index.html").read_bytes(), mimetype="text/html")
        response.headers["Content-Security-Policy"] = _PAGE_POLICY
        response.headers["Cache-Control"] = "no-cache"
        return response

    return routes
