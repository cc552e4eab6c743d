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

from entrypoints.cli.asking import Text, as_json_option, owner_option
from entrypoints.cli.explaining import Explained
from entrypoints.cli.opening import application
from entrypoints.cli.telling import complain, long_work, plain, print_json, say

if TYPE_CHECKING:
    from application.facade import Application
    from domain.identity import Principal

_DOCUMENTS = ".txt .text .log .md .markdown .rst .adoc .org .tex .html .htm .xhtml .pdf .docx"
_DATA = ".csv .tsv .json .jsonl .yaml .yml .toml .xml"
_CODE = (
    ".py .pyi .js .mjs .cjs .jsx .ts .tsx .vue .svelte .css .scss .java .kt .kts .scala .groovy .gradle .clj .go .rs "
    ".c .h .cc .cpp .cxx .hh .hpp .cs .fs .vb .swift .dart .rb .php .pl .pm .lua .r .jl .ex .exs .erl .hs .ml .sh "
    ".bash .zsh .ps1 .bat .sql .graphql .proto .tf"
)
_SUFFIXES = frozenset(f"{_DOCUMENTS} {_DATA} {_CODE}".split())
"""What is read of a folder; a file that is named by itself is read whatever it is called."""

_NOT_WRITTEN = frozenset({"node_modules", "__pycache__"})
"""Folders of what programs have put there, which would bury what people have written."""

_MOST_NAMED = 20
"""Files that are passed over and named one by one where people read it."""


@click.command(
    cls=Explained,
    examples=[
        "parley knowledge ingest path/to/handbook --project handbook --prune",
        "parley knowledge ingest notes.md --project notes --private --owner user:alice",
    ],
    exits={1: "a file could not be read in; the others were"},
)
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--project",
    "key",
    type=Text(200),
    default="documents",
    show_default=True,
    help="The key of the project they go to, which is made if there is none.",
)
@click.option("--public/--private", default=True, help="Whom a project answers that is made for them; else it stays.")
@owner_option(default="system")
@click.option("--prune", is_flag=True, help="Delete the project's documents that are not among the files.")
@click.option("--wait/--no-wait", default=True, help="Whether to read them in here and now, or to leave it to workers.")
@as_json_option
def ingest(
    paths: tuple[Path, ...], key: str, public: bool, owner: Principal, prune: bool, wait: bool, as_json: bool
) -> None:
    """Read files and folders in: what is new or has changed since the last time.

    Folders are gone through for documents, text and source code, hidden files apart; what else is in them, and links
    that lead out of them, is passed over and named. Documents are called after their files, by their paths in the
    folder. Can be interrupted, and run again to go on. The server may be running.
    """
    from application.knowledge.syncing import EnsureProject
    from domain.identity import ADMIN, SYSTEM, Principal, PrincipalKind
    from domain.knowledge import Visibility

    if owner.kind is not PrincipalKind.USER:
        raise click.BadParameter('a visitor has no projects: it must be user:<id> or "system".', param_hint="--owner")
    outcome = Outcome(project=key)
    files = _files(paths, outcome)
    principal = Principal(owner.kind, owner.id, frozenset({ADMIN}))  # With an operator's rights.
    if not public and principal == SYSTEM:
        raise click.UsageError("A private project answers its owner alone: say who that is, by --owner user:<id>.")
    if prune and not files:
        raise click.UsageError("There is nothing to read in: --prune would delete every document of the project.")
    app = application()
    project = app.projects.ensure(
        EnsureProject(principal=principal, key=key, visibility=Visibility.PUBLIC if public else Visibility.PRIVATE)
    )
    with long_work() as work:
        advance = work.bar("reading in", len(files))
        for name, file in files.items():
            _put(app, principal, project.id, name, file, wait, outcome)
            advance(1)
    if prune:
        _prune(app, principal, project.id, set(files), outcome)
    _tell(outcome, as_json)
    if outcome.failed:
        sys.exit(1)


@dataclass
class Outcome:
    """What became of the files, by their names: `retried` are those that had failed before, and have not now."""

    project: str
    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    retried: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    put_off: list[dict[str, str]] = field(default_factory=list)
    passed_over: list[dict[str, str]] = field(default_factory=list)


def work_off(app: Application, document_id: UUID, outcome: Outcome) -> bool:
    """Have a document read in, and note what went wrong. Whether it failed for good."""
    from domain.identity import SYSTEM

    put_off = app.documents.work_off(document_id)
    document = app.read_knowledge.document(document_id, SYSTEM)
    if put_off is not None and put_off.error is not None:
        _note(outcome.put_off, document["name"], **put_off.error)
    elif document["error"] is not None:
        _note(outcome.failed, document["name"], **document["error"])
        return True
    return False


