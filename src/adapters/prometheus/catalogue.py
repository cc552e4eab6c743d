"""Every metric: its name without `parley_`, what it says, its labels. docs/observability.md explains each."""

from __future__ import annotations

from collections.abc import Sequence

COUNTERS: dict[str, tuple[str, Sequence[str]]] = {
    "http_requests_total": ("Requests that were answered, streams when they ended.", ("method", "route", "status")),
    "errors_total": ("Errors that requests, and frames of WebSockets, were answered with.", ("code",)),
    "rooms_opened_total": ("New rooms.", ()),
    "conversations_started_total": ("New conversations.", ()),
    "messages_total": ("New messages.", ("role",)),
    "sessions_opened_total": ("New sessions.", ()),
    "replies_total": ("Replies that ended.", ("agent", "outcome")),
    "reply_tokens_total": ("Tokens that replies used.", ("agent", "direction")),
    "reply_cost_total": ("What replies cost, where prices are known.", ("agent", "currency")),
    "reply_fallbacks_total": ("Replies that the fallback answered, by what was wrong with the model.", ("code",)),
    "model_errors_total": ("Times that the model failed for good.", ("code",)),
    "model_retries_total": ("Requests to the model's server that were a further try.", ()),
    "tool_calls_total": ("Calls of tools.", ("tool", "outcome")),
    "jobs_total": ("Tries of background jobs that ended.", ("kind", "outcome")),
    "rate_limits_hit_total": ("What was refused because of a rate.", ("action", "principal")),
    "cache_lookups_total": ("Look-ups in the caches.", ("region", "result")),
    "log_records_total": ("Lines in the log from warnings upwards.", ("level",)),
}

_FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STATEMENT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_REPLY = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0)
_JOB = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0)

HISTOGRAMS: dict[str, tuple[str, Sequence[str], Sequence[float]]] = {
    "http_request_seconds": ("Seconds until an answer begins.", ("method", "route"), _FAST),
    "reply_wait_seconds": ("Seconds that a reply waited for a worker.", (), _FAST),
    "reply_first_token_seconds": ("Seconds from a worker's claim to the first word.", ("agent",), _REPLY),
    "reply_seconds": ("Seconds from a worker's claim to the end.", ("agent",), _REPLY),
    "reply_phase_seconds": ("Seconds of each part of writing a reply.", ("phase",), _REPLY),
    "database_statement_seconds": (
        "Seconds that statements of SQL, and commands of MongoDB and Redis, took.",
        ("store", "kind"),
        _STATEMENT,
    ),
    "job_seconds": ("Seconds that a try of a background job took.", ("kind",), _JOB),
}

GAUGES: dict[str, tuple[str, Sequence[str]]] = {
    "open_streams": ("Streams of events and WebSockets that are open.", ("kind",)),
    "database_connections": ("Connections to the database that are in use, and that are open at rest.", ("state",)),
    "process_resident_memory_bytes": ("Memory that is resident, of the processes together.", ()),
    "build_info": ("1; the versions are its labels.", ("version", "python")),
}
"""Of each process; they are added up for the processes of a server."""

SAMPLED: dict[str, str] = {
    "replies_queued": "Replies that wait for a worker.",
    "replies_queued_oldest_seconds": "For how long the oldest of them has been waiting.",
    "replies_running": "Replies that are being written.",
    "jobs_queued": "Background jobs that wait for a worker.",
    "jobs_queued_oldest_seconds": "For how long the oldest of them has been due.",
    "jobs_running": "Background jobs that are being done.",
    "outbox_events": "Events that are not delivered yet, up to 10,000.",
    "outbox_oldest_seconds": "For how long the oldest of them has been waiting.",
    "projection_lag_seconds": "For how long the read models have been behind.",
    "part_up": "Whether a part does what it should (1), or not (0).",
}
"""Made when they are asked for, of the whole installation: every server shows the same."""
