"""`parley serve` and `parley worker`."""

from __future__ import annotations

import click

from entrypoints.cli.explaining import Explained


@click.command(cls=Explained, examples=["parley serve --migrate", "parley serve --workers 4"])
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 1000), help="Web processes.")
@click.option("--migrate", is_flag=True, help="Bring the database up to date first.")
def serve(workers: int, migrate: bool) -> None:
    """Serve the API and the chat page.

    Goes on until it is told to stop (Ctrl-C, SIGTERM). Without PARLEY_REDIS_URL the one web process writes the
    replies too. With it, `parley worker` does, and --workers may be more than 1. Without --migrate, an old or new
    database is refused.
    """
    from entrypoints.server import serve
    from entrypoints.settings import Settings

    serve(Settings.from_environment(), workers=workers, migrate=migrate)


@click.command(cls=Explained, examples=["parley worker", "parley worker --concurrency 50"])
@click.option("--concurrency", type=click.IntRange(1, 10_000), help="Replies at once; else PARLEY_CONCURRENCY.")
def worker(concurrency: int | None) -> None:
    """Write replies, and do background jobs.

    Goes on until it is told to stop (Ctrl-C, SIGTERM); replies that are being written are given the time of
    PARLEY_SHUTDOWN_GRACE. Needs PARLEY_REDIS_URL; run as many of these as you like, on any machines.
    """
    import dataclasses

    from entrypoints.settings import Settings
    from entrypoints.worker import work

    settings = Settings.from_environment()
    work(dataclasses.replace(settings, concurrency=concurrency or settings.concurrency))
