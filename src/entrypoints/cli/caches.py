"""`parley cache`: what is cached in Redis for all processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from entrypoints.cli.asking import Text, as_json_option
from entrypoints.cli.explaining import Group
from entrypoints.cli.opening import container
from entrypoints.cli.telling import print_json, print_table, say, shown

if TYPE_CHECKING:
    from application.caching import Caches

_REGIONS = ("answers", "retrieval", "embeddings", "statistics", "analyses")


@click.group(cls=Group)
def cache() -> None:
    """What is cached in Redis for all processes.

    Needs PARLEY_REDIS_URL. Without it the cache is in the server's own memory, and an admin asks the server:
    GET /api/v1/cache/stats/, POST /api/v1/cache/clear/.
    """


@cache.command("stats", examples=["parley cache stats", "parley cache stats --json"])
@as_json_option
def cache_stats(as_json: bool) -> None:
    """Say what is cached, by region, and how often it was found."""
    caches = _caches()
    caches.check()
    report = caches.report()
    if as_json:
        print_json(report)
        return
    rows = [
        [
            name,
            region["entries"],
            region["hits"],
            region["misses"],
            f"{region['hit_rate']:.1%}" if region["hit_rate"] is not None else None,
            f"{region['lifetime']:g} s" if region["lifetime"] else "off",
        ]
        for name, region in report["regions"].items()
    ]
    print_table(["region", "entries", "hits", "misses", "found", "kept for"], rows)
    say(f"{shown(report['bytes'])} bytes in {report['backend']}.")


@cache.command(
    "clear", examples=["parley cache clear", "parley cache clear --region answers", "parley cache clear --pattern 'a*'"]
)
@click.option("--region", type=click.Choice(_REGIONS), help="Only this one.")
@click.option("--pattern", type=Text(200), help="Only what has such a key: * is any text, ? any one character.")
@as_json_option
def clear_cache(region: str | None, pattern: str | None, as_json: bool) -> None:
    """Forget what is cached: everything, a region, or what fits a pattern.

    Nothing is lost by it: it is made anew when it is wanted. The server may be running.
    """
    from application.caching import Region

    cleared = _caches().clear(Region(region) if region is not None else None, pattern)
    if as_json:
        print_json({"cleared": cleared})
    else:
        say(f"{cleared} cleared.")


def _caches() -> Caches:
    from entrypoints.settings import SettingError

    installation = container(checked=False)
    if installation.redis() is None:
        raise SettingError(
            "PARLEY_REDIS_URL: is not set, so the cache is in the server's own memory, where no command reaches it. "
            "An admin can ask the server: GET /api/v1/cache/stats/, POST /api/v1/cache/clear/."
        )
    return installation.caches()
