"""JSON Schema, by the library `jsonschema`, which takes a while to import and so is imported on first use."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from application.ports.tools import CheckArguments

_TOLD = 5
_PROBLEM_CHARACTERS = 200


def compile_schema(schema: Mapping[str, object]) -> CheckArguments:
    """See application.ports.tools.CompileSchema. What a schema refers to must stand in the schema itself."""
    from jsonschema import Draft202012Validator, SchemaError, validators
    from referencing import Registry

    try:
        plain: dict[str, Any] = json.loads(json.dumps(schema, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as misfit:
        raise ValueError(f"is no JSON: {misfit}") from None
    if plain.get("type") != "object":
        raise ValueError('must have the type "object"')
    kind = validators.validator_for(plain, default=Draft202012Validator)
    try:
        kind.check_schema(plain, format_checker=kind.FORMAT_CHECKER)
    except SchemaError as wrong:
        raise ValueError(f"{_path(wrong.absolute_path) or 'the schema'}: {_brief(wrong.message)}") from None
    _require_references(plain)
    # An empty registry, for otherwise a reference could be fetched from the network.
    validator = kind(plain, registry=Registry())

    def check(arguments: Mapping[str, object]) -> Mapping[str, str]:
        problems: dict[str, str] = {}
        for error in islice(validator.iter_errors(arguments), _TOLD):
            problems.update(_problems(error))
        return problems

    return check


def _problems(error: Any) -> Iterator[tuple[str, str]]:
    if error.validator == "required":
        for name in error.validator_value:
            if name not in error.instance:
                yield _path([*error.absolute_path, name]), "is required"
    else:
        yield _path(error.absolute_path) or "arguments", _brief(error.message)


def _path(steps: Iterable[str | int]) -> str:
    """`a.b[0]`"""
    path = ""
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    return path.removeprefix(".")[:_PROBLEM_CHARACTERS]


def _brief(message: str) -> str:
    """A message without the end of the value that it shows, if that is long."""
    if len(message) <= _PROBLEM_CHARACTERS:
        return message
    half = _PROBLEM_CHARACTERS // 2
    return f"{message[:half]} … {message[-half:]}"


def _require_references(schema: dict[str, Any]) -> None:
    from referencing import Registry, Resource
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    resource: Resource[Any] = Resource.from_contents(schema, default_specification=DRAFT202012)
    resolver = Registry().with_resource("", resource).resolver()
    for reference in _references(schema):
        try:
            if not reference.startswith("#"):
                raise ValueError(f"$ref: {_brief(reference)} must begin with #")
            resolver.lookup(reference)
        except Unresolvable:
            raise ValueError(f"$ref: there is no {_brief(reference)} in the schema") from None


def _references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)
