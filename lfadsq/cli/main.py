"""The command ``lfadsq``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import click

from lfadsq.cli.boundary import run_command

__all__ = ["lfadsq", "main"]

_VERBS = {
    "demo": "make Lorenz data, train a small sweep on it, and show how well rates are inferred",
    "train": "train one run, or evaluate a trained one (also installed as run_lfads.py)",
}


class _LazyGroup(click.Group):
    """A group whose verbs are imported when they are used, so that ``--help`` stays quick."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted(_VERBS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _VERBS:
            return None
        verb: click.Command = getattr(import_module(f"lfadsq.cli.{name}"), name)
        return verb

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        rows: Sequence[tuple[str, str]] = [(verb, _VERBS[verb]) for verb in sorted(_VERBS)]
        with formatter.section("Verbs"):
            formatter.write_dl(rows)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lfadsq", message="lfadsq %(version)s")
def lfadsq() -> None:
    """Train LFADS models on every GPU a lab may use.

    \b
    Examples:
      lfadsq demo                     the whole path, on made-up data, in minutes
      lfadsq VERB --help              what a verb does, with examples
      python run_lfadsqueue.py        train a collection that you prepared
    """


def main() -> None:
    """Run ``lfadsq`` and end the process."""
    run_command(lfadsq)
