"""``lfadsq completion``: make a shell complete verbs, options, runs and collections."""

from __future__ import annotations

import sys

import click

__all__ = ["completion"]

_LINES = {
    "bash": ("~/.bashrc", 'eval "$(lfadsq completion bash)"'),
    "zsh": ("~/.zshrc, after compinit", 'eval "$(lfadsq completion zsh)"'),
    "fish": ("~/.config/fish/config.fish", "lfadsq completion fish | source"),
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("shell", type=click.Choice(sorted(_LINES)))
def completion(shell: str) -> None:
    """Make a shell complete verbs, options, runs and collections with the tab key.

    On a terminal this tells which line to put where; into a pipe it writes the script of the shell
    itself.

    \b
    Examples:
      lfadsq completion bash
      eval "$(lfadsq completion bash)"      for this shell alone
    """
    if sys.stdout.isatty():
        file, line = _LINES[shell]
        click.echo(f"Put this line into {file}, and open a new shell:\n\n  {line}\n")
        return
    from lfadsq.cli.main import lfadsq
    from lfadsq.cli.shells import completion_script

    click.echo(completion_script(lfadsq, shell))