def _files(paths: Sequence[Path], outcome: Outcome) -> dict[str, Path]:
    """The files by the names of their documents."""
    found: dict[str, Path] = {}
    for path in paths:
        for called, file in _below(path, outcome) if path.is_dir() else [(path.name, path)]:
            name = _named(called)
            if name in found and not found[name].samefile(file):
                raise click.UsageError(f"Two files would be called {name!r}: {plain(found[name])} and {plain(file)}.")
            found[name] = file
    return found


def _named(called: str) -> str:
    """Files may be called what is no text."""
    return os.fsencode(called).decode(errors="replace")


def _below(folder: Path, outcome: Outcome) -> Iterator[tuple[str, Path]]:
    """What is read of a folder; what else is in it is noted."""
    real = folder.resolve()
    for file in sorted(_visible(folder)):
        called = file.relative_to(folder).as_posix()
        if file.is_symlink() and file.is_dir():
            _note(outcome.passed_over, _named(called), "link_to_folder", "It is a link to a folder.")
        elif file.is_dir():
            _note(outcome.passed_over, _named(called), "folder_not_read", "It holds what programs have put there.")
        elif not file.is_file():
            _note(outcome.passed_over, _named(called), "no_file", "It is no file.")
        elif not file.resolve().is_relative_to(real):
            _note(outcome.passed_over, _named(called), "link_leads_out", "It is a link that leads out of the folder.")
        elif file.suffix.lower() not in _SUFFIXES:
            _note(outcome.passed_over, _named(called), "type_not_read", "Files called so are read if named one by one.")
        else:
            yield called, file


def _visible(folder: Path) -> Iterator[Path]:
    """All files below, and the folders that are not gone into; nothing hidden."""
    for above, folders, files in os.walk(folder):
        closed = [name for name in folders if name in _NOT_WRITTEN or Path(above, name).is_symlink()]
        folders[:] = [name for name in folders if not name.startswith(".") and name not in closed]
        yield from (Path(above, name) for name in (*closed, *files) if not name.startswith("."))


def _put(
    app: Application, principal: Principal, project_id: UUID, name: str, file: Path, wait: bool, outcome: Outcome
) -> None:
    from application.knowledge.syncing import Change, PutDocument
    from domain.errors import ParleyError, Unavailable

    try:
        content = _content(file, app.documents.add.limits.document_bytes)
        putting = PutDocument(principal=principal, project_id=project_id, name=name, content=content)
        document_id, change = app.documents.put(putting)
    except OSError as error:
        _note(outcome.failed, name, "file_unreadable", error.strerror or str(error))
    except Unavailable:
        raise
    except ParleyError as refusal:
        _note(outcome.failed, name, refusal.slug, refusal.message)
    else:
        changes = {
            Change.ADDED: outcome.added,
            Change.REPLACED: outcome.replaced,
            Change.RETRIED: outcome.retried,
            Change.UNCHANGED: outcome.unchanged,
        }
        if not wait or not work_off(app, document_id, outcome):
            changes[change].append(name)


def _content(file: Path, at_most: int) -> bytes:
    """What is in it; a file that is too large is refused before it fills the memory."""
    from domain.errors import Invalid

    with file.open("rb") as opened:
        content = opened.read(at_most + 1)
        size = max(os.fstat(opened.fileno()).st_size, len(content))
    if len(content) > at_most:
        raise Invalid({"file": f"Must be at most {at_most:,} bytes, but has {size:,}."})
    return content


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
        complain(f"{failure['name']}: {failure['message']}")
    for waiting in outcome.put_off:
        complain(f"{waiting['name']}: {waiting['message']} A running Parley tries it again.")
    for passed in outcome.passed_over[:_MOST_NAMED]:
        complain(f"{passed['name']}: passed over. {passed['message']}")
    if len(outcome.passed_over) > _MOST_NAMED:
        complain(f"{len(outcome.passed_over) - _MOST_NAMED} more were passed over: --json names them all.")
    counts: dict[str, Sequence[object]] = {
        "added": outcome.added,
        "replaced": outcome.replaced,
        "retried": outcome.retried,
        "unchanged": outcome.unchanged,
        "deleted": outcome.deleted,
        "failed": outcome.failed,
        "passed over": outcome.passed_over,
    }
    seldom = ("retried", "passed over")
    told = ", ".join(f"{len(those)} {what}" for what, those in counts.items() if those or what not in seldom)
    say(f"Project {outcome.project}: {told}.")
