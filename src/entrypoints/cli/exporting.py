"""`parley export` and `parley import`."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING
from uuid import UUID

import click

from entrypoints.cli.asking import PRINCIPAL, as_json_option, confirm, yes_option
from entrypoints.cli.explaining import Explained
from entrypoints.cli.opening import application
from entrypoints.cli.telling import complain, counted, long_work, print_facts, print_json, say

if TYPE_CHECKING:
    from application.exporting.importing import Imported
    from domain.identity import Principal

_CHUNK = 1024 * 1024


@click.command(
    "export",
    cls=Explained,
    examples=[
        "parley export --principal user:alice --output alice.jsonl",
        "parley export --all --deleted --output installation.jsonl",
    ],
)
@click.option("--room", "room_id", type=click.UUID, help="A room with its conversations.")
@click.option("--conversation", "conversation_id", type=click.UUID, help="A conversation.")
@click.option("--principal", type=PRINCIPAL, help="All that somebody has: user:<id> or visitor:<id>.")
@click.option("--all", "everything", is_flag=True, help="The whole installation: to move it to another database.")
@click.option(
    "--format",
    "written_as",
    type=click.Choice(["json", "markdown", "pdf"]),
    default="json",
    show_default=True,
    help="JSON (JSON Lines) holds everything and can be imported; the others are to read.",
)
@click.option("--branches", type=click.Choice(["all", "current"]), help="Of JSON: all branches (default), or not.")
@click.option(
    "--output", "-o", "path", type=click.Path(path_type=Path), default="-", show_default=True, help="A file; - prints."
)
@click.option("--deleted", is_flag=True, help="Also what is deleted, as long as it is not purged.")
def export(
    room_id: UUID | None,
    conversation_id: UUID | None,
    principal: Principal | None,
    everything: bool,
    written_as: str,
    branches: str | None,
    path: Path,
    deleted: bool,
) -> None:
    """Write a room, a conversation, all that one person has, or everything to a file.

    Say which by one of --room, --conversation, --principal and --all. The server may be running. A file is written
    beside its name and then gets it, so what has the name is whole. Replies in the making are left out.
    """
    from application.exporting.exporting import Branches, Export, Format
    from application.ports.exporting import Extent
    from domain.identity import SYSTEM

    if sum([room_id is not None, conversation_id is not None, principal is not None, everything]) != 1:
        raise click.UsageError("Say what: one of --room, --conversation, --principal and --all.")
    if str(path) == "-" and sys.stdout.isatty() and written_as == "pdf":
        raise click.UsageError("A PDF is nothing for a terminal: name a file by --output.")
    owner = principal.key if principal is not None else None
    query = Export(
        principal=SYSTEM,
        extent=Extent(room_id=room_id, conversation_id=conversation_id, owner=owner, deleted=deleted),
        format=Format(written_as),
        branches=Branches(branches) if branches is not None else None,
    )
    with long_work("Nothing was written. Run the same command again.") as work:
        file = application().exports.write(query)
        chunks = _told_of(file.chunks, work.bar("exporting"))
        if str(path) == "-":
            for chunk in chunks:
                sys.stdout.buffer.write(chunk)
            return
        with _written_whole(path) as out:
            for chunk in chunks:
                out.write(chunk)
    complain(f"Written to {path}.")


@click.command(
    "import",
    cls=Explained,
    examples=[
        "parley import installation.jsonl --dry-run",
        "parley import installation.jsonl --yes",
        "parley import alice.jsonl --owner user:bob --yes",
    ],
    exits={1: "the file cannot be taken in as it is: its line and field are said"},
)
@click.argument("path", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--owner", type=PRINCIPAL, help="Whose all of it shall be; else it stays whose it was.")
@click.option("--as-new", is_flag=True, help="Once more, also what is here already, under other ids.")
@click.option("--dry-run", is_flag=True, help="Only look through the file, and say what would be done.")
@yes_option
@as_json_option
def import_(path: Path, owner: Principal | None, as_new: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Take in what `parley export` has written as JSON.

    The whole file is looked through before anything is written. What is here already is left as it is, so the same
    file can be imported again, also to go on after an interruption. Ids stay, unless they are somebody else's here.
    Documents are read in by a running server or worker. The server may be running. With - the file is read from
    standard input.
    """
    from application.exporting.importing import Import

    with _rewindable(path) as (open_file, size):
        app = application()
        if not dry_run:
            confirm(f"This imports {path} ({size:,} bytes).", yes=yes)
        with long_work() as work:
            advance = work.bar("importing", total=size)
            done = app.exports.take_in(
                Import(open_file=open_file, owner=owner, as_new=as_new, dry_run=dry_run, advance=advance)
            )
    _tell(done, dry_run, as_json)


commands = (export, import_)


def _tell(done: Imported, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json(
            {"dry_run": dry_run, "added": dict(done.added), "present": dict(done.present), "notes": list(done.notes)}
        )
        return
    for note in done.notes:
        complain(note)
    would = "would be added" if dry_run else "added"
    print_facts({would: _counted(done.added), "here already": _counted(done.present)})
    if dry_run:
        say("Nothing was written.")


def _counted(counts: Mapping[str, int]) -> str:
    plurals = {"job_analysis": "job_analyses"}
    return counted({plurals.get(kind, f"{kind}s"): count for kind, count in sorted(counts.items())})


def _told_of(chunks: Iterable[bytes], advance: Callable[[int], None]) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk
        advance(len(chunk))


@contextmanager
def _written_whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that has its name once all is in it, and is nobody else's to read.

    A device or a named pipe is written to, and a symbolic link stays one.
    """
    if path.exists() and not path.is_file():
        try:
            with path.open("wb") as special:
                yield special
        except OSError as error:
            raise click.ClickException(f"Cannot write {path}: {error.strerror}.") from None
        return
    path = path.resolve()
    try:
        # In the same folder: a file system apart would copy it.
        out = tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False)  # noqa: SIM115
    except OSError as error:
        raise click.ClickException(f"Cannot write to {path.parent}: {error.strerror}.") from None
    try:
        with out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        Path(out.name).replace(path)
    except OSError as error:
        raise click.ClickException(f"Cannot write {path}: {error.strerror}.") from None
    finally:
        with suppress(FileNotFoundError):
            Path(out.name).unlink()


@contextmanager
def _rewindable(path: Path) -> Iterator[tuple[Callable[[], IO[bytes]], int]]:
    """What opens the file from its beginning each time, and how many bytes it has."""
    if str(path) != "-":
        yield lambda: path.open("rb"), path.stat().st_size
        return
    with tempfile.NamedTemporaryFile(prefix="parley-import-") as kept:
        source = sys.stdin.buffer
        while chunk := source.read(_CHUNK):
            kept.write(chunk)
        kept.flush()
        again = Path(kept.name)
        yield lambda: again.open("rb"), again.stat().st_size
