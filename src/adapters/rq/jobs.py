"""What a job of RQ does, and that it does nothing else."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from uuid import UUID

from rq.job import Job

working: ContextVar[Callable[[UUID], None]] = ContextVar("working")
"""How the worker that performs a job does what it is for."""


def write_reply(reply_id: str) -> None:
    """Write a queued reply; does nothing when another worker has it. Only `parley worker` can perform this."""
    working.get()(UUID(reply_id))


def run_job(job_id: str) -> None:
    """Do a queued job; does nothing when another worker has it. Only `parley worker` can perform this."""
    working.get()(UUID(job_id))


TASKS: dict[str, Callable[[str], None]] = {"replies": write_reply, "jobs": run_job}
"""What is done with the ids of each queue."""

_OURS = {f"{task.__module__}.{task.__name__}": task for task in TASKS.values()}


class OurJob(Job):
    """A job that does one of our tasks, whatever stands in Redis: who can write there can have no program run here."""

    @property
    def func(self) -> Callable[[str], None]:
        """The function; RQ's own would import whatever is named. Raises ValueError for another name."""
        if self.func_name not in _OURS:
            raise ValueError(f"A worker of Parley performs {' and '.join(_OURS)} only, not {self.func_name}.")
        return _OURS[self.func_name]

    def execute_success_callback(self, *_: object) -> None:
        """None is ever asked for."""

    def execute_failure_callback(self, *_: object) -> None:
        """None is ever asked for."""

    def send_webhooks(self, *_: object, **__: object) -> None:
        """None are ever asked for."""
