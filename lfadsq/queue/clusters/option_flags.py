"""Cluster options on the command line, from the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from lfadsq.queue.clusters.option_table import OPTIONS, ClusterOption
from lfadsq.queue.clusters.system_names import SYSTEM_NAMES

__all__ = ["GroupedCommand", "cluster_click_options", "job_click_options"]

_TITLE = "Jobs of a cluster"


class _ClusterFlag(click.Option):
    """An option that help shows under the heading of clusters."""


class GroupedCommand(click.Command):
    """A command whose help has the options of a cluster under a heading of their own."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options into a help text, in groups."""
        groups: dict[str, list[tuple[str, str]]] = {"Options": [], _TITLE: []}
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx) if isinstance(option, click.Option) else None
            if record is not None:
                groups[_TITLE if isinstance(option, _ClusterFlag) else "Options"].append(record)
        for title, records in groups.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def _none_if_empty(
    _context: click.Context, _option: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...] | None:
    return value or None


def _click_option(option: ClusterOption) -> Callable[[Any], Any]:
    default = option.default_text or option.kind.write(option.default).strip('"')
    settings: dict[str, Any] = {
        "cls": _ClusterFlag,
        "default": None,
        "help": f"{option.help}  [default: {_plain(default)}]",
    }
    if option.kind.is_repeatable:
        settings |= {"multiple": True, "callback": _none_if_empty}
        settings["help"] = f"{option.help} May be repeated."
    if not option.is_switch:
        # Values are read with those of the files, so that all that is wrong is told at once.
        settings |= {"metavar": option.kind.metavar, "type": str}
    return click.option(*option.flags, option.name, **settings)


def _plain(text: str) -> str:
    return text.replace('"', "").replace("`", "")


job_click_options: tuple[Callable[[Any], Any], ...] = tuple(map(_click_option, OPTIONS))
"""Options of the table; values are unread text under the names of options, None if not given."""

cluster_click_options: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--cluster",
        metavar="NAME|ADDRESS",
        cls=_ClusterFlag,
        default=None,
        help=f"Train in jobs of a batch system ({', '.join(SYSTEM_NAMES)}), or on the workers of"
        " the Dask scheduler at an address such as tls://10.0.0.1:8786.",
    ),
    click.option(
        "--dry-run",
        is_flag=True,
        cls=_ClusterFlag,
        default=None,
        help="Show the job script and how many jobs would be asked for, and do nothing.",
    ),
    click.option(
        "--no-dask",
        is_flag=True,
        cls=_ClusterFlag,
        default=None,
        help="No connections between nodes: a job array in which each job takes the next run.",
    ),
    *job_click_options,
)
"""Options of a queue on a cluster; None if not given."""
