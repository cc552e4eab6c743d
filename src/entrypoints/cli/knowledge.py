"""`parley knowledge`, `parley documents` and `parley projects`: what answers are grounded in."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING
from uuid import UUID

import click

from entrypoints.cli.asking import Text, as_json_option, deleted_option, key_of, owner_option, page_of, page_options
from entrypoints.cli.deleting import require_undeleted, tell_deleted, tell_restored
from entrypoints.cli.explaining import Group
from entrypoints.cli.ingesting import Outcome, ingest, work_off
from entrypoints.cli.opening import application
from entrypoints.cli.purging import purge_command
from entrypoints.cli.telling import plain, print_facts, print_json, print_page, say

if TYPE_CHECKING:
    from domain.identity import Principal


@click.group(cls=Group)
def knowledge() -> None:
    """Read files in that answers are grounded in, and search."""


knowledge.add_command(ingest)


@knowledge.command(
    "search",
    examples=[
        'parley knowledge search "How long are sessions kept?"',
        'parley knowledge search "opening hours" --owner user:alice --limit 3 --json',
    ],
)
@click.argument("question", type=Text())
@owner_option(default="system")
@click.option("--project", "project_id", type=click.UUID, help="In this project only.")
@click.option("--agent", type=Text(100), help="In what this agent draws on only.")
@click.option(
    "--mode",
    type=click.Choice(["hybrid", "text", "vector"]),
    default="hybrid",
    show_default=True,
    help="By words, by meaning (which needs an embedding model), or by both.",
)
@click.option("--limit", default=5, show_default=True, type=click.IntRange(1, 20), help="At most so many passages.")
@as_json_option
def search_knowledge(
    question: str, owner: Principal, project_id: UUID | None, agent: str | None, mode: str, limit: int, as_json: bool
) -> None:
    """Find the passages that an answer to QUESTION would be grounded in, best first.

    They are looked for in all public projects and in those of --owner.
    """
    from dataclasses import asdict

    from application.knowledge.retrieval import Mode
    from domain.agents import ALL_KNOWLEDGE

    app = application()
    if project_id is not None:
        app.read_knowledge.project(project_id, owner)
    scope = app.retrieval.scope_for(
        owner.key, app.agents.named(agent).knowledge if agent is not None else ALL_KNOWLEDGE, project_id
    )
    found = app.retrieval.find(question, scope, limit=limit, mode=Mode(mode))
    if as_json:
        print_json({"items": [asdict(one) for one in found.passages], "mode": found.mode, "total": len(found.passages)})
        return
    for passage in found.passages:
        where = " › ".join(filter(None, [passage.title, passage.heading]))
        click.echo(click.style(f"{plain(where)} ({plain(passage.document)}, {passage.relevance:.0%})", bold=True))
        say(passage.text, lines=True)
        click.echo()
    say(f"{len(found.passages)} passages, found by {found.mode}.")


@click.group(cls=Group)
def documents() -> None:
    """Documents of all owners."""


@documents.command(
    "list", examples=["parley documents list --project handbook", "parley documents list --deleted --json"]
)
@click.option("--project", "key", type=Text(200), help="Only this project's, by its key.")
@owner_option()
@deleted_option
@page_options("updated_at", "created_at", "name")
@as_json_option
def list_documents(
    key: str | None,
    owner: Principal | None,
    deleted: bool,
    limit: int,
    offset: int,
    sort_by: str,
    ascending: bool,
    as_json: bool,
) -> None:
    """List documents, what was changed last first."""
    page = page_of(limit, offset, sort_by, ascending)
    found = application().read_all.documents(owner=key_of(owner), project=key, deleted=deleted, page=page)
    columns = {
        "id": lambda one: one["id"],
        "project": lambda one: one["project"],
        "name": lambda one: one["name"],
        "state": lambda one: one["error"]["code"] if one["error"] else one["status"],
        "passages": lambda one: one["passage_count"],
        "vectors": lambda one: one["embedded"],
        "size": lambda one: one["size"],
        "deleted" if deleted else "changed": lambda one: one["deleted_at" if deleted else "updated_at"],
    }
    print_page(found, columns, as_json=as_json)


@documents.command("show", examples=["parley documents show 01a1f8c7-be54-7977-93f8-80c16eaf5293"])
@click.argument("document_id", type=click.UUID)
@as_json_option
def show_document(document_id: UUID, as_json: bool) -> None:
    """Say what is known about a document, deleted or not."""
    found = application().read_all.document(document_id)
    if as_json:
        print_json(found)
    else:
        print_facts(found)


@documents.command("delete", examples=["parley documents delete 01a1f8c7-be54-7977-93f8-80c16eaf5293"])
@click.argument("document_id", type=click.UUID)
@as_json_option
def delete_document(document_id: UUID, as_json: bool) -> None:
    """Delete a document; it can be restored.

    From then on no answer is grounded in it. The server may be running.
    """
    from application.knowledge.documents import DeleteDocument
    from domain.identity import SYSTEM

    app = application()
    found = app.read_all.document(document_id)
    require_undeleted("document", found)
    deletion = app.documents.delete(DeleteDocument(principal=SYSTEM, document_id=document_id))
    tell_deleted(found, deletion, as_json=as_json)


@documents.command("restore", examples=["parley documents restore 01a1f8c7-be54-7977-93f8-80c16eaf5293"])
@click.argument("document_id", type=click.UUID)
@as_json_option
def restore_document(document_id: UUID, as_json: bool) -> None:
    """Bring a document back that was deleted by itself.

    One that went with its project comes back with that: `parley projects restore`.
    """
    from application.knowledge.documents import RestoreDocument
    from domain.identity import SYSTEM

    app = application()
    app.documents.restore(RestoreDocument(principal=SYSTEM, document_id=document_id))
    tell_restored("document", app.read_all.document(document_id), as_json=as_json)


documents.add_command(purge_command("document", "Its file, passages and vectors go with it."))


@documents.command(
    "reingest",
    examples=["parley documents reingest 01a1f8c7-be54-7977-93f8-80c16eaf5293"],
    exits={1: "it cannot be read"},
)
@click.argument("document_id", type=click.UUID)
@click.option("--wait/--no-wait", default=True, help="Whether to read it in here and now, or to leave it to workers.")
@as_json_option
def reingest_document(document_id: UUID, wait: bool, as_json: bool) -> None:
    """Read a document in again.

    As after an upgrade of Parley that reads more out of files, or a change of the embedding model. What was read
    before is found until then.
    """
    from application.knowledge.documents import ReingestDocument
    from domain.identity import SYSTEM

    app = application()
    app.documents.reingest(ReingestDocument(principal=SYSTEM, document_id=document_id))
    outcome = Outcome(project="")
    if wait:
        work_off(app, document_id, outcome)
    for failure in outcome.failed:
        raise click.ClickException(failure["message"])
    document = app.read_all.document(document_id)
    if as_json:
        print_json(document)
    else:
        say(f"{document['name']}: {document['status']}, {document['passage_count']} passages.")


@click.group(cls=Group)
def projects() -> None:
    """Projects of all owners, which documents are in."""


@projects.command("list", examples=["parley projects list", "parley projects list --deleted --json"])
@owner_option()
@deleted_option
@page_options("updated_at", "created_at", "name")
@as_json_option
def list_projects(
    owner: Principal | None, deleted: bool, limit: int, offset: int, sort_by: str, ascending: bool, as_json: bool
) -> None:
    """List projects, what was changed last first.

    The documents of a deleted project are those that went with it.
    """
    page = page_of(limit, offset, sort_by, ascending)
    found = application().read_all.projects(owner=key_of(owner), deleted=deleted, page=page)
    columns = {
        "id": lambda one: one["id"],
        "owner": lambda one: one["owner"],
        "key": lambda one: one["key"],
        "name": lambda one: one["name"],
        "who": lambda one: one["visibility"],
        "documents": lambda one: one["document_count"],
        "passages": lambda one: one["passage_count"],
        "deleted" if deleted else "changed": lambda one: one["deleted_at" if deleted else "updated_at"],
    }
    print_page(found, columns, as_json=as_json)


@projects.command("show", examples=["parley projects show 01a1f8c7-cf65-7888-a409-91d27fb06304"])
@click.argument("project_id", type=click.UUID)
@as_json_option
def show_project(project_id: UUID, as_json: bool) -> None:
    """Say what is known about a project, deleted or not."""
    found = application().read_all.project(project_id)
    if as_json:
        print_json(found)
    else:
        print_facts(found)


@projects.command("delete", examples=["parley projects delete 01a1f8c7-cf65-7888-a409-91d27fb06304"])
@click.argument("project_id", type=click.UUID)
@as_json_option
def delete_project(project_id: UUID, as_json: bool) -> None:
    """Delete a project with its documents; it can be restored.

    What is being read in for it is stopped. The server may be running.
    """
    from application.knowledge.projects import DeleteProject
    from domain.identity import SYSTEM

    app = application()
    found = app.read_all.project(project_id)
    require_undeleted("project", found)
    deletion = app.projects.delete(DeleteProject(principal=SYSTEM, project_id=project_id))
    tell_deleted(found, deletion, as_json=as_json)


@projects.command("restore", examples=["parley projects restore 01a1f8c7-cf65-7888-a409-91d27fb06304"])
@click.argument("project_id", type=click.UUID)
@as_json_option
def restore_project(project_id: UUID, as_json: bool) -> None:
    """Bring a deleted project back with the documents that went with it."""
    from application.knowledge.projects import RestoreProject
    from domain.identity import SYSTEM

    app = application()
    app.projects.restore(RestoreProject(principal=SYSTEM, project_id=project_id))
    tell_restored("project", app.read_all.project(project_id), as_json=as_json)


projects.add_command(purge_command("project", "Its documents, passages and vectors go with it."))

for _command in (list_documents, show_document, delete_document, restore_document, reingest_document):
    # What they were called before there was `parley documents`.
    _former = copy.copy(_command)
    _former.hidden = True
    knowledge.add_command(_former)
