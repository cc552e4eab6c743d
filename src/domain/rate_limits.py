"""How often: rates, and which one holds for whom."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.errors import Limited
from domain.identity import PrincipalKind

_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_RATE = re.compile(r"([0-9]{1,7})/([0-9]{0,7})(second|minute|hour|day|s|m|h|d)")
_UNLIMITED = "none"

_MOST = 100_000
_LONGEST = 30 * 86400


class Action(StrEnum):
    """What is counted."""

    ASK = "ask"
    SOCKET_MESSAGE = "socket_message"
    OPEN_ROOM = "open_room"
    WELCOME_VISITOR = "welcome_visitor"
    ANALYSE_JOB = "analyse_job"
    UPLOAD = "upload"
    SEARCH_KNOWLEDGE = "search_knowledge"


_COUNTED = {
    Action.ASK: "questions",
    Action.SOCKET_MESSAGE: "messages",
    Action.OPEN_ROOM: "new rooms",
    Action.WELCOME_VISITOR: "new visitors",
    Action.ANALYSE_JOB: "job analyses",
    Action.UPLOAD: "uploads",
    Action.SEARCH_KNOWLEDGE: "searches in documents",
}


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `limit` (1 to 100,000) in any `window` of so many seconds (1 to 30 days); ValueError beyond that."""

    limit: int
    window: int

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= _MOST:
            raise ValueError(f"The number before the slash must be 1 to {_MOST:,}.")
        if not 1 <= self.window <= _LONGEST:
            raise ValueError("The time behind the slash must be 1 second to 30 days.")

    @classmethod
    def parse(cls, text: str) -> Rate | None:
        """Read `30/hour`, `10/minute`, `5/30s` or `100/7d`; None for `none`, which is no limit. Raises ValueError."""
        text = text.strip().lower()
        if text == _UNLIMITED:
            return None
        found = _RATE.fullmatch(text)
        if found is None:
            raise ValueError("Must be a number per time, such as 30/hour, 10/minute or 5/30s, or 'none'.")
        limit, times, unit = found.groups()
        seconds = next(seconds for name, seconds in _UNITS.items() if name.startswith(unit))
        return cls(int(limit), int(times or 1) * seconds)

    def __str__(self) -> str:
        times, unit = self._times
        return f"{self.limit}/{unit}" if times == 1 else f"{self.limit}/{times}{unit[0]}"

    def of(self, what: str) -> str:
        """In words: `30 questions per hour`."""
        times, unit = self._times
        return f"{self.limit:,} {what} per {unit}" if times == 1 else f"{self.limit:,} {what} per {times:,} {unit}s"

    @property
    def _times(self) -> tuple[int, str]:
        """The window in the largest unit that it is a multiple of."""
        return next((self.window // each, unit) for unit, each in reversed(_UNITS.items()) if self.window % each == 0)


@dataclass(frozen=True, slots=True)
class RateLimitPolicy:
    """The rates of an installation, None for no limit. Every one is a setting; these are the defaults.

    Sources: the portfolio seed (questions of an anonymous visitor), the WebSocket seed (messages), the
    chat-room seed (new rooms).
    """

    ask_visitor: Rate | None = Rate(30, 3600)
    ask_user: Rate | None = None
    socket_message: Rate | None = Rate(10, 60)
    rooms_visitor: Rate | None = Rate(10, 3600)
    rooms_user: Rate | None = None
    visitors: Rate | None = Rate(30, 3600)
    """New visitors from one address."""
    analyses_visitor: Rate | None = Rate(10, 3600)
    analyses_user: Rate | None = None
    uploads: Rate | None = None
    """Documents, and new contents of them, that one user has read in; visitors have none."""
    searches_visitor: Rate | None = Rate(60, 3600)
    searches_user: Rate | None = None

    def rate(self, action: Action, kind: PrincipalKind | None) -> Rate | None:
        """The rate of an action, for a principal of that kind or an address (None)."""
        is_user = kind is PrincipalKind.USER
        match action:
            case Action.ASK:
                return self.ask_user if is_user else self.ask_visitor
            case Action.SOCKET_MESSAGE:
                return self.socket_message
            case Action.OPEN_ROOM:
                return self.rooms_user if is_user else self.rooms_visitor
            case Action.WELCOME_VISITOR:
                return self.visitors
            case Action.ANALYSE_JOB:
                return self.analyses_user if is_user else self.analyses_visitor
            case Action.UPLOAD:
                return self.uploads
            case Action.SEARCH_KNOWLEDGE:
                return self.searches_user if is_user else self.searches_visitor


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a spend against a rate answered: whether there was room, how many are left, and when there are more.

    `resets_in` is the time in seconds until the oldest that counts leaves the window; where there was no
    room, until there is.
    """

    action: Action
    rate: Rate
    granted: bool
    remaining: int
    resets_in: float

    @property
    def resets_in_seconds(self) -> int:
        """The same as whole seconds, rounded up: who waits as long does not come too early."""
        return math.ceil(self.resets_in)


class RateExceeded(Limited):
    """An action came too often; `allowances` are those of all actions that were to be counted with it."""

    def __init__(self, allowances: Sequence[Allowance]) -> None:
        last = max((each for each in allowances if not each.granted), key=lambda each: each.resets_in)
        seconds = max(1, last.resets_in_seconds)
        super().__init__(
            "rate_limited",
            f"{last.rate.of(_COUNTED[last.action])} is the most.",
            retry_after=seconds,
            action=str(last.action),
            limit=last.rate.limit,
            window=last.rate.window,
        )
        self.allowances = tuple(allowances)


def subscriber(address: str) -> str:
    """Whom a client's address stands for: IPv4 by itself, IPv6 with all of its /64, which is one site's (RFC 6177)."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv4Address):
        return str(known)
    if known.ipv4_mapped is not None:
        return str(known.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(known) >> 64 << 64, 64)))
