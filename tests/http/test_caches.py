"""`/api/v1/cache/…` and `parley cache`: what admins see of the cache, and how they empty it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.in_process.runtime import new_id
from adapters.redis.cache import RedisCache
from adapters.redis.server import RedisServer
from application.caching import Caches, Lifetimes, Region
from entrypoints.http.caches import CacheOut, ForgottenOut
from tests.http.test_openapi import fits
from tests.parley_process import Client, ParleyProcess, cli, running
from tests.servers import RedisServer as OwnServer
from tests.servers import missing_programs
from tests.waiting import eventually


@pytest.fixture
def admin(parley: ParleyProcess) -> Client:
    return parley.user("operator", "admin")


def test_an_admin_sees_what_is_cached(admin: Client) -> None:
    report = admin.data("GET", "/cache/stats/")

    fits(CacheOut, report)
    assert list(report["regions"]) == [region.value for region in Region]
    assert report["available"] is True
    assert report["backend"] in ("memory", "Redis")
    assert report["regions"]["retrieval"]["lifetime"] == 3600


@pytest.mark.parametrize("body", [None, {}, {"region": None}, {"region": "analyses"}, {"pattern": "nothing:*"}])
def test_an_admin_clears_the_cache(admin: Client, body: dict[str, Any] | None) -> None:
    cleared = admin.data("POST", "/cache/clear/", body)

    fits(ForgottenOut, cleared)
    assert cleared["region"] == (body or {}).get("region")
    assert cleared["pattern"] == (body or {}).get("pattern")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"region": "everything"}, "region"),
        ({"region": 7}, "region"),
        ({"pattern": ""}, "pattern"),
        ({"pattern": "x" * 201}, "pattern"),
        ({"pattern": "a\x00b"}, "pattern"),
        ({"pattern": ["*"]}, "pattern"),
        ({"regions": "answers"}, "regions"),
    ],
)
def test_what_cannot_be_cleared_is_refused_by_name(admin: Client, body: dict[str, Any], field: str) -> None:
    error = admin.error("POST", "/cache/clear/", body)

    assert error["status_code"] == 422
    assert list(error["details"]["fields"]) == [field]


def test_others_are_refused(parley: ParleyProcess, visitor: Client) -> None:
    for stranger in (visitor, parley.user("alice"), parley.user("bob", "editor")):
        assert stranger.error("GET", "/cache/stats/")["error_code"] == "forbidden"
        assert stranger.error("POST", "/cache/clear/", {})["error_code"] == "forbidden"
    assert httpx.get(f"{parley.url}/api/v1/cache/stats/").status_code == 401


def test_without_redis_no_command_reaches_the_cache(data_dir: Path) -> None:
    data_dir.mkdir()

    for arguments in (("stats",), ("clear",)):
        refused = cli("cache", *arguments, PARLEY_DATA_DIR=data_dir)

        assert refused.returncode == 2
        assert refused.stderr.startswith("Error: PARLEY_REDIS_URL: is not set")
        assert "/api/v1/cache/" in refused.stderr


@contextmanager
def _on(own: OwnServer) -> Iterator[Caches]:
    with closing(RedisServer(own.url)) as server:
        yield Caches(RedisCache(server), Lifetimes(), new_id)


@pytest.mark.skipif(bool(missing_programs(OwnServer)), reason=missing_programs(OwnServer))
class TestOnRedis:
    def test_requests_and_commands_see_and_clear_what_all_processes_cache(self, data_dir: Path) -> None:
        with (
            OwnServer() as own,
            _on(own) as another,
            running(data_dir, PARLEY_REDIS_URL=own.url, PARLEY_CACHE_ANSWERS=3600) as parley,
        ):
            admin = parley.user("operator", "admin")
            for key in ("project:1:a", "project:1:b", "project:2:a"):
                assert another.remembered(Region.ANSWERS, key, lambda: 42) == 42
            assert another.remembered(Region.ANSWERS, "project:1:a", lambda: 43) == 42
            another.put(Region.ANALYSES, "key", 42)
            another.look()

            report = admin.data("GET", "/cache/stats/")
            printed = cli("cache", "stats", **parley.settings).stdout

            assert report["regions"]["answers"] == {
                "entries": 3, "hits": 1, "misses": 3, "hit_rate": 0.25, "lifetime": 3600
            }  # fmt: skip
            assert re.search(r"^ *answers +3 +1 +3 +25\.0% +3600 s", printed, re.MULTILINE), printed
            assert re.search(r"^[1-9]\d* bytes in Redis\.$", printed, re.MULTILINE), printed
            assert admin.data("POST", "/cache/clear/", {"region": "answers", "pattern": "project:1:*"})["cleared"] == 2
            assert cli("cache", "clear", "--region", "answers", **parley.settings).stdout == "1 cleared.\n"
            assert cli("cache", "clear", **parley.settings).stdout == "1 cleared.\n"
            assert another.get(Region.ANALYSES, "key") is None

    def test_what_a_command_cannot_clear_is_said_in_a_line(self, data_dir: Path) -> None:
        data_dir.mkdir()
        with OwnServer() as own:
            settings = {"PARLEY_DATA_DIR": data_dir, "PARLEY_REDIS_URL": own.url}
            assert cli("cache", "clear", "--region", "everything", **settings).returncode == 2
            refused = cli("cache", "clear", "--pattern", "", **settings)
            assert refused.returncode == 2
            assert "Error: Invalid value for '--pattern': " in refused.stderr
            own.stop()

            for arguments in (("stats",), ("clear",)):
                away = cli("cache", *arguments, **settings)
                assert away.returncode == 3
                assert "Traceback" not in away.stderr

    def test_while_redis_is_away_operators_are_told(self, data_dir: Path) -> None:
        with OwnServer() as own, running(data_dir, PARLEY_REDIS_URL=own.url) as parley:
            admin = parley.user("operator", "admin")
            own.stop()

            report = admin.data("GET", "/cache/stats/")
            error = admin.error("POST", "/cache/clear/")

            fits(CacheOut, report)
            assert report["available"] is False
            assert report["regions"]["answers"]["entries"] is None
            assert error["error_code"] == "cache_unavailable"
            assert error["status_code"] == 503
            assert "cache" in admin.http.get(f"{parley.url}/readyz").json()["data"]["degraded"]

            own.start()
            eventually(lambda: admin.data("GET", "/cache/stats/")["available"])
            assert admin.data("POST", "/cache/clear/")["cleared"] == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("ANSWERS", "-1"), ("ANSWERS", "soon"), ("EMBEDDINGS", "2592001"), ("BYTES", "-1"), ("SESSIONS", "300")],
)
def test_a_setting_that_is_none_is_refused_by_name(data_dir: Path, name: str, value: str) -> None:
    data_dir.mkdir()

    refused = cli("doctor", PARLEY_DATA_DIR=data_dir, **{f"PARLEY_CACHE_{name}": value})

    assert refused.returncode == 2
    assert refused.stderr.startswith(f"Error: PARLEY_CACHE_{name}: ")
