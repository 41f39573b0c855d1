"""Groups of verbs that are imported when they are used, so that ``--help`` stays quick."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["LazyGroup"]


class LazyGroup(click.Group):
    """A group of verbs.

    Parameters
    ----------
    lazy_verbs : dict of str to (str, str)
        For each verb its place, ``module:name``, and what it does in a line.
    """

    def __init__(self, *args: Any, lazy_verbs: Mapping[str, tuple[str, str]], **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._lazy_verbs = lazy_verbs

    def list_commands(self, context: click.Context) -> list[str]:
        """List the verbs by name."""
        return sorted(self._lazy_verbs)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import a verb; None if there is none of that name."""
        if name not in self._lazy_verbs:
            return None
        module, _, attribute = self._lazy_verbs[name][0].partition(":")
        verb: click.Command = getattr(import_module(module), attribute)
        return verb

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        """Suggest verbs without importing them, and options."""
        from click.shell_completion import CompletionItem

        verbs = [
            CompletionItem(verb, help=self._lazy_verbs[verb][1])
            for verb in sorted(self._lazy_verbs)
            if verb.startswith(incomplete)
        ]
        return verbs + click.Command.shell_complete(self, context, incomplete)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs without importing them."""
        rows = [(verb, self._lazy_verbs[verb][1]) for verb in sorted(self._lazy_verbs)]
        with formatter.section("Verbs"):
            formatter.write_dl(rows)
