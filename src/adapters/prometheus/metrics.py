"""The metrics of one process, or of the processes of one server together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from adapters.prometheus.catalogue import COUNTERS, GAUGES, HISTOGRAMS, SAMPLED
from adapters.prometheus.slots import Slots
from application.ports.telemetry import Samples

CONTENT_TYPE: str = CONTENT_TYPE_PLAIN_0_0_4

_KINDS = {
    name: (kind, description[0])
    for kind, family in (("counter", COUNTERS), ("histogram", HISTOGRAMS), ("gauge", GAUGES))
    for name, description in family.items()
}


class PrometheusMetrics:
    """See application.ports.telemetry.Metrics.

    `shared` is the folder in which the processes of a server count together; without it this process counts for
    itself. There can be one in a process: the library keeps some of this for all of it.
    """

    def __init__(self, shared: Path | None = None) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._slots: Slots | None = None
        if shared is not None:
            self._slots = slots = Slots(shared)
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(shared)
            values.ValueClass = values.MultiProcessValue(lambda: slots.mine)  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._families: dict[str, Any] = {}
        for name, (text, labels) in COUNTERS.items():
            self._families[name] = Counter(f"parley_{name}", text, labels, registry=self._registry)
        for name, (text, labels, buckets) in HISTOGRAMS.items():
            self._families[name] = Histogram(
                f"parley_{name}", text, labels, buckets=tuple(buckets), registry=self._registry
            )
        for name, (text, labels) in GAUGES.items():
            mode: Literal["livemax", "livesum"] = "livemax" if name == "build_info" else "livesum"
            self._families[name] = Gauge(
                f"parley_{name}", text, labels, registry=self._registry, multiprocess_mode=mode
            )
        self._series: dict[tuple[object, ...], Any] = {}

    def count(self, name: str, amount: float = 1.0, /, **labels: str) -> None:
        self._one(name, labels).inc(amount)

    def observe(self, name: str, value: float, /, **labels: str) -> None:
        self._one(name, labels).observe(value)

    def change(self, name: str, by: float, /, **labels: str) -> None:
        self._one(name, labels).inc(by)

    def put(self, name: str, value: float, /, **labels: str) -> None:
        self._one(name, labels).set(value)

    def page(self, sampled: Callable[[], Samples] = tuple) -> bytes:
        """All that was counted in the text format of Prometheus, with what is made for this look."""
        registry = CollectorRegistry()
        registry.register(_Counted(self._registry if self._slots is None else self._slots))
        registry.register(_Sampled(sampled()))
        return bytes(generate_latest(registry))

    def _one(self, name: str, labels: dict[str, str]) -> Any:
        """The series, of which the library would make a new handle each time."""
        key = (name, *labels.items())
        series = self._series.get(key)
        if series is None:
            family = self._families[name]
            series = self._series[key] = family.labels(**labels) if labels else family
        return series


class _Counted:
    """What was counted, here or by all processes of the server; what was not yet is named all the same."""

    def __init__(self, source: CollectorRegistry | Slots) -> None:
        self._source = source

    def collect(self) -> Iterator[Family]:
        unseen = {f"parley_{name}".removesuffix("_total"): family for name, family in _KINDS.items()}
        for family in self._source.collect():
            unseen.pop(family.name.removesuffix("_total"), None)
            yield family
        for name, (kind, text) in unseen.items():
            yield Family(name, text, kind)


class _Sampled:
    """What was made for one look."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Family]:
        families: dict[str, GaugeMetricFamily] = {}
        for sample in self._samples:
            family = families.get(sample.name)
            if family is None:
                family = families[sample.name] = GaugeMetricFamily(
                    f"parley_{sample.name}", SAMPLED[sample.name], labels=list(sample.labels)
                )
            family.add_metric(list(sample.labels.values()), sample.value)
        yield from families.values()
