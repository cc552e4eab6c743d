"""What commands say: tables and facts for people, JSON for programs, errors, and how far they are."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.progress import Progress

_LONGEST_CELL = 100
"""Characters of a text that a table shows where it has all the room that it wants."""

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""What moves the cursor, rings the bell, turns the order of what follows, or is no character at all."""


_SINGULARS = {"yses": "ysis", "ies": "y", "s": "", "": ""}
"""What the endings of plurals are for one."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, between two steps; the message says how to go on."""


def plain(text: object, *, lines: bool = False) -> str:
    """What somebody else wrote, safe to print: control characters as escapes; of `lines`, the ends stay."""
    kept = "\n\t" if lines else ""
    return _UNPRINTABLE.sub(lambda found: found[0] if found[0] in kept else _escaped(found[0]), str(text))


def say(text: object, *, lines: bool = False) -> None:
    """Print a line, or several."""
    click.echo(plain(text, lines=lines))


def complain(text: object, *, lines: bool = False) -> None:
    """Print a line, or several, to standard error, where it is not taken for the result."""
    click.echo(plain(text, lines=lines), err=True)


def counted(counts: Mapping[str, int]) -> str:
    """`1 job analysis, 2 messages`, or `nothing`; the names are plurals, as those of tables."""
    told = []
    for kind, count in counts.items():
        many = kind.replace("_", " ")
        ending, one = next(pair for pair in _SINGULARS.items() if many.endswith(pair[0]))
        if count:
            told.append(f"{count:,} {many.removesuffix(ending) + one if count == 1 else many}")
    return ", ".join(told) or "nothing"


def reason(error: Exception) -> str:
    """Why something failed; the driver's own words in a line, where it is a driver that fails."""
    original = getattr(error, "orig", None)
    if original is None:
        return str(error)
    return f"The database is not as its revision says: {str(original).strip().splitlines()[0]}. Restore a backup."


def print_json(value: object) -> None:
    """One document, for programs. Ids and times are as the API writes them."""
    import orjson

    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()
    # JSON lets more through than a terminal should see; line ends are those of the indentation.
    click.echo(_UNPRINTABLE.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text))


_LEAST = 10
"""Characters that a column of texts has in the narrowest terminal, where lines wrap rather than lose a column."""


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], total: int | None = None, *, whole: bool = False
) -> None:
    """A line a row. Ids, numbers and times are shown whole; texts are cut to the room there is, unless `whole`.

    `total` is how many there are beside those shown.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    needed = 2 * (len(columns) - 1)
    for place, name in enumerate(columns):
        cells = [row[place] for row in rows]
        is_text = any(isinstance(cell, str) and len(cell) > 20 for cell in cells)
        is_number = any(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells)
        least = max(_LEAST if is_text else max((cell_len(_cell(cell)) for cell in cells), default=0), cell_len(name))
        needed += least
        table.add_column(name, no_wrap=not is_text, justify="right" if is_number else "left", min_width=least)
    for row in rows:
        if whole:
            table.add_row(*(Text(shown(cell)) for cell in row))
        else:
            table.add_row(*(Text(_cell(cell), no_wrap=True, overflow="ellipsis") for cell in row))
    console = Console(highlight=False)
    console.width = max(console.width, needed) if console.is_terminal else 400
    with console.capture() as written:  # Printing is ours: a pipe may be closed.
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in written.get().splitlines()))
    if total is not None:
        click.echo(f"{len(rows)} of {total}")


def print_facts(facts: Mapping[str, object]) -> None:
    """What is known about one thing, a line each; what is not known is left out."""
    known = {name: value for name, value in facts.items() if value is not None}
    width = max(map(len, known), default=0)
    for name, value in known.items():
        click.echo(f"{plain(name):{width}}  {shown(value)}")


def shown(value: object) -> str:
    """A value in a line, for people. Times are in UTC."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:g}"
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
        case timedelta():
            return _duration(value)
        case dict() | list() | tuple():
            import orjson

            return plain(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode())
        case _:
            return plain(value)


@contextmanager
def long_work(go_on: str = "Run the same command again to go on.") -> Iterator[LongWork]:
    """Work in steps, with bars on a terminal, that Ctrl-C ends between two steps; `go_on` is said then.

    A second Ctrl-C ends it at once. Bars are drawn on standard error, and nowhere if that is no terminal.
    """
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    work = LongWork(Progress(*columns, console=console, disable=not console.is_terminal, transient=True), go_on)
    before = signal.signal(signal.SIGINT, work.interrupt)
    try:
        with work.bars:
            yield work
    except Interrupted:
        raise
    except KeyboardInterrupt:
        raise Interrupted(go_on) from None
    finally:
        signal.signal(signal.SIGINT, before)


class LongWork:
    """See `long_work`."""

    def __init__(self, bars: Progress, go_on: str) -> None:
        self.bars = bars
        self._go_on = go_on
        self._is_interrupted = False

    def bar(self, what: str, total: int | None = None) -> Callable[[int], None]:
        """A bar more. Call what is returned after each step, with how much is done by it: it may raise Interrupted."""
        task = self.bars.add_task(what, total=total)

        def advance(done: int) -> None:
            self.bars.advance(task, done)
            self.stop_here()

        return advance

    def stop_here(self) -> None:
        """Between two steps: raises Interrupted if Ctrl-C was pressed."""
        if self._is_interrupted:
            raise Interrupted(self._go_on)

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Take a Ctrl-C note of: the first is heard between two steps."""
        if self._is_interrupted:
            raise KeyboardInterrupt
        self._is_interrupted = True
        complain("Stopping after this step. Press Ctrl-C again to stop at once.")


def _cell(value: object) -> str:
    text = shown(value)
    return text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…"


def _escaped(character: str) -> str:
    code = ord(character)
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character) or (
        f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    )


def _duration(time: timedelta) -> str:
    """The two largest units."""
    left = max(0, int(time.total_seconds()))
    parts = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2]) or "0 s"


def print_page(found: Mapping[str, Any], columns: Mapping[str, Callable[[Any], object]], *, as_json: bool) -> None:
    """A page of a list: its JSON, or a table of what each column makes of an item."""
    if as_json:
        print_json(found)
        return
    rows = [[cell(item) for cell in columns.values()] for item in found["items"]]
    print_table(list(columns), rows, found["total"])
