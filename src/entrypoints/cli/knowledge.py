"""`parley knowledge` and `parley projects`: what answers are grounded in."""

from __future__ import annotations

from uuid import UUID

import click

from entrypoints.cli.ingesting import Outcome, ingest, work_off
from entrypoints.cli.opening import application
from entrypoints.cli.telling import as_json_option, owner_option, principal_of, print_json, print_table


@click.group()
def knowledge() -> None:
    """Documents that answers are grounded in."""


knowledge.add_command(ingest)


@knowledge.command("list")
@click.option("--project", "key", help="Only this project's, by its key.")
@owner_option()
@click.option("--deleted", is_flag=True, help="The deleted ones instead.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@click.option("--offset", default=0, show_default=True, type=click.IntRange(0))
@as_json_option
def list_documents(key: str | None, owner: str | None, deleted: bool, limit: int, offset: int, as_json: bool) -> None:
    """List documents, what was changed last first."""
    from application.ports.queries import Page

    app = application()
    page = Page(limit=limit, offset=offset, sort_by="updated_at")
    found = app.read_knowledge.documents_of(
        owner=principal_of(owner).key if owner is not None else None, project=key, deleted=deleted, page=page
    )
    if as_json:
        print_json(found)
        return
    columns = ["id", "project", "name", "state", "passages", "vectors", "size", "deleted" if deleted else "changed"]
    rows = [
        [
            str(document["id"]),
            document["project"],
            document["name"],
            document["error"]["code"] if document["error"] else document["status"],
            str(document["passage_count"]),
            "yes" if document["embedded"] else "no",
            f"{document['size']:,}",
            f"{document['deleted_at'] if deleted else document['updated_at']:%Y-%m-%d %H:%M}",
        ]
        for document in found["items"]
    ]
    print_table(columns, rows, found["total"])


@knowledge.command("show")
@click.argument("document_id", type=click.UUID)
@as_json_option
def show_document(document_id: UUID, as_json: bool) -> None:
    """Say what is known about a document."""
    from domain.identity import SYSTEM

    document = application().read_knowledge.document(document_id, SYSTEM)
    if as_json:
        print_json(document)
        return
    for name, value in document.items():
        if value is not None:
            click.echo(f"{name:14} {value}")


@knowledge.command("delete")
@click.argument("document_id", type=click.UUID)
def delete_document(document_id: UUID) -> None:
    """Delete a document; it can be restored."""
    from application.knowledge.documents import DeleteDocument
    from domain.identity import SYSTEM

    app = application()
    name = app.read_knowledge.document(document_id, SYSTEM)["name"]
    app.documents.delete(DeleteDocument(principal=SYSTEM, document_id=document_id))
    click.echo(f"Deleted the document {name!r}.")


@knowledge.command("restore")
@click.argument("document_id", type=click.UUID)
def restore_document(document_id: UUID) -> None:
    """Bring a document back that was deleted by itself."""
    from application.knowledge.documents import RestoreDocument
    from domain.identity import SYSTEM

    document = application().documents.restore(RestoreDocument(principal=SYSTEM, document_id=document_id))
    click.echo(f"Restored the document {document.name!r} of {document.owner}.")


@knowledge.command("reingest")
@click.argument("document_id", type=click.UUID)
@click.option("--wait/--no-wait", default=True, help="Whether to read it in here and now, or to leave it to workers.")
def reingest_document(document_id: UUID, wait: bool) -> None:
    """Read a document in again; exits with 1 if it cannot be read."""
    from application.knowledge.documents import ReingestDocument
    from domain.identity import SYSTEM

    app = application()
    app.documents.reingest(ReingestDocument(principal=SYSTEM, document_id=document_id))
    outcome = Outcome(project="")
    if wait:
        work_off(app, document_id, outcome)
    document = app.read_knowledge.document(document_id, SYSTEM)
    for failure in outcome.failed:
        raise click.ClickException(failure["message"])
    click.echo(f"{document['name']}: {document['status']}, {document['passage_count']} passages.")


@click.group()
def projects() -> None:
    """Projects of all owners."""


@projects.command("list")
@owner_option()
@click.option("--deleted", is_flag=True, help="The deleted ones instead.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@click.option("--offset", default=0, show_default=True, type=click.IntRange(0))
@as_json_option
def list_projects(owner: str | None, deleted: bool, limit: int, offset: int, as_json: bool) -> None:
    """List projects, what was changed last first."""
    from application.ports.queries import Page

    page = Page(limit=limit, offset=offset, sort_by="updated_at")
    key = principal_of(owner).key if owner is not None else None
    found = application().read_knowledge.projects_of(key, deleted=deleted, page=page)
    if as_json:
        print_json(found)
        return
    columns = ["id", "owner", "key", "name", "who", "documents", "passages", "deleted" if deleted else "changed"]
    rows = [
        [
            str(project["id"]),
            project["owner"],
            project["key"],
            project["name"],
            project["visibility"],
            str(project["document_count"]),
            str(project["passage_count"]),
            f"{project['deleted_at'] if deleted else project['updated_at']:%Y-%m-%d %H:%M}",
        ]
        for project in found["items"]
    ]
    print_table(columns, rows, found["total"])


@projects.command("restore")
@click.argument("project_id", type=click.UUID)
def restore_project(project_id: UUID) -> None:
    """Bring a deleted project back with the documents that went with it."""
    from application.knowledge.projects import RestoreProject
    from domain.identity import SYSTEM

    project = application().projects.restore(RestoreProject(principal=SYSTEM, project_id=project_id))
    click.echo(f"Restored the project {project.name!r} of {project.owner}.")
