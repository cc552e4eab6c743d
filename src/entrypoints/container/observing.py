"""What a process that serves or works shows of itself; commands show nothing."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from adapters.in_process.runtime import resident_memory
from adapters.sql.engine import Database
from application.ports.telemetry import Samples, Tracer
from application.telemetry import Telemetry
from entrypoints.observability import count_lines, trace_lines
from entrypoints.settings import SettingError

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


@dataclass(frozen=True, slots=True)
class Shown:
    """What a process counts and traces, and the page on which the counts are seen."""

    telemetry: Telemetry
    page: Callable[[Callable[[], Samples]], bytes]


def shown(shared: Path | None) -> Shown:
    """To be made once in a process, and not before it was forked; `shared` is where others of its server count too.

    Raises SettingError.
    """
    # Imported here because commands can do without it.
    from adapters.prometheus.metrics import PrometheusMetrics

    metrics = PrometheusMetrics(shared)
    metrics.put("build_info", 1, version=version("parley"), python=platform.python_version())
    count_lines(lambda level: metrics.count("log_records_total", level=level))
    telemetry = Telemetry(metrics, tracer())

    def page(sampled: Callable[[], Samples]) -> bytes:
        _note_memory(telemetry)
        return metrics.page(sampled)

    return Shown(telemetry, page)


def clean(folder: Path) -> Path:
    """The folder, without anything that was counted there before."""
    from adapters.prometheus.slots import clean

    clean(folder)
    return folder


def is_traced() -> bool:
    """Whether OpenTelemetry's own variables say where to send traces; raises SettingError for what cannot be done."""
    is_off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if is_off or os.environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp" or not any(map(os.environ.get, _ENDPOINTS)):
        return False
    for name in _PROTOCOLS:
        if (protocol := os.environ.get(name, "http/protobuf")) != "http/protobuf":
            raise SettingError(f"{name}: must be http/protobuf, not {protocol}.")
    return True


def tracer() -> Tracer | None:
    """What sends traces, if there is a place for them. Raises SettingError."""
    if not is_traced():
        return None
    from adapters.opentelemetry.tracing import OtlpTracer

    tracer = OtlpTracer(version("parley"))
    trace_lines(tracer.present)
    return tracer


def process(database: Database, telemetry: Telemetry) -> Callable[[], None]:
    """Notes what this process has: connections to the database, and memory."""

    def look() -> None:
        _note_memory(telemetry)
        in_use, at_rest = database.connections()
        telemetry.metrics.put("database_connections", in_use, state="in_use")
        telemetry.metrics.put("database_connections", at_rest, state="at_rest")

    return look


def _note_memory(telemetry: Telemetry) -> None:
    if (memory := resident_memory()) is not None:
        telemetry.metrics.put("process_resident_memory_bytes", memory)
