"""Probes, health and metrics over HTTP: what they say, and to whom."""

from __future__ import annotations

import re
from pathlib import Path

import httpx

from tests.http.test_knowledge import signed_in
from tests.parley_process import ParleyProcess, running
from tests.waiting import eventually

_FROM_AFAR = {"X-Forwarded-For": "203.0.113.7"}


def test_every_part_is_named_with_its_state_and_how_long_it_took(parley: ParleyProcess) -> None:
    health = httpx.get(f"{parley.url}/api/health", timeout=20).json()["data"]

    assert health["status"] == "ok"
    assert {"database", "model", "knowledge", "cache"} <= health["parts"].keys()
    where = "Redis" if "PARLEY_REDIS_URL" in parley.settings else "memory"
    assert health["parts"]["cache"]["detail"] == f"cached in {where}"
    assert ("mongo" in health["parts"]) == ("redis" in health["parts"]) == ("PARLEY_MONGO_URL" in parley.settings)
    for part in health["parts"].values():
        assert part["status"] == "ok"
        assert part["latency_ms"] >= 0
        assert part["detail"]


def test_strangers_are_not_told_where_things_are(parley: ParleyProcess) -> None:
    for path in ("/api/health", "/readyz"):
        shown = httpx.get(f"{parley.url}{path}", headers=_FROM_AFAR, timeout=20)

        assert shown.status_code == 200
        assert "127.0.0.1" not in shown.text
        assert str(parley.data_dir) not in shown.text
        assert "detail" not in shown.text.replace("details", "")


def test_an_admin_is_told_everything_from_afar(parley: ParleyProcess) -> None:
    admin, user = signed_in(parley, "admin"), signed_in(parley)

    seen = [
        httpx.get(
            f"{parley.url}/api/health", headers=_FROM_AFAR | {"Authorization": f"Bearer {client.token}"}, timeout=20
        ).json()["data"]["parts"]["database"]
        for client in (admin, user)
    ]

    assert "detail" in seen[0]
    assert "detail" not in seen[1]


def test_whoever_has_a_bad_token_is_a_stranger_and_no_fault(parley: ParleyProcess) -> None:
    headers = _FROM_AFAR | {"Authorization": "Bearer nonsense"}

    assert httpx.get(f"{parley.url}/api/health", headers=headers, timeout=20).status_code == 200
    assert httpx.get(f"{parley.url}/readyz", headers=headers, timeout=20).status_code == 200


def test_without_a_token_metrics_are_for_this_machine_alone(parley: ParleyProcess) -> None:
    shown = httpx.get(f"{parley.url}/metrics", timeout=20)

    assert shown.status_code == 200
    assert shown.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert re.search(r'^parley_build_info\{.*version="\d.*"\} 1\.0$', shown.text, flags=re.MULTILINE)
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
        refused = httpx.get(f"{parley.url}/metrics", headers={header: "127.0.0.1"})
        assert (refused.status_code, refused.json()["error"]["error_code"]) == (403, "forbidden")


def test_all_processes_of_a_server_show_the_same_counts(parley: ParleyProcess) -> None:
    visitor = parley.visitor()
    before = _opened(parley)

    for _ in range(6):
        visitor.room()

    assert {_opened(parley) - before for _ in range(8)} == {6}


def _opened(parley: ParleyProcess) -> float:
    found = re.search(r"^parley_rooms_opened_total (\S+)$", httpx.get(f"{parley.url}/metrics").text, re.MULTILINE)
    assert found is not None
    return float(found[1])


def test_behind_proxies_nobody_seems_to_be_on_this_machine_and_a_database_that_is_gone_is_a_failure(
    data_dir: Path,
) -> None:
    with running(data_dir, PARLEY_PROXIES=1) as parley:
        assert httpx.get(f"{parley.url}/metrics").status_code == 403
        assert "detail" not in httpx.get(f"{parley.url}/api/health").json()["data"]["parts"]["database"]
        (data_dir / "parley.db").unlink()

        answer = eventually(lambda: failed if (failed := httpx.get(f"{parley.url}/api/health")).is_error else None)

        error = answer.json()["error"]
        assert answer.status_code == 503
        assert (error["error_code"], error["error_message"]) == ("not_ready", "Nothing works without: database.")
        assert error["details"]["status"] == "failed"
        assert error["details"]["parts"]["database"]["status"] == "failed"
        readiness = httpx.get(f"{parley.url}/readyz").json()["error"]["error_message"]
        assert readiness == "database: It does not do what it should."
