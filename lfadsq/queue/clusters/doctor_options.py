"""The options with which `lfadsq doctor` submits its job, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lfadsq.queue.clusters.doctor_report import Finding, ok
from lfadsq.queue.clusters.option_sources import FILE_NAME, Findings, read_file, user_file
from lfadsq.queue.clusters.option_table import OPTIONS
from lfadsq.queue.clusters.options import ClusterOptions
from lfadsq.texts import duration_text

__all__ = ["WALLTIME_S", "sources_finding", "tiny"]

WALLTIME_S = 600
"""How long the job may run, unless the command line says it [s]."""


def tiny(options: ClusterOptions, *, keeps_walltime: bool) -> ClusterOptions:
    """Make the options of the doctor's job from those of jobs that train.

    Parameters
    ----------
    options : ClusterOptions
    keeps_walltime : bool
        Whether the walltime was meant for this job.
    """
    walltime_s = options.walltime_s if keeps_walltime else min(options.walltime_s, WALLTIME_S)
    return replace(
        options,
        walltime_s=walltime_s,
        max_jobs=1,
        # Nothing is lost with it: it needs no warning, and must not come back.
        end_margin_s=0,
        min_time_left_s=0,
        requeue=False,
    )


def sources_finding(
    options: ClusterOptions, folder: Path, given: Mapping[str, Any], walltime_s: int
) -> Finding:
    """Tell which files and words the options come from; they have been read without errors.

    Parameters
    ----------
    options : ClusterOptions
        Of jobs that train.
    folder : Path
        Of the collection.
    given : dict
        By the command line.
    walltime_s : int
        Of the doctor's job [s].
    """
    said = []
    for path in filter(None, [user_file(), folder / FILE_NAME]):
        if not path.exists():
            said.append(f"{path} is not there")
            continue
        findings = Findings()
        read_file(path, options.system, findings)
        said.append(f"{path} gives {', '.join(findings.settings) or 'nothing'}")
    names = [option.name for option in OPTIONS if given.get(option.name) is not None]
    said.append(f"the command line gives {', '.join(names) or 'nothing'}")
    if walltime_s != options.walltime_s:
        asked = duration_text(options.walltime_s)
        said.append(f"this job asks for {duration_text(walltime_s)}, those of a queue for {asked}")
    return ok("options", "; ".join(said))
