"""Tools of other packages, which name them in the entry point group `parley.tools`."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from application.ports.runtime import Misconfigured
from application.ports.tools import CompileSchema, Tool

GROUP = "parley.tools"

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_DESCRIPTION_CHARACTERS = 1024
_LONGEST = 300.0


def plugin_tools(taken: Collection[str], compile_schema: CompileSchema) -> list[Tool]:
    """The tools of all plugins; raises Misconfigured, naming entry point and package, when one cannot be used.

    Names that are `taken` are not theirs to have.
    """
    owners = dict.fromkeys(taken, "Parley")
    found = []
    for entry in sorted(entry_points(group=GROUP), key=_where):
        for tool in _tools(entry):
            if problem := _problem(tool, compile_schema):
                raise _unusable(entry, problem)
            if tool.name in owners:
                raise _unusable(entry, f"{tool.name} is the name of a tool of {owners[tool.name]} already.")
            owners[tool.name] = _where(entry)
            found.append(tool)
    return found


def _tools(entry: EntryPoint) -> Iterator[Tool]:
    try:
        made = entry.load()
        if callable(made):
            made = made()
        tools = [made] if isinstance(made, Tool) or not isinstance(made, Iterable) else list(made)
    except (Exception, SystemExit) as failure:
        raise _unusable(entry, f"it cannot be loaded: {type(failure).__name__}: {failure}.") from failure
    for tool in tools:
        if not isinstance(tool, Tool):
            raise _unusable(entry, f"{entry.value} must be a Tool or make one or several, not {type(tool).__name__}.")
        yield tool


def _problem(tool: Any, compile_schema: CompileSchema) -> str | None:
    """What is wrong with a tool, whose fields may be anything yet."""
    if not isinstance(tool.name, str) or not _NAME.fullmatch(tool.name):
        return f"{tool.name!r} is no name of a tool: 1 to 64 letters (a-z, A-Z), digits, hyphens and underscores."
    if not isinstance(tool.description, str) or not 1 <= len(tool.description.strip()) <= _DESCRIPTION_CHARACTERS:
        return f"the description of {tool.name} must be text of 1 to {_DESCRIPTION_CHARACTERS:,} characters."
    if not callable(tool.run):
        return f"what {tool.name} runs must be a function."
    if not _is_number(tool.timeout) or not 0 < tool.timeout <= _LONGEST:
        return f"the timeout of {tool.name} must be above 0 and at most {_LONGEST:g} seconds."
    if not isinstance(tool.parameters, Mapping):
        return f"the parameters of {tool.name} must be a JSON Schema."
    try:
        compile_schema(tool.parameters)
    except ValueError as wrong:
        return f"the parameters of {tool.name} are no JSON Schema of an object: {wrong}."
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _where(entry: EntryPoint) -> str:
    package = entry.dist.name if entry.dist is not None else "unknown"
    return f"the plugin {entry.name!r} of the package {package}"


def _unusable(entry: EntryPoint, problem: str) -> Misconfigured:
    where = _where(entry)
    return Misconfigured(f"{where[0].upper()}{where[1:]}: {problem}")
