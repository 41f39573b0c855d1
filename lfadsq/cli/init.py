"""``lfadsq init``: begin an experiment, or write a file of cluster options to edit."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import click

from lfadsq.cli.init_experiment import ask_to_replace, begin_experiment, holds_collection
from lfadsq.cli.targets import json_option
from lfadsq.errors import ConfigError
from lfadsq.files import make_folder, write_text
from lfadsq.queue.clusters.option_flags import GroupedCommand, job_click_options
from lfadsq.queue.clusters.system_names import SYSTEM_NAMES
from lfadsq.texts import harmless

__all__ = ["init"]


def _with_job_options(command: Any) -> Any:
    for option in reversed(job_click_options):
        command = option(command)
    return command


@click.command(cls=GroupedCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", metavar="[NAME]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--cluster",
    "system",
    metavar="SYSTEM",
    help=f"Batch system: {', '.join(SYSTEM_NAMES)}; by default the one whose commands are found"
    " here.",
)
@click.option("--user", is_flag=True, help="Write the file that holds for all your collections.")
@click.option(
    "-f",
    "--force",
    is_flag=True,
    help="Replace a cluster.toml that is there without asking; write an experiment also into a"
    " folder that is not empty, and ask before a file is replaced.",
)
@json_option
@_with_job_options
def init(
    folder: Path | None, system: str | None, user: bool, force: bool, as_json: bool, **given: Any
) -> None:
    """Begin an experiment of your own in the new folder NAME; or write cluster.toml.

    A new experiment has a package with your classes, scripts that prepare models of single
    recordings and of all together, a script that looks at results, and a README. It runs as it is,
    on made-up recordings; what you have to change is marked EDIT.

    In cluster.toml every option of a cluster is explained; those that you give here are set. It is
    written, and no experiment begun, if you give an option of a cluster (--cluster, --partition,
    ...), or no NAME (then into the current folder), or if NAME is the folder of a collection.
    Nothing is submitted.

    \b
    Examples:
      lfadsq init reaching
      lfadsq init --cluster slurm --partition gpu --walltime 12:00:00
      lfadsq init ~/reaching/runs/single --cluster slurm
      lfadsq init --user --account my_lab --setup 'module load cuda/12.4'
    """
    if user and folder is not None:
        raise click.UsageError("give a NAME or --user: one of the two.")
    about_cluster = system is not None or any(value is not None for value in given.values())
    if folder is None or about_cluster or _is_collection(folder):
        _write_options(folder, system, given, user=user, force=force, as_json=as_json)
    else:
        begin_experiment(folder, force=force, as_json=as_json)


def _is_collection(folder: Path) -> bool:
    from lfadsq.queue.clusters.option_sources import FILE_NAME

    return holds_collection(folder.expanduser(), FILE_NAME)


def _write_options(
    folder: Path | None,
    system: str | None,
    given: dict[str, Any],
    *,
    user: bool,
    force: bool,
    as_json: bool,
) -> None:
    from lfadsq.queue.clusters.option_reading import read_given
    from lfadsq.queue.clusters.option_texts import options_toml
    from lfadsq.queue.clusters.partitions import find_partitions, find_system

    system = _system_of(system) if system is not None else find_system()
    values = read_given(given)
    path, others = _places(folder, is_for_user=user)
    if path.exists() and not force and not ask_to_replace(path, "say --force to replace it"):
        raise ConfigError(f"{path} was left as it is")
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
    click.echo(harmless("\n".join(lines)))


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
        raise ConfigError(
            f"{folder} is no folder",
            "name the folder of a collection; a new experiment takes no options of a cluster",
        )
    return folder / FILE_NAME, str(users) if users is not None and users.is_file() else ""


def _next_steps(path: Path, system: str, *, is_for_user: bool) -> list[str]:
    cluster = f"--cluster {system or 'NAME'}"
    go = [] if is_for_user or path.parent == Path.cwd() else [f"cd {shlex.quote(str(path.parent))}"]
    return [
        *go,
        f"lfadsq doctor {cluster}",
        f"python run_lfadsqueue.py {cluster}",
    ]
