"""The official `openai` package as a client of Parley's, unmodified."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import openai

from tests.parley_process import Client


@contextmanager
def speaking(client: Client, **options: Any) -> Iterator[openai.OpenAI]:
    """The package with the token of somebody who is known to a Parley."""
    url = str(client.http.base_url).replace("/api/v1/", "/v1")
    with openai.OpenAI(base_url=url, api_key=client.token, **options) as speaker:
        yield speaker


def bare(id: str) -> str:
    """An id of ours out of its dress."""
    return str(UUID(id.replace("-", "_").rpartition("_")[2]))


def user(content: Any) -> Any:
    return {"role": "user", "content": content}


def assistant(content: Any) -> Any:
    return {"role": "assistant", "content": content}


def system(content: Any) -> Any:
    return {"role": "system", "content": content}
