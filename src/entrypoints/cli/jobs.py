"""`parley jobs` and `parley job-analyses`: background work, and what it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import click

from entrypoints.cli.asking import as_json_option, deleted_option, key_of, owner_option, page_of, page_options
from entrypoints.cli.deleting import require_undeleted, tell_deleted, tell_restored
from entrypoints.cli.explaining import Group
from entrypoints.cli.opening import application
from entrypoints.cli.purging import purge_command
from entrypoints.cli.telling import print_facts, print_json, print_page

if TYPE_CHECKING:
    from domain.identity import Principal


@click.group(cls=Group)
def jobs() -> None:
    """Background jobs.

    They read documents in, embed them, and analyse job descriptions.
    """


@jobs.command("list", examples=["parley jobs list --live", "parley jobs list --status failed --kind ingest --json"])
@owner_option()
@click.option("--live", is_flag=True, help="Only those that wait or run: --status queued --status running.")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice(["queued", "running", "completed", "failed"]),
    help="Only such; may be repeated.",
)
@click.option("--kind", type=click.Choice(["ingest", "embed", "analyse"]), help="Only such.")
@page_options()
@as_json_option
def list_jobs(
    owner: Principal | None,
    live: bool,
    statuses: tuple[str, ...],
    kind: str | None,
    limit: int,
    offset: int,
    as_json: bool,
) -> None:
    """List jobs, the newest first."""
    wanted = {*statuses, *(("queued", "running") if live else ())}
    found = application().read_all.jobs(owner=key_of(owner), statuses=wanted, kind=kind, page=page_of(limit, offset))
    columns = {
        "id": lambda job: job["id"],
        "kind": lambda job: job["kind"],
        "subject": lambda job: job["subject_id"],
        "status": lambda job: job["status"],
        "done": lambda job: f"{job['done']}/{job['total']}" if job["total"] else None,
        "error": lambda job: job["error"]["code"] if job["error"] else None,
        "queued": lambda job: job["created_at"],
    }
    print_page(found, columns, as_json=as_json)


@jobs.command("show", examples=["parley jobs show 01a1f8c7-7a10-7e0b-9d33-4c8f2a6b1e5f"])
@click.argument("job_id", type=click.UUID)
@as_json_option
def show_job(job_id: UUID, as_json: bool) -> None:
    """Say what is known about a job.

    That is how far it is, how often it was tried, and why it failed or waits.
    """
    found = application().read_all.job(job_id)
    if as_json:
        print_json(found)
    else:
        print_facts(found)


@click.group("job-analyses", cls=Group)
def job_analyses() -> None:
    """Analyses of job descriptions, of all principals."""


@job_analyses.command("list", examples=["parley job-analyses list --owner user:alice"])
@owner_option()
@deleted_option
@page_options("created_at", "title", "score")
@as_json_option
def list_analyses(
    owner: Principal | None, deleted: bool, limit: int, offset: int, sort_by: str, ascending: bool, as_json: bool
) -> None:
    """List job analyses without their texts and results, the newest first."""
    page = page_of(limit, offset, sort_by, ascending)
    found = application().read_all.job_analyses(owner=key_of(owner), deleted=deleted, page=page)
    columns = {
        "id": lambda one: one["id"],
        "owner": lambda one: one["owner"],
        "title": lambda one: one["title"],
        "status": lambda one: one["error"]["code"] if one["error"] else one["status"],
        "score": lambda one: one["score"],
        "deleted" if deleted else "asked": lambda one: one["deleted_at" if deleted else "created_at"],
    }
    print_page(found, columns, as_json=as_json)


@job_analyses.command("show", examples=["parley job-analyses show 01a1f8c7-8b21-7d44-a0c5-5d9e3b7c2f6a"])
@click.argument("analysis_id", type=click.UUID)
@as_json_option
def show_analysis(analysis_id: UUID, as_json: bool) -> None:
    """Say what is known about a job analysis, deleted or not; not its text and result."""
    found = application().read_all.job_analysis(analysis_id)
    if as_json:
        print_json(found)
    else:
        print_facts(found)


@job_analyses.command("delete", examples=["parley job-analyses delete 01a1f8c7-8b21-7d44-a0c5-5d9e3b7c2f6a"])
@click.argument("analysis_id", type=click.UUID)
@as_json_option
def delete_analysis(analysis_id: UUID, as_json: bool) -> None:
    """Delete a job analysis; it can be restored."""
    from application.job_analyses.commands import DeleteJobAnalysis
    from domain.identity import SYSTEM

    app = application()
    found = app.read_all.job_analysis(analysis_id)
    require_undeleted("job_analysis", found)
    deletion = app.job_analyses.delete(DeleteJobAnalysis(principal=SYSTEM, analysis_id=analysis_id))
    tell_deleted(found, deletion, as_json=as_json)


@job_analyses.command("restore", examples=["parley job-analyses restore 01a1f8c7-8b21-7d44-a0c5-5d9e3b7c2f6a"])
@click.argument("analysis_id", type=click.UUID)
@as_json_option
def restore_analysis(analysis_id: UUID, as_json: bool) -> None:
    """Bring a deleted job analysis back; one that was not finished is made anew."""
    from application.job_analyses.commands import RestoreJobAnalysis
    from domain.identity import SYSTEM

    app = application()
    app.job_analyses.restore(RestoreJobAnalysis(principal=SYSTEM, analysis_id=analysis_id))
    tell_restored("job_analysis", app.read_all.job_analysis(analysis_id), as_json=as_json)


job_analyses.add_command(purge_command("job_analysis", "Its text, file and result go with it."))
