"""`parley completion`: what a shell needs to complete commands, options and their values."""

from __future__ import annotations

import click

from entrypoints.cli.explaining import Explained


@click.command(
    cls=Explained,
    examples=[
        'eval "$(parley completion bash)"    # in ~/.bashrc',
        'eval "$(parley completion zsh)"     # in ~/.zshrc',
        "parley completion fish > ~/.config/fish/completions/parley.fish",
    ],
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what a shell completes commands with.

    That is for SHELL to read: it completes the commands then, their options, and the values that these may have.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    click.echo(kind(context.find_root().command, {}, "parley", "_PARLEY_COMPLETE").source())
