"""Batch systems, each in a file of its own; `system_of` finds one by its name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from lfadsq.errors import ConfigError
from lfadsq.queue.clusters.system_names import SYSTEM_NAMES

if TYPE_CHECKING:
    from lfadsq.queue.clusters.systems.base import BatchSystem

__all__ = ["SYSTEM_NAMES", "system_of"]

_CLASSES = {
    "slurm": "Slurm",
    "pbs": "Pbs",
    "sge": "Sge",
    "lsf": "Lsf",
    "htcondor": "HTCondor",
    "oar": "Oar",
    "moab": "Moab",
}


def system_of(name: str) -> BatchSystem:
    """Find a batch system by its name.

    Parameters
    ----------
    name : str
        One of `SYSTEM_NAMES`.

    Returns
    -------
    BatchSystem

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    if name not in _CLASSES:
        raise ConfigError(
            f"no batch system is called {name!r}", f"known are {', '.join(SYSTEM_NAMES)}"
        )
    system: BatchSystem = getattr(import_module(f"{__name__}.{name}"), _CLASSES[name])()
    return system
