"""`Idempotency-Key`: a request that creates takes effect once (IETF draft, The Idempotency-Key HTTP Header)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar
from uuid import uuid4

from flask import Flask, Response, g, request
from flask_smorest import Blueprint
from marshmallow import EXCLUDE, Schema, fields

from application.facade import Application
from application.ports.persistence import Document, Once
from domain.errors import Invalid
from domain.rate_limits import Action
from entrypoints.http.auth import principal
from entrypoints.http.rates import spending

_HEADER = "Idempotency-Key"

View = TypeVar("View", bound=Callable[..., Any])


class _Header(Schema):
    """The one header that is looked for."""

    class Meta:
        """marshmallow's options."""

        unknown = EXCLUDE

    key = fields.String(
        data_key=_HEADER,
        load_default=None,
        metadata={
            "minLength": 1,
            "maxLength": 255,
            "pattern": "^[!-~]([ -~]*[!-~])?$",
            "description": (
                "1 to 255 printable characters, one key for each thing that is wanted. A second request with the "
                "key is answered as the first one was (with the header `Idempotent-Replayed: true`), with 409 while "
                "that is at work, and with 422 when it wants something else. Keys are kept for 24 hours, unless "
                "PARLEY_IDEMPOTENCY_KEEP says otherwise."
            ),
        },
    )


def idempotent(routes: Blueprint) -> Callable[[View], View]:
    """Decorates a view that creates, right below its route: it takes an idempotency key, see `creating`."""

    def decorate(view: View) -> View:
        @wraps(view)
        def keyed(headers: dict[str, str | None], *args: Any, **options: Any) -> Any:
            g.idempotency_key = _key(headers["key"])
            return view(*args, **options)

        return routes.arguments(_Header(), location="headers")(keyed)  # type: ignore[return-value] # as wide as any

    return decorate


def install(app: Flask) -> None:
    """Say of an answer that it is an earlier one."""

    @app.after_request
    def tell(response: Response) -> Response:
        if g.get("replayed"):
            response.headers["Idempotent-Replayed"] = "true"
        return response


def creating(
    app: Application, act: Callable[[Once | None], Document], *counted: Action, unkeyed: Once | None = None
) -> Document:
    """What `act` answers; with an idempotency key, what the first request with that key was answered.

    `unkeyed` is what takes effect once of a request that has none. Only what is done is `counted` against the rates
    of the principal who asks.
    """

    def do() -> Document:
        with spending(app, *counted):
            return act(once)

    once = _once() or unkeyed
    answer, g.replayed = app.idempotency(once, do)
    return answer


def _key(header: str | None) -> str | None:
    if header is None:
        return None
    key = header.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':  # A string of RFC 8941; clients send it bare as well.
        key = key[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if not 1 <= len(key) <= 255 or not (key.isascii() and key.isprintable()):
        raise Invalid({_HEADER: "Must be 1 to 255 printable ASCII characters."})
    return key


def _once() -> Once | None:
    if g.idempotency_key is None:
        return None
    return Once(principal().key, g.idempotency_key, _fingerprint(), uuid4())


def _fingerprint() -> str:
    """Of all that is wanted, also where it is refused later: not every JSON is what Parley keeps."""
    body = request.get_json(silent=True) if request.is_json else _form()
    try:
        wanted = json.dumps([request.method, request.path, body], sort_keys=True)
    except RecursionError:
        raise Invalid({"body": "Must not be nested so deeply."}) from None
    return hashlib.sha256(wanted.encode()).hexdigest()


def _form() -> object:
    """A form's fields, and what its files are called and hold; None without a form."""
    files = []
    for field, file in request.files.items(multi=True):
        file.stream.seek(0)  # It was read before.
        digest = hashlib.file_digest(file.stream, "sha256")  # type: ignore[arg-type] # it has what that needs
        files.append((field, file.filename, digest.hexdigest()))
    members = sorted(request.form.items(multi=True))
    return [members, files] if members or files else None
