"""Cluster options from all that says them, checked as a whole before anything is submitted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lfadsq.errors import ConfigError
from lfadsq.queue.clusters.option_sources import (
    FILE_NAME,
    Findings,
    Setting,
    read_command_line,
    read_file,
    read_python,
    user_file,
)
from lfadsq.queue.clusters.option_table import OPTIONS
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.queue.clusters.system_names import is_address, read_system

__all__ = ["read_cluster_options", "read_given"]

_MARGINS = ("end_margin", "min_time_left")
_SHARE_OF_WALLTIME = 10


def read_cluster_options(
    system: str,
    collection: Path | None = None,
    *,
    arguments: Mapping[str, Any] | None = None,
    command_line: Mapping[str, Any] | None = None,
) -> ClusterOptions:
    """Read the options of a cluster from all that says them.

    Later ones win: defaults, the user's own ``~/.config/lfadsq/cluster.toml`` (or below
    ``XDG_CONFIG_HOME``), ``cluster.toml`` in the collection, Python, and the command line. Within
    a file, the table of a batch system, such as ``[slurm]``, wins over what holds for all. A list
    takes the place of an earlier one, and nothing is added to it.

    Parameters
    ----------
    system : str
        A batch system, or the address of a Dask scheduler that is already there. To an address
        no option applies: files are not read, and what is said elsewhere is refused.
    collection : Path, optional
        Its folder.
    arguments : dict, optional
        What Python says, by the names of options; None is the same as nothing.
    command_line : dict, optional
        What the command line says, likewise; other names in it are passed over.

    Returns
    -------
    ClusterOptions
        Where ``end_margin`` or ``min_time_left`` are not said, they are a tenth of the walltime
        if that is less than their default, so that jobs of a minute get work too.

    Raises
    ------
    ConfigError
        If anything is wrong: every violation is named, with where it was said.
    StorageError
        If a file is there and cannot be read.
    """
    system = read_system(system)
    findings = Findings()
    files = [] if is_address(system) else [user_file(), collection and collection / FILE_NAME]
    for path in filter(None, files):
        read_file(path, system, findings)
    read_python(arguments or {}, findings)
    read_command_line(command_line or {}, findings)
    if is_address(system):
        _refuse_all(findings, system)
    return _options_of(system, findings)


def read_given(command_line: Mapping[str, Any]) -> dict[str, Any]:
    """Check what a command line says by itself, and give its values by the names of options.

    Raises
    ------
    ConfigError
        If anything is wrong: every violation is named.
    """
    findings = Findings()
    read_command_line(command_line, findings)
    _options_of("slurm", findings)
    return {name: setting.value for name, setting in findings.settings.items()}


def _refuse_all(findings: Findings, system: str) -> None:
    findings.check()
    if findings.settings:
        names = ", ".join(findings.settings)
        raise ConfigError(
            f"{system} is a Dask scheduler that is already there: jobs are not asked for, so"
            f" {names} cannot be had",
            "leave that out, or name a batch system in place of the address",
        )


def _options_of(system: str, findings: Findings) -> ClusterOptions:
    settings = {
        option.name: Setting(option.default, "default") for option in OPTIONS
    } | findings.settings
    walltime_s = settings["walltime"].value
    for name in _MARGINS:
        if name not in findings.settings:
            longest_s = walltime_s // _SHARE_OF_WALLTIME
            settings[name] = Setting(min(settings[name].value, longest_s), "default")
    if sum(settings[name].value for name in _MARGINS) >= walltime_s:
        said = {name: _words(name, settings[name]) for name in ("walltime", *_MARGINS)}
        findings.problems.append(
            f"end_margin ({said['end_margin']}) and min_time_left ({said['min_time_left']}) leave"
            f" nothing of the walltime ({said['walltime']}): no training could ever start; give a"
            " longer walltime, or less of the other two"
        )
    findings.check()
    return ClusterOptions(
        system, **{option.field: settings[option.name].value for option in OPTIONS}
    )


def _words(name: str, setting: Setting) -> str:
    kind = next(option.kind for option in OPTIONS if option.name == name)
    return f"{json.loads(kind.write(setting.value))}, {setting.where}"
