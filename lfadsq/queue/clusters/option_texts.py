"""The table of cluster options in words: for the documentation, and as a file to edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from lfadsq.queue.clusters.option_table import OPTIONS, ClusterOption
from lfadsq.queue.clusters.system_names import SYSTEM_NAMES

__all__ = ["options_markdown", "options_toml"]

_WIDTH = 98


def options_markdown() -> str:
    """Write the table for the documentation.

    Returns
    -------
    str
        Lines of a Markdown table, the last with an end of line.
    """
    head = ("in `cluster.toml`", "on the command line", "meaning", "default", "what it becomes")
    rows = [head, ("---",) * len(head), *map(_row, OPTIONS)]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |\n" for row in rows)


def options_toml(
    given: Mapping[str, Any],
    *,
    system: str = "",
    found: Sequence[str] = (),
    other_file: str = "",
) -> str:
    """Write a file of options in which everything is explained.

    Parameters
    ----------
    given : dict
        Values by the names of options; they are set, and all others are comments.
    system : str, optional
        Name of the batch system that it is written for.
    found : sequence of str, optional
        Partitions that there are, in words.
    other_file : str, optional
        The file whose options hold where this one says nothing.

    Returns
    -------
    str
    """
    command = f"--cluster {system or 'slurm'}"
    parts = [
        _comment(
            "What the queue asks of a cluster. Take the # away from what you want to set."
            " Options on the command line come first:"
        )
        + f"#   python run_lfadsqueue.py {command} --walltime 4h\n"
        + f"#   python run_lfadsqueue.py {command} --dry-run      shows the job script\n"
        + (_comment(f"What is not set here is taken from {other_file}.") if other_file else "")
    ]
    for option in OPTIONS:
        lines = _comment(option.help)
        if option.name == "partition" and found:
            lines += "# Those found here:\n"
            lines += "".join(f"#   {' '.join(line.split())}\n" for line in found)
        lines += _comment(f"Default: {_default_text(option).replace('`', '')}.")
        if option.name in given:
            lines += f"{option.name} = {option.kind.write(given[option.name])}\n"
        else:
            shown = option.example or option.kind.write(option.default)
            lines += f"# {option.name} = {shown}\n"
        parts.append(lines)
    parts.append(
        _comment(
            "Below a line with the name of a batch system stands what holds for that one alone:"
            f" {', '.join(SYSTEM_NAMES)}."
        )
        + f'# [{"pbs" if system != "pbs" else "slurm"}]\n# walltime = "2h"\n'
    )
    return "\n".join(parts)


def _row(option: ClusterOption) -> tuple[str, ...]:
    flags = [flag.replace("/", "`, `") for flag in option.flags]
    metavar = f" {option.kind.metavar}" if option.kind.metavar else ""
    return (
        ", ".join(f"`{name}`" for name in option.names),
        ", ".join(f"`{flag}{metavar}`" for flag in flags),
        option.help.removesuffix("."),
        _default_text(option),
        option.becomes,
    )


def _default_text(option: ClusterOption) -> str:
    return option.default_text or f"`{option.kind.write(option.default)}`"


def _comment(text: str) -> str:
    lines = wrap(text, _WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    return "".join(f"# {line}\n" for line in lines)
