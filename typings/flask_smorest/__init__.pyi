"""The part of flask-smorest that Parley uses, typed (the library has no types of its own)."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import flask
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema
from webargs.flaskparser import FlaskParser
from werkzeug.routing import BaseConverter

_View = TypeVar("_View", bound=Callable[..., Any])

class Blueprint(flask.Blueprint):
    ARGUMENTS_PARSER: ClassVar[FlaskParser]
    DEFAULT_LOCATION_CONTENT_TYPE_MAPPING: ClassVar[dict[str, str]]
    description: str
    def __init__(self, name: str, import_name: str, *, url_prefix: str = ..., description: str = ...) -> None: ...
    def arguments(self, schema: Schema, *, location: str = "json") -> Callable[[_View], _View]: ...
    def doc(self, **operation: object) -> Callable[[_View], _View]: ...
    def response(
        self,
        status_code: int,
        schema: Schema | Mapping[str, object] | None = None,
        *,
        content_type: str = ...,
        description: str = ...,
        headers: Mapping[str, object] = ...,
    ) -> Callable[[_View], _View]: ...
    def alt_response(
        self,
        status_code: int,
        *,
        schema: Schema | Mapping[str, object] | None = None,
        content_type: str = ...,
        description: str = ...,
        example: object = ...,
        headers: Mapping[str, object] = ...,
    ) -> Callable[[_View], _View]: ...

class Api:
    ERROR_SCHEMA: ClassVar[type[Schema]]
    DEFAULT_ERROR_RESPONSE_NAME: ClassVar[str | None]
    spec: APISpec
    ma_plugin: MarshmallowPlugin
    def __init__(self, app: flask.Flask, *, spec_kwargs: Mapping[str, object] = ...) -> None: ...
    def register_blueprint(self, blueprint: Blueprint, *, url_prefix: str) -> None: ...
    def register_converter(
        self, converter: type[BaseConverter], describe: Callable[[BaseConverter], Mapping[str, str]]
    ) -> None: ...
