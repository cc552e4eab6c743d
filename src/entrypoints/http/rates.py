"""Rates over HTTP: `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10)."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Flask, Response, g

from application.facade import Application
from application.rates import Spending
from domain.rate_limits import Action, Allowance, RateExceeded
from entrypoints.http.auth import principal


def install(app: Flask) -> None:
    """Tell whoever was counted what is left, whatever the answer is."""

    @app.after_request
    def tell(response: Response) -> Response:
        counted: list[Spending | RateExceeded] = g.get("counted", [])
        response.headers.update(headers(allowance for each in counted for allowance in each.allowances))
        return response


def spending(app: Application, *actions: Action, address: str | None = None) -> Spending:
    """Count these actions of the principal who asks, or of `address`; see application.rates.RateLimits.spending."""
    counted: list[Spending | RateExceeded] = g.setdefault("counted", [])
    try:
        spent = app.rates.spending(principal() if address is None else address, *actions)
    except RateExceeded as refused:
        counted.append(refused)
        raise
    counted.append(spent)
    return spent


def headers(allowances: Iterable[Allowance]) -> dict[str, str]:
    """The policies, and what is left of each; none for none."""
    allowances = list(allowances)
    if not allowances:
        return {}
    policies = [f'"{each.action}";q={each.rate.limit};w={each.rate.window}' for each in allowances]
    left = [f'"{each.action}";r={each.remaining};t={each.resets_in_seconds}' for each in allowances]
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(left)}
