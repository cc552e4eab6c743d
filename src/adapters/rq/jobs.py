"""What a job of the queue does, and that it does nothing else."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from uuid import UUID

from rq.job import Job

_OURS = "adapters.rq.jobs.write_reply"

writing: ContextVar[Callable[[UUID], None]] = ContextVar("writing")
"""How the worker that performs a job writes a reply."""


def write_reply(reply_id: str) -> None:
    """Write a queued reply; does nothing when another worker has it. Only `parley worker` can perform this."""
    writing.get()(UUID(reply_id))


class ReplyJob(Job):
    """A job that writes a reply, whatever stands in Redis: who can write there cannot have a program run here."""

    @property
    def func(self) -> Callable[[str], None]:
        """The one function; RQ's own would import whatever is named. Raises ValueError for another name."""
        if self.func_name != _OURS:
            raise ValueError(f"A worker of Parley performs {_OURS} only, not {self.func_name}.")
        return write_reply

    def execute_success_callback(self, *_: object) -> None:
        """None is ever asked for."""

    def execute_failure_callback(self, *_: object) -> None:
        """None is ever asked for."""

    def send_webhooks(self, *_: object, **__: object) -> None:
        """None are ever asked for."""
