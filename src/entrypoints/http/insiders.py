"""Who may see how an installation is made: whoever asks from this very machine, and admins."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address

from flask import current_app, request

from application.facade import Application
from domain.errors import Unauthenticated, Unavailable
from entrypoints.http.auth import identify

_FORWARDED = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")
"""What proxies add. Behind one on this machine, everybody seems to come from here."""


def is_local() -> bool:
    """Whether the request was made on this machine, and not through a proxy as far as that can be seen."""
    if current_app.config["PROXIES"] or any(header in request.headers for header in _FORWARDED):
        return False
    try:
        return ip_address(request.environ.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


def is_insider(app: Application) -> bool:
    """Whether whoever asks may see names of hosts, and what exactly is wrong."""
    if is_local():
        return True
    with suppress(Unauthenticated, Unavailable):  # Then it is a stranger.
        known = identify(app)
        return known is not None and known.is_admin
    return False
