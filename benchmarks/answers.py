"""The same first question asked twice: what the cache of answers saves."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from rich.table import Table
from tests.model_server import MODEL, model_server
from tests.parley_process import Client

from benchmarks.model import PACE, TOKENS
from benchmarks.worlds import Make


def table(make: Make, folder: Path, *, quick: bool) -> Table:
    count = 5 if quick else 20
    with (
        model_server() as model,
        make(
            folder, OPENAI_BASE_URL=model.url, OPENAI_API_KEY="bench", PARLEY_MODEL=MODEL, PARLEY_CACHE_ANSWERS=3600
        ) as world,
    ):
        shown = Table(
            "ask",
            "whole answer, p50 ms",
            "times as fast",
            "model calls",
            title=f"The same first question, {world.name}: {TOKENS} tokens at {1 / PACE:.0f} a second, {count} of them",
        )
        admin = world.web.user("ops", "admin")
        questions = [f"!stream words={TOKENS} delay={PACE:.4f} number={number}" for number in range(count)]
        cold = 0.0
        for ask in ("first", "second, by somebody else", "third, after the cache was cleared"):
            if ask.startswith("third"):
                admin.data("POST", "/cache/clear/", {"region": "answers"})
            asker, calls = world.web.visitor(), len(model.requests)
            median = statistics.median(_asked(asker, question) for question in questions)
            cold = cold or median
            shown.add_row(ask, f"{median * 1e3:.1f}", f"{cold / median:.1f}", f"{len(model.requests) - calls}")
    return shown


def _asked(asker: Client, question: str) -> float:
    """Seconds from the question in a new conversation to the finished answer."""
    conversation = asker.data("POST", "/conversations", {})["id"]
    began = time.monotonic()
    answer = asker.data("POST", f"/conversations/{conversation}/messages?wait=30", {"content": question})
    took = time.monotonic() - began
    assert answer["reply"]["status"] == "completed", answer
    return took
