"""What the settings are, and where each comes from, without what is secret."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

_SECRET = re.compile(r"_(SECRET|API_KEY|TOKEN|PASSWORD)(?=_|$)(?!_FILE$)")
"""As whole words: a number of TOKENS is none."""

_PASSWORD = re.compile(r"(?<=://)([^/:@]*):.*@")
"""In a URL, up to its last @: one that was not encoded may hold others."""

_IN_A_QUERY = re.compile(r"(?<=password=)[^&]*", re.IGNORECASE)

_GROUPS = {"limits": "LIMIT", "rates": "RATE", "cache_lifetimes": "CACHE"}
"""How the variables of some settings begin that are several; others begin with their name."""


def effective() -> list[dict[str, Any]]:
    """`{name, value, from}` of every setting, in the order of the class; raises SettingError for a wrong one."""
    from entrypoints.settings import Settings

    settings = Settings.from_environment(create=False)
    return [
        {"name": name, "value": _shown(name, value), "from": _origin(name, value)} for name, value in _named(settings)
    ]


def is_secret(name: str) -> bool:
    """Whether nobody is shown what a setting is; a file's path is none."""
    return _SECRET.search(name) is not None


def _named(settings: Any) -> Iterator[tuple[str, object]]:
    for field in fields(settings):
        value = getattr(settings, field.name)
        own = field.name.upper()
        if is_dataclass(value):
            for one in fields(value):
                yield f"PARLEY_{_GROUPS.get(field.name, own)}_{one.name.upper()}", getattr(value, one.name)
        else:
            yield own if own.startswith("OPENAI_") else f"PARLEY_{own}", value


def _shown(name: str, value: object) -> str | None:
    if value is None or value == () or value == "" or value == frozenset():
        return None
    if is_secret(name):
        return "(hidden)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, frozenset | tuple | list):
        return ", ".join(sorted(map(str, value)))
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return _IN_A_QUERY.sub("(hidden)", _PASSWORD.sub(r"\1:(hidden)@", text))


def _origin(name: str, value: object) -> str:
    if os.environ.get(name):
        return "environment"
    return "file" if name == "PARLEY_SECRET_KEY" and value else "default"
