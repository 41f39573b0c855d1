"""``lfadsq init``: write a file of cluster options to edit."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from lfadsq.cli.targets import json_option, printable
from lfadsq.errors import ConfigError
from lfadsq.files import make_folder, write_text
from lfadsq.queue.clusters.option_flags import GroupedCommand, job_click_options
from lfadsq.queue.clusters.system_names import SYSTEM_NAMES

__all__ = ["init"]


def _with_job_options(command: Any) -> Any:
    for option in reversed(job_click_options):
        command = option(command)
    return command


@click.command(cls=GroupedCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option(
    "--cluster",
    "system",
    metavar="NAME",
    help=f"Batch system: {', '.join(SYSTEM_NAMES)}; by default the one whose commands are found"
    " here.",
)
@click.option("--user", is_flag=True, help="Write the file that holds for all your collections.")
@click.option("-f", "--force", is_flag=True, help="Replace a file that is there, without asking.")
@json_option
@_with_job_options
def init(
    folder: Path | None, system: str | None, user: bool, force: bool, as_json: bool, **given: Any
) -> None:
    """Write cluster.toml, in which every option of a cluster is explained, into FOLDER.

    FOLDER is that of a collection, by default the current one. Options that you give here are set
    in the file; the others are comments to edit. Nothing is submitted.

    \b
    Examples:
      lfadsq init
      lfadsq init ~/runs/my_collection --cluster slurm --partition gpu --walltime 12:00:00
      lfadsq init --user --account my_lab --setup 'module load cuda/12.4'
    """
    from lfadsq.queue.clusters.option_reading import read_given
    from lfadsq.queue.clusters.option_texts import options_toml
    from lfadsq.queue.clusters.partitions import find_partitions, find_system

    if user and folder is not None:
        raise click.UsageError("give a FOLDER or --user: one of the two.")
    system = _system_of(system) if system is not None else find_system()
    values = read_given(given)
    path, others = _places(folder, is_for_user=user)
    if path.exists() and not force:
        _ask(path)
    found = find_partitions(system)
    if user:
        make_folder(path.parent)
    write_text(path, options_toml(values, system=system, found=found, other_file=others))
    steps = _next_steps(path, system, is_for_user=user)
    if as_json:
        result = {
            "file": str(path),
            "cluster": system or None,
            "set": sorted(values),
            "partitions": found,
            "next": steps,
        }
        click.echo(json.dumps(result, indent=2))
        return
    lines = [f"wrote {path}"]
    lines += [f"found {system} here"] if system and found else []
    lines += [f"  {line}" for line in found]
    lines += ["next:", f"  edit {path}", *(f"  {step}" for step in steps)]
    click.echo(printable("\n".join(lines)))


def _system_of(text: str) -> str:
    from lfadsq.queue.clusters.system_names import is_address, read_system

    system = read_system(text)
    if is_address(system):
        raise ConfigError(
            f"{system} is a Dask scheduler that is already there, which no option applies to",
            f"give a batch system: {', '.join(SYSTEM_NAMES)}",
        )
    return system


def _places(folder: Path | None, *, is_for_user: bool) -> tuple[Path, str]:
    """Tell where to write, and which file holds for what is left out there."""
    from lfadsq.queue.clusters.option_sources import FILE_NAME, user_file

    users = user_file()
    if is_for_user:
        if users is None:
            raise ConfigError("you have no home folder", "set XDG_CONFIG_HOME to a folder of yours")
        return users, ""
    folder = (folder or Path()).expanduser().absolute()
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder", "name the folder of a collection")
    return folder / FILE_NAME, str(users) if users is not None and users.is_file() else ""


def _ask(path: Path) -> None:
    try:
        agreed = click.confirm(f"{path} is there already. Replace it?", err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)  # the question has no end of line
        raise ConfigError(
            f"{path} is there already, and nobody answered, so it was left as it is",
            "say --force to replace it",
        ) from None
    if not agreed:
        raise ConfigError(f"{path} was left as it is")


def _next_steps(path: Path, system: str, *, is_for_user: bool) -> list[str]:
    cluster = f"--cluster {system or 'NAME'}"
    go = [] if is_for_user or path.parent == Path.cwd() else [f"cd {shlex.quote(str(path.parent))}"]
    return [
        *go,
        f"lfadsq doctor {cluster}",
        f"python run_lfadsqueue.py {cluster}",
    ]
