"""`parley`: serve, migrate, and what operators need. Every command imports what it needs when it runs."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from entrypoints.cli.caches import cache
from entrypoints.cli.conversations import conversations
from entrypoints.cli.explaining import FROM_HERE, Topics
from entrypoints.cli.exporting import export, import_
from entrypoints.cli.installation import doctor, migrate, settings, status
from entrypoints.cli.jobs import job_analyses, jobs
from entrypoints.cli.knowledge import documents, knowledge, projects
from entrypoints.cli.people import sessions, token, visitors
from entrypoints.cli.projections import projections
from entrypoints.cli.replies import replies
from entrypoints.cli.retention import cleanup, erase, scheduler
from entrypoints.cli.rooms import rooms
from entrypoints.cli.running import serve, worker
from entrypoints.cli.shells import completion
from entrypoints.cli.telling import complain, reason

if TYPE_CHECKING:
    from collections.abc import Sequence

_REFUSED = 1
_MISCONFIGURED = 2
_AWAY = 3
_INTERRUPTED = 130
_NOBODY_READS = 141


@click.group(cls=Topics, context_settings=FROM_HERE)
@click.version_option(package_name="parley")
def parley() -> None:
    """Parley, a self-hosted chat backend.

    Settings come from the environment: give a command the ones of the server, PARLEY_DATA_DIR above all. Ids are
    UUIDs, as the API and every list show them; times are in UTC. With --json, a command prints one JSON document.
    What a command says beside its result goes to standard error.
    """


parley.add_topic("Run it", serve, worker, scheduler, migrate)
parley.add_topic("See how it is", doctor, status, settings)
parley.add_topic("Histories", rooms, conversations, replies, export, import_)
parley.add_topic("Knowledge", knowledge, documents, projects, jobs, job_analyses)
parley.add_topic("People", visitors, sessions, token)
parley.add_topic("Upkeep", cleanup, erase, cache, projections)
parley.add_topic("Your shell", completion)


def main() -> None:
    """The console script; see `explaining.EXITS` for what it exits with."""
    # Before anything else is imported, for what was imported before cannot be patched any more.
    if sys.argv[1:2] in (["serve"], ["worker"]):
        from gevent import monkey

        monkey.patch_all()
    _prepare_streams()
    if "_PARLEY_COMPLETE" in os.environ:
        parley(prog_name="parley")  # Click answers the shell.
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Do what the arguments say: the exit code."""
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        _let_nobody_read()
        return _NOBODY_READS
    except OSError as error:  # The disk that the output goes to is full; what else can go wrong was told before.
        with suppress(OSError):
            complain(f"Error: The output cannot be written: {error.strerror}.")
        _let_nobody_read()
        return _REFUSED
    return code


def _run(arguments: Sequence[str]) -> int:
    try:
        with parley.make_context("parley", list(arguments)) as context:
            parley.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.UsageError as wrong:
        wrong.show()
        return wrong.exit_code
    except click.ClickException as refusal:
        complain(f"Error: {refusal.format_message()}")
        return refusal.exit_code
    except (KeyboardInterrupt, click.Abort) as stop:
        complain(f"Interrupted. {stop}".strip())
        return _INTERRUPTED
    except Exception as error:
        code = _code_of(error)
        if code is None:
            raise
        complain(f"Error: {reason(error)}", lines=code == _MISCONFIGURED)  # A file may have several mistakes.
        return code
    return 0


def _code_of(error: Exception) -> int | None:
    """What a failure that was foreseen is exited with."""
    from application.ports.runtime import Misconfigured
    from domain.errors import ParleyError, Unavailable
    from entrypoints.settings import SettingError

    if type(error).__module__ == "sqlalchemy.exc":  # It is not as its revision says, or not as we think.
        return _REFUSED
    match error:
        case SettingError() | Misconfigured():
            return _MISCONFIGURED
        case Unavailable():
            return _AWAY
        case ParleyError():
            return _REFUSED
    return None


def _prepare_streams() -> None:
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # It was closed before we began.
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 # for as long as the process lives
    if isinstance(sys.stdout, io.TextIOWrapper) and isinstance(sys.stdout.buffer, io.RawIOBase):
        # PYTHONUNBUFFERED: what a closed pipe has not taken of a write would be lost without a word.
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(sys.stdout.buffer), encoding=sys.stdout.encoding)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # What its encoding has no sign for is shown as an escape.
            stream.reconfigure(errors="backslashreplace")


def _let_nobody_read() -> None:
    """Keep Python from writing what is left when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError, ValueError):
        os.dup2(nowhere, sys.stdout.fileno())
