"""What a whole Parley shows of itself while it is used: logs, metrics and traces, in both worlds."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chat_socket import chatting
from tests.conftest import with_model
from tests.installation import installed, production
from tests.model_server import ModelServer
from tests.otlp_collector import Collector, Span, collector
from tests.parley_process import Client, ParleyProcess, Process, cli, free_port, running
from tests.waiting import eventually

_SAID = "xyzzy"
"""Stands in everything that somebody writes."""

_TOKEN = "a-token-for-prometheus"

_AGENTS = f"""
[agents.clock]
description = "Knows the time."
instructions = "You are {_SAID}."
tools = ["current_time"]

[prices.test-model]
currency = "EUR"
input = 1000
output = 2000
"""

_TRACE = "0af7651916cd43dd8448eb211c80319c"

_CLOCKS = 1_000_000
"""Nanoseconds by which two conversions from one clock to another may differ."""

_CALLER = "b7ad6b7169203331"


@dataclass
class Used:
    """An installation that was used, and what is known of that."""

    web: ParleyProcess
    processes: list[Process]
    collector: Collector
    metrics_of_worker: str | None
    visitor: Client
    traced: dict[str, Any] = field(default_factory=dict)
    """The answer to the question that was asked within the caller's trace."""
    secrets: list[str] = field(default_factory=list)

    @property
    def output(self) -> str:
        return "\n".join(process.output for process in self.processes)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The lines of the log; what is said as soon as something is ready is none."""
        return [json.loads(line) for line in self.output.splitlines() if line.startswith("{")]

    def of(self, **members: object) -> list[dict[str, Any]]:
        return [line for line in self.lines if members.items() <= line.items()]

    def metrics(self) -> dict[str, float]:
        """What the web and the worker show, by name with labels as they are written."""
        pages = [_page(f"{self.web.url}/metrics")]
        if self.metrics_of_worker is not None:
            pages.append(_page(self.metrics_of_worker))
        shown: dict[str, float] = {}
        for page in pages:
            for name, value in re.findall(r"^(parley_\S+?(?:\{.*\})?) (\S+)$", page, flags=re.MULTILINE):
                shown[name] = shown.get(name, 0.0) + float(value)
        return shown

    def spans(self) -> dict[str, Span]:
        return self.collector.trace(_TRACE)


def _page(url: str) -> str:
    answer = httpx.get(url, headers={"Authorization": f"Bearer {_TOKEN}"})
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.fixture(scope="module", params=["embedded", "production"])
def used(
    request: pytest.FixtureRequest, model: ModelServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Used]:
    folder = tmp_path_factory.mktemp("observed")
    with collector() as traces:
        settings = with_model(
            model,
            OPENAI_API_KEY="the-key-of-the-model",
            PARLEY_METRICS_TOKEN=_TOKEN,
            PARLEY_RATE_ANALYSES_VISITOR="1/hour",
            PARLEY_AGENTS_FILE=_agents_file(folder),
            OTEL_EXPORTER_OTLP_ENDPOINT=traces.url,
            OTEL_BSP_SCHEDULE_DELAY=100,
        )
        if request.param == "embedded":
            with running(folder, **_migrated(PARLEY_DATA_DIR=folder, **settings)) as web:
                yield _used(Used(web, [web], traces, None, web.visitor()))
        else:
            with (
                production() as servers,
                installed(folder, **_migrated(PARLEY_DATA_DIR=folder, **settings, **servers)) as installation,
            ):
                port = free_port()
                web = installation.web("--workers", "2")
                worker = installation.worker(PARLEY_METRICS_PORT=port)
                url = f"http://127.0.0.1:{port}/metrics"
                yield _used(Used(web, [web, worker], traces, url, web.visitor()))


def _migrated(**settings: object) -> dict[str, object]:
    """These settings, and that everything is told from now on: to be set up would be told in a great many lines."""
    assert cli("migrate", **settings).returncode == 0
    del settings["PARLEY_DATA_DIR"]
    return settings | {"PARLEY_SLOW_QUERY": 1e-9, "PARLEY_LOG_LEVEL": "DEBUG"}


def _agents_file(folder: Path) -> Path:
    path = folder / "agents.toml"
    path.write_text(_AGENTS)
    return path


def _used(used: Used) -> Used:
    """Do what can be done, with a word in everything that is written."""
    visitor, web = used.visitor, used.web
    room = visitor.room(f"Room {_SAID}")
    conversation = visitor.conversation(room_id=room, title=f"Title {_SAID}", metadata={"note": _SAID})
    assert [*visitor.events(visitor.ask(conversation, f"Question {_SAID}"))][-1].event == "reply.completed"
    headers = {"traceparent": f"00-{_TRACE}-{_CALLER}-01"}
    question = {"content": f"!tool text={_SAID} name=current_time arguments={{}}", "agent": "clock"}
    path = f"/conversations/{conversation}/messages?wait=30"
    used.traced = visitor.data("POST", path, question, headers=headers)
    for refusal in ("code=429 times=1", "code=500 times=9"):
        visitor.answer(conversation, f"!status {refusal} {_SAID} {web.port}")  # The model counts for all tests.
    visitor.call("PUT", f"/messages/{used.traced['reply']['id']}/feedback", {"rating": "up", "comment": _SAID})
    visitor.data("GET", f"/search?q={_SAID}")
    for _ in range(2):
        visitor.call("POST", "/job-analyses", {"text": f"We want somebody who knows Python and {_SAID}. " * 5})
    visitor.call("POST", f"/{_SAID}", {"a": _SAID})
    visitor.call("GET", f"/rooms/{_SAID}")
    broken = {"Content-Type": "application/json", "Authorization": f"Bearer {visitor.token}"}
    visitor.http.post("/rooms", content=f'{{"name": "{_SAID}', headers=broken)
    visitor.http.get("/rooms", headers={"Authorization": f"Bearer {_SAID}.bad.token", "Cookie": f"parley_user={_SAID}"})
    with chatting(visitor) as chat:
        assert chat.refused("message", content=_SAID)["error_code"] == "session_required"
        chat.ask("session_init", "session_ready", room_id=room)
        reply = chat.ask("message", "accepted", content=f"On the socket {_SAID}")
        chat.events(str(reply["reply"]["id"]))
    for line in (
        f"GET /?q={_SAID} NOT-HTTP\r\n\r\n",
        f"GET /?q={_SAID} HTTP/1.1\r\nBad {_SAID}: header {_SAID}\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", web.port)) as connection:
            connection.sendall(line.encode())
            connection.recv(1000)
    used.secrets = [visitor.token, _TOKEN, "the-key-of-the-model", *_passwords(web)]
    eventually(lambda: used.of(event="request", stream="websocket"))
    eventually(lambda: "reply" in used.spans() and any(span.parent_id == _CALLER for span in used.collector.spans))
    return used


def _passwords(web: ParleyProcess) -> list[str]:
    return [str(web.settings["PARLEY_SECRET_KEY"])] if "PARLEY_SECRET_KEY" in web.settings else []


def test_nothing_that_was_written_and_no_secret_is_in_the_logs_or_the_traces(used: Used) -> None:
    sent = b"".join(used.collector.bodies)

    assert len(used.of(logger="slow_query")) > 100  # So every statement was told.
    assert _SAID not in used.output
    assert _SAID.encode() not in sent
    for secret in used.secrets:
        assert secret not in used.output
        assert secret.encode() not in sent


def test_every_line_is_json_whoever_writes_it(used: Used) -> None:
    others = {line for line in used.output.splitlines() if not line.startswith(("{", "Parley ", "Metrics are at"))}

    assert others <= {""}
    assert {"timestamp", "level", "logger", "event"} <= set.intersection(*(set(line) for line in used.lines))
    assert used.of(logger="gunicorn.error", level="warning")


def test_a_request_is_a_line_with_its_template_and_its_ids(used: Used) -> None:
    reply = used.traced["reply"]
    (line,) = used.of(event="request", trace_id=_TRACE)

    assert line["method"] == "POST"
    assert line["route"] == "/api/v1/conversations/{conversation_id}/messages"
    assert line["status"] == 200
    assert line["duration_ms"] > 0
    assert line["bytes"] > 100
    assert line["principal"].startswith("visitor:")
    assert (line["conversation_id"], line["reply_id"]) == (reply["conversation_id"], reply["id"])


def test_a_stream_is_told_of_when_it_ends(used: Used) -> None:
    (line,) = used.of(event="request", stream="sse")

    assert line["route"] == "/api/v1/replies/{reply_id}/events"
    assert line["status"] == 200
    assert line["bytes"] > 100


def test_a_refused_request_is_told_with_its_code_and_the_id_that_the_client_saw(used: Used) -> None:
    error = used.visitor.error("GET", "/rooms/no-id")

    (line,) = eventually(lambda: used.of(event="request", request_id=error["request_id"]))
    assert (line["status"], line["error_code"]) == (422, "validation_failed")
    assert "room_id" not in line


def test_what_a_reply_logs_carries_its_ids_wherever_it_is_written(used: Used) -> None:
    (fallback,) = [line for line in used.lines if "answering from the fallback" in line["event"]]
    asked = [line for line in used.of(logger="slow_query") if line.get("reply_id") == fallback["reply_id"]]

    assert fallback["conversation_id"] == used.traced["reply"]["conversation_id"]
    assert fallback["principal"].startswith("visitor:")
    assert "trace_id" in fallback
    assert any(line["statement"].startswith("UPDATE replies") for line in asked)


def test_probes_are_not_in_the_log_of_requests_unless_wanted(used: Used) -> None:
    assert {line["level"] for line in used.of(event="request", route="/readyz")} == {"debug"}


def test_metrics_tell_what_was_done(used: Used) -> None:
    shown = used.metrics()
    told = {
        "parley_rooms_opened_total": 1,
        "parley_conversations_started_total": 1,
        'parley_messages_total{role="user"}': 5,
        'parley_messages_total{role="assistant"}': 5,
        'parley_replies_total{agent="general",outcome="completed"}': 4,
        'parley_replies_total{agent="clock",outcome="completed"}': 1,
        'parley_tool_calls_total{outcome="ok",tool="current_time"}': 1,
        'parley_reply_fallbacks_total{code="model_failed"}': 1,
        'parley_model_errors_total{code="model_failed"}': 1,
        'parley_reply_seconds_count{agent="general"}': 4,
        'parley_reply_first_token_seconds_count{agent="clock"}': 1,
        "parley_reply_wait_seconds_count": 5,
        'parley_reply_phase_seconds_count{phase="tool"}': 1,
        'parley_rate_limits_hit_total{action="analyse_job",principal="visitor"}': 1,
        'parley_errors_total{code="malformed_json"}': 1,
        'parley_errors_total{code="token_invalid"}': 1,
        'parley_errors_total{code="session_required"}': 1,
        'parley_http_requests_total{method="POST",route="none",status="404"}': 1,
        'parley_open_streams{kind="websocket"}': 0,
        'parley_open_streams{kind="sse"}': 0,
        'parley_part_up{part="database"}': 1,
        "parley_replies_queued": 0,
    }

    assert {name: shown.get(name) for name in told} == told
    stores = ("sqlite",) if used.metrics_of_worker is None else ("postgresql", "mongo", "redis")
    timed = {re.sub(r'.*store="(\w+)".*', r"\1", name) for name in shown if "statement_seconds_count" in name}
    assert timed == set(stores)
    assert shown[f'parley_database_statement_seconds_count{{kind="insert",store="{stores[0]}"}}'] > 10
    assert shown["parley_process_resident_memory_bytes"] > 10e6
    assert shown["parley_model_retries_total"] == 1 + 2  # of the 429, and of the one that fails in the end
    assert shown['parley_reply_tokens_total{agent="general",direction="input"}'] > 0
    assert shown['parley_reply_cost_total{agent="general",currency="EUR"}'] > 0
    assert shown['parley_log_records_total{level="warning"}'] > 0
    assert eventually(lambda: used.metrics().get('parley_jobs_total{kind="analyse",outcome="completed"}')) == 1


def test_metrics_are_for_whoever_has_the_token(used: Used) -> None:
    urls = [f"{used.web.url}/metrics", *([used.metrics_of_worker] if used.metrics_of_worker else [])]

    for url in urls:
        assert httpx.get(url).status_code == 401
        assert httpx.get(url, headers={"Authorization": "Bearer another"}).status_code == 401


def test_one_trace_goes_from_the_caller_through_the_worker_to_the_model(used: Used) -> None:
    spans = eventually(lambda: found if {"reply", "end"} <= (found := used.spans()).keys() else None)
    request = spans["POST /api/v1/conversations/{conversation_id}/messages"]
    reply = spans["reply"]
    models = [span for span in used.collector.spans if (span.trace_id, span.name) == (_TRACE, "model")]

    assert (request.parent_id, request.kind, request.service) == (_CALLER, "server", "parley")
    assert request.attributes["http.response.status_code"] == 200
    assert (reply.parent_id, reply.kind) == (request.span_id, "consumer")
    assert reply.attributes["gen_ai.conversation.id"] == used.traced["reply"]["conversation_id"]
    for name in ("claim", "retrieval", "tool", "end"):
        assert spans[name].parent_id == reply.span_id
        assert reply.start - _CLOCKS <= spans[name].start <= spans[name].end <= reply.end
    assert spans["tool"].attributes["gen_ai.tool.name"] == "current_time"
    assert [span.parent_id for span in models] == [reply.span_id] * 2
    assert {span.attributes["gen_ai.request.model"] for span in models} == {"test-model"}
    assert not any(span.is_error for span in spans.values())


def test_a_model_that_fails_is_seen_in_its_trace(used: Used) -> None:
    failed = eventually(lambda: [span for span in used.collector.spans if span.name == "model" and span.is_error])

    assert failed[0].attributes["error.type"] == "model_failed"


def test_probes_are_not_traced(used: Used) -> None:
    assert not any("readyz" in span.name or "metrics" in span.name for span in used.collector.spans)
