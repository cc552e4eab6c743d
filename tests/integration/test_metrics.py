"""What processes count together: right after deaths and restarts, and in the text format of Prometheus."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped] # its stubs are not worth a dependency
from prometheus_client.parser import text_string_to_metric_families

from adapters.prometheus.catalogue import COUNTERS, GAUGES, HISTOGRAMS, SAMPLED
from adapters.prometheus.metrics import PrometheusMetrics
from adapters.prometheus.slots import clean
from application.ports.telemetry import Sample
from entrypoints.metrics_server import show_metrics
from entrypoints.settings import SettingError, Settings
from tests.parley_process import cli, free_port

_PROJECT = Path(__file__).resolve().parents[2]

_COUNTING = """
import sys
from pathlib import Path
from adapters.prometheus.metrics import PrometheusMetrics

metrics = PrometheusMetrics(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
for line in sys.stdin:
    word, *rest = line.split()
    if word == "count":
        metrics.count("replies_total", int(rest[0]), agent="general", outcome="completed")
    elif word == "observe":
        metrics.observe("reply_seconds", float(rest[0]), agent="general")
    elif word == "change":
        metrics.change("open_streams", int(rest[0]), kind="sse")
    elif word == "put":
        metrics.put("database_connections", int(rest[0]), state="in_use")
    elif word == "statement":
        metrics.observe("database_statement_seconds", float(rest[0]), store="sqlite", kind="select")
    elif word == "memory":
        metrics.put("process_resident_memory_bytes", int(rest[0]))
    sys.stdout.write(metrics.page().decode() + "# end\\n")
    sys.stdout.flush()
"""

_REPLIES = 'parley_replies_total{agent="general",outcome="completed"}'
_STREAMS = 'parley_open_streams{kind="sse"}'


class Counting:
    """A process that counts as it is told, and shows what all have counted."""

    def __init__(self, *folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _COUNTING, *map(str, folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_PROJECT / "src",
        )

    def tell(self, order: str) -> dict[str, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        return _read("".join(iter(self._process.stdout.readline, "# end\n")))

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


def _read(page: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"^(parley_\S+) (\S+)$", page, flags=re.MULTILINE)}


@contextmanager
def counting(folder: Path, count: int) -> Iterator[list[Counting]]:
    processes = [Counting(folder) for _ in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    clean(tmp_path / "metrics")
    return tmp_path / "metrics"


def test_any_process_shows_what_all_have_counted(folder: Path) -> None:
    with counting(folder, 3) as (one, two, three):
        one.tell("count 1")
        two.tell("count 2")
        one.tell("observe 0.7")
        two.tell("change 5")
        shown = three.tell("observe 3")

    assert shown[_REPLIES] == 3
    assert shown[_STREAMS] == 5
    assert shown['parley_reply_seconds_count{agent="general"}'] == 2
    assert shown['parley_reply_seconds_sum{agent="general"}'] == 3.7
    assert shown['parley_reply_seconds_bucket{agent="general",le="1.0"}'] == 1


def test_statements_and_memory_of_all_processes_add_up(folder: Path) -> None:
    labels = 'kind="select",store="sqlite"'
    with counting(folder, 1) as (living,):
        with counting(folder, 1) as (killed,):
            killed.tell("statement 0.002")
            killed.tell("memory 3000")
            living.tell("statement 0.25")
            both = living.tell("memory 4000")
        alone = living.tell("memory 5000")

    for shown in both, alone:
        assert shown[f"parley_database_statement_seconds_count{{{labels}}}"] == 2
        assert shown[f"parley_database_statement_seconds_sum{{{labels}}}"] == 0.252
    assert both["parley_process_resident_memory_bytes"] == 7000
    assert alone["parley_process_resident_memory_bytes"] == 5000


def test_what_a_killed_process_counted_stays_and_what_it_had_is_gone(folder: Path) -> None:
    with counting(folder, 1) as (living,):
        with counting(folder, 1) as (killed,):
            killed.tell("count 7")
            assert killed.tell("change 4")[_STREAMS] == 4

        shown = living.tell("change 1")

    assert shown[_REPLIES] == 7
    assert shown[_STREAMS] == 1


def test_whoever_comes_after_it_goes_on_counting_in_its_place(folder: Path) -> None:
    for _ in range(5):
        with counting(folder, 1) as (process,):
            process.tell("count 2")
            process.tell("put 9")
    files = len(list(folder.iterdir()))
    with counting(folder, 1) as (last,):
        shown = last.tell("count 1")

        assert shown[_REPLIES] == 11
        assert 'parley_database_connections{state="in_use"}' not in shown
        assert len(list(folder.iterdir())) <= files


def test_a_new_server_begins_at_nothing(folder: Path) -> None:
    with counting(folder, 1) as (process,):
        process.tell("count 7")

    clean(folder)

    with counting(folder, 1) as (process,):
        assert _REPLIES not in process.tell("change 1")


def test_a_process_by_itself_needs_no_folder() -> None:
    alone = Counting()
    try:
        alone.tell("count 2")
        shown = alone.tell("change 3")
    finally:
        alone.kill()

    assert (shown[_REPLIES], shown[_STREAMS]) == (2, 3)


def test_the_page_names_all_that_there_is_and_can_be_read_by_prometheus() -> None:
    samples = [Sample("part_up", 1.0, {"part": 'odd "name"'}), Sample("part_up", 0.0, {"part": "b"})]
    samples += [Sample(name, 2.0, {}) for name in SAMPLED if name != "part_up"]

    page = PrometheusMetrics().page(lambda: samples).decode()

    families = {family.name: family for family in text_string_to_metric_families(page)}
    expected = {f"parley_{name}".removesuffix("_total") for name in (*COUNTERS, *HISTOGRAMS, *GAUGES, *SAMPLED)}
    assert families.keys() == expected
    assert all(family.documentation.endswith(".") for family in families.values())
    assert {sample.labels["part"]: sample.value for sample in families["parley_part_up"].samples} == {
        'odd "name"': 1.0,
        "b": 0.0,
    }


def test_a_metric_or_a_label_that_there_is_not_is_a_fault() -> None:
    metrics = PrometheusMetrics()

    with pytest.raises(KeyError):
        metrics.count("no_such_total")
    with pytest.raises(ValueError, match="label"):
        metrics.count("replies_total", agent="general")


@pytest.mark.parametrize(
    ("command", "needs"), [("serve", {}), ("worker", {"PARLEY_REDIS_URL": "redis://127.0.0.1:1/0"})]
)
def test_traces_over_another_protocol_are_refused_at_the_start(
    command: str, needs: dict[str, str], tmp_path: Path
) -> None:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"} | needs

    refused = cli(command, PARLEY_DATA_DIR=tmp_path, PARLEY_PORT=free_port(), **settings)

    assert refused.returncode == 2
    assert refused.stderr == "Error: OTEL_EXPORTER_OTLP_PROTOCOL: must be http/protobuf, not grpc.\n"


def test_a_worker_finds_a_port_for_its_metrics_or_says_that_there_is_none(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = _settings(tmp_path)

        show_metrics(replace(settings, metrics_port=port), lambda samples: b"it\n")
        with pytest.raises(SettingError, match=r"PARLEY_METRICS_PORT: cannot listen on 203\.0\.113\.7"):
            show_metrics(replace(settings, metrics_port=port, metrics_host="203.0.113.7"), lambda samples: b"")

        answers = [_asked(candidate) for candidate in range(port + 1, port + 20)]
        assert answers.count("it\n") == 1


def _settings(folder: Path) -> Settings:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PARLEY_DATA_DIR", str(folder))
        return Settings.from_environment()


def _asked(port: int) -> str:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=2).text
    except httpx.HTTPError:
        return ""


def _alerts() -> dict[str, dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load((_PROJECT / "deploy/prometheus/alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def _dashboard() -> dict[str, Any]:
    dashboard: dict[str, Any] = json.loads((_PROJECT / "deploy/grafana/parley.json").read_text())
    return dashboard


def _expressions() -> list[str]:
    drawn = [target["expr"] for panel in _dashboard()["panels"] for target in panel.get("targets", ())]
    return drawn + [rule["expr"] for rule in _alerts().values()]


_SERIES = {f"parley_{name}": set(labels) for name, (_, labels) in (COUNTERS | GAUGES).items()}
_SERIES |= {
    f"parley_{name}_{part}": {*labels, "le"}
    for name, (_, labels, _) in HISTOGRAMS.items()
    for part in ("bucket", "sum", "count")
}
_SERIES |= {f"parley_{name}": {"part", "kind"} for name in SAMPLED}


@pytest.mark.parametrize("expression", _expressions())
def test_alerts_and_dashboard_ask_for_what_there_is(expression: str) -> None:
    named = re.findall(r"\bparley_\w+", expression)
    by = {label.strip() for labels in re.findall(r"by \(([^)]*)\)", expression) for label in labels.split(",")}
    chosen = {label for labels in re.findall(r"\{([^}]*)\}", expression) for label in re.findall(r"(\w+)[!=]", labels)}

    assert set(named) <= _SERIES.keys()
    if named:
        assert by | chosen <= {"job", "instance"}.union(*(_SERIES[name] for name in named))
    assert expression.count("(") == expression.count(")")


def test_gauges_of_the_whole_installation_are_never_added_up() -> None:
    added = [each for each in _expressions() if re.search(rf"sum[^(]*\((?:max\()?parley_({'|'.join(SAMPLED)})\b", each)]

    assert added == []


def test_every_alert_says_how_bad_it_is_and_what_to_do_stands_in_the_docs() -> None:
    page = (_PROJECT / "docs" / "observability.md").read_text()

    for name, rule in _alerts().items():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"].endswith(".")
        assert f"`{name}`" in page


def test_every_metric_is_explained_in_the_docs() -> None:
    page = (_PROJECT / "docs" / "observability.md").read_text()

    for name in (*COUNTERS, *HISTOGRAMS, *GAUGES, *SAMPLED):
        assert f"`parley_{name}`" in page


def test_panels_have_a_title_of_their_own_row_and_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in _dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert panel["title"]
        assert not cells & taken
        taken |= cells


def test_what_prometheus_asks_and_grafana_loads_is_there() -> None:
    prometheus = yaml.safe_load((_PROJECT / "deploy/prometheus/prometheus.yml").read_text())
    compose = yaml.safe_load((_PROJECT / "deploy/compose.yaml").read_text())
    services = compose["services"]
    asked = {job["job_name"]: job["dns_sd_configs"][0] for job in prometheus["scrape_configs"]}

    assert {job["names"][0]: str(job["port"]) for job in asked.values()} == {
        "web": "8000",
        "worker": services["worker"]["environment"]["PARLEY_METRICS_PORT"],
        "scheduler": services["scheduler"]["environment"]["PARLEY_METRICS_PORT"],
    }
    mounted = [volume.split(":") for volume in (*services["prometheus"]["volumes"], *services["grafana"]["volumes"])]
    for source, *_ in mounted:
        assert not source.startswith(".") or (_PROJECT / "deploy" / source).exists()
    assert compose["secrets"]["metrics_token"]["environment"] == "METRICS_TOKEN"
    assert services["web"]["environment"]["PARLEY_METRICS_TOKEN"].startswith("${METRICS_TOKEN:")
