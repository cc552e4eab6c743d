"""How commands explain themselves: what they do, examples that run as they stand, exit codes, and topics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

EXITS: Mapping[int, str] = {
    0: "done",
    1: "refused or failed",
    2: "wrong usage, or a setting that Parley cannot run with",
    3: "a server does not answer: trying again later helps",
    130: "interrupted with Ctrl-C",
    141: "what read the output has gone (a closed pipe)",
}
"""What every command exits with; those that mean something more by one say so in their help."""

FROM_HERE = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Explained(click.Command):
    """A command with `examples`, one a line, and what it means by some `exits`."""

    def __init__(
        self, *args: Any, examples: Sequence[str] = (), exits: Mapping[int, str] | None = None, **settings: Any
    ) -> None:
        self.examples = examples
        self.exits = exits or {}
        super().__init__(*args, **settings)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Say them below the options."""
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:  # Never wrapped: they are there to be copied.
                    formatter.write(f"{'':{formatter.current_indent}}{example}\n")
        if self.exits:
            with formatter.section("Exit codes"):
                formatter.write_dl([(str(code), meaning) for code, meaning in self.exits.items()])
        super().format_epilog(ctx, formatter)


class Group(click.Group):
    """A group whose commands are `Explained`."""

    command_class = Explained
    group_class = type


class Topics(Group):
    """The whole of the command line, its commands by topic, and the exit codes that all share."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._topics: dict[str, list[str]] = {}

    def add_topic(self, name: str, *commands: click.Command) -> None:
        """Commands that are listed together, in this order."""
        for command in commands:
            self.add_command(command)
            self._topics.setdefault(name, []).append(str(command.name))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the topics."""
        return [name for names in self._topics.values() for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each with the first sentence of its help."""
        for topic, names in self._topics.items():
            with formatter.section(topic):
                room = formatter.width - 6 - max(map(len, self.list_commands(ctx)))
                formatter.write_dl([(name, self.commands[name].get_short_help_str(room)) for name in names])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The exit codes."""
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in EXITS.items()])
        super().format_epilog(ctx, formatter)
