"""`parley knowledge ingest`: files and folders become documents."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from entrypoints.cli.opening import application
from entrypoints.cli.telling import as_json_option, owner_option, principal_of, print_json

if TYPE_CHECKING:
    from application.facade import Application
    from domain.identity import Principal

_SUFFIXES = frozenset({".txt", ".text", ".log", ".md", ".markdown", ".html", ".htm", ".xhtml", ".pdf", ".docx"})
"""What is read of a folder; a file that is named by itself is read whatever it is called."""


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--project", "key", default="documents", show_default=True, help="The key of the project they go to.")
@click.option("--public/--private", default=True, help="Whom a project answers that is made for them; else it stays.")
@owner_option(default="system")
@click.option("--prune", is_flag=True, help="Delete the project's documents that are not among the files.")
@click.option("--wait/--no-wait", default=True, help="Whether to read them in here and now, or to leave it to workers.")
@as_json_option
def ingest(paths: tuple[Path, ...], key: str, public: bool, owner: str, prune: bool, wait: bool, as_json: bool) -> None:
    """Read files and folders in: what is new or has changed since the last time.

    Folders are gone through with all that is in them, hidden files apart. Documents are called after their files,
    by their paths in the folder. Exits with 1 if any cannot be read; the others are read in all the same.
    """
    from application.knowledge.syncing import EnsureProject
    from domain.identity import SYSTEM
    from domain.knowledge import Visibility

    files = _files(paths)
    principal = principal_of(owner)
    if not public and principal == SYSTEM:
        raise click.UsageError("A private project answers its owner alone: say who that is, by --owner user:<id>.")
    if prune and not files:
        raise click.UsageError("There is nothing to read in: --prune would delete every document of the project.")
    app = application()
    project = app.projects.ensure(
        EnsureProject(principal=principal, key=key, visibility=Visibility.PUBLIC if public else Visibility.PRIVATE)
    )
    outcome = Outcome(project=project.key)
    for name, file in _with_progress(files):
        _put(app, principal, project.id, name, file, wait, outcome)
    if prune:
        _prune(app, principal, project.id, set(files), outcome)
    _tell(outcome, as_json)
    if outcome.failed:
        sys.exit(1)


@dataclass
class Outcome:
    """What became of the files, by their names."""

    project: str
    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    put_off: list[dict[str, str]] = field(default_factory=list)


def work_off(app: Application, document_id: UUID, outcome: Outcome) -> None:
    """Have a document read in, and note what went wrong."""
    from domain.identity import SYSTEM

    put_off = app.documents.work_off(document_id)
    document = app.read_knowledge.document(document_id, SYSTEM)
    if put_off is not None and put_off.error is not None:
        _note(outcome.put_off, document["name"], **put_off.error)
    elif document["error"] is not None:
        _note(outcome.failed, document["name"], **document["error"])


def _files(paths: Sequence[Path]) -> dict[str, Path]:
    """The files by the names of their documents."""
    found: dict[str, Path] = {}
    for path in paths:
        for called, file in _below(path) if path.is_dir() else [(path.name, path)]:
            name = os.fsencode(called).decode(errors="replace")  # Files may be called what is no text.
            if name in found and not found[name].samefile(file):
                raise click.UsageError(f"Two files would be called {name!r}: {found[name]} and {file}.")
            found[name] = file
    return found


def _below(folder: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(folder.rglob("*")):
        inside = file.relative_to(folder)
        is_hidden = any(part.startswith(".") for part in inside.parts)
        if file.suffix.lower() in _SUFFIXES and not is_hidden and file.is_file():
            yield inside.as_posix(), file


def _with_progress(files: dict[str, Path]) -> Iterator[tuple[str, Path]]:
    """The files one by one, with a bar on a terminal."""
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not sys.stderr.isatty(), transient=True) as progress:
        bar = progress.add_task("reading in", total=len(files))
        for name, file in files.items():
            yield name, file
            progress.advance(bar)


def _put(
    app: Application, principal: Principal, project_id: UUID, name: str, file: Path, wait: bool, outcome: Outcome
) -> None:
    from application.knowledge.syncing import Change, PutDocument
    from domain.errors import ParleyError, Unavailable

    try:
        content = file.read_bytes()
        putting = PutDocument(principal=principal, project_id=project_id, name=name, content=content)
        document_id, change = app.documents.put(putting)
    except OSError as error:
        _note(outcome.failed, name, "file_unreadable", error.strerror or str(error))
    except Unavailable:
        raise
    except ParleyError as refusal:
        _note(outcome.failed, name, refusal.slug, refusal.message)
    else:
        changes = {Change.ADDED: outcome.added, Change.REPLACED: outcome.replaced, Change.UNCHANGED: outcome.unchanged}
        changes[change].append(name)
        if wait:
            work_off(app, document_id, outcome)


def _note(into: list[dict[str, str]], name: str, code: str, message: str) -> None:
    into.append({"name": name, "code": code, "message": message})


def _prune(app: Application, principal: Principal, project_id: UUID, names: set[str], outcome: Outcome) -> None:
    from application.knowledge.documents import DeleteDocument
    from application.ports.queries import Page

    offset, step = 0, 500
    gone: list[tuple[str, UUID]] = []
    while items := app.read_knowledge.documents(
        principal, project_id, Page(limit=step, offset=offset, sort_by="name", descending=False)
    )["items"]:
        gone += [(document["name"], document["id"]) for document in items if document["name"] not in names]
        offset += step
    for name, document_id in gone:
        app.documents.delete(DeleteDocument(principal=principal, document_id=document_id))
        outcome.deleted.append(name)


def _tell(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        print_json(asdict(outcome))
        return
    for failure in outcome.failed:
        click.echo(f"{failure['name']}: {failure['message']}", err=True)
    for waiting in outcome.put_off:
        click.echo(f"{waiting['name']}: {waiting['message']} A running Parley tries it again.", err=True)
    counts: dict[str, Sequence[object]] = {
        "added": outcome.added,
        "replaced": outcome.replaced,
        "unchanged": outcome.unchanged,
        "deleted": outcome.deleted,
        "failed": outcome.failed,
    }
    told = ", ".join(f"{len(those)} {what}" for what, those in counts.items())
    click.echo(f"Project {outcome.project}: {told}.")
