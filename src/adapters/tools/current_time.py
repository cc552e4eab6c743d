"""The tool that tells the time."""

from __future__ import annotations

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from application.ports.tools import Tool, ToolContext, ToolFailure


def _tell_time(context: ToolContext, arguments: Mapping[str, object]) -> object:
    name = str(arguments.get("timezone", "UTC"))
    try:
        local = context.now.astimezone(ZoneInfo(name))
    except (KeyError, ValueError, OSError):  # Unknown, no name at all, and the name of a folder of zones.
        raise ToolFailure(
            f"There is no time zone {name!r}. Name one of the IANA database, such as UTC, Europe/Berlin or Asia/Tokyo."
        ) from None
    return {"time": local.isoformat(timespec="seconds"), "weekday": f"{local:%A}", "timezone": name}


CURRENT_TIME = Tool(
    name="current_time",
    description="Tells the present date, time and day of the week, in a time zone or else in UTC.",
    parameters={
        "type": "object",
        "properties": {
            "timezone": {
                "type": "string",
                "minLength": 1,
                "maxLength": 64,
                "description": "A name of the IANA time zone database, such as Europe/Berlin. UTC if left out.",
            }
        },
        "additionalProperties": False,
    },
    run=_tell_time,
)
